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
Image messages to arrays and back, against images that NumPy encodes here from the definitions.

Every reference is written from what the encoding means, without OpenCV, except for the two
compressed kinds.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
import struct
from types import SimpleNamespace
from typing import Any
import zlib

import cv2
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import exif
import numpy as np
import numpy.typing as npt
import pytest

from dual_cnn_ros.cascade.frame import COLOURS, Frame, Preprocessing
from dual_cnn_ros.cascade.needs import Needs
from dual_cnn_ros.cascade.thumbnails import thumbnail
from dual_cnn_ros.data.recording import COMPRESSED_IMAGE, IMAGE, typestore
from dual_cnn_ros.messages.images import (
    DepthImageError,
    ENCODINGS,
    from_compressed_msg,
    from_image_msg,
    ImageError,
    SampleDepth,
    to_image_msg,
)

HEADER = SimpleNamespace(frame_id='camera')
HEIGHT, WIDTH = 36, 52
MOSAICS = [name for name in ENCODINGS if name.startswith('bayer')]
SUBSAMPLED = ('uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2', 'nv12', 'nv21')
Y, X = np.mgrid[0:HEIGHT, 0:WIDTH]
# Smooth colours that change with both axes and differ in every channel.
BGR = np.stack([30 + 2 * X, 230 - 4 * Y, 60 + X + 2 * Y], axis=-1).astype(np.uint8)
RGB, GREY = BGR[..., ::-1], BGR[..., 1]


def ycbcr() -> tuple[npt.NDArray[np.uint8], ...]:
    """Return Y, Cb and Cr of ITU-R BT.601 with 16-235 and 16-240 of 255."""
    b, g, r = (BGR[..., channel].astype(float) / 255 for channel in range(3))
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    planes = 16 + 219 * luma, 128 + 224 * (b - luma) / 1.772, 128 + 224 * (r - luma) / 1.402
    return tuple(np.rint(plane).astype(np.uint8) for plane in planes)


def packed(first: int) -> npt.NDArray[np.uint8]:
    """Return 4:2:2 samples, with the luma at the even places for 0 and at the odd ones for 1."""
    luma, cb, cr = ycbcr()
    samples = np.empty((HEIGHT, WIDTH * 2), np.uint8)
    samples[:, first::2] = luma
    samples[:, 1 - first :: 4] = cb[:, ::2]
    samples[:, 3 - first :: 4] = cr[:, ::2]
    return samples


def planar(*order: int) -> npt.NDArray[np.uint8]:
    """Return 4:2:0 samples: the luma, then the planes of this order, interleaved."""
    planes = ycbcr()
    chroma = np.stack([planes[i][::2, ::2] for i in order], -1)
    return np.concatenate([planes[0], chroma.reshape(-1, WIDTH)])


def mosaic(pattern: str) -> npt.NDArray[np.uint8]:
    samples = np.empty((HEIGHT, WIDTH), np.uint8)
    for index, colour in enumerate(pattern):
        y, x = divmod(index, 2)
        samples[y::2, x::2] = BGR[y::2, x::2, 'bgr'.index(colour)]
    return samples


def samples_of(name: str) -> npt.NDArray[Any]:
    """Return what the rows of a message in the encoding hold."""
    kind = name.removesuffix('16').removesuffix('8')
    opaque = np.full((HEIGHT, WIDTH, 1), 254, np.uint8)
    if kind in ('uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2'):
        samples = packed(0 if 'yuy' in kind else 1)
    elif kind in ('nv12', 'nv21'):
        samples = planar(1, 2) if kind == 'nv12' else planar(2, 1)
    elif name in MOSAICS:
        samples = mosaic(kind.removeprefix('bayer_'))
    else:
        samples = {
            'mono': GREY,
            '8UC1': GREY,
            'bgr': BGR,
            '8UC3': BGR,
            'rgb': RGB,
            'bgra': np.concatenate([BGR, opaque], -1),
            '8UC4': np.concatenate([BGR, opaque], -1),
            'rgba': np.concatenate([RGB, opaque], -1),
        }[kind]
    # 257 makes 255 of 8 bits 65535 of 16; 100 is rounded away, and tells the two bytes apart.
    return samples.astype(np.uint16) * 257 + 100 if name.endswith('16') else samples


