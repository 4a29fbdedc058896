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

"""Every rule to choose from, a score with a post-check, and which images it gets right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.calibration.policy_gradient import selector_scores
from dual_cnn_ros.calibration.temperature import by_rows
from dual_cnn_ros.calibration.thresholds import (
    MOST_VECTORS,
    Outcome,
    Outcomes,
    threshold_outcomes,
)
from dual_cnn_ros.cascade.costs import expected_cost
from dual_cnn_ros.cascade.scores import SCORES
from dual_cnn_ros.cascade.selector import Selector
from dual_cnn_ros.cascade.settings import Criterion, POST_CHECKS, Rule, SELECTOR

# The answers of stages that stop by a selector are compared by this.
BY_CONFIDENCE = Rule((Criterion(SELECTOR),)).confidence

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CandidateRule:
    """
    A score with a post-check for n stages, without thresholds yet.

    Attributes
    ----------
    score
        A name of SCORES, or SELECTOR.
    post_check
        A name of POST_CHECKS.
    scores
        Of each stage but the last, float64 (..., N).
    right
        For each stage, whether the cascade is right where it is the last one asked, (..., N).
    costs
        Of each stage, for one image.

    """

    score: str
    post_check: str
    scores: tuple[npt.NDArray[np.float64], ...]
    right: tuple[Bools, ...]
    costs: tuple[float, ...]

    @property
    def always_right(self) -> Bools:
        """Whether the cascade is right once all stages were asked, (..., N)."""
        return self.right[-1]

    def outcomes(self, most: int = MOST_VECTORS) -> Outcomes:
        """Return what all vectors of thresholds come to, or as many as are wanted at most."""
        return threshold_outcomes(self.scores, self.right, self.costs, most)

    def right_at(self, thresholds: Sequence[float]) -> Bools:
        """Return whether the answer to each image is right, (..., N)."""
        right = self.always_right
        stages = list(zip(self.scores, self.right, thresholds))
        for scores, own, threshold in reversed(stages):
            right = np.where(scores >= threshold, own, right)
        return right

    def deferred_at(self, thresholds: Sequence[float]) -> tuple[Bools, ...]:
        """Return of each stage but the last whether it passes an image on, (..., N) each."""
        deferred: list[Bools] = []
        for scores, threshold in zip(self.scores, thresholds):
            own = scores < threshold
            deferred.append(own & deferred[-1] if deferred else own)
        return tuple(deferred)

    def at(self, thresholds: Sequence[float]) -> Outcome:
        """Return what a vector of thresholds comes to."""
        rates = tuple(float(deferred.mean()) for deferred in self.deferred_at(thresholds))
        accuracy = float(self.right_at(thresholds).mean())
        return Outcome(tuple(thresholds), accuracy, rates, expected_cost(self.costs, rates))

    def criteria(self, thresholds: Sequence[float]) -> tuple[Criterion, ...]:
        """Return the criteria of a cascade with these thresholds."""
        return tuple(Criterion(self.score, threshold) for threshold in thresholds)

    def on(self, images: slice | int) -> CandidateRule:
        """Return the same rule on some of the images."""
        return replace(
            self,
            scores=tuple(scores[images] for scores in self.scores),
            right=tuple(right[images] for right in self.right),
        )

    def find_in(self, rules: Sequence[CandidateRule]) -> CandidateRule:
        """Return the rule of the same score and post-check among rules on other images."""
        wanted = self.score, self.post_check
        return next(rule for rule in rules if (rule.score, rule.post_check) == wanted)


class Answers:
    """
    What the CNNs of a pool answer, alone and together, computed once for all cascades of them.

    Parameters
    ----------
    probabilities
        (N, K) of each CNN, calibrated.
    truth
        (N,), the true classes.

    """

    def __init__(self, probabilities: Sequence[Floats], truth: Labels) -> None:
        self._probabilities, self._truth = probabilities, truth
        self._own = [by_rows(_labels, p) for p in probabilities]
        self._scores: dict[tuple[str, int], npt.NDArray[np.float64]] = {}
        self._right: dict[object, Bools] = {}

    def scores(self, score: str, member: int) -> npt.NDArray[np.float64]:
        """Return the score of a CNN, float64 (N,); score: a name of SCORES."""
        if (score, member) not in self._scores:
            found = by_rows(SCORES[score], self._probabilities[member])
            # NumPy would round a threshold to the precision of what it is compared with.
            self._scores[score, member] = found.astype(np.float64)
        return self._scores[score, member]

    def labels(self, score: str, post_check: str, asked: Sequence[int]) -> Labels:
        """
        Return what `cascade.post_check` answers where some CNNs were asked, (N,).

        Parameters
        ----------
        score, post_check
            Names of SCORES and POST_CHECKS.
        asked
            The CNNs, in the order in which they were asked.

        """
        if len(asked) == 1 or post_check == 'none':
            return self._own[asked[-1]]
        if post_check == 'average':
            members = [self._probabilities[member] for member in asked]
            return by_rows(lambda *portions: _labels(sum(portions[1:], portions[0])), *members)
        found, best = self._own[asked[0]], self.scores(score, asked[0])
        for member in asked[1:]:
            scores = self.scores(score, member)
            found = np.where(scores > best, self._own[member], found)
            best = np.maximum(scores, best)
        return found

    def rule(
        self, score: str, post_check: str, order: Sequence[int], costs: Sequence[float]
    ) -> CandidateRule:
        """
        Return a rule for a cascade of some of the CNNs.

        Parameters
        ----------
        score, post_check
            Names of SCORES and POST_CHECKS.
        order
            The CNNs, in the order in which they are asked.
        costs
            Of each of these, for one image.

        """
        asked = [tuple(order[: count + 1]) for count in range(len(order))]
        return CandidateRule(
            score,
            post_check,
            tuple(self.scores(score, member) for member in order[:-1]),
            tuple(self._right_of(score, post_check, members) for members in asked),
            tuple(costs),
        )

    def _right_of(self, score: str, post_check: str, asked: tuple[int, ...]) -> Bools:
        key: object = (score, post_check, asked)
        if len(asked) == 1 or post_check == 'none':
            key = asked[-1]
        elif post_check == 'average':
            key = frozenset(asked)
        if key not in self._right:
            self._right[key] = self.labels(score, post_check, asked) == self._truth
        return self._right[key]


def candidate_rules(
    probabilities: Sequence[Floats],
    truth: Labels,
    costs: Sequence[float],
    scores: Sequence[str] = tuple(SCORES),
    selectors: Mapping[str, Sequence[Selector]] | None = None,
) -> list[CandidateRule]:
    """
    Return every score with every post-check; the first of them for a single stage.

    Parameters
    ----------
    probabilities
        (N, K) of each stage, calibrated.
    truth
        (N,), the true classes.
    costs
        Of each stage, for one image.
    scores
        Names of SCORES.
    selectors
        Of each post-check those of all stages but the last, as one more score.

    """
    answers, order = Answers(probabilities, truth), range(len(probabilities))
    kinds = [(score, check) for score in scores for check in POST_CHECKS]
    some = kinds if len(order) > 1 else kinds[:1]
    rules = [answers.rule(score, check, order, costs) for score, check in some]
    for check, own in (selectors or {}).items():
        rule = next(r for r in rules if (r.score, r.post_check) == (BY_CONFIDENCE, check))
        learned = selector_scores(own, probabilities)
        rules.append(replace(rule, score=SELECTOR, scores=learned))
    return rules


def always_answers(
    rules: Sequence[CandidateRule], rule: CandidateRule, names: Sequence[str]
) -> dict[str, Bools]:
    """
    Return whether whoever asks the same stages about every image is right, by name, (N,) each.

    Parameters
    ----------
    rules
        Of every post-check, on the same images as the rule.
    rule
        Its score is the one that the post-check goes by.
    names
        Of the stages.

    """
    # Without a post-check, the last one asked is as good as alone.
    score = BY_CONFIDENCE if rule.score == SELECTOR else rule.score
    alone, *together = (other for other in rules if other.score == score)
    return {
        **{f'{name} alone': right for name, right in zip(names, alone.right)},
        **{f'all by {other.post_check}': other.always_right for other in together},
    }


def choose_rule(rules: Sequence[CandidateRule], accuracy: float | None = None) -> CandidateRule:
    """
    Return the rule of the highest accuracy, or the cheapest that reaches a stated one.

    Each is taken at the thresholds that serve it best; of equal ones, the cheapest. Where none
    reaches the stated accuracy, the one that comes nearest.
    """

    def worth(rule: CandidateRule) -> tuple[float, ...]:
        outcomes = rule.outcomes()
        best = outcomes.most_accurate()
        if accuracy is None or best.accuracy < accuracy:
            return (0, best.accuracy, -best.cost)
        return (1, -outcomes.reaching(accuracy).cost, best.accuracy)

    return max(rules, key=worth)


def _labels(probabilities: Floats) -> Labels:
    return probabilities.argmax(axis=1)
