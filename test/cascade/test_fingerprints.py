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

"""Fingerprints of the paper: what changes them, what must not, and which frames have none."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from dual_cnn_ros.cascade.fingerprints import dhash, Fingerprint, FLAT, invariants
from dual_cnn_ros.cascade.frame import Frame, Image

pytestmark = pytest.mark.filterwarnings('error')

SIZES = [(8, 9), (32, 32), (33, 31), (100, 75), (37, 211), (241, 321), (480, 640)]
both = pytest.mark.parametrize('fingerprint', [dhash, invariants])


def noise(rows: int, columns: int, channels: int = 3, seed: int = 0) -> Image:
    shape = (rows, columns, 3) if channels == 3 else (rows, columns)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def blocks(rows: int, columns: int, seed: int) -> Image:
    """Return an image whose differences survive averaging."""
    coarse = noise(7, 11, seed=seed)
    return coarse[np.arange(rows) * 7 // rows][:, np.arange(columns) * 11 // columns]


def ramp(rows: int, columns: int) -> Image:
    """Return a grey image that is brighter from left to right."""
    return np.tile(np.linspace(20, 220, columns).astype(np.uint8), (rows, 1))


def symmetries(image: Image) -> Iterator[Image]:
    for mirrored in (image, image[:, ::-1]):
        for turns in range(4):
            yield np.ascontiguousarray(np.rot90(mirrored, turns))


def area_average(grey: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return the exact mean of every cell, each pixel weighted by the area it shares with it."""
    parts = grey.repeat(rows, axis=0).repeat(columns, axis=1)
    return parts.reshape(rows, grey.shape[0], columns, grey.shape[1]).mean(axis=(1, 3))


