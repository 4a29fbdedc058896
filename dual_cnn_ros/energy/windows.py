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

"""Readings and decisions brought together in windows of equal length."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
import math

from dual_cnn_ros.energy.integration import Energy, Meter
from dual_cnn_ros.power.reading import Reading


@dataclass(frozen=True)
class Use:
    """
    One decision: when it was finished, who made it, and for how long each part was busy for it.

    finished: monotonic seconds of the readings' clock. source: 'memory', 'first', ... busy:
    seconds by part, as long as they take together just before `finished`.
    """

    finished: float
    source: str
    busy: Mapping[str, float]


@dataclass
class Window:
    """What happened in one stretch of time, in which `uses` were finished."""

    meter: Meter
    start: float
    end: float
    busy: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    uses: list[Use] = field(default_factory=list)

    @property
    def energy(self) -> Energy:
        """The energy of the window."""
        return self.meter.energy()


class Windows:
    """
    Cuts time into windows; each is done when readings have come from well after its end.

    length: of a window, seconds. period: nominal seconds between readings. skipped: how many
    windows would have fallen into silences that were too long to open any.
    """

    def __init__(self, length: float, period: float) -> None:
        self.period = period
        self.skipped = 0
        self._length = length
        self._open: deque[Window] = deque()
        self._last = self._end = -math.inf

    def add(self, reading: Reading) -> list[Window]:
        """Take a reading; returns the windows that it completes."""
        if not self._open or reading.time > self._open[-1].end + self._length:
            # Nothing is known of a longer silence: start anew after it.
            done = self.flush()
            if self._end > -math.inf:
                self.skipped += max(0, round((reading.time - self._end) / self._length))
            self._extend(reading.time)
        else:
            done = []
        # A window needs the reading before its start, hence the next one is open already.
        while self._open[-1].start <= reading.time:
            self._extend(self._open[-1].end)
        for window in self._open:
            window.meter.add(reading)
        self._last = reading.time
        while reading.time >= self._open[0].end + self._length:
            done.append(self._open.popleft())
        return done

    def use(self, use: Use) -> bool:
        """Take a decision; returns False where it came before or too late for every window."""
        if not self._open or not self._open[0].start <= use.finished < self._open[-1].end:
            return False
        started = use.finished - sum(use.busy.values())
        for window in self._open:
            begin, end = max(started, window.start), min(use.finished, window.end)
            if begin < end:
                share = (end - begin) / (use.finished - started)
                for part, seconds in use.busy.items():
                    window.busy[part] += seconds * share
            if window.start <= use.finished < window.end:
                window.uses.append(use)
        return True

    def flush(self) -> list[Window]:
        """Close every window that has begun, whatever it holds; the next reading starts anew."""
        done = [window for window in self._open if window.start <= self._last]
        self._open.clear()
        if done:
            self._end = done[-1].end
        return done

    def _extend(self, start: float) -> None:
        end = start + self._length
        self._open.append(Window(Meter(self.period, start, end), start, end))
