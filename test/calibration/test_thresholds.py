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

"""The exact curve against brute force over every threshold that makes a difference."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from dual_cnn_ros.calibration.thresholds import ALWAYS_DEFER, Curve, curve, OperatingPoint
from dual_cnn_ros.cascade.settings import Settings

pytestmark = pytest.mark.filterwarnings('error')

Sample = tuple[float, bool, bool]


def outcome(threshold: float, samples: list[Sample]) -> tuple[int, int]:
    """Return how many samples the rule gets right, and for how many it asks the second stage."""
    right = asked = 0
    for score, first_right, final_right in samples:
        if score >= threshold:
            right += first_right
        else:
            right += final_right
            asked += 1
    return right, asked


def all_outcomes(samples: list[Sample]) -> set[tuple[int, int]]:
    """Return what thresholds on, just below and just above every score come to."""
    candidates = {0.0, 0.5, math.nextafter(0, 1), math.nextafter(1, 0), 1.0, ALWAYS_DEFER}
    for score, _, _ in samples:
        candidates |= {score, math.nextafter(score, 0), math.nextafter(score, 1)}
    return {outcome(t, samples) for t in candidates if 0 <= t <= ALWAYS_DEFER}


def brute_force(samples: list[Sample]) -> tuple[int, int]:
    return max(all_outcomes(samples), key=lambda result: (result[0], -result[1]))


def check(samples: list[Sample]) -> OperatingPoint:
    point = curve(*zip(*samples)).most_accurate()
    right, asked = brute_force(samples)
    assert 0 <= point.threshold <= ALWAYS_DEFER
    assert outcome(point.threshold, samples) == (right, asked)
    assert point.accuracy == right / len(samples)
    assert point.second_share == asked / len(samples)
    return point


scores = st.one_of(
    st.floats(0, 1),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),  # ties
    st.sampled_from(
        [
            5e-324,
            1e-323,
            math.nextafter(0.5, 0),
            math.nextafter(0.5, 1),
            math.nextafter(math.nextafter(0.5, 1), 1),
            math.nextafter(1, 0),
        ]
    ),
)  # neighbours


@settings(max_examples=400)
@given(st.lists(st.tuples(scores, st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_threshold_is_the_best_of_all(samples: list[Sample]) -> None:
    check(samples)


@settings(max_examples=400)
@given(st.lists(st.tuples(scores, st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_curve_has_every_rule_once_and_its_readings_are_the_best(samples: list[Sample]) -> None:
    n = len(samples)
    found = curve(*zip(*samples))
    points = [
        OperatingPoint(*row)
        for row in zip(
            found.thresholds.tolist(), found.accuracy.tolist(), found.second_share.tolist()
        )
    ]
    expected = {(right / n, asked / n) for right, asked in all_outcomes(samples)}
    assert len(points) == len(expected)
    assert {point[1:] for point in points} == expected
    for point in points:
        right, asked = outcome(point.threshold, samples)
        assert (right / n, asked / n) == point[1:]
    assert points == sorted(points, reverse=True), 'the rule that asks least comes last'
    assert points[0][1:] == (sum(final for _, _, final in samples) / n, 1), 'it always asks'
    assert points[-1][1:] == (sum(first for _, first, _ in samples) / n, 0), 'it never asks'
    Settings(thresholds=tuple(found.thresholds.tolist()))  # which refuses what is out of range

    efficient = {
        (a, share)
        for a, share in expected
        if not any(
            (b >= a and other < share) or (b > a and other <= share) for b, other in expected
        )
    }
    front = found.pareto()
    assert set(zip(front.accuracy.tolist(), front.second_share.tolist())) == efficient
    for accuracy in {a for a, _ in expected}:
        cheapest = found.reaching(accuracy)
        assert cheapest in points and cheapest.accuracy >= accuracy
        assert cheapest.second_share == min(s for a, s in expected if a >= accuracy)
    for asked in range(n + 1):
        nearest = found.asking_at_most(asked / n)
        assert nearest in points
        assert nearest.second_share == max(s for _, s in expected if s <= asked / n)
    with pytest.raises(ValueError, match=r'no threshold reaches'):
        found.reaching(max(a for a, _ in expected) + 1e-9)


def test_cost_of_a_frame() -> None:
    found = curve([0.9, 0.6, 0.3, 0.1], [True] * 4, [True] * 4)
    assert found.second_share.tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert found.cost(10, 40).tolist() == [50.0, 40.0, 30.0, 20.0, 10.0]


@pytest.mark.parametrize('count', [3, 50, 200, 5000])
def test_thinned_curve_keeps_its_ends_and_its_best(count: int) -> None:
    rng = np.random.default_rng(0)
    s = rng.random(2000)
    found = curve(s, rng.random(2000) < s, rng.random(2000) < 0.8)
    thin = found.thinned(count)
    assert len(thin.thresholds) <= count
    assert len(thin.thresholds) >= min(count - 1, len(found.thresholds))
    assert thin.most_accurate() == found.most_accurate()
    for end in (0, -1):
        assert thin.thresholds[end] == found.thresholds[end]
    assert (np.diff(thin.second_share) < 0).all()
    assert np.diff(thin.second_share).min() >= -1 / (count - 2) - 1e-3
    assert set(zip(thin.thresholds, thin.accuracy)) <= set(zip(found.thresholds, found.accuracy))


def test_spread_curve_is_even_in_what_it_asks() -> None:
    shares = np.array([0.9, 0.89, 0.88, 0.87, 0.5, 0.2, 0.02, 0.01, 0.0])
    found = Curve(np.linspace(1, 0, 9), np.linspace(0.9, 0.8, 9), shares)
    assert found.spread(4).second_share.tolist() == [0.9, 0.5, 0.2, 0.0]
    assert found.spread(100).second_share.tolist() == shares.tolist()
    one = Curve(np.zeros(1), np.ones(1), np.zeros(1))
    assert one.spread(10).second_share.tolist() == [0.0]


@pytest.mark.parametrize('seed', range(5))
def test_threshold_is_at_least_as_good_as_a_fine_grid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    s = rng.beta(4, 1, size=500).astype(np.float32)
    first, final = rng.random(500) < s, rng.random(500) < 0.8
    point = curve(s, first, final).most_accurate()
    accuracies = [np.where(s >= t, first, final).mean() for t in np.linspace(0, 1, 2002)[1:-1]]
    assert point.accuracy >= max(accuracies)
    assert np.where(s >= point.threshold, first, final).mean() == point.accuracy
    assert (s < point.threshold).mean() == pytest.approx(point.second_share)


def test_of_equally_accurate_thresholds_the_one_that_asks_second_least() -> None:
    point = check([(0.9, True, True), (0.6, True, True), (0.3, False, False)])
    assert point.threshold == pytest.approx(0.15)
    assert (point.accuracy, point.second_share) == (2 / 3, 0)


def test_threshold_is_halfway_between_what_is_accepted_and_what_is_not() -> None:
    assert check([(0.9, True, False), (0.5, False, True)]).threshold == pytest.approx(0.7)


def test_equal_scores_stay_together() -> None:
    # Accepting one of the two at 0.5 would be best, which no threshold can do.
    point = check([(0.5, True, False), (0.5, False, True), (0.9, True, True)])
    assert point.accuracy == 2 / 3
    assert point.second_share == 0


def test_second_stage_that_is_always_right_is_always_asked() -> None:
    point = check([(0.9, False, True), (0.8, False, True)])
    assert point.second_share == 1 and point.threshold > 0.9


def test_a_score_of_one_is_refused_where_the_second_stage_is_better() -> None:
    assert check([(1.0, False, True)]) == OperatingPoint(ALWAYS_DEFER, 1.0, 1.0)
    assert curve([1.0, 0.2], [True] * 2, [True] * 2).thresholds.tolist() == [
        ALWAYS_DEFER,
        0.6,
        0.1,
    ]


def test_a_score_of_zero_is_accepted_where_the_first_stage_is_better() -> None:
    assert check([(0.0, True, False)]) == OperatingPoint(0.0, 1.0, 0.0)
    assert curve([0.8, 0.0], [True] * 2, [True] * 2).thresholds.tolist() == [0.9, 0.4, 0.0]


def test_float32_scores_that_are_neighbours_are_told_apart() -> None:
    low = np.float32(0.7)
    high = np.nextafter(low, np.float32(1))
    point = curve(np.array([low, high]), [False, True], [True, False]).most_accurate()
    assert float(low) < point.threshold <= float(high)
    assert point.accuracy == 1


@pytest.mark.parametrize(
    ('arrays', 'message'),
    [
        (([], [], []), 'non-empty'),
        (([0.5], [True, False], [True]), 'equally long'),
        (([0.5], [True], [True, False]), 'equally long'),
        (([[0.5]], [[True]], [[True]]), 'equally long'),
        (([math.nan], [True], [True]), r'in \[0, 1\]'),
        (([1.5], [True], [True]), r'in \[0, 1\]'),
        (([-0.1], [True], [True]), r'in \[0, 1\]'),
    ],
)
def test_what_makes_no_sense_is_refused(arrays: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        curve(*arrays)