def halved(grey: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return grey after as many averagings of 2 x 2 pixels as leave whole cells to compare."""
    while not (grey.shape[0] % 2 or grey.shape[1] % 2) and (
        grey.shape[0] >= 2 * rows and grey.shape[1] >= 2 * columns
    ):
        grey = grey.reshape(grey.shape[0] // 2, 2, grey.shape[1] // 2, 2).mean(axis=(1, 3))
    return grey


def bits(key: bytes | None) -> np.ndarray:
    assert key is not None
    return np.unpackbits(np.frombuffer(key, np.uint8)).reshape(8, 8).astype(bool)


# dhash -------------------------------------------------------------------------------------------


def test_dhash_puts_the_first_comparison_of_the_first_row_into_the_highest_bit() -> None:
    cells = np.full((8, 9), 100, dtype=np.uint8)
    cells[0, 1], cells[7, 8] = 200, 200
    assert dhash(Frame(cells)) == b'\x80\0\0\0\0\0\0\x01'


@pytest.mark.parametrize('size', SIZES, ids=str)
@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('seed', range(3))
def test_dhash_compares_averages_of_the_halved_frame(
    seed: int, channels: int, size: tuple[int, int]
) -> None:
    image = blocks(*size, seed=seed)[..., :channels]
    cells = area_average(halved(image.mean(axis=2), 8, 9), 8, 9)
    difference = cells[:, 1:] - cells[:, :-1]
    clear = np.abs(difference) > 3  # the steps of the reduction round
    assert clear.mean() > 0.8
    frame = Frame(image if channels == 3 else image[..., 0])
    np.testing.assert_array_equal(bits(dhash(frame))[clear], difference[clear] > 0)


@pytest.mark.parametrize('size', [(8, 9), (16, 18), (17, 19), (31, 36)], ids=str)
def test_dhash_depends_on_every_pixel(size: tuple[int, int]) -> None:
    image = np.tile((100 + 4 * (np.arange(size[1]) * 9 // size[1])).astype(np.uint8), (size[0], 1))
    assert dhash(Frame(image)) == b'\xff' * 8
    for pixel in np.ndindex(size):
        changed = np.stack([image, image])
        changed[0][pixel], changed[1][pixel] = 0, 255
        keys = {dhash(Frame(one)) for one in changed}
        assert keys != {b'\xff' * 8}, f'pixel {pixel} is ignored'


@pytest.mark.parametrize('size', [(480, 640), (481, 640), (480, 641), (4, 720)], ids=str)
def test_dhash_sees_more_than_the_pixels_that_bilinear_sampling_would_look_at(
    size: tuple[int, int],
) -> None:
    image = ramp(*size)
    centres = (np.arange(9) + 0.5) * size[1] / 9 - 0.5
    for taps in (np.floor(centres), np.ceil(centres)):
        image[:, taps.astype(int)] = 0
    assert dhash(Frame(image)) == b'\xff' * 8


# invariants --------------------------------------------------------------------------------------


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([1, 3]), st.integers(0, 2**32))
def test_invariants_agree_for_the_eight_symmetries(
    rows: int, columns: int, channels: int, seed: int
) -> None:
    image = noise(rows, columns, channels, seed)
    assert len({invariants(Frame(turned)) for turned in symmetries(image)}) == 1


@pytest.mark.parametrize('size', [(480, 640), (241, 321), (1, 500)], ids=str)
def test_invariants_of_camera_frames_agree_for_the_eight_symmetries(size: tuple[int, int]) -> None:
    keys = {invariants(Frame(turned)) for turned in symmetries(blocks(*size, seed=5))}
    assert len(keys) == 1 and None not in keys


@pytest.mark.parametrize('size', [(5, 7), (32, 30)], ids=str)
def test_invariants_depend_on_every_pixel(size: tuple[int, int]) -> None:
    image = noise(*size, channels=1)
    key = invariants(Frame(image))
    for row, column in np.ndindex(size):
        changed = image.copy()
        changed[row, column] ^= 1
        assert invariants(Frame(changed)) != key, f'pixel {row}, {column} is ignored'


@pytest.mark.parametrize(
    'change',
    [
        lambda image: np.roll(image, 5, axis=1),
        lambda image: np.roll(image, 5, axis=0),
        lambda image: image // 2,
        lambda image: 255 - image,
        lambda image: image[:-8],
        lambda image: image.reshape(128, 96, 3),
    ],
    ids=['shifted', 'lowered', 'darker', 'negative', 'cut', 'reshaped'],
)
def test_invariants_change_with_what_is_no_symmetry(change: Callable[[Image], Image]) -> None:
    image = blocks(96, 128, seed=1)
    assert invariants(Frame(np.ascontiguousarray(change(image)))) != invariants(Frame(image))


def test_invariants_of_a_grey_frame_are_those_of_the_same_frame_in_colour() -> None:
    grey = blocks(48, 64, seed=3)[..., 0].copy()
    assert invariants(Frame(grey)) == invariants(Frame(np.stack([grey] * 3, axis=-1)))


# Both --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('fingerprint', 'length'), [(dhash, 8), (invariants, 16)])
def test_keys_have_one_length(fingerprint: Fingerprint, length: int) -> None:
    keys = [fingerprint(Frame(blocks(*size, seed=2))) for size in SIZES]
    assert [len(key or b'') for key in keys] == [length] * len(SIZES)


@both
def test_equal_images_have_equal_keys_and_others_do_not(fingerprint: Fingerprint) -> None:
    keys, again = (
        [fingerprint(Frame(blocks(60, 80, seed))) for seed in range(300)] for _ in range(2)
    )
    assert keys == again and len(set(keys)) == 300


@both
@pytest.mark.parametrize('size', [*SIZES, (1, 1), (1, 40), (40, 1)], ids=str)
@pytest.mark.parametrize('colour', [(0, 0, 0), (0, 255, 0), (200, 10, 60)], ids=str)
def test_a_flat_frame_has_no_fingerprint(
    fingerprint: Fingerprint, colour: tuple[int, int, int], size: tuple[int, int]
) -> None:
    assert fingerprint(Frame(np.full((*size, 3), colour, dtype=np.uint8))) is None
    assert fingerprint(Frame(np.full(size, colour[0], dtype=np.uint8))) is None


@both
def test_the_noise_of_a_sensor_is_no_fingerprint(fingerprint: Fingerprint) -> None:
    grain = np.random.default_rng(0).normal(128, 1.5, size=(480, 640, 3))
    assert fingerprint(Frame(grain.round().astype(np.uint8))) is None


@both
def test_a_frame_is_flat_up_to_a_difference_of_two_grey_levels(fingerprint: Fingerprint) -> None:
    cells = np.full((8, 9), 100, dtype=np.uint8)
    cells[3, 4] += FLAT
    assert fingerprint(Frame(cells)) is None
    cells[3, 4] += 1
    assert fingerprint(Frame(cells)) is not None
