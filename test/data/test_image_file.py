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

"""One picture: how it is known, turned upright, cut off, followed by something, of many bits."""

from io import BytesIO

import cv2
from image_files import exif, jpeg, plain
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from dual_cnn_ros.data.image_file import decode_image, picture_format

NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
PROGRESSIVE = cv2.imencode('.jpg', NOISE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
# As in a motion photo, whose film has the bytes of any marker of a JPEG.
FILM = b'ftypmp42' + bytes(range(256)) * 8 + b'\xff\xda\xff\xd8\xff\xd9\xff\xda' + bytes(99)


def test_a_picture_is_known_by_its_beginning():
    for suffix in ('bmp', 'jpg', 'pgm', 'png', 'ppm', 'tiff', 'webp'):
        image = NOISE[..., 0] if suffix == 'pgm' else NOISE
        known = picture_format(cv2.imencode(f'.{suffix}', image)[1].tobytes())
        assert known == {'jpg': 'jpeg', 'pgm': 'pnm', 'ppm': 'pnm'}.get(suffix, suffix)
    for other in (b'', b'P', b'BM', b'BMW 3', b'GIF89a', b'RIFF....WAVEfmt ', b'P5', b'Pa 5'):
        assert picture_format(other) == ''


@pytest.mark.parametrize('data', [jpeg(NOISE)[:1000], PROGRESSIVE[:-200], b'', b'not an image'])
def test_a_damaged_image_is_none(data):
    assert decode_image(data) is None


@pytest.mark.parametrize('whole', [jpeg(NOISE), PROGRESSIVE, exif(jpeg(NOISE))])
def test_what_follows_the_end_of_a_jpeg_does_not_damage_it(whole):
    np.testing.assert_array_equal(decode_image(whole + FILM), decode_image(whole))


@pytest.mark.parametrize('number', range(10))
@pytest.mark.parametrize('kind', ['PNG', 'WEBP', 'JPEG'])
def test_exif_turns_every_format(kind, number):
    """Pillow does the same by code of its own."""
    image, data, file = PIL.Image.fromarray(NOISE[:30]), PIL.Image.Exif(), BytesIO()
    data[0x112] = number
    image.save(file, kind, exif=data, lossless=True, quality=95)
    with PIL.Image.open(file) as stored:
        upright = np.asarray(PIL.ImageOps.exif_transpose(stored))[..., ::-1]
    # Two decoders of JPEG need not agree to the last bit.
    atol = 8 if kind == 'JPEG' else 0
    np.testing.assert_allclose(decode_image(file.getvalue()), upright, atol=atol)


def test_exif_is_found_wherever_it_stands():
    data = exif(jpeg(plain(10, 20, 30, height=40, width=60)))
    comment = b'\xff\xfe\xff\xff' + bytes(0xFFFD)
    for before in (0, 1, 5):
        shifted = data[:2] + before * comment + data[2:]
        assert decode_image(shifted).shape == (60, 40, 3)


@pytest.mark.parametrize('suffix', ['png', 'tiff', 'pgm'])
@pytest.mark.parametrize('bits', [10, 12, 14, 16])
def test_samples_of_16_bits_hold_fewer(suffix, bits):
    full = np.linspace(0, 2**bits - 1, 256).round().astype(np.uint16).reshape(16, 16)
    data = cv2.imencode(f'.{suffix}', full)[1].tobytes()
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_allclose(decode_image(data), np.dstack([grey] * 3), atol=1)


def test_samples_that_are_no_integers_are_refused():
    assert decode_image(cv2.imencode('.tiff', np.ones((4, 4, 3), np.float32))[1].tobytes()) is None
