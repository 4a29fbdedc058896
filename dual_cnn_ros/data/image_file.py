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

"""One file that holds a picture: how it is known, and its pixels, turned upright."""

from __future__ import annotations

from io import BytesIO
import re

import cv2
import numpy as np

from dual_cnn_ros.cascade.frame import Image
from dual_cnn_ros.messages.images import check_jpeg, ImageError, SampleDepth

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')

_BEGINNINGS = {
    'jpeg': rb'\xff\xd8\xff',
    'png': rb'\x89PNG\r\n\x1a\n',
    'webp': rb'RIFF....WEBP',
    'tiff': rb'II\*\0|MM\0\*',
    'bmp': rb'BM....\0\0\0\0',
    'pnm': rb'P[1-6]\s+[#\d]',
}
BEGINNING_BYTES = 16
"""So much of a file tells its format."""

# What OpenCV does to turn a picture by EXIF's number, from https://exiftool.org/TagNames/EXIF.html.
_EXIF_ORIENTATION = 0x112
_MIRRORED = {2, 4, 5, 7}
_TURNS = {
    3: cv2.ROTATE_180,
    4: cv2.ROTATE_180,
    5: cv2.ROTATE_90_COUNTERCLOCKWISE,
    6: cv2.ROTATE_90_CLOCKWISE,
    7: cv2.ROTATE_90_CLOCKWISE,
    8: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
_EXIF = re.compile(rb'Exif\0|eXIf|EXIF')


def picture_format(data: bytes) -> str:
    """Return jpeg, png, webp, tiff, bmp or pnm by the first bytes of a file; '' for another."""
    for name, beginning in _BEGINNINGS.items():
        if re.match(beginning, data[:BEGINNING_BYTES], re.DOTALL):
            return name
    return ''


def orientation(data: bytes) -> int:
    """
    Return the number by which the EXIF data of a JPEG, PNG or WebP say how it is turned.

    It is 1 for a picture that is upright, or that does not say. OpenCV reads it from some of these
    formats, depending on its version; it always turns a TIFF by itself.
    """
    # Nearly all have none, and to look for it is much faster than to open them.
    if picture_format(data) not in ('jpeg', 'png', 'webp') or not _EXIF.search(data):
        return 1
    from PIL.Image import open as open_picture

    try:
        with open_picture(BytesIO(data)) as picture:
            number = picture.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # of many kinds, for what OpenCV may be able to read all the same
        return 1
    return number if number in _TURNS or number in _MIRRORED else 1


def decode_image(data: bytes) -> Image | None:
    """
    Return the image in a file, uint8 (H, W, 3) BGR, or None where it is damaged.

    Samples of 16 bits are scaled by what those of the image hold; others than integers count as
    damage. It is turned as its EXIF data say, because a phone stores what it saw on its side that
    way.
    """
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        if picture_format(data) == 'jpeg':
            # OpenCV fills what is missing with grey and succeeds.
            check_jpeg(data)
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except (cv2.error, ImageError):
        return None
    if image is None or image.dtype not in (np.uint8, np.uint16):
        return None
    if image.dtype == np.uint16:
        image = SampleDepth().to_8_bits(image)
    number = orientation(data)
    if number in _MIRRORED:
        image = cv2.flip(image, 1)
    if number in _TURNS:
        image = cv2.rotate(image, _TURNS[number])
    return np.asarray(image, np.uint8)
