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

"""Whether the content of a frame changed from that by which the memory answered it."""

from __future__ import annotations

import tempfile

import cv2
import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.frame import Image, shrink

ROWS, COLUMNS = 90, 160
# Grey levels by which a pixel has to differ, and the share of such pixels that is a change.
DIFFERENT, CHANGED = 20, 0.01


class Views:
    """
    Every frame of a pass in grey, 160 x 90 pixels, in a file that is deleted in the end.

    Parameters
    ----------
    count
        Number of frames.

    """

    def __init__(self, count: int) -> None:
        # An hour of a camera is one and a half gigabytes.
        with tempfile.TemporaryFile() as file:
            self._views: npt.NDArray[np.uint8] = np.memmap(
                file, np.uint8, 'w+', shape=(max(1, count), ROWS, COLUMNS)
            )
        self._count = 0

    def add(self, image: Image) -> None:
        """Add the next frame."""
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        view = shrink(grey, ROWS, COLUMNS)
        self._views[self._count] = cv2.resize(view, (COLUMNS, ROWS))
        self._count += 1

    def changed(self, age: float | None) -> float:
        """
        Return the share of pixels that differ by over 20 grey levels.

        Parameters
        ----------
        age
            How many frames before the last one that is which it is compared with; None for none.

        """
        last = self._count - 1
        if age is None or last - round(age) < 0:
            return float('nan')
        difference = cv2.absdiff(self._views[last], self._views[last - round(age)])
        return float(np.mean(difference > DIFFERENT))
