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

"""A machine whose joules are known, in a time of its own, read by sensors that are made up."""

from __future__ import annotations

from collections.abc import Callable
import random

import pytest

from dual_cnn_ros.energy import bench as bench_module
from dual_cnn_ros.power.reading import Reading, Sensor

IDLE, BUSY = 4.0, 7.0
IMAGE_SECONDS = 0.005


class Machine:
    """It draws more while it works, and is read meanwhile; patched into energy.bench."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seed: int = 0) -> None:
        self.now, self.watts, self.joules, self.period = 1000.0, IDLE, 0.0, 0.0
        self.rng = random.Random(seed)
        self.due = float('inf')
        self.read: Callable[[], list[Reading]] = lambda: []
        self.deliver: Callable[[list[Reading]], None] = lambda readings: None
        self.changed: Callable[[], None] = lambda: None
        monkeypatch.setattr(bench_module, 'time', self)
        monkeypatch.setattr(bench_module, 'Sampler', self.sampler)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass, and be read at a random moment of each period."""
        end = self.now + seconds
        while self.due <= end:
            self.joules += (self.due - self.now) * self.watts
            self.now = self.due
            self.changed()
            self.deliver(self.read())
            self.due += self.period * self.rng.uniform(0.5, 1.5)
        self.joules += (end - self.now) * self.watts
        self.now = end

    def work(self, seconds: float = IMAGE_SECONDS, watts: float = BUSY) -> None:
        """Do one image."""
        self.watts = watts
        self.sleep(seconds)
        self.watts = IDLE

    def sampler(
        self, sensor: Sensor, period: float, deliver: Callable[[list[Reading]], None]
    ) -> Machine:
        self.period, self.read, self.deliver = period, sensor.read, deliver
        return self

    def start(self) -> None:
        self.due = self.now

    def stop(self) -> None:
        self.due = float('inf')


class MadeUpChannel:
    rails = ('in',)

    def __init__(self, read: Callable[[], Reading]) -> None:
        self._read = read

    def read(self) -> list[Reading]:
        return [self._read()]


def sensor(read: Callable[[], Reading]) -> Sensor:
    return Sensor('fake', 'a test', (MadeUpChannel(read),), ('in',), 'module')


def spent(watts: float = BUSY, seconds: float = IMAGE_SECONDS) -> float:
    return (watts - IDLE) * seconds


def noisy(machine: Machine, noise: float) -> Sensor:
    """Return a sensor of instantaneous power with the steps of an INA3221."""
    return sensor(
        lambda: Reading(
            'in',
            machine.now,
            watts=0.04 * round((machine.watts + machine.rng.gauss(0, noise)) / 0.04),
            offset_watts=0.08,
        )
    )


def failing(machine: Machine, fails: Callable[[float], bool]) -> Sensor:
    """Return an exact sensor that cannot be read at some times, in seconds since the beginning."""

    def read() -> Reading:
        if fails(machine.now - 1000):
            return Reading('in', machine.now, error='EIO')
        return Reading('in', machine.now, watts=machine.watts)

    return sensor(read)
