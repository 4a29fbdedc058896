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

"""Writing files so that nobody ever finds half of one."""

from __future__ import annotations

from contextlib import suppress
import json
import os
from pathlib import Path
import re


def write_atomically(path: Path, data: bytes) -> None:
    """
    Write a file so that a crash or a power cut leaves the old file or the new one, whole.

    Raises
    ------
    OSError
        If the file cannot be written; no partial file is left behind.

    """
    partial = path.with_name(path.name + '.partial')
    try:
        with partial.open('wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise


def write_json(path: Path, content: object) -> None:
    """Write a JSON file whole, laid out to be read: a line for each small record and list."""
    text = json.dumps(content, indent=1)
    # Strings of JSON hold no line breaks, so that only the layout is changed.
    compact = re.sub(r'[\[{]\n[^\[\]{}]*[\]}]', lambda m: re.sub(r'\n\s*', ' ', m[0]), text)
    write_atomically(path, (compact + '\n').encode())
