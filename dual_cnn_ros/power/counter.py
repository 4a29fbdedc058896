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

from dual_cnn_ros.power.reading import Reading

# More than any package draws: a backward jump that would need more is a restart, no wrap-around.
_MOST_WATTS = 10_000.0
# A 262 kJ counter wraps at most once in this time below 4 kW.
_LONGEST_UNREAD_SECONDS = 60.0
# Counters move about once a millisecond: over less time, that would be much of the power.
_LEAST_SECONDS = 0.02


class EnergyCounter:
    """
    Turns the values of a rail's hardware counter into readings.

    Parameters
    ----------
    rail
        The name of the rail.
    units_per_joule
        1,000,000 for a counter of microjoules.
    span
        The value at which the counter wraps around to zero, in its own units; None where a
        smaller value can only mean a restart.

    """

    def __init__(self, rail: str, units_per_joule: int, span: int | None = None) -> None:
        self._rail = rail
        self._units_per_joule = units_per_joule
        self._span = span
        self._unfolded = 0
        # Times and unfolded values since the last failed read, restart or unknown wrap-around.
        self._past: deque[tuple[float, int]] = deque()

    def fail(self, time: float, error: Exception) -> Reading:
        """Return the failed reading; whether the counter wrapped meanwhile is unknown."""
        self._past.clear()
        return Reading(self._rail, time, error=str(error))

    def advance(self, time: float, value: int) -> Reading:
        """
        Take the counter's value at a time of the monotonic clock in seconds.

        Returns
        -------
        Reading
            Its joules are the counter with its wrap-arounds unfolded. Its watts are the mean
            power since the newest earlier value that is at least 20 ms old, None where there is
            no such value. A failed reading where the energy since the previous value is unknown.

        """
        error = self._unfold(time, value)
        value += self._unfolded
        if error or (self._past and time <= self._past[-1][0]):
            self._past.clear()
        while len(self._past) > 1 and self._past[1][0] <= time - _LEAST_SECONDS:
            self._past.popleft()
        watts = None
        if self._past and self._past[0][0] <= time - _LEAST_SECONDS:
            before, then = self._past[0]
            watts = (value - then) / self._units_per_joule / (time - before)
        self._past.append((time, value))
        if error:
            return Reading(self._rail, time, error=error)
        return Reading(self._rail, time, watts=watts, joules=value / self._units_per_joule)

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
