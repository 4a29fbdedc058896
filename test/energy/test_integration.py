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

from itertools import pairwise
import math
import pickle
import random
import statistics

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from dual_cnn_ros.energy.idle import Idle, subtract_idle
from dual_cnn_ros.energy.integration import energy_of, EnergyIntegrator
from dual_cnn_ros.power.reading import Reading


def sampled(times: list[float], watts: list[float]) -> list[Reading]:
    return [Reading('total', t, watts=w) for t, w in zip(times, watts)]


def steady(watts: float, seconds: float, offset_watts: float | None = None) -> list[Reading]:
    return [
        Reading('total', n * 0.1, watts=watts, offset_watts=offset_watts)
        for n in range(round(seconds * 10) + 1)
    ]


times = st.lists(st.integers(0, 400), min_size=2, max_size=60, unique=True).map(
    lambda cells: [cell / 1000 for cell in sorted(cells)]
)


@given(times=times, data=st.data())
def test_any_sampling_of_a_polygon_is_exact(times: list[float], data: st.DataObject) -> None:
    watts = [data.draw(st.floats(-50, 50)) for _ in times]
    energy = energy_of(sampled(times, watts), 0.1)
    exact = sum(
        (a + b) / 2 * (t1 - t0) for (t0, t1), (a, b) in zip(pairwise(times), pairwise(watts))
    )
    assert energy.measured == pytest.approx(exact, abs=1e-9)
    assert energy.coverage == pytest.approx(1.0)
    assert energy.joules == energy.measured


@given(times=times, data=st.data())
def test_windows_side_by_side_add_up(times: list[float], data: st.DataObject) -> None:
    watts = [data.draw(st.floats(0, 50)) for _ in times]
    readings = sampled(times, watts)
    cut = data.draw(st.floats(times[0], times[-1]))
    whole = energy_of(readings, 0.1, times[0], times[-1])
    left = energy_of(readings, 0.1, times[0], cut)
    right = energy_of(readings, 0.1, cut, times[-1])
    assert left.measured + right.measured == pytest.approx(whole.measured, abs=1e-9)
    assert left.covered + right.covered == pytest.approx(whole.covered, abs=1e-12)


@given(
    steps=st.lists(st.floats(0.01, 3.0), min_size=1, max_size=40),
    failures=st.sets(st.integers(0, 40)),
)
def test_gaps_and_failures_are_accounted_for(steps: list[float], failures: set[int]) -> None:
    readings, time = [], 0.0
    for n, step in enumerate([0.0, *steps]):
        time += step
        if n in failures:
            readings.append(Reading('total', time, error='EIO'))
        else:
            readings.append(Reading('total', time, watts=10.0))
    energy = energy_of(readings, 0.1)
    good = [reading.time for reading in readings if not reading.error]
    bridged = sum(b - a for a, b in pairwise(good) if b - a <= 0.5)
    assert energy.covered == pytest.approx(bridged)
    assert energy.measured == pytest.approx(10.0 * bridged)
    assert energy.window == pytest.approx(time)
    assert energy.failed == len(readings) - len(good)
    assert 0 <= energy.coverage <= 1 + 1e-9
    assert (energy.joules is None) == (energy.coverage < 0.95)
    assert energy.longest_gap <= energy.window - energy.covered + 1e-9


@given(order=st.permutations(range(20)))
def test_readings_out_of_order_are_dropped_and_counted(order: list[int]) -> None:
    readings = [Reading('total', n * 0.1, watts=5.0, joules=n * 0.5) for n in order]
    energy = energy_of(readings, 0.1)
    kept = [n for i, n in enumerate(order) if all(n > m for m in order[:i])]
    assert energy.out_of_order == len(order) - len(kept)
    assert energy.measured == pytest.approx(energy.covered * 5.0)
    assert energy.restarts == 0


def test_a_reading_given_twice_counts_once() -> None:
    energy = energy_of([r for r in steady(10.0, 10.0) for _ in range(2)], 0.1)
    assert energy.measured == pytest.approx(100.0)
    assert energy.out_of_order == 101


def test_edges_are_interpolated() -> None:
    ramp = [Reading('total', float(n) / 4, watts=float(n)) for n in range(9)]
    energy = energy_of(ramp, 0.1, 0.3, 1.7)
    assert energy.measured == pytest.approx((1.7**2 - 0.3**2) * 2)
    assert energy.readings == 5


