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
Energy over a window of time, from power readings or from a hardware counter.

Power is integrated by the trapezoid rule over the times of the readings, interpolated at the edges
of the window; where the hardware counts energy itself, its counter is differenced instead. A gap
between readings is not bridged: the time of it is not covered, and below 95 % coverage a window
has no energy as a single number. The state does not grow with the number of readings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
import math
import statistics

from dual_cnn_ros.power.plausibility import (
    Comparison,
    LONGEST_STILL,
    most_joules,
    with_power,
)
from dual_cnn_ros.power.reading import Reading

LEAST_COVERAGE = 0.95
# 1 % for the shunt resistor and 0.25 % for the chip; both are those of an INA3221, the only sensor
# here that states an offset.
GAIN_BOUND = 0.0125
# The INA3221 resolves 40 uV over the shunt and is off by at most 80 uV (TI SBOS576A).
_RESOLUTION_PER_OFFSET = 0.5
LEAST_BLOCKS = 8
_MOST_BLOCKS = 64
# Blocks of 1/8 s are stored, so that two seconds of readings give a standard error. It is taken
# from blocks of a second where there are enough: neighbouring readings are correlated, and the
# means of short blocks would make it too small.
_STORED_BLOCK_SECONDS, _COMPARED_BLOCK_SECONDS = 0.125, 1.0


@dataclass(frozen=True)
class Energy:
    """
    What was measured in a window, and how well.

    Attributes
    ----------
    measured_joules
        Energy of the covered time.
    covered_seconds, window_seconds
        The time that readings cover, and all of the window.
    longest_gap_seconds
        Longest time that readings do not cover.
    readings, failed
        Number of good and of failed readings within the window.
    missing
        Number of further readings that there should be, by the nominal period.
    out_of_order
        Readings that were dropped, as they were not later than the one before.
    restarts
        How often an energy counter, or the clock of the readings, was reset.
    standard_error_watts
        Of the mean power, from the means of blocks of correlated readings; None where there are
        too few.
    bias_joules
        Bound of the error from the sensor's offset and gain, which no number of
        readings makes smaller; None where the sensor states none.
    resolution_watts
        One step of the sensor; None where it is unknown.
    fault
        Why the newest reading that failed did so, or why all that a counter said is left out: the
        power beside it says something else. Empty where nothing failed.

    """

    measured_joules: float
    covered_seconds: float
    window_seconds: float
    longest_gap_seconds: float
    readings: int
    failed: int
    missing: int
    out_of_order: int
    restarts: int
    standard_error_watts: float | None
    bias_joules: float | None
    resolution_watts: float | None
    fault: str = ''

    @property
    def coverage(self) -> float:
        """Covered share of the window; 0 for a window without length."""
        return self.covered_seconds / self.window_seconds if self.window_seconds > 0 else 0.0

    @property
    def joules(self) -> float | None:
        """The energy as a single number: None below 95 % coverage."""
        return self.measured_joules if self.coverage >= LEAST_COVERAGE else None

    @property
    def mean_watts(self) -> float | None:
        """Mean power over the covered seconds, None where there are none."""
        return self.measured_joules / self.covered_seconds if self.covered_seconds > 0 else None


