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
The governor: a budget decides which operating point is in force.

Operating points from the cheapest to the dearest are a scale. The governor demands a share of
deferred frames, or a cost, that lies anywhere on it, and frames alternate between the two points
that are next to it, so that their mean is what is demanded. What is measured beside what is wanted
moves the demand: after every frame for a share of deferred frames, which needs no sensor, and with
every reading for watts or joules. Both are integral control, so that nothing has to be known of
the scene or the board: how many frames are hard, or what a CNN costs, is found out.

The share of deferred frames is the quantile tracker of Angelopoulos et al., "Conformal PID control
for time series prediction", 2023: over T frames it is met to within the length of the scale
divided by STEP * T, whatever the frames are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math
from threading import Lock

import numpy as np

from dual_cnn_ros.cascade.settings import Rule

BUDGETS = {
    'deferral_rate': 'share of the frames that a later stage is asked about',
    'power': 'watts',
    'energy': 'joules until a time',
}
# By how much one frame moves the demanded share, and how far that may be beyond the scale: so that
# a frame too many at the end of the scale is made good by the next.
STEP = 0.1
BEYOND = 0.5
# Half of what is measured is taken to be the cascade's, and an error of it to be made good at this
# rate, in 1/s. It may be all or a fifth of it: a sensor that lags by a second allows three times
# the rate.
RATE = 0.25
# A reading that comes later counts as if it had come then.
LONGEST_STEP = 1.0
# After so long without a reading the sensor is lost.
SILENT_SECONDS = 3.0
# The demand has been at the floor for so long that the budget cannot be met.
PATIENCE_SECONDS = 10.0
# What is left of joules is spread over no less than this, or the last frames would get it all.
LAST_SECONDS = 10.0
# Of the measured values that are shown.
SMOOTHING_SECONDS = 5.0
SMOOTHING_FRAMES = 200


@dataclass(frozen=True)
class ScalePoint:
    """
    An operating point as the governor sees it.

    Attributes
    ----------
    rule
        Its rule, with its name.
    cost
        Mean cost of a frame, in any unit that is the same for all points.
    deferral_rate
        Share of the frames that a later stage is asked about.

    """

    rule: Rule
    cost: float
    deferral_rate: float


@dataclass(frozen=True)
class Budget:
    """
    What is wanted.

    Attributes
    ----------
    kind
        A name of BUDGETS.
    target
        A share of the frames, watts, or joules from now on.
    until
        For joules: when they may be used up, in seconds of the clock of the readings.

    """

    kind: str
    target: float
    until: float = math.inf


@dataclass(frozen=True)
class GovernorState:
    """
    What the governor does at the moment.

    Attributes
    ----------
    points
        Names of the points between which frames alternate, the cheaper one first; one or two.
    position
        On the scale, from 0 to the number of points less 1.
    target, measured
        What is wanted and what is measured, smoothed: shares, or watts. NaN while unknown.
    left
        Joules that are left, for a budget of joules; else NaN.
    fault
        Why the budget is not kept, or ''.

    """

    points: tuple[str, ...]
    position: float
    target: float
    measured: float
    left: float = math.nan
    fault: str = ''


