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

"""
A learned score: when to keep the first CNN's answer, from the shape of its probabilities.

Confidence is a poor guide where the second CNN is a specialist, which is what a complementary pair
is (Jitkrittum et al., "When Does Confidence-Based Cascade Deferral Suffice?", NeurIPS 2023). What
counts is the gain of asking it, 1[B right] - 1[A right], and that is what is regressed here: on
the logarithms of A's largest probabilities, and on which class the largest one is of.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.integer]

# Below this, probabilities of float32 networks are noise.
FLOOR = 1e-6
# Models among which cross-validation chooses: largest probabilities used, and ridge penalty.
TOPS = (3, 6, 10)
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
FOLDS = 5


@dataclass(frozen=True)
class Deferral:
    """
    The gain predicted by intercept + sum of weights times ln p, p in falling order, as a score.

    weights: for the largest probabilities; at most as many as there are classes. offsets: one for
    each class, added where that class is the answer; or none at all. ValueError where there are no
    weights, or a number is not finite.
    """

    intercept: float
    weights: tuple[float, ...]
    offsets: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check the numbers, which may come from a file."""
        numbers = (self.intercept, *self.weights, *self.offsets)
        if not self.weights or not all(map(math.isfinite, numbers)):
            raise ValueError(
                'a deferral is an intercept, one or more weights, and offsets, all '
                f'finite, not {self.intercept}, {list(self.weights)} and '
                f'{list(self.offsets)}'
            )

    def __call__(self, probabilities: Floats) -> Floats:
        """Return (1 - g) / 2 in [0, 1] with g the predicted gain; (..., K) to (...)."""
        gain = self.intercept + _features(probabilities, len(self.weights)) @ self.weights
        if self.offsets:
            gain = gain + self._offsets[probabilities.argmax(axis=-1)]
        return np.minimum(np.maximum((1 - gain) / 2, 0), 1)

    @cached_property
    def _offsets(self) -> Floats:
        return np.array(self.offsets)


def fit(probabilities: npt.ArrayLike, gain: npt.ArrayLike) -> Deferral:
    """
    Return the deferral that cross-validation prefers; the same for the same numbers.

    probabilities: (N, K) of the first CNN on pictures that neither was trained on. gain: (N,) of
    -1, 0 and 1: whether the second CNN is right minus whether the first is.

    Ridge regression on standardised logarithms and on the class of the answer, with TOPS and
    PENALTIES chosen by the squared error over FOLDS folds. Unless the best of them beats the
    largest probability alone by more than the standard error of the difference, that one is
    taken: few pictures say little. ValueError where the arrays do not fit, or there are fewer
    pictures than folds.
    """
    p, g = np.asarray(probabilities), np.asarray(gain, dtype=np.float64)
    if p.ndim != 2 or not p.shape[1] or g.shape != p.shape[:1] or len(g) < FOLDS:
        raise ValueError(
            f'a deferral needs probabilities (N, K) and as many gains of {FOLDS} '
            f'pictures or more, not {p.shape} and {g.shape}'
        )
    if not np.isin(g, (-1, 0, 1)).all() or not ((p >= 0) & (p <= 1)).all():
        raise ValueError('gains must be -1, 0 or 1, and probabilities in [0, 1]')
    classes = p.shape[1]
    answer = p.argmax(axis=1)
    x = _features(p, min(max(TOPS), classes))
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale < 1e-9] = np.inf  # says nothing
    # In falling order, a smaller model is the first columns of a larger one.
    z = np.column_stack((np.ones(len(x)), (x - centre) / scale))
    # Largest probabilities used, penalty of their weights, penalty of the classes' offsets.
    models = [(1, PENALTIES[0], math.inf)] + [
        (top, penalty, penalty)
        for top, penalty in product(sorted({min(top, classes) for top in TOPS}), PENALTIES)
    ]
    errors = np.empty((len(models), len(z)))
    for fold in range(FOLDS):
        # Pictures come in the order of their classes, so that every fold has some of each.
        held = np.arange(len(z)) % FOLDS == fold
        for row, (top, *penalties) in zip(errors, models):
            w, offsets = _ridge(z[~held, : top + 1], answer[~held], g[~held], classes, *penalties)
            row[held] = (g[held] - z[held, : top + 1] @ w - offsets[answer[held]]) ** 2
    best = int(errors.mean(axis=1).argmin())
    won = errors[0] - errors[best]
    if won.mean() <= won.std() / math.sqrt(len(won)):
        best = 0
    top, *penalties = models[best]
    w, offsets = _ridge(z[:, : top + 1], answer, g, classes, *penalties)
    weights = w[1:] / scale[:top]
    return Deferral(
        float(w[0] - weights @ centre[:top]),
        tuple(weights.tolist()),
        tuple(offsets.tolist()) if best else (),
    )


def _features(probabilities: Floats, top: int) -> Floats:
    """Return the logarithms of the largest, in falling order; (..., K) to (..., top)."""
    largest = probabilities
    if top < probabilities.shape[-1]:
        largest = np.partition(probabilities, -top, axis=-1)[..., -top:]
    return np.log(np.sort(largest, axis=-1)[..., ::-1].astype(np.float64) + FLOOR)


def _ridge(
    z: Floats, answer: Labels, g: Floats, classes: int, penalty: float, class_penalty: float
) -> tuple[Floats, Floats]:
    """
    Return the weights of the columns of z, the first of which is not penalised, and the offsets.

    The offsets' part of the normal equations is diagonal, so they are eliminated from the rest.
    """

    def by_class(values: Floats) -> Floats:
        return np.asarray(np.bincount(answer, values, classes), dtype=np.float64)

    share = 1 / (by_class(np.ones(len(g))) + class_penalty)
    sums, moments = np.column_stack([by_class(column) for column in z.T]), by_class(g)
    ridge = np.diag([0.0, *(penalty,) * (z.shape[1] - 1)])
    w = np.linalg.solve(
        z.T @ z + ridge - sums.T @ (share[:, np.newaxis] * sums),
        z.T @ g - sums.T @ (share * moments),
    )
    return w, share * (moments - sums @ w)
