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

"""Intervals, differences, calibration and confusion of answers."""

from __future__ import annotations

import numpy as np
import pytest

from dual_cnn_ros.evaluation.metrics import bootstrap, confusion, Interval, LEAST_CLUSTERS


def interval_of(right: np.ndarray, clusters: np.ndarray) -> Interval:
    (estimate,) = bootstrap([right], clusters, 0)
    assert estimate.interval is not None
    return estimate.interval


def test_intervals_are_those_of_the_binomial() -> None:
    right = np.random.default_rng(0).random(2000) < 0.8
    low, high = interval_of(right, np.arange(2000))
    error = (right.mean() * (1 - right.mean()) / 2000) ** 0.5
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.08)
    assert (high + low) / 2 == pytest.approx(right.mean(), abs=0.2 * error)


def test_repeats_tell_nothing_new() -> None:
    """The interval of every frame twice is that of every frame once, if they are drawn as one."""
    right = np.random.default_rng(1).random(500) < 0.7
    once = interval_of(right, np.arange(500))
    apart = interval_of(np.tile(right, 2), np.arange(1000))
    assert interval_of(np.tile(right, 2), np.tile(np.arange(500), 2)) == once
    assert apart[1] - apart[0] < 0.8 * (once[1] - once[0])


def test_differences_are_paired() -> None:
    """Two systems that differ on few frames differ surely, however unsure either accuracy is."""
    right = np.random.default_rng(2).random(1000) < 0.6
    gained = np.zeros(1000, int)
    gained[np.flatnonzero(~right)[:20]] = 1
    (difference,) = bootstrap([gained], np.arange(1000), 0, least=-1.0)
    assert difference.mean == pytest.approx(0.02)
    low, high = difference.interval
    assert 0.01 < low < 0.02 < high < 0.03
    low, high = interval_of(right, np.arange(1000))
    assert high - low > 0.05


@pytest.mark.parametrize(
    ('value', 'least', 'interval'),
    [
        (1, 0, [0.8316, 1]),
        (0, 0, [0, 0.1684]),
        (-1, -1, [-1, -0.6631]),
        (0, -1, [-0.1684, 0.1684]),
    ],
)
def test_clusters_that_are_all_alike_have_an_interval_too(
    value: int, least: int, interval: list[float]
) -> None:
    """The exact one: with 20 of 20 right, 0.8316 is what Clopper and Pearson have."""
    for repeats in (1, 2):
        clusters = np.tile(np.arange(20), repeats)
        (estimate,) = bootstrap([np.full(20 * repeats, value)], clusters, 0, least)
        assert estimate.interval == pytest.approx(interval, abs=1e-4)


@pytest.mark.parametrize('clusters', [LEAST_CLUSTERS - 1, LEAST_CLUSTERS])
def test_few_clusters_have_no_interval(clusters: int) -> None:
    right = np.random.default_rng(4).random(100) < 0.5
    (estimate,) = bootstrap([right], np.arange(100) % clusters, 0)
    assert estimate.mean == right.mean()
    assert (estimate.interval is None) == (clusters < LEAST_CLUSTERS)


def test_the_true_accuracy_is_mostly_in_the_interval() -> None:
    random = np.random.default_rng(3)
    intervals = [interval_of(random.random(300) < 0.75, np.arange(300)) for _ in range(30)]
    assert 0.88 <= np.mean([low <= 0.75 <= high for low, high in intervals]) < 1


def test_confusion_counts_what_happened() -> None:
    truth, answer = np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1])
    assert confusion(truth, answer, ['a', 'b']) == {'a': {'a': 1, 'b': 2}, 'b': {'b': 1}}
