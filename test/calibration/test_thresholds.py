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

from dual_cnn_ros.calibration.thresholds import ALWAYS_DEFER, curve, ThresholdPoint
from dual_cnn_ros.cascade.settings import Criterion

pytestmark = pytest.mark.filterwarnings('error')

Sample = tuple[float, bool, bool]
HALF = 0.5
scores = st.one_of(
    st.floats(0, 1),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),  # ties
    st.sampled_from([5e-324, 1e-323, math.nextafter(HALF, 0), math.nextafter(HALF, 1)]),
    st.sampled_from([math.nextafter(math.nextafter(HALF, 1), 1), math.nextafter(1, 0)]),
)


def outcome(threshold: float, samples: list[Sample]) -> tuple[float, float]:
    """Return the accuracy of the rule, and its deferral rate."""
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
def test_curve_has_every_rule_once_and_finds_the_best(samples: list[Sample]) -> None:
    found = curve(*zip(*samples))
    columns = found.thresholds.tolist(), found.accuracy.tolist(), found.deferral_rate.tolist()
    points = [ThresholdPoint(*row) for row in zip(*columns)]
    expected = all_outcomes(samples)
    assert len(points) == len(expected)
    for point in points:
        Criterion(threshold=point.threshold)  # which refuses what is out of range
        assert outcome(point.threshold, samples) == (point.accuracy, point.deferral_rate)
    assert (np.diff(found.thresholds) < 0).all() and (np.diff(found.deferral_rate) < 0).all()
    assert found.deferral_rate[0] == 1 and found.deferral_rate[-1] == 0

    best = found.most_accurate()
    assert (best.accuracy, -best.deferral_rate) == max((a, -rate) for a, rate in expected)
    for accuracy in found.accuracy:
        cheapest = found.reaching(accuracy)
        assert cheapest in points and cheapest.accuracy >= accuracy
        assert cheapest.deferral_rate == min(rate for a, rate in expected if a >= accuracy)
    with pytest.raises(ValueError, match='no threshold reaches'):
        found.reaching(best.accuracy + 1e-9)
    for deferred in range(len(samples) + 1):
        nearest = found.deferring_at_most(deferred / len(samples))
        assert nearest in points
        assert nearest.deferral_rate == max(r for _, r in expected if r <= deferred / len(samples))

    efficient = {p.threshold for p in points if not any(other.dominates(p) for other in points)}
    assert set(found.pareto().thresholds.tolist()) == efficient


@pytest.mark.parametrize(
    ('accuracy', 'deferral_rate', 'dominated'),
    [(0.9, 0.2, False), (0.9, 0.3, True), (0.8, 0.2, True), (0.8, 0.1, False), (0.95, 0.3, False)],
)
def test_a_point_dominates_what_it_beats_in_one_way_and_equals_in_the_other(
    accuracy: float, deferral_rate: float, dominated: bool
) -> None:
    other = ThresholdPoint(0.5, accuracy, deferral_rate)
    assert ThresholdPoint(0.5, 0.9, 0.2).dominates(other) == dominated


@pytest.mark.parametrize('count', [3, 50, 200, 5000])
def test_subsample_keeps_the_ends_and_the_best(count: int) -> None:
    random = np.random.default_rng(0)
    s = random.random(2000)
    found = curve(s, random.random(2000) < s, random.random(2000) < 0.8)
    thin = found.subsample(count)
    assert min(count - 1, len(found.thresholds)) <= len(thin.thresholds) <= count
    assert thin.most_accurate() == found.most_accurate()
    assert [thin.thresholds[end] for end in (0, -1)] == [found.thresholds[end] for end in (0, -1)]
    assert np.diff(thin.deferral_rate).min() >= -1 / (count - 2) - 1e-3
    assert set(zip(thin.thresholds, thin.accuracy)) <= set(zip(found.thresholds, found.accuracy))


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
    found = curve(*zip(*samples)).most_accurate()
    assert (found.threshold, found.accuracy, found.deferral_rate) == pytest.approx(best)
    assert (found.threshold == ALWAYS_DEFER) == (best[0] == ALWAYS_DEFER)


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
