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
Whose energy it was: joules split over the busy seconds of memory, first and second.

A decision is shorter than the step between two readings, so the split is over windows: the energy
of each window above idle is explained by the seconds that each part was busy in it, by least
squares. Its errors are the jackknife's (Tukey, Annals of Mathematical Statistics 29, 1958): how
much the split changes when blocks of windows are left out in turn. That allows for windows of
unequal noise, for neighbours that resemble each other, and for one odd window that the whole split
hangs on, such as one in which another program held up a CNN. Only sums of products are kept, of a
bounded number of blocks, so the state does not grow with the windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math

import numpy as np
import numpy.typing as npt

LEAST_FREEDOM = 5
MOST_BLOCKS = 64
# Below this, of the scaled normal matrix, two parts were busy in the same proportion always.
LEAST_EIGENVALUE = 1e-9

Array = npt.NDArray[np.float64]


class InseparableError(ValueError):
    """The windows so far do not tell the parts apart; the message says why."""


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error."""

    value: float
    error: float


@dataclass(frozen=True)
class Split:
    """
    Watts of each part while it is busy, above idle.

    parts: names. watts: float64 (K,). covariance: float64 (K, K). windows: how many were used.
    """

    parts: tuple[str, ...]
    watts: Array
    covariance: Array
    windows: int

    def vector(self, seconds: Mapping[str, float]) -> Array:
        """Return busy seconds by part in the order of `parts`, float64 (K,)."""
        return np.array([seconds.get(part, 0.0) for part in self.parts])

    def cost(self, seconds: Mapping[str, float]) -> Estimate:
        """Return the joules of so many busy seconds of each part."""
        weights = self.vector(seconds)
        variance = float(weights @ self.covariance @ weights)
        return Estimate(float(weights @ self.watts), math.sqrt(max(variance, 0.0)))

    def saving(
        self, seconds: Mapping[str, float], baseline: Mapping[str, float] | Estimate
    ) -> Estimate:
        """
        Return the share saved by spending `seconds` and not the baseline.

        baseline: busy seconds too, or measured joules with their own error. Raises
        InseparableError where either cost is not clearly above zero.
        """
        spent = self.vector(seconds)
        cascade = self.cost(seconds)
        used = cascade.value
        apart = 0.0
        if isinstance(baseline, Estimate):
            against, cost, apart = np.zeros_like(spent), baseline, baseline.error
        else:
            against, cost = self.vector(baseline), self.cost(baseline)
        for name, one in (('the baseline', cost), ('the cascade', cascade)):
            if one.value <= 2 * one.error:
                raise InseparableError(
                    f'{name} costs {one.value:.3g} +- {one.error:.3g} J, not clearly above zero'
                )
        gradient = (against * used / cost.value - spent) / cost.value
        variance = float(gradient @ self.covariance @ gradient)
        variance += (apart * used / cost.value**2) ** 2
        return Estimate(1 - used / cost.value, math.sqrt(max(variance, 0.0)))


class Attribution:
    """Collects windows and splits their energy."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        # Of each block: the sums of products of the columns seconds, joules, and the busy seconds
        # of each part, (blocks, K + 2, K + 2). A full set of blocks is merged by pairs.
        self._blocks: Array = np.zeros((0, 2, 2))
        self._block_length = 1
        self._windows = 0

    def add(self, seconds: float, joules: float, busy: Mapping[str, float]) -> None:
        """Take a window: its covered seconds, its energy, and the busy seconds of each part."""
        for part in busy:
            if part not in self._parts:
                self._parts.append(part)
                self._blocks = np.pad(self._blocks, ((0, 0), (0, 1), (0, 1)))
        row = np.array([seconds, joules, *(busy.get(part, 0.0) for part in self._parts)])
        if self._windows % self._block_length == 0:
            if len(self._blocks) == MOST_BLOCKS:
                self._blocks = self._blocks[::2] + self._blocks[1::2]
                self._block_length *= 2
            self._blocks = np.append(self._blocks, np.zeros((1, len(row), len(row))), axis=0)
        self._blocks[-1] += np.outer(row, row)
        self._windows += 1

    def split(self, idle: Estimate | None) -> Split:
        """
        Return the least-squares split.

        idle: the idle power in watts with its error; without it the power while nothing is busy
        is estimated from the same windows, which needs windows that are busy to different
        degrees. Raises InseparableError where the parts cannot be told apart.
        """
        whole = self._blocks.sum(axis=0)
        columns = [n for n in range(2, len(whole)) if whole[n, n] > 0]
        if not columns:
            raise InseparableError('no window with a decision yet')
        parts = tuple(self._parts[n - 2] for n in columns)
        if idle is None:
            columns = [*columns, 0]
        if self._windows - len(columns) < LEAST_FREEDOM:
            raise InseparableError(
                f'{self._windows} windows are too few for {len(columns)} unknowns'
            )
        scale = np.sqrt(np.diag(whole)[columns])
        normal = whole[np.ix_(columns, columns)] / np.outer(scale, scale)
        if np.linalg.eigvalsh(normal)[0] < LEAST_EIGENVALUE:
            remedy = '' if idle else ', or measure the idle power'
            raise InseparableError(
                f'{", ".join(parts)} were always busy in the same proportion: '
                f'wait for other scenes{remedy}'
            )
        # What all blocks say, then all but one of them.
        sums = np.concatenate([whole[np.newaxis], whole - self._blocks])
        x_x = sums[:, columns][:, :, columns] / np.outer(scale, scale)
        x_seconds, x_joules = sums[:, columns, 0] / scale, sums[:, columns, 1] / scale
        # Idle power is taken off the windows' joules, that is off every product with them. Where
        # one block alone tells a part from the others, the rest say nothing of it: no power.
        inverse = np.linalg.pinv(x_x, rcond=LEAST_EIGENVALUE, hermitian=True)
        target = x_joules - (0.0 if idle is None else idle.value) * x_seconds
        solutions = (inverse @ target[..., np.newaxis])[..., 0] / scale
        deviations = solutions[1:] - solutions[1:].mean(axis=0)
        blocks = len(self._blocks)
        covariance = (blocks - 1) / blocks * (deviations.T @ deviations)
        if idle is not None:
            shift = inverse[0] @ x_seconds[0] / scale
            covariance = covariance + idle.error**2 * np.outer(shift, shift)
        count = len(parts)
        return Split(parts, solutions[0, :count], covariance[:count, :count], self._windows)