def test_gap_is_not_bridged_and_no_single_number_is_given() -> None:
    readings = [r for r in steady(10.0, 20.0) if not 5.05 < r.time < 7.95]
    energy = energy_of(readings, 0.1)
    assert energy.measured == pytest.approx(170.0)
    assert energy.longest_gap == pytest.approx(3.0)
    assert energy.coverage == pytest.approx(0.85)
    assert energy.joules is None and energy.mean_watts == pytest.approx(10.0)


@pytest.mark.parametrize(('coverage', 'given'), [(0.951, True), (0.949, False)])
def test_single_number_from_95_percent(coverage: float, given: bool) -> None:
    energy = energy_of(steady(10.0, 100.0), 0.1, 0.0, 100.0 / coverage)
    assert (energy.joules is not None) is given


def test_gap_at_either_edge_counts() -> None:
    energy = energy_of([r for r in steady(1.0, 10.0) if 2 <= r.time <= 9], 0.1, 0.0, 10.0)
    assert energy.coverage == pytest.approx(0.7)
    assert energy.longest_gap == pytest.approx(2.0)


def test_slow_nominal_period_allows_longer_steps() -> None:
    readings = [Reading('total', float(n) * 2, watts=1.0) for n in range(5)]
    assert energy_of(readings, 1.0).coverage == 1.0
    assert energy_of(readings, 0.1).coverage == 0.0


def test_missing_readings_are_those_of_the_rate_at_their_time() -> None:
    meter = EnergyIntegrator(1.0)
    for n in range(600):
        if n % 100:
            meter.add(Reading('total', float(n), watts=1.0))
    meter.period = 0.1
    for n in range(6000, 6100):
        meter.add(Reading('total', n * 0.1, watts=1.0))
    assert meter.energy().missing == pytest.approx(5, abs=1)
    for n in range(6500, 6600):
        meter.add(Reading('total', n * 0.1, watts=1.0))
    assert meter.energy().missing == pytest.approx(405, abs=1)


def test_nothing_read_gives_nothing() -> None:
    for energy in (energy_of([], 0.1), energy_of([Reading('total', 5.0, error='EIO')], 0.1)):
        assert (energy.joules, energy.mean_watts, energy.measured) == (None, None, 0.0)
        assert energy.bias is None and energy.standard_error_watts is None


def test_repeated_values_are_kept() -> None:
    watts = [5.0] * 10 + [15.0]
    energy = energy_of(sampled([n * 0.1 for n in range(11)], watts), 0.1)
    # Dropping the repeats would turn the flat stretch into a ramp from 5 to 15 W: 10 J.
    assert energy.measured == pytest.approx(5.5)


# Counters


def test_counter_beats_sampled_power() -> None:
    readings = [Reading('total', n * 0.1, watts=999.0, joules=100 + n * 0.7) for n in range(11)]
    energy = energy_of(readings, 0.1, 0.25, 0.75)
    assert energy.measured == pytest.approx(3.5)


def test_failed_read_breaks_the_counters_chain() -> None:
    readings = [Reading('total', n * 0.1, joules=n * 2.0) for n in range(11)]
    readings[5] = Reading('total', 0.5, error='EIO')
    energy = energy_of(readings, 0.1)
    assert energy.measured == pytest.approx(16.0)
    assert energy.coverage == pytest.approx(0.8) and energy.failed == 1
    assert energy.longest_gap == pytest.approx(0.2)


def test_restarted_counter_adds_nothing() -> None:
    joules = [100.0, 102.0, 104.0, 0.5, 2.5]
    readings = [Reading('total', n * 0.1, joules=j) for n, j in enumerate(joules)]
    energy = energy_of(readings, 0.1)
    assert energy.measured == pytest.approx(6.0)
    assert energy.restarts == 1 and energy.coverage == pytest.approx(0.75)


@given(
    spent=st.lists(st.floats(0, 100), min_size=2, max_size=50),
    failed=st.sets(st.integers(1, 48), max_size=10),
)
def test_counters_never_give_more_than_was_spent(spent: list[float], failed: set[int]) -> None:
    total, readings = 0.0, []
    for n, joules in enumerate(spent):
        total += joules
        reading = Reading('total', n * 0.1, joules=total)
        readings.append(Reading('total', n * 0.1, error='EIO') if n in failed else reading)
    energy = energy_of(readings, 0.1)
    assert -1e-9 <= energy.measured <= sum(spent[1:]) + 1e-6
    if not failed:
        assert energy.measured == pytest.approx(sum(spent[1:]), abs=1e-6)


