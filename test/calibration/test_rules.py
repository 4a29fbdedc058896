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
from two_cnns import decide

from dual_cnn_ros.calibration.rules import candidate_rules, CandidateRule, choose_rule
from dual_cnn_ros.cascade.scores import SCORES, softmax
from dual_cnn_ros.cascade.settings import ALWAYS_DEFER, Criterion, POST_CHECKS, Rule


def draw(count: int, classes: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the probabilities of two CNNs, the second one better, and what is true."""
    random = np.random.default_rng(classes)
    truth = random.integers(0, classes, count)
    logits = random.normal(size=(2, count, classes))
    logits[:, np.arange(count), truth] += [[1.5], [2.0]]
    return [softmax(z) for z in logits], truth


@pytest.mark.parametrize('classes', [2, 3, 137])
@pytest.mark.parametrize('ties', [False, True])
def test_once_all_stages_are_asked_the_answers_are_the_cascades(classes: int, ties: bool) -> None:
    probabilities, _ = draw(300, classes)
    if ties:
        probabilities = [np.round(p * 4).astype(np.float32) / 4 for p in probabilities]
        probabilities[1][::3] = probabilities[0][::3, ::-1]
    for score, check in product(SCORES, POST_CHECKS):
        rule = Rule((Criterion(score, ALWAYS_DEFER),), check)
        answers = np.array([decide(p, q, rule)[0] for p, q in zip(*probabilities)])
        found = candidate_rules(probabilities, answers, (score,))
        own = next(other for other in found if other.post_check == check)
        assert own.final_right.all()


def test_at_any_threshold_they_come_to_what_the_cascade_comes_to() -> None:
    probabilities, truth = draw(200, 3)
    rules = candidate_rules(probabilities, truth)
    assert [(r.score, r.post_check) for r in rules] == list(product(SCORES, POST_CHECKS))
    for rule in rules:
        best = rule.best()
        for threshold in (best.threshold, 0.3, ALWAYS_DEFER):
            whole = Rule((Criterion(rule.score, threshold),), rule.post_check)
            labels, deferred = zip(*(decide(p, q, whole) for p, q in zip(*probabilities)))
            at = rule.at(threshold)
            assert at.accuracy == np.mean(labels == truth) <= best.accuracy
            assert at.deferral_rate == np.mean(deferred)
    assert rules[4].on(slice(0, 50)).find_in(rules) is rules[4]


def test_the_rule_that_serves_best_is_chosen() -> None:
    scores = np.array([0.9, 0.8, 0.3, 0.2])

    def rule(name: str, first: str, final: str) -> CandidateRule:
        right = [np.array([mark == '1' for mark in marks]) for marks in (first, final)]
        return CandidateRule('entropy', name, scores, *right)

    accurate = rule('none', '1100', '0011')  # all right where half are deferred
    cheap = rule('average', '1110', '1100')  # three right where none is
    assert choose_rule([cheap, accurate]) is accurate
    assert choose_rule([accurate, cheap], 0.75) is cheap
    assert choose_rule([cheap, rule('none', '1110', '0000')], 0.9) is cheap, 'the first of equals'
    assert choose_rule([rule('none', '1000', '0000'), cheap], 0.9) is cheap, 'the nearest'
