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
Our conversions and those of cv_bridge agree to the last bit on every encoding that both know.

They differ where that is meant: see the last two tests.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from dual_cnn_ros.messages.images import (
    ENCODINGS,
    from_compressed_msg,
    from_image_msg,
    SampleDepth,
    to_image_msg,
)

try:
    import cv_bridge
except ImportError as error:
    pytest.skip(f'cv_bridge cannot be imported: {error}', allow_module_level=True)

HEIGHT, WIDTH = 36, 52
# What cv_bridge must know in every distribution, for this test to have a meaning.
KNOWN = {'mono8', 'mono16', 'bgr8', 'rgb8', 'bgra8', 'rgba8', 'bgr16', 'rgb16', 'yuv422'}


def message_of(name: str, padding: int = 0) -> SimpleNamespace:
    """Return a message of random samples, whose rows end in so many bytes of padding."""
    encoding = ENCODINGS[name]
    rows = HEIGHT * 3 // 2 if encoding.planar else HEIGHT
    step = WIDTH * encoding.channels * encoding.size + padding
    data = np.random.default_rng(1).integers(0, 256, rows * step, np.uint8)
    return SimpleNamespace(
        height=HEIGHT, width=WIDTH, encoding=name, is_bigendian=0, step=step, data=data
    )


def theirs(message: Any) -> npt.NDArray[Any]:
    """Return what cv_bridge makes of a message; skip where it does not know the encoding."""
    name = message.encoding
    # Types without a meaning of their channels are taken as BGR here, and as they are there.
    is_generic = name.startswith('8UC')
    is_grey = ENCODINGS[name].channels == 1 and not name.startswith('bayer')
    wanted = 'passthrough' if is_generic else 'mono8' if is_grey else 'bgr8'
    try:
        image = cv_bridge.CvBridge().imgmsg_to_cv2(message, wanted)
    except cv_bridge.CvBridgeError as error:
        assert name not in KNOWN
        pytest.skip(f'cv_bridge does not know {name}: {error}')
    return image[..., :3] if image.ndim == 3 else image


@pytest.mark.parametrize('name', ENCODINGS)
def test_every_encoding_agrees(name: str) -> None:
    message = message_of(name)
    # cv_bridge takes all 16-bit samples to hold 16 bits.
    np.testing.assert_array_equal(from_image_msg(message, SampleDepth(16)), theirs(message))


@pytest.mark.parametrize('name', ['mono8', 'bgr8', 'rgba8', 'bgr16'])
def test_whole_pixels_of_padding_agree(name: str) -> None:
    encoding = ENCODINGS[name]
    message = message_of(name, padding=3 * encoding.channels * encoding.size)
    np.testing.assert_array_equal(from_image_msg(message, SampleDepth(16)), theirs(message))


@pytest.mark.parametrize('extension', ['.png', '.jpg'])
@pytest.mark.parametrize('channels', [1, 3])
def test_compressed_images_agree(extension: str, channels: int) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH, channels), np.uint8)
    data = cv2.imencode(extension, pixels)[1].reshape(-1)
    message = SimpleNamespace(format='', data=data)
    expected = cv_bridge.CvBridge().compressed_imgmsg_to_cv2(message)
    np.testing.assert_array_equal(from_compressed_msg(message), expected)


@pytest.mark.parametrize('encoding', ['mono8', 'bgr8'])
def test_messages_agree(encoding: str) -> None:
    pytest.importorskip('sensor_msgs')
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    shape = (HEIGHT, WIDTH) if encoding == 'mono8' else (HEIGHT, WIDTH, 3)
    pixels = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
    expected = cv_bridge.CvBridge().cv2_to_imgmsg(pixels, encoding)
    assert to_image_msg(pixels, Header(), encoding, Image) == expected


def test_samples_of_12_bits_are_scaled_here_only() -> None:
    message = message_of('mono16')
    message.data = (message.data.view('<u2') >> 4).view(np.uint8)
    assert from_image_msg(message).max() == 255
    assert theirs(message).max() == 16


def test_a_step_of_a_part_of_a_pixel_is_kept_here_only() -> None:
    """cv_bridge counts a row in whole pixels, and shifts each one that follows."""
    message, padded = message_of('bgr8'), message_of('bgr8', padding=2)
    rows = padded.data.reshape(HEIGHT, -1)
    rows[:, :-2] = message.data.reshape(HEIGHT, -1)
    np.testing.assert_array_equal(from_image_msg(padded), from_image_msg(message))
    assert not np.array_equal(theirs(padded), theirs(message))