class EnergyIntegrator:
    """
    Takes the readings of one rail or total, in the order of time, and gives a window's energy.

    Parameters
    ----------
    period
        Nominal seconds between readings. A step of more than three periods, and at least 0.5 s,
        is a gap.
    start, end
        The window, in seconds of the monotonic clock; where they are infinite it reaches from the
        first reading to the last. Of the readings outside, the nearest serve to interpolate at
        its edges.

    """

    def __init__(self, period: float, start: float = -math.inf, end: float = math.inf) -> None:
        self.period = period
        self.start, self.end = start, end
        self._time = -math.inf
        self._last: Reading | None = None
        # The last reading with joules, and the power beside the counter since then.
        self._counted: Reading | None = None
        self._beside: Comparison | None = None
        # Of all that was counted: its energy beside that of the power, and its seconds.
        self._comparison = Comparison()
        self._counted_joules = self._counted_seconds = 0.0
        self._measured = self._covered = self._longest_gap = 0.0
        self._covered_to = start
        self._readings = self._failed = self._out_of_order = self._restarts = 0
        self._expected, self._period = 0.0, period
        self._fault = ''
        self._offset: float | None = 0.0
        self._resolution: float | None = None
        self._blocks = _Blocks()

    def add(self, reading: Reading) -> None:
        """Take the next reading; one that is not later than the last is counted and dropped."""
        if reading.time <= self._time:
            self._out_of_order += 1
            return
        before, self._time = self._time, reading.time
        says_nothing = not reading.error and reading.watts is None and reading.joules is None
        if self.start == -math.inf:
            if says_nothing:
                return  # a counter of which no energy is known yet
            self.start = self._covered_to = reading.time
        # When the rate was changed, the step to the first reading may still be a slower one.
        period, self._period = max(self.period, self._period), self.period
        step = min(reading.time, self.end) - max(before, self.start)
        self._expected += max(0.0, step) / period
        inside = self.start <= reading.time <= self.end
        if reading.error:
            self._failed += inside
            self._fault = reading.error
            # The counter may have been reset unnoticed; power only has a longer step.
            self._counted = None
            return
        self._readings += inside
        if self._last is not None:
            self._follow(self._last, reading)
        if reading.joules is not None:
            self._counted, self._beside = reading, Comparison()
        if reading.offset_watts is not None:
            self._resolution = reading.offset_watts * _RESOLUTION_PER_OFFSET
        self._last = reading

    def interrupt(self) -> None:
        """Record that the clock was reset: nothing joins the next reading to the previous one."""
        self._last = self._counted = None
        self._restarts += 1

    def energy(self) -> Energy:
        """Return what has been measured so far."""
        window = longest_gap = 0.0
        if self.start > -math.inf:
            end = self.end if self.end < math.inf else max(self._time, self.start)
            window = end - self.start
            longest_gap = max(self._longest_gap, end - self._covered_to)
        measured, covered = self._measured, self._covered
        if contradicted := self._comparison.fault:
            measured -= self._counted_joules
            covered -= self._counted_seconds
            longest_gap = max(longest_gap, window - covered)
        bias = None
        if self._offset is not None and covered > 0:
            bias = self._offset + GAIN_BOUND * abs(measured)
        return Energy(
            measured,
            covered,
            window,
            longest_gap,
            self._readings,
            self._failed,
            max(0, round(self._expected) - self._readings - self._failed),
            self._out_of_order,
            self._restarts,
            self._blocks.standard_error(),
            bias,
            self._resolution,
            contradicted or self._fault,
        )

    def _follow(self, last: Reading, reading: Reading) -> None:
        """Add the energy until this reading, where it is known."""
        step = reading.time - last.time
        counted = self._counted
        if step > max(3 * self.period, 0.5):
            self._counted = None
            return
        self._beside = with_power(self._beside, last, reading)
        if counted is None or reading.time - counted.time > LONGEST_STILL + step:
            self._counted = None
            if last.watts is not None and reading.watts is not None:
                self._join(last, reading, None)
            return
        # Between two of its steps a counter says nothing.
        if reading.joules is None or counted.joules is None:
            return
        change = reading.joules - counted.joules
        if not 0 <= change <= most_joules(reading.time - counted.time, True):
            self._restarts += 1
            return
        self._join(counted, reading, change)

    def _join(self, last: Reading, reading: Reading, counted: float | None) -> None:
        """Add what was counted between two readings, or else the mean of their power."""
        step = reading.time - last.time
        begin, end = max(last.time, self.start), min(reading.time, self.end)
        if end <= begin:
            return
        seconds = end - begin
        if counted is not None:
            joules = counted * (seconds / step)
            self._counted_joules += joules
            self._counted_seconds += seconds
            if self._beside is not None:
                self._comparison += self._beside.share(seconds / step, joules)
        else:
            assert last.watts is not None and reading.watts is not None
            slope = (reading.watts - last.watts) / step
            middle = (begin + end) / 2 - last.time
            joules = (last.watts + slope * middle) * seconds
        if last.offset_watts is None or reading.offset_watts is None:
            self._offset = None
        elif self._offset is not None:
            self._offset += (last.offset_watts + reading.offset_watts) / 2 * seconds
        self._measured += joules
        self._covered += seconds
        self._longest_gap = max(self._longest_gap, begin - self._covered_to)
        self._covered_to = end
        self._blocks.add(joules, seconds)


def energy_of(
    readings: Iterable[Reading], period: float, start: float = -math.inf, end: float = math.inf
) -> Energy:
    """Return the energy of a window of readings; the arguments are those of EnergyIntegrator."""
    integrator = EnergyIntegrator(period, start, end)
    for reading in readings:
        integrator.add(reading)
    return integrator.energy()


_Block = tuple[float, float]


class _Blocks:
    """Joules and seconds of consecutive blocks; when there are 64, each two are merged."""

    def __init__(self) -> None:
        self._length = _STORED_BLOCK_SECONDS
        self._blocks: list[_Block] = []
        self._joules = self._seconds = 0.0

    def add(self, joules: float, seconds: float) -> None:
        self._joules += joules
        self._seconds += seconds
        if self._seconds < self._length:
            return
        self._blocks.append((self._joules, self._seconds))
        self._joules = self._seconds = 0.0
        if len(self._blocks) == _MOST_BLOCKS:
            self._blocks = _merged(self._blocks)
            self._length *= 2

    def standard_error(self) -> float | None:
        """Return the standard error of the mean power, None where there are too few blocks."""
        blocks = self._blocks
        if len(blocks) < LEAST_BLOCKS:
            return None
        while len(blocks) >= 2 * LEAST_BLOCKS and sum(
            seconds for _, seconds in blocks
        ) < _COMPARED_BLOCK_SECONDS * len(blocks):
            blocks = _merged(blocks)
        means = [joules / seconds for joules, seconds in blocks]
        return statistics.stdev(means) / math.sqrt(len(means))


def _merged(blocks: list[_Block]) -> list[_Block]:
    pairs = zip(blocks[::2], blocks[1::2], strict=False)
    return [(a[0] + b[0], a[1] + b[1]) for a, b in pairs]
