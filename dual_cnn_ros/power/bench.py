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

"""Joules of a piece of work: repeated back to back, between two rests of the machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
import math
import time

from dual_cnn_ros.power.energy import Energy, energy_of
from dual_cnn_ros.power.idle import Idle, Net, net
from dual_cnn_ros.power.reading import Reading, Sensor
from dual_cnn_ros.power.sampler import Sampler

# Sensors that average lag behind by up to a second: this long before and after what counts, the
# same is done.
SETTLE_SECONDS = 1.5


@dataclass(frozen=True)
class Cost:
    """
    What a piece of work costs; its figures are joules for each of its images.

    images: that were done in the window of `energy`. net: the energy above idle.
    """

    images: int
    energy: Energy
    idle: Idle
    net: Net

    @property
    def gross(self) -> float | None:
        """Idle power included; None where readings are missing."""
        return self._each(self.energy.joules)

    @property
    def joules(self) -> float | None:
        """Above idle; None where it is refused, with the reason in `net.refused`."""
        return self._each(self.net.joules)

    @property
    def error(self) -> float | None:
        """Standard error of `joules`; None where there were too few readings to tell."""
        spread = self.energy.spread_watts
        rests = self.idle.rests
        if spread is None or not rests or any(rest.spread_watts is None for rest in rests):
            return None
        return self._each(self.energy.covered * math.hypot(spread, self.idle.error_watts))

    @property
    def bias(self) -> float | None:
        """Bound of what more readings do not remove; None where the sensor states none."""
        return self._each(self.net.bias)

    def _each(self, joules: float | None) -> float | None:
        # Images were also done in what is not covered.
        return None if joules is None else joules / (self.images * self.energy.coverage)


@dataclass
class Bench:
    """
    Repeats work and reads the sensor all the while; `sets` are the readings of each moment.

    seconds: of each work and each rest that count. period: between readings. begun: called with
    the name of what was begun.
    """

    sensor: Sensor
    seconds: float
    period: float = 0.1
    begun: Callable[[str], None] = lambda name: None
    sets: list[list[Reading]] = field(default_factory=list)

    def run(self, works: Mapping[str, Callable[[], object]]) -> dict[str, Cost]:
        """Return the cost of each work, a call of which does one image."""
        sampler = Sampler(self.sensor, self.period, self.sets.append)
        sampler.start()
        windows = {}
        try:
            before = self._rest('idle before')
            for name, work in works.items():
                windows[name] = self._repeat(name, work)
            after = self._rest('idle after')
        finally:
            sampler.stop()
        idle = Idle(self._energy(*before), self._energy(*after))
        costs = {}
        for name, (images, start, end) in windows.items():
            energy = self._energy(start, end)
            costs[name] = Cost(images, energy, idle, net(energy, idle))
        return costs

    def _energy(self, start: float, end: float) -> Energy:
        totals = (self.sensor.total(readings) for readings in self.sets)
        return energy_of((total for total in totals if total), self.period, start, end)

    def _rest(self, name: str) -> tuple[float, float]:
        self.begun(name)
        time.sleep(SETTLE_SECONDS)
        start = time.monotonic()
        time.sleep(self.seconds)
        end = time.monotonic()
        time.sleep(SETTLE_SECONDS)
        return start, end

    def _repeat(self, name: str, work: Callable[[], object]) -> tuple[int, float, float]:
        self.begun(name)
        _loop(work, SETTLE_SECONDS)
        start = time.monotonic()
        images, end = _loop(work, self.seconds)
        _loop(work, SETTLE_SECONDS)
        return images, start, end


def _loop(work: Callable[[], object], seconds: float) -> tuple[int, float]:
    """Repeat work for at least so long; return how often, and when the last one ended."""
    images, until = 0, time.monotonic() + seconds
    while (now := time.monotonic()) < until:
        work()
        images += 1
    return images, now
