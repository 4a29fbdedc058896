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

"""Joules of one image: the work is repeated back to back, between two rests of the machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
import math
import time

from dual_cnn_ros.energy.idle import Idle, NetEnergy, subtract_idle
from dual_cnn_ros.energy.integration import Energy, energy_of
from dual_cnn_ros.power.reading import Reading, Sensor
from dual_cnn_ros.power.sampler import Sampler

# A sensor that averages lags behind by up to a second: the same work is done for this long before
# and after the time that counts.
_SETTLE_SECONDS = 1.5
# A window with too little coverage is measured again: a busy machine may have stalled.
_ATTEMPTS = 3


@dataclass(frozen=True)
class Cost:
    """
    What a piece of work costs; its properties are joules per image.

    Attributes
    ----------
    images
        Number of images that were done.
    energy
        Of the time in which they were done.
    idle
        The idle power before and after.
    net
        The energy above idle.

    """

    images: int
    energy: Energy
    idle: Idle
    net: NetEnergy

    @property
    def gross(self) -> float | None:
        """Idle power included; None below 95 % coverage."""
        return self._each(self.energy.joules)

    @property
    def joules(self) -> float | None:
        """Above idle; None where refused, for the reason in `net.refused`."""
        return self._each(self.net.net_joules)

    @property
    def standard_error(self) -> float | None:
        """Standard error of `joules`; None where there are too few readings to tell."""
        load, idle = self.energy.standard_error_watts, self.idle.standard_error_watts
        if load is None or math.isnan(idle):
            return None
        return self._each(self.energy.covered_seconds * math.hypot(load, idle))

    @property
    def bias(self) -> float | None:
        """Bound of the sensor's bias in `joules`; None where the sensor states none."""
        return self._each(self.net.bias_joules)

    def _each(self, joules: float | None) -> float | None:
        # Images were also done in the time that readings do not cover.
        return None if joules is None else joules / (self.images * self.energy.coverage)


@dataclass
class Bench:
    """
    Measures pieces of work one after another, with a rest before the first and after the last.

    Attributes
    ----------
    sensor
        What is read meanwhile.
    seconds
        How long each work and each rest is measured.
    period
        Seconds between readings.
    begun
        Called with the name of each work and rest when it begins, and again where it had too
        little coverage and begins once more.
    sets
        The readings of each moment.

    """

    sensor: Sensor
    seconds: float
    period: float = 0.1
    begun: Callable[[str], None] = lambda name: None
    sets: list[list[Reading]] = field(default_factory=list)

    def run(self, works: Mapping[str, Callable[[], object]]) -> dict[str, Cost]:
        """Return the cost of each of these works; one call of a work does one image."""
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
            name: Cost(images, energy, idle, subtract_idle(energy, idle))
            for name, (images, energy) in worked.items()
        }

    def _measure(self, name: str, spend: _Spend) -> tuple[int, Energy]:
        """Return how many images were done in the measured time, and the energy of that time."""
        # There must be a reading after the window.
        settle = max(_SETTLE_SECONDS, 2 * self.period)
        for attempt in range(_ATTEMPTS):
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


# Spends so many seconds or more; returns how many images were done and when the last one ended.
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
