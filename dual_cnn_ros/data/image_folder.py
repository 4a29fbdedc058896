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

"""Image files in a folder or a tar: which there are, which belong to a split, and their bytes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
import hashlib
import lzma
import os
from pathlib import Path, PurePosixPath
import tarfile
import zlib

import cv2
import numpy as np

from dual_cnn_ros.cascade.frame import Image
from dual_cnn_ros.data import DataError

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')


class ImageFolder:
    """
    The images of a folder or of a tar (plain, gz, bz2 or xz), by their paths in it.

    Image files are those with one of IMAGE_SUFFIXES, unless they or a folder above them are
    hidden. Nothing is read before it is asked for.

    Parameters
    ----------
    path
        The folder or the tar. Where every image lies in `<split>/<class>/`, it has splits.

    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of the images, sorted, with slashes; DataError if they cannot be read."""
        return self._listing[0]

    @property
    def folders(self) -> frozenset[str]:
        """The paths of all folders, those without images included."""
        return self._listing[1]

    @cached_property
    def _listing(self) -> tuple[tuple[str, ...], frozenset[str]]:
        with _readable(self.path):
            names, folder_names = (_walk if self.path.is_dir() else _list_tar)(self.path)
        files = [
            file
            for file in map(PurePosixPath, names)
            if _is_visible(file) and file.suffix.lower() in IMAGE_SUFFIXES
        ]
        folders = {folder for folder in map(PurePosixPath, folder_names) if _is_visible(folder)}
        for file in files:
            folders.update(file.parents[:-1])  # a tar need not name them
        return tuple(sorted(map(str, files))), frozenset(map(str, folders))

    def choose_split(self, named: str | None, usual: str) -> str | None:
        """
        Return the split to use: the named one, else the only one, else the usual one.

        It is None where there are no splits: all images are one then.

        Raises
        ------
        DataError
            If there is no such split.

        """
        splits = sorted({file.split('/')[0] for file in self.files if file.count('/') == 2})
        if named is None and len(splits) < 2:
            return splits[0] if splits else None
        if (chosen := named or usual) not in splits:
            raise DataError(
                f'{self.path} has no split {chosen!r}; choose of {", ".join(splits)}'
                if splits
                else f'{self.path} has no split {chosen!r}: it is one split by itself'
            )
        return chosen

    def select(self, split: str | None, exclude: Collection[str] = ()) -> list[str]:
        """Return the files of a split but those whose path or image_name is to be excluded."""
        return [
            file
            for file in self.files
            if (split is None or file.startswith(f'{split}/'))
            and file not in exclude
            and image_name(file) not in exclude
        ]

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """
        Yield the wanted files with their bytes.

        A folder yields them in the order of `wanted`, a tar in its own.
        """
        with _readable(self.path):
            if self.path.is_dir():
                for name in wanted:
                    yield name, (self.path / name).read_bytes()
                return
            with tarfile.open(self.path) as tar:
                for member in tar:
                    # A tar made of '.' names its members './class/file'.
                    name = str(PurePosixPath(member.name))
                    if name in wanted and (file := tar.extractfile(member)) is not None:
                        yield name, file.read()

    def identity(self) -> str:
        """
        Return a digest that changes when images are changed.

        It is made of names, sizes and times of change, because reading all images takes as long as
        classifying them.
        """
        names = self.files if self.path.is_dir() else ('',)
        states = [(name, (self.path / name).stat()) for name in names]
        return hashlib.sha256(
            repr([(name, state.st_size, state.st_mtime_ns) for name, state in states]).encode()
        ).hexdigest()


def image_name(file: str) -> str:
    """Return '<class>/<file>' of the path of an image in its folder."""
    return '/'.join(file.split('/')[-2:])


def decode_image(data: bytes) -> Image | None:
    """
    Return the image in a file, uint8 (H, W, 3) BGR, or None where it is damaged.

    It is turned as its EXIF data say, because a phone stores what it saw on its side that way.
    """
    # OpenCV fills the missing end of a JPEG with grey and succeeds. The last scan of a whole one
    # is followed by an end marker; inside of a scan neither marker can occur.
    if data.startswith(b'\xff\xd8') and data.rfind(b'\xff\xd9') < data.rfind(b'\xff\xda'):
        return None
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if image is None else np.asarray(image, np.uint8)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError, zlib.error) as error:
        raise DataError(
            f'{path} is no readable folder or tar (plain, gz, bz2, xz): {error}'
        ) from error


def _is_visible(path: PurePosixPath) -> bool:
    return bool(path.parts) and not any(part.startswith('.') for part in path.parts)


def _walk(path: Path) -> tuple[list[str], list[str]]:
    """Return all files and all folders of a folder."""
    files: list[str] = []
    folders: list[str] = []
    # Followed, because large data sets are commonly put together from links.
    for root, subfolders, names in os.walk(path, followlinks=True):
        here = Path(root).relative_to(path)
        folders += [(here / name).as_posix() for name in subfolders]
        files += [(here / name).as_posix() for name in names]
    return files, folders


def _list_tar(path: Path) -> tuple[list[str], list[str]]:
    """Return all files and all folders that a tar names."""
    with tarfile.open(path) as tar:
        members = list(tar)
    return [m.name for m in members if m.isfile()], [m.name for m in members if m.isdir()]
