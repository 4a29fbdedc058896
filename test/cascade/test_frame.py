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

"""What a CNN gets to see of a frame, against straightforward references in floating point."""

from __future__ import annotations

from dataclasses import replace
import re
from typing import Any

import cv2
from hypothesis import example, given
from hypothesis import strategies as st
import numpy as np
import pytest

from dual_cnn_ros.cascade.frame import COLOURS, Frame, Image, Preprocessing, Pyramid, shrink

pytestmark = pytest.mark.filterwarnings('error')

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RGB = Preprocessing(24, 32, 'rgb', None, MEAN, STD)


def noise(rows: int, columns: int, channels: int = 3, seed: int = 0) -> Image:
    shape = (rows, columns, 3) if channels == 3 else (rows, columns)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def waves(rows: int, columns: int) -> Image:
    """Return smooth colours, on which all good ways to resize agree."""
    y = np.linspace(0, 3, rows)[:, np.newaxis, np.newaxis]
    x = np.linspace(0, 4, columns)[np.newaxis, :, np.newaxis]
    channel = np.arange(3)
    return (128 + 60 * np.sin(y + channel) + 60 * np.cos(x + 2 * channel)).astype(np.uint8)


def sampled(image: Image, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the colours at points, pixel centres being at 0.5, interpolated between four."""
    pixels = image.astype(float)
    for axis, points in enumerate((y, x)):
        points = np.clip(points - 0.5, 0, pixels.shape[axis] - 1)
        before = points.astype(int)
        after = np.minimum(before + 1, pixels.shape[axis] - 1)
        share = np.expand_dims(points - before, (1 - axis, 2))
        pixels = (1 - share) * pixels.take(before, axis) + share * pixels.take(after, axis)
    return pixels


def cropped_and_resized(image: Image, height: int, width: int, crop: float | None) -> np.ndarray:
    """Return the target by asking for every pixel where it comes from."""
    rows, columns = image.shape[:2]
    part_rows, part_columns = float(rows), float(columns)
    if crop is not None:
        scale = crop * min(rows / height, columns / width)
        part_rows, part_columns = height * scale, width * scale
    return sampled(
        image,
        (rows - part_rows) / 2 + (np.arange(height) + 0.5) * part_rows / height,
        (columns - part_columns) / 2 + (np.arange(width) + 0.5) * part_columns / width,
    )


# Preprocessing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(('colour', 'order'), [('rgb', (2, 1, 0)), ('bgr', (0, 1, 2))])
def test_blob_scales_and_orders_the_channels(colour: str, order: tuple[int, ...]) -> None:
    image = noise(24, 32)
    blob = Preprocessing(24, 32, colour, None, MEAN, STD).blob(image)
    assert blob.dtype == np.float32 and blob.shape == (1, 3, 24, 32)
    assert blob.flags.c_contiguous
    for plane, channel, mean, std in zip(blob[0], order, MEAN, STD):
        np.testing.assert_allclose(plane, (image[..., channel] / 255 - mean) / std, atol=1e-6)


def test_blob_in_grey_weighs_the_colours_as_television_does() -> None:
    image = noise(24, 32)
    blob = Preprocessing(24, 32, 'grey', None, (0.5,), (0.25,)).blob(image)
    assert blob.shape == (1, 1, 24, 32)
    luma = np.round(image @ [0.114, 0.587, 0.299])
    np.testing.assert_allclose(blob[0, 0], (luma / 255 - 0.5) / 0.25, atol=1.01 / 255 / 0.25)


@pytest.mark.parametrize('colour', ['rgb', 'bgr', 'grey'])
def test_blob_of_a_grey_frame_repeats_it_for_each_colour(colour: str) -> None:
    grey = noise(24, 32, channels=1)
    channels = len(COLOURS[colour])
    preprocessing = Preprocessing(24, 32, colour, None, MEAN[:channels], STD[:channels])
    np.testing.assert_array_equal(
        preprocessing.blob(grey), preprocessing.blob(np.stack([grey] * 3, axis=-1))
    )


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'height': 0}, 'height must be 1 to 4096 pixels, not 0'),
        ({'width': 4097}, 'width must be 1 to 4096 pixels, not 4097'),
        ({'colour': 'hsv'}, "colour must be one of rgb, bgr, grey, not 'hsv'"),
        ({'crop': 0.0}, r'crop must be null or in \(0, 1\], not 0.0'),
        ({'crop': 1.1}, 'crop must be'),
        ({'crop': float('nan')}, 'crop must be'),
        ({'mean': (0.5,)}, 'mean must be 3 finite numbers'),
        ({'mean': (0.5, 0.5, float('inf'))}, 'mean must be 3 finite numbers'),
        ({'std': (1.0, 1.0)}, 'std must be 3 finite numbers'),
        ({'std': (1.0, 0.0, 1.0)}, 'std must be positive'),
        ({'colour': 'grey'}, 'mean must be 1 finite numbers'),
    ],
)
def test_wrong_field_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(RGB, **change)


# Reductions --------------------------------------------------------------------------------------


@pytest.mark.parametrize('crop', [None, 1.0, 0.875, 0.3])
@pytest.mark.parametrize(
    ('rows', 'columns'),
    [(480, 640), (640, 480), (481, 641), (97, 203), (48, 64), (60, 1200), (1200, 90)],
)
@pytest.mark.parametrize(('height', 'width'), [(24, 32), (32, 32)])
def test_a_smooth_frame_looks_like_the_reference(
    height: int, width: int, rows: int, columns: int, crop: float | None
) -> None:
    image = waves(rows, columns)
    reduced = Frame(image).reduced(height, width, crop)
    assert reduced.shape == (height, width, 3) and reduced.dtype == np.uint8
    error = reduced - cropped_and_resized(image, height, width, crop)
    # Where a crop is cut at whole pixels, it is up to half a pixel of the target off.
    assert np.abs(error).max() < (4 if crop is None else 8)
    assert np.abs(error).mean() < 2.5


@pytest.mark.parametrize(('rows', 'columns'), [(24, 32), (10, 12), (16, 400), (1, 1), (2, 50)])
def test_a_small_frame_is_interpolated(rows: int, columns: int) -> None:
    image = waves(rows, columns)
    error = Frame(image).reduced(24, 32) - cropped_and_resized(image, 24, 32, None)
    assert np.abs(error).max() < 4


def test_crop_of_one_is_the_largest_centred_part_of_the_shape() -> None:
    image = noise(40, 100)
    np.testing.assert_array_equal(Frame(image).reduced(40, 100), image)
    np.testing.assert_array_equal(Frame(image).reduced(40, 40, 1.0), image[:, 30:70])
    np.testing.assert_array_equal(
        Frame(image).reduced(40, 40, 0.5), cv2.resize(image[10:30, 40:60], (40, 40))
    )


@pytest.mark.parametrize(
    ('rows', 'columns'), [(192, 256), (144, 448), (25, 1600), (1201, 40), (20, 1600)]
)
def test_every_pixel_counts_where_a_frame_shrinks(rows: int, columns: int) -> None:
    # Stripes average to grey; any sampling that skips pixels sees black and white.
    image = np.zeros((rows, columns, 3), dtype=np.uint8)
    if columns > rows:
        image[:, ::2] = 255
    else:
        image[::2] = 255
    assert np.ptp(Frame(image).reduced(24, 32).astype(int)) < 60


@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from([1, 3]),
    st.one_of(st.none(), st.floats(0.01, 1)),
    st.integers(1, 40),
    st.integers(1, 40),
)
@example(1, 4000, 3, None, 24, 32)
@example(4000, 1, 1, 0.875, 24, 32)
@example(2, 8000, 3, 0.875, 24, 32)
def test_any_size_gives_the_size_that_is_wanted(
    rows: int, columns: int, channels: int, crop: float | None, height: int, width: int
) -> None:
    image = np.full((rows, columns, 3) if channels == 3 else (rows, columns), 77, np.uint8)
    reduced = Frame(image).reduced(height, width, crop)
    assert reduced.shape == (height, width, *image.shape[2:])
    assert (reduced == 77).all()


def test_pyramid_averages_two_by_two_pixels_and_rounds() -> None:
    pyramid = Pyramid(noise(16, 24))
    for depth in range(3):
        above = pyramid.level(depth).astype(int)
        rows = above[::2] + above[1::2]
        np.testing.assert_array_equal(
            pyramid.level(depth + 1), (rows[:, ::2] + rows[:, 1::2] + 2) // 4
        )
    assert pyramid.level(3) is pyramid.level(3)


def test_pyramid_stops_at_an_odd_side() -> None:
    pyramid = Pyramid(noise(24, 40))
    assert pyramid.level(10).shape == (3, 5, 3)
    assert pyramid.level(2).shape == (6, 10, 3)
    assert Pyramid(noise(25, 40)).level(3).shape == (25, 40, 3)


def test_shrink_never_enlarges() -> None:
    assert shrink(noise(10, 100), 20, 30).shape == (10, 30, 3)
    np.testing.assert_array_equal(shrink(noise(10, 20), 20, 30), noise(10, 20))


# Frame -------------------------------------------------------------------------------------------


@pytest.mark.parametrize('preprocessing', [RGB, replace(RGB, width=24, crop=1.0)], ids=str)
def test_stages_that_want_the_same_share_one_blob(preprocessing: Preprocessing) -> None:
    frame = Frame(noise(96, 128))
    blob = frame.blob(preprocessing)
    reduced = frame.reduced(preprocessing.height, preprocessing.width, preprocessing.crop)
    np.testing.assert_array_equal(blob, preprocessing.blob(reduced))
    assert frame.blob(replace(preprocessing)) is blob
    assert not np.array_equal(frame.blob(replace(preprocessing, colour='bgr')), blob)


@pytest.mark.parametrize('size', [(8, 9), (64, 72), (100, 76), (33, 31), (480, 640)], ids=str)
def test_brightness_is_the_mean_of_channels_over_whole_pixels(size: tuple[int, int]) -> None:
    image = noise(*size)
    image[..., 2] //= 3
    small = Frame(image).brightness(8, 9)
    factor = size[0] // len(small)
    assert small.shape == (size[0] // factor, size[1] // factor)
    exact = image.reshape(len(small), factor, -1, factor, 3).mean(axis=(1, 3, 4))
    # Each halving rounds up, by at most half a level and by a quarter of one on average.
    assert np.abs(small - exact).max() <= 0.5 + 0.5 * np.log2(factor)


def test_brightness_of_a_grey_frame_is_its_grey() -> None:
    frame = Frame(noise(48, 64, channels=1))
    np.testing.assert_array_equal(frame.brightness(8, 9), frame.grey(8, 9))


def test_frame_leaves_the_image_alone() -> None:
    image = noise(96, 128)
    frame = Frame(image)
    for reduced in (frame.blob(RGB), frame.grey(8, 9), frame.brightness(8, 9)):
        assert not np.shares_memory(reduced, image)
    assert frame.image is image
    np.testing.assert_array_equal(image, noise(96, 128))


@pytest.mark.parametrize(
    'layout',
    [
        np.asfortranarray,
        lambda image: image[::-1, ::-1],
        lambda image: image[..., ::-1][..., ::-1],
    ],
    ids=['by columns', 'backwards', 'twice reversed'],
)
def test_memory_layout_does_not_matter(layout: Any) -> None:
    view = layout(noise(48, 64))
    copy = np.array(view, order='C')
    np.testing.assert_array_equal(Frame(view).blob(RGB), Frame(copy).blob(RGB))
    np.testing.assert_array_equal(Frame(view).grey(8, 9), Frame(copy).grey(8, 9))
    np.testing.assert_array_equal(Frame(view).brightness(8, 9), Frame(copy).brightness(8, 9))


@pytest.mark.parametrize(
    ('shape', 'dtype'),
    [
        *(((4, 4, 3), dtype) for dtype in (np.uint16, np.float32)),
        *(
            (shape, np.uint8)
            for shape in ((4, 4, 4), (4, 4, 1), (0, 4, 3), (4, 0), (4,), (1, 4, 4, 3), ())
        ),
    ],
    ids=str,
)
def test_what_is_no_image_is_refused(shape: tuple[int, ...], dtype: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f'{np.dtype(dtype)} {shape}')):
        Frame(np.zeros(shape, dtype))
