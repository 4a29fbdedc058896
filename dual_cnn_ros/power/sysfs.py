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

import errno
import os
from pathlib import Path


def text(path: Path) -> str:
    """Return the file's text, stripped. One system call, so that it is all of one moment."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096).decode('ascii', 'replace').strip(' \t\n\0')
    except OSError as error:
        # What a driver answers does not name the file.
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(descriptor)


def word(path: Path) -> str | None:
    """Return the file's text, or None where it cannot be read."""
    try:
        return text(path)
    except OSError:
        return None


def integer(path: Path) -> int:
    """
    Return the signed number in the file.

    Raises
    ------
    OSError
        Where the file cannot be read, or holds no number.

    """
    content = text(path)
    try:
        return int(content)
    except ValueError:
        raise OSError(errno.EIO, f'not a number: {content[:40]!r}', str(path)) from None
