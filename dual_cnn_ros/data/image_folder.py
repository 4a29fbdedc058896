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

"""Images in a folder or a tar: which there are, which belong to a split, and their bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
import hashlib
import lzma
import os
from pathlib import Path, PurePosixPath
import tarfile
from typing import NamedTuple
import zlib

from dual_cnn_ros.data import DataError
from dual_cnn_ros.data.image_file import BEGINNING_BYTES, IMAGE_SUFFIXES, picture_format
from dual_cnn_ros.files import composed

# What other systems put beside the files of a user, without hiding it.
FOREIGN_FOLDERS = ('__MACOSX', '@eaDir', '$RECYCLE.BIN', 'lost+found')


class _Entry(NamedTuple):
    """
    Something in a folder or a tar.

    Attributes
    ----------
    name
        Its path, with slashes, in Unicode's composed form.
    place
        Its path as the file system has it; in a tar, its offset.
    problem
        Why it cannot be used; empty where it can.
    is_folder
        Whether it is one.
    is_picture
        By its name or by its first bytes.

    """

    name: str
    place: str | int
    problem: str = ''
    is_folder: bool = False
    is_picture: bool = False


class _Listing(NamedTuple):
    places: dict[str, str | int]
    folders: frozenset[str]
    left_out: dict[str, str]


class ImageFolder:
    """
    The images of a folder or of a tar (plain, gz, bz2 or xz), by their paths in it.

    An image is what has one of IMAGE_SUFFIXES, or begins as a picture does, unless it or a folder
    above it is hidden. Images lie at one depth, at which most of them do; `left_out` names the
    others. Links are followed, but for those that lead back to where they lie. Names are in
    Unicode's composed form, in which two that look alike are equal. Nothing is read before it is
    asked for.

    Parameters
    ----------
    path
        The folder or the tar. Where images lie in `<split>/<class>/`, it has splits.

    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of the images, sorted, with slashes; DataError if they cannot be read."""
        return tuple(self._listing.places)

    @property
    def folders(self) -> frozenset[str]:
        """The paths of all folders with images, and of the empty ones."""
        return self._listing.folders

    @property
    def left_out(self) -> dict[str, str]:
        """What is none of the images though it may be meant as one, and why."""
        return self._listing.left_out

    @property
    def problems(self) -> list[str]:
        """What is left out, one text each."""
        return [f'{name} is left out: {why}' for name, why in self.left_out.items()]

    @cached_property
    def _listing(self) -> _Listing:
        with _readable(self.path):
            entries = list((_walk if self.path.is_dir() else _list_tar)(self.path))
        left_out = {e.name: e.problem for e in entries if e.problem}
        places: dict[str, str | int] = {}
        for entry in entries:
            if entry.is_picture and not entry.problem:
                # Of the members of a tar with one name, the last is meant.
                if entry.name in places and isinstance(entry.place, str):
                    left_out[f'a second {entry.name}'] = 'its name differs in Unicode form only'
                else:
                    places[entry.name] = entry.place
        depth = _usual_depth(places)
        for name in [name for name in places if name.count('/') != depth]:
            left_out[name] = f'the other images lie in {"<folder>/" * depth or "no folder"}'
            del places[name]
        folders = _ancestors(places)
        used = folders | _ancestors([entry.name for entry in entries if not entry.is_folder])
        folders |= {e.name for e in entries if e.is_folder and not e.problem} - used
        places, left_out = dict(sorted(places.items())), dict(sorted(left_out.items()))
        return _Listing(places, frozenset(folders), left_out)

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
        if (chosen := composed(named or usual)) not in splits:
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
        Yield the wanted files with their bytes, none for one that cannot be read.

        A folder yields them in the order of `wanted`, a tar in its own.
        """
        places = self._listing.places
        if self.path.is_dir():
            for name in wanted:
                try:
                    yield name, (self.path / str(places[name])).read_bytes()
                except OSError as error:
                    self.left_out[name] = error.strerror or str(error)
                    yield name, b''
            return
        names = {places[name]: name for name in wanted}
        with _readable(self.path), tarfile.open(self.path) as tar:
            for member in tar:
                if member.offset in names and (file := tar.extractfile(member)) is not None:
                    yield names[member.offset], file.read()

    def identity(self) -> str:
        """
        Return a digest that changes when images are changed.

        It is made of names, sizes and times of change, because reading all images takes as long as
        classifying them.
        """
        files = self._listing.places if self.path.is_dir() else {'': ''}
        states = [(name, (self.path / str(place)).stat()) for name, place in files.items()]
        return hashlib.sha256(
            repr([(name, state.st_size, state.st_mtime_ns) for name, state in states]).encode()
        ).hexdigest()


