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

"""Energy by source: known costs are recovered within the stated error."""

from __future__ import annotations

from collections.abc import Iterable
import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import numpy.typing as npt
import pytest

from dual_cnn_ros.energy.account import Account
from dual_cnn_ros.energy.attribution import Attribution, Estimate, InseparableError
from dual_cnn_ros.power.reading import Reading

IDLE = 4.0
WATTS = {'memory': 1.0, 'first': 3.0, 'second': 7.0}
SECONDS = {'memory': 0.002, 'first': 0.006, 'second': 0.018}
SOURCES = {
    'memory': ('memory',),
    'first': ('memory', 'first'),
    'second': ('memory', 'first', 'second'),
}


Decisions = list[tuple[float, str, dict[str, float]]]


def robot(
    rng: np.random.Generator, seconds: float, rest: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], Decisions]:
    """
    Simulate thirty frames a second after a rest, each decided by one of three sources.

    Returns when the power changes, what it is before, between and after, and the decisions.
    """
    edges, watts, decisions = [], [IDLE], []
    for frame in range(int(seconds * 30)):
        if frame % 150 == 0:
            # Scenes last some seconds, and differ in how hard they are.
            mix = rng.dirichlet([1.0, 1.0, 1.0])
        source = str(rng.choice(list(SOURCES), p=mix))
        time = rest + frame / 30 + 0.002
        busy = {}
        for part in SOURCES[source]:
            busy[part] = SECONDS[part] * rng.uniform(0.8, 1.2)
            edges.append(time)
            watts.append(IDLE + WATTS[part])
            time += busy[part]
        edges.append(time)
        watts.append(IDLE)
        decisions.append((time, source, busy))
    return np.array(edges), np.array(watts), decisions


def accounted(seed: int, seconds: float, rest: float) -> tuple[Account, Decisions]:
    """
    Return the account of a robot, and its decisions.

    It is read at 10 Hz, at a random moment of each tenth, with noise and steps of 40 mW; decisions
    arrive a little late. Its idle power is measured if there is a rest.
    """
    rng = np.random.default_rng(seed)
    edges, watts, decisions = robot(rng, seconds, rest)
    cells = np.arange(round((rest + seconds) * 10))
    times = (cells + rng.random(len(cells))) * 0.1
    read = watts[np.searchsorted(edges, times, side='right')] + rng.normal(0, 0.05, len(times))
    account, waiting = Account(2.0), list(reversed(decisions))
    for n, (time, power) in enumerate(zip(times, np.round(read / 0.04) * 0.04)):
        while waiting and waiting[-1][0] + 0.05 < time:
            finished, source, busy = waiting.pop()
            account.add_decision(finished + 1000, source, busy, ('first', 'second'))
        account.add_reading(time + 1000, Reading('total', time, watts=power), 0.1)
        if rest and n == 5:
            account.measure_idle(20.0)
    return account, decisions


@pytest.mark.slow
@pytest.mark.parametrize('rest', [30.0, 0.0])
def test_known_costs_are_recovered_within_the_stated_error(rest: float) -> None:
    """Five minutes of twelve robots, with and without a measured idle power."""
    deviations = []
    for seed in range(12):
        account, _ = accounted(seed, 300.0, rest)
        assert (account.idle is not None) is bool(rest)
        # Those of the first tenth of a second may be over before the first reading.
        assert account.unmatched <= 3 and account.uncovered_windows == 0
        fit = account.fit()
        for source in SOURCES:
            # Busy seconds vary by source and run: compare with what these frames really cost.
            busy = account.mean_busy_seconds(source)
            true = sum(WATTS[part] * seconds for part, seconds in busy.items())
            cost = fit.cost(busy)
            deviations.append((cost.value - true) / cost.standard_error)
            # Without idle power, what every frame costs looks like the power of a resting board.
            if source == 'second' and rest:
                assert cost.value == pytest.approx(true, rel=0.2)
                assert cost.standard_error < 0.08 * true
    assert np.mean(np.abs(deviations) <= 2) >= 0.85
    assert max(np.abs(deviations)) < 4.5
    assert abs(np.mean(deviations)) < 0.5


