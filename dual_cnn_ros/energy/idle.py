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

"""Energy above idle: what a load costs on top of a board that waits."""

from __future__ import annotations

from dataclasses import dataclass
import math

from dual_cnn_ros.energy.integration import Energy, GAIN_BOUND


@dataclass(frozen=True)
class Idle:
    """
    Idle power measured before a load and, better, once more after it.

    A rest that readings do not cover tells nothing of it.
    """

    before: Energy
    after: Energy | None = None

    @property
    def rests(self) -> list[Energy]:
        """Those of before and after that readings cover."""
        return [
            energy
            for energy in (self.before, self.after)
            if energy is not None and energy.joules is not None
        ]

    @property
    def watts(self) -> float:
        """Mean idle power; NaN where no rest is covered."""
        return sum(self._watts) / len(self._watts) if self._watts else math.nan

    @property
    def error_watts(self) -> float:
        """
        Standard error of it: half the drift from before to after, or the spread if larger.

        NaN where no rest is covered, or one holds too few readings to tell its spread.
        """
        spreads = [energy.spread_watts for energy in self.rests]
        known = [spread for spread in spreads if spread is not None]
        if not spreads or len(known) < len(spreads):
            return math.nan
        spread = math.hypot(*known)
        return max(spread / len(self._watts), abs(self._watts[0] - self.watts))

    @property
    def _watts(self) -> list[float]:
        return [energy.mean_watts or 0.0 for energy in self.rests]


@dataclass(frozen=True)
class Net:
    """
    The energy of a window above idle, in joules, over the window's covered seconds.

    joules: None where it is `refused`, with the reason there. noise: below this a difference
    means nothing. bias: bound of the gain's error, as a constant offset cancels; None where the
    sensor states none, or no rest is covered. Without one, idle and noise are NaN; the noise is,
    too, where the idle power's error is unknown.
    """

    gross: float
    idle: float
    noise: float
    joules: float | None
    bias: float | None
    refused: str = ''


def net(energy: Energy, idle: Idle) -> Net:
    """
    Subtract the idle power, or refuse where the noise is larger than the difference.

    It is refused, too, where readings do not cover the window or any rest, or are too few to
    tell the idle power's error. The noise is the largest of the idle power's drift, twice its
    spread, and the sensor's resolution. How much the load itself varies is no part of it: that
    was measured.
    """
    idle_joules = idle.watts * energy.covered
    difference = energy.measured - idle_joules
    noise = energy.covered * max(2 * idle.error_watts, energy.resolution_watts or 0.0)
    refused = ''
    if energy.joules is None:
        refused = f'only {energy.coverage:.0%} of the window is covered'
    elif not idle.rests:
        refused = f'only {idle.before.coverage:.0%} of the time without load is covered'
    elif math.isnan(idle.error_watts):
        refused = 'the readings without load are too few to tell the error of the idle power'
    elif abs(difference) <= noise:
        refused = f'{difference:.3g} J above idle is within the noise of {noise:.3g} J'
    bias = None if energy.bias is None or not idle.rests else GAIN_BOUND * abs(difference)
    return Net(energy.measured, idle_joules, noise, None if refused else difference, bias, refused)
