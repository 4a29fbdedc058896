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

"""GPUs through a pynvml that is made up: power, counters, and what is missing."""

from __future__ import annotations

import sys

import pytest
from sysfs_fixtures import fake_nvml, FakeNVMLError, Ticks, total

from dual_cnn_ros.power import nvml
from dual_cnn_ros.power.nvml import find_gpus
from dual_cnn_ros.power.reading import NoSensorError, Sensor


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    ticks = Ticks()
    monkeypatch.setattr(nvml, 'time', ticks)
    return ticks


class Gpus:
    """Milliwatts and millijoules of each GPU, as of `fake_nvml`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def find(self, power: dict[int, int | None], energy: dict[int, int | None]) -> Sensor:
        self.power, self.energy = power, energy
        self.module = fake_nvml(power, energy)
        self._monkeypatch.setitem(sys.modules, 'pynvml', self.module)
        return find_gpus()


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Gpus:
    return Gpus(monkeypatch)


def test_power_and_counter(gpus: Gpus, ticks: Ticks) -> None:
    sensor = gpus.find({0: 71_500}, {0: 5_000_000})
    assert (sensor.rails, sensor.members, sensor.scope) == (('gpu0',), ('gpu0',), 'gpu')
    first = total(sensor)
    assert (first.watts, first.joules) == (71.5, 5000.0)
    gpus.energy[0] = 5_007_000
    ticks.now += 0.1
    assert total(sensor).joules == 5007.0
    # The driver was loaded anew.
    gpus.energy[0] = 200
    ticks.now += 0.1
    assert 'restarted' in total(sensor).error
    ticks.now += 0.1
    assert not total(sensor).error


def test_a_lost_gpu_comes_back(gpus: Gpus) -> None:
    sensor = gpus.find({0: 71_500}, {0: 1})
    del gpus.power[0]
    assert 'GPU is lost' in total(sensor).error
    gpus.power[0] = 60_000
    assert total(sensor).watts == 60.0


def test_before_volta_there_is_no_counter(gpus: Gpus) -> None:
    reading = total(gpus.find({0: 50_000}, {0: None}))
    assert (reading.watts, reading.joules) == (50.0, None)


def test_a_counter_alone_gives_power(gpus: Gpus, ticks: Ticks) -> None:
    sensor = gpus.find({0: None}, {0: 1000})
    assert total(sensor).watts is None
    gpus.energy[0] = 3000
    ticks.now += 0.1
    assert total(sensor).watts == pytest.approx(20.0)


def test_gpus_that_measure_nothing_are_left_out(gpus: Gpus) -> None:
    nothing: dict[int, int | None] = dict.fromkeys(range(3))
    sensor = gpus.find({0: None, 1: 30_000, 2: 12_000}, nothing)
    assert (sensor.rails, sensor.scope) == (('gpu1', 'gpu2'), '2 gpus')
    assert total(sensor).watts == 42.0
    with pytest.raises(NoSensorError, match='lists 3 GPU.* reads the power of none'):
        gpus.find(nothing, nothing)


def test_without_driver_or_package(gpus: Gpus, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus.find({0: 1}, {0: 1})

    def fail() -> None:
        raise FakeNVMLError('Driver Not Loaded')

    gpus.module.nvmlInit = fail
    with pytest.raises(NoSensorError, match='Driver Not Loaded'):
        find_gpus()
    monkeypatch.setitem(sys.modules, 'pynvml', None)
    with pytest.raises(NoSensorError, match='nvidia-ml-py'):
        find_gpus()
