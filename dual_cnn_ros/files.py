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

"""Text files and names as users have them; and writing files so that nobody finds half of one."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager, suppress
import errno
import fcntl
import json
import os
from pathlib import Path
import re
from typing import IO
import unicodedata

# Of file systems that know no locks, such as some network drives.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


class EncodingError(ValueError):
    """A text file is not in UTF-8; the message names the file and, where known, its encoding."""


_MARKS = {
    codecs.BOM_UTF32_LE: 'UTF-32',
    codecs.BOM_UTF32_BE: 'UTF-32',
    codecs.BOM_UTF16_LE: 'UTF-16',
    codecs.BOM_UTF16_BE: 'UTF-16',
}


def read_text(path: Path) -> str:
    """
    Read a text file in UTF-8, with or without a byte-order mark.

    Raises
    ------
    OSError
        If the file cannot be read.
    EncodingError
        If it is in another encoding.

    """
    data = path.read_bytes()
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            raise EncodingError(f'{path} is in {encoding}; save it as UTF-8')
    if b'\0' in data:
        raise EncodingError(f'{path} is no text in UTF-8: it has NUL bytes, as UTF-16 does')
    try:
        return data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = data.count(b'\n', 0, error.start) + 1
        raise EncodingError(
            f'{path} is not in UTF-8, but perhaps in Latin-1 or Windows-1252: byte '
            f'0x{data[error.start]:02x} in line {line}; save it as UTF-8'
        ) from None


def composed(name: str) -> str:
    """
    Return a name in Unicode's composed form (NFC), in which two that look alike are equal.

    Systems differ: macOS writes an é as two characters. What a file system has that is no text at
    all, becomes a replacement character, so that it can be printed.
    """
    text = name.encode('utf-8', 'surrogateescape').decode('utf-8', 'replace')
    return unicodedata.normalize('NFC', text)


def write_atomically(path: Path, data: bytes) -> None:
    """
    Write a file so that a crash or a power cut leaves the old file or the new one, whole.

    Raises
    ------
    OSError
        If the file cannot be written; no partial file is left behind.

    """
    partial = path.with_name(path.name + '.partial')
    # Whoever writes the same file at the same time waits.
    with _open_locked(partial, wait=True) as file:
        try:
            file.truncate(0)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            partial.replace(path)
        except OSError:
            with suppress(OSError):
                partial.unlink()
            raise


@contextmanager
def locked(path: Path, owner: str) -> Iterator[None]:
    """
    Keep a file or a folder to oneself, among all who ask for it with this function.

    The lock is a hidden file beside it, or in it where a folder has no place beside it. It ends
    with the process, however that ends.

    Parameters
    ----------
    path
        What is going to be written. It need not exist; its parent must.
    owner
        Who holds it, for the message to whoever else wants it.

    Raises
    ------
    BlockingIOError
        Somebody else holds it; the message names the path and the owner.
    OSError
        There is no place to write the lock in.

    """
    path = path.resolve()
    if path.is_dir() and not os.access(path.parent, os.W_OK):
        lock = path / '.lock'
    else:
        lock = path.with_name(f'.{path.name}.lock')
    try:
        with _open_locked(lock, wait=False) as file:
            file.truncate(0)
            file.write(owner.encode())
            file.flush()
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
    except _Locked as error:
        raise BlockingIOError(
            f'{path} is in use by {error}; wait until that has ended, or name another place'
        ) from None


class _Locked(Exception):  # noqa: N818
    """Somebody else has the lock: what is written in it."""


@contextmanager
def _open_locked(path: Path, wait: bool) -> Iterator[IO[bytes]]:
    """Open a file to append to, made where it is missing, that nobody else has locked."""
    while True:
        with path.open('a+b') as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise _Locked(file.read().decode(errors='replace') or 'another process') from None
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
            if _is_at(path, file):
                yield file
                return


def _is_at(path: Path, file: IO[bytes]) -> bool:
    """Return True unless whoever had the file before has removed or replaced it meanwhile."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def write_json(path: Path, content: object) -> None:
    """Write a JSON file whole, laid out to be read: a line for each small record and list."""
    text = json.dumps(content, indent=1)
    # Strings of JSON hold no line breaks, so that only the layout is changed.
    compact = re.sub(r'[\[{]\n[^\[\]{}]*[\]}]', lambda m: re.sub(r'\n\s*', ' ', m[0]), text)
    write_atomically(path, (compact + '\n').encode())
