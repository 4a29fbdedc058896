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

"""Labelled pictures from a folder or a tar, and the part of them that training never sees."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
import hashlib
from itertools import islice
import lzma
import os
from pathlib import Path, PurePosixPath
import tarfile
import zlib

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dual_cnn_ros.cascade.frame import COLOURS, Frame, Image

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')


class DatasetError(ValueError):
    """The data cannot be used as they are; the message names what is wrong and what to do."""


@dataclass(frozen=True)
class Reduction:
    """The size, crop and channel order in which pictures are read, as in Preprocessing."""

    height: int
    width: int
    crop: float | None
    colour: str

    def __call__(self, image: Image) -> Image:
        """Return uint8 (C, height, width): Preprocessing's blob before its mean and std."""
        pixels = Frame(image).reduced(self.height, self.width, self.crop)
        if self.colour == 'grey':
            return cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)[np.newaxis]
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[list(COLOURS[self.colour])])


@dataclass(frozen=True)
class Part:
    """
    Pictures in the order of their names.

    images: uint8 (N, C, H, W). labels: int64 (N,), class indices. names: '<class>/<file>'.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """One split in two parts. skipped: the names of pictures that could not be decoded."""

    classes: tuple[str, ...]
    training: Part
    held_out: Part
    skipped: tuple[str, ...]
    excluded: int


def is_held_out(name: str, fraction: float, seed: int) -> bool:
    """Return whether the picture '<class>/<file>' is held out; the same on every machine."""
    digest = hashlib.sha256(f'{seed}:{name}'.encode()).digest()
    return int.from_bytes(digest[:8], 'big') < fraction * 2**64


def read_names(path: Path) -> frozenset[str]:
    """Return the lines of a text file, without blank ones and those that begin with #."""
    lines = (line.strip() for line in path.read_text(encoding='utf-8').splitlines())
    return frozenset(line for line in lines if line and not line.startswith('#'))


def load(
    path: Path,
    *,
    training: Reduction,
    held_out: Reduction,
    split: str | None = None,
    holdout: float = 0.0,
    seed: int = 0,
    labels: Sequence[str] | None = None,
    exclude: Collection[str] = (),
) -> Dataset:
    """
    Read and decode one split of a folder or a tar (plain, gz, bz2 or xz).

    path: holds `<split>/<class>/<file>`, or `<class>/<file>` and is then itself the split.
    training, held_out: how the pictures of either part are reduced. split: 'train' where there are
    several and none is named. holdout, seed: the part that is held out, see is_held_out. labels:
    the classes that are expected, in any order. exclude: names `<class>/<file>` or
    `<split>/<class>/<file>` to leave out. Raise DatasetError for unreadable data, an unknown
    split, an empty class, and classes that differ from those of another split or from labels.
    """
    with _readable(path):
        listing = _list(path)
        classes, members = _select(path, listing, split, labels)
        names = {member: '/'.join(PurePosixPath(member).parts[-2:]) for member in members}
        wanted = {
            member: name
            for member, name in names.items()
            if name not in exclude and member not in exclude
        }

        def decode(item: tuple[str, bytes]) -> tuple[str, bool, Image | None]:
            name = wanted[item[0]]
            held = is_held_out(name, holdout, seed)
            image = decode_picture(item[1])
            return name, held, None if image is None else (held_out if held else training)(image)

        read = contents(path, wanted)
        skipped: list[str] = []
        parts: tuple[dict[str, Image], dict[str, Image]] = ({}, {})
        with (
            ThreadPoolExecutor() as pool,
            tqdm(total=len(wanted), desc=f'reading {path.name}', unit='img', disable=None) as bar,
        ):
            # In portions, because map would take all of a large tar into memory at once.
            while portion := list(islice(read, 256)):
                for name, held, image in pool.map(decode, portion):
                    if image is None:
                        skipped.append(name)
                    else:
                        parts[held][name] = image
                bar.update(len(portion))

    for label in classes:
        if not any(name.startswith(label + '/') for name in parts[False]):
            raise DatasetError(
                f'{path}: class {label!r} has no picture to train on (skipped as '
                'corrupt, excluded or held out); add pictures or remove the class'
            )
    return Dataset(
        classes,
        _part(parts[False], classes, training),
        _part(parts[True], classes, held_out),
        tuple(sorted(skipped)),
        len(names) - len(wanted),
    )


def _part(images: dict[str, Image], classes: Sequence[str], reduction: Reduction) -> Part:
    names = tuple(sorted(images))
    shape = (len(COLOURS[reduction.colour]), reduction.height, reduction.width)
    stack = np.empty((len(names), *shape), np.uint8)
    for place, name in zip(stack, names):
        place[:] = images.pop(name)
    labels = [classes.index(name.split('/')[0]) for name in names]
    return Part(stack, np.array(labels, np.int64), names)


def choose_split(path: Path, named: str | None, usual: str) -> str | None:
    """Return the split that is named, else the usual one where there are several, else None."""
    files = () if named else pictures(path)
    splits = {file.split('/')[0] for file in files if file.count('/') == 2}
    return named or (usual if len(splits) > 1 else None)


def pictures(path: Path) -> tuple[str, ...]:
    """Return the pictures of a folder or a tar, by their paths in it; DatasetError if neither."""
    with _readable(path):
        return _list(path).files


