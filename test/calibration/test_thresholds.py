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

"""What thresholds come to, against brute force over all that make a difference."""

from __future__ import annotations

from itertools import pairwise, product
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from dual_cnn_ros.calibration.thresholds import (
    ALWAYS_DEFER,
    Outcome,
    threshold_grid,
    threshold_outcomes,
)
from dual_cnn_ros.cascade.settings import Criterion

pytestmark = pytest.mark.filterwarnings('error')

Sample = tuple[float, bool, bool]
HALF = 0.5
COSTS = (2.0, 8.0)
scores = st.one_of(
    st.floats(0, 1),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),  # ties
    st.sampled_from([5e-324, 1e-323, math.nextafter(HALF, 0), math.nextafter(HALF, 1)]),
    st.sampled_from([math.nextafter(math.nextafter(HALF, 1), 1), math.nextafter(1, 0)]),
)


def outcome(threshold: float, samples: list[Sample]) -> tuple[float, float]:
    """Return the accuracy of two stages, and the deferral rate."""
    accepted = [score >= threshold for score, _, _ in samples]
    right = sum(s[1] if accept else s[2] for s, accept in zip(samples, accepted))
    return right / len(samples), (len(samples) - sum(accepted)) / len(samples)


def all_outcomes(samples: list[Sample]) -> set[tuple[float, float]]:
    """Return what thresholds on, just below and just above every score come to."""
    candidates = {0.0, HALF, math.nextafter(0, 1), math.nextafter(1, 0), 1.0, ALWAYS_DEFER}
    for score, _, _ in samples:
        candidates |= {score, math.nextafter(score, 0), math.nextafter(score, 1)}
    return {outcome(t, samples) for t in candidates if 0 <= t <= ALWAYS_DEFER}


