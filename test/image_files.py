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

"""Files of images in a folder or a tar, for tests of what reads them."""

from collections.abc import Mapping, Sequence
import io
from pathlib import Path
import struct
import tarfile

import cv2
import numpy as np


def plain(blue: int, green: int, red: int, height: int = 12, width: int = 16) -> np.ndarray:
    return np.full((height, width, 3), (blue, green, red), np.uint8)


def jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode('.jpg', image)[1].tobytes()


def exif(data: bytes) -> bytes:
    """Return a JPEG that says that it was stored on its side, as of a phone held upright."""
    tiff = struct.pack('<2sHIHHHIHHI', b'II', 42, 8, 1, 0x112, 3, 1, 6, 0, 0)
    segment = b'Exif\0\0' + tiff
    return data[:2] + struct.pack('>2sH', b'\xff\xe1', len(segment) + 2) + segment + data[2:]


def two_classes(count: int = 3, prefix: str = '') -> dict[str, bytes]:
    return {
        f'{prefix}{label}/{number}.jpg': jpeg(plain(*colour))
        for label, colour in (('wood', (0, 200, 40)), ('brick', (0, 40, 200)))
        for number in range(count)
    }


def put(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def tar_of(
    path: Path,
    files: Mapping[str, bytes],
    folders: Sequence[str] = (),
    mode: str = 'w',
    prefix: str = '',
) -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for folder in folders:
            member = tarfile.TarInfo(prefix + folder)
            member.type = tarfile.DIRTYPE
            tar.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path
