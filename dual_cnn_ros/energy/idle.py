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

"""Energy above idle: what a load adds to the power of a machine that waits."""

from __future__ import annotations

from dataclasses import dataclass
import math

from dual_cnn_ros.energy.integration import Energy, GAIN_BOUND


@dataclass(frozen=True)
class Idle:
    """
    Idle power, measured during a rest before a load and, better, during another one after it.

    A rest with less than 95 % coverage is left out.
    """

    before: Energy
    after: Energy | None = None

    @property
    def rests(self) -> list[Energy]:
        """The energy of each rest with enough coverage."""
        return [
            energy
            for energy in (self.before, self.after)
            if energy is not None and energy.joules is not None
        ]

    @property
    def watts(self) -> float:
        """Mean idle power; NaN where no rest has enough coverage."""
        return sum(self._watts) / len(self._watts) if self._watts else math.nan

    @property
    def standard_error_watts(self) -> float:
        """
        Standard error of `watts`: that of the rests, or half the drift between them if larger.

        NaN where no rest has enough coverage, or one has too few readings to tell its own.
        """
        errors = [energy.standard_error_watts for energy in self.rests]
        known = [error for error in errors if error is not None]
        if not errors or len(known) < len(errors):
            return math.nan
        return max(math.hypot(*known) / len(errors), abs(self._watts[0] - self.watts))

    @property
    def _watts(self) -> list[float]:
        return [energy.mean_watts or 0.0 for energy in self.rests]


@dataclass(frozen=True)
class NetEnergy:
    """
    The energy of a window above idle, over the window's covered seconds.

    Attributes
    ----------
    gross_joules
        Idle energy included.
    idle_joules
        The idle energy; NaN where the idle power is unknown.
    noise_joules
        The smallest difference that means something; NaN where the idle power or its standard
        error is unknown.
    net_joules
        The difference of `gross_joules` and `idle_joules`; None where it was refused.
    bias_joules
        Bound of the error of the sensor's gain; a constant offset cancels. None where the sensor
        states no bound, or the idle power is unknown.
    refused
        Why there is no difference; empty where there is one.

    """

    gross_joules: float
    idle_joules: float
    noise_joules: float
    net_joules: float | None
    bias_joules: float | None
    refused: str = ''


def subtract_idle(energy: Energy, idle: Idle) -> NetEnergy:
    """
    Subtract the idle power, or refuse to.

    Refused are a difference within the noise, a window or rests with too little coverage, and
    rests with too few readings to tell the standard error of the idle power. The noise is the
    larger of two standard errors of the idle power and one step of the sensor. How much the load
    itself varies is no part of it, since all of the load was measured.
    """
    idle_joules = idle.watts * energy.covered_seconds
    difference = energy.measured_joules - idle_joules
    noise = energy.covered_seconds * max(
        2 * idle.standard_error_watts, energy.resolution_watts or 0.0
    )
    refused = ''
    if energy.joules is None:
        refused = f'only {energy.coverage:.0%} of the window is covered'
        if energy.fault:
            refused += f': {energy.fault}'
    elif not idle.rests:
        refused = f'only {idle.before.coverage:.0%} of the time without load is covered'
    elif math.isnan(idle.standard_error_watts):
        refused = (
            'the readings without load are too few to tell the standard error of the idle power'
        )
    elif abs(difference) <= noise:
        refused = f'{difference:.3g} J above idle is within the noise of {noise:.3g} J'
    bias = None if energy.bias_joules is None or not idle.rests else GAIN_BOUND * abs(difference)
    return NetEnergy(
        energy.measured_joules, idle_joules, noise, None if refused else difference, bias, refused
    )
