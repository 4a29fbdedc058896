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
from functools import partial
import math
import time

from dual_cnn_ros.energy.idle import Idle, Net, net
from dual_cnn_ros.energy.integration import Energy, energy_of
from dual_cnn_ros.power.reading import Reading, Sensor
from dual_cnn_ros.power.sampler import Sampler

# Sensors that average lag behind by up to a second: this long before and after what counts, the
# same is done.
SETTLE_SECONDS = 1.5
# How often a window is measured that readings do not cover: a busy machine may stall in one.
ATTEMPTS = 3


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
    the name of what was begun, or begun again because readings did not cover it.
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
        try:
            before = self._measure('idle before', _rest)
            worked = {
                name: self._measure(name, partial(_repeat, work)) for name, work in works.items()
            }
            after = self._measure('idle after', _rest)
        finally:
            sampler.stop()
        idle = Idle(before[1], after[1])
        return {
            name: Cost(images, energy, idle, net(energy, idle))
            for name, (images, energy) in worked.items()
        }

    def _measure(self, name: str, spend: _Spend) -> tuple[int, Energy]:
        """Return how many images were done in a window of spending time so, and its energy."""
        # A reading has to come after the window too.
        settle = max(SETTLE_SECONDS, 2 * self.period)
        for attempt in range(ATTEMPTS):
            self.begun(f'{name} again' if attempt else name)
            spend(settle)
            start = time.monotonic()
            images, end = spend(self.seconds)
            spend(settle)
            energy = self._energy(start, end)
            if energy.joules is not None:
                break
        return images, energy

    def _energy(self, start: float, end: float) -> Energy:
        totals = (self.sensor.total(readings) for readings in self.sets)
        return energy_of((total for total in totals if total), self.period, start, end)


# Spends at least so many seconds; returns how many images were done, and when the last one ended.
_Spend = Callable[[float], tuple[int, float]]


def _rest(seconds: float) -> tuple[int, float]:
    time.sleep(seconds)
    return 0, time.monotonic()


def _repeat(work: Callable[[], object], seconds: float) -> tuple[int, float]:
    images, until = 0, time.monotonic() + seconds
    while (now := time.monotonic()) < until:
        work()
        images += 1
    return images, now
