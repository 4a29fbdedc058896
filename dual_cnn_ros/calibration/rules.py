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

"""From the answers of two CNNs to pictures: temperatures, and every rule there is to choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.calibration.thresholds import Curve, curve, OperatingPoint
from dual_cnn_ros.cascade.scores import DEFERRAL, SCORES
from dual_cnn_ros.cascade.settings import POST_CHECKS

# In portions, because what a score needs in between is several times its input.
ROWS = 1024

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.int64]


class Combination(NamedTuple):
    """
    A score with a post-check, and what that comes to on N pictures.

    scores: (N,), of the first stage. first_right, final_right: (N,), whether its answer is right,
    and whether the answer is once the second stage was asked too.
    """

    score: str
    post_check: str
    scores: Floats
    first_right: Bools
    final_right: Bools

    def curve(self) -> Curve:
        """Return every threshold that makes a difference."""
        return curve(self.scores, self.first_right, self.final_right)

    def right(self, threshold: float) -> Bools:
        """Return whether the answer to each picture is right at a threshold, (N,)."""
        return np.where(self.scores >= threshold, self.first_right, self.final_right)

    def at(self, threshold: float) -> OperatingPoint:
        """Return what a threshold comes to."""
        return OperatingPoint(
            threshold, float(self.right(threshold).mean()), float((self.scores < threshold).mean())
        )


def by_rows(function: Callable[..., Array], *arrays: Array) -> Array:
    """Return function(*arrays), a portion of the rows at a time; (N, K) each to (N, ...)."""
    return np.concatenate(
        [
            function(*(array[start : start + ROWS] for array in arrays))
            for start in range(0, len(arrays[0]), ROWS)
        ]
    )


def temperature(logits: Floats, labels: Labels) -> float:
    """
    Return argmin over T in [e^-3, e^3] of the mean negative log likelihood of softmax(logits / T).

    The loss is convex in b = 1 / T (Guo et al., "On Calibration of Modern Neural Networks", 2017),
    with the slope E[z] - z_y and the curvature Var[z] under softmax(b z), averaged over pictures:
    Newton's method, kept inside of the bracket that the sign of the slope leaves.
    """

    def moments(z: Array, own: Array) -> Array:
        z = z - z.max(axis=1, keepdims=True).astype(np.float64)
        weights = np.exp(b * z)
        weights /= weights.sum(axis=1, keepdims=True)
        mean = (weights * z).sum(axis=1)
        return np.stack(
            [mean - z[np.arange(len(z)), own], (weights * z * z).sum(axis=1) - mean * mean], axis=1
        )

    low, high = np.exp(-3.0), np.exp(3.0)
    b = 1.0
    while high - low > 1e-6 * b:
        slope, curvature = by_rows(moments, logits, labels).mean(axis=0)
        low, high = (low, b) if slope > 0 else (b, high)
        step = b - slope / curvature if curvature > 0 else low
        if abs(step - b) <= 1e-6 * b:
            break
        b = step if low < step < high else float(np.sqrt(low * high))
    return float(1 / b)


def final_labels(
    first: Floats, second: Floats, scores: Mapping[str, Floats]
) -> dict[tuple[str, str], Labels]:
    """
    Return the cascade's answers, (N,), once both CNNs were asked, by score and post-check.

    first, second: (N, K) probabilities. scores: (N,) of the first, by name of SCORES. The answers
    are those of cascade.post_check, picture by picture.
    """
    one, other = (by_rows(_labels, p) for p in (first, second))
    average = by_rows(lambda a, b: _labels(np.mean([a, b], axis=0)), first, second)
    found = {}
    for name, of_first in scores.items():
        surer = by_rows(SCORES[name], second) > of_first
        found.update(
            {
                (name, 'none'): other,
                (name, 'average'): average,
                (name, 'more_confident'): np.where(surer, other, one),
            }
        )
    return found


def combinations(
    first: Floats, second: Floats, truth: Labels, learned: Floats | None = None
) -> list[Combination]:
    """
    Return every score with every post-check, on N pictures.

    first, second: (N, K) probabilities. truth: (N,). learned: (N,), the score named 'deferral',
    where there is one; of two answers the one of the larger probability is then more confident.
    """
    scores = {name: by_rows(measure, first) for name, measure in SCORES.items()}
    final = final_labels(first, second, scores)
    first_right = by_rows(_labels, first) == truth
    if learned is not None:
        final |= {(DEFERRAL, check): final['max_probability', check] for check in POST_CHECKS}
        scores[DEFERRAL] = learned
    # In float64, because NumPy rounds a threshold to the precision of what it is held against.
    return [
        Combination(
            name, check, of_first.astype(np.float64), first_right, final[name, check] == truth
        )
        for name, of_first in scores.items()
        for check in POST_CHECKS
    ]


def choose(offered: Sequence[Combination], accuracy: float | None = None) -> Combination:
    """
    Return the one of the highest accuracy, or the cheapest that reaches a stated one.

    Each is taken at the threshold that serves it best; of equal ones, the cheapest. Where none
    reaches the stated accuracy, the one that comes nearest.
    """

    def worth(combination: Combination) -> tuple[float, ...]:
        rules = combination.curve()
        best = rules.most_accurate()
        if accuracy is None or best.accuracy < accuracy:
            return (0, best.accuracy, -best.second_share)
        return (1, -rules.reaching(accuracy).second_share, best.accuracy)

    return max(offered, key=worth)


def _labels(probabilities: Floats) -> Labels:
    return probabilities.argmax(axis=-1)
