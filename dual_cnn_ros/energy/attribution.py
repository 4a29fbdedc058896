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
Attribution of energy to the parts of a cascade: the memory and each CNN.

A decision is shorter than the step between two readings, so energy is attributed over windows: a
least-squares fit explains the energy of each window above idle by the seconds for which each part
was busy in it. The standard errors are those of the jackknife (Tukey, Annals of Mathematical
Statistics 29, 1958): how much the fit changes when blocks of windows are left out in turn. They
allow for windows of unequal noise, for correlated neighbours, and for a single window that decides
the fit, such as one in which another program delayed a CNN. Only sums of products are stored, of
a bounded number of blocks, so the state does not grow with the number of windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math

import numpy as np
import numpy.typing as npt

# Degrees of freedom that a fit must leave.
_LEAST_FREEDOM = 5
_MOST_BLOCKS = 64
# With a smaller eigenvalue of the scaled normal matrix, two parts were always busy in the same
# proportion.
_LEAST_EIGENVALUE = 1e-9

_Array = npt.NDArray[np.float64]


class InseparableError(ValueError):
    """The windows so far do not tell the power of the parts; the message says why."""


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error, in the same unit."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class PowerFit:
    """
    The power of each part while it is busy, above idle.

    Attributes
    ----------
    parts
        Names of the K parts.
    watts
        Float64 (K,).
    covariance
        Of `watts`, float64 (K, K).

    """

    parts: tuple[str, ...]
    watts: _Array
    covariance: _Array

    def vector(self, seconds: Mapping[str, float]) -> _Array:
        """Return busy seconds by part in the order of `parts`, float64 (K,)."""
        return np.array([seconds.get(part, 0.0) for part in self.parts])

    def cost(self, seconds: Mapping[str, float]) -> Estimate:
        """Return the joules above idle of these busy seconds of each part."""
        weights = self.vector(seconds)
        variance = float(weights @ self.covariance @ weights)
        return Estimate(float(weights @ self.watts), math.sqrt(max(variance, 0.0)))

    def saving(
        self, seconds: Mapping[str, float], baseline: Mapping[str, float] | Estimate
    ) -> Estimate:
        """
        Return the share of the baseline's energy that the cascade saves.

        Parameters
        ----------
        seconds
            Busy seconds of each part for one frame of the cascade.
        baseline
            The same for one frame of the baseline, or joules that were measured.

        Raises
        ------
        InseparableError
            Where one of the costs is not above zero by two standard errors.

        """
        spent = self.vector(seconds)
        cascade = self.cost(seconds)
        used = cascade.value
        apart = 0.0
        if isinstance(baseline, Estimate):
            against, cost, apart = np.zeros_like(spent), baseline, baseline.standard_error
        else:
            against, cost = self.vector(baseline), self.cost(baseline)
        for name, one in (('the baseline', cost), ('the cascade', cascade)):
            if one.value <= 2 * one.standard_error:
                raise InseparableError(
                    f'{name} costs {one.value:.3g} +- {one.standard_error:.3g} J, '
                    'not clearly above zero'
                )
        # Errors propagate to first order; those of a fitted baseline are correlated with the
        # cascade's, those of a measured one are not.
        gradient = (against * used / cost.value - spent) / cost.value
        variance = float(gradient @ self.covariance @ gradient)
        variance += (apart * used / cost.value**2) ** 2
        return Estimate(1 - used / cost.value, math.sqrt(max(variance, 0.0)))


class Attribution:
    """Collects windows and fits the power of each part to them."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        # For each block the sums of products of the columns seconds, joules and busy seconds of
        # each part, (blocks, K + 2, K + 2). When there are 64 blocks, each two are merged.
        self._blocks: _Array = np.zeros((0, 2, 2))
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
            if len(self._blocks) == _MOST_BLOCKS:
                self._blocks = self._blocks[::2] + self._blocks[1::2]
                self._block_length *= 2
            self._blocks = np.append(self._blocks, np.zeros((1, len(row), len(row))), axis=0)
        self._blocks[-1] += np.outer(row, row)
        self._windows += 1

    def fit(self, idle: Estimate | None) -> PowerFit:
        """
        Return the least-squares fit to all windows.

        Parameters
        ----------
        idle
            The idle power in watts. Without it, it is fitted too, for which the windows must
            differ in how busy they are.

        Raises
        ------
        InseparableError
            Where there are too few windows, or their busy seconds do not tell the parts apart.

        """
        whole = self._blocks.sum(axis=0)
        columns = [n for n in range(2, len(whole)) if whole[n, n] > 0]
        if not columns:
            raise InseparableError('no window with a decision yet')
        parts = tuple(self._parts[n - 2] for n in columns)
        if idle is None:
            columns = [*columns, 0]
        if self._windows - len(columns) < _LEAST_FREEDOM:
            raise InseparableError(
                f'{self._windows} windows are too few for {len(columns)} unknowns'
            )
        scale = np.sqrt(np.diag(whole)[columns])
        normal = whole[np.ix_(columns, columns)] / np.outer(scale, scale)
        if np.linalg.eigvalsh(normal)[0] < _LEAST_EIGENVALUE:
            remedy = '' if idle else ', or measure the idle power'
            raise InseparableError(
                f'{", ".join(parts)} were always busy in the same proportion: '
                f'wait for other scenes{remedy}'
            )
        # The fit to all blocks, then those to all but one of them.
        sums = np.concatenate([whole[np.newaxis], whole - self._blocks])
        x_x = sums[:, columns][:, :, columns] / np.outer(scale, scale)
        x_seconds, x_joules = sums[:, columns, 0] / scale, sums[:, columns, 1] / scale
        # Subtracting the idle power from joules subtracts it from each sum of products with them.
        # Without the one block that tells a part from the others, the pseudo-inverse gives that
        # part no power, which makes its standard error as large as its power.
        inverse = np.linalg.pinv(x_x, rcond=_LEAST_EIGENVALUE, hermitian=True)
        target = x_joules - (0.0 if idle is None else idle.value) * x_seconds
        solutions = (inverse @ target[..., np.newaxis])[..., 0] / scale
        deviations = solutions[1:] - solutions[1:].mean(axis=0)
        blocks = len(self._blocks)
        covariance = (blocks - 1) / blocks * (deviations.T @ deviations)
        if idle is not None:
            shift = inverse[0] @ x_seconds[0] / scale
            covariance = covariance + idle.standard_error**2 * np.outer(shift, shift)
        count = len(parts)
        return PowerFit(parts, solutions[0, :count], covariance[:count, :count])
