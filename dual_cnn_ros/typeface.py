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
Text on images, in a typeface that has the letters of most of the world's alphabets.

The typeface is DejaVu Sans: that of the system, else the copy that comes with matplotlib, else
Pillow's own. A character that it lacks is written as its code point. Needs Pillow, which is
imported where text is first drawn.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any
import unicodedata

import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]
_NAME = 'DejaVuSans.ttf'
# No typeface has a glyph for it, and never will: Unicode promises that it stays free.
_NO_CHARACTER = '\uffff'


class NoTypefaceError(RuntimeError):
    """Text cannot be drawn on this machine; the message says what to install."""


def text_width(text: str, size: int) -> int:
    """Return the pixels that a line of text of a size in pixels per em takes in a row."""
    return round(_font(size).getlength(writable(text)))


def draw_text(
    image: npt.NDArray[np.uint8],
    text: str,
    at: tuple[int, int],
    size: int,
    colour: Colour,
    outline: tuple[Colour, int] | None = None,
) -> None:
    """
    Write one line of text on an image, which is changed in place.

    Parameters
    ----------
    image
        uint8, (H, W, 3). What does not fit on it is cut off.
    text
        One line; whatever cannot be written is written as its code point.
    at
        x of the text's left end and y of its baseline.
    size
        Pixels per em. The capitals of DejaVu Sans are 0.73 em high.
    colour
        In the order of the image's channels.
    outline
        Colour of a line around the letters, and its width in pixels.

    Raises
    ------
    NoTypefaceError
        If Pillow or every typeface is missing.

    """
    font = _font(size)
    text = writable(text)
    if outline is not None:
        _blend(image, font, text, at, *outline)
    _blend(image, font, text, at, colour, 0)


def writable(text: str) -> str:
    """Return a text in which code points such as U+65E5 stand for what cannot be written."""
    return ''.join(
        ''.join(characters)
        if has_glyph
        else ' '.join(f'U+{ord(character):04X}' for character in characters)
        for has_glyph, characters in groupby(unicodedata.normalize('NFC', text), _has_glyph)
    )


def _blend(
    image: npt.NDArray[np.uint8],
    font: Any,
    text: str,
    at: tuple[int, int],
    colour: Colour,
    stroke: int,
) -> None:
    from PIL import Image, ImageDraw

    left, top, right, bottom = font.getbbox(text, anchor='ls', stroke_width=stroke)
    x, y = at[0] + left, at[1] + top
    # A long text is not drawn beyond the right edge of the image.
    width = min(right - left, image.shape[1] - x)
    if width <= 0 or bottom <= top:
        return
    mask = Image.new('L', (width, bottom - top))
    ImageDraw.Draw(mask).text(
        (-left, -top), text, fill=255, font=font, anchor='ls', stroke_width=stroke
    )
    skip_x, skip_y = max(0, -x), max(0, -y)
    target = image[max(0, y) : max(0, bottom + at[1]), max(0, x) : max(0, x + width)]
    alpha = np.asarray(mask, np.float32)[skip_y:, skip_x:][: target.shape[0], :, None] / 255
    target[:] = np.rint(target + alpha * (np.asarray(colour, np.float32) - target))


@lru_cache(maxsize=32)
def _font(size: int) -> Any:
    try:
        from PIL import ImageFont
    except ImportError as error:
        raise NoTypefaceError(
            'text on images needs Pillow; install it with "apt install python3-pil" or '
            '"pip install pillow"'
        ) from error
    if (file := _file()) is not None:
        return ImageFont.truetype(file, size)
    try:
        return ImageFont.load_default(size)
    except (ImportError, TypeError) as error:
        # Before Pillow 10.1 it had small bitmaps only, which have no size.
        raise NoTypefaceError(
            f'text on images needs the typeface {_NAME}; install it with '
            '"apt install fonts-dejavu-core"'
        ) from error


@lru_cache(maxsize=1)
def _file() -> str | None:
    """Return the file of DejaVu Sans, or None where only Pillow's own typeface is left."""
    from PIL import ImageFont

    try:
        return str(ImageFont.truetype(_NAME).path)
    except OSError:
        # Found without being imported, which takes a second.
        spec = find_spec('matplotlib')
    if spec is not None and spec.origin is not None:
        file = Path(spec.origin).parent / 'mpl-data' / 'fonts' / 'ttf' / _NAME
        if file.is_file():
            return str(file)
    return None


@lru_cache(maxsize=4096)
def _has_glyph(character: str) -> bool:
    """Return True if a character looks unlike one that no typeface has."""
    if unicodedata.category(character) in ('Cc', 'Cs', 'Zl', 'Zp'):
        return False
    mask, missing = (_font(32).getmask(each) for each in (character, _NO_CHARACTER))
    return (mask.size, bytes(mask)) != (missing.size, bytes(missing))
