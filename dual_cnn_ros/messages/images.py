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

An array is uint8, C-contiguous, (H, W, 3) in BGR order or (H, W) grey. Messages are read by the
names of their fields, so those of rclpy and of rosbags convert alike, and no ROS is imported.

A message is checked before a pixel of it is read: one that does not hold the image it declares
raises ImageError; it is never read out of bounds. Damage between the header and the end of a JPEG
cannot be detected: JPEG has no checksum, as PNG has, and OpenCV does not pass on the warnings of
its decoder. Such an image is partly made up.

The conversions are OpenCV's, called here and not through cv_bridge or rosbags-image. Of what
cameras publish, cv_bridge converts none of uyvy, yuyv, nv12, nv21, 8UC1 and 8UC3 to BGR, shears an
image whose step is not a whole number of pixels, and cannot be loaded under a NumPy it was not
built for; rosbags-image ignores the step and misreads nv12 and nv21.
"""

from __future__ import annotations

from array import array
from dataclasses import is_dataclass
import struct
from typing import Any, cast, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.frame import Image, twice_if_lone
from dual_cnn_ros.cascade.needs import Needs

# No robot's camera comes near these. Some of OpenCV's loops count columns in 16 bits, and a
# compressed image of a few bytes can declare any size.
MAX_SIDE = 32767
MAX_PIXELS = 100_000_000

# For each number of halvings, of which the decoder of JPEG can do so many at once.
REDUCED = (
    0,
    cv2.IMREAD_REDUCED_GRAYSCALE_2,
    cv2.IMREAD_REDUCED_GRAYSCALE_4,
    cv2.IMREAD_REDUCED_GRAYSCALE_8,
)

# What sensors have.
SAMPLE_BITS = (10, 12, 14, 16)


class ImageError(ValueError):
    """A message does not hold an image; the text says what is wrong and what is expected."""


class DepthImageError(ImageError):
    """A message holds distances, which no conversion turns into an image."""


class Encoding(NamedTuple):
    """
    The layout of the samples of one encoding, and their conversion to BGR or grey.

    Attributes
    ----------
    channels
        Samples per pixel in a row.
    conversion
        OpenCV's conversion to BGR; None for samples that are BGR or grey already.
    size
        Bytes per sample.
    multiple
        What width and height must be multiples of, where neighbours share their colour.
    smallest
        The smallest side that OpenCV can convert: it turns smaller images black.
    planar
        Whether the colours follow the brightness, as half as many rows again.

    """

    channels: int
    conversion: int | None = None
    size: int = 1
    multiple: tuple[int, int] = (1, 1)
    smallest: int = 1
    planar: bool = False


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


class SampleDepth:
    """
    How many bits the 16-bit samples of one camera hold, and their conversion to 8.

    Many sensors have 10, 12 or 14, and fill 16 with zeros from above; nothing in a message says
    so, and taken for 16 they are nearly black.

    Parameters
    ----------
    bits
        The number; 0 to take the least of 10, 12, 14 and 16 that holds all samples so far.

    Attributes
    ----------
    given
        The number that was given.
    bits
        The number in use; 0 before the first image.

    """

    def __init__(self, bits: int = 0) -> None:
        self.given = self.bits = bits

    @property
    def warning(self) -> str:
        """What was estimated, for people; empty where nothing was, or where it is all 16 bits."""
        if self.given or self.bits in (0, 16):
            return ''
        return f'its 16-bit samples seem to hold {self.bits} bits, and are scaled by that'

    def to_8_bits(self, samples: npt.NDArray[np.uint16]) -> Image:
        """Return samples, uint16 of any shape, scaled to uint8; what is above the range is 255."""
        if not self.given:
            needed = int(samples.max(initial=0)).bit_length()
            self.bits = max(self.bits, next(bits for bits in SAMPLE_BITS if bits >= needed))
        shape = samples.shape
        # Of more channels than four, OpenCV takes none.
        flat = np.ascontiguousarray(samples).reshape(shape[0], -1)
        return cv2.convertScaleAbs(flat, alpha=255 / (2**self.bits - 1)).reshape(shape)


def from_image_msg(message: Any, depth: SampleDepth | None = None) -> Image:
    """
    Return the image of a message with the fields of a sensor_msgs/msg/Image.

    The array may share the message's memory: copy it before drawing on it.

    Parameters
    ----------
    message
        The message.
    depth
        What is known of the camera's 16-bit samples; None to judge by this image alone.

    Raises
    ------
    DepthImageError
        If the message holds distances.
    ImageError
        If its encoding, size, step and data do not fit together.

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
        samples = np.ascontiguousarray(samples, np.uint16)
    if encoding.conversion is not None:
        columns = samples.shape[1]
        samples = cv2.cvtColor(twice_if_lone(samples), encoding.conversion)[:, :columns]
    if encoding.size == 2:
        samples = (depth or SampleDepth()).to_8_bits(samples)
    return np.ascontiguousarray(samples)


