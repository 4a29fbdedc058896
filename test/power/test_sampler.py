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

"""Sampling: a rail that blocks or breaks holds up no other, and no load stays in phase."""

from __future__ import annotations

from itertools import pairwise
import random
import threading
import time

import pytest

from dual_cnn_ros.power import sampler as sampler_module
from dual_cnn_ros.power.reading import Reading, Sensor
from dual_cnn_ros.power.sampler import Sampler

PATIENCE = 30.0


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a busy machine the time to answer."""
    monkeypatch.setattr(sampler_module, 'ANSWER_SECONDS', 2.0)


class Rail:
    def __init__(self, name: str) -> None:
        self.rails = (name,)
        self.go = threading.Event()
        self.go.set()
        self.fault: Exception | None = None
        self.reads = 0

    def read(self) -> list[Reading]:
        self.reads += 1
        assert self.go.wait(PATIENCE)
        if self.fault is not None:
            raise self.fault
        return [Reading(self.rails[0], time.monotonic(), watts=1.0)]


class Sets(Sampler):
    """A running sampler, and what it has delivered."""

    def __init__(self, sensor: Sensor, period: float = 0.01) -> None:
        self._changed = threading.Condition()
        self.sets: list[dict[str, Reading]] = []
        super().__init__(sensor, period, self._keep)
        self.start()

    def _keep(self, readings: list[Reading]) -> None:
        with self._changed:
            self.sets.append({reading.rail: reading for reading in readings})
            self._changed.notify_all()

    def until(self, count: int) -> None:
        """Wait until there are so many in all."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.sets) >= count, PATIENCE)

    def more(self, count: int = 3) -> list[dict[str, Reading]]:
        """Return the next sets, leaving out the one that may be in progress."""
        have = len(self.sets) + 1
        self.until(have + count)
        return self.sets[have:]


def sensor(*rails: Rail) -> Sensor:
    return Sensor('fake', '', rails, tuple(rail.rails[0] for rail in rails), 'module')


@pytest.mark.slow
def test_a_rail_that_blocks_stalls_no_other_and_comes_back() -> None:
    stuck, fine = Rail('stuck'), Rail('fine')
    source = sensor(stuck, fine)
    sets = Sets(source)
    assert not any(reading.error for one in sets.more() for reading in one.values())
    stuck.go.clear()
    sets.more(1)
    reads = stuck.reads
    for one in sets.more(10):
        assert not one['fine'].error
        assert 'no answer' in one['stuck'].error
        total = source.total(one.values())
        assert total is not None and total.watts is None and 'stuck' in total.error
    # It is not asked again and again while it blocks.
    assert stuck.reads == reads
    released = time.monotonic()
    stuck.go.set()
    sets.more(1)
    # What the blocked read returned in the end is dropped: its moment is unknown.
    good = [one['stuck'] for one in sets.more(3)]
    assert all(reading.time > released and not reading.error for reading in good)
    assert len({reading.time for reading in good}) == len(good)
    sets.stop()


@pytest.mark.slow
def test_stop_does_not_wait_for_a_rail_that_blocks() -> None:
    rail = Rail('rail')
    rail.go.clear()
    sets = Sets(sensor(rail))
    sets.more(1)
    sets.stop()
    delivered = len(sets.sets)
    rail.go.set()
    assert not [t for t in threading.enumerate() if t.name == 'sampler']
    assert len(sets.sets) == delivered


def test_an_unforeseen_fault_is_a_failed_reading() -> None:
    rail = Rail('rail')
    rail.fault = RuntimeError('what is this')
    sets = Sets(sensor(rail))
    assert 'what is this' in sets.more()[-1]['rail'].error
    rail.fault = None
    sets.more(1)
    assert not sets.more()[-1]['rail'].error
    sets.stop()


@pytest.mark.slow
def test_moments_are_one_in_each_period_and_in_no_fixed_phase() -> None:
    rail = Rail('rail')
    period = 0.05
    sets = Sets(sensor(rail), period)
    times = [one['rail'].time for one in sets.more(40)]
    sets.stop()
    steps = [b - a for a, b in pairwise(times)]
    # No promptness is assumed of a busy machine: only that the phase varies, and the rate is kept.
    assert max(steps) - min(steps) > 0.2 * period
    assert (times[-1] - times[0]) / len(steps) > 0.9 * period


def test_each_look_at_a_recording_gives_all_that_is_due_however_slow_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Slow:
        rails = ('A',)
        left = 5

        def read(self) -> list[Reading]:
            time.sleep(0.02)
            self.left -= 1
            return [Reading('A', float(self.left), watts=1.0)] if self.left >= 0 else []

    monkeypatch.setattr(sampler_module, 'ANSWER_SECONDS', 0.0)
    # The first look comes at once, the second in an hour.
    monkeypatch.setattr(random, 'random', lambda: 0.0)
    sets = Sets(Sensor('recording', '', (Slow(),), ('A',), 'module', period=0.1), 3600.0)
    sets.until(6)
    sets.stop()
    readings = [Reading('A', float(n), watts=1.0) for n in (4, 3, 2, 1, 0)]
    assert [one['A'] for one in sets.sets if one] == readings