class Governor:
    """
    Chooses the rule of every frame, so that a budget is kept.

    Threads may share it. All times are seconds of one clock, which does not go backwards.

    Parameters
    ----------
    scale
        The points that may be in force, cheapest first; the first is the floor, which nothing
        passes.
    budget
        What is wanted.
    now
        The time.
    position
        Where on the scale to begin.

    Raises
    ------
    ValueError
        There are fewer than two points to choose from.

    """

    def __init__(
        self, scale: Sequence[ScalePoint], budget: Budget, now: float, position: float = 0.0
    ) -> None:
        if len(scale) < 2:
            raise ValueError('a governor needs two operating points to choose from, or more')
        self.scale, self.budget = tuple(scale), budget
        of_power = self.needs_power
        self._beyond = 0.0 if of_power else BEYOND
        values = [point.cost if of_power else point.deferral_rate for point in scale]
        # Rising, so that every demand has one place.
        self._values = np.maximum.accumulate(values) + 1e-9 * values[-1] * np.arange(len(scale))
        self._demand = float(np.interp(position, np.arange(len(scale)), self._values))
        self._carry = 0.0
        self._lock = Lock()
        self._measured = self._watts = math.nan
        self._read_at = self._above_at = now
        self._spent = 0.0
        self._frames = 0

    @property
    def needs_power(self) -> bool:
        """Whether it goes by readings of the power."""
        return self.budget.kind != 'deferral_rate'

    def rule(self) -> Rule:
        """Return the rule of the next frame."""
        with self._lock:
            position = self._position()
            lower = min(int(position), len(self.scale) - 2)
            self._carry += position - lower
            takes_dearer = self._carry >= 1 - 1e-9
            self._carry -= takes_dearer
            return self.scale[lower + takes_dearer].rule

    def saw(self, asked_later: bool, now: float) -> None:
        """Learn whether a later stage was asked about a frame; the memory asks none."""
        if self.needs_power:
            return
        with self._lock:
            self._frames += 1
            share = 1 / min(self._frames, SMOOTHING_FRAMES)
            before = 0.0 if math.isnan(self._measured) else self._measured
            self._measured = before + share * (asked_later - before)
            self._move(STEP * (self.budget.target - asked_later), now)

    def read(self, watts: float, now: float) -> None:
        """Learn the power of the board; what is no number is passed over."""
        if not self.needs_power or not math.isfinite(watts):
            return
        with self._lock:
            elapsed = max(0.0, now - self._read_at)
            before = watts if math.isnan(self._watts) else self._watts
            # Also of the time of a gap, which cost something, too.
            self._spent += elapsed * (before + watts) / 2
            self._watts, self._read_at = watts, now
            share = 1 - math.exp(-elapsed / SMOOTHING_SECONDS)
            shown = watts if math.isnan(self._measured) else self._measured
            self._measured = shown + share * (watts - shown)
            if now >= self.budget.until:
                return
            target = self._target(now)
            error = 1 - watts / target if target > 0 else -1.0
            step = min(elapsed, LONGEST_STEP)
            self._move(2 * RATE * step * self._demand * max(-1.0, error), now)

    def state(self, now: float) -> GovernorState:
        """Return what it does."""
        with self._lock:
            position = self._position()
            lower = int(position)
            between = self.scale[lower : lower + 1 + (position > lower)]
            left = math.nan
            if self.budget.kind == 'energy':
                left = self.budget.target - self._spent
            return GovernorState(
                tuple(point.rule.name for point in between),
                position,
                self._target(now),
                self._measured,
                left,
                self._fault(now),
            )

    def _target(self, now: float) -> float:
        """Return the share or the watts that are wanted now."""
        if self.budget.kind != 'energy':
            return self.budget.target
        return (self.budget.target - self._spent) / max(self.budget.until - now, LAST_SECONDS)

    def _position(self) -> float:
        return float(np.interp(self._demand, self._values, np.arange(len(self._values))))

    def _move(self, change: float, now: float) -> None:
        """Move the demand; at an end of the scale, little winds up."""
        low, high = self._values[0] - self._beyond, self._values[-1] + self._beyond
        wanted = self._demand + change
        self._demand = float(min(max(wanted, low), high))
        if self._demand > self._values[0]:
            self._above_at = now

    def _fault(self, now: float) -> str:
        if self.needs_power and now >= self.budget.until:
            return 'the time of the budget is over: the operating point is held'
        if self.needs_power and (silent := now - self._read_at) > SILENT_SECONDS:
            return f'no power reading for {silent:.0f} s: the operating point is held'
        # Noise alone makes a demand touch the end of the scale now and then.
        is_at_floor = now - self._above_at > PATIENCE_SECONDS
        if is_at_floor and self._measured > self._target(now):
            return (
                f'the budget cannot be met: it takes less than {self.scale[0].rule.name}, the '
                'floor, needs'
            )
        return ''