@pytest.mark.slow
def test_average_and_saving() -> None:
    account, decisions = accounted(7, 600.0, 40.0)
    true = np.mean([sum(WATTS[part] * s for part, s in busy.items()) for _, _, busy in decisions])
    assert account.net_joules_per_frame == pytest.approx(true, rel=0.05)
    assert account.joules_per_frame == pytest.approx(true + IDLE / 30, rel=0.02)
    fit, busy = account.fit(), account.mean_busy_seconds()
    for name, parts in {'always_last': ['second'], 'always_all': ['first', 'second']}.items():
        saving = fit.saving(busy, account.baseline_busy_seconds(name))
        expected = 1 - true / sum(WATTS[part] * SECONDS[part] for part in parts)
        assert saving.value == pytest.approx(expected, abs=max(4 * saving.standard_error, 0.02))
        assert 0 < saving.standard_error < 0.1
    measured = fit.saving(busy, Estimate(0.5, 0.0))
    assert measured.value == pytest.approx(1 - true / 0.5, abs=0.02)
    # A baseline that is known to 5 % makes the share that is left uncertain by 5 % of it.
    unsure = fit.saving(busy, Estimate(0.5, 0.025))
    assert unsure.value == measured.value
    assert unsure.standard_error == pytest.approx(
        math.hypot(measured.standard_error, 0.05 * (1 - measured.value)), rel=1e-6
    )


# The least squares

Windows = Iterable[tuple[float, dict[str, float]]]


def attributed(windows: Windows) -> Attribution:
    """Return the attribution of windows of 2 s: the joules and the busy seconds of each."""
    attribution = Attribution()
    for joules, busy in windows:
        attribution.add(2.0, joules, busy)
    return attribution


def two_parts(joules: npt.NDArray[np.float64], busy: npt.NDArray[np.float64]) -> Windows:
    for energy, (first, second) in zip(joules, busy):
        yield float(energy), {'first': first, 'second': second}


@given(
    watts=st.lists(st.floats(-5, 20), min_size=3, max_size=3),
    idle=st.floats(0, 10),
    seed=st.integers(0, 10_000),
)
def test_exact_data_gives_exact_costs(watts: list[float], idle: float, seed: int) -> None:
    busy = np.random.default_rng(seed).uniform(0, 0.5, (30, 3))
    attribution = attributed((2 * idle + row @ watts, dict(zip(SOURCES, row))) for row in busy)
    for fit in (attribution.fit(Estimate(idle, 0.0)), attribution.fit(None)):
        assert fit.parts == tuple(SOURCES)
        assert fit.watts == pytest.approx(watts, abs=1e-5)
        assert fit.cost({'first': 2.0}).value == pytest.approx(2 * watts[1], abs=1e-5)


def test_standard_errors_are_those_of_leaving_windows_out() -> None:
    rng = np.random.default_rng(3)
    busy = rng.uniform(0, 1, (50, 2))
    joules = busy @ [3.0, 5.0] + 8.0 + rng.normal(0, 0.3, 50) * busy[:, 1]
    fit = attributed(two_parts(joules, busy)).fit(None)
    design = np.column_stack([busy, np.full(50, 2.0)])

    def solve(windows: npt.NDArray[np.int_]) -> npt.NDArray[np.float64]:
        return np.linalg.lstsq(design[windows], joules[windows], rcond=None)[0][:2]

    every = np.arange(50)
    assert fit.watts == pytest.approx(solve(every))
    without = np.array([solve(np.delete(every, n)) for n in every])
    assert fit.covariance == pytest.approx(49 * np.cov(without.T, bias=True))


def test_merging_blocks_does_not_change_the_fit() -> None:
    rng = np.random.default_rng(6)
    busy = rng.uniform(0, 1, (5000, 2))
    joules = busy @ [3.0, 5.0] + rng.normal(0, 0.5, 5000)
    fit = attributed(two_parts(8 + joules, busy)).fit(Estimate(4.0, 0.0))
    assert fit.watts == pytest.approx(np.linalg.lstsq(busy, joules, rcond=None)[0])
    # Noise of 0.5 J in windows of equal noise.
    expected = 0.25 * np.linalg.inv(busy.T @ busy)
    assert np.diag(fit.covariance) == pytest.approx(np.diag(expected), rel=0.4)


