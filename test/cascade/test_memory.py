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

"""The memory: what it keeps, for how long, and which files it refuses."""

from __future__ import annotations

from collections import OrderedDict
import io
import json
from pathlib import Path
import pickle
from threading import Thread
from typing import Any
import zipfile

from hypothesis.stateful import invariant, rule, RuleBasedStateMachine
import hypothesis.strategies as st
import numpy as np
import pytest

from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.cascade.memory import FORMAT, Memory, MemoryFileError

pytestmark = pytest.mark.filterwarnings('error')


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def key(number: int) -> bytes:
    return number.to_bytes(8, 'big')


def decision(label: int = 0, classes: int = 4) -> Decision:
    probabilities = np.full(classes, 0.1, dtype=np.float32)
    probabilities[label] = 1 - 0.1 * (classes - 1)
    return Decision(
        probabilities,
        label,
        float(probabilities[label]),
        'second',
        'first',
        {'first': 0.5, 'second': 0.4},
        {'first': 0.001},
    )


def content(memory: Memory, keys: range = range(50)) -> dict[int, tuple[Any, ...]]:
    """Return what is remembered of each key; in doing so, uses them all in order."""
    found = {}
    for number in keys:
        recalled = memory.recall(key(number))
        if recalled is not None:
            found[number] = (
                recalled.probabilities.tobytes(),
                recalled.label,
                recalled.score,
                recalled.winner,
            )
    return found


@pytest.fixture
def memory() -> Memory:
    """Return a memory of three frames."""
    memory = Memory(10)
    for number in range(3):
        memory.remember(key(number), decision(number))
    return memory


# Keeping and forgetting --------------------------------------------------------------------------


def test_it_recalls_what_it_was_told_and_nothing_else(memory: Memory) -> None:
    kept = decision(3)
    memory.remember(key(7), kept)
    assert memory.recall(key(7)) is kept
    assert memory.recall(key(8)) is None
    assert len(memory) == 4


def test_the_latest_decision_replaces_an_earlier_one(memory: Memory) -> None:
    memory.remember(key(0), decision(3))
    recalled = memory.recall(key(0))
    assert recalled is not None and recalled.label == 3
    assert len(memory) == 3


def test_the_least_recently_used_frame_goes_first() -> None:
    memory = Memory(3)
    for number in range(3):
        memory.remember(key(number), decision())
    memory.recall(key(0))  # now 1 is the oldest
    memory.remember(key(2), decision())  # and still is
    memory.remember(key(3), decision())
    assert set(content(memory)) == {0, 2, 3}


def test_a_smaller_capacity_forgets_the_least_recently_used() -> None:
    memory = Memory(5)
    for number in range(5):
        memory.remember(key(number), decision())
    memory.recall(key(0))
    memory.resize(2, 0.0)
    assert set(content(memory)) == {0, 4}


def test_a_frame_is_forgotten_when_it_is_too_old() -> None:
    clock = Clock()
    memory = Memory(5, max_age=10.0, clock=clock)
    memory.remember(key(0), decision())
    clock.now += 10.0
    assert memory.recall(key(0)) is not None
    clock.now += 0.001
    assert memory.recall(key(0)) is None
    assert len(memory) == 0


def test_repeating_a_frame_does_not_make_it_younger() -> None:
    clock = Clock()
    memory = Memory(5, max_age=10.0, clock=clock)
    memory.remember(key(0), decision())
    for _ in range(3):
        clock.now += 4.0
        recalled = memory.recall(key(0))
    assert recalled is None


def test_deciding_a_frame_again_makes_it_younger() -> None:
    clock = Clock()
    memory = Memory(5, max_age=10.0, clock=clock)
    memory.remember(key(0), decision())
    clock.now += 8.0
    memory.remember(key(0), decision())
    clock.now += 8.0
    assert memory.recall(key(0)) is not None


def test_without_a_maximum_age_nothing_grows_old() -> None:
    clock = Clock()
    memory = Memory(5, clock=clock)
    memory.remember(key(0), decision())
    clock.now += 1e9
    assert memory.recall(key(0)) is not None


def test_clear_forgets_everything_and_says_how_much(memory: Memory) -> None:
    assert memory.clear() == 3
    assert len(memory) == 0 and content(memory) == {}
    assert memory.clear() == 0


class AgainstAList(RuleBasedStateMachine):
    """The memory beside a model so simple that it must be right."""

    def __init__(self) -> None:
        super().__init__()
        self.capacity, self.used = 3, OrderedDict[int, Decision]()
        self.memory = Memory(self.capacity)

    @rule(number=st.integers(0, 6), label=st.integers(0, 3))
    def remember(self, number: int, label: int) -> None:
        kept = decision(label)
        self.memory.remember(key(number), kept)
        self.used.pop(number, None)
        self.used[number] = kept

    @rule(number=st.integers(0, 6))
    def recall(self, number: int) -> None:
        assert self.memory.recall(key(number)) is self.used.get(number)
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


TestAgainstAList = AgainstAList.TestCase