def test_interrupt_joins_nothing() -> None:
    meter = EnergyIntegrator(0.1)
    for reading in steady(10.0, 1.0):
        meter.add(reading)
    meter.interrupt()
    for reading in steady(10.0, 1.0):
        meter.add(Reading('total', reading.time + 1.3, watts=10.0))
    energy = meter.energy()
    assert energy.measured == pytest.approx(20.0)
    assert energy.longest_gap == pytest.approx(0.3)
    assert energy.restarts == 1


# A day, and what more readings do not improve


def test_a_day_at_10_hz_neither_grows_nor_drifts() -> None:
    meter, grown = EnergyIntegrator(0.1), []
    seconds = 24 * 3600
    omega = 2 * math.pi / 600
    for n in range(seconds * 10 + 1):
        time = n * 0.1
        meter.add(Reading('total', time, watts=8 + 3 * math.sin(omega * time), offset_watts=0.1))
        if n in (36_000, seconds * 10):
            grown.append(len(pickle.dumps(meter)))
    energy = meter.energy()
    # 144 whole periods of the sine add nothing to 8 W.
    assert energy.measured == pytest.approx(8 * seconds, rel=1e-6)
    assert energy.joules == energy.measured
    assert energy.readings == seconds * 10 + 1
    # The blocks, 64 pairs of numbers at most, are all that varies.
    assert abs(grown[1] - grown[0]) < 64 * 2 * 9


def test_bias_is_apart_from_spread_and_does_not_shrink() -> None:
    rng = random.Random(0)

    def measured(seconds: int) -> tuple[float, float]:
        energy = energy_of(
            [
                Reading('total', n * 0.1, watts=10 + rng.gauss(0, 1), offset_watts=0.4)
                for n in range(seconds * 10)
            ],
            0.1,
        )
        assert energy.bias is not None and energy.standard_error_watts is not None
        assert energy.resolution_watts == 0.2
        return energy.bias / energy.covered, energy.standard_error_watts

    short, long = measured(20), measured(2000)
    assert short[0] == pytest.approx(0.4 + 0.0125 * 10, abs=0.02)
    assert long[0] == pytest.approx(short[0], abs=0.02)
    assert long[1] < short[1] / 3


def test_spread_sees_correlation() -> None:
    rng = random.Random(1)
    readings, level = [], 0.0
    for n in range(60_000):
        # A wander with a memory of 100 readings: its mean is known ten times worse than white
        # noise of the same size would be, sigma / sqrt(n / 200).
        level = 0.99 * level + rng.gauss(0, math.sqrt(1 - 0.99**2))
        readings.append(Reading('total', n * 0.1, watts=10 + level))
    spread = energy_of(readings, 0.1).standard_error_watts
    assert spread == pytest.approx(math.sqrt(200 / 60_000), rel=0.35)


def test_two_seconds_at_10_hz_are_enough_for_a_spread() -> None:
    rng = random.Random(3)
    for _ in range(50):
        readings = [
            Reading('total', (n + rng.random()) * 0.1, watts=rng.gauss(5, 1)) for n in range(41)
        ]
        assert energy_of(readings, 0.1, 1.0, 3.0).standard_error_watts is not None
        assert energy_of(readings, 0.1, 1.0, 1.6).standard_error_watts is None


@pytest.mark.parametrize(('memory', 'stated'), [(0.0, (0.85, 1.15)), (0.2, (0.7, 1.1))])
@pytest.mark.parametrize('seconds', [10, 40])
def test_stated_spread_is_that_of_means(
    memory: float, stated: tuple[float, float], seconds: int
) -> None:
    """Of many rests in which a reading resembles those of `memory` seconds before it."""
    rng = random.Random(4)
    kept = math.exp(-0.1 / memory) if memory else 0.0
    means, spreads = [], []
    for _ in range(200):
        level, readings = rng.gauss(0, 1), []
        for n in range(seconds * 10 + 1):
            level = kept * level + math.sqrt(1 - kept**2) * rng.gauss(0, 1)
            readings.append(Reading('total', n * 0.1, watts=5 + level))
        energy = energy_of(readings, 0.1)
        assert energy.mean_watts is not None and energy.standard_error_watts is not None
        means.append(energy.mean_watts)
        spreads.append(energy.standard_error_watts)
    assert stated[0] < statistics.mean(spreads) / statistics.stdev(means) < stated[1]


def test_one_missing_offset_makes_the_bias_unknown() -> None:
    readings = steady(5.0, 1.0, offset_watts=0.1)
    readings[5] = Reading('total', 0.5, watts=5.0)
    assert energy_of(readings, 0.1).bias is None