@settings(max_examples=200)
@given(st.lists(st.tuples(scores, st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_of_two_stages_every_rule_is_there_once_and_the_best_is_found(
    samples: list[Sample],
) -> None:
    own, first, final = zip(*samples)
    found = threshold_outcomes([own], [first, final], COSTS)
    points, expected = list(found), all_outcomes(samples)
    assert len(points) == len(expected)
    for point in points:
        (threshold,), (rate,) = point.thresholds, point.deferral_rates
        Criterion(threshold=threshold)  # which refuses what is out of range
        assert outcome(threshold, samples) == (point.accuracy, rate)
        assert point.cost == pytest.approx(2 + 8 * rate)
    assert (np.diff(found.cost) > 0).all()
    assert points[0].deferral_rates == (0,) and points[-1].deferral_rates == (1,)

    best = found.most_accurate()
    assert (best.accuracy, -best.deferral_rates[0]) == max((a, -rate) for a, rate in expected)
    for accuracy in found.accuracy:
        cheapest = found.reaching(accuracy)
        assert cheapest in points and cheapest.accuracy >= accuracy
        assert cheapest.deferral_rates[0] == min(r for a, r in expected if a >= accuracy)
    with pytest.raises(ValueError, match='no threshold reaches'):
        found.reaching(best.accuracy + 1e-9)
    for point in points:
        affordable = found.costing_at_most(point.cost)
        assert affordable.cost <= point.cost
        assert affordable.accuracy == max(a for a, r in expected if r <= point.deferral_rates[0])
    assert found.costing_at_most(0.0) == points[0]

    efficient = [p for p in points if not any(other.dominates(p) for other in points)]
    assert list(found.pareto()) == efficient


def brute(thresholds: tuple[float, ...], sure: Any, right: Any) -> tuple[float, list[float]]:
    """Return accuracy and deferral rates, image by image."""
    hits, passed = 0, [0] * len(thresholds)
    for i in range(len(right[0])):
        stop = next((k for k, t in enumerate(thresholds) if sure[k][i] >= t), len(thresholds))
        hits += right[stop][i]
        for stage in range(stop):
            passed[stage] += 1
    count = len(right[0])
    return hits / count, [p / count for p in passed]


@pytest.mark.parametrize('stages', [1, 2, 3, 4])
@pytest.mark.parametrize('most', [7**3, 64**3])
def test_of_any_number_of_stages_all_vectors_of_the_grid_are_exact(stages: int, most: int) -> None:
    random = np.random.default_rng(stages)
    sure = [random.integers(0, 20, 60) / 20 for _ in range(stages - 1)]
    right = [random.random(60) < 0.6 + 0.1 * stage for stage in range(stages)]
    found = threshold_outcomes(sure, right, range(1, stages + 1), most)
    grids = [threshold_grid(s, round(most ** (1 / len(sure)))) for s in sure]
    assert {point.thresholds for point in found} == set(product(*(g.tolist() for g in grids)))
    some = random.permutation(len(found))[:300]
    for place in some.tolist():
        point = found[place]
        accuracy, passed = brute(point.thresholds, sure, right)
        assert (point.accuracy, list(point.deferral_rates)) == (accuracy, passed)
        assert point.cost == pytest.approx(1 + sum((k + 2) * p for k, p in enumerate(passed)))
    assert (np.diff(found.cost) >= 0).all()
    front = list(found.pareto())
    assert all(a.cost < b.cost and a.accuracy < b.accuracy for a, b in pairwise(front))
    best = found.most_accurate()
    assert best == front[-1] and best.accuracy == found.accuracy.max()


@pytest.mark.parametrize('size', [2, 10, 64, 5000])
def test_a_grid_is_quantiles_with_both_ends(size: int) -> None:
    s = np.random.default_rng(0).random(2000) ** 3
    grid = threshold_grid(s, size)
    assert len(grid) == min(size, 2001) and (np.diff(grid) < 0).all()
    assert not (s >= grid[0]).any() and (s >= grid[-1]).all()
    accepted = (s >= grid[:, np.newaxis]).mean(axis=1)
    assert np.diff(accepted).max() <= 1 / (size - 1) + 1e-3


@pytest.mark.parametrize(
    ('accuracy', 'cost', 'dominated'),
    [(0.9, 0.2, False), (0.9, 0.3, True), (0.8, 0.2, True), (0.8, 0.1, False), (0.95, 0.3, False)],
)
def test_a_point_dominates_what_it_beats_in_one_way_and_equals_in_the_other(
    accuracy: float, cost: float, dominated: bool
) -> None:
    other = Outcome((0.5,), accuracy, (0.5,), cost)
    assert Outcome((0.5,), 0.9, (0.5,), 0.2).dominates(other) == dominated


@pytest.mark.parametrize('count', [3, 50, 200, 5000])
def test_subsample_keeps_the_ends_and_the_best(count: int) -> None:
    random = np.random.default_rng(0)
    s = random.random(2000)
    found = threshold_outcomes(
        [s], [random.random(2000) < s, random.random(2000) < 0.8], (0.0, 1.0)
    )
    thin = found.subsample(count)
    assert min(count - 1, len(found)) <= len(thin) <= count
    assert thin.most_accurate() == found.most_accurate()
    assert (thin[0], thin[-1]) == (found[0], found[-1])
    assert np.diff(thin.cost).max() <= 1 / (count - 2) + 1e-3
    assert set(thin) <= set(found)


@pytest.mark.parametrize(
    ('samples', 'best'),
    [
        # Halfway between what is accepted and what is not.
        ([(0.9, True, False), (0.5, False, True)], (0.7, 1, 0.5)),
        # Of equally accurate ones, that which defers least.
        ([(0.9, True, True), (0.6, True, True), (0.3, False, False)], (0.15, 2 / 3, 0)),
        # No threshold can accept one of the two at 0.5.
        ([(0.5, True, False), (0.5, False, True), (0.9, True, True)], (0.25, 2 / 3, 0)),
        # A score of 1 is refused, a score of 0 accepted.
        ([(1.0, False, True)], (ALWAYS_DEFER, 1, 1)),
        ([(0.0, True, False)], (0.0, 1, 0)),
    ],
)
def test_most_accurate_threshold_by_hand(
    samples: list[Sample], best: tuple[float, float, float]
) -> None:
    own, first, final = zip(*samples)
    found = threshold_outcomes([own], [first, final], COSTS).most_accurate()
    assert (*found.thresholds, found.accuracy, *found.deferral_rates) == pytest.approx(best)
    assert (found.thresholds[0] == ALWAYS_DEFER) == (best[0] == ALWAYS_DEFER)


@pytest.mark.parametrize(
    ('own', 'first', 'final', 'message'),
    [
        ([], [], [], 'non-empty'),
        ([0.5], [True, False], [True], 'equally long'),
        ([0.5], [True], [True, False], 'equally long'),
        ([[0.5]], [True], [True], 'equally long'),
        ([math.nan], [True], [True], r'in \[0, 1\]'),
        ([1.5], [True], [True], r'in \[0, 1\]'),
        ([-0.1], [True], [True], r'in \[0, 1\]'),
    ],
)
def test_what_makes_no_sense_is_refused(own: Any, first: Any, final: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        threshold_outcomes([own], [first, final], COSTS)
    with pytest.raises(ValueError, match='every stage needs'):
        threshold_outcomes([[0.5]], [[True]], COSTS)
