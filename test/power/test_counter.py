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

"""Hardware energy counters: wrap-around, restart, failed reads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
import random

from hypothesis import given
from hypothesis import strategies as st
import pytest

from dual_cnn_ros.power.counter import EnergyCounter
from dual_cnn_ros.power.reading import Reading

SPAN = 262143328850


def stepped(counter: EnergyCounter, values: Sequence[int], period: float = 0.1) -> list[Reading]:
    return [counter.advance(n * period, value) for n, value in enumerate(values)]


@given(
    span=st.integers(10**9, 3 * 10**11),
    start=st.integers(0, 10**9),
    steps=st.lists(st.integers(1, 10**8), min_size=3, max_size=50),
)
def test_wrapping_counter_gives_the_energy_that_was_spent(
    span: int, start: int, steps: list[int]
) -> None:
    spent = list(accumulate(steps, initial=start))
    got = stepped(EnergyCounter('rail', 1_000_000, span), [value % span for value in spent])
    assert not any(one.error for one in got)
    # It is known from its second step on, and its power from the one after that.
    assert [one.joules is None for one in got[:3]] == [True, True, False]
    for one, step in zip(got[3:], steps[2:]):
        assert one.rail == 'rail' and one.watts == pytest.approx(step / 1e6 / 0.1, abs=1e-4)
    assert got[-1].joules - got[2].joules == pytest.approx(sum(steps[2:]) / 1e6, abs=1e-6)


@pytest.mark.parametrize(
    ('span', 'before', 'seconds', 'after', 'error'),
    [
        # Taken for a wrap-around, it would need megawatts.
        (SPAN, 100_000_000_000, 0.1, 0, 'restarted'),
        (None, 10_000, 1.0, 9_999, 'restarted'),
        # It may have wrapped around more than once.
        (SPAN, 0, 61.0, 500, '61 s'),
        # A jump of 149 kJ in a tenth of a second is 1.5 MW, even at the very first step.
        (SPAN, 0, 0.1, 149_000_000_000, 'jumped by 149000 J'),
        (SPAN, 5, 0.1, -3, 'negative: -3'),
        (None, 5, 0.1, 2**64 - 1, 'jumped by'),
    ],
)
def test_energy_that_is_unknown_is_a_failed_reading(
    span: int | None, before: int, seconds: float, after: int, error: str
) -> None:
    counter = EnergyCounter('rail', 1_000_000, span)
    counter.advance(0.0, before)
    failed = counter.advance(seconds, after)
    assert error in failed.error and failed.watts is None and failed.joules is None
    for n in range(1, 5):
        good = counter.advance(seconds + n * 0.1, max(0, after) + n * 1_000_000)
    assert good.watts == pytest.approx(10.0)


def test_without_a_span_no_time_is_too_long() -> None:
    got = stepped(EnergyCounter('rail', 1000), [0, 50_000, 100_000, 150_000], 100.0)
    assert got[-1].watts == pytest.approx(0.5)


def test_the_power_of_a_slow_counter_is_that_from_step_to_step() -> None:
    """10 W, counted once a second: neither 0 W between two steps nor 100 W at each."""
    got = stepped(EnergyCounter('rail', 1_000_000), [n // 10 * 10_000_000 for n in range(100)])
    watts = {round(one.watts, 6) for one in got if one.watts is not None}
    assert watts == {10.0} and not any(one.error for one in got)


@pytest.mark.parametrize('span', [SPAN, 1_500_000])
def test_power_is_right_however_short_the_steps(span: int) -> None:
    """20 W, by a counter that moves once a millisecond, at moments as the sampler has them."""
    chance = random.Random(0)
    counter = EnergyCounter('rail', 1_000_000, span)
    got: list[Reading] = []
    for n in range(2000):
        moment = 5.0 + (n + chance.random()) * 0.01
        got.append(counter.advance(moment, int(moment * 1000) * 20_000 % span))
    assert not any(one.error for one in got)
    # What is not known yet is not said; nor is anything of two reads in the same millisecond.
    known = [one for one in got if one.joules is not None]
    assert len(known) > 1900 and got.index(known[0]) < 5
    start = known[0].time
    assert all(one.watts is None for one in known if one.time < start + 0.02)
    assert all(
        one.watts == pytest.approx(20.0, abs=1.0) for one in known if one.time > start + 0.021
    )
    # The energy is that from each value to the next.
    spent = known[-1].joules - known[0].joules
    assert spent == pytest.approx(20.0 * (known[-1].time - start), abs=0.03)
    for one, later in pairwise(known):
        assert 0 <= later.joules - one.joules <= 20.0 * (later.time - one.time) + 0.021


@pytest.mark.parametrize('later', [0.3, -1.0])
def test_no_power_from_no_time(later: float) -> None:
    counter = EnergyCounter('rail', 1000)
    stepped(counter, [0, 100, 200, 300])
    assert counter.advance(later, 305).watts is None


def test_after_a_failed_read_wrap_arounds_are_unknown() -> None:
    counter = EnergyCounter('rail', 1_000_000, SPAN)
    counter.advance(0.0, 262143000000)
    assert counter.fail(0.1, OSError('gone')) == Reading('rail', 0.1, error='gone')
    reading = counter.advance(0.2, 100)
    assert reading.watts is None and not reading.error
