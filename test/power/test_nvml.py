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

from collections.abc import Callable
import sys
from types import SimpleNamespace

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


Values = dict[int, int | None]
Find = Callable[[Values, Values], Sensor]


@pytest.fixture
def find(monkeypatch: pytest.MonkeyPatch) -> Find:
    """Find GPUs of so many milliwatts and millijoules, as of `fake_nvml`."""

    def find(power: Values, energy: Values) -> Sensor:
        monkeypatch.setitem(sys.modules, 'pynvml', fake_nvml(power, energy))
        return find_gpus()

    return find


def test_power_and_counter(find: Find, ticks: Ticks) -> None:
    energy: Values = {0: 5_000_000}
    sensor = find({0: 71_500}, energy)
    assert (sensor.rails, sensor.members, sensor.scope) == (('gpu0',), ('gpu0',), 'gpu')
    # What the counter says is known from its second step on; the power at once.
    for n in range(6):
        ticks.now, energy[0] = 1000 + 0.1 * n, 5_000_000 + 7_150 * n
        reading = total(sensor)
        known = 5000 + 7.15 * n if n > 1 else None
        assert (reading.watts, reading.joules) == (71.5, pytest.approx(known))
    # The driver was loaded anew.
    ticks.now, energy[0] = 1000.6, 200
    assert 'restarted' in total(sensor).error
    ticks.now = 1000.7
    assert not total(sensor).error


def test_a_lost_gpu_comes_back(find: Find) -> None:
    power: Values = {0: 71_500}
    sensor = find(power, {0: 1})
    power.clear()
    assert 'GPU is lost' in total(sensor).error
    power[0] = 60_000
    assert total(sensor).watts == 60.0


def test_before_volta_there_is_no_counter(find: Find) -> None:
    reading = total(find({0: 50_000}, {0: None}))
    assert (reading.watts, reading.joules) == (50.0, None)


def test_a_counter_alone_gives_power(find: Find, ticks: Ticks) -> None:
    energy: Values = {0: 1000}
    sensor = find({0: None}, energy)
    for ticks.now in (1000.0, 1000.1, 1000.2, 1000.3):
        watts = total(sensor).watts
        energy[0] = (energy[0] or 0) + 2000
    assert watts == pytest.approx(20.0)


def test_gpus_that_measure_nothing_are_left_out(find: Find) -> None:
    nothing: Values = dict.fromkeys(range(3))
    sensor = find({0: None, 1: 30_000, 2: 12_000}, nothing)
    assert (sensor.rails, sensor.scope) == (('gpu1', 'gpu2'), '2 gpus')
    assert total(sensor).watts == 42.0
    with pytest.raises(NoSensorError, match='lists 3 GPU.* reads the power of none'):
        find(nothing, nothing)


def fail() -> None:
    raise FakeNVMLError('Driver Not Loaded')


@pytest.mark.parametrize(
    ('module', 'error'),
    [
        (SimpleNamespace(NVMLError=FakeNVMLError, nvmlInit=fail), 'Driver Not Loaded'),
        (None, 'nvidia-ml-py'),
    ],
)
def test_without_driver_or_package(
    monkeypatch: pytest.MonkeyPatch, module: SimpleNamespace | None, error: str
) -> None:
    monkeypatch.setitem(sys.modules, 'pynvml', module)
    with pytest.raises(NoSensorError, match=error):
        find_gpus()
