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

"""The running account of a robot: readings and decisions in, joules by source out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
import heapq
from itertools import count
import math

from dual_cnn_ros.energy.attribution import Attribution, Estimate, InseparableError, Split
from dual_cnn_ros.energy.clocks import Clocks
from dual_cnn_ros.energy.idle import Idle, Net, net
from dual_cnn_ros.energy.integration import Energy, LEAST_BLOCKS, LEAST_COVERAGE, Meter
from dual_cnn_ros.energy.windows import Use, Window, Windows
from dual_cnn_ros.power.reading import Reading

# The part that is no CNN: everything a frame costs before the first one runs.
MEMORY = 'memory'
BASELINES = ('none', 'always_both', 'always_second', 'measured', 'bundle')

_MOST_WAITING = 10_000
_LEAST_COVERED = 0.999
# Of the readings' clock or their stamps; less, or a single reading, is one out of order.
_RESTART_SECONDS = 1.0


@dataclass
class Source:
    """The decisions of one source, and the seconds each part was busy for them."""

    decisions: int = 0
    busy: dict[str, float] = field(default_factory=lambda: defaultdict(float))


@dataclass
class _IdleMeasurement:
    meter: Meter
    start: float
    end: float
    decisions: int = 0


class Account:
    """
    Counts the energy since the start, and splits it over who decided.

    window: seconds of the windows that the split is fitted to. idle_note: why there is no idle
    power to begin with. All readings are of one source and scope; they come with the stamp
    of their message, decisions with the stamp of their end; both clocks may be those of a
    recording.
    """

    def __init__(self, window: float, idle_note: str = 'never measured') -> None:
        self._window = window
        self._clocks = Clocks()
        self._last: Reading | None = None
        self._last_stamp = 0.0
        self._stray: tuple[float, Reading] | None = None
        self._shift = 0.0
        self._measurement: _IdleMeasurement | None = None
        self.period = 0.1
        self.idle: Idle | None = None
        self._idle_is_old = False
        self.idle_note = idle_note
        self._begin()

    def _begin(self) -> None:
        self._meter = Meter(self.period)
        self._windows = Windows(self._window, self.period)
        self._waiting: list[tuple[float, int, str, dict[str, float]]] = []
        self._order = count()
        self._attribution = Attribution()
        self._unused = (0.0, 0.0)
        self.sources: dict[str, Source] = {}
        self.joules = self.seconds = 0.0
        self.used_windows = self._uncovered_windows = 0
        self.unmatched = 0

    def reset(self) -> None:
        """Start anew; the newest idle power stays until one is measured before the next load."""
        self._begin()
        if self.idle is not None:
            self.idle = Idle(self.idle.after or self.idle.before)
            self._idle_is_old = True

    # What comes in

    def reading(self, stamp: float, reading: Reading, period: float) -> bool:
        """
        Take the total's next reading; `period` is the nominal time between readings.

        Returns whether it shows that a clock began again: that, too, of the reading before it, as
        a single one that is back is only late.
        """
        if period != self.period:
            self.period = self._meter.period = self._windows.period = period
        stray, self._stray = self._stray, None
        began = self._is_back(stamp, reading)
        if began and stray is None:
            self._stray = stamp, reading
            return False
        if stray is not None and began:
            self._restart(*stray)
            self._take(*stray)
        elif stray is not None:
            self._meter.add(self._shifted(stray[1]))
        self._take(stamp, reading)
        return began

    def decision(self, finished: float, source: str, busy: Mapping[str, float]) -> None:
        """
        Take a decision: its end by the stamps' clock, its source, and the busy seconds of parts.

        It waits until the readings have come so far; one that comes too late is `unmatched`.
        """
        heapq.heappush(self._waiting, (finished, next(self._order), source, dict(busy)))
        if len(self._waiting) > _MOST_WAITING:
            heapq.heappop(self._waiting)
            self.unmatched += 1
        self._match()

    def measure_idle(self, seconds: float) -> None:
        """
        Take the mean power of the next seconds as the idle power.

        The first since the start or a reset is that before the load, any later one that after.
        One that a reset has left stands as that before, where decisions were made since.
        Raises ValueError without readings; refused in `idle_note` if decisions fall in between,
        or if the readings do not cover it or are too few to tell its error.
        """
        if self._last is None:
            raise ValueError('no power readings yet')
        start = self._last.time
        meter = Meter(self.period, start, start + seconds)
        meter.add(self._last)
        self._measurement = _IdleMeasurement(meter, start, start + seconds)
        self.idle_note = f'being measured for {seconds:g} s'

    # What comes out

    @property
    def energy(self) -> Energy:
        """Energy since the first reading after the start or a reset."""
        return self._meter.energy()

    @property
    def net(self) -> Net | None:
        """The same above idle; None while no idle power was measured."""
        return None if self.idle is None else net(self.energy, self.idle)

    @property
    def uncovered_windows(self) -> int:
        """Windows since the first that are of no use, as readings are missing in them."""
        return self._uncovered_windows + self._windows.skipped

    @property
    def coverage(self) -> float:
        """Share of the windows that readings cover; 0 while there is none."""
        return self.used_windows / max(1, self.used_windows + self.uncovered_windows)

    @property
    def obstacle(self) -> str:
        """Why there is no figure of frames and sources: less than 95 % coverage; else empty."""
        if not self.uncovered_windows or self.coverage >= LEAST_COVERAGE:
            return ''
        if self.period > self._window:
            return (
                f'readings that come every {self.period:g} s cover {self.coverage:.0%} of the '
                f'windows of {self._window:g} s: raise the rate of the power node, or window_s'
            )
        return f'readings cover only {self.coverage:.1%} of the windows'

    @property
    def waiting(self) -> int:
        """Decisions for whose time no readings have come yet."""
        return len(self._waiting)

    @property
    def decisions(self) -> int:
        """Decisions in windows that were covered by readings."""
        return sum(source.decisions for source in self.sources.values())

    @property
    def joules_per_frame(self) -> float | None:
        """
        Plain average from the first decision to the last, idle power included.

        None without decisions, or below 95 % coverage.
        """
        return self.joules / self.decisions if self.decisions and not self.obstacle else None

    @property
    def net_joules_per_frame(self) -> float | None:
        """The same above idle; None without idle power, or where the difference is noise."""
        above = self.net
        if self.idle is None or above is None or above.joules is None:
            return None
        if self.joules_per_frame is None:
            return None
        return (self.joules - self.idle.watts * self.seconds) / self.decisions

    def split(self) -> Split:
        """Return the least-squares split so far; raises InseparableError, too, on an obstacle."""
        if self.obstacle:
            raise InseparableError(self.obstacle)
        if self.idle is None:
            return self._attribution.split(None)
        return self._attribution.split(Estimate(self.idle.watts, self.idle.error_watts))

    def frame(self, source: str | None = None) -> dict[str, float]:
        """Return the mean busy seconds of each part for a decision of this or any source."""
        chosen = [self.sources[source]] if source is not None else list(self.sources.values())
        decisions = sum(one.decisions for one in chosen)
        busy: dict[str, float] = defaultdict(float)
        for one in chosen:
            for part, seconds in one.busy.items():
                busy[part] += seconds / decisions
        return dict(busy)

    def baseline(self, name: str) -> dict[str, float]:
        """
        Return the busy seconds of a frame that always takes both CNNs, or always the second.

        Raises InseparableError while one of them has not run yet.
        """
        ran: dict[str, int] = defaultdict(int)
        busy: dict[str, float] = defaultdict(float)
        for source in self.sources.values():
            for part, seconds in source.busy.items():
                ran[part] += source.decisions
                busy[part] += seconds
        parts = ['second'] if name == 'always_second' else sorted({'second', *busy} - {MEMORY})
        missing = [part for part in parts if not busy[part]]
        if missing:
            raise InseparableError(f'{", ".join(missing)} has not run yet')
        return {part: busy[part] / ran[part] for part in parts}

    # Inside

    def _shifted(self, reading: Reading) -> Reading:
        return replace(reading, time=reading.time + self._shift)

    def _is_back(self, stamp: float, reading: Reading) -> bool:
        return self._last is not None and (
            self._shifted(reading).time < self._last.time - _RESTART_SECONDS
            or stamp < self._last_stamp - _RESTART_SECONDS
        )

    def _take(self, stamp: float, reading: Reading) -> None:
        reading = self._shifted(reading)
        self._meter.add(reading)
        if self._last is not None and reading.time <= self._last.time:
            return
        self._last, self._last_stamp = reading, stamp
        self._clocks.add(stamp, reading.time)
        self._account(self._windows.add(reading))
        self._match()
        self._measure_idle(reading)

    def _restart(self, stamp: float, reading: Reading) -> None:
        """Go on after the recording, or the machine of the power node, began again."""
        assert self._last is not None
        later = self._last.time + max(stamp - self._last_stamp, self.period)
        self._shift = later - reading.time
        self._account(self._windows.flush())
        self.unmatched += len(self._waiting)
        self._waiting.clear()
        self._clocks.forget()
        self._meter.interrupt()
        if self._measurement is not None:
            self._measurement = None
            self.idle_note = 'refused: the readings began again while it was measured'

    def _match(self) -> None:
        while self._waiting:
            time = self._clocks.monotonic(self._waiting[0][0])
            if time is None:
                return
            _, _, source, busy = heapq.heappop(self._waiting)
            if not self._windows.use(Use(time, source, busy)):
                self.unmatched += 1
            measurement = self._measurement
            if measurement is not None:
                measurement.decisions += measurement.start <= time <= measurement.end

    def _account(self, windows: list[Window]) -> None:
        for window in windows:
            energy = window.energy
            if energy.coverage < _LEAST_COVERED:
                self._uncovered_windows += 1
                self.unmatched += len(window.uses)
                continue
            self.used_windows += 1
            self._attribution.add(energy.covered, energy.measured, window.busy)
            # Time before the first decision and after the last is no frame's.
            joules, seconds = self._unused
            if window.uses:
                self.joules += joules + energy.measured
                self.seconds += seconds + energy.covered
                self._unused = (0.0, 0.0)
            elif self.sources:
                self._unused = (joules + energy.measured, seconds + energy.covered)
            for use in window.uses:
                source = self.sources.setdefault(use.source, Source())
                source.decisions += 1
                for part, seconds in use.busy.items():
                    source.busy[part] += seconds

    def _measure_idle(self, reading: Reading) -> None:
        measurement = self._measurement
        if measurement is None:
            return
        measurement.meter.add(reading)
        # Decisions come after the readings of their time.
        if reading.time < measurement.end + self._window:
            return
        self._measurement = None
        energy = measurement.meter.energy()
        if measurement.decisions:
            self.idle_note = (
                f'refused: {measurement.decisions} decisions were made while it was measured; '
                'deactivate the classifier first'
            )
        elif energy.joules is None:
            self.idle_note = f'refused: readings covered only {energy.coverage:.0%} of its time'
        elif energy.spread_watts is None:
            # Taken for zero, the unknown error would make every other one too small.
            self.idle_note = (
                f'refused: {energy.readings} readings are too few to tell its error; set idle_s '
                f'to at least {math.ceil((LEAST_BLOCKS + 2) * self.period)}'
            )
        else:
            if self.idle is None or (self._idle_is_old and not self.sources):
                self.idle = Idle(energy)
            else:
                self.idle = Idle(self.idle.before, energy)
            self._idle_is_old = False
            self.idle_note = f'{energy.mean_watts:.3f} W over {energy.covered:.1f} s'
