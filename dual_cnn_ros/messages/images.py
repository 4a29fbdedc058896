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
Image messages to arrays, and back.

An array is uint8, C-contiguous, (H, W, 3) in BGR order or (H, W) grey. A message is checked before
a pixel of it is read, and one that does not hold the picture it declares raises ImageError: it is
never read out of bounds, nor turned into a picture that the camera did not see. What cannot be
told is that a JPEG was damaged between its header and its end: it has no checksum, as a PNG has,
and OpenCV passes no warning of its decoder on. Such a picture is partly made up.

The conversions are OpenCV's, called here and not through cv_bridge or rosbags-image. Of what
cameras publish, cv_bridge makes no BGR of uyvy, yuyv, nv12, nv21, 8UC1 and 8UC3, shears a picture
whose step is not a whole number of pixels, and cannot be loaded under a NumPy it was not built
for; rosbags-image ignores the step and misreads nv12 and nv21.
"""

from __future__ import annotations

from array import array
import struct
from typing import Any, cast, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

Array = npt.NDArray[np.uint8]

# No robot's camera comes near these. Some of OpenCV's loops count columns in 16 bits, and a
# compressed picture of a few bytes can declare any size.
MAX_SIDE = 32767
MAX_PIXELS = 100_000_000


class ImageError(ValueError):
    """A message does not hold a picture; the text says what is wrong and what is expected."""


class DepthImageError(ImageError):
    """A message holds distances, which no conversion turns into a picture."""


class Encoding(NamedTuple):
    """How the samples of one encoding lie, and what makes them BGR or grey."""

    channels: int
    """Samples per pixel in a row."""
    conversion: int | None = None
    """OpenCV's conversion to BGR; None for samples that are BGR or grey already."""
    size: int = 1
    """Bytes per sample."""
    multiple: tuple[int, int] = (1, 1)
    """What width and height are multiples of, where neighbours share their colour."""
    smallest: int = 1
    """The smallest side that OpenCV can convert: of less, it makes black."""
    planar: bool = False
    """Whether the colours follow the picture, as half as many rows again."""


