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
import numpy as np
import numpy.typing as npt
import pytest

from dual_cnn_ros.data.recording import COMPRESSED_IMAGE, IMAGE, typestore
from dual_cnn_ros.messages.images import (
    DepthImageError,
    ENCODINGS,
    from_compressed_msg,
    from_image_msg,
    ImageError,
    to_image_msg,
)

HEADER = SimpleNamespace(frame_id='camera')
HEIGHT, WIDTH = 36, 52
BAYER = [name for name in ENCODINGS if name.startswith('bayer')]
WIDE = [name for name in ENCODINGS if name.endswith('16')]
GREY = ('mono8', 'mono16', '8UC1')
SUBSAMPLED = ('uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2', 'nv12', 'nv21')


def image_bgr() -> npt.NDArray[np.uint8]:
    """Return smooth colours that change with both axes and differ in every channel."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack(
        [30 + 2 * x, 230 - 4 * y, 60 + x + 2 * y],
        axis=-1,
    ).astype(np.uint8)


def grey_of(bgr: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return bgr[..., 1]


def yuv_of(bgr: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], ...]:
    """Return Y, Cb and Cr of ITU-R BT.601 with 16-235 and 16-240 of 255."""
    b, g, r = (bgr[..., channel].astype(float) / 255 for channel in range(3))
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    cb = (b - luma) / 1.772
    cr = (r - luma) / 1.402
    return tuple(
        np.rint(plane).astype(np.uint8)
        for plane in (16 + 219 * luma, 128 + 224 * cb, 128 + 224 * cr)
    )


def samples_of(name: str) -> npt.NDArray[Any]:
    """Return what the rows of a message in the encoding hold, as samples (rows, n)."""
    bgr = image_bgr()
    rgb = bgr[..., ::-1]
    opaque = np.full((HEIGHT, WIDTH, 1), 254, np.uint8)
    if name in GREY:
        samples = grey_of(bgr)
    elif name.startswith(('bgra', '8UC4')):
        samples = np.concatenate([bgr, opaque], -1)
    elif name.startswith('rgba'):
        samples = np.concatenate([rgb, opaque], -1)
    elif name.startswith(('bgr', '8UC3')):
        samples = bgr
    elif name.startswith('rgb'):
        samples = rgb
    elif name in BAYER:
        samples = np.empty((HEIGHT, WIDTH), np.uint8)
        for index, colour in enumerate(name[6:10]):
            y, x = divmod(index, 2)
            samples[y::2, x::2] = bgr[y::2, x::2, 'bgr'.index(colour)]
    else:
        luma, cb, cr = yuv_of(bgr)
        pair = {'nv12': (cb, cr), 'nv21': (cr, cb)}.get(name)
        if pair is not None:
            chroma = np.stack([plane[::2, ::2] for plane in pair], -1)
            samples = np.concatenate([luma, chroma.reshape(-1, WIDTH)])
        else:
            samples = np.empty((HEIGHT, WIDTH * 2), np.uint8)
            first = 0 if name in ('yuyv', 'yuv422_yuy2') else 1
            samples[:, first::2] = luma
            samples[:, 1 - first :: 4] = cb[:, ::2]
            samples[:, 3 - first :: 4] = cr[:, ::2]
    samples = samples.reshape(len(samples), -1)
    # 257 makes 255 of 8 bits 65535 of 16; 100 is rounded away, and tells the two bytes apart.
    return samples.astype(np.uint16) * 257 + 100 if name in WIDE else samples


def message_of(name: str, padding: int = 0, is_bigendian: bool = False) -> SimpleNamespace:
    """Return a message whose rows are followed by bytes that belong to no pixel."""
    samples = samples_of(name)
    if is_bigendian and samples.dtype == np.uint16:
        samples = samples.byteswap()
    rows = np.ascontiguousarray(samples).view(np.uint8)
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


def test_every_encoding_that_cameras_publish_is_there() -> None:
    named = 'rgb8 bgr8 rgba8 bgra8 mono8 mono16 8UC1 8UC3 yuv422 uyvy yuv422_yuy2 yuyv nv12 nv21'
    mosaics = {f'bayer_{pattern}8' for pattern in ('rggb', 'bggr', 'gbrg', 'grbg')}
    assert {*named.split(), *mosaics} <= set(ENCODINGS)


@pytest.mark.parametrize('is_bigendian', [False, True])
@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize('name', sorted(ENCODINGS))
def test_image_is_what_was_encoded(name: str, padding: int, is_bigendian: bool) -> None:
    result = from_image_msg(message_of(name, padding, is_bigendian))
    expected = grey_of(image_bgr()) if name in GREY else image_bgr()
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    assert result.shape == expected.shape
    difference = np.abs(result.astype(int) - expected)
    if name in BAYER:
        # What is missing is interpolated: exact inside a linear image, not on its border.
        assert difference[2:-2, 2:-2].max() <= 1
        assert difference.max() <= 8
    elif name in SUBSAMPLED:
        assert difference.max() <= 8
    else:
        assert difference.max() == 0


@pytest.mark.parametrize('name', ['bgr8', 'mono8'])
def test_nothing_is_copied_that_needs_no_conversion(name: str) -> None:
    message = message_of(name)
    message.data.extend(bytes(100))  # data longer than the rows are taken
    result = from_image_msg(message)
    assert np.shares_memory(result, np.frombuffer(message.data, np.uint8))
    assert np.array_equal(result, image_bgr() if name == 'bgr8' else grey_of(image_bgr()))


@pytest.mark.parametrize('name', ['16UC1', '32FC1'])
def test_depth_image_is_refused_as_such(name: str) -> None:
    message = message_of('mono16')
    message.encoding = name
    with pytest.raises(DepthImageError, match=f"'{name}' is a depth image.*colour or grey topic"):
        from_image_msg(message)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'width': 0}, 'size 0 x 36 .* too small: rgb8 needs at least 1'),
        ({'height': 0}, 'size 52 x 0 .* too small: rgb8 needs at least 1'),
        ({'step': 155}, 'step 155 is too small: 52 pixels of rgb8 take 156 bytes'),
        ({'data': bytes(5615)}, 'it has 5615 bytes, and 36 rows with a step of 156 take 5616'),
        ({'encoding': ''}, "encoding '' is not supported; use one of .*bgr8.*rgb8"),
        ({'encoding': 'RGB8'}, "encoding 'RGB8' is not supported"),
        ({'width': 2**32 - 1, 'step': 2**32 - 1}, 'too large: at most 32767 on a side'),
        ({'height': 1, 'width': 32768, 'step': 98304}, 'too large: at most 32767 on a side'),
        ({'height': 20000, 'width': 20000, 'step': 60000}, 'too large.* and 100000000 pixels'),
        ({'encoding': 'uyvy', 'width': 51}, 'size 51 x 36 .* odd: uyvy needs .* 2 and 1'),
        ({'encoding': 'nv12', 'width': 51}, 'odd: nv12 needs multiples of 2 and 2'),
        ({'encoding': 'nv21', 'height': 35}, 'odd: nv21 needs multiples of 2 and 2'),
        ({'encoding': 'nv12', 'step': 150}, 'data is truncated: .* 54 rows with a step of 150'),
        ({'encoding': 'bayer_rggb8', 'width': 2}, 'too small: bayer_rggb8 needs at least 3'),
        ({'encoding': 'mono16', 'step': 103}, '52 pixels of mono16 take 104 bytes'),
    ],
)
def test_message_that_holds_no_image(changes: dict[str, Any], words: str) -> None:
    message = message_of('rgb8')
    vars(message).update(changes)
    with pytest.raises(ImageError, match=words):
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
    ('extension', 'text'),
    [
        ('.jpg', 'jpeg'),
        ('.jpg', ''),
        ('.jpg', 'png'),
        ('.jpg', 'rgb8; jpeg compressed bgr8'),
        ('.jpg', 'yuv422_yuy2; jpeg compressed bgr8'),
        ('.png', 'png'),
        ('.png', 'rgb8; png compressed bgr8'),
        ('.png', '8UC3; png compressed '),
        ('.png', 'rgb16; png compressed bgr16'),
    ],
)
def test_compressed_colours(extension: str, text: str) -> None:
    result = from_compressed_msg(compressed(extension, image_bgr(), text))
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    assert result.shape == (HEIGHT, WIDTH, 3)
    tolerance = 0 if extension == '.png' else 10
    assert np.abs(result.astype(int) - image_bgr()).max() <= tolerance


@pytest.mark.parametrize('text', ['rgb8; jpeg compressed ', 'bgr8; jpeg compressed '])
def test_colours_compressed_in_the_wrong_order_are_exchanged(text: str) -> None:
    message = compressed('.jpg', image_bgr()[..., ::-1], text)
    assert np.abs(from_compressed_msg(message).astype(int) - image_bgr()).max() <= 10


@pytest.mark.parametrize(
    'text',
    [
        'mono8; jpeg compressed mono8',
        'mono8; png compressed ',
        'bayer_rggb8; jpeg compressed mono8',  # a mosaic that was made grey
    ],
)
def test_compressed_grey_stays_grey(text: str) -> None:
    message = compressed('.png', grey_of(image_bgr()), text)
    assert np.array_equal(from_compressed_msg(message), grey_of(image_bgr()))


def test_compressed_16_bit_samples_are_scaled() -> None:
    wide = samples_of('mono16')
    result = from_compressed_msg(compressed('.png', wide, 'mono16; png compressed '))
    assert np.abs(result.astype(int) - grey_of(image_bgr())).max() <= 1


def test_transparency_is_left_out() -> None:
    wide = samples_of('bgra8').reshape(HEIGHT, WIDTH, 4)
    result = from_compressed_msg(compressed('.png', wide, 'bgra8; png compressed bgr8'))
    assert np.array_equal(result, image_bgr())


@pytest.mark.parametrize('name', BAYER)
def test_compressed_mosaic_is_an_image_again(name: str) -> None:
    message = compressed('.png', samples_of(name), f'{name}; png compressed ')
    difference = from_compressed_msg(message).astype(int) - from_image_msg(message_of(name))
    assert np.abs(difference).max() <= 1  # the decoder takes the upper byte and does not round


def turned(data: bytes) -> bytes:
    """Return a JPEG whose EXIF data say that it is to be turned by 90 degrees."""
    tiff = b'MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0'
    segment = b'\xff\xe1' + struct.pack('>H', 8 + len(tiff)) + b'Exif\0\0' + tiff
    return data[:2] + segment + data[2:]


def tables_first(data: bytes) -> bytes:
    """Return a JPEG with its Huffman tables, and a fill byte, before its frame header."""
    frame, tables, scan = (data.index(mark) for mark in (b'\xff\xc0', b'\xff\xc4', b'\xff\xda'))
    return data[:frame] + data[tables:scan] + b'\xff' + data[frame:tables] + data[scan:]


@pytest.mark.parametrize('change', [turned, tables_first, lambda data: data + bytes(64)])
def test_what_does_not_matter_in_a_jpeg(change: Callable[[bytes], bytes]) -> None:
    message = compressed('.jpg', image_bgr(), 'jpeg')
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


@pytest.mark.parametrize('kept', [0.02, 0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize('extension', ['.jpg', '.png'])
def test_cut_compressed_data(extension: str, kept: float) -> None:
    message = compressed(extension, image_bgr(), extension)
    message.data = message.data[: int(len(message.data) * kept)]
    with pytest.raises(ImageError, match='truncated|damaged|neither JPEG nor PNG'):
        from_compressed_msg(message)


def test_decoder_that_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(*_: object) -> None:
        raise cv2.error('Insufficient memory')

    monkeypatch.setattr(cv2, 'imdecode', give_up)
    with pytest.raises(ImageError, match='cannot be decoded: Insufficient memory'):
        from_compressed_msg(compressed('.jpg', image_bgr(), 'jpeg'))


@pytest.mark.parametrize(
    ('data', 'words'),
    [
        (b'', 'neither JPEG nor PNG: it has 0 bytes'),
        (b'\0\0\0\x01\x67\x42', 'neither JPEG nor PNG.* "00 00 00 01 67 42", .* \'h264\''),
        (b'\xff\xd8\xff\xd9', 'no header of a JPEG'),
        (b'\xff\xd8' + bytes(200), 'no header of a JPEG'),
        (b'\xff\xd8' + b'\xff' * 200, 'no header of a JPEG'),
        (b'\x89PNG\r\n\x1a\n', 'neither JPEG nor PNG'),
    ],
)
def test_data_of_no_image(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        from_compressed_msg(SimpleNamespace(format='h264', data=data))


@pytest.mark.parametrize(
    ('extension', 'place'),
    [
        ('.png', lambda data: len(data) // 2),
        ('.jpg', lambda data: data.index(b'\xff\xdb') + 4),  # a kind of table that does not exist
    ],
)
def test_damaged_data(extension: str, place: Callable[[bytes], int]) -> None:
    message = compressed(extension, image_bgr(), '')
    message.data[place(bytes(message.data))] ^= 0xFF
    with pytest.raises(ImageError, match='data is damaged'):
        from_compressed_msg(message)


@pytest.mark.parametrize('extension', ['.jpg', '.png'])
@pytest.mark.parametrize(
    ('size', 'words'),
    [
        ((65000, 65000), 'size 65000 x 65000 .* too large: at most 32767'),
        ((32767, 32767), 'too large: .* 100000000 pixels'),
        ((0, 36), 'size 0 x 36 .* too small'),
    ],
)
def test_declared_size_is_checked_before_memory_is_taken(
    monkeypatch: pytest.MonkeyPatch, extension: str, size: tuple[int, int], words: str
) -> None:
    message = compressed(extension, image_bgr(), extension)
    data = bytearray(message.data)
    if extension == '.png':
        data[16:24] = struct.pack('>II', *size)
        data[29:33] = struct.pack('>I', zlib.crc32(data[12:29]))
    else:
        at = data.index(b'\xff\xc0')
        data[at + 5 : at + 9] = struct.pack('>HH', *size[::-1])
    message.data = bytes(data)
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('was decoded'))
    with pytest.raises(ImageError, match=words):
        from_compressed_msg(message)


@settings(deadline=None, max_examples=300)
@given(
    extension=st.sampled_from(['.jpg', '.png']),
    text=st.sampled_from(['jpeg', 'rgb8; png compressed ', 'bayer_rggb8; png compressed '])
    | st.text(max_size=12),
    kept=st.integers(0, 2000),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
)
def test_any_compressed_message_is_an_image_or_an_image_error(
    extension: str, text: str, kept: int, changes: list[tuple[int, int]]
) -> None:
    message = compressed(extension, image_bgr(), text)
    for position, value in changes:
        message.data[position] = value
    message.data = message.data[:kept]
    try:
        result = from_compressed_msg(message)
    except ImageError:
        return
    assert result.dtype == np.uint8
    assert result.shape[2:] in ((), (3,))


@pytest.mark.parametrize('name', ['bgr8', 'rgb8', 'mono8', 'bgra8'])
def test_message_of_an_image(name: str) -> None:
    expected = message_of(name)
    channels = ENCODINGS[name].channels
    shape = (HEIGHT, WIDTH) if channels == 1 else (HEIGHT, WIDTH, channels)
    message = to_image_msg(samples_of(name).reshape(shape), HEADER, name, SimpleNamespace)
    assert vars(message) == {**vars(expected), 'header': HEADER}
    assert isinstance(message.data, array)


def test_message_of_a_part_of_an_image() -> None:
    part = image_bgr()[4:20:2, 10:30]
    message = to_image_msg(part, HEADER, 'bgr8', SimpleNamespace)
    assert np.array_equal(from_image_msg(message), part)


@pytest.mark.parametrize(
    ('image', 'name'),
    [
        (np.zeros((4, 4), np.uint8), 'bgr8'),
        (np.zeros((4, 4, 3), np.uint8), 'mono8'),
        (np.zeros((4, 4, 4), np.uint8), 'bgr8'),
        (np.zeros((4, 4, 3), np.float32), 'bgr8'),
        (np.zeros((4, 4), np.uint16), 'mono16'),
        (np.zeros((6, 4), np.uint8), 'nv12'),
        (np.zeros((4, 4, 3), np.uint8), 'no such'),
        (np.zeros(4, np.uint8), 'mono8'),
        (np.zeros((0, 4), np.uint8), 'mono8'),
    ],
)
def test_array_that_is_no_image(image: npt.NDArray[Any], name: str) -> None:
    with pytest.raises(ImageError, match='is no image in|too small'):
        to_image_msg(image, HEADER, name, SimpleNamespace)


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
    ros = to_image_msg(image_bgr(), ours, 'bgr8', sensor_msgs.Image)
    bag = to_image_msg(image_bgr(), theirs, 'bgr8', store.types[IMAGE])
    sent = serialization.deserialize_message(bytes(store.serialize_cdr(bag, IMAGE)), type(ros))
    assert sent == ros
    for message in (ros, bag, sent):
        assert np.array_equal(from_image_msg(message), image_bgr())
    png = cv2.imencode('.png', image_bgr())[1].reshape(-1)
    for packed in (
        sensor_msgs.CompressedImage(format='png', data=array('B', png.tobytes())),
        store.types[COMPRESSED_IMAGE](header=theirs, format='png', data=png),
    ):
        assert np.array_equal(from_compressed_msg(packed), image_bgr())
