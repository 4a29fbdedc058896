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

from dataclasses import dataclass

# Above what any package draws: a backward jump that would need more is a restart, no wrap-around.
MOST_WATTS = 10_000.0
# A 262 kJ counter wraps at most once in this time below 4 kW.
LONGEST_STEP = 60.0


@dataclass(frozen=True)
class Step:
    """
    What one counter value says.

    joules: the counter with its wrap-arounds unfolded. watts: the mean power since the value
    before, None where there is none. broken: why the step from the value before is unknown.
    """

    joules: float
    watts: float | None = None
    broken: str = ''


class Counter:
    """
    Turns a hardware counter's values into unfolded joules and mean power.

    units_per_joule: 1,000,000 for microjoules. span: the value at which it wraps around, or None
    where a smaller value can only mean a restart.
    """

    def __init__(self, units_per_joule: int, span: int | None = None) -> None:
        self._units_per_joule = units_per_joule
        self._span = span
        self._unfolded = 0
        self._last: tuple[float, int] | None = None

    def lost(self) -> None:
        """Say that a read failed: what the counter did meanwhile is unknown."""
        self._last = None

    def advance(self, time: float, value: int) -> Step:
        """Take the counter's value at a monotonic time in seconds."""
        last, self._last = self._last, (time, value)
        if last is None or time <= last[0]:
            return Step(self._joules(value))
        seconds, change = time - last[0], value - last[1]
        if self._span is not None and seconds > LONGEST_STEP:
            return Step(
                self._joules(value), broken=f'not read for {seconds:.0f} s: may have wrapped'
            )
        if change < 0:
            change += self._span or 0
            watts = change / self._units_per_joule / seconds
            if self._span is None or not 0 <= watts <= MOST_WATTS:
                return Step(self._joules(value), broken='the energy counter restarted')
            self._unfolded += self._span
        return Step(self._joules(value), change / self._units_per_joule / seconds)

    def _joules(self, value: int) -> float:
        return (value + self._unfolded) / self._units_per_joule
