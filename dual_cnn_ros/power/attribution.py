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
squares. Its errors are White's (Econometrica 48, 1980): a window in which the second CNN ran is
noisier than one in which it did not. Only sums of products are kept, so the state does not grow
with the windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math

import numpy as np
import numpy.typing as npt

LEAST_FREEDOM = 5
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
        self, seconds: Mapping[str, float], baseline: Mapping[str, float] | float
    ) -> Estimate:
        """
        Return the share saved by spending `seconds` and not the baseline.

        baseline: busy seconds too, or a measured figure in joules. Raises InseparableError where
        the baseline's own cost is not clearly above zero.
        """
        spent = self.vector(seconds)
        used = float(spent @ self.watts)
        if isinstance(baseline, float):
            against, cost = np.zeros_like(spent), Estimate(baseline, 0.0)
        else:
            against, cost = self.vector(baseline), self.cost(baseline)
        if cost.value <= 2 * cost.error:
            raise InseparableError(
                f'the baseline costs {cost.value:.3g} +- {cost.error:.3g} J, too close to zero'
            )
        gradient = (against * used / cost.value - spent) / cost.value
        variance = float(gradient @ self.covariance @ gradient)
        return Estimate(1 - used / cost.value, math.sqrt(max(variance, 0.0)))


class Attribution:
    """Collects windows and splits their energy."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        # Of the columns seconds, joules, and the busy seconds of each part: the sums of products
        # of two, (K + 2, K + 2), and of four.
        self._products: Array = np.zeros((2, 2))
        self._fourfold: Array = np.zeros((2, 2, 2, 2))
        self._windows = 0

    def add(self, seconds: float, joules: float, busy: Mapping[str, float]) -> None:
        """Take a window: its covered seconds, its energy, and the busy seconds of each part."""
        for part in busy:
            if part not in self._parts:
                self._parts.append(part)
                self._products = np.pad(self._products, (0, 1))
                self._fourfold = np.pad(self._fourfold, (0, 1))
        row = np.array([seconds, joules, *(busy.get(part, 0.0) for part in self._parts)])
        products = np.outer(row, row)
        self._products += products
        self._fourfold += np.multiply.outer(products, products)
        self._windows += 1

    def split(self, idle: Estimate | None) -> Split:
        """
        Return the least-squares split.

        idle: the idle power in watts with its error; without it the power while nothing is busy
        is estimated from the same windows, which needs windows that are busy to different
        degrees. Raises InseparableError where the parts cannot be told apart.
        """
        columns = [n for n in range(2, len(self._products)) if self._products[n, n] > 0]
        if not columns:
            raise InseparableError('no window with a decision yet')
        parts = tuple(self._parts[n - 2] for n in columns)
        if idle is None:
            columns = [*columns, 0]
        freedom = self._windows - len(columns)
        if freedom < LEAST_FREEDOM:
            raise InseparableError(
                f'{self._windows} windows are too few for {len(columns)} unknowns'
            )
        # Idle power is taken off the windows' joules, that is off every product with them.
        watts = 0.0 if idle is None else idle.value
        x_x = self._products[np.ix_(columns, columns)]
        x_seconds = self._products[columns, 0]
        x_joules = self._products[columns, 1] - watts * x_seconds
        scale = np.sqrt(np.diag(x_x))
        normal = x_x / np.outer(scale, scale)
        if np.linalg.eigvalsh(normal)[0] < LEAST_EIGENVALUE:
            remedy = '' if idle else ', or measure the idle power'
            raise InseparableError(
                f'{", ".join(parts)} were always busy in the same proportion: '
                f'wait for other scenes{remedy}'
            )
        inverse = np.linalg.inv(normal) / np.outer(scale, scale)
        solution = inverse @ x_joules
        # A window's residual is this weighting of its columns.
        residual = np.zeros(len(self._products))
        residual[0], residual[1] = -watts, 1.0
        residual[columns] -= solution
        scatter = (self._fourfold @ residual @ residual)[np.ix_(columns, columns)]
        covariance = self._windows / freedom * (inverse @ scatter @ inverse)
        if idle is not None:
            shift = inverse @ x_seconds
            covariance = covariance + idle.error**2 * np.outer(shift, shift)
        count = len(parts)
        return Split(parts, solution[:count], covariance[:count, :count], self._windows)
