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

"""Selectors: their gradient against enumeration, and that they learn when to stop."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from dual_cnn_ros.calibration.policy_gradient import (
    exact_gradient,
    learn_selectors,
    rewards,
    sampled_gradient,
    selector_scores,
    train_selectors,
)
from dual_cnn_ros.calibration.rules import Answers, candidate_rules
from dual_cnn_ros.cascade.scores import softmax
from dual_cnn_ros.cascade.settings import POST_CHECKS


def problem(stages: int, count: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of stopping and rewards, both at random."""
    random = np.random.default_rng(stages)
    logits = random.normal(size=(count, stages - 1))
    return 1 / (1 + np.exp(-logits)), random.normal(-1, 1, size=(count, stages))


def expectation(stopping: np.ndarray, worth: np.ndarray) -> float:
    """Return the mean reward, by the probability of every stop of every image."""
    total = 0.0
    for own, earned in zip(stopping, worth):
        reach = 1.0
        for s, reward in zip((*own, 1.0), earned):
            total += reach * s * reward
            reach *= 1 - s
    return total / len(worth)


@pytest.mark.parametrize('stages', [1, 2, 3, 4, 5])
def test_the_exact_gradient_is_that_of_the_enumerated_expectation(stages: int) -> None:
    stopping, worth = problem(stages)
    mean, gradient = exact_gradient(stopping, worth)
    assert mean == pytest.approx(expectation(stopping, worth))
    assert gradient.shape == stopping.shape
    logits = np.log(stopping / (1 - stopping))
    for place in np.ndindex(*gradient.shape):
        moved = [logits.copy() for _ in range(2)]
        for values, step in zip(moved, (1e-5, -1e-5)):
            values[place] += step
        up, down = (expectation(1 / (1 + np.exp(-z)), worth) for z in moved)
        assert gradient[place] == pytest.approx((up - down) / 2e-5, abs=1e-8)


@pytest.mark.parametrize('baseline', [0.0, -1.0])
@pytest.mark.parametrize('stages', [2, 3, 4])
def test_reinforce_has_the_exact_gradient_as_its_mean(stages: int, baseline: float) -> None:
    stopping, worth = problem(stages)
    random = np.random.default_rng(1)
    draws = [sampled_gradient(stopping, worth, random, baseline) for _ in range(20_000)]
    mean, gradient = exact_gradient(stopping, worth)
    sampled = np.array([g for _, g in draws])
    error = sampled.std(axis=0) / len(draws) ** 0.5
    assert (np.abs(sampled.mean(axis=0) - gradient) < 4.5 * error + 1e-12).all()
    assert np.mean([m for m, _ in draws]) == pytest.approx(mean, abs=0.02)


def test_a_baseline_cuts_the_variance() -> None:
    stopping, worth = problem(3, 200)
    worth = worth - 2  # as log-likelihoods less costs are: all of one sign
    random = np.random.default_rng(2)
    variance = {
        baseline: np.var(
            [sampled_gradient(stopping, worth, random, baseline)[1] for _ in range(300)], axis=0
        ).mean()
        for baseline in (0.0, float(worth.mean()))
    }
    without, with_baseline = variance.values()
    assert with_baseline < 0.5 * without


def pool(count: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the answers of three CNNs, each twice as sure as the one before."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 5, count)
    easy = random.random(count)
    answers = []
    for strength in (3.0, 5.0, 8.0):
        logits = random.normal(size=(count, 5))
        logits[np.arange(count), truth] += strength * easy
        answers.append(softmax(logits))
    return answers, truth


COSTS = (1.0, 3.0, 10.0)


def test_the_price_decides_what_is_asked() -> None:
    (answers, truth), (others, other_truth) = pool(1500, 0), pool(1500, 1)
    outcomes = []
    for price in (0.0, 0.1, 0.5, 3.0):
        selectors = train_selectors(answers, rewards(answers, truth, COSTS, price))
        rule = candidate_rules(
            others, other_truth, COSTS, ('max_probability',), {'none': selectors}
        )[-1]
        assert rule.score == 'selector'
        outcomes.append(rule.at((0.5, 0.5)))
    assert all(a.cost >= b.cost for a, b in pairwise(outcomes))
    assert outcomes[0].cost > 11 and outcomes[-1].cost < 2
    singles = [float((p.argmax(axis=1) == other_truth).mean()) for p in others]
    assert outcomes[1].accuracy > singles[1] and outcomes[1].cost < sum(COSTS)
    # On other images, it is worth what thresholds of the same cost are.
    threshold = Answers(others, other_truth).rule('max_probability', 'none', range(3), COSTS)
    best = threshold.outcomes().costing_at_most(outcomes[1].cost)
    assert outcomes[1].accuracy > best.accuracy - 0.02


def test_the_numbers_of_a_bundle_say_the_same() -> None:
    answers, truth = pool(400, 2)
    selectors = learn_selectors(answers, truth, COSTS, 'average', 0.2)
    again = learn_selectors(answers, truth, COSTS, 'average', 0.2)
    assert selectors == again and len(selectors) == 2
    first, second = selector_scores(selectors, answers)
    agree = answers[0].argmax(axis=1) == answers[1].argmax(axis=1)
    for i in range(20):
        assert first[i] == pytest.approx(float(selectors[0](answers[0][i], True)), abs=1e-6)
        assert second[i] == pytest.approx(float(selectors[1](answers[1][i], agree[i])), abs=1e-6)


@pytest.mark.parametrize('check', POST_CHECKS)
def test_what_it_is_paid_for_is_what_the_cascade_would_answer(check: str) -> None:
    answers, truth = pool(300, 3)
    assert len(learn_selectors(answers, truth, COSTS, check, 0.1)) == 2
    assert learn_selectors(answers[:1], truth, COSTS[:1], check, 0.1) == ()
    worth = rewards(answers, truth, COSTS, 2.0)
    own = np.log(answers[1][np.arange(300), truth]) - 2 * 4 / 14
    np.testing.assert_allclose(worth[:, 1], own, rtol=1e-5)
