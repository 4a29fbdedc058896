# Copyright 2026 The dual_cnn_ros authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""How much one CNN knows that another one does not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def complementarity(right: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """
    Return the complementarity of every two CNNs.

    Parameters
    ----------
    right
        (M, N), whether CNN m is right on image n.

    Returns
    -------
    complementarity
        (M, M): 2 min(x, y) / N, where x and y are the numbers of images that only one and only
        the other is right on. A weak CNN does not complement a strong one by being different.

    References
    ----------
    Kinnas et al., "Reducing Inference Energy Consumption Using Dual Complementary CNNs", arXiv
    2412.01039: (n(a or b) - n(a and b) - |n(a) - n(b)|) / N with n the number of images that are
    right, which is the same.

    """
    both = right.astype(np.int64) @ right.T.astype(np.int64)
    alone = np.diag(both)[:, np.newaxis] - both
    return 2 * np.minimum(alone, alone.T) / right.shape[1]
