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

"""Thumbnails: the key by which the memory recognises a scene, and the search among them."""

from __future__ import annotations

from functools import cached_property
import math
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.frame import Frame, Image, shrink

ROWS, COLUMNS = 24, 32
# Rows and columns of the two sketches.
COARSE, FINE = (3, 4), (6, 8)
# Rounding to whole grey levels moves two blocks of a sketch apart by this at the most.
ROUNDED = 1

Item = TypeVar('Item')
Ints = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float32]


def thumbnail(frame: Frame) -> bytes:
    """Return the frame averaged to 24 rows of 32 BGR cells, 2304 bytes."""
    cells = frame.averaged(ROWS, COLUMNS)
    return (cv2.cvtColor(cells, cv2.COLOR_GRAY2BGR) if cells.ndim == 2 else cells).tobytes()


class Thumbnail:
    """
    A thumbnail as it is compared.

    Parameters
    ----------
    key
        The bytes that `thumbnail` makes.

    Attributes
    ----------
    level
        The mean of the cells, grey levels.
    cells
        int16, (2304,): the cells less their mean, so that a change of exposure is no change.
    fine, coarse
        int16, (144,) and (36,): the means of blocks of 4 x 4 and of 8 x 8 of these cells.

    Raises
    ------
    ValueError
        The key is not of that many bytes.

    """

    def __init__(self, key: bytes) -> None:
        self._pixels: Image = np.frombuffer(key, np.uint8).reshape(ROWS, COLUMNS, 3)
        self.level = sum(cv2.mean(self._pixels)) / 3
        self.cells = self._less_mean(self._pixels)

    # Only a search needs these, and most hits need no search.
    @cached_property
    def fine(self) -> Ints:  # noqa: D102
        return self._less_mean(shrink(self._pixels, *FINE))

    @cached_property
    def coarse(self) -> Ints:  # noqa: D102
        return self._less_mean(shrink(self._pixels, *COARSE))

    def _less_mean(self, image: Image) -> Ints:
        return np.subtract(image.reshape(-1), round(self.level), dtype=np.int16)


class ThumbnailIndex(Generic[Item]):
    """
    Items by their thumbnails, to be searched for those that resemble a thumbnail.

    An item at place i may be given another place whenever one is removed.

    Notes
    -----
    The mean difference of the cells of a block is no larger than the largest: comparing sketches
    first, the coarse before the fine, leaves out nothing that is looked for.

    """

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._cells: Ints = np.empty((0, ROWS * COLUMNS * 3), np.int16)
        self._fine: Ints = np.empty((0, math.prod(FINE) * 3), np.int16)
        # One column for each, which is faster to compare with all.
        self._coarse: Ints = np.empty((math.prod(COARSE) * 3, 0), np.int16)
        self._levels: Floats = np.empty(0, np.float32)
        self._tolerances: Floats = np.empty(0, np.float32)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._items)

    def add(self, item: Item, thumbnail: Thumbnail, tolerance: float) -> int:
        """Add an item that resembles what differs by at most `tolerance`; return its place."""
        place = len(self._items)
        if place == len(self._levels):
            self._grow(max(16, 2 * place))
        self._items.append(item)
        self._cells[place] = thumbnail.cells
        self._fine[place] = thumbnail.fine
        self._coarse[:, place] = thumbnail.coarse
        self._levels[place] = thumbnail.level
        self._tolerances[place] = tolerance
        return place

    def tolerate(self, place: int, tolerance: float) -> None:
        """Change what the item at a place resembles."""
        self._tolerances[place] = tolerance

    def remove(self, place: int) -> Item | None:
        """Remove the item at a place; return the one that takes its place, None if none does."""
        last = len(self._items) - 1
        moved = self._items.pop()
        if place == last:
            return None
        self._items[place] = moved
        for array in self._rows():
            array[place] = array[last]
        return moved

    def _rows(self) -> tuple[npt.NDArray[Any], ...]:
        return self._cells, self._fine, self._coarse.T, self._levels, self._tolerances

    def _grow(self, size: int) -> None:
        rows = (np.resize(array, (size, *array.shape[1:])) for array in self._rows())
        self._cells, self._fine, coarse, self._levels, self._tolerances = rows
        self._coarse = np.ascontiguousarray(coarse.T)

    def search(
        self, thumbnail: Thumbnail, factor: float, most: float, brightness: float
    ) -> list[tuple[Item, float]]:
        """
        Return the items that resemble a thumbnail, in no order, each with its difference.

        Parameters
        ----------
        thumbnail
            What is looked for.
        factor
            By which the tolerances are multiplied.
        most
            The largest difference, whatever the tolerance.
        brightness
            By how many grey levels the mean may differ.

        """
        count = len(self._items)
        reach = np.minimum(self._tolerances[:count] * np.float32(factor), np.float32(most))
        apart = np.abs(self._coarse[:, :count] - thumbnail.coarse[:, np.newaxis]).max(axis=0)
        bright = np.abs(self._levels[:count] - np.float32(thumbnail.level)) <= brightness
        places = np.flatnonzero(bright & (apart <= reach + ROUNDED))
        for rows, row, slack in (
            (self._fine, thumbnail.fine, ROUNDED),
            (self._cells, thumbnail.cells, 0),
        ):
            differences = np.abs(rows.take(places, axis=0) - row).max(axis=1)
            are_near = differences <= reach[places] + slack
            places, differences = places[are_near], differences[are_near]
        return [
            (self._items[place], difference)
            for place, difference in zip(places.tolist(), differences.astype(float).tolist())
        ]

    def difference(self, place: int, thumbnail: Thumbnail, brightness: float) -> float:
        """Return how far that at a place differs, inf if by more than `brightness` in the mean."""
        if abs(self._levels[place] - thumbnail.level) > brightness:
            return math.inf
        return float(np.abs(self._cells[place] - thumbnail.cells).max())
