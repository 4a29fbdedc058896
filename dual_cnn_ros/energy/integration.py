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

Readings are joined by the trapezoid rule on their own times and interpolated to the window's
edges; where the hardware counts energy itself, its counter is differenced instead. What lies in a
gap is not bridged but left uncovered, and below 95 % coverage a window has no single number. The
state does not grow with the number of readings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
import math
import statistics

from dual_cnn_ros.power.reading import Reading

LEAST_COVERAGE = 0.95
# 1 % for the resistor and 0.25 % for the chip, of every sensor that states an offset.
GAIN_BOUND = 0.0125
# The INA3221 resolves 40 uV over the shunt and is off by at most 80 uV.
RESOLUTION_PER_OFFSET = 0.5
LEAST_BLOCKS, MOST_BLOCKS = 8, 64
# Blocks are collected short, as two seconds must do, and compared long, as neighbouring readings
# resemble each other: of a second, where there are enough of these.
SHORT_SECONDS, LONG_SECONDS = 0.125, 1.0


@dataclass(frozen=True)
class Energy:
    """
    What was measured in a window, and how well.

    measured: joules in the `covered` seconds out of the `window` seconds. readings, failed: those
    within the window. missing: those that should have come between them, by the period of their
    time. out_of_order: readings that were not later than one before, dropped.
    restarts: times at which a counter, or the clock, began again. spread_watts: standard error of
    the mean power from block means, as neighbouring readings resemble each other; None where
    there are too few. bias: bound in joules of what more readings never remove, the sensor's
    offset and gain; None where the sensor states none. resolution_watts: one step of the sensor.
    """

    measured: float
    covered: float
    window: float
    longest_gap: float
    readings: int
    failed: int
    missing: int
    out_of_order: int
    restarts: int
    spread_watts: float | None
    bias: float | None
    resolution_watts: float | None

    @property
    def coverage(self) -> float:
        """Covered share of the window; 0 for a window without length."""
        return self.covered / self.window if self.window > 0 else 0.0

    @property
    def joules(self) -> float | None:
        """The energy as a single number: None below 95 % coverage."""
        return self.measured if self.coverage >= LEAST_COVERAGE else None

    @property
    def mean_watts(self) -> float | None:
        """Mean power over the covered seconds, None where there are none."""
        return self.measured / self.covered if self.covered > 0 else None