def message_of(name: str, padding: int = 0, is_bigendian: bool = False) -> SimpleNamespace:
    """Return a message whose rows are followed by bytes that belong to no pixel."""
    samples = samples_of(name)
    if is_bigendian and samples.dtype == np.uint16:
        samples = samples.byteswap()
    rows = np.ascontiguousarray(samples.reshape(len(samples), -1)).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xA5)
    return SimpleNamespace(
        height=HEIGHT,
        width=WIDTH,
        encoding=name,
        is_bigendian=int(is_bigendian),
        step=rows.shape[1],
        data=array('B', rows.tobytes()),
    )


def compressed(extension: str, image: npt.NDArray[Any], text: str) -> SimpleNamespace:
    data = cv2.imencode(extension, image)[1].tobytes()
    return SimpleNamespace(format=text, data=array('B', data))


@pytest.mark.parametrize('is_bigendian', [False, True])
@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize('name', sorted(ENCODINGS))
def test_image_is_what_was_encoded(name: str, padding: int, is_bigendian: bool) -> None:
    result = from_image_msg(message_of(name, padding, is_bigendian))
    expected = GREY if name in ('mono8', 'mono16', '8UC1') else BGR
    assert (result.dtype, result.shape) == (np.uint8, expected.shape)
    assert result.flags.c_contiguous
    difference = np.abs(result.astype(int) - expected)
    assert difference.max() <= (8 if name in (*MOSAICS, *SUBSAMPLED) else 0)
    if name in MOSAICS:
        # What is missing is interpolated: exact inside a linear image, not on its border.
        assert difference[2:-2, 2:-2].max() <= 1


@pytest.mark.parametrize('name', ['bgr8', 'mono8'])
def test_nothing_is_copied_that_needs_no_conversion(name: str) -> None:
    message = message_of(name)
    message.data.extend(bytes(100))  # data longer than the rows are taken
    result = from_image_msg(message)
    assert np.shares_memory(result, np.frombuffer(message.data, np.uint8))
    assert np.array_equal(result, samples_of(name))


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'width': 0}, 'size 0 x 36 .* too small: rgb8 needs at least 1'),
        ({'height': 0}, 'size 52 x 0 .* too small: rgb8 needs at least 1'),
        ({'step': 155}, 'step 155 is too small: 52 pixels of rgb8 take 156 bytes'),
        ({'data': bytes(5615)}, 'it has 5615 bytes, and 36 rows with a step of 156 take 5616'),
        ({'encoding': 'RGB8'}, "encoding 'RGB8' is not supported; use one of .*bgr8.*rgb8"),
        ({'width': 2**32 - 1, 'step': 2**32 - 1}, 'too large: at most 32767 on a side'),
        ({'height': 1, 'width': 32768, 'step': 98304}, 'too large: at most 32767 on a side'),
        ({'height': 20000, 'width': 20000, 'step': 60000}, 'too large.* and 100000000 pixels'),
        ({'encoding': 'uyvy', 'width': 51}, 'size 51 x 36 .* odd: uyvy needs .* 2 and 1'),
        ({'encoding': 'nv12', 'width': 51}, 'odd: nv12 needs multiples of 2 and 2'),
        ({'encoding': 'nv21', 'height': 35}, 'odd: nv21 needs multiples of 2 and 2'),
        ({'encoding': 'nv12', 'step': 150}, 'data is truncated: .* 54 rows with a step of 150'),
        ({'encoding': 'bayer_rggb8', 'width': 2}, 'too small: bayer_rggb8 needs at least 3'),
        ({'encoding': 'mono16', 'step': 103}, '52 pixels of mono16 take 104 bytes'),
        ({'encoding': '16UC1'}, "'16UC1' is a depth image.*colour or grey topic"),
        ({'encoding': '32FC1'}, "'32FC1' is a depth image.*colour or grey topic"),
    ],
)
def test_message_that_holds_no_image(changes: dict[str, Any], words: str) -> None:
    message = message_of('rgb8')
    vars(message).update(changes)
    with pytest.raises(DepthImageError if 'depth' in words else ImageError, match=words):
        from_image_msg(message)


