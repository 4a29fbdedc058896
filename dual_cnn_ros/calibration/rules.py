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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.calibration.temperature import by_rows
from dual_cnn_ros.calibration.thresholds import Curve, curve, ThresholdPoint
from dual_cnn_ros.cascade.scores import SCORES
from dual_cnn_ros.cascade.settings import POST_CHECKS

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CandidateRule:
    """
    A score with a post-check, without a threshold yet.

    Attributes
    ----------
    score
        A name of SCORES.
    post_check
        A name of POST_CHECKS.
    scores
        float64 (N,), of the first stage.
    first_right
        (N,), whether the first stage is right.
    final_right
        (N,), whether the cascade is right once all stages were asked.

    """

    score: str
    post_check: str
    scores: npt.NDArray[np.float64]
    first_right: Bools
    final_right: Bools

    def curve(self) -> Curve:
        """Return every threshold that makes a difference."""
        return curve(self.scores, self.first_right, self.final_right)

    def best(self, accuracy: float | None = None) -> ThresholdPoint:
        """Return the most accurate threshold, or the cheapest one that reaches an accuracy."""
        rules = self.curve()
        return rules.most_accurate() if accuracy is None else rules.reaching(accuracy)

    def right(self, threshold: float) -> Bools:
        """Return whether the answer to each image is right at a threshold, (N,)."""
        return np.where(self.scores >= threshold, self.first_right, self.final_right)

    def at(self, threshold: float) -> ThresholdPoint:
        """Return the accuracy and the deferral rate at a threshold."""
        return ThresholdPoint(
            threshold, float(self.right(threshold).mean()), float((self.scores < threshold).mean())
        )

    def on(self, images: slice | int) -> CandidateRule:
        """Return the same rule on some of the images."""
        return replace(
            self,
            scores=self.scores[images],
            first_right=self.first_right[images],
            final_right=self.final_right[images],
        )

    def find_in(self, rules: Sequence[CandidateRule]) -> CandidateRule:
        """Return the rule of the same score and post-check among rules on other images."""
        wanted = self.score, self.post_check
        return next(rule for rule in rules if (rule.score, rule.post_check) == wanted)


def candidate_rules(
    probabilities: Sequence[Floats], truth: Labels, scores: Sequence[str] = tuple(SCORES)
) -> list[CandidateRule]:
    """
    Return every score with every post-check.

    Parameters
    ----------
    probabilities
        (N, K) of each of the two stages, calibrated.
    truth
        (N,), the true classes.
    scores
        Names of SCORES.

    """
    first_right = by_rows(_labels, probabilities[0]) == truth
    return [
        CandidateRule(name, check, precise, first_right, labels == truth)
        for name, precise, finals in _finals(probabilities, scores)
        for check, labels in finals.items()
    ]


def final_labels(probabilities: Sequence[Floats], score: str, post_check: str) -> Labels:
    """
    Return what `cascade.post_check` answers where both stages were asked, (N,).

    Parameters
    ----------
    probabilities
        (N, K) of each of the two stages, calibrated.
    score, post_check
        Names of SCORES and POST_CHECKS.

    """
    ((_, _, finals),) = _finals(probabilities, [score])
    return finals[post_check]


def _finals(
    probabilities: Sequence[Floats], scores: Sequence[str]
) -> Iterator[tuple[str, npt.NDArray[np.float64], dict[str, Labels]]]:
    """Yield of each score its name, the first stage's values, and each post-check's answers."""
    first, second = (by_rows(_labels, p) for p in probabilities)
    average = by_rows(lambda one, other: _labels(one + other), *probabilities)
    for name in scores:
        of_first, of_second = (by_rows(SCORES[name], p) for p in probabilities)
        more_confident = np.where(of_second > of_first, second, first)
        finals = {'none': second, 'more_confident': more_confident, 'average': average}
        # NumPy would round a threshold to the precision of what it is compared with.
        yield name, of_first.astype(np.float64), {check: finals[check] for check in POST_CHECKS}


def always_answers(rules: Sequence[CandidateRule], rule: CandidateRule) -> dict[str, Bools]:
    """
    Return whether whoever asks the same stages about every image is right, by name, (N,) each.

    Parameters
    ----------
    rules
        Of every post-check, on the same images as the rule.
    rule
        Its score is the one that the post-check goes by.

    """
    names = {
        'none': 'second alone',
        **{check: f'both by {check}' for check in POST_CHECKS if check != 'none'},
    }
    same_score = [other for other in rules if other.score == rule.score]
    return {
        'first alone': rule.first_right,
        **{names[other.post_check]: other.final_right for other in same_score},
    }


def choose_rule(rules: Sequence[CandidateRule], accuracy: float | None = None) -> CandidateRule:
    """
    Return the rule of the highest accuracy, or the cheapest that reaches a stated one.

    Each is taken at the threshold that serves it best; of equal ones, the cheapest. Where none
    reaches the stated accuracy, the one that comes nearest.
    """

    def worth(rule: CandidateRule) -> tuple[float, ...]:
        best = rule.best()
        if accuracy is None or best.accuracy < accuracy:
            return (0, best.accuracy, -best.deferral_rate)
        return (1, -rule.best(accuracy).deferral_rate, best.accuracy)

    return max(rules, key=worth)


def _labels(probabilities: Floats) -> Labels:
    return probabilities.argmax(axis=1)