# ROS calls a Bayer pattern by its first four pixels, OpenCV by the second and third of the second
# row. Generic types have OpenCV's order, and the YUV ones OpenCV's (BT.601) coefficients.
ENCODINGS = {
    'mono8': Encoding(1),
    'mono16': Encoding(1, size=2),
    '8UC1': Encoding(1),
    '8UC3': Encoding(3),
    '8UC4': Encoding(4, cv2.COLOR_BGRA2BGR),
    'uyvy': Encoding(2, cv2.COLOR_YUV2BGR_UYVY, multiple=(2, 1)),
    'yuv422': Encoding(2, cv2.COLOR_YUV2BGR_UYVY, multiple=(2, 1)),
    'yuyv': Encoding(2, cv2.COLOR_YUV2BGR_YUY2, multiple=(2, 1)),
    'yuv422_yuy2': Encoding(2, cv2.COLOR_YUV2BGR_YUY2, multiple=(2, 1)),
    'nv12': Encoding(1, cv2.COLOR_YUV2BGR_NV12, multiple=(2, 2), planar=True),
    'nv21': Encoding(1, cv2.COLOR_YUV2BGR_NV21, multiple=(2, 2), planar=True),
}
for _bits in (8, 16):
    ENCODINGS |= {
        f'bgr{_bits}': Encoding(3, size=_bits // 8),
        f'rgb{_bits}': Encoding(3, cv2.COLOR_RGB2BGR, _bits // 8),
        f'bgra{_bits}': Encoding(4, cv2.COLOR_BGRA2BGR, _bits // 8),
        f'rgba{_bits}': Encoding(4, cv2.COLOR_RGBA2BGR, _bits // 8),
        f'bayer_rggb{_bits}': Encoding(1, cv2.COLOR_BayerBG2BGR, _bits // 8, smallest=3),
        f'bayer_bggr{_bits}': Encoding(1, cv2.COLOR_BayerRG2BGR, _bits // 8, smallest=3),
        f'bayer_gbrg{_bits}': Encoding(1, cv2.COLOR_BayerGR2BGR, _bits // 8, smallest=3),
        f'bayer_grbg{_bits}': Encoding(1, cv2.COLOR_BayerGB2BGR, _bits // 8, smallest=3),
    }


def from_image_msg(message: Image) -> Array:
    """
    Return the picture of an uncompressed message.

    Samples of 16 bits are scaled to 8. The array may share the message's memory: copy it before
    drawing on it.

    :raises DepthImageError: if the message holds distances
    :raises ImageError: if its encoding, size, step and data do not fit together
    """
    name, width, step = message.encoding, message.width, message.step
    _refuse_depth(name)
    if (encoding := ENCODINGS.get(name)) is None:
        raise ImageError(
            f'encoding {name!r} is not supported; use one of {", ".join(sorted(ENCODINGS))}'
        )
    _check_size(width, message.height, name, encoding)
    pixel = encoding.channels * encoding.size
    if step < width * pixel:
        raise ImageError(
            f'step {step} is too small: {width} pixels of {name} take {width * pixel} bytes'
        )
    rows = message.height * 3 // 2 if encoding.planar else message.height
    if len(message.data) < rows * step:
        raise ImageError(
            f'data is truncated: it has {len(message.data)} bytes, and {rows} rows with a step of '
            f'{step} take {rows * step}'
        )
    samples: npt.NDArray[Any] = np.ndarray(
        (rows, width, encoding.channels),
        f'{">" if message.is_bigendian else "<"}u{encoding.size}',
        message.data,
        strides=(step, pixel, encoding.size),
    )
    if encoding.channels == 1:
        samples = samples[..., 0]
    if encoding.size == 2:
        samples = cv2.convertScaleAbs(np.ascontiguousarray(samples, np.uint16), alpha=255 / 65535)
    if encoding.conversion is not None:
        samples = cv2.cvtColor(samples, encoding.conversion)
    return np.ascontiguousarray(samples)


def from_compressed_msg(message: CompressedImage) -> Array:
    """
    Return the picture of a compressed message: JPEG or PNG, of any format of image_transport.

    The data say which of the two it is; the format is asked only for what they cannot say. As
    everywhere in ROS, a picture is not turned by what its metadata say.

    :raises DepthImageError: if the message holds distances
    :raises ImageError: if the data are empty, cut short, damaged as far as can be told, or of
        another kind
    """
    source, _, codec = message.format.partition(';')
    target = codec.partition('compressed')[2].strip()
    _refuse_depth('compressedDepth' if 'compressedDepth' in codec else source)
    data = bytes(message.data)
    if data.startswith(b'\xff\xd8'):
        width, height = _jpeg_size(data)
    elif data.startswith(b'\x89PNG\r\n\x1a\n') and len(data) >= 24:
        width, height = struct.unpack_from('>II', data, 16)
    else:
        raise ImageError(
            f'data is neither JPEG nor PNG: it has {len(data)} bytes, the first are '
            f'"{data[:8].hex(" ")}", and its format is {message.format!r}'
        )
    # image_transport names a target for what it converts before it compresses. Without one, a
    # mosaic is still a mosaic, and a colour picture was compressed as if it were BGR.
    unconverted = codec != '' and target == ''
    mosaic = unconverted and source.startswith('bayer_') and source in ENCODINGS
    encoding = ENCODINGS[source] if mosaic else ENCODINGS['mono8']
    _check_size(width, height, message.format, encoding)
    try:
        picture = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error as error:
        raise ImageError(f'data cannot be decoded: {error}') from error
    if picture is None:
        raise ImageError(f'data is damaged: its {len(data)} bytes cannot be decoded')
    if picture.ndim == 2 and encoding.conversion is not None:
        picture = cv2.cvtColor(picture, encoding.conversion)
    elif unconverted and picture.ndim == 3 and source.startswith(('rgb', 'bgr')):
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cast(Array, picture)


def to_image_msg(picture: Array, header: Header, encoding: str) -> Image:
    """
    Return a message that holds a picture, which must be in the encoding already.

    :param picture: uint8, (H, W) or (H, W, C), at least one pixel
    :param header: goes into the message as it is
    :param encoding: an encoding of 8-bit samples that lie together, such as bgr8 or mono8
    :raises ImageError: if the picture and the encoding do not fit together
    """
    layout = ENCODINGS.get(encoding)
    channels = picture.shape[2] if picture.ndim == 3 else 1
    if (
        layout is None
        or layout.planar
        or (layout.channels, layout.size) != (channels, 1)
        or picture.dtype != np.uint8
        or picture.ndim not in (2, 3)
    ):
        raise ImageError(
            f'an array of {picture.dtype} with shape {picture.shape} is no picture in {encoding}'
        )
    _check_size(picture.shape[1], picture.shape[0], encoding, layout)
    # Only an array.array passes rclpy's setter without a look at every single byte.
    data = array('B')
    data.frombytes(np.ascontiguousarray(picture).data)
    return Image(
        header=header,
        height=picture.shape[0],
        width=picture.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=picture.shape[1] * channels,
        data=data,
    )


def _refuse_depth(encoding: str) -> None:
    if encoding in ('16UC1', '32FC1', 'compressedDepth'):  # as REP 118 has it
        raise DepthImageError(
            f'encoding {encoding!r} is a depth image, which holds distances and cannot be '
            "classified; use the camera's colour or grey topic (a 16-bit grey camera should say "
            'mono16)'
        )


def _check_size(width: int, height: int, name: str, encoding: Encoding) -> None:
    size = f'size {width} x {height} (width x height)'
    if min(width, height) < encoding.smallest:
        raise ImageError(
            f'{size} is too small: {name} needs at least {encoding.smallest} on each side'
        )
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise ImageError(
            f'{size} is too large: at most {MAX_SIDE} on a side and {MAX_PIXELS} pixels are taken'
        )
    if width % encoding.multiple[0] or height % encoding.multiple[1]:
        raise ImageError(
            f'{size} is odd: {name} needs multiples of {encoding.multiple[0]} and '
            f'{encoding.multiple[1]}'
        )


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """
    Return the width and height of a JPEG, having made sure that it has an end.

    The decoder of older OpenCVs fills what is missing with grey and says nothing.
    """
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # SOFn; not DHT, JPG, DAC
            if data.find(b'\xff\xd9', at) < 0:
                raise ImageError(
                    f'data is truncated: its {len(data)} bytes hold no end of the JPEG picture'
                )
            height, width = struct.unpack_from('>HH', data, at + 5)
            return width, height
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
    raise ImageError(
        f'data is damaged or truncated: its {len(data)} bytes hold no header of a JPEG picture'
    )