@settings(deadline=None, max_examples=400)
@given(
    encoding=st.sampled_from([*ENCODINGS, '16UC1', 'nv24', '8UC', 'jpeg']) | st.text(max_size=6),
    width=st.integers(0, 9) | st.integers(0, 2**32 - 1),
    height=st.integers(0, 9) | st.integers(0, 2**32 - 1),
    step=st.integers(0, 80) | st.integers(0, 2**32 - 1),
    data=st.integers(0, 1000).map(bytes),
    is_bigendian=st.booleans(),
)
def test_any_message_is_an_image_or_an_image_error(**fields: Any) -> None:
    try:
        result = from_image_msg(SimpleNamespace(**fields))
    except ImageError:
        return
    assert result.shape[:2] == (fields['height'], fields['width'])
    assert result.shape[2:] in ((), (3,))
    assert result.dtype == np.uint8


@pytest.mark.parametrize(
    ('texts', 'sent', 'expected'),
    [
        (
            ['jpeg', '', 'png', 'rgb8; jpeg compressed bgr8', 'nv12; jpeg compressed bgr8'],
            BGR,
            BGR,
        ),
        # Without a target the publisher compressed RGB as if it were BGR.
        (['rgb8; jpeg compressed ', 'bgr8; jpeg compressed '], RGB, BGR),
        (['8UC3; png compressed ', 'rgb16; png compressed bgr16'], BGR, BGR),
        (['mono8; jpeg compressed mono8', 'mono8; png compressed '], GREY, GREY),
        (['bayer_rggb8; jpeg compressed mono8'], GREY, GREY),  # a mosaic that was made grey
        (['mono16; png compressed '], samples_of('mono16'), GREY),
        (['bgra8; png compressed bgr8'], samples_of('bgra8'), BGR),
        *(
            ([f'{name}; png compressed '], samples_of(name), from_image_msg(message_of(name)))
            for name in MOSAICS
        ),
    ],
)
def test_image_of_a_compressed_message(
    texts: list[str], sent: npt.NDArray[Any], expected: npt.NDArray[np.uint8]
) -> None:
    # A JPEG of a mosaic would spoil it, and those of 16 bits or four channels do not exist.
    extensions = ('.png', '.jpg') if any(sent is it for it in (BGR, RGB, GREY)) else ('.png',)
    for text in texts:
        for extension in extensions:
            result = from_compressed_msg(compressed(extension, sent, text))
            assert (result.dtype, result.shape) == (np.uint8, expected.shape)
            assert result.flags.c_contiguous
            # The decoder takes the upper byte of two and does not round.
            tolerance = 10 if extension == '.jpg' else int(sent.dtype == np.uint16)
            assert np.abs(result.astype(int) - expected).max() <= tolerance, (text, extension)


def tables_first(data: bytes) -> bytes:
    """Return a JPEG with its Huffman tables, and a fill byte, before its frame header."""
    frame, tables, scan = (data.index(mark) for mark in (b'\xff\xc0', b'\xff\xc4', b'\xff\xda'))
    return data[:frame] + data[tables:scan] + b'\xff' + data[frame:tables] + data[scan:]


FILM = bytes(64) + b'\xff\xda' + bytes(range(256)) * 9 + b'\xff\xd8\xff\xda'


@pytest.mark.parametrize('change', [exif, tables_first, lambda data: data + FILM])
def test_what_does_not_matter_in_a_jpeg(change: Callable[[bytes], bytes]) -> None:
    message = compressed('.jpg', BGR, 'jpeg')
    expected = from_compressed_msg(message)
    message.data = change(bytes(message.data))
    assert np.array_equal(from_compressed_msg(message), expected)