def from_compressed_msg(
    message: Any, depth: SampleDepth | None = None, needs: Needs | None = None
) -> Image:
    """
    Return the image of a message with the fields of a sensor_msgs/msg/CompressedImage.

    Its data are JPEG or PNG, its format any of image_transport.

    The data say which of the two it is; the format is asked only for what they cannot say. As
    everywhere in ROS, an image is not turned by its EXIF data.

    Parameters
    ----------
    message
        The message.
    depth
        See `from_image_msg`.
    needs
        What of the image is needed: a JPEG is decoded to a half, a quarter or an eighth of its
        size, and in grey, where that is enough. None for all of it.

    Raises
    ------
    DepthImageError
        If the message holds distances.
    ImageError
        If the data are empty, cut short, damaged as far as can be told, or of another kind.

    """
    source, _, codec = message.format.partition(';')
    target = codec.partition('compressed')[2].strip()
    _refuse_depth('compressedDepth' if 'compressedDepth' in codec else source)
    data = bytes(message.data)
    is_jpeg = data.startswith(b'\xff\xd8')
    if is_jpeg:
        width, height = check_jpeg(data)
    elif data.startswith(b'\x89PNG\r\n\x1a\n') and len(data) >= 24:
        width, height = struct.unpack_from('>II', data, 16)
    else:
        raise ImageError(
            f'data is neither JPEG nor PNG: it has {len(data)} bytes, the first are '
            f'"{data[:8].hex(" ")}", and its format is {message.format!r}'
        )
    # image_transport names a target for what it converts before it compresses. Without one, a
    # mosaic is still a mosaic, and a colour image was compressed as if it were BGR.
    unconverted = codec != '' and target == ''
    mosaic = unconverted and source.startswith('bayer_') and source in ENCODINGS
    encoding = ENCODINGS[source] if mosaic else ENCODINGS['mono8']
    _check_size(width, height, message.format, encoding)
    is_swapped = unconverted and source.startswith(('rgb', 'bgr'))
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    if needs is None or not is_jpeg or mosaic:
        flags |= cv2.IMREAD_ANYCOLOR
    else:
        flags |= REDUCED[min(needs.halvings(height, width), len(REDUCED) - 1)]
        # Of exchanged colours, grey is another one.
        flags |= 0 if needs.is_grey and not is_swapped else cv2.IMREAD_ANYCOLOR
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f'data cannot be decoded: {error}') from error
    if image is None:
        raise ImageError(f'data is damaged: its {len(data)} bytes cannot be decoded')
    if image.dtype == np.uint16:
        image = (depth or SampleDepth()).to_8_bits(image)
    if image.ndim == 2 and encoding.conversion is not None:
        image = cv2.cvtColor(image, encoding.conversion)
    elif is_swapped and image.ndim == 3:
        image = cv2.cvtColor(twice_if_lone(image), cv2.COLOR_RGB2BGR)[:, : image.shape[1]]
    return cast(Image, image)


def to_image_msg(image: Image, header: Any, encoding: str, message_class: type) -> Any:
    """
    Return a message that holds an image, which must be in the encoding already.

    Parameters
    ----------
    image
        uint8, (H, W) or (H, W, C), at least one pixel.
    header
        Goes into the message as it is.
    encoding
        An encoding of 8-bit samples that lie together, such as bgr8 or mono8.
    message_class
        The class of sensor_msgs/msg/Image, of rclpy or of rosbags.

    Raises
    ------
    ImageError
        If the image and the encoding do not fit together.

    """
    layout = ENCODINGS.get(encoding)
    channels = image.shape[2] if image.ndim == 3 else 1
    if (
        layout is None
        or layout.planar
        or (layout.channels, layout.size) != (channels, 1)
        or image.dtype != np.uint8
        or image.ndim not in (2, 3)
    ):
        raise ImageError(
            f'an array of {image.dtype} with shape {image.shape} is no image in {encoding}'
        )
    _check_size(image.shape[1], image.shape[0], encoding, layout)
    samples = np.ascontiguousarray(image).reshape(-1)
    # rosbags' classes, which are dataclasses, hold NumPy arrays; of rclpy's, only an array.array
    # passes the setter without a look at every single byte.
    data: Any = samples
    if not is_dataclass(message_class):
        data = array('B')
        data.frombytes(samples.data)
    return message_class(
        header=header,
        height=image.shape[0],
        width=image.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=image.shape[1] * channels,
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


def check_jpeg(data: bytes) -> tuple[int, int]:
    """
    Return the width and height of a JPEG, having made sure that it has an end.

    The decoder of older OpenCVs fills what is missing with grey and says nothing. What follows
    the end, as the film of a motion photo does, is no part of the picture.

    Raises
    ------
    ImageError
        If it is damaged or cut short.

    """
    at, width, height, has_size = 2, 0, 0, False
    while 0 <= (at := data.find(b'\xff', at)) <= len(data) - 4:
        marker = data[at + 1]
        if marker == 0xDA and has_size:
            # Within a scan, no byte after 0xFF is that of a marker.
            # From behind, where it is.
            if data.rfind(b'\xff\xd9', at) < 0:
                raise ImageError(
                    f'data is truncated: its {len(data)} bytes hold no end of the JPEG image'
                )
            return width, height
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # SOFn; not DHT, JPG, DAC
            if len(data) < at + 9:
                break
            height, width = struct.unpack_from('>HH', data, at + 5)
            has_size = True
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
    raise ImageError(
        f'data is damaged or truncated: its {len(data)} bytes hold no header of a JPEG image'
    )
