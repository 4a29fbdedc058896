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

"""Rules on many images at once are what the cascade does with one image after another."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from some_cnns import decide

from dual_cnn_ros.calibration.rules import Answers, candidate_rules, CandidateRule, choose_rule
from dual_cnn_ros.cascade.scores import SCORES, softmax
from dual_cnn_ros.cascade.settings import ALWAYS_DEFER, POST_CHECKS, Rule

COSTS = (1.0, 3.0, 5.0, 7.0)


def draw(count: int, classes: int, stages: int = 2) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the probabilities of some CNNs, each better than those before, and what is true."""
    random = np.random.default_rng(classes)
    truth = random.integers(0, classes, count)
    logits = random.normal(size=(stages, count, classes))
    logits[:, np.arange(count), truth] += 1.5 + 0.5 * np.arange(stages)[:, np.newaxis]
    return [softmax(z) for z in logits], truth


@pytest.mark.parametrize(('stages', 'classes'), [(1, 3), (2, 2), (2, 137), (3, 3), (4, 5)])
@pytest.mark.parametrize('ties', [False, True])
def test_once_all_stages_are_asked_the_answers_are_the_cascades(
    stages: int, classes: int, ties: bool
) -> None:
    probabilities, truth = draw(300, classes, stages)
    if ties:
        probabilities = [np.round(p * 4).astype(np.float32) / 4 for p in probabilities]
        probabilities[-1][::3] = probabilities[0][::3, ::-1]
    answers = Answers(probabilities, truth)
    for score, check in product(SCORES, POST_CHECKS):
        rule = answers.rule(score, check, range(stages), COSTS[:stages])
        whole = Rule(rule.criteria((ALWAYS_DEFER,) * (stages - 1)), check)
        labels = [decide(p, whole)[0] for p in zip(*probabilities)]
        if stages > 1:
            assert answers.labels(score, check, range(stages)).tolist() == labels
        assert rule.always_right.tolist() == (labels == truth).tolist()


@pytest.mark.parametrize('stages', [1, 2, 3, 4])
def test_at_any_thresholds_they_come_to_what_the_cascade_comes_to(stages: int) -> None:
    probabilities, truth = draw(200, 3, stages)
    rules = candidate_rules(probabilities, truth, COSTS[:stages])
    kinds = [(r.score, r.post_check) for r in rules]
    assert kinds == list(product(SCORES, POST_CHECKS))[: 1 if stages == 1 else None]
    for rule in rules:
        best = rule.outcomes(4096).most_accurate()
        for thresholds in (best.thresholds, (0.3,) * (stages - 1), (ALWAYS_DEFER,) * (stages - 1)):
            whole = Rule(rule.criteria(thresholds), rule.post_check)
            labels, passed = zip(*(decide(p, whole) for p in zip(*probabilities)))
            at = rule.at(thresholds)
            assert at.accuracy == np.mean(labels == truth)
            rates = [np.mean(np.array(passed) > stage) for stage in range(stages - 1)]
            assert list(at.deferral_rates) == rates
            assert at.cost == pytest.approx(1 + np.dot(rates, COSTS[1:stages]))
        assert rule.at(best.thresholds) == best
    assert rules[-1].on(slice(0, 50)).find_in(rules) is rules[-1]


def test_cascades_of_a_pool_have_the_answers_of_their_members() -> None:
    probabilities, truth = draw(100, 4, 4)
    answers = Answers(probabilities, truth)
    for check in POST_CHECKS:
        for order in ((2, 0), (0, 3, 1), (0, 2), (1, 3, 0)):
            found = answers.rule('entropy', check, order, COSTS[: len(order)])
            own = [probabilities[member] for member in order]
            alone = Answers(own, truth).rule(
                'entropy', check, range(len(order)), COSTS[: len(order)]
            )
            np.testing.assert_array_equal(found.right, alone.right)
            np.testing.assert_array_equal(found.scores, alone.scores)


def test_the_rule_that_serves_best_is_chosen() -> None:
    scores = np.array([0.9, 0.8, 0.3, 0.2])

    def rule(name: str, first: str, final: str) -> CandidateRule:
        right = tuple(np.array([mark == '1' for mark in marks]) for marks in (first, final))
        return CandidateRule('entropy', name, (scores,), right, (1.0, 1.0))

    accurate = rule('none', '1100', '0011')  # all right where half are deferred
    cheap = rule('average', '1110', '1100')  # three right where none is
    assert choose_rule([cheap, accurate]) is accurate
    assert choose_rule([accurate, cheap], 0.75) is cheap
    assert choose_rule([cheap, rule('none', '1110', '0000')], 0.9) is cheap, 'the first of equals'
    assert choose_rule([rule('none', '1000', '0000'), cheap], 0.9) is cheap, 'the nearest'
