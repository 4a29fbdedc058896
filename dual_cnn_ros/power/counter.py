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

"""Hardware energy counters: they wrap around, restart, miss reads, and may be broken."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from dual_cnn_ros.power.plausibility import most_joules, ReadingCheck
from dual_cnn_ros.power.reading import Reading

# A 262 kJ counter wraps at most once in this time below 4 kW.
_LONGEST_UNREAD_SECONDS = 60.0
# Counters move about once a millisecond: over less time, that would be much of the power.
_LEAST_SECONDS = 0.02


class EnergyCounter:
    """
    Turns the values of a rail's hardware counter into readings that can be believed.

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
        self._check = ReadingCheck()
        # Time and value of the last read, None after a failed one.
        self._last: tuple[float, int] | None = None
        # Times and joules of the counter's steps since its energy was last unknown.
        self._steps: deque[tuple[float, float]] = deque()

    def fail(self, time: float, error: Exception) -> Reading:
        """Return the failed reading; whether the counter wrapped meanwhile is unknown."""
        self._last = None
        return self._believed(Reading(self._rail, time, error=str(error)))

    def advance(self, time: float, value: int, watts: float | None = None) -> Reading:
        """
        Take the counter's value at a time of the monotonic clock in seconds.

        Parameters
        ----------
        time
            Of the read.
        value
            In the counter's own units.
        watts
            The power, where the hardware measures that too.

        Returns
        -------
        Reading
            What `plausibility.ReadingCheck` believes of it. Its joules are the counter with its
            wrap-arounds unfolded. Where no watts were given, they are the mean power since the
            newest earlier step of the counter that is at least 20 ms old, None where there is no
            such step.

        """
        error = f'the energy counter is negative: {value}' if value < 0 else ''
        error = error or self._unfold(time, value)
        self._last = time, value
        joules = None if error else (value + self._unfolded) / self._units_per_joule
        return self._believed(Reading(self._rail, time, watts, joules=joules, error=error))

    def _unfold(self, time: float, value: int) -> str:
        """Add a wrap-around since the previous value; return why there may be an unknown one."""
        if self._last is None or time <= self._last[0]:
            return ''
        seconds, change = time - self._last[0], value - self._last[1]
        if self._span is not None and seconds > _LONGEST_UNREAD_SECONDS:
            return f'not read for {seconds:.0f} s: may have wrapped'
        if change < 0 and self._span is not None:
            joules = (change + self._span) / self._units_per_joule
            if 0 <= joules <= most_joules(seconds):
                self._unfolded += self._span
        return ''

    def _believed(self, reading: Reading) -> Reading:
        reading = self._check.check(reading)
        if reading.error:
            self._steps.clear()
        if reading.joules is None or reading.watts is not None:
            return reading
        time, joules = reading.time, reading.joules
        while len(self._steps) > 1 and self._steps[1][0] <= time - _LEAST_SECONDS:
            self._steps.popleft()
        if self._steps and self._steps[0][0] <= time - _LEAST_SECONDS:
            before, then = self._steps[0]
            reading = replace(reading, watts=(joules - then) / (time - before))
        self._steps.append((time, joules))
        return reading
