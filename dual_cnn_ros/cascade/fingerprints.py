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

"""
Fingerprints: keys under which frames are remembered.

`thumbnail` is made for cameras: frames whose thumbnails nearly agree are compared cell by cell.
`dhash` and `invariants` are those of the paper: two frames are the same if their keys are equal.
To add another of that kind, write a function of a frame and name it in FINGERPRINTS.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b

import cv2
import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.frame import Frame, Image, shrink
from dual_cnn_ros.cascade.thumbnails import COLUMNS, ROWS, thumbnail

# Where the cells of a frame differ by no more grey levels, it has no fingerprint: a black frame of
# one place would be taken for a black frame of any other.
FLAT = 2
# Cells of each side that `invariants` reads.
SIDE = 32

Fingerprint = Callable[[Frame], bytes | None]


def dhash(frame: Frame) -> bytes | None:
    """
    Return the difference hash of a frame, 8 bytes, or None for a flat frame.

    It sees neither colour, nor what is smaller than a ninth of the frame, nor how strong an edge
    is: 7 % of 10,000 small pictures of garments, all different, have the key of an earlier one.

    Notes
    -----
    The mean of the channels is averaged to 8 rows of 9 cells, or interpolated where the frame is
    smaller. Each bit says whether a cell is brighter than its left neighbour, row by row, the
    first bit being the highest of the first byte.

    """
    cells = cv2.resize(shrink(frame.brightness(8, 9), 8, 9), (9, 8))
    if _is_flat(cells):
        return None
    return np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes()


def invariants(frame: Frame) -> bytes | None:
    """
    Return a digest of complex-moment invariants, 16 bytes, or None for a flat frame.

    It is the same for a frame turned by any multiple of 90 degrees, mirrored or not. It sees no
    colour, and the noise of any camera gives each frame a key of its own.

    Notes
    -----
    The grey frame is averaged to at most 32 x 32 cells f. With the origin at its centre,
    c_pq = sum (x + iy)^p (x - iy)^q f(x, y) is multiplied by exp(-i (p - q) a) when the frame is
    turned by a, and becomes its conjugate when the frame is mirrored. The magnitudes up to order
    3, and the real parts of products in which these factors cancel, are therefore the same for all
    eight. All sums are integers below 2^53, so that they agree to the last bit on any machine.

    References
    ----------
    J. Flusser, "On the independence of rotation moment invariants", Pattern Recognition 33 (2000).

    """
    grey = _at_most(frame.grey(SIDE // 2 + 1, SIDE // 2 + 1))
    if _is_flat(grey):
        return None
    rows, columns = grey.shape
    moments = _powers(rows) @ grey.astype(np.float64) @ _powers(columns).T
    m = moments.astype(np.int64).tolist()  # m[j][i] = sum y^j x^i f

    c10 = (m[0][1], m[1][0])
    c20 = (m[0][2] - m[2][0], 2 * m[1][1])
    c21 = (m[0][3] + m[2][1], m[1][2] + m[3][0])
    c30 = (m[0][3] - 3 * m[2][1], 3 * m[1][2] - m[3][0])
    square = _times(c10, c10)
    values = (
        *sorted(grey.shape),
        m[0][0],
        m[0][2] + m[2][0],
        *(_real_of_product(c, c) for c in (c10, c20, c21, c30)),
        _real_of_product(c20, square),
        _real_of_product(c21, c10),
        _real_of_product(c30, _times(square, c10)),
    )
    return blake2b(repr(values).encode(), digest_size=16).digest()


FINGERPRINTS: dict[str, Fingerprint] = {
    'thumbnail': thumbnail,
    'dhash': dhash,
    'invariants': invariants,
}

# Rows and columns of a smaller version of a frame of which the fingerprint is as good as that of
# the frame. Those that are compared for equality need every pixel.
ENOUGH = {'thumbnail': (2 * ROWS, 2 * COLUMNS)}

Complex = tuple[int, int]


def _times(a: Complex, b: Complex) -> Complex:
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _real_of_product(a: Complex, b: Complex) -> int:
    """Return Re(a conj(b)), in which a factor that both have in common cancels."""
    return a[0] * b[0] + a[1] * b[1]


def _is_flat(cells: Image) -> bool:
    darkest, brightest, _, _ = cv2.minMaxLoc(cells)  # an array's own take four times as long
    return brightest - darkest <= FLAT


def _at_most(grey: Image) -> Image:
    """Return grey averaged to at most SIDE x SIDE; it may be turned before or after this."""
    rows, columns = grey.shape
    if rows <= SIDE and columns <= SIDE:
        return grey
    total = _shares(rows, SIDE) @ grey.astype(np.float64) @ _shares(columns, SIDE).T
    return np.floor(total / (rows * columns) + 0.5).astype(np.uint8)


@lru_cache(maxsize=64)
def _powers(size: int) -> npt.NDArray[np.float64]:
    """Return powers 0 to 3 of twice the distance from the centre, whole numbers, (4, size)."""
    distances = 2 * np.arange(size) - (size - 1)
    return np.vander(distances, 4, increasing=True).T.astype(np.float64)


@lru_cache(maxsize=64)
def _shares(size: int, most: int) -> npt.NDArray[np.float64]:
    """Return size times the weights that average pixels to cells, integers, (cells, size)."""
    cells = min(size, most)
    # On a line that is size * cells long, a pixel is `cells` wide and a cell is `size` wide.
    pixel, cell = np.arange(size) * cells, np.arange(cells)[:, np.newaxis] * size
    overlap = np.minimum(pixel + cells, cell + size) - np.maximum(pixel, cell)
    return np.maximum(overlap, 0).astype(np.float64)
