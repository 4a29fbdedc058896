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

"""All thresholds that make a difference on labelled images, and which of them are efficient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.settings import ALWAYS_DEFER

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ThresholdPoint:
    """
    A threshold, and the accuracy and the deferral rate of a cascade that has it.

    Attributes
    ----------
    threshold
        In [0, 1], or ALWAYS_DEFER.
    accuracy
        Share of images that the cascade gets right.
    deferral_rate
        Share of images that the first stage passes on.

    """

    threshold: float
    accuracy: float
    deferral_rate: float

    def dominates(self, other: ThresholdPoint) -> bool:
        """Return True if it is as good in accuracy and cost, and better in one of them."""
        mine, its = ((p.accuracy, -p.deferral_rate) for p in (self, other))
        return mine != its and mine[0] >= its[0] and mine[1] >= its[1]


@dataclass(frozen=True, eq=False)
class Curve:
    """
    The rules that differ on N images, at most N + 1: the first always defers, the last never.

    Attributes
    ----------
    thresholds, accuracy, deferral_rate
        (M,), the thresholds and the rates falling.

    """

    thresholds: Floats
    accuracy: Floats
    deferral_rate: Floats

    def most_accurate(self) -> ThresholdPoint:
        """Return the rule of the highest accuracy; of equal ones, that which defers least."""
        return self.reaching(self.accuracy.max())

    def reaching(self, accuracy: float) -> ThresholdPoint:
        """
        Return the cheapest rule of at least this accuracy.

        It defers least, which is the cheapest whatever the stages cost. ValueError where no rule
        is as accurate.
        """
        enough = np.flatnonzero(self.accuracy >= accuracy)
        if not enough.size:
            raise ValueError(
                f'no threshold reaches an accuracy of {accuracy}; the highest is '
                f'{self.accuracy.max():.4f}'
            )
        return self._point(enough[-1])

    def deferring_at_most(self, rate: float) -> ThresholdPoint:
        """Return the rule that defers most often without exceeding this rate."""
        return self._point(int(np.argmax(self.deferral_rate <= rate)))

    def pareto(self) -> Curve:
        """Return the rules that no other one dominates."""
        falling = self.accuracy[::-1]
        best_of_cheaper = np.maximum.accumulate(np.concatenate(([-1.0], falling[:-1])))
        return self._select(np.flatnonzero((falling > best_of_cheaper)[::-1]))

    def subsample(self, count: int) -> Curve:
        """Return at most `count` rules, evenly by rank, with both ends and the most accurate."""
        best = np.flatnonzero(self.thresholds == self.most_accurate().threshold)
        even = np.linspace(0, len(self.thresholds) - 1, min(count - 1, len(self.thresholds)))
        return self._select(np.union1d(np.round(even).astype(int), best))

    def _point(self, place: int) -> ThresholdPoint:
        columns = self.thresholds, self.accuracy, self.deferral_rate
        return ThresholdPoint(*(float(column[place]) for column in columns))

    def _select(self, places: npt.NDArray[np.integer]) -> Curve:
        columns = self.thresholds, self.accuracy, self.deferral_rate
        return Curve(*(column[places] for column in columns))


def curve(scores: npt.ArrayLike, first_right: npt.ArrayLike, final_right: npt.ArrayLike) -> Curve:
    """
    Return all rules 'accept where the score is at least t' that differ.

    Parameters
    ----------
    scores
        (N,), of the first stage.
    first_right
        (N,) bool, whether its answer is right.
    final_right
        (N,) bool, whether the answer is right once all stages were asked, post-check included.

    Raises
    ------
    ValueError
        The arrays are empty or differ in length, or a score is not in [0, 1].

    Notes
    -----
    Accuracy changes only where the threshold passes a score, so sorting the scores and summing up
    gives all rules in O(N log N). Thresholds lie halfway between two scores, so that rounding does
    not matter, or at the borders where a score is: ALWAYS_DEFER to refuse a score of 1, 0 to
    accept one of 0.

    """
    s = np.asarray(scores, dtype=np.float64)
    first, final = np.asarray(first_right, dtype=bool), np.asarray(final_right, dtype=bool)
    if s.ndim != 1 or not s.size or s.shape != first.shape or s.shape != final.shape:
        raise ValueError('scores, first_right and final_right must be non-empty and equally long')
    if not ((s >= 0) & (s <= 1)).all():
        raise ValueError('scores must be in [0, 1]')
    order = np.argsort(-s, kind='stable')
    s, first, final = s[order], first[order], final[order]
    right = np.concatenate(([0], np.cumsum(first))) + np.concatenate(
        (np.cumsum(final[::-1])[::-1], [0])
    )
    edges = np.concatenate(([1.0 if s[0] < 1 else ALWAYS_DEFER], s, [0.0]))
    thresholds = (edges[:-1] + edges[1:]) / 2
    # Between neighbouring floats there is no half way, and the lower one would accept itself.
    thresholds = np.where(thresholds > edges[1:], thresholds, edges[:-1])
    # Equal scores cannot be told apart.
    accepted = np.flatnonzero(np.concatenate(([True], s[:-1] > s[1:], [True])))
    return Curve(thresholds[accepted], right[accepted] / s.size, (s.size - accepted) / s.size)