@pytest.mark.parametrize('odd', [1.0, 0.2])
def test_a_fit_that_hangs_on_one_odd_window_says_so(odd: float) -> None:
    """Another program held up the second CNN: it was busy for long and drew nothing more."""
    rng = np.random.default_rng(8)

    def windows() -> Windows:
        for n in range(50):
            busy = {'first': rng.uniform(0.01, 0.02), 'second': 0.01 if n % 7 == 0 else 0.0}
            joules = 3 * busy['first'] + 7 * busy['second'] + rng.normal(0, 0.005)
            yield joules, busy | ({'second': odd} if n == 21 else {})

    fit = attributed(windows()).fit(Estimate(0.0, 0.0))
    for part, watts in (('first', 3.0), ('second', 7.0)):
        found = fit.cost({part: 1.0})
        assert abs(found.value - watts) < 3 * found.standard_error
    assert fit.cost({'second': 1.0}).standard_error > 2


def test_the_power_of_a_part_of_a_single_window_is_uncertain_by_all_of_it() -> None:
    attribution = attributed((0.3 * (1 + n % 3), {'first': 0.1 * (1 + n % 3)}) for n in range(20))
    attribution.add(2.0, 1.7, {'first': 0.1, 'second': 0.2})
    fit = attribution.fit(Estimate(0.0, 0.0))
    second = fit.cost({'second': 0.2})
    assert second.value == pytest.approx(1.4)
    assert second.standard_error == pytest.approx(1.4, rel=0.1)
    assert fit.cost({'first': 0.2}).standard_error == pytest.approx(0.0, abs=1e-6)


def test_an_uncertain_idle_power_widens_the_errors() -> None:
    attribution = attributed((8.0 + 0.5 * (n % 5), {'first': 0.1 * (n % 5)}) for n in range(20))
    sure = attribution.fit(Estimate(4.0, 0.0)).cost({'first': 1.0})
    unsure = attribution.fit(Estimate(4.0, 0.1)).cost({'first': 1.0})
    assert sure.value == pytest.approx(5.0) and sure.standard_error == pytest.approx(0.0, abs=1e-6)
    # d cost / d idle = sum(seconds * busy) / sum(busy^2) = 8 / 1.2
    assert unsure.standard_error == pytest.approx(0.1 * 8 / 1.2, rel=1e-6)


def test_parts_may_appear_later_and_one_that_is_never_busy_is_left_out() -> None:
    attribution = attributed((8 + 0.3 * n, {'first': 0.1 * n, 'third': 0.0}) for n in range(10))
    for n in range(10):
        attribution.add(2.0, 8.3 + 1.4 * n, {'first': 0.1, 'second': 0.2 * n})
    fit = attribution.fit(Estimate(4.0, 0.0))
    assert dict(zip(fit.parts, fit.watts)) == pytest.approx({'first': 3.0, 'second': 7.0})


@pytest.mark.parametrize(
    ('windows', 'idle', 'reason'),
    [
        (0, None, 'no window'),
        (1, None, '1 windows are too few for 3 unknowns'),
        (20, Estimate(4.0, 0.0), 'first, second were always busy in the same .*scenes$'),
        (20, None, 'or measure the idle power'),
    ],
)
def test_what_cannot_be_told_apart_is_said(
    windows: int, idle: Estimate | None, reason: str
) -> None:
    attribution = attributed([(9.0, {'first': 0.2, 'second': 0.4})] * windows)
    with pytest.raises(InseparableError, match=reason):
        attribution.fit(idle)


@pytest.mark.parametrize(
    ('watts', 'noise', 'baseline', 'refused'),
    [
        (0.0, 1.0, {'first': 0.1}, 'the baseline costs'),
        # Else the saving would be more than 100 %.
        (-3.0, 0.01, Estimate(0.5, 0.0), 'the cascade costs'),
        (0.1, 0.01, Estimate(0.5, 0.0), 'the cascade costs'),
    ],
)
def test_a_saving_is_refused_where_a_cost_is_near_zero_or_below(
    watts: float, noise: float, baseline: dict[str, float] | Estimate, refused: str
) -> None:
    rng = np.random.default_rng(5)
    busy = rng.uniform(0, 0.1, 20)
    fit = attributed((8 + watts * one + rng.normal(0, noise), {'first': one}) for one in busy).fit(
        Estimate(4.0, 0.0)
    )
    with pytest.raises(InseparableError, match=f'{refused} .* not clearly above zero'):
        fit.saving({'first': 0.1}, baseline)
