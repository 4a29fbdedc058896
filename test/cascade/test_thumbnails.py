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

"""Thumbnails: the mean of every cell, and a search that finds what comparing with all finds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from dual_cnn_ros.cascade.frame import Frame, Image
from dual_cnn_ros.cascade.thumbnails import Thumbnail, thumbnail, ThumbnailIndex

pytestmark = pytest.mark.filterwarnings('error')


def noise(rows: int, columns: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)


def pixels(key: bytes) -> np.ndarray:
    return np.frombuffer(key, np.uint8).reshape(24, 32, 3).astype(int)


def area_average(image: Image) -> np.ndarray:
    """Return the exact mean of each of 24 x 32 cells, pixels counted by the area they share."""
    found = image.astype(float)
    for axis, cells in enumerate((24, 32)):
        size = image.shape[axis]
        edges = np.arange(cells + 1) * size / cells
        whole = np.insert(np.cumsum(found, axis), 0, 0, axis)
        at = np.minimum(edges.astype(int), size - 1)
        share = np.expand_dims(edges - at, (1 - axis, 2))
        found = np.diff(whole.take(at, axis) + share * found.take(at, axis), axis=axis)
        found /= size / cells
    return found


@pytest.mark.parametrize(
    'size', [(24, 32), (48, 64), (120, 160), (360, 640), (480, 640), (720, 1280), (601, 801)]
)
def test_a_cell_is_the_mean_of_its_pixels(size: tuple[int, int]) -> None:
    image = np.repeat(np.repeat(noise(7, 9), 100, 0), 100, 1)[: size[0], : size[1]]
    image = image if image.shape[:2] == size else np.resize(image, (*size, 3))
    exact = area_average(image)
    # The rounding of each halving, and the few pixels of a level that lie in two cells.
    assert np.abs(pixels(thumbnail(Frame(image))) - exact).mean() < 4
    assert pixels(thumbnail(Frame(image))).mean() == pytest.approx(exact.mean(), abs=1)


@pytest.mark.parametrize('size', [(1, 1), (1, 40), (40, 1), (8, 9), (24, 32), (601, 801)])
def test_a_grey_frame_has_the_thumbnail_of_the_same_frame_in_colour(
    size: tuple[int, int],
) -> None:
    grey = noise(*size)[..., 0].copy()
    key = thumbnail(Frame(grey))
    assert len(key) == 2304
    assert key == thumbnail(Frame(np.stack([grey] * 3, axis=-1)))


def test_a_thumbnail_is_compared_without_its_mean() -> None:
    key = noise(24, 32).tobytes()
    found = Thumbnail(key)
    assert found.level == pytest.approx(pixels(key).mean())
    cells = pixels(key) - round(found.level)
    np.testing.assert_array_equal(found.cells, cells.reshape(-1))
    for sketch, side in ((found.fine, 4), (found.coarse, 8)):
        means = cells.reshape(24 // side, side, 32 // side, side, 3).mean(axis=(1, 3))
        assert np.abs(sketch - means.reshape(-1)).max() <= 0.5


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match='reshape'):
        Thumbnail(bytes(2303))


@settings(max_examples=30, deadline=None)
@given(data=st.data(), seed=st.integers(0, 1000))
def test_the_search_finds_what_comparing_with_all_of_them_finds(
    data: st.DataObject, seed: int
) -> None:
    random = np.random.default_rng(seed)
    base = random.normal(128, 50, (24, 32, 3))
    index: ThumbnailIndex[int] = ThumbnailIndex()
    kept: dict[int, tuple[Thumbnail, float]] = {}
    places: dict[int, int] = {}

    def some(spread: float) -> Thumbnail:
        changed = base + random.normal(0, spread, base.shape) + random.normal(0, 5)
        return Thumbnail(np.clip(changed, 0, 255).astype(np.uint8).tobytes())

    for number in range(data.draw(st.integers(0, 60))):
        if kept and random.random() < 0.3:
            gone = int(random.choice(list(kept)))
            moved = index.remove(places[gone])
            if moved is not None:
                places[moved] = places[gone]
            del kept[gone], places[gone]
        kept[number] = some(random.uniform(0, 6)), random.uniform(0, 30)
        places[number] = index.add(number, *kept[number])
    if kept:
        changed = int(random.choice(list(kept)))
        kept[changed] = kept[changed][0], 40.0
        index.tolerate(places[changed], 40.0)
    sought = some(2.0)
    expected = {
        number: float(np.abs(found.cells - sought.cells).max())
        for number, (found, tolerance) in kept.items()
        if abs(found.level - sought.level) <= 6.0
        and np.abs(found.cells - sought.cells).max() <= min(1.5 * tolerance, 25.0)
    }
    assert dict(index.search(sought, 1.5, 25.0, 6.0)) == expected
    assert len(index) == len(kept)
    for number, difference in expected.items():
        assert index.difference(places[number], sought, 6.0) == difference
