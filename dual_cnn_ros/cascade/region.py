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

"""The part of a frame that is looked at."""

from __future__ import annotations

import numpy as np

from dual_cnn_ros.cascade.frame import Image

Region = tuple[float, ...]
"""x and y of the upper left corner, width and height, as fractions of the frame's."""
WHOLE: Region = (0.0, 0.0, 1.0, 1.0)


def is_region(region: Region) -> bool:
    """Return whether four numbers are a part of a frame, and not an empty one."""
    if len(region) != 4:
        return False
    x, y, width, height = region
    # 0.9 and 0.1 are not 1 to the last bit.
    most = 1 + 1e-9
    return min(x, y) >= 0 < min(width, height) and x + width <= most and y + height <= most


def crop(image: Image, region: Region) -> Image:
    """
    Return a part of an image, at least one pixel of it.

    Parameters
    ----------
    image
        uint8, (H, W, 3) or (H, W).
    region
        A region as of `is_region`.

    """
    if region == WHOLE:
        return image
    x, y, width, height = region
    rows, columns = _span(y, height, image.shape[0]), _span(x, width, image.shape[1])
    return np.ascontiguousarray(image[rows, columns])


def _span(begin: float, extent: float, size: int) -> slice:
    first = min(round(begin * size), size - 1)
    return slice(first, max(first + 1, round((begin + extent) * size)))
