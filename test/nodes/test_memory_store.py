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

"""The memory on disk: saved where it changed, whole at any moment, by one node at a time."""

from __future__ import annotations

import errno
from pathlib import Path
import random
import shutil
import subprocess
import sys
import time
from unittest import mock

import numpy as np
import pytest

from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.memories import Memories
from dual_cnn_ros.cascade.settings import MemorySettings
from dual_cnn_ros.nodes import memory_store
from dual_cnn_ros.nodes.memory_store import MemoryStore

DECISION = Decision(np.array([0.25, 0.75], np.float32), 1, 0.75, 'first', 'first')


def frame(seed: int) -> Frame:
    return Frame(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8))


def memory_of(count: int, max_age: float = 0.0) -> Memories:
    memory = Memories(MemorySettings('dhash', 10_000, max_age, audit=0.0, patience=0))
    for seed in range(count):
        learn(memory, seed)
    return memory


def learn(memory: Memories, seed: int) -> None:
    camera = memory.of('front')
    camera.remember(camera.recall(frame(seed)), DECISION)


def loaded(path: Path, identity: str = 'id') -> int:
    return memory_of(0).load(path, identity)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / 'folder' / 'memory.npz'


def test_what_changed_is_saved_and_nothing_else_is_written(path: Path) -> None:
    store = MemoryStore(path, 'me')
    memory = memory_of(0)
    assert store.load(memory, 'id') == ''
    store.save_changes(memory, 'id')
    assert not path.exists()
    memory = memory_of(3)
    store.save_changes(memory, 'id')
    first = path.stat()
    assert loaded(path) == 3
    memory.of('front').recall(frame(0))
    store.save_changes(memory, 'id')
    assert path.stat() == first
    memory.clear()
    store.save_changes(memory, 'id')
    assert loaded(path) == 0
    store.close()

    store, memory = MemoryStore(path, 'me'), memory_of(0)
    store.load(memory, 'id')
    before = path.stat()
    store.save_changes(memory, 'id')
    # After a change of the rule, the cascade has another memory.
    store.save_changes(memory_of(0), 'other rule')
    assert path.stat() == before
    store.close()


def test_a_file_that_was_removed_is_written_again(path: Path) -> None:
    store, memory = MemoryStore(path, 'me'), memory_of(2)
    store.save_changes(memory, 'id')
    shutil.rmtree(path.parent)
    store.save_changes(memory, 'id')
    assert loaded(path) == 2
    store.close()


def test_ages_that_count_are_saved(path: Path) -> None:
    store, memory = MemoryStore(path, 'me'), memory_of(1, max_age=60.0)
    store.save_changes(memory, 'id')
    before = path.stat()
    store.save_changes(memory, 'id')
    assert path.stat() != before
    store.close()


def test_a_file_has_one_writer_by_whatever_name(path: Path, tmp_path: Path) -> None:
    store = MemoryStore(path, '/r1/dual_cnn (process 7)')
    link = tmp_path / 'link.npz'
    link.symlink_to(path)
    for name in (path, link):
        with pytest.raises(OSError, match=r'^memory_file: .* is in use by /r1/dual_cnn \(process'):
            MemoryStore(name, 'me')
    store.close()
    store = MemoryStore(link, 'me')
    store.save(memory_of(2), 'id')
    store.close()
    assert link.is_symlink() and loaded(path) == 2


@pytest.mark.parametrize('content', [b'a letter', b''], ids=['text', 'empty'])
def test_a_file_that_cannot_be_loaded_is_kept(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    store, memory = MemoryStore(path, 'me'), memory_of(0)
    assert 'memory.npz: not a memory file' in store.load(memory, 'id')
    store.save_changes(memory, 'id')
    assert path.read_bytes() == content
    learn(memory, 1)
    for _ in range(2):
        store.save(memory, 'id')
        assert path.with_name('memory.npz.old').read_bytes() == content
        assert loaded(path) == 1
    store.close()


def test_a_memory_of_another_rule_is_kept(path: Path) -> None:
    store = MemoryStore(path, 'me')
    store.save(memory_of(3), 'one')
    assert 'saved under another bundle' in store.load(memory_of(0), 'other')
    store.save(memory_of(1), 'other')
    assert (loaded(path, 'other'), loaded(path.with_name('memory.npz.old'), 'one')) == (1, 3)
    store.close()


def test_where_nothing_can_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    for path, reason in (
        (tmp_path / 'file' / 'memory.npz', 'cannot be written: '),
        (Path('/proc/memory.npz'), 'cannot be written: '),
        (tmp_path, 'is a folder'),
    ):
        with pytest.raises(OSError, match=reason) as caught:
            MemoryStore(path, 'me')
        assert f'memory_file {path} ' in str(caught.value)


def wait(store: MemoryStore, memory: Memories, reports: list[str], seconds: float = 0.0) -> None:
    """Let the time come, and what is then written be written."""
    with mock.patch.object(memory_store, 'monotonic', return_value=time.monotonic() + seconds):
        store.save_changes_every(60.0, memory, 'id', reports.append)
    store._wait()


def test_changes_are_saved_when_their_time_has_come(path: Path) -> None:
    store, memory, reports = MemoryStore(path, 'me'), memory_of(2), []
    wait(store, memory, reports, 59.0)
    assert not path.exists()
    wait(store, memory, reports, 61.0)
    assert loaded(path) == 2 and not reports
    store.close()


def test_a_failed_save_is_reported_and_tried_again(path: Path) -> None:
    store, memory, reports = MemoryStore(path, 'me'), memory_of(2), []
    full = OSError(errno.ENOSPC, 'No space left on device')
    with mock.patch.object(memory_store, 'write_memory', side_effect=full):
        wait(store, memory, reports, 61.0)
        with pytest.raises(OSError, match='No space left'):
            store.save(memory, 'id')
    assert f'memory_file {path} cannot be written: No space left' in reports[0]
    assert store.fault == reports[0]
    wait(store, memory, reports, 122.0)
    assert len(reports) == 1 and not store.fault and loaded(path) == 2
    store.close()


KILLED = """
from pathlib import Path
import sys

sys.path.insert(0, sys.argv[2])
from test_memory_store import learn, memory_of
from dual_cnn_ros.nodes.memory_store import MemoryStore

store = MemoryStore(Path(sys.argv[1]), 'the one before')
memory = memory_of(0)
assert not store.load(memory, 'id')
seed = len(memory)
while True:
    learn(memory, seed)
    store.save_changes(memory, 'id')
    seed += 1
    print(seed, flush=True)
"""


@pytest.mark.slow
def test_whoever_is_killed_leaves_the_whole_file_and_no_lock(path: Path) -> None:
    saved, chance = 0, random.Random(0)
    for _ in range(12):
        command = [sys.executable, '-c', KILLED, str(path), str(Path(__file__).parent)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            time.sleep(chance.random() * 0.05)
            process.kill()
            lines += process.stdout.readlines()
        last = max(int(line) for line in lines if line.endswith('\n'))
        assert last > saved
        saved = loaded(path)
        # All that was known to be saved, and at most the one that was being written.
        assert saved in (last, last + 1)
