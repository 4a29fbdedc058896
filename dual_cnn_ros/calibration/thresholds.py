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

"""Every rule that a threshold can make on a held-out split, exactly, and the ones worth having."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.settings import ALWAYS_DEFER

Floats = npt.NDArray[np.float64]


class OperatingPoint(NamedTuple):
    """A threshold, with the accuracy and the share of frames that ask the second stage there."""

    threshold: float
    accuracy: float
    second_share: float


@dataclass(frozen=True, eq=False)
class Curve:
    """
    The rules that differ on N pictures, at most N + 1: the first always asks, the last never.

    thresholds, accuracy, second_share: (M,), the first and the last of them falling.
    """

    thresholds: Floats
    accuracy: Floats
    second_share: Floats

    def cost(self, first: float, second: float) -> Floats:
        """Return the expected cost of a frame, (M,), from that of each stage, in their unit."""
        return first + self.second_share * second

    def most_accurate(self) -> OperatingPoint:
        """Return the rule of the highest accuracy; of equal ones, that which asks least."""
        return self.reaching(self.accuracy.max())

    def reaching(self, accuracy: float) -> OperatingPoint:
        """
        Return the cheapest rule of at least this accuracy.

        It asks the second stage least, which is the cheapest whatever the stages cost. ValueError
        where no rule is as accurate.
        """
        enough = np.flatnonzero(self.accuracy >= accuracy)
        if not enough.size:
            raise ValueError(
                f'no threshold reaches an accuracy of {accuracy}; the highest is '
                f'{self.accuracy.max():.4f}'
            )
        return OperatingPoint(*(float(column[enough[-1]]) for column in self._columns))

    def asking_at_most(self, share: float) -> OperatingPoint:
        """Return the rule that asks the second stage most often without asking more than this."""
        nearest = int(np.argmax(self.second_share <= share))
        return OperatingPoint(*(float(column[nearest]) for column in self._columns))

    def pareto(self) -> Curve:
        """Return the rules that no other beats in accuracy or cost without losing in the other."""
        falling = self.accuracy[::-1]
        best_of_cheaper = np.maximum.accumulate(np.concatenate(([-1.0], falling[:-1])))
        return self._some(np.flatnonzero((falling > best_of_cheaper)[::-1]))

    def thinned(self, count: int) -> Curve:
        """Return `count` rules at the most, spread evenly, the ends and the best among them."""
        best = np.flatnonzero(self.thresholds == self.most_accurate().threshold)
        even = np.linspace(0, len(self.thresholds) - 1, min(count - 1, len(self.thresholds)))
        return self._some(np.union1d(np.round(even).astype(int), best))

    def spread(self, count: int) -> Curve:
        """Return `count` rules at the most, the ends and others as far apart in what they ask."""
        wanted = np.linspace(self.second_share[0], self.second_share[-1], count)
        return self._some(
            np.unique(np.abs(self.second_share[:, np.newaxis] - wanted).argmin(axis=0))
        )

    @property
    def _columns(self) -> tuple[Floats, Floats, Floats]:
        return self.thresholds, self.accuracy, self.second_share

    def _some(self, which: npt.NDArray[np.integer]) -> Curve:
        return Curve(*(column[which] for column in self._columns))


def curve(scores: npt.ArrayLike, first_right: npt.ArrayLike, final_right: npt.ArrayLike) -> Curve:
    """
    Return all rules 'accept where the score is at least t' that differ, always asking first.

    scores: (N,) of the first stage. first_right: (N,) bool, whether its answer is right.
    final_right: (N,) bool, whether the answer is right once the second stage has been asked too,
    post-check included. Accuracy changes only where the threshold passes a score, so sorting them
    and summing up gives all N + 1 rules in O(N log N). Their t are in (0, 1), or at its borders
    where a score is: ALWAYS_DEFER to refuse a score of 1, 0 to accept one of 0. ValueError where
    the arrays are empty or differ in length, or a score is not in [0, 1].
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
    # Halfway between the last score accepted and the first refused, so that rounding does not
    # matter.
    edges = np.concatenate(([1.0 if s[0] < 1 else ALWAYS_DEFER], s, [0.0]))
    thresholds = (edges[:-1] + edges[1:]) / 2
    # Between neighbouring floats there is no half way, and the lower one would accept itself.
    thresholds = np.where(thresholds > edges[1:], thresholds, edges[:-1])
    # Equal scores cannot be told apart.
    accepted = np.flatnonzero(np.concatenate(([True], s[:-1] > s[1:], [True])))
    return Curve(thresholds[accepted], right[accepted] / s.size, (s.size - accepted) / s.size)