def test_several_threads_may_use_it_at_once(tmp_path: Path) -> None:
    memory, errors = Memory(20, max_age=1e-4), []

    def work(thread: int) -> None:
        rng = np.random.default_rng(thread)
        try:
            for step in range(400):
                number = int(rng.integers(0, 40))
                recalled = memory.recall(key(number))
                assert recalled is None or recalled.label == number % 4
                memory.remember(key(number), decision(number % 4))
                if step % 100 == 99:
                    memory.resize(int(rng.integers(5, 20)), 1e-4)
                    memory.save(tmp_path / f'{thread}.npz', 'id')
                    memory.load(tmp_path / f'{thread}.npz', 'id')
                    memory.clear()
        except BaseException as error:
            errors.append(error)

    threads = [Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(memory) <= 20


def test_nothing_happens_in_the_middle_of_a_recall() -> None:
    interrupted = []

    def clock() -> float:
        if memory_is_full:
            other = Thread(target=memory.clear)
            other.start()
            other.join(0.2)  # it has to wait, so this does not
            interrupted.append(other)
        return 0.0

    memory_is_full = False
    memory = Memory(3, max_age=1.0, clock=clock)
    memory.remember(key(0), decision())
    memory_is_full = True
    assert memory.recall(key(0)) is not None
    interrupted[0].join()
    assert len(memory) == 0


# Files -------------------------------------------------------------------------------------------


def test_a_saved_memory_is_the_same_when_loaded(memory: Memory, tmp_path: Path) -> None:
    assert memory.save(tmp_path / 'memory.npz', 'id') == 3
    other = Memory(10)
    other.remember(key(40), decision())
    assert other.load(tmp_path / 'memory.npz', 'id') == 3
    assert content(other) == content(memory)
    recalled = other.recall(key(1))
    assert recalled is not None
    assert recalled.probabilities.dtype == np.float32
    assert type(recalled.label) is int and type(recalled.score) is float


def test_an_empty_memory_can_be_saved(memory: Memory, tmp_path: Path) -> None:
    assert Memory(10).save(tmp_path / 'memory.npz', 'id') == 0
    assert memory.load(tmp_path / 'memory.npz', 'id') == 0
    assert len(memory) == 0


def test_saving_makes_the_folder_and_leaves_only_the_file(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / 'new' / 'folder' / 'memory.npz'
    memory.save(path, 'id')
    memory.save(path, 'id')
    assert list(path.parent.iterdir()) == [path]


def test_order_of_use_survives_a_file(tmp_path: Path) -> None:
    memory = Memory(10)
    for number in range(4):
        memory.remember(key(number), decision())
    memory.recall(key(0))
    memory.save(tmp_path / 'memory.npz', 'id')
    small = Memory(2)
    assert small.load(tmp_path / 'memory.npz', 'id') == 2
    assert set(content(small)) == {3, 0}


def test_age_survives_a_file(tmp_path: Path) -> None:
    clock = Clock()
    memory = Memory(10, clock=clock)
    memory.remember(key(0), decision())
    clock.now += 6
    memory.save(tmp_path / 'memory.npz', 'id')
    later = Clock()
    later.now = 50.0  # another machine's monotonic clock
    other = Memory(10, max_age=10.0, clock=later)
    other.load(tmp_path / 'memory.npz', 'id')
    later.now += 4
    assert other.recall(key(0)) is not None
    later.now += 0.5
    assert other.recall(key(0)) is None


def refused(path: Path, identity: str = 'id') -> str:
    """Return why a file is refused, having checked that it changes nothing."""
    memory = Memory(10)
    memory.remember(key(40), decision(2))
    before = content(memory)
    with pytest.raises(MemoryFileError) as caught:
        memory.load(path, identity)
    assert content(memory) == before
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.fixture
def saved(memory: Memory, tmp_path: Path) -> Path:
    """Return a file of three frames."""
    path = tmp_path / 'memory.npz'
    memory.save(path, 'id')
    return path


def test_a_memory_of_another_bundle_or_rule_is_refused(saved: Path) -> None:
    assert 'saved under another bundle' in refused(saved, 'other')


def test_a_missing_file_or_folder_is_said_to_be_so(memory: Memory, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='nowhere'):
        memory.load(tmp_path / 'nowhere.npz', 'id')
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        memory.load(tmp_path, 'id')
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match='file'):
        memory.save(tmp_path / 'file' / 'memory.npz', 'id')
    assert len(memory) == 3


def test_a_truncated_file_is_refused_wherever_it_ends(saved: Path) -> None:
    whole = saved.read_bytes()
    for length in (0, 1, 2, 4, 30, *range(50, len(whole), 50), len(whole) - 1):
        saved.write_bytes(whole[:length])
        assert 'damaged' in refused(saved)


def test_a_flipped_bit_is_refused_or_means_nothing(memory: Memory, saved: Path) -> None:
    whole = saved.read_bytes()
    kept, refusals = content(memory), 0
    for bit in range(0, 8 * len(whole), 29):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        saved.write_bytes(damaged)
        other = Memory(10)
        try:
            other.load(saved, 'id')
        except MemoryFileError:
            refusals += 1
        else:
            assert content(other) == kept
    assert refusals > len(whole) / 8


class Bomb:
    """Writes a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (self.path, 'executed')


def test_nothing_in_a_file_is_executed(saved: Path, tmp_path: Path) -> None:
    trace = tmp_path / 'trace'
    saved.write_bytes(pickle.dumps(Bomb(trace)))
    refused(saved)
    np.savez(saved, header=np.array([Bomb(trace)], dtype=object))
    refused(saved)
    np.save(saved.with_suffix('.npy'), np.array([Bomb(trace)], dtype=object))
    refused(saved.with_suffix('.npy'))
    assert not trace.exists()


@pytest.mark.parametrize(
    'foreign',
    [b'', b'label,score\n1,0.5\n', b'PK\x03\x04', b'\x93NUMPY', b'\x00' * 4096, b'[' * 100_000],
    ids=['empty', 'text', 'zip head', 'npy head', 'zeros', 'brackets'],
)
def test_a_foreign_file_is_refused(foreign: bytes, tmp_path: Path) -> None:
    path = tmp_path / 'memory.npz'
    path.write_bytes(foreign)
    assert 'not a memory file, or a damaged one' in refused(path)


def test_a_single_array_or_another_zip_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / 'array.npy', np.zeros(3))
    refused(tmp_path / 'array.npy')
    np.savez(tmp_path / 'arrays.npz', x=np.zeros(3))
    refused(tmp_path / 'arrays.npz')
    with zipfile.ZipFile(tmp_path / 'text.zip', 'w') as file:
        file.writestr('header', 'hello')
    refused(tmp_path / 'text.zip')


def write(path: Path, header: Any = None, /, **changes: np.ndarray | None) -> Path:
    """Write a file of two frames, some parts of which are changed or, where None, left out."""
    header = (
        {'format': FORMAT, 'identity': 'id', 'winners': ['first', 'second'], **(header or {})}
        if not isinstance(header, (list, bytes))
        else header
    )
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    parts: dict[str, Any] = {
        'header': np.frombuffer(text, dtype=np.uint8),
        'keys': np.arange(16, dtype=np.uint8).reshape(2, 8),
        'probabilities': np.array([[0.8, 0.2], [0.4, 0.6]], dtype=np.float32),
        'labels': np.array([0, 1]),
        'scores': np.array([0.8, 0.6]),
        'ages': np.array([2.0, 1.0]),
        **changes,
    }
    buffer = io.BytesIO()
    np.savez(buffer, **{name: part for name, part in parts.items() if part is not None})
    path.write_bytes(buffer.getvalue())
    return path


def test_the_hand_written_file_is_good(tmp_path: Path) -> None:
    assert Memory(10).load(write(tmp_path / 'memory.npz'), 'id') == 2


@pytest.mark.parametrize('part', ['header', 'keys', 'probabilities', 'labels', 'scores', 'ages'])
def test_a_missing_part_is_refused(part: str, tmp_path: Path) -> None:
    refused(write(tmp_path / 'memory.npz', **{part: None}))


@pytest.mark.parametrize(
    'header',
    [
        [],
        b'',
        b'{',
        b'\xff',
        b'null',
        {'format': 1},
        {'identity': None},
        {'winners': None},
        {'winners': ['first']},
        {'winners': 7},
    ],
)
def test_a_bad_header_is_refused(header: Any, tmp_path: Path) -> None:
    refused(write(tmp_path / 'memory.npz', header))


def test_another_format_is_named(tmp_path: Path) -> None:
    message = refused(write(tmp_path / 'memory.npz', {'format': 'dual_cnn_ros memory 9'}))
    assert "'dual_cnn_ros memory 9'" in message and FORMAT in message


@pytest.mark.parametrize(
    'changes',
    [
        {'keys': np.zeros((3, 8), np.uint8)},
        {'keys': np.array(5)},
        {'probabilities': np.array([0.8, 0.6], np.float32)},
        {'probabilities': np.array([[0.8, np.nan], [0.4, 0.6]], np.float32)},
        {'probabilities': np.array([['a', 'b'], ['c', 'd']])},
        {'probabilities': np.zeros((2, 0), np.float32)},
        {'labels': np.array([0, 2])},
        {'labels': np.array([-1, 0])},
        {'labels': np.array([0.0, 1.0])},
        {'labels': np.array([0, 1, 0])},
        {'labels': np.array(0)},
        {'scores': np.array([0.8, np.nan])},
        {'scores': np.array([0.8, 7.0])},
        {'scores': np.array(['a', 'b'])},
        {'scores': np.array([[0.8, 0.6]])},
        {'ages': np.array([1.0, -1.0])},
        {'ages': np.array([1.0, np.nan])},
        {'ages': np.array([[1.0, 1.0], [1.0, 1.0]])},
    ],
    ids=lambda changes: ' '.join(f'{k} {v.dtype} {v.shape}' for k, v in changes.items()),
)
def test_parts_that_no_memory_has_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    refused(write(tmp_path / 'memory.npz', **changes))
