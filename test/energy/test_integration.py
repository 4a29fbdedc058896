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

"""Energy from readings: exact where it can be, and never silent about what is missing."""

from __future__ import annotations

from itertools import accumulate, pairwise
import math
import random
import statistics

from hypothesis import given
from hypothesis import strategies as st
import pytest

from dual_cnn_ros.energy.integration import energy_of, EnergyIntegrator
from dual_cnn_ros.power.reading import Reading


def steady(watts: float, seconds: float, offset_watts: float | None = None) -> list[Reading]:
    times = [n * 0.1 for n in range(round(seconds * 10) + 1)]
    return [Reading('total', t, watts=watts, offset_watts=offset_watts) for t in times]


# Power

times = st.lists(st.integers(0, 400), min_size=2, max_size=60, unique=True).map(
    lambda cells: [cell / 1000 for cell in sorted(cells)]
)


@given(times=times, data=st.data())
def test_any_sampling_of_a_polygon_is_exact(times: list[float], data: st.DataObject) -> None:
    """As a whole, and cut in two windows anywhere."""
    watts = [data.draw(st.floats(-50, 50)) for _ in times]
    readings = [Reading('total', t, watts=w) for t, w in zip(times, watts)]
    energy = energy_of(readings, 0.1)
    exact = sum(
        (a + b) / 2 * (t1 - t0) for (t0, t1), (a, b) in zip(pairwise(times), pairwise(watts))
    )
    assert energy.measured_joules == pytest.approx(exact, abs=1e-9)
    assert energy.coverage == pytest.approx(1.0)
    assert energy.joules == energy.measured_joules
    cut = data.draw(st.floats(times[0], times[-1]))
    left = energy_of(readings, 0.1, times[0], cut)
    right = energy_of(readings, 0.1, cut, times[-1])
    assert left.measured_joules + right.measured_joules == pytest.approx(exact, abs=1e-9)
    assert left.covered_seconds + right.covered_seconds == pytest.approx(
        energy.covered_seconds, abs=1e-12
    )


def test_edges_are_interpolated() -> None:
    ramp = [Reading('total', float(n) / 4, watts=float(n)) for n in range(9)]
    energy = energy_of(ramp, 0.1, 0.3, 1.7)
    assert energy.measured_joules == pytest.approx((1.7**2 - 0.3**2) * 2)
    assert energy.readings == 5


@given(
    steps=st.lists(st.floats(0.01, 3.0), min_size=1, max_size=40),
    failures=st.sets(st.integers(0, 40)),
)
def test_gaps_and_failures_are_accounted_for(steps: list[float], failures: set[int]) -> None:
    times = list(accumulate([0.0, *steps]))
    readings = [
        Reading('total', time, error='EIO')
        if n in failures
        else Reading('total', time, watts=10.0)
        for n, time in enumerate(times)
    ]
    energy = energy_of(readings, 0.1)
    good = [reading.time for reading in readings if not reading.error]
    bridged = sum(b - a for a, b in pairwise(good) if b - a <= 0.5)
    assert energy.covered_seconds == pytest.approx(bridged)
    assert energy.measured_joules == pytest.approx(10.0 * bridged)
    assert energy.window_seconds == pytest.approx(times[-1])
    assert energy.failed == len(readings) - len(good)
    assert 0 <= energy.coverage <= 1 + 1e-9
    assert (energy.joules is None) == (energy.coverage < 0.95)
    assert energy.longest_gap_seconds <= energy.window_seconds - energy.covered_seconds + 1e-9


def test_a_gap_is_not_bridged_and_leaves_no_single_number() -> None:
    # In the middle, and at either edge of the window.
    readings = [r for r in steady(10.0, 20.0) if 1.95 < r.time < 5.05 or 7.95 < r.time < 19.05]
    energy = energy_of(readings, 0.1, 0.0, 20.0)
    assert energy.measured_joules == pytest.approx(140.0)
    assert energy.longest_gap_seconds == pytest.approx(3.0)
    assert energy.coverage == pytest.approx(0.7)
    assert energy.joules is None and energy.mean_watts == pytest.approx(10.0)


def test_slow_nominal_period_allows_longer_steps() -> None:
    readings = [Reading('total', float(n) * 2, watts=1.0) for n in range(5)]
    assert energy_of(readings, 1.0).coverage == 1.0
    assert energy_of(readings, 0.1).coverage == 0.0


def test_missing_readings_are_those_of_the_rate_at_their_time() -> None:
    integrator = EnergyIntegrator(1.0)
    for n in range(600):
        if n % 100:
            integrator.add(Reading('total', float(n), watts=1.0))
    integrator.period = 0.1
    for n in [*range(6000, 6100), *range(6500, 6600)]:
        integrator.add(Reading('total', n * 0.1, watts=1.0))
    assert integrator.energy().missing == pytest.approx(405, abs=1)


def test_nothing_read_gives_nothing() -> None:
    for energy in (energy_of([], 0.1), energy_of([Reading('total', 5.0, error='EIO')], 0.1)):
        assert (energy.joules, energy.mean_watts, energy.measured_joules) == (None, None, 0.0)
        assert energy.bias_joules is None and energy.standard_error_watts is None


# Counters


def test_a_counter_is_preferred_to_power() -> None:
    readings = [Reading('total', n * 0.1, watts=999.0, joules=100 + n * 0.7) for n in range(11)]
    assert energy_of(readings, 0.1, 0.25, 0.75).measured_joules == pytest.approx(3.5)


