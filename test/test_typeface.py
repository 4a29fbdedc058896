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

"""Text on images: what is written, where, and what happens where it cannot be."""

from __future__ import annotations

from collections.abc import Iterator
import sys

import numpy as np
import pytest

from dual_cnn_ros import typeface
from dual_cnn_ros.cascade.frame import Image
from dual_cnn_ros.typeface import draw_text, NoTypefaceError, text_width, writable

ImageFont = pytest.importorskip('PIL.ImageFont', reason='Pillow is not installed')
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


@pytest.fixture(autouse=True)
def _forget_typefaces() -> Iterator[None]:
    yield
    for cached in (typeface._font, typeface._file, typeface._has_glyph):
        cached.cache_clear()


def grey(height: int = 60, width: int = 200) -> Image:
    return np.full((height, width, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ('text', 'written'),
    [
        ('stop 0.93', 'stop 0.93'),
        ('forêt, Größe, Ωж', 'forêt, Größe, Ωж'),
        ('fore\u0302t', 'forêt'),
        ('日', 'U+65E5'),
        ('sign 日本!', 'sign U+65E5 U+672C!'),
        ('a\nb\0', 'aU+000AbU+0000'),
        ('\U000f0000', 'U+F0000'),
        ('', ''),
    ],
)
def test_what_cannot_be_written_is_its_code_point(text: str, written: str) -> None:
    assert writable(text) == written


def test_text_stands_on_its_baseline_and_is_as_wide_as_it_says() -> None:
    image = grey()
    draw_text(image, 'HEH', (20, 40), 30, WHITE)
    rows, columns = np.nonzero((image != 90).any(axis=2))
    assert rows.max() == 39 and 15 < rows.min() < 22  # capitals are 0.73 em high
    assert columns.min() >= 20 and columns.max() < 20 + text_width('HEH', 30)
    assert (image == 255).all(axis=2).any()


def test_an_outline_surrounds_the_letters() -> None:
    plain, outlined = grey(), grey()
    draw_text(plain, 'W', (20, 40), 30, WHITE)
    draw_text(outlined, 'W', (20, 40), 30, WHITE, (BLACK, 2))
    white = (plain == 255).all(axis=2)
    assert (outlined[white] == 255).all()
    assert (outlined == 0).all(axis=2).any() and not (plain == 0).all(axis=2).any()


@pytest.mark.parametrize('at', [(-10, 40), (190, 40), (20, 5), (20, 75), (-999, 40), (999, 999)])
def test_what_does_not_fit_is_cut_off(at: tuple[int, int]) -> None:
    small, large = grey(), grey(300, 600)
    draw_text(small, 'WWW', at, 30, WHITE)
    draw_text(large, 'WWW', (at[0] + 200, at[1] + 100), 30, WHITE)
    np.testing.assert_array_equal(small, large[100:160, 200:400])


def test_a_text_longer_than_the_image_is_cut_off_too() -> None:
    image = grey()
    draw_text(image, 'W' * 10_000, (0, 40), 30, WHITE)
    assert (image[:, -20:] != 90).any()


def test_the_typeface_of_matplotlib_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('matplotlib')
    original = ImageFont.truetype

    def truetype(file: str, size: int = 10) -> object:
        if file == 'DejaVuSans.ttf':
            raise OSError('cannot open resource')
        return original(file, size)

    monkeypatch.setattr(ImageFont, 'truetype', truetype)
    assert writable('forêt Ω 日') == 'forêt Ω U+65E5'
    assert 'mpl-data' in str(typeface._file())


@pytest.mark.skipif(not hasattr(ImageFont, 'load_default_imagefont'), reason='before Pillow 10.1')
def test_the_typeface_of_pillow_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typeface, '_file', lambda: None)
    assert writable('stop 日') == 'stop U+65E5'


def test_a_pillow_without_a_typeface_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_default() -> object:  # of Pillow before 10.1
        raise AssertionError

    monkeypatch.setattr(typeface, '_file', lambda: None)
    monkeypatch.setattr(ImageFont, 'load_default', load_default)
    with pytest.raises(NoTypefaceError, match='apt install fonts-dejavu-core'):
        draw_text(grey(), 'text', (0, 40), 30, WHITE)


def test_without_pillow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'PIL', None)
    with pytest.raises(NoTypefaceError, match='pip install pillow'):
        draw_text(grey(), 'text', (0, 40), 30, WHITE)
