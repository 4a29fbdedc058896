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

"""One camera frame, and its reduced versions that the fingerprint and the CNNs share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
T = TypeVar('T')

_MEAN_OF_CHANNELS = np.full((1, 3), 1 / 3)
# Pixels of an image of which not every one is read.
LARGE = 1 << 20

# For each channel of a CNN's input, the index of this channel in a BGR image.
COLOURS = {'rgb': (2, 1, 0), 'bgr': (0, 1, 2), 'grey': (0,)}


@dataclass(frozen=True)
class Preprocessing:
    """
    How a frame becomes the input of a CNN.

    Attributes
    ----------
    height, width
        Size of the input in pixels, 1 to 4096.
    colour
        Order of the channels, a name of COLOURS.
    crop
        None stretches the whole frame to the input. A number in (0, 1] takes the centred part that
        has the input's aspect ratio and covers this fraction of the side that limits it: 0.875 is
        the usual 'resize to 256, crop to 224'.
    mean, std
        Mean and standard deviation of each channel, of values scaled to [0, 1].

    """

    height: int
    width: int
    colour: str
    crop: float | None
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check every field; ValueError names the one that is wrong."""
        for name in ('height', 'width'):
            if not 1 <= getattr(self, name) <= 4096:
                raise ValueError(f'{name} must be 1 to 4096 pixels, not {getattr(self, name)}')
        if self.colour not in COLOURS:
            raise ValueError(f'colour must be one of {", ".join(COLOURS)}, not {self.colour!r}')
        if self.crop is not None and not 0 < self.crop <= 1:
            raise ValueError(f'crop must be null or in (0, 1], not {self.crop}')
        channels = len(COLOURS[self.colour])
        for name in ('mean', 'std'):
            values = getattr(self, name)
            if len(values) != channels or not np.isfinite(values).all():
                raise ValueError(f'{name} must be {channels} finite numbers, not {values}')
        if min(self.std) <= 0:
            raise ValueError(f'std must be positive, not {self.std}')

    def halvings(self, rows: int, columns: int) -> int:
        """Return how often a frame can be halved and has no fewer pixels than the input."""
        taken = _taken(rows, columns, self.height, self.width, self.crop)
        return halvings(*taken, self.height, self.width)

    def blob(self, pixels: Image) -> npt.NDArray[np.float32]:
        """
        Return the input of the CNN for pixels that have its height and width already.

        Parameters
        ----------
        pixels
            uint8, (height, width, 3) BGR or (height, width) grey.

        Returns
        -------
        blob
            float32, (1, C, height, width): (value / 255 - mean) / std.

        """
        channels = COLOURS[self.colour]
        if len(channels) == 1:
            pixels = _to_grey(pixels)[..., np.newaxis]
        elif pixels.ndim == 2:
            pixels = pixels[..., np.newaxis]
            channels = (0, 0, 0)
        blob = np.empty((1, len(channels), *pixels.shape[:2]), dtype=np.float32)
        for table, channel, plane in zip(_tables(self.mean, self.std), channels, blob[0]):
            table.take(pixels[..., channel], out=plane, mode='clip')
        return blob


