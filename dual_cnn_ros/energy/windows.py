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

"""The readings and the decisions of the same time, in windows of equal length."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
import math

from dual_cnn_ros.energy.integration import Energy, EnergyIntegrator
from dual_cnn_ros.power.reading import Reading


@dataclass(frozen=True)
class DecisionEvent:
    """
    One decision, as far as its energy is concerned.

    Attributes
    ----------
    finished
        When it was made, in seconds of the readings' monotonic clock.
    source
        The stage that decided, or 'memory'.
    busy
        Seconds for which each part worked on it; one part after the other, up to `finished`.

    """

    finished: float
    source: str
    busy: Mapping[str, float]


@dataclass
class DecisionWindow:
    """
    The readings and the decisions of one window.

    Attributes
    ----------
    integrator
        Of its readings.
    start, end
        In seconds of the monotonic clock.
    busy
        Seconds of each part within the window.
    decisions
        Those that were finished within it.

    """

    integrator: EnergyIntegrator
    start: float
    end: float
    busy: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    decisions: list[DecisionEvent] = field(default_factory=list)

    @property
    def energy(self) -> Energy:
        """The energy of the window."""
        return self.integrator.energy()


class DecisionWindows:
    """
    Cuts time into windows that follow each other without a gap.

    A window is complete when there is a reading one length after its end: by then the decisions
    of its time have arrived.

    Parameters
    ----------
    length
        Of a window, seconds.
    period
        Nominal seconds between readings.

    Attributes
    ----------
    skipped
        Number of windows that were not opened, as there are no readings of their time.

    """

    def __init__(self, length: float, period: float) -> None:
        self.period = period
        self.skipped = 0
        self._length = length
        self._open: deque[DecisionWindow] = deque()
        self._last = self._end = -math.inf

    def add(self, reading: Reading) -> list[DecisionWindow]:
        """Take a reading; return the windows that it completes."""
        if not self._open or reading.time > self._open[-1].end + self._length:
            # Windows without a reading tell nothing: go on after the silence.
            done = self.flush()
            if self._end > -math.inf:
                self.skipped += max(0, round((reading.time - self._end) / self._length))
            self._extend(reading.time)
        else:
            done = []
        # A window needs the last reading before its start, so the next one is opened in advance.
        while self._open[-1].start <= reading.time:
            self._extend(self._open[-1].end)
        for window in self._open:
            window.integrator.add(reading)
        self._last = reading.time
        while reading.time >= self._open[0].end + self._length:
            done.append(self._open.popleft())
        return done

    def add_decision(self, decision: DecisionEvent) -> bool:
        """Take a decision; return False where none of the open windows is of its time."""
        if not self._open or not self._open[0].start <= decision.finished < self._open[-1].end:
            return False
        started = decision.finished - sum(decision.busy.values())
        for window in self._open:
            begin, end = max(started, window.start), min(decision.finished, window.end)
            if begin < end:
                share = (end - begin) / (decision.finished - started)
                for part, seconds in decision.busy.items():
                    window.busy[part] += seconds * share
            if window.start <= decision.finished < window.end:
                window.decisions.append(decision)
        return True

    def flush(self) -> list[DecisionWindow]:
        """Return and forget the windows that have begun; the next reading opens new ones."""
        done = [window for window in self._open if window.start <= self._last]
        self._open.clear()
        if done:
            self._end = done[-1].end
        return done

    def _extend(self, start: float) -> None:
        end = start + self._length
        self._open.append(DecisionWindow(EnergyIntegrator(self.period, start, end), start, end))
