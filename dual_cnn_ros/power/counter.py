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

"""Hardware energy counters: they wrap around, restart, and miss reads."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

# More than any package draws: a backward jump that would need more is a restart, no wrap-around.
_MOST_WATTS = 10_000.0
# A 262 kJ counter wraps at most once in this time below 4 kW.
_LONGEST_UNREAD_SECONDS = 60.0
# Counters move about once a millisecond: over less time, that would be much of the power.
_LEAST_SECONDS = 0.02


@dataclass(frozen=True)
class CounterStep:
    """
    What one value of an energy counter says.

    Attributes
    ----------
    joules
        The counter with its wrap-arounds unfolded; only differences mean something.
    watts
        Mean power since the newest earlier value that is at least 20 ms old; None where there is
        no such value.
    broken
        Why the energy since the previous value is unknown; empty where it is known.

    """

    joules: float
    watts: float | None = None
    broken: str = ''


class EnergyCounter:
    """
    Turns a hardware counter's values into unfolded joules and mean power.

    Parameters
    ----------
    units_per_joule
        1,000,000 for a counter of microjoules.
    span
        The value at which the counter wraps around to zero, in its own units; None where a
        smaller value can only mean a restart.

    """

    def __init__(self, units_per_joule: int, span: int | None = None) -> None:
        self._units_per_joule = units_per_joule
        self._span = span
        self._unfolded = 0
        # Times and unfolded values since the last failed read, restart or doubt.
        self._past: deque[tuple[float, int]] = deque()

    def lost(self) -> None:
        """Record that a read failed: whether the counter wrapped meanwhile is unknown."""
        self._past.clear()

    def advance(self, time: float, value: int) -> CounterStep:
        """Take the counter's value at a time of the monotonic clock in seconds."""
        broken = self._unfold(time, value)
        value += self._unfolded
        if broken or (self._past and time <= self._past[-1][0]):
            self._past.clear()
        while len(self._past) > 1 and self._past[1][0] <= time - _LEAST_SECONDS:
            self._past.popleft()
        watts = None
        if self._past and self._past[0][0] <= time - _LEAST_SECONDS:
            before, then = self._past[0]
            watts = (value - then) / self._units_per_joule / (time - before)
        self._past.append((time, value))
        return CounterStep(value / self._units_per_joule, watts, broken)

    def _unfold(self, time: float, value: int) -> str:
        """Add a wrap-around since the previous value; return why there may be an unknown one."""
        if not self._past or time <= self._past[-1][0]:
            return ''
        seconds, change = time - self._past[-1][0], value + self._unfolded - self._past[-1][1]
        if self._span is not None and seconds > _LONGEST_UNREAD_SECONDS:
            return f'not read for {seconds:.0f} s: may have wrapped'
        if change < 0:
            joules = (change + (self._span or 0)) / self._units_per_joule
            if self._span is None or not 0 <= joules <= _MOST_WATTS * max(seconds, _LEAST_SECONDS):
                return 'the energy counter restarted'
            self._unfolded += self._span
        return ''
