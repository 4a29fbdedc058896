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
Files of a recording that nobody closed, or that end early: what is whole in them is read.

They are gone through once from the beginning, and may then be read in order of time. A whole file
has an index that saves this, and rosbags reads it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
import sqlite3
import struct
import sys
from typing import Any, BinaryIO, NamedTuple

_MAGIC = b'\x89MCAP0\r\n'
# Records of an mcap file, from https://mcap.dev/spec.
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 0x02, 0x03, 0x04, 0x05, 0x06, 0x0F
_LAST_RECORD = 0x0F
_RECORD_BYTES, _MESSAGE_BYTES = 9, 22
_PIECE_BYTES = 65536

Row = tuple[str, str, int, bytes]
"""Topic, type, time in nanoseconds, serialized data."""


class UnclosedError(ValueError):
    """Nothing can be read of the file."""


class _Place(NamedTuple):
    """Where a message lies: in the file, or in the chunk that begins there."""

    time: int
    number: int
    channel: int
    chunk: int | None
    start: int
    length: int


class UnclosedMcap:
    """
    The messages of an mcap file that has no index.

    Parameters
    ----------
    path
        The file.

    Attributes are those of RecordingFile.

    Raises
    ------
    UnclosedError
        It is no mcap file.
    OSError
        It cannot be read.

    """

    def __init__(self, path: Path) -> None:
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, tuple[str, str]] = {}
        self._places: list[_Place] = []
        self._chunk: tuple[int, bytes] = (-1, b'')
        # What a chunk should hold, and how many hold less.
        self._chunk_bytes = self._damaged_chunks = 0
        self._size = path.stat().st_size
        self._file: BinaryIO = path.open('rb')
        try:
            if self._file.read(len(_MAGIC)) != _MAGIC:
                raise UnclosedError(f'{path} is no mcap file')
            rest = self._scan()
        except BaseException:
            self._file.close()
            raise
        self._places.sort()
        channels = (self._channels[place.channel] for place in self._places)
        self.latched: set[str] = set()
        self.counts: Mapping[tuple[str, str], int] = Counter(channels)
        self.span: tuple[int, int] | None = (
            (self._places[0].time, self._places[-1].time) if self._places else None
        )
        self.problem = ''
        if rest is not None:
            self.problem = f'it was not closed: {len(self._places)} messages are read'
            if rest:
                self.problem += f', and of its last {rest} bytes only what is whole'
        elif self._damaged_chunks:
            self.problem = f'{self._damaged_chunks} of its chunks are damaged'

    def messages(self, wanted: Collection[tuple[str, str]], begin: int, end: int) -> Iterator[Row]:
        """Yield the messages of some topics and types, from a time until before another one."""
        for place in self._places:
            channel = self._channels[place.channel]
            if channel in wanted and begin <= place.time < end:
                if place.chunk is None:
                    self._file.seek(place.start)
                    data = self._file.read(place.length)
                else:
                    chunk = self._read_chunk(place.chunk)
                    data = chunk[place.start : place.start + place.length]
                yield (*channel, place.time, data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _scan(self) -> int | None:
        """Find all messages; return how many bytes follow the last whole record, None for none."""
        file, size, at = self._file, self._size, len(_MAGIC)
        while at + _RECORD_BYTES <= size:
            file.seek(at)
            kind, length = struct.unpack('<BQ', file.read(_RECORD_BYTES))
            start, following = at + _RECORD_BYTES, at + _RECORD_BYTES + length
            if kind in (_FOOTER, _DATA_END):
                return None
            if not 0 < kind <= _LAST_RECORD:
                break
            if kind == _CHUNK:
                self._scan_chunk(at)
            elif following > size:
                break
            elif kind == _MESSAGE:
                self._add(file.read(_MESSAGE_BYTES), None, start, length)
            else:
                self._define(kind, file.read(length))
            if following > size:
                break
            at = following
        return size - at

    def _scan_chunk(self, chunk: int) -> None:
        """Find the messages of a chunk."""
        content, at = self._read_chunk(chunk), 0
        while at + _RECORD_BYTES <= len(content):
            kind, length = struct.unpack_from('<BQ', content, at)
            start = at + _RECORD_BYTES
            if start + length > len(content):
                break
            if kind == _MESSAGE:
                self._add(content[start : start + _MESSAGE_BYTES], chunk, start, length)
            else:
                self._define(kind, content[start : start + length])
            at = start + length
        self._damaged_chunks += at < self._chunk_bytes

    def _add(self, head: bytes, chunk: int | None, start: int, length: int) -> None:
        if len(head) == _MESSAGE_BYTES <= length:
            channel, _, time, _ = struct.unpack('<HIQQ', head)
            if channel in self._channels:
                place = start + _MESSAGE_BYTES, length - _MESSAGE_BYTES
                self._places.append(_Place(time, len(self._places), channel, chunk, *place))

    def _define(self, kind: int, content: bytes) -> None:
        """Remember a schema or a channel; what is damaged defines nothing."""
        try:
            if kind == _SCHEMA:
                (number,) = struct.unpack_from('<H', content)
                self._schemas[number], _ = _text(content, 2)
            elif kind == _CHANNEL:
                number, schema = struct.unpack_from('<HH', content)
                topic, at = _text(content, 4)
                encoding, _ = _text(content, at)
                if schema in self._schemas and encoding == 'cdr':
                    self._channels[number] = topic, self._schemas[schema]
        except (struct.error, UnicodeDecodeError):
            return

    def _read_chunk(self, at: int) -> bytes:
        """Return the records of a chunk, as far as they are there."""
        if self._chunk[0] != at:
            self._file.seek(at + 1)
            (length,) = struct.unpack('<Q', self._file.read(8))
            content = self._file.read(min(length, self._size))
            try:
                (self._chunk_bytes,) = struct.unpack_from('<Q', content, 16)
                compression, start = _text(content, 28)
                self._chunk = at, _decompress(content[start + 8 :], compression)
            except (struct.error, UnicodeDecodeError):
                self._chunk = at, b''
        return self._chunk[1]


class UnclosedSqlite:
    """
    The messages of a sqlite3 file that ends early, or whose newest part is still beside it.

    Parameters and attributes are those of UnclosedMcap.

    Raises
    ------
    UnclosedError
        It is no sqlite3 file of rosbag2.

    """

    def __init__(self, path: Path) -> None:
        # What was written last may be in a file of its own, which SQLite reads by itself, unless
        # it is told that nothing changes.
        options = ['mode=ro', 'immutable=1'] if _is_unfinished(path) else ['immutable=1']
        self._topics: dict[int, tuple[str, str]] = {}
        self._rows: list[tuple[int, int, int]] = []
        for option in options:
            try:
                self._database = self._open(path, option)
                break
            except sqlite3.Error as error:
                # What is beside it may have to be written back first, which is not ours to do.
                if option == options[-1]:
                    raise UnclosedError(f'{path}: {error}') from error
        self._rows.sort()
        self.latched: set[str] = set()
        self.counts: Mapping[tuple[str, str], int] = Counter(
            self._topics[topic] for _, _, topic in self._rows
        )
        self.span: tuple[int, int] | None = (
            (self._rows[0][0], self._rows[-1][0]) if self._rows else None
        )

    def _open(self, path: Path, option: str) -> sqlite3.Connection:
        database = sqlite3.connect(f'{path.resolve().as_uri()}?{option}', uri=True)
        try:
            # Else SQLite refuses a file that is shorter than its first page says.
            database.execute('PRAGMA writable_schema=ON')
            for number, name, kind in database.execute('SELECT id, name, type FROM topics'):
                self._topics[number] = name, kind
            # The data too, since they may be what is missing.
            rows = database.execute('SELECT timestamp, id, topic_id, data FROM messages')
        except sqlite3.Error:
            database.close()
            raise
        damage = ''
        try:
            for time, number, topic, data in rows:
                if topic in self._topics and isinstance(time, int) and isinstance(data, bytes):
                    self._rows.append((time, number, topic))
        except sqlite3.DatabaseError as error:
            damage = f'; the rest is damaged ({error})'
        self.problem = f'it was not closed: {len(self._rows)} messages are read{damage}'
        return database

    def messages(self, wanted: Collection[tuple[str, str]], begin: int, end: int) -> Iterator[Row]:
        """Yield the messages of some topics and types, from a time until before another one."""
        for time, number, topic in self._rows:
            if self._topics[topic] in wanted and begin <= time < end:
                # By its number, what was found in passing through may be out of reach.
                for (data,) in self._database.execute(
                    'SELECT data FROM messages WHERE id = ?', (number,)
                ):
                    yield (*self._topics[topic], time, bytes(data))

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def is_whole_sqlite(path: Path) -> bool:
    """Return whether a sqlite3 file is as long as it says, and nothing of it is beside it."""
    with path.open('rb') as file:
        head = file.read(100)
    if len(head) < 100 or _is_unfinished(path):
        return False
    (page_bytes,), (pages,) = (
        struct.unpack_from('>H', head, 16),
        struct.unpack_from('>I', head, 28),
    )
    # As https://www.sqlite.org/fileformat.html has it: 1 stands for the largest page.
    return pages * (65536 if page_bytes == 1 else page_bytes) <= path.stat().st_size


def _is_unfinished(path: Path) -> bool:
    beside = (path.with_name(path.name + ending) for ending in ('-wal', '-journal'))
    return any(file.exists() and file.stat().st_size for file in beside)


def _text(content: bytes, at: int) -> tuple[str, int]:
    """Return a string of an mcap record and where it ends."""
    (length,) = struct.unpack_from('<I', content, at)
    end = at + 4 + length
    if end > len(content):
        raise struct.error('it ends early')
    return content[at + 4 : end].decode(), end


def zstd_library() -> Any:
    """Return the standard library's zstd, which older Pythons have from the package of rosbags."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _decompress(data: bytes, compression: str) -> bytes:
    """Return the content of a chunk as far as it can be had: it may end early."""
    if not compression:
        return data
    if compression == 'zstd':
        decompressor = zstd_library().ZstdDecompressor()
    elif compression == 'lz4':
        from lz4.frame import LZ4FrameDecompressor

        decompressor = LZ4FrameDecompressor()
    else:
        return b''
    found = []
    try:
        for at in range(0, len(data), _PIECE_BYTES):
            found.append(decompressor.decompress(data[at : at + _PIECE_BYTES]))
    except Exception:  # each library has its own for damaged data
        pass
    return b''.join(found)
