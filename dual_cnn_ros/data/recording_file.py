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

"""One file of a recording, sqlite3 or mcap, whole or not, in one shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager, ExitStack
from pathlib import Path
import shutil
from tempfile import TemporaryDirectory
from typing import Protocol

from dual_cnn_ros.data.unclosed import (
    is_whole_sqlite,
    Row,
    UnclosedError,
    UnclosedMcap,
    UnclosedSqlite,
    zstd_library,
)

SUFFIXES = ('.db3', '.mcap')
COMPRESSED_SUFFIX = '.zstd'
ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
"""How compressed data begin; serialized messages begin with a zero."""


class RecordingFile(Protocol):
    """
    The messages of one file.

    Attributes
    ----------
    counts
        Number of messages by topic and type.
    span
        Times of the first and the last message in nanoseconds, None without any.
    latched
        Topics that were offered to late subscribers too (transient local), where that is known.
    problem
        What is wrong with it, in words, as far as it has been read; empty for a whole file.

    """

    counts: Mapping[tuple[str, str], int]
    span: tuple[int, int] | None
    latched: set[str]
    problem: str

    def messages(self, wanted: Collection[tuple[str, str]], begin: int, end: int) -> Iterator[Row]:
        """Yield the messages of some topics and types, from a time until before another one."""

    def close(self) -> None:
        """Close the file."""


class IndexedFile:
    """
    A file that was closed, read by rosbags.

    Attributes are those of RecordingFile, and this:

    Attributes
    ----------
    is_indexed
        False for an mcap file whose messages rosbags does not bring in order.

    """

    def __init__(self, path: Path) -> None:
        from rosbags.interfaces import ConnectionExtRosbag2, QosDurability
        from rosbags.rosbag2 import Reader

        self._path, self._reader = path, Reader(path)
        self._reader.open()
        counts: Counter[tuple[str, str]] = Counter()
        self.problem = ''
        self.latched: set[str] = set()
        strange: set[str] = set()
        for connection in self._reader.connections:
            extension = connection.ext
            assert isinstance(extension, ConnectionExtRosbag2)
            if extension.serialization_format != 'cdr':
                strange.add(f'{connection.topic} ({extension.serialization_format})')
                continue
            counts[connection.topic, connection.msgtype] += connection.msgcount
            if any(
                profile.durability == QosDurability.TRANSIENT_LOCAL
                for profile in extension.offered_qos_profiles
            ):
                self.latched.add(connection.topic)
        if strange:
            self.problem = f'not serialized as ROS 2 does it, and left out: {", ".join(strange)}'
        self.counts: Mapping[tuple[str, str], int] = counts
        self.span: tuple[int, int] | None = (
            (self._reader.start_time, self._reader.end_time - 1)
            if self._reader.message_count
            else None
        )
        self.is_indexed = bool(
            path.suffix != '.mcap'
            or self.span is None
            or getattr(self._reader.storage, 'chunks', 1)
        )

    def messages(self, wanted: Collection[tuple[str, str]], begin: int, end: int) -> Iterator[Row]:
        """Yield the messages of some topics and types, from a time until before another one."""
        connections = [c for c in self._reader.connections if (c.topic, c.msgtype) in wanted]
        if not connections:
            return
        try:
            for connection, time, data in self._reader.messages(connections, begin, end):
                begin = time + 1
                yield connection.topic, connection.msgtype, time, bytes(data)
        except Exception as error:  # sqlite, zstd and mcap each have their own
            with closing(_unclosed(self._path)) as rest:
                self.problem = f'it is damaged ({error}); of the rest, what is whole is read'
                yield from rest.messages(wanted, begin, end)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


@contextmanager
def open_file(path: Path) -> Iterator[RecordingFile]:
    """
    Open a .db3 or .mcap file, or one of these compressed with zstd.

    Raises
    ------
    UnclosedError
        Nothing can be read of it.
    OSError
        It cannot be read.

    """
    with ExitStack() as stack:
        if path.suffix == COMPRESSED_SUFFIX:
            path = _decompressed(path, Path(stack.enter_context(TemporaryDirectory())))
        file = _open(path)
        stack.callback(file.close)
        yield file


def _open(path: Path) -> RecordingFile:
    if path.suffix != '.mcap' and not is_whole_sqlite(path):
        return _unclosed(path)
    try:
        file = IndexedFile(path)
    except (ImportError, OSError):
        raise
    except Exception as error:  # rosbags raises many kinds on files that are not whole
        try:
            return _unclosed(path)
        except UnclosedError:
            raise UnclosedError(f'{path.name}: {error}') from error
    if file.is_indexed:
        return file
    file.close()
    return _unclosed(path)


def _unclosed(path: Path) -> UnclosedMcap | UnclosedSqlite:
    return (UnclosedMcap if path.suffix == '.mcap' else UnclosedSqlite)(path)


def _decompressed(path: Path, folder: Path) -> Path:
    zstd, target = zstd_library(), folder / path.stem
    try:
        with zstd.open(path, 'rb') as source, target.open('wb') as file:
            shutil.copyfileobj(source, file)
    except (zstd.ZstdError, EOFError):
        pass  # As much as there is may be readable.
    return target


def decompress_message(data: bytes) -> bytes:
    """Return a serialized message that a recorder may have compressed by itself."""
    return bytes(zstd_library().decompress(data)) if data[:4] == ZSTD_MAGIC else data
