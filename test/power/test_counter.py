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

from itertools import pairwise
import random

from hypothesis import given
from hypothesis import strategies as st
import pytest

from dual_cnn_ros.power.counter import CounterStep, EnergyCounter


@given(
    span=st.integers(10**9, 3 * 10**11),
    start=st.integers(0, 10**9),
    steps=st.lists(st.integers(0, 10**8), min_size=1, max_size=50),
)
def test_wrapping_counter_gives_the_energy_that_was_spent(
    span: int, start: int, steps: list[int]
) -> None:
    counter = EnergyCounter(1_000_000, span)
    spent = start % span
    first = counter.advance(0.0, spent)
    for n, step in enumerate(steps, 1):
        spent += step
        last = counter.advance(n * 0.1, spent % span)
        assert not last.broken
        assert last.watts == pytest.approx(step / 1e6 / 0.1, abs=1e-6)
    assert last.joules - first.joules == pytest.approx(sum(steps) / 1e6, abs=1e-6)


def test_wrapped_delta_is_exact() -> None:
    counter = EnergyCounter(1_000_000, 262143328850)
    counter.advance(0.0, 262143000000)
    assert counter.advance(1.0, 1671150).watts == 2.0


def test_a_jump_back_that_would_need_megawatts_is_a_restart() -> None:
    counter = EnergyCounter(1_000_000, 262143328850)
    counter.advance(0.0, 100_000_000_000)
    step = counter.advance(0.1, 0)
    assert step.watts is None and 'restarted' in step.broken
    assert counter.advance(0.2, 1_000_000).watts == pytest.approx(10.0)


def test_without_a_span_smaller_is_a_restart() -> None:
    counter = EnergyCounter(1000)
    counter.advance(0.0, 10_000)
    assert 'restarted' in counter.advance(1.0, 9_999).broken


def test_too_long_unread_to_know_the_wraps() -> None:
    counter = EnergyCounter(1_000_000, 262143328850)
    counter.advance(0.0, 0)
    assert '61 s' in counter.advance(61.0, 500).broken
    unwrapped = EnergyCounter(1000)
    unwrapped.advance(0.0, 0)
    assert unwrapped.advance(100.0, 50_000).watts == pytest.approx(0.5)


@pytest.mark.parametrize('span', [262143328850, 1_500_000])
def test_power_is_right_however_short_the_steps(span: int) -> None:
    """20 W, by a counter that moves once a millisecond, at moments as the sampler has them."""
    chance = random.Random(0)
    counter = EnergyCounter(1_000_000, span)
    got: list[tuple[float, CounterStep]] = []
    for n in range(2000):
        moment = 5.0 + (n + chance.random()) * 0.01
        got.append((moment, counter.advance(moment, int(moment * 1000) * 20_000 % span)))
    assert not any(step.broken for _, step in got)
    # What is not known yet is not said.
    assert all(step.watts is None for moment, step in got if moment < got[0][0] + 0.02)
    watts = [step.watts for moment, step in got if moment > got[0][0] + 0.021]
    assert all(one is not None and abs(one - 20.0) <= 1.0 for one in watts)
    # The energy is that from each value to the next.
    assert got[-1][1].joules - got[0][1].joules == pytest.approx(
        20.0 * (got[-1][0] - got[0][0]), abs=0.03
    )
    assert all(
        0 <= b.joules - a.joules <= 20.0 * (u - t) + 0.021 for (t, a), (u, b) in pairwise(got)
    )


@pytest.mark.parametrize('later', [0.0, -1.0])
def test_no_power_from_no_time(later: float) -> None:
    counter = EnergyCounter(1000)
    counter.advance(0.0, 0)
    assert counter.advance(later, 5).watts is None


def test_a_failed_read_breaks_the_chain() -> None:
    counter = EnergyCounter(1_000_000, 262143328850)
    counter.advance(0.0, 262143000000)
    counter.lost()
    step = counter.advance(0.2, 100)
    assert step.watts is None and not step.broken