def image_name(file: str) -> str:
    """Return '<class>/<file>' of the path of an image in its folder."""
    return '/'.join(file.split('/')[-2:])


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError, zlib.error) as error:
        raise DataError(
            f'{path} is no readable folder or tar (plain, gz, bz2, xz): {error}'
        ) from error


def _is_visible(name: str) -> bool:
    return not name.startswith('.') and name not in FOREIGN_FOLDERS


def _has_suffix(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _usual_depth(files: Collection[str]) -> int:
    """Return at which depth most images lie; of two, the lesser."""
    depths = Counter(name.count('/') for name in files)
    return min(depths, key=lambda depth: (-depths[depth], depth), default=0)


def _ancestors(names: Collection[str]) -> set[str]:
    return {str(folder) for name in names for folder in list(PurePosixPath(name).parents)[:-1]}


def _walk(root: Path) -> Iterator[_Entry]:
    """Yield what a folder holds; OSError if it cannot be read itself."""
    pending: list[tuple[str, Sequence[Path]]] = [('', ())]
    while pending:
        place, above = pending.pop()
        name, real = composed(place), Path(os.path.realpath(root / place))
        if any(folder.is_relative_to(real) for folder in above):
            yield _Entry(name, place, 'a link to a folder in which it lies')
            continue
        try:
            found = sorted(os.scandir(root / place), key=lambda entry: entry.name)
        except OSError as error:
            if not place:
                raise
            yield _Entry(name, place, error.strerror or str(error))
            continue
        if place:
            yield _Entry(name, place, is_folder=True)
        for entry in filter(lambda entry: _is_visible(entry.name), found):
            its_place = f'{place}/{entry.name}' if place else entry.name
            if _holds(entry.is_dir):
                pending.append((its_place, (*above, real)))
            else:
                yield _look(entry, its_place)


def _holds(question: Callable[[], bool]) -> bool:
    """Return the answer about an entry of a folder; a link that leads in a circle is nothing."""
    try:
        return question()
    except OSError:
        return False


def _look(entry: os.DirEntry[str], place: str) -> _Entry:
    """Return what is known of something in a folder that is no folder."""
    name = composed(place)
    if not _holds(entry.is_file):
        # To open a pipe would wait for somebody who writes into it.
        what = 'a link to nothing' if entry.is_symlink() else 'no file'
        return _Entry(name, place, what)
    if _has_suffix(name):
        return _Entry(name, place, is_picture=True)
    try:
        with Path(entry.path).open('rb') as file:
            beginning = file.read(BEGINNING_BYTES)
    except OSError as error:
        return _Entry(name, place, error.strerror or str(error))
    return _Entry(name, place, is_picture=bool(picture_format(beginning)))


def _list_tar(path: Path) -> Iterator[_Entry]:
    """Yield what a tar holds."""
    with tarfile.open(path) as tar:
        for member in tar:
            # A tar made of '.' names its members './class/file'.
            name = composed(str(PurePosixPath(member.name)))
            if name == '.' or not all(map(_is_visible, name.split('/'))):
                continue
            if member.isdir():
                yield _Entry(name, member.offset, is_folder=True)
                continue
            try:
                file = tar.extractfile(member)
                beginning = file.read(BEGINNING_BYTES) if file else None
            except KeyError:
                beginning = None
            if beginning is None:
                yield _Entry(name, member.offset, 'no file, or a link to none')
            else:
                is_picture = _has_suffix(name) or bool(picture_format(beginning))
                yield _Entry(name, member.offset, is_picture=is_picture)
