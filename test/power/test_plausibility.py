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

"""Sensors that lie: their joules are true or not there, and no honest one is accused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
import math
import random
import re

from hypothesis import given
from hypothesis import strategies as st
import pytest

from dual_cnn_ros.energy.account import Account
from dual_cnn_ros.energy.integration import energy_of
from dual_cnn_ros.power.health import Health
from dual_cnn_ros.power.plausibility import ReadingCheck
from dual_cnn_ros.power.reading import Reading, Sensor, TOTAL

SECONDS = 30.0


@dataclass(frozen=True)
class Machine:
    """
    A machine whose power is another one each second, and an honest counter of its energy.

    watts: of each second. update: seconds between two steps of the counter. unit: joules.
    """

    watts: tuple[float, ...]
    update: float
    unit: float
    seed: int

    def joules(self, time: float) -> float:
        """Return the true energy until a time."""
        whole, part = divmod(time, 1.0)
        return sum(self.watts[: int(whole)]) + part * self.watts[int(whole)]

    def counter(self, time: float) -> float:
        """Return what the counter says then."""
        moved = math.floor(time / self.update + 1e-9) * self.update
        return 1000.0 + math.floor(self.joules(moved) / self.unit) * self.unit

    def times(self) -> list[float]:
        """Return the moments of the readings, ten a second as the sampler has them."""
        chance = random.Random(self.seed)
        return [(n + chance.random()) * 0.1 for n in range(round(SECONDS * 10))]


watts = st.lists(st.floats(0.3, 120.0), min_size=31, max_size=31).map(tuple)
machines = st.builds(
    Machine,
    watts,
    st.sampled_from([0.001, 0.1, 0.25, 1.0, 1.5]),
    st.sampled_from([1e-6, 61e-6, 1e-3]),
    st.integers(0, 1000),
)
# Of the counter's true value, its value when the fault began and the seconds since: what it says.
Fault = Callable[[float, float, float], float]


def jumps(least: float, most: float) -> st.SearchStrategy[Fault]:
    """Return counters that jump forward by joules between these powers of ten."""
    return st.floats(least, most).map(lambda size: lambda true, begun, since: true + 10**size)


def stuck(loses: bool) -> st.SearchStrategy[Fault]:
    """Return counters that stand for a while, and go on from there or catch up."""

    def fault(seconds: float) -> Fault:
        held: list[float] = []

        def say(true: float, begun: float, since: float) -> float:
            if since < seconds:
                held[:] = [true - begun]
                return begun
            return true - held[0] if loses and held else true

        return say

    return st.floats(0.5, 20.0).map(fault)


# What is told from the counter alone. (A smaller jump is what a large processor may draw.)
faults: st.SearchStrategy[Fault] = st.one_of(
    jumps(4.0, 7.0),
    stuck(loses=True),
    stuck(loses=False),
    st.sampled_from(
        [
            lambda true, begun, since: begun,
            lambda true, begun, since: 0.0,
            lambda true, begun, since: true - begun,
            lambda true, begun, since: 2 * begun - true,
            lambda true, begun, since: (true - begun) % 7.0,
            lambda true, begun, since: math.nan,
            lambda true, begun, since: 2.0**64,
        ]
    ),
)
# What is told only from the power beside it.
scales: st.SearchStrategy[Fault] = st.sampled_from(
    [1e-6, 1e-3, 1 / 3.6, 0.5, 2.0, 3.6, 1e3, 1e6]
).map(lambda scale: lambda true, begun, since: begun + (true - begun) * scale)


def readings(
    machine: Machine, beside: bool, fault: Fault | None = None, begin: float = 0.0
) -> list[Reading]:
    """Return the readings of a machine, whose counter breaks at a time."""
    begun = machine.counter(begin)
    return [
        Reading(
            TOTAL,
            time,
            watts=machine.watts[int(time)] if beside else None,
            joules=fault(machine.counter(time), begun, time - begin)
            if fault and time >= begin
            else machine.counter(time),
        )
        for time in machine.times()
    ]


def is_true_or_not_there(machine: Machine, raw: list[Reading], start: float) -> bool:
    """Measure from `start` on; the joules may be off by what the rules let pass."""
    check = ReadingCheck()
    energy = energy_of(map(check.check, raw), 0.1, start, SECONDS - 1.0)
    true = machine.joules(SECONDS - 1.0) - machine.joules(start)
    # A quarter of the larger one and a second's energy pass: of the true one, that is a third and
    # four thirds of a second.
    tolerance = true / 3 + (4 / 3 + 0.2 + 3 * machine.update) * max(machine.watts)
    return energy.joules is None or abs(energy.joules - true) < tolerance


starts = st.sampled_from([0.0, 3.0, 20.0])
begins = st.floats(0.0, 28.0)


@given(machine=machines, beside=st.booleans())
def test_an_honest_counter_is_believed(machine: Machine, beside: bool) -> None:
    believed = list(map(ReadingCheck().check, readings(machine, beside)))
    assert not any(reading.error for reading in believed)
    energy = energy_of(believed, 0.1, 4.0, 27.0)
    assert energy.coverage == pytest.approx(1.0)
    edges = 2 * (machine.update + 0.2) * max(machine.watts)
    true = machine.joules(27.0) - machine.joules(4.0)
    assert energy.joules == pytest.approx(true, abs=edges)


@given(machine=machines, beside=st.booleans(), fault=faults, begin=begins, start=starts)
def test_the_joules_of_a_broken_counter_are_true_or_not_there(
    machine: Machine, beside: bool, fault: Fault, begin: float, start: float
) -> None:
    assert is_true_or_not_there(machine, readings(machine, beside, fault, begin), start)


@given(machine=machines, fault=scales | jumps(0.0, 4.0), begin=begins, start=starts)
def test_the_power_beside_a_counter_tells_on_it(
    machine: Machine, fault: Fault, begin: float, start: float
) -> None:
    assert is_true_or_not_there(machine, readings(machine, True, fault, begin), start)


WORDS: dict[str, tuple[Fault, bool, str]] = {
    'jumps': (lambda true, begun, since: true + 149e3, False, 'jumped by 1490.. J in'),
    'stands': (lambda true, begun, since: begun, False, r'has stood at .* J for \d+ s'),
    'is always zero': (lambda true, begun, since: 0.0, True, 'has stood at 0 J for'),
    'loses energy': (
        lambda true, begun, since: begun if since < 3 else true - 15.0,
        False,
        'stood for 2.. s, and may have lost energy',
    ),
    'counts another unit': (
        lambda true, begun, since: begun + 1e-3 * (true - begun),
        True,
        'J where the power beside it says',
    ),
    'runs backwards': (lambda true, begun, since: 2 * begun - true, False, 'it went back by'),
    'restarts': (lambda true, begun, since: true - begun, False, 'restarted'),
    'is nan': (lambda true, begun, since: math.nan, False, 'counter of nan J'),
}


@pytest.mark.parametrize('name', WORDS)
def test_what_a_broken_counter_does_is_said_in_words(name: str) -> None:
    """By the rail, in the diagnostics of the sensor, and by the account of its total."""
    fault, beside, words = WORDS[name]
    machine = Machine((5.0,) * 31, 0.001, 61e-6, 0)
    begin = 0.0 if name == 'is always zero' else 10.0
    check, account, health = ReadingCheck(), Account(1.0), Health(('rail',), 0.1)
    sensor = Sensor('fake', '', (), ('rail',), 'module')
    said = set()
    for raw in readings(machine, beside, fault, begin):
        reading = check.check(replace(raw, rail='rail'))
        health.take([reading], sensor.total([reading]))
        account.add_reading(raw.time, raw, 0.1)
        said |= {reading.error, account.fault} - {''}
    assert said and all(re.search(words, one) for one in said), said
    status = health.status()
    assert status.level != 'OK' and re.search(words, status.message)
    assert account.energy.coverage < 1.0


@pytest.mark.parametrize(
    ('watts', 'is_total', 'offset', 'fault'),
    [
        (5.0, True, None, ''),
        (1e9, False, None, r'1e\+09 W cannot be true'),
        (-1e9, False, None, 'cannot be true'),
        (math.nan, False, None, 'nan W cannot be true'),
        (math.inf, True, None, 'inf W cannot be true'),
        # A battery is charged; a chip at rest is a step below zero.
        (-40.0, False, None, ''),
        (-0.1, True, None, ''),
        (-1.5, True, 2.0, ''),
        (-5.0, True, 0.4, 'the total is negative'),
    ],
)
def test_power_that_cannot_be_true(
    watts: float, is_total: bool, offset: float | None, fault: str
) -> None:
    raw = Reading('rail', 1.0, watts, 5.0, 1.0, offset_watts=offset)
    sensor = Sensor('fake', '', (), ('rail',), 'module')
    reading = sensor.total([raw]) if is_total else ReadingCheck().check(raw)
    assert reading is not None and re.search(fault or '^$', reading.error)
    assert (reading.watts is None) is bool(fault)


def test_a_power_that_stays_the_same_is_taken_as_it_is() -> None:
    check = ReadingCheck()
    for hour in range(100):
        assert not check.check(Reading('rail', hour * 3600.0, watts=5.088)).error


def test_a_counter_may_stand_while_all_is_switched_off() -> None:
    check = ReadingCheck()
    believed = [check.check(Reading('gpu0', n * 0.1, 0.0, joules=7.0)) for n in range(300)]
    assert not any(reading.error for reading in believed)
    assert energy_of(believed, 0.1).joules == pytest.approx(0.0)
