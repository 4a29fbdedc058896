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

"""The best threshold on a held-out split, exactly, among all that there are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class OperatingPoint(NamedTuple):
    """A threshold, with the accuracy and the share of frames that ask the second stage there."""

    threshold: float
    accuracy: float
    second_share: float


def best_threshold(scores: npt.ArrayLike, first_right: npt.ArrayLike,
                   final_right: npt.ArrayLike) -> OperatingPoint:
    """
    Return the threshold in (0, 1) of the highest accuracy.

    Of equally accurate ones it is the one that asks the second stage least.

    scores: (N,) of the first stage. first_right: (N,) bool, whether its answer is right.
    final_right: (N,) bool, whether the answer is right once the second stage has been asked too,
    post-check included. Accuracy changes only where the threshold passes a score, so sorting them
    and summing up gives all N + 1 rules in O(N log N). ValueError where the arrays are empty or
    differ in length, or a score is not in [0, 1].
    """
    s = np.asarray(scores, dtype=np.float64)
    first, final = np.asarray(first_right, dtype=bool), np.asarray(final_right, dtype=bool)
    if s.ndim != 1 or not s.size or s.shape != first.shape or s.shape != final.shape:
        raise ValueError('scores, first_right and final_right must be non-empty and equally long')
    if not ((s >= 0) & (s <= 1)).all():
        raise ValueError('scores must be in [0, 1]')
    order = np.argsort(-s, kind='stable')
    s, first, final = s[order], first[order], final[order]
    accepted = np.arange(s.size + 1)
    right = (np.concatenate(([0], np.cumsum(first)))
             + np.concatenate((np.cumsum(final[::-1])[::-1], [0])))
    # Halfway between the last score accepted and the first refused, so that rounding does not
    # matter.
    edges = np.concatenate(([1.0], s, [0.0]))
    thresholds = (edges[:-1] + edges[1:]) / 2
    # Between neighbouring floats there is no half way, and the lower one would accept itself.
    thresholds = np.where(thresholds > edges[1:], thresholds, edges[:-1])
    # Equal scores cannot be told apart, and a threshold of 1 would be no rule.
    possible = np.flatnonzero((edges[:-1] > edges[1:]) & (thresholds < 1))
    best = possible[np.lexsort((-accepted[possible], -right[possible]))[0]]
    return OperatingPoint(float(thresholds[best]), float(right[best] / s.size),
                          float((s.size - accepted[best]) / s.size))
