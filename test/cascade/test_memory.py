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

"""The memory: what it keeps, and for how long."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import Mock

from hypothesis.stateful import invariant, rule, RuleBasedStateMachine
import hypothesis.strategies as st
import numpy as np
import pytest

from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.memory import Memory

pytestmark = pytest.mark.filterwarnings('error')


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@cache
def frame(number: int) -> Frame:
    return Frame(np.random.default_rng(number).integers(0, 256, (8, 9), dtype=np.uint8))


@cache
def decision(label: int = 0) -> Decision:
    return Decision(np.eye(4, dtype=np.float32)[label], label, 1.0, 'second', 'first')


def full(count: int, **limits: Any) -> Memory:
    """Return a memory of this many frames, which are all that it can hold."""
    memory = Memory('dhash', count, **limits)
    for number in range(count):
        memory.remember(frame(number), decision(number % 4))
    return memory


def content(memory: Memory) -> set[int]:
    """Return which frames are remembered; in doing so, use them all in order."""
    return {number for number in range(10) if memory.recall(frame(number)) is not None}


def test_a_frame_without_a_fingerprint_is_neither_remembered_nor_recalled() -> None:
    memory = Memory('dhash', 3)
    flat = Frame(np.full((16, 18, 3), 60, dtype=np.uint8))
    memory.remember(flat, decision())
    assert memory.recall(flat) is None and len(memory) == 0


def test_a_decision_is_forgotten_when_it_is_too_old() -> None:
    clock = Clock()
    memory = full(2, max_age=10.0, clock=clock)
    clock.now += 10.0
    assert memory.recall(frame(0)) is not None  # which does not make it younger,
    memory.remember(frame(1), decision())  # as this does
    clock.now += 0.001
    assert memory.recall(frame(0)) is None and len(memory) == 1
    memory.resize(2, 0.0)
    clock.now += 1e9
    assert memory.recall(frame(1)) is not None


def test_clear_forgets_everything_and_says_how_much() -> None:
    memory = full(3)
    assert [memory.clear(), memory.clear()] == [3, 0]
    assert content(memory) == set()


class LeastRecentlyUsed(RuleBasedStateMachine):
    """The memory beside a model so simple that it must be right: a list in the order of use."""

    def __init__(self) -> None:
        super().__init__()
        self.capacity, self.used = 3, OrderedDict[int, Decision]()
        self.memory = Memory('dhash', self.capacity)

    @rule(number=st.integers(0, 6), label=st.integers(0, 3))
    def remember(self, number: int, label: int) -> None:
        self.memory.remember(frame(number), decision(label))
        self.used.pop(number, None)
        self.used[number] = decision(label)

    @rule(number=st.integers(0, 6))
    def recall(self, number: int) -> None:
        assert self.memory.recall(frame(number)) is self.used.get(number)
        if number in self.used:
            self.used.move_to_end(number)

    @rule(capacity=st.integers(1, 6))
    def resize(self, capacity: int) -> None:
        self.memory.resize(capacity, 0.0)
        self.capacity = capacity

    @invariant()
    def holds_the_most_recently_used(self) -> None:
        while len(self.used) > self.capacity:
            self.used.popitem(last=False)
        assert len(self.memory) == len(self.used)


TestLeastRecentlyUsed = LeastRecentlyUsed.TestCase


@pytest.mark.parametrize(
    'use',
    [
        lambda memory, path: memory.recall(frame(0)),
        lambda memory, path: memory.remember(frame(9), decision()),
        lambda memory, path: memory.save(path, 'id'),
    ],
    ids=['recall', 'remember', 'save'],
)
def test_another_thread_waits_until_one_is_done(
    use: Callable[[Memory, Path], object], tmp_path: Path
) -> None:
    others: list[Thread] = []

    def interrupted() -> float:
        other = Thread(target=memory.clear)
        others.append(other)
        other.start()
        other.join(0.1)
        assert other.is_alive()
        return 0.0

    clock = Mock(return_value=0.0)
    memory = full(3, max_age=1.0, clock=clock)
    clock.side_effect = interrupted
    use(memory, tmp_path / 'memory.npz')
    others[0].join()
    assert len(memory) == 0


# Files -------------------------------------------------------------------------------------------


def test_a_saved_memory_is_loaded_in_the_order_of_use(tmp_path: Path) -> None:
    path = tmp_path / 'new' / 'folder' / 'memory.npz'
    memory = full(3)
    memory.recall(frame(0))
    assert [memory.save(path, 'id'), memory.save(path, 'id')] == [3, 3]
    assert list(path.parent.iterdir()) == [path]
    other = Memory('dhash', 2)
    other.remember(frame(9), decision())
    assert other.load(path, 'id') == 2
    assert content(other) == {0, 2}


def test_an_empty_memory_can_be_saved(tmp_path: Path) -> None:
    assert Memory('dhash', 3).save(tmp_path / 'memory.npz', 'id') == 0
    memory = full(3)
    assert memory.load(tmp_path / 'memory.npz', 'id') == len(memory) == 0


def test_age_survives_a_file(tmp_path: Path) -> None:
    clock, later = Clock(), Clock()
    memory = full(1, clock=clock)
    clock.now += 6
    memory.save(tmp_path / 'memory.npz', 'id')
    later.now = 50.0  # another machine's monotonic clock
    other = Memory('dhash', 3, max_age=10.0, clock=later)
    other.load(tmp_path / 'memory.npz', 'id')
    later.now += 4
    assert other.recall(frame(0)) is not None
    later.now += 0.5
    assert other.recall(frame(0)) is None


def test_a_file_that_cannot_be_read_or_written_changes_nothing(tmp_path: Path) -> None:
    memory = full(3)
    (tmp_path / 'file').write_text('')
    for use, name, error in (
        (memory.load, 'nowhere.npz', FileNotFoundError),
        (memory.load, 'file', ValueError),
        (memory.save, 'file/memory.npz', OSError),
    ):
        with pytest.raises(error, match='nowhere|file'):
            use(tmp_path / name, 'id')
    assert content(memory) == {0, 1, 2}