def contents(path: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """
    Yield the wanted pictures of a folder or a tar, each with its encoded bytes.

    They come in the order of wanted from a folder, in its own from a tar.
    """
    with _readable(path):
        yield from (_read_folder if path.is_dir() else _read_tar)(path, wanted)


def identity(path: Path) -> str:
    """
    Return a digest that changes when the pictures of a folder, or a tar, are changed.

    It is made of names, sizes and times of change, because reading all takes as long as using it.
    """
    names = _list_folder(path).files if path.is_dir() else ('',)
    states = [(name, (path / name).stat()) for name in names]
    return hashlib.sha256(
        repr([(name, state.st_size, state.st_mtime_ns) for name, state in states]).encode()
    ).hexdigest()


@dataclass(frozen=True)
class _Listing:
    """Paths relative to the data's root, with slashes; files are pictures only."""

    files: tuple[str, ...]
    folders: frozenset[str]


def _listing(files: Iterable[str], folders: Iterable[str]) -> _Listing:
    """Leave out what is hidden or no picture, and name the folders that only files imply."""

    def visible(path: PurePosixPath) -> bool:
        return bool(path.parts) and not any(part.startswith('.') for part in path.parts)

    pictures = [
        path
        for path in map(PurePosixPath, files)
        if visible(path) and path.suffix.lower() in SUFFIXES
    ]
    named = {path for path in map(PurePosixPath, folders) if visible(path)}
    for path in pictures:
        named.update(path.parents[:-1])
    return _Listing(tuple(sorted(map(str, pictures))), frozenset(map(str, named)))


def _select(
    path: Path, listing: _Listing, split: str | None, labels: Sequence[str] | None
) -> tuple[tuple[str, ...], list[str]]:
    """Return the classes, sorted, and the pictures of the split; check the layout."""
    depths = {file.count('/') for file in listing.files}
    if depths != {1} and depths != {2}:
        raise DatasetError(
            f'{path}: expected pictures as <split>/<class>/<file> or '
            f'<class>/<file>, found {_some(listing.files) or "none"}'
        )
    depth = depths.pop()
    classes: dict[str, set[str]] = {}
    for folder in sorted(listing.folders):
        parts = folder.split('/')
        if len(parts) == depth:
            classes.setdefault('/'.join(parts[:-1]), set()).add(parts[-1])
    if depth == 1:
        if split is not None:
            raise DatasetError(
                f'{path} holds <class>/<file> and is one split by itself, so there '
                f'is no split {split!r} to choose'
            )
        chosen = ''
    else:
        chosen = split or (next(iter(classes)) if len(classes) == 1 else 'train')
        if chosen not in classes:
            raise DatasetError(f'{path} has no split {chosen!r}; choose of {", ".join(classes)}')
    for other, found in classes.items():
        _same(f'{path}: split {other!r}', found, f'split {chosen!r}', classes[chosen])
    if labels is not None:
        _same(str(path), classes[chosen], 'the given labels', set(labels))
    prefix = f'{chosen}/' if chosen else ''
    members = [file for file in listing.files if file.startswith(prefix)]
    for label in sorted(classes[chosen]):
        if not any(file.startswith(f'{prefix}{label}/') for file in members):
            raise DatasetError(
                f'{path}: class {prefix + label!r} is empty; '
                'add pictures to its folder or remove it'
            )
    if len(classes[chosen]) < 2:
        raise DatasetError(
            f'{path}: a classifier needs two classes or more, '
            f'found only {_some(sorted(classes[chosen]))}'
        )
    return tuple(sorted(classes[chosen])), members


def _same(where: str, found: set[str], reference: str, expected: set[str]) -> None:
    if found != expected:
        raise DatasetError(
            f'{where} has {len(found)} classes and {reference} {len(expected)}: '
            f'missing {_some(sorted(expected - found)) or "none"}, '
            f'unexpected {_some(sorted(found - expected)) or "none"}'
        )


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError, zlib.error) as error:
        raise DatasetError(
            f'{path} is no readable folder or tar (plain, gz, bz2, xz): {error}'
        ) from error


def _list(path: Path) -> _Listing:
    return _list_folder(path) if path.is_dir() else _list_tar(path)


def _list_folder(path: Path) -> _Listing:
    files: list[str] = []
    folders: list[str] = []
    # Followed, because large data sets are commonly put together from links.
    for root, subfolders, names in os.walk(path, followlinks=True):
        here = Path(root).relative_to(path)
        folders += [(here / name).as_posix() for name in subfolders]
        files += [(here / name).as_posix() for name in names]
    return _listing(files, folders)


def _read_folder(path: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    for member in wanted:
        yield member, (path / member).read_bytes()


def _list_tar(path: Path) -> _Listing:
    files: list[str] = []
    folders: list[str] = []
    with tarfile.open(path) as tar:
        for member in tar:
            if member.isfile():
                files.append(member.name)
            elif member.isdir():
                folders.append(member.name)
    return _listing(files, folders)


def _read_tar(path: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as tar:
        for member in tar:
            # A tar made of '.' names its members './class/file'.
            name = str(PurePosixPath(member.name))
            if name in wanted and (file := tar.extractfile(member)) is not None:
                yield name, file.read()


def decode_picture(data: bytes) -> Image | None:
    """
    Return the picture in a file, (H, W, 3) BGR, or None where it is damaged.

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