# Above idle


def test_net_is_gross_less_idle() -> None:
    load = energy_of(steady(9.0, 20.0, offset_watts=0.08), 0.1)
    idle = Idle(energy_of(steady(4.0, 10.0), 0.1), energy_of(steady(4.2, 10.0), 0.1))
    result = subtract_idle(load, idle)
    assert result.joules == pytest.approx(180 - 4.1 * 20)
    assert result.gross == pytest.approx(180)
    assert result.idle == pytest.approx(82)
    # The idle's drift, 0.2 W over 20 s; the offset cancels from the bias and the gain does not.
    assert result.noise == pytest.approx(4.0)
    assert result.bias == pytest.approx(0.0125 * 98)


@pytest.mark.parametrize(
    ('load', 'before', 'after', 'offset', 'refused'),
    [
        (5.0, 4.0, 4.0, 0.0, False),
        (5.0, 4.0, 5.5, 0.0, True),  # the idle power moved by more than the difference
        (4.03, 4.0, 4.0, 0.08, True),  # 30 mW is less than one step of 40 mW
        (4.05, 4.0, 4.0, 0.08, False),
        (3.5, 4.0, 4.0, 0.08, False),  # less than idle is a result too
    ],
)
def test_net_is_refused_within_the_noise(
    load: float, before: float, after: float, offset: float, refused: bool
) -> None:
    result = subtract_idle(
        energy_of(steady(load, 20.0, offset_watts=offset), 0.1),
        Idle(energy_of(steady(before, 10.0), 0.1), energy_of(steady(after, 10.0), 0.1)),
    )
    assert (result.joules is None) is refused
    assert bool(result.refused) is refused


def test_net_is_refused_where_idle_is_noisy() -> None:
    rng = random.Random(2)
    noisy = [Reading('total', n * 0.1, watts=4 + rng.gauss(0, 10)) for n in range(100)]
    idle = Idle(energy_of(noisy, 0.1))
    load = energy_of(steady(idle.watts + 0.1, 20.0), 0.1)
    assert 'within the noise' in subtract_idle(load, idle).refused


def test_net_is_refused_where_the_error_of_idle_is_unknown() -> None:
    load = energy_of(steady(9.0, 20.0), 0.1)
    for idle in (
        Idle(energy_of(steady(4.0, 0.5), 0.1)),
        Idle(energy_of(steady(4.0, 10.0), 0.1), energy_of(steady(4.0, 0.5), 0.1)),
    ):
        assert math.isnan(idle.standard_error_watts)
        result = subtract_idle(load, idle)
        assert result.joules is None and 'too few to tell the standard error' in result.refused


def test_a_load_that_varies_is_no_noise() -> None:
    """Two minutes of work in an hour: its mean is far above idle, and all of it was measured."""
    idle = Idle(energy_of(steady(5.0, 30.0), 0.1))
    readings = [
        Reading('total', n * 0.1, watts=10.0 if 30_000 <= n < 31_200 else 5.0)
        for n in range(36_000)
    ]
    load = energy_of(readings, 0.1)
    assert (
        load.standard_error_watts is not None
        and 2 * load.standard_error_watts * load.covered > 600
    )
    assert subtract_idle(load, idle).joules == pytest.approx(600.0)


def test_net_is_refused_without_coverage() -> None:
    load = energy_of(steady(9.0, 20.0), 0.1, 0.0, 100.0)
    result = subtract_idle(load, Idle(energy_of(steady(4.0, 10.0), 0.1)))
    assert result.joules is None and 'only 20%' in result.refused


@settings(max_examples=30)
@given(step=st.floats(0.02, 0.2), jitter=st.floats(0, 0.49), seed=st.integers(0, 1000))
def test_jittered_sampling_of_a_sine(step: float, jitter: float, seed: int) -> None:
    rng = random.Random(seed)
    times = [(n + rng.uniform(-jitter, jitter)) * step for n in range(int(30 / step))]
    watts = [6 + 2 * math.sin(t) for t in times]
    exact = 6 * (times[-1] - times[0]) + 2 * (math.cos(times[0]) - math.cos(times[-1]))
    # The trapezoid's bound: a third of a hertz sampled at 5 Hz or faster.
    bound = 2 * (2 * step) ** 2 / 12 * (times[-1] - times[0])
    assert energy_of(sampled(times, watts), 0.2).measured == pytest.approx(exact, abs=bound)
