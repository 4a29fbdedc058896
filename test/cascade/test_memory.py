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

"""The memory: which frames it takes for the same, what it keeps, and how it makes sure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import cache
import math
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import Mock

from hypothesis import given
from hypothesis.stateful import invariant, rule, RuleBasedStateMachine
import hypothesis.strategies as st
import numpy as np
import pytest
from simulated_camera import play, Tally

from dual_cnn_ros.cascade.audit import Audit, AuditRecord, clean_run
from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.cascade.frame import Frame, Image
from dual_cnn_ros.cascade.memories import Memories
from dual_cnn_ros.cascade.memory import Memory
from dual_cnn_ros.cascade.memory_file import CameraSnapshot, MemoryFileError
from dual_cnn_ros.cascade.settings import MemorySettings

pytestmark = pytest.mark.filterwarnings('error')

EXACT = MemorySettings('dhash', audit=0.0)
# Every hit is computed, or none; every frame is looked up.
AUDITED = MemorySettings(audit=1.0, patience=0)
UNAUDITED = replace(AUDITED, audit=0.0)


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@cache
def frame(number: int) -> Frame:
    return Frame(np.random.default_rng(number).integers(0, 256, (8, 9), dtype=np.uint8))


def decision(label: int = 0, margin: float = 1.0, overruled: bool = False) -> Decision:
    p = np.eye(4, dtype=np.float32)[label]
    return Decision(p, label, 1.0, 'second', 'first', margin=margin, overruled=overruled)


def learn(memory: Memory, seen: Frame, decided: Decision) -> None:
    """Have a frame looked up and, where it has to be, decided."""
    recollection = memory.recall(seen)
    if recollection.answer is None:
        memory.remember(recollection, decided)


def full(count: int, **settings: Any) -> Memory:
    """Return a memory of this many frames, which are all that it can hold."""
    clock = settings.pop('clock', Clock())
    memory = Memory(replace(EXACT, capacity=count, **settings), clock)
    for number in range(count):
        learn(memory, frame(number), decision(number % 4))
    return memory


def content(memory: Memory) -> set[int]:
    """Return which frames are remembered; in doing so, use them all in order."""
    return {number for number in range(10) if memory.recall(frame(number)).answer is not None}


# What it keeps -----------------------------------------------------------------------------------


@pytest.mark.parametrize('fingerprint', ['thumbnail', 'dhash', 'invariants'])
def test_an_equal_frame_has_the_same_answer(fingerprint: str) -> None:
    clock = Clock()
    memory = Memory(replace(UNAUDITED, fingerprint=fingerprint), clock)
    learn(memory, frame(0), decision(2, margin=0.0))
    clock.now += 2.5
    answer = memory.recall(Frame(frame(0).image.copy())).answer
    assert answer is not None
    assert (answer.label, answer.source, answer.winner) == (2, 'memory', 'first')
    assert (answer.distance, answer.age, answer.scores) == (0.0, 2.5, {})
    assert memory.recall(frame(1)).answer is None


def test_a_frame_without_a_fingerprint_is_neither_remembered_nor_recalled() -> None:
    memory = Memory(EXACT)
    flat = Frame(np.full((16, 18, 3), 60, dtype=np.uint8))
    learn(memory, flat, decision())
    assert memory.recall(flat).answer is None and len(memory) == 0


def test_a_decision_is_forgotten_when_it_is_too_old() -> None:
    clock = Clock()
    memory = full(2, max_age=10.0, clock=clock)
    clock.now += 10.0
    assert memory.recall(frame(0)).answer is not None  # which does not make it younger
    clock.now += 0.001
    learn(memory, frame(1), decision())  # anew
    assert memory.recall(frame(0)).answer is None and len(memory) == 1
    memory.configure(replace(EXACT, capacity=2))
    clock.now += 1e9
    assert memory.recall(frame(1)).answer is not None


def test_clear_forgets_everything_and_says_how_much() -> None:
    memory = full(3)
    assert [memory.clear(), memory.clear()] == [3, 0]
    assert content(memory) == set()


@pytest.mark.parametrize('fingerprint', ['thumbnail', 'dhash'])
def test_it_holds_the_most_recently_used(fingerprint: str) -> None:
    class LeastRecentlyUsed(RuleBasedStateMachine):
        """The memory beside a model so simple that it must be right: a list in order of use."""

        def __init__(self) -> None:
            super().__init__()
            self.used = OrderedDict[int, int]()
            self.settings = replace(UNAUDITED, fingerprint=fingerprint, capacity=3)
            self.memory = Memory(self.settings)

        @rule(number=st.integers(0, 6), label=st.integers(0, 3))
        def classify(self, number: int, label: int) -> None:
            recollection = self.memory.recall(frame(number))
            if number in self.used:
                assert recollection.answer is not None
                assert recollection.answer.label == self.used[number]
                self.used.move_to_end(number)
            else:
                assert recollection.answer is None
                self.memory.remember(recollection, decision(label))
                self.used[number] = label

        @rule(capacity=st.integers(1, 6))
        def resize(self, capacity: int) -> None:
            self.settings = replace(self.settings, capacity=capacity)
            self.memory.configure(self.settings)

        @invariant()
        def holds_no_other(self) -> None:
            while len(self.used) > self.settings.capacity:
                self.used.popitem(last=False)
            assert len(self.memory) == len(self.used)

    LeastRecentlyUsed.TestCase().runTest()


# What resembles a frame --------------------------------------------------------------------------


def scene(seed: int = 0) -> Image:
    """Return pixels that are their own thumbnail, none near black or white."""
    return np.random.default_rng(seed).integers(60, 200, (24, 32, 3), dtype=np.uint8)


def changed(image: Image, by: int, cells: int = 1) -> Frame:
    """Return an image of which some cells are brighter, and others darker in exchange."""
    values = image.reshape(-1).astype(int)
    values[:cells] += by
    values[cells : 2 * cells] -= by
    return Frame(values.astype(np.uint8).reshape(image.shape))


def distance(memory: Memory, seen: Frame) -> float | None:
    answer = memory.recall(seen).answer
    return None if answer is None else answer.distance


@pytest.mark.parametrize(
    ('margin', 'allowed'), [(1.0, 15), (0.5, 15), (0.38, 12), (0.1, 3), (0.0, 0)]
)
def test_no_cell_may_differ_by_more_than_the_margin_of_the_decision_allows(
    margin: float, allowed: int
) -> None:
    memory = Memory(UNAUDITED)
    learn(memory, Frame(scene()), decision(margin=margin))
    for cells in (1, 500):
        for by in (0, allowed // 3, allowed):
            expected = by / min(15, 30 * math.atanh(min(margin, 0.9))) if by else 0.0
            assert distance(memory, changed(scene(), by, cells)) == pytest.approx(expected)
        assert distance(memory, changed(scene(), allowed + 1, cells)) is None


def test_a_change_of_exposure_is_no_change_until_it_is_large() -> None:
    memory = Memory(UNAUDITED)
    learn(memory, Frame(scene()), decision())
    for brighter, is_hit in ((10, True), (11, False), (-10, True), (-11, False)):
        seen = Frame((scene().astype(int) + brighter).astype(np.uint8))
        assert (distance(memory, seen) == 0.0) == is_hit
    memory.configure(replace(UNAUDITED, brightness=11.0))
    assert distance(memory, Frame(scene() + np.uint8(11))) == 0.0


def test_black_is_not_white_and_grey_is_not_coloured() -> None:
    memory = Memory(UNAUDITED)
    learn(memory, Frame(np.zeros((24, 32, 3), np.uint8)), decision())
    assert distance(memory, Frame(np.zeros((48, 64), np.uint8))) == 0.0
    assert distance(memory, Frame(np.full((24, 32, 3), 255, np.uint8))) is None
    assert distance(memory, Frame(np.full((24, 32, 3), (0, 0, 25), np.uint8))) is None


@given(
    x=st.floats(0, 1),
    y=st.floats(0, 1),
    is_brighter=st.booleans(),
    size=st.sampled_from([(640, 360), (640, 480), (1280, 720), (1920, 1080), (801, 601)]),
)
def test_a_square_of_a_twentieth_of_the_width_is_always_noticed(
    x: float, y: float, is_brighter: bool, size: tuple[int, int]
) -> None:
    width, height = size
    side = width // 20
    image = np.full((height, width, 3), 100, np.uint8)
    image[height // 3 :] = 140
    memory = Memory(UNAUDITED)
    learn(memory, Frame(image), decision())
    top, left = round(y * (height - side)), round(x * (width - side))
    pasted = image.copy()
    pasted[top : top + side, left : left + side] += np.uint8(30 if is_brighter else 226)
    assert distance(memory, Frame(image)) == 0.0
    assert distance(memory, Frame(pasted)) is None


def test_the_last_used_of_those_that_resemble_a_frame_answers() -> None:
    memory = Memory(UNAUDITED)
    brighter, darker = changed(scene(), 10), changed(scene(), -10)
    learn(memory, brighter, decision(1))
    learn(memory, darker, decision(2))
    for used, label in ((brighter, 1), (darker, 2)):
        memory.recall(used)
        answer = memory.recall(Frame(scene())).answer
        assert answer is not None and answer.label == label


def test_what_is_alike_from_frame_to_frame_is_not_the_same_in_the_end() -> None:
    memory = Memory(UNAUDITED)
    learn(memory, Frame(scene()), decision())
    assert [distance(memory, changed(scene(), by)) is None for by in range(0, 25, 5)] == [
        *[False] * 4,
        True,
    ]


def test_cameras_do_not_share_what_they_remember() -> None:
    memories = Memories(UNAUDITED)
    learn(memories.of('left'), Frame(scene()), decision(1))
    assert memories.of('right').recall(Frame(scene())).answer is None
    assert memories.of('left').recall(Frame(scene())).answer is not None
    assert len(memories) == 1


# How it makes sure -------------------------------------------------------------------------------


def test_a_contradicted_entry_is_replaced_and_has_to_prove_itself() -> None:
    memory = Memory(AUDITED)
    learn(memory, Frame(scene()), decision(0))
    audit = memory.recall(Frame(scene()))
    assert (audit.answer, audit.distance, audit.is_audit) == (None, 0.0, True)
    memory.remember(audit, decision(1, margin=0.3))
    assert len(memory) == 1 and memory.record().contradictions == 1
    memory.configure(replace(AUDITED, audit=1e-9))
    for _ in range(clean_run(0.01)):
        # It is asked again even for frames that it would not answer: they are computed anyway.
        audit = memory.recall(changed(scene(), 10))
        assert audit.is_audit
        memory.remember(audit, decision(1, margin=0.3))
    # Those are no hits of which a share is audited.
    assert memory.record().audits == 0
    allowed = 30 * math.atanh(0.3)
    assert distance(memory, changed(scene(), 9)) == pytest.approx(9 / allowed)
    assert distance(memory, changed(scene(), 10)) is None


def test_a_contested_entry_is_contradicted_and_begins_anew() -> None:
    memory = Memory(replace(AUDITED, audit=1e-9))
    learn(memory, Frame(scene()), decision(0, overruled=True))
    for label in (*[0] * 298, 1, *[1] * 299):
        audit = memory.recall(Frame(scene()))
        assert audit.is_audit
        memory.remember(audit, decision(label))
    answer = memory.recall(Frame(scene())).answer
    assert answer is not None and answer.label == 1


def test_a_proved_entry_allows_what_the_least_of_its_margins_does() -> None:
    memory = Memory(replace(AUDITED, audit=1e-9))
    learn(memory, Frame(scene()), decision(margin=0.4, overruled=True))
    for n in range(clean_run(0.01)):
        learn(memory, Frame(scene()), decision(margin=0.2 if n == 7 else 0.9))
    assert distance(memory, changed(scene(), 6)) == pytest.approx(6 / (30 * math.atanh(0.2)))
    assert distance(memory, changed(scene(), 7)) is None


def test_without_audits_nothing_is_contested() -> None:
    memory = Memory(UNAUDITED)
    learn(memory, Frame(scene()), decision(overruled=True, margin=0.1))
    assert distance(memory, Frame(scene())) == 0.0
    assert distance(memory, changed(scene(), 4)) is None


def test_the_share_of_audits_is_that_which_was_asked_for() -> None:
    memory = Memory(replace(AUDITED, audit=0.02), seed=0)
    learn(memory, Frame(scene()), decision())
    for _ in range(20_000):
        learn(memory, Frame(scene()), decision())
    record = memory.record()
    assert record.hits == 20_000 and abs(record.audits - 400) < 60
    assert (record.contradictions, record.scale, record.is_trusted) == (0, 1.0, True)
    assert record.bound == pytest.approx(1 - 0.05 ** (1 / record.audits), abs=1e-5)


@pytest.mark.parametrize(
    ('label', 'margin', 'by', 'factor'),
    [
        # A hit has 12 grey levels; what is near has 15.
        (0, 1.0, 13, 1 + 0.35 * 0.01),
        (1, 1.0, 13, 0.7),
        (1, 1.0, 16, 1.0),
        # The margin of 0.38 is used up before the 12, or not, according to what is at 14.
        (1, 0.02, 14, 1.0),
        (1, 0.3, 14, 0.7),
    ],
)
def test_what_nearly_resembles_an_entry_moves_the_scale(
    label: int, margin: float, by: int, factor: float
) -> None:
    memory = Memory(UNAUDITED)
    memory.restore(CameraSnapshot([], 0.5))
    memory.configure(replace(UNAUDITED, capacity=7))
    learn(memory, Frame(scene()), decision(0, margin=math.tanh(0.8)))
    learn(memory, changed(scene(), by), decision(label, margin))
    assert memory.scale == pytest.approx(0.5 * factor)


def test_the_scale_is_that_of_the_margins() -> None:
    memory = Memory(replace(AUDITED, audit=1e-9))
    learn(memory, Frame(scene(0)), decision(0, margin=math.tanh(0.5)))
    learn(memory, Frame(scene(1)), decision(0))
    learn(memory, changed(scene(1), 16), decision(1))
    assert memory.scale == pytest.approx(0.7)
    assert distance(memory, changed(scene(0), 10)) == pytest.approx(10 / 10.5)
    assert distance(memory, changed(scene(0), 11)) is None
    assert distance(memory, changed(scene(1), -15)) == 1.0
    memory.configure(replace(AUDITED, audit=1e-9, scale=0.9))
    assert memory.scale == 0.9 and memory.record().hits == 0


def test_a_memory_that_is_wrong_too_often_does_not_answer() -> None:
    memory = Memory(replace(AUDITED, audit=0.5), seed=1)
    for number in range(12):
        learn(memory, frame(number), decision(0))
    for number in range(12):
        for _ in range(3):
            learn(memory, frame(number), decision(1))
    assert not memory.record().is_trusted
    assert all(memory.recall(frame(number)).answer is None for number in range(12))


# Where nothing repeats ---------------------------------------------------------------------------


def test_where_nothing_repeats_it_looks_less_often_until_something_does() -> None:
    memory = Memory(replace(UNAUDITED, patience=3))
    looked = []
    for seed in range(120):
        recollection = memory.recall(Frame(scene(seed)))
        memory.remember(recollection, decision())
        looked.append(recollection.key is not None)
    places = np.flatnonzero(looked)
    assert np.diff(places).tolist() == [1, 1, *[2] * 3, *[4] * 3, *[8] * 3, *[16] * 4]
    assert len(memory) == len(places)
    # Whatever stands still is found with the next look, and from then on.
    seen = Frame(scene(99))
    found = []
    for _ in range(48):
        recollection = memory.recall(seen)
        if recollection.answer is None:
            memory.remember(recollection, decision())
        found.append(recollection.answer is not None)
    assert sum(found) >= 48 - 2 * 16 and all(found[found.index(True) :])


def test_with_patience_0_every_frame_is_looked_up() -> None:
    memory = Memory(UNAUDITED)
    for seed in range(100):
        learn(memory, Frame(scene(seed)), decision())
    assert len(memory) == 100


# Threads and files -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'use',
    [
        lambda memory: memory.recall(frame(0)),
        lambda memory: learn(memory, frame(9), decision()),
    ],
    ids=['recall', 'remember'],
)
def test_another_thread_waits_until_one_is_done(use: Callable[[Memory], object]) -> None:
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
    use(memory)
    for other in others:
        other.join()
    assert len(memory) == 0


def test_what_was_forgotten_meanwhile_is_remembered_anew() -> None:
    memory = Memory(AUDITED)
    learn(memory, Frame(scene()), decision(0))
    audit = memory.recall(Frame(scene()))
    memory.clear()
    memory.remember(audit, decision(1))
    assert len(memory) == 1 and memory.record().contradictions == 0


def memories(count: int, clock: Callable[[], float] | None = None, **settings: Any) -> Memories:
    """Return the memories of two cameras."""
    found = Memories(replace(EXACT, **settings), clock or Clock())
    for number in range(count):
        learn(found.of('left'), frame(number), decision(number % 4))
        learn(found.of('right'), frame(number + 100), decision(3))
    return found


def test_saved_memories_are_loaded_in_the_order_of_use(tmp_path: Path) -> None:
    path = tmp_path / 'new' / 'folder' / 'memory.npz'
    saved = memories(3)
    saved.of('left').recall(frame(0))
    assert [saved.save(path, 'id'), saved.save(path, 'id')] == [6, 6]
    assert list(path.parent.iterdir()) == [path]
    other = memories(0, capacity=2)
    learn(other.of('left'), frame(9), decision())
    learn(other.of('back'), frame(8), decision())
    assert other.load(path, 'id') == 4
    assert content(other.of('left')) == {0, 2} and content(other.of('back')) == set()
    assert other.of('right').recall(frame(102)).answer is not None


def test_empty_memories_can_be_saved(tmp_path: Path) -> None:
    assert memories(0).save(tmp_path / 'memory.npz', 'id') == 0
    other = memories(3)
    assert other.load(tmp_path / 'memory.npz', 'id') == len(other) == 0


def test_age_survives_a_file(tmp_path: Path) -> None:
    clock, later = Clock(), Clock()
    saved = memories(1, clock)
    clock.now += 6
    saved.save(tmp_path / 'memory.npz', 'id')
    later.now = 50.0  # another machine's monotonic clock
    other = memories(0, later, max_age=10.0)
    other.load(tmp_path / 'memory.npz', 'id')
    later.now += 4
    assert other.of('left').recall(frame(0)).answer is not None
    later.now += 0.5
    assert other.of('left').recall(frame(0)).answer is None


def test_what_the_audits_taught_survives_a_file(tmp_path: Path) -> None:
    settings = replace(AUDITED, audit=1e-9)
    saved = Memories(settings)
    memory = saved.of('front')
    learn(memory, Frame(scene()), decision(0, margin=math.tanh(0.5)))
    learn(memory, changed(scene(), 16), decision(1, margin=0.9, overruled=True))
    learn(memory, changed(scene(), 16), decision(1, margin=0.8))
    saved.save(tmp_path / 'memory.npz', 'id')
    other = Memories(settings)
    other.load(tmp_path / 'memory.npz', 'id')
    loaded = other.of('front')
    assert loaded.scale == memory.scale == pytest.approx(0.7)
    assert _content(loaded) == _content(memory)
    assert distance(loaded, changed(scene(), -10)) == pytest.approx(10 / 10.5)
    assert loaded.recall(changed(scene(), 16)).is_audit


def _content(memory: Memory) -> list[tuple[Any, ...]]:
    return [
        (key, entry.margin, entry.is_contested, entry.agreements, entry.decision.label)
        for key, entry in memory.snapshot().entries
    ]


def test_a_file_that_cannot_be_read_or_written_changes_nothing(tmp_path: Path) -> None:
    kept = memories(3)
    (tmp_path / 'file').write_text('')
    for use, name, error in (
        (kept.load, 'nowhere.npz', FileNotFoundError),
        (kept.load, 'file', ValueError),
        (kept.save, 'file/memory.npz', OSError),
    ):
        with pytest.raises(error, match='nowhere|file'):
            use(tmp_path / name, 'id')
    assert content(kept.of('left')) == {0, 1, 2}


def test_a_file_with_keys_of_another_kind_changes_nothing(tmp_path: Path) -> None:
    memories(2).save(tmp_path / 'memory.npz', 'id')
    kept = Memories(UNAUDITED)
    learn(kept.of('left'), Frame(scene()), decision())
    with pytest.raises(MemoryFileError, match=r'memory\.npz: its keys are none .* damaged'):
        kept.load(tmp_path / 'memory.npz', 'id')
    assert distance(kept.of('left'), Frame(scene())) == 0.0


# In the long run ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_in_the_long_run_no_more_hits_are_wrong_than_is_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = MemorySettings(capacity=300)

    def run() -> tuple[Tally, AuditRecord]:
        memory = Memory(settings, seed=0)
        return play(memory, 40_000, sharpness=3.0, settle=40_000), memory.record()

    tally, record = run()
    assert tally.most == settings.capacity and tally.answered > 0.7 * tally.frames
    assert tally.wrong < settings.error * tally.answered
    assert tally.wrong < record.bound * tally.answered
    assert record.is_trusted and abs(record.audits / record.hits - settings.audit) < 0.003
    monkeypatch.setattr(Audit, 'learn', lambda audit, agrees: None)
    untaught, _ = run()
    assert untaught.wrong > 2 * settings.error * untaught.answered