@pytest.mark.parametrize(
    'text',
    [
        '16UC1; compressedDepth png',
        '32FC1; compressedDepth rvl',
        'mono16; compressedDepth png',
        '16UC1; png compressed ',
    ],
)
def test_compressed_depth_image_is_refused_as_such(text: str) -> None:
    with pytest.raises(DepthImageError, match='is a depth image.*colour or grey topic'):
        from_compressed_msg(compressed('.png', samples_of('mono16'), text))


PNG, JPEG = (bytes(compressed(extension, BGR, '').data) for extension in ('.png', '.jpg'))


def spoiled(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


@pytest.mark.parametrize(
    ('data', 'words'),
    [
        (b'', 'neither JPEG nor PNG: it has 0 bytes'),
        (b'\0\0\0\x01\x67\x42', 'neither JPEG nor PNG.* "00 00 00 01 67 42", .* \'h264\''),
        (b'\xff\xd8' + bytes(200), 'no header of a JPEG'),
        (b'\xff\xd8' + b'\xff' * 200, 'no header of a JPEG'),
        (PNG[:8], 'neither JPEG nor PNG'),
        *((JPEG[: int(len(JPEG) * kept)], 'truncated') for kept in (0.02, 0.3, 0.9, 0.999)),
        *((PNG[: int(len(PNG) * kept)], 'data is damaged') for kept in (0.3, 0.9, 0.999)),
        (spoiled(PNG, len(PNG) // 2), 'data is damaged'),
        # A kind of table that does not exist.
        (spoiled(JPEG, JPEG.index(b'\xff\xdb') + 4), 'data is damaged'),
    ],
)
def test_data_of_no_image(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        from_compressed_msg(SimpleNamespace(format='h264', data=data))


def test_decoder_that_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(*_: object) -> None:
        raise cv2.error('Insufficient memory')

    monkeypatch.setattr(cv2, 'imdecode', give_up)
    with pytest.raises(ImageError, match='cannot be decoded: Insufficient memory'):
        from_compressed_msg(SimpleNamespace(format='jpeg', data=JPEG))


@pytest.mark.parametrize('is_png', [True, False])
@pytest.mark.parametrize(
    ('size', 'words'),
    [
        ((65000, 65000), 'size 65000 x 65000 .* too large: at most 32767'),
        ((32767, 32767), 'too large: .* 100000000 pixels'),
        ((0, 36), 'size 0 x 36 .* too small'),
    ],
)
def test_declared_size_is_checked_before_memory_is_taken(
    monkeypatch: pytest.MonkeyPatch, is_png: bool, size: tuple[int, int], words: str
) -> None:
    data = bytearray(PNG if is_png else JPEG)
    if is_png:
        data[16:24] = struct.pack('>II', *size)
        data[29:33] = struct.pack('>I', zlib.crc32(data[12:29]))
    else:
        at = data.index(b'\xff\xc0')
        data[at + 5 : at + 9] = struct.pack('>HH', *size[::-1])
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('was decoded'))
    with pytest.raises(ImageError, match=words):
        from_compressed_msg(SimpleNamespace(format='', data=bytes(data)))


@settings(deadline=None, max_examples=300)
@given(
    whole=st.sampled_from([JPEG, PNG]),
    text=st.sampled_from(['jpeg', 'rgb8; png compressed ', 'bayer_rggb8; png compressed '])
    | st.text(max_size=12),
    kept=st.integers(0, 2000),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
)
def test_any_compressed_message_is_an_image_or_an_image_error(
    whole: bytes, text: str, kept: int, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(whole)
    for position, value in changes:
        data[position] = value
    try:
        result = from_compressed_msg(SimpleNamespace(format=text, data=data[:kept]))
    except ImageError:
        return
    assert result.dtype == np.uint8
    assert result.shape[2:] in ((), (3,))


@pytest.mark.parametrize('name', ['bgr8', 'rgb8', 'mono8', 'bgra8'])
def test_message_of_an_image(name: str) -> None:
    message = to_image_msg(samples_of(name), HEADER, name, SimpleNamespace)
    assert vars(message) == {**vars(message_of(name)), 'header': HEADER}


def test_message_of_a_part_of_an_image() -> None:
    part = BGR[4:20:2, 10:30]
    message = to_image_msg(part, HEADER, 'bgr8', SimpleNamespace)
    assert np.array_equal(from_image_msg(message), part)


@pytest.mark.parametrize(
    ('shape', 'kind', 'name'),
    [
        ((4, 4), np.uint8, 'bgr8'),
        ((4, 4, 3), np.uint8, 'mono8'),
        ((4, 4, 4), np.uint8, 'bgr8'),
        ((4, 4, 3), np.float32, 'bgr8'),
        ((4, 4), np.uint16, 'mono16'),
        ((6, 4), np.uint8, 'nv12'),
        ((4, 4, 3), np.uint8, 'no such'),
        ((4,), np.uint8, 'mono8'),
        ((0, 4), np.uint8, 'mono8'),
    ],
)
def test_array_that_is_no_image(shape: tuple[int, ...], kind: type, name: str) -> None:
    with pytest.raises(ImageError, match='is no image in|too small'):
        to_image_msg(np.zeros(shape, kind), HEADER, name, SimpleNamespace)


@pytest.mark.ros
def test_classes_of_rclpy_and_of_rosbags_convert_alike() -> None:
    serialization = pytest.importorskip('rclpy.serialization')
    sensor_msgs = pytest.importorskip('sensor_msgs.msg')
    std_msgs = pytest.importorskip('std_msgs.msg')
    store = typestore()
    stamp = store.types['builtin_interfaces/msg/Time'](7, 0)
    theirs = store.types['std_msgs/msg/Header'](stamp=stamp, frame_id='camera')
    ours = std_msgs.Header(frame_id='camera')
    ours.stamp.sec = 7
    ros = to_image_msg(BGR, ours, 'bgr8', sensor_msgs.Image)
    bag = to_image_msg(BGR, theirs, 'bgr8', store.types[IMAGE])
    sent = serialization.deserialize_message(bytes(store.serialize_cdr(bag, IMAGE)), type(ros))
    assert sent == ros
    for message in (ros, bag, sent):
        assert np.array_equal(from_image_msg(message), BGR)
    data = np.frombuffer(PNG, np.uint8)
    for message in (
        sensor_msgs.CompressedImage(format='png', data=array('B', PNG)),
        store.types[COMPRESSED_IMAGE](header=theirs, format='png', data=data),
    ):
        assert np.array_equal(from_compressed_msg(message), BGR)


# Samples of 16 bits ----------------------------------------------------------------------------


def deep_message(name: str, samples: npt.NDArray[np.uint16], step: int) -> SimpleNamespace:
    """Return a message of 8 x 8 pixels."""
    return SimpleNamespace(
        height=8, width=8, encoding=name, is_bigendian=0, step=step, data=samples.tobytes()
    )


@pytest.mark.parametrize('bits', [10, 12, 14, 16])
@pytest.mark.parametrize('name', ['mono16', 'bgr16', 'bgra16'])
def test_samples_are_scaled_by_what_the_camera_sends(name: str, bits: int) -> None:
    channels = ENCODINGS[name].channels
    brightness = np.linspace(0, 255, 64)
    samples = np.repeat(brightness / 255 * (2**bits - 1), channels).round().astype('<u2')
    image = from_image_msg(deep_message(name, samples, 16 * channels))
    np.testing.assert_allclose(image.reshape(64, -1)[:, 0], brightness, atol=1)


def test_the_depth_of_a_camera_is_that_of_its_brightest_image() -> None:
    depth = SampleDepth()
    dark, bright = (np.full((2, 2), value, np.uint16) for value in (1000, 4000))
    assert [depth.to_8_bits(dark)[0, 0], depth.bits] == [249, 10]
    assert [depth.to_8_bits(bright)[0, 0], depth.bits] == [249, 12]
    assert [depth.to_8_bits(dark)[0, 0], depth.bits] == [62, 12]


def test_a_depth_that_is_given_is_kept() -> None:
    depth = SampleDepth(12)
    samples = np.array([[0, 1000, 4095, 65535]], np.uint16)
    assert depth.to_8_bits(samples).tolist() == [[0, 62, 255, 255]]
    assert depth.bits == 12


def test_a_deep_png_is_scaled_as_a_raw_image_is() -> None:
    samples = np.linspace(0, 4095, 64).round().astype(np.uint16).reshape(8, 8)
    message = compressed('.png', samples, 'mono16; png compressed ')
    raw = from_image_msg(deep_message('mono16', samples, 16))
    np.testing.assert_array_equal(from_compressed_msg(message), raw)
    assert raw.max() == 255


# Less of an image -------------------------------------------------------------------------------


def picture(height: int, width: int) -> npt.NDArray[np.uint8]:
    """Return smooth colours with grain, as cameras have it."""
    random = np.random.default_rng(5)
    coarse = random.integers(0, 256, (6, 8, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + random.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8)


def needing(side: int, colour: str = 'bgr', key: str | None = None) -> Needs:
    channels = len(COLOURS[colour])
    return Needs((Preprocessing(side, side, colour, None, (0,) * channels, (1,) * channels),), key)


@pytest.mark.parametrize(
    ('size', 'side', 'scale'),
    [
        *(((480, 640), side, scale) for side, scale in ((300, 1), (150, 2), (80, 4), (10, 8))),
        ((364, 644), 40, 4),
        ((361, 643), 40, 1),
    ],
)
def test_jpeg_is_decoded_at_the_scale_that_is_needed(
    size: tuple[int, int], side: int, scale: int
) -> None:
    message = compressed('.jpg', picture(*size), 'bgr8; jpeg compressed bgr8')
    part = from_compressed_msg(message, needs=needing(side))
    assert part.shape == (size[0] // scale, size[1] // scale, 3)
    whole = from_compressed_msg(message)
    expected = Frame(whole).reduced(side, side).astype(int)
    assert np.abs(Frame(part).reduced(side, side) - expected).mean() < 1.5


@pytest.mark.parametrize('size', [(480, 640), (1080, 1920), (361, 643), (240, 320)])
def test_key_of_the_memory_agrees_whatever_the_scale(size: tuple[int, int]) -> None:
    message = compressed('.jpg', picture(*size), '')
    whole, part = (
        np.frombuffer(thumbnail(Frame(from_compressed_msg(message, needs=needs))), np.uint8)
        for needs in (None, needing(8, key='thumbnail'))
    )
    assert np.abs(whole.astype(int) - part).max() <= 3
    for key in ('dhash', 'invariants'):
        image = from_compressed_msg(message, needs=needing(8, key=key))
        assert np.array_equal(image, from_compressed_msg(message))


def test_grey_alone_is_decoded_where_it_is_enough() -> None:
    grey = needing(120, 'grey')
    image = picture(480, 640)
    part = from_compressed_msg(compressed('.jpg', image, ''), needs=grey)
    assert part.shape == (120, 160)
    expected = cv2.cvtColor(Frame(image).reduced(120, 120), cv2.COLOR_BGR2GRAY).astype(int)
    assert np.abs(Frame(part).reduced(120, 120) - expected).mean() < 1.5
    # The grey of exchanged colours would be another one.
    swapped = from_compressed_msg(compressed('.jpg', image[..., ::-1], 'rgb8; jpeg'), needs=grey)
    assert swapped.shape == (120, 160, 3)
    assert np.abs(swapped[..., 0].mean() - image[..., 0].mean()) < 1


def test_other_images_are_decoded_whole() -> None:
    needs = needing(8)
    mosaicked = mosaic('rggb').repeat(4, 0).repeat(4, 1)
    for extension, image, text in (
        ('.png', picture(480, 640), ''),
        ('.jpg', mosaicked, 'bayer_rggb8; jpeg'),
    ):
        message = compressed(extension, image, text)
        whole = from_compressed_msg(message)
        assert np.array_equal(from_compressed_msg(message, needs=needs), whole)
        assert whole.shape == (*image.shape[:2], 3)