@given(order=st.permutations(range(20)))
def test_readings_out_of_order_are_dropped_and_counted(order: list[int]) -> None:
    readings = [Reading('total', n * 0.1, watts=5.0, joules=n * 0.5) for n in order]
    energy = energy_of(readings, 0.1)
    kept = [n for i, n in enumerate(order) if all(n > m for m in order[:i])]
    assert energy.out_of_order == len(order) - len(kept)
    assert energy.measured_joules == pytest.approx(energy.covered_seconds * 5.0)
    assert energy.restarts == 0


@given(
    spent=st.lists(st.floats(0, 100), min_size=2, max_size=50),
    failed=st.sets(st.integers(1, 48), max_size=10),
)
def test_a_failed_read_breaks_the_counters_chain(spent: list[float], failed: set[int]) -> None:
    total, readings, expected = 0.0, [], 0.0
    for n, joules in enumerate(spent):
        total += joules
        reading = Reading('total', n * 0.1, joules=total)
        readings.append(Reading('total', n * 0.1, error='EIO') if n in failed else reading)
        expected += joules if n and not {n - 1, n} & failed else 0.0
    energy = energy_of(readings, 0.1)
    assert energy.measured_joules == pytest.approx(expected, abs=1e-6)


def test_a_counter_that_was_reset_adds_nothing() -> None:
    joules = [100.0, 102.0, 104.0, 0.5, 2.5]
    readings = [Reading('total', n * 0.1, joules=j) for n, j in enumerate(joules)]
    energy = energy_of(readings, 0.1)
    assert energy.measured_joules == pytest.approx(6.0)
    assert energy.restarts == 1 and energy.coverage == pytest.approx(0.75)


@pytest.mark.parametrize(('joules', 'believed'), [(0.7, True), (1.6, False), (0.0007, False)])
def test_a_counter_that_power_contradicts_is_left_out(joules: float, believed: bool) -> None:
    readings = [Reading('total', n * 0.1, watts=7.0, joules=100 + n * joules) for n in range(101)]
    energy = energy_of(readings, 0.1)
    assert energy.joules == (pytest.approx(70.0) if believed else None)
    assert ('one is wrong' in energy.fault) is not believed
    assert energy.coverage == pytest.approx(float(believed))


def test_a_slow_counter_is_differenced_from_step_to_step() -> None:
    """Known each second, when it moves; between two steps the reading has no joules."""
    readings = [
        Reading('total', n * 0.1, joules=None if n % 10 else n * 0.5) for n in range(-10, 61)
    ]
    energy = energy_of(readings, 0.1, 0.0, 6.0)
    assert energy.joules == pytest.approx(30.0) and energy.coverage == pytest.approx(1.0)
    assert energy_of(readings, 0.1, 0.0, 6.5).covered_seconds == pytest.approx(6.0)


def test_an_interrupt_joins_nothing() -> None:
    integrator = EnergyIntegrator(0.1)
    for reading in steady(10.0, 1.0):
        integrator.add(reading)
    integrator.interrupt()
    for reading in steady(10.0, 1.0):
        integrator.add(Reading('total', reading.time + 1.3, watts=10.0))
    energy = integrator.energy()
    assert energy.measured_joules == pytest.approx(20.0)
    assert energy.longest_gap_seconds == pytest.approx(0.3)
    assert energy.restarts == 1


# Errors


def test_the_bias_is_that_of_the_sensors_offset_and_gain() -> None:
    readings = steady(10.0, 20.0, offset_watts=0.4)
    energy = energy_of(readings, 0.1)
    assert energy.bias_joules == pytest.approx(20 * (0.4 + 0.0125 * 10))
    assert energy.resolution_watts == 0.2
    readings[5] = Reading('total', 0.5, watts=10.0)
    assert energy_of(readings, 0.1).bias_joules is None


def test_two_seconds_at_10_hz_are_enough_for_a_standard_error() -> None:
    rng = random.Random(3)
    for _ in range(50):
        readings = [
            Reading('total', (n + rng.random()) * 0.1, watts=rng.gauss(5, 1)) for n in range(41)
        ]
        assert energy_of(readings, 0.1, 1.0, 3.0).standard_error_watts is not None
        assert energy_of(readings, 0.1, 1.0, 1.6).standard_error_watts is None


@pytest.mark.parametrize(('memory', 'stated'), [(0.0, (0.85, 1.15)), (0.2, (0.7, 1.1))])
@pytest.mark.parametrize('seconds', [10, 40])
def test_the_standard_error_is_that_of_the_mean(
    memory: float, stated: tuple[float, float], seconds: int
) -> None:
    """Over many windows in which a reading is correlated with those `memory` seconds before."""
    rng = random.Random(4)
    kept = math.exp(-0.1 / memory) if memory else 0.0
    means, errors = [], []
    for _ in range(200):
        level, readings = rng.gauss(0, 1), []
        for n in range(seconds * 10 + 1):
            level = kept * level + math.sqrt(1 - kept**2) * rng.gauss(0, 1)
            readings.append(Reading('total', n * 0.1, watts=5 + level))
        energy = energy_of(readings, 0.1)
        assert energy.mean_watts is not None and energy.standard_error_watts is not None
        means.append(energy.mean_watts)
        errors.append(energy.standard_error_watts)
    assert stated[0] < statistics.mean(errors) / statistics.stdev(means) < stated[1]
