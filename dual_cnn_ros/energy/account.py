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

"""The energy account of a robot: takes readings and decisions, gives joules by source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
import heapq
from itertools import count
import math

from dual_cnn_ros.cascade.decision import MEMORY
from dual_cnn_ros.energy.attribution import Attribution, Estimate, InseparableError, PowerFit
from dual_cnn_ros.energy.clocks import Clocks
from dual_cnn_ros.energy.idle import Idle, NetEnergy, subtract_idle
from dual_cnn_ros.energy.integration import (
    Energy,
    EnergyIntegrator,
    LEAST_BLOCKS,
    LEAST_COVERAGE,
)
from dual_cnn_ros.energy.windows import DecisionEvent, DecisionWindow, DecisionWindows
from dual_cnn_ros.power.plausibility import ReadingCheck
from dual_cnn_ros.power.reading import Reading

# Decisions that wait for the readings of their time; more are dropped, oldest first.
_MOST_WAITING = 10_000
# Windows below this coverage are not fitted to: the energy of one with a gap is too small.
_LEAST_WINDOW_COVERAGE = 0.999
# A clock that goes back by less was not reset: the reading is out of order.
_RESET_SECONDS = 1.0


@dataclass
class SourceTotals:
    """
    The decisions of one source.

    Attributes
    ----------
    decisions
        Number of them in covered windows.
    busy
        Seconds for which each part worked on them.

    """

    decisions: int = 0
    busy: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, decisions: int, busy: Mapping[str, float]) -> None:
        """Add so many decisions, and the seconds for which each part worked on them."""
        self.decisions += decisions
        for part, seconds in busy.items():
            self.busy[part] += seconds


@dataclass
class _IdleMeasurement:
    """The readings, and the number of decisions, of a time in which there should be none."""

    integrator: EnergyIntegrator
    decisions: int = 0


class Account:
    """
    Counts the energy since the start, and attributes it to the sources of decisions.

    All readings must be of one sensor and scope. Readings have two times, their own of the
    monotonic clock and the stamp of their message; decisions have a stamp only. Both clocks may
    be those of a recording, which may begin again.

    Parameters
    ----------
    window
        Seconds of the windows over which energy is attributed.
    idle_note
        Why no idle power is known at the start.

    Attributes
    ----------
    period
        Nominal seconds between readings, as of the newest one.
    idle
        The idle power; None until it was measured.
    idle_note
        How the last measurement of the idle power ended, or why there was none.
    fault
        Why the newest reading failed, or cannot be true; empty where it is good.
    stages
        The stages of the cascade in order, as of the newest decision.
    sources
        The decisions of each source, by its name.
    joules, seconds
        Energy, idle included, and length of the covered windows from the first decision to the
        last.
    used_windows
        Number of covered windows.
    unmatched
        Number of decisions without readings of their time.

    """

    def __init__(self, window: float, idle_note: str = 'never measured') -> None:
        self._window = window
        self._clocks = Clocks()
        self._check = ReadingCheck(is_total=True)
        self.fault = ''
        self._last: Reading | None = None
        self._last_stamp = 0.0
        self._early: tuple[float, Reading] | None = None
        self._shift = 0.0
        self._measurement: _IdleMeasurement | None = None
        self.period = 0.1
        self.idle: Idle | None = None
        self._idle_is_old = False
        self.idle_note = idle_note
        self._begin()

    def _begin(self) -> None:
        self._integrator = EnergyIntegrator(self.period)
        self._windows = DecisionWindows(self._window, self.period)
        self._waiting: list[tuple[float, int, str, dict[str, float]]] = []
        self._order = count()
        self._attribution = Attribution()
        self._unused = (0.0, 0.0)
        self.stages: tuple[str, ...] = ()
        self.sources: dict[str, SourceTotals] = {}
        self.joules = self.seconds = 0.0
        self.used_windows = self._uncovered_windows = 0
        self.unmatched = 0

    def reset(self) -> None:
        """
        Count from zero.

        The newest idle power is kept; one that is measured before the next decision replaces it.
        """
        self._begin()
        if self.idle is not None:
            self.idle = Idle(self.idle.after or self.idle.before)
            self._idle_is_old = True

    # Input

    def add_reading(self, stamp: float, reading: Reading, period: float) -> bool:
        """
        Take the next reading of the total.

        Parameters
        ----------
        stamp
            Of its message, in seconds.
        reading
            A failed one too.
        period
            Nominal seconds between readings.

        Returns
        -------
        bool
            True if a clock was reset before the previous reading. Two readings in a row must show
            an earlier time: a single one was delivered late.

        """
        if period != self.period:
            self.period = self._integrator.period = self._windows.period = period
        early, self._early = self._early, None
        is_earlier = self._is_earlier(stamp, reading)
        if early is None:
            if is_earlier:
                self._early = stamp, reading
                return False
        elif is_earlier:
            self._follow_reset(*early)
            self._take(*early)
        else:
            # It was delivered late: the integrator counts it, and drops it if it is out of order.
            self._integrator.add(self._believed(early[1]))
        self._take(stamp, reading)
        return is_earlier

    def add_decision(
        self, finished: float, source: str, busy: Mapping[str, float], stages: Sequence[str] = ()
    ) -> None:
        """
        Take a decision, which waits for the readings of its time.

        Parameters
        ----------
        finished
            When it was made, in seconds of the clock of the stamps.
        source
            The stage that decided, or 'memory'.
        busy
            Seconds for which each part worked on it.
        stages
            All of the cascade in order, where they are known.

        """
        self.stages = tuple(stages) or self.stages
        heapq.heappush(self._waiting, (finished, next(self._order), source, dict(busy)))
        if len(self._waiting) > _MOST_WAITING:
            heapq.heappop(self._waiting)
            self.unmatched += 1
        self._match()

    def measure_idle(self, seconds: float) -> None:
        """
        Take the mean power of the next seconds as the idle power.

        The first rest since the start counts as the one before the load, any later one as the one
        after it. After a reset, a rest before the first decision replaces the idle power; a rest
        after a decision counts as the one after the load, and the idle power from before the
        reset as that before the load. `idle_note` says in the end whether the rest was refused:
        because of decisions during it, too little coverage, or too few readings to tell its
        standard error.

        Raises
        ------
        ValueError
            Where there was no reading yet.

        """
        if self._last is None:
            raise ValueError('no power readings yet')
        start = self._last.time
        integrator = EnergyIntegrator(self.period, start, start + seconds)
        integrator.add(self._last)
        self._measurement = _IdleMeasurement(integrator)
        self.idle_note = f'being measured for {seconds:g} s'

    # Results

    @property
    def energy(self) -> Energy:
        """The energy since the first reading, idle included."""
        return self._integrator.energy()

    @property
    def net(self) -> NetEnergy | None:
        """The energy since the first reading above idle; None while no idle power is known."""
        return None if self.idle is None else subtract_idle(self.energy, self.idle)

    @property
    def uncovered_windows(self) -> int:
        """Number of windows in which readings are missing."""
        return self._uncovered_windows + self._windows.skipped

    @property
    def coverage(self) -> float:
        """Share of covered windows; 0 while there are none."""
        return self.used_windows / max(1, self.used_windows + self.uncovered_windows)

    @property
    def obstacle(self) -> str:
        """Why nothing is said of frames and sources; empty from 95 % covered windows on."""
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
        """Number of decisions that wait for the readings of their time."""
        return len(self._waiting)

    @property
    def decisions(self) -> int:
        """Number of decisions in covered windows."""
        return sum(source.decisions for source in self.sources.values())

    @property
    def joules_per_frame(self) -> float | None:
        """
        Mean energy of a frame from the first decision to the last, idle energy included.

        None without decisions, or below 95 % coverage.
        """
        return self.joules / self.decisions if self.decisions and not self.obstacle else None

    @property
    def net_joules_per_frame(self) -> float | None:
        """Mean energy of a frame above idle; None where that is unknown or within the noise."""
        net, per_frame = self.net, self.joules_per_frame
        if self.idle is None or net is None or net.net_joules is None or per_frame is None:
            return None
        return per_frame - self.idle.watts * self.seconds / self.decisions

    def fit(self) -> PowerFit:
        """
        Return the power of each part, fitted to all covered windows.

        Raises
        ------
        InseparableError
            Where it cannot be told, or there is an `obstacle`.

        """
        if self.obstacle:
            raise InseparableError(self.obstacle)
        idle = None
        if self.idle is not None:
            idle = Estimate(self.idle.watts, self.idle.standard_error_watts)
        return self._attribution.fit(idle)

    def mean_busy_seconds(self, source: str | None = None) -> dict[str, float]:
        """Return the mean busy seconds of each part for a decision of a source, None for any."""
        chosen = [self.sources[source]] if source is not None else list(self.sources.values())
        total = SourceTotals()
        for one in chosen:
            total.add(one.decisions, one.busy)
        return {part: seconds / total.decisions for part, seconds in total.busy.items()}

    def baseline_busy_seconds(self, name: str) -> dict[str, float]:
        """
        Return the busy seconds of each part for a frame that all CNNs classify, or the last.

        Parameters
        ----------
        name
            'always_all' or 'always_last'.

        Raises
        ------
        InseparableError
            While one of the CNNs has not run yet.

        """
        ran: dict[str, int] = defaultdict(int)
        busy: dict[str, float] = defaultdict(float)
        for source in self.sources.values():
            for part, seconds in source.busy.items():
                ran[part] += source.decisions
                busy[part] += seconds
        if not self.stages:
            raise InseparableError('no decision yet')
        last_only = name == 'always_last'
        parts = [*self.stages[-1:]] if last_only else sorted({*self.stages, *busy} - {MEMORY})
        missing = [part for part in parts if not busy[part]]
        if missing:
            raise InseparableError(f'{", ".join(missing)} has not run yet')
        return {part: busy[part] / ran[part] for part in parts}

    # Internal

    def _shifted(self, reading: Reading) -> Reading:
        return replace(reading, time=reading.time + self._shift)

    def _is_earlier(self, stamp: float, reading: Reading) -> bool:
        return self._last is not None and (
            self._shifted(reading).time < self._last.time - _RESET_SECONDS
            or stamp < self._last_stamp - _RESET_SECONDS
        )

    def _believed(self, reading: Reading) -> Reading:
        """Return a reading in the account's time, as far as it can be believed."""
        reading = self._shifted(reading)
        if self._last is not None and reading.time <= self._last.time:
            return reading  # out of order, and about to be dropped
        reading = self._check.check(reading)
        self.fault = reading.error
        return reading

    def _take(self, stamp: float, reading: Reading) -> None:
        reading = self._believed(reading)
        self._integrator.add(reading)
        if self._last is not None and reading.time <= self._last.time:
            return
        self._last, self._last_stamp = reading, stamp
        self._clocks.add(stamp, reading.time)
        self._account(self._windows.add(reading))
        self._match()
        self._measure_idle(reading)

    def _follow_reset(self, stamp: float, reading: Reading) -> None:
        """Shift the times of later readings, after a clock was reset, to behind the last one."""
        assert self._last is not None
        later = self._last.time + max(stamp - self._last_stamp, self.period)
        self._shift = later - reading.time
        self._account(self._windows.flush())
        self.unmatched += len(self._waiting)
        self._waiting.clear()
        self._clocks.forget()
        self._check.forget()
        self._integrator.interrupt()
        if self._measurement is not None:
            self._measurement = None
            self.idle_note = 'refused: the clock of the readings was reset while it was measured'

    def _match(self) -> None:
        while self._waiting:
            time = self._clocks.monotonic(self._waiting[0][0])
            if time is None:
                return
            _, _, source, busy = heapq.heappop(self._waiting)
            if not self._windows.add_decision(DecisionEvent(time, source, busy)):
                self.unmatched += 1
            if self._measurement is not None:
                rest = self._measurement.integrator
                self._measurement.decisions += rest.start <= time <= rest.end

    def _account(self, windows: list[DecisionWindow]) -> None:
        for window in windows:
            energy = window.energy
            if energy.coverage < _LEAST_WINDOW_COVERAGE:
                self._uncovered_windows += 1
                self.unmatched += len(window.decisions)
                continue
            self.used_windows += 1
            self._attribution.add(energy.covered_seconds, energy.measured_joules, window.busy)
            # The energy before the first decision and after the last belongs to no frame.
            joules, seconds = self._unused
            if window.decisions:
                self.joules += joules + energy.measured_joules
                self.seconds += seconds + energy.covered_seconds
                self._unused = (0.0, 0.0)
            elif self.sources:
                self._unused = (joules + energy.measured_joules, seconds + energy.covered_seconds)
            for decision in window.decisions:
                self.sources.setdefault(decision.source, SourceTotals()).add(1, decision.busy)

    def _measure_idle(self, reading: Reading) -> None:
        measurement = self._measurement
        if measurement is None:
            return
        measurement.integrator.add(reading)
        # Decisions arrive later than the readings of their time.
        if reading.time < measurement.integrator.end + self._window:
            return
        self._measurement = None
        energy = measurement.integrator.energy()
        if measurement.decisions:
            self.idle_note = (
                f'refused: {measurement.decisions} decisions were made while it was measured; '
                'deactivate the classifier first'
            )
        elif energy.joules is None:
            self.idle_note = f'refused: readings covered only {energy.coverage:.0%} of its time'
        elif energy.standard_error_watts is None:
            # Taken for zero, it would make every standard error that follows from it too small.
            self.idle_note = (
                f'refused: {energy.readings} readings are too few to tell its standard error; '
                f'set idle_s to at least {math.ceil((LEAST_BLOCKS + 2) * self.period)}'
            )
        else:
            if self.idle is None or (self._idle_is_old and not self.sources):
                self.idle = Idle(energy)
            else:
                self.idle = Idle(self.idle.before, energy)
            self._idle_is_old = False
            self.idle_note = f'{energy.mean_watts:.3f} W over {energy.covered_seconds:.1f} s'