class Pyramid:
    """
    An image, and that image halved again and again by the exact mean of 2 x 2 pixels.

    Each level is made when it is first asked for. Of a large image, the second level is the mean
    of the middle 2 x 2 of each 4 x 4 pixels, which reads a quarter of the image.

    Parameters
    ----------
    image
        uint8, (H, W, 3) or (H, W).

    Notes
    -----
    Shrinking in one step by OpenCV's INTER_AREA is six times slower, and INTER_LINEAR in one step
    reads four pixels of each hundred.

    """

    def __init__(self, image: Image) -> None:
        self._levels = {0: image}

    def level(self, depth: int) -> Image:
        """Return the image halved `depth` times, or fewer where a side becomes odd before that."""
        if depth not in self._levels:
            self._levels[depth] = self._made(depth)
        return self._levels[depth]

    def _made(self, depth: int) -> Image:
        whole = self._levels[0]
        rows, columns = whole.shape[:2]
        if depth == 2 and rows * columns >= LARGE and rows % 4 == columns % 4 == 0:
            # Linear interpolation, asked for the very middle of four pixels.
            return cv2.resize(whole, (columns // 4, rows // 4), interpolation=cv2.INTER_LINEAR)
        above = self.level(depth - 1)
        rows, columns = above.shape[:2]
        return above if rows % 2 or columns % 2 else shrink(above, rows // 2, columns // 2)


class Frame:
    """
    One camera frame.

    Its reduced versions are made when first asked for, and shared by the fingerprint and the CNNs.
    A frame is used by one thread at a time.

    Parameters
    ----------
    image
        uint8, (H, W, 3) in BGR order or (H, W) grey; kept, not copied.

    Raises
    ------
    ValueError
        The image is empty, or of another shape or type.

    """

    def __init__(self, image: Image) -> None:
        if (
            image.dtype != np.uint8
            or image.size == 0
            or image.ndim not in (2, 3)
            or (image.ndim == 3 and image.shape[2] != 3)
        ):
            raise ValueError(
                'a frame is a non-empty uint8 array, (H, W, 3) BGR or (H, W) grey, '
                f'not {image.dtype} {image.shape}'
            )
        self.image = image
        self._pyramid = Pyramid(image)
        self._blobs: dict[Preprocessing, npt.NDArray[np.float32]] = {}
        self._found: dict[Callable[[Frame], Any], Any] = {}

    def once(self, reduce: Callable[[Frame], T]) -> T:
        """Return reduce(frame); it is computed once, and kept."""
        if reduce not in self._found:
            self._found[reduce] = reduce(self)
        found: T = self._found[reduce]
        return found

    def grey(self, height: int, width: int) -> Image:
        """
        Return the frame in grey, uint8, halved as often as it stays at least height x width.

        The result is the same to the last bit whether the frame is turned or mirrored before this
        or after it.
        """
        return _to_grey(self._halved(height, width))

    def brightness(self, height: int, width: int) -> Image:
        """Return the mean of the channels, uint8, halved while it stays >= height x width."""
        level = self._halved(height, width)
        if level.ndim == 2:
            return level
        return np.asarray(cv2.transform(level, _MEAN_OF_CHANNELS), np.uint8)

    def _halved(self, height: int, width: int) -> Image:
        rows, columns = self.image.shape[:2]
        return self._pyramid.level(halvings(rows, columns, height, width))

    def averaged(self, height: int, width: int) -> Image:
        """
        Return the frame averaged to height x width cells, interpolated where it is smaller.

        Every pixel has its share in the result, and nearly the same one, unlike in that of
        `reduced`, which is faster.

        Returns
        -------
        image
            uint8, (height, width, 3) BGR or (height, width), as the frame is.

        """
        # Halved once less than can be: a pixel of the level lies in one cell, but for a few.
        cells = shrink(self._halved(2 * height, 2 * width), height, width)
        if cells.shape[:2] == (height, width):
            return cells
        return cv2.resize(twice_if_lone(cells), (width, height))

    def blob(self, preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
        """Return the input of a CNN, float32 (1, C, height, width); it is made once and kept."""
        if preprocessing not in self._blobs:
            self._blobs[preprocessing] = preprocessing.blob(
                self.reduced(preprocessing.height, preprocessing.width, preprocessing.crop)
            )
        return self._blobs[preprocessing]

    def reduced(self, height: int, width: int, crop: float | None = None) -> Image:
        """
        Return the frame, or its centre, resized.

        Parameters
        ----------
        height, width
            Size of the result in pixels.
        crop
            The centred part to take, see Preprocessing; None for the whole frame.

        Returns
        -------
        image
            uint8, (height, width, 3) BGR or (height, width), as the frame is.

        """
        rows, columns = self.image.shape[:2]
        rows, columns = _taken(rows, columns, height, width, crop)
        level = self._pyramid.level(halvings(rows, columns, height, width))
        if crop is not None:
            shrunk = level.shape[0] / self.image.shape[0]
            rows, columns = max(1, round(rows * shrunk)), max(1, round(columns * shrunk))
            top, left = (level.shape[0] - rows) // 2, (level.shape[1] - columns) // 2
            level = level[top : top + rows, left : left + columns]
        # An odd side, or one much longer than the other, stops the halvings so early that sampling
        # would skip pixels.
        if level.shape[0] >= 2 * height or level.shape[1] >= 2 * width:
            level = shrink(level, height, width)
        if level.shape[:2] == (height, width):
            return level
        return cv2.resize(twice_if_lone(level), (width, height))


def twice_if_lone(image: Image) -> Image:
    """
    Return a single pixel of colour as two, side by side, and any other image as it is.

    OpenCV 4.5.4, which Ubuntu 22.04 has, fails to resize an image of one such pixel, and to swap
    its channels.
    """
    return np.repeat(image, 2, axis=1) if image.ndim == 3 and image.shape[:2] == (1, 1) else image


def shrink(image: Image, height: int, width: int) -> Image:
    """Return the image averaged to at most height x width; a shorter side is left as it is."""
    rows, columns = image.shape[:2]
    size = min(columns, width), min(rows, height)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def halvings(rows: int, columns: int, height: int, width: int) -> int:
    """Return how often rows x columns can be halved and stay at least height x width."""
    return max(0, min(rows // height, columns // width).bit_length() - 1)


def _taken(
    rows: int, columns: int, height: int, width: int, crop: float | None
) -> tuple[int, int]:
    """Return rows and columns of the part of a frame that an input is made of."""
    if crop is None:
        return rows, columns
    scale = crop * min(rows / height, columns / width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _to_grey(image: Image) -> Image:
    if image.ndim == 2:
        return image
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


@lru_cache(maxsize=32)
def _tables(mean: tuple[float, ...], std: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """Return (value / 255 - mean) / std for each channel and each byte, float32 (C, 256)."""
    values = np.arange(256) / 255
    return ((values - np.array(mean)[:, None]) / np.array(std)[:, None]).astype(np.float32)
