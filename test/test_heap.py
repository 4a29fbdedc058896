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

"""Blocks of the size of a frame stay in the process once they are freed."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from dual_cnn_ros import heap
from dual_cnn_ros.heap import keep_freed_blocks

COUNT_FAULTS = """
import resource, sys
from dual_cnn_ros.heap import keep_freed_blocks
if sys.argv[1] == 'kept':
    assert keep_freed_blocks()
def faults():
    # As a frame of a camera is held by the middleware, by its message and by whoever reads it.
    blocks = [bytearray(6_000_000) for _ in range(3)]
    del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
faults()
before = faults()
for _ in range(50):
    last = faults()
print(last - before)
"""


def faults(what: str) -> int:
    """Return how many pages the kernel gives to 50 frames, one after another."""
    command = [sys.executable, '-c', COUNT_FAULTS, what]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), 'mallopt'), reason='not glibc')
def test_freed_blocks_are_used_again() -> None:
    assert faults('kept') < 100 < 10_000 < faults('given back')


def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.ctypes, 'CDLL', lambda _: object())
    assert not keep_freed_blocks()
