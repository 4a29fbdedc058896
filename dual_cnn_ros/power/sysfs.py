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

"""Reading numbers and words from sysfs, every failure an OSError that names the file."""

from __future__ import annotations

from collections.abc import Callable
import errno
import os
from pathlib import Path

Reader = Callable[[Path], str]


def text(path: Path) -> str:
    """Return the file's text, stripped. One system call, so that it is all of one moment."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096).decode('ascii', 'replace').strip(' \t\n\0')
    finally:
        os.close(descriptor)


def word(path: Path, read: Reader = text) -> str | None:
    """Return the file's text, or None where it cannot be read."""
    try:
        return read(path)
    except (OSError, TypeError):
        return None


def integer(path: Path, read: Reader = text) -> int:
    """
    Return the signed number in the file.

    Raises
    ------
    OSError
        Of the subclass that belongs to the error, with the name of the file. A driver's EAGAIN
        reaches Python as BlockingIOError, as None or as TypeError, depending on how the file is
        read: each becomes an OSError with EAGAIN.

    """
    try:
        content = read(path)
        return int(content)
    except TypeError:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(path)) from None
    except ValueError:
        raise OSError(errno.EIO, f'not a number: {content[:40]!r}', str(path)) from None
    except OSError as error:
        code = error.errno or errno.EIO
        raise OSError(code, error.strerror or str(error), str(path)) from None