class Meter:
    """
    Takes the readings of one rail or total one after another and gives a window's energy.

    period: nominal seconds between readings; steps over three of them, and over 0.5 s, are gaps.
    start, end: the window in monotonic seconds; left out, it reaches from the first reading to
    the last. Readings outside of the window serve to interpolate at its edges.
    """

    def __init__(self, period: float, start: float | None = None, end: float = math.inf) -> None:
        self.period = period
        self.end = end
        self.start = start
        self._time = -math.inf
        self._last: Reading | None = None
        self._counting = False
        self._measured = self._covered = self._longest_gap = 0.0
        self._covered_to = start
        self._readings = self._failed = self._out_of_order = self._restarts = 0
        self._expected, self._period = 0.0, period
        self._offset: float | None = 0.0
        self._resolution: float | None = None
        self._blocks = _Blocks()

    def add(self, reading: Reading) -> None:
        """Take the next reading; one that is not later than the last is counted and dropped."""
        if reading.time <= self._time:
            self._out_of_order += 1
            return
        before, self._time = self._time, reading.time
        if self.start is None:
            self.start = self._covered_to = reading.time
        # The step to the first reading of another rate may still be one of the rate before.
        period, self._period = max(self.period, self._period), self.period
        step = min(reading.time, self.end) - max(before, self.start)
        self._expected += max(0.0, step) / period
        inside = self.start <= reading.time <= self.end
        if reading.error:
            self._failed += inside
            # A counter may have restarted unseen; sampled power only has a longer step.
            self._counting = False
            return
        self._readings += inside
        if self._last is not None:
            self._join(self._last, reading, self.start)
        if reading.offset_watts is not None:
            self._resolution = reading.offset_watts * RESOLUTION_PER_OFFSET
        self._last = reading
        self._counting = True

    def interrupt(self) -> None:
        """Say that the readings begin anew: nothing joins the next one to the last."""
        self._last = None
        self._restarts += 1

    def energy(self) -> Energy:
        """Return what has been measured so far."""
        window = longest_gap = 0.0
        if self.start is not None and self._covered_to is not None:
            end = self.end if self.end < math.inf else max(self._time, self.start)
            window = end - self.start
            longest_gap = max(self._longest_gap, end - self._covered_to)
        bias = None
        if self._offset is not None and self._covered > 0:
            bias = self._offset + GAIN_BOUND * abs(self._measured)
        return Energy(
            self._measured,
            self._covered,
            window,
            longest_gap,
            self._readings,
            self._failed,
            max(0, round(self._expected) - self._readings - self._failed),
            self._out_of_order,
            self._restarts,
            self._blocks.spread(),
            bias,
            self._resolution,
        )

    def _join(self, last: Reading, reading: Reading, start: float) -> None:
        step = reading.time - last.time
        begin, end = max(last.time, start), min(reading.time, self.end)
        if step > max(3 * self.period, 0.5) or end <= begin:
            return
        seconds = end - begin
        if last.joules is not None and reading.joules is not None:
            if not self._counting:
                return
            if reading.joules < last.joules:
                self._restarts += 1
                return
            joules = (reading.joules - last.joules) * (seconds / step)
        elif last.watts is not None and reading.watts is not None:
            slope = (reading.watts - last.watts) / step
            middle = (begin + end) / 2 - last.time
            joules = (last.watts + slope * middle) * seconds
        else:
            return
        if last.offset_watts is None or reading.offset_watts is None:
            self._offset = None
        elif self._offset is not None:
            self._offset += (last.offset_watts + reading.offset_watts) / 2 * seconds
        self._measured += joules
        self._covered += seconds
        if self._covered_to is not None:
            self._longest_gap = max(self._longest_gap, begin - self._covered_to)
        self._covered_to = end
        self._blocks.add(joules, seconds)


def energy_of(
    readings: Iterable[Reading], period: float, start: float | None = None, end: float = math.inf
) -> Energy:
    """Return the energy of a window of readings; the arguments are those of Meter."""
    meter = Meter(period, start, end)
    for reading in readings:
        meter.add(reading)
    return meter.energy()


Block = tuple[float, float]


class _Blocks:
    """Joules and seconds of consecutive blocks; when there are 64, neighbours merge."""

    def __init__(self) -> None:
        self._length = SHORT_SECONDS
        self._blocks: list[Block] = []
        self._joules = self._seconds = 0.0

    def add(self, joules: float, seconds: float) -> None:
        self._joules += joules
        self._seconds += seconds
        if self._seconds < self._length:
            return
        self._blocks.append((self._joules, self._seconds))
        self._joules = self._seconds = 0.0
        if len(self._blocks) == MOST_BLOCKS:
            self._blocks = _merged(self._blocks)
            self._length *= 2

    def spread(self) -> float | None:
        blocks = self._blocks
        if len(blocks) < LEAST_BLOCKS:
            return None
        while len(blocks) >= 2 * LEAST_BLOCKS and sum(
            seconds for _, seconds in blocks
        ) < LONG_SECONDS * len(blocks):
            blocks = _merged(blocks)
        means = [joules / seconds for joules, seconds in blocks]
        return statistics.stdev(means) / math.sqrt(len(means))


def _merged(blocks: list[Block]) -> list[Block]:
    pairs = zip(blocks[::2], blocks[1::2], strict=False)
    return [(a[0] + b[0], a[1] + b[1]) for a, b in pairs]
