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

"""GPUs through a pynvml that is made up: power, counters, and what one without a driver does."""

from __future__ import annotations

import sys

import pytest
import sysfs_fixtures as fixtures

from dual_cnn_ros.power import nvml
from dual_cnn_ros.power.nvml import find_gpus
from dual_cnn_ros.power.reading import NoSensorError


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> fixtures.Ticks:
    ticks = fixtures.Ticks()
    monkeypatch.setattr(nvml, 'time', ticks)
    return ticks


def use(monkeypatch: pytest.MonkeyPatch, module: object) -> None:
    monkeypatch.setitem(sys.modules, 'pynvml', module)


def test_nvml_gives_power_and_counter(
    monkeypatch: pytest.MonkeyPatch, ticks: fixtures.Ticks
) -> None:
    energy: dict[int, int | None] = {0: 5_000_000}
    use(monkeypatch, fixtures.fake_nvml({0: 71_500}, energy))
    sensor = find_gpus()
    assert (sensor.rails, sensor.members, sensor.scope) == (('gpu0',), ('gpu0',), 'gpu')
    first = fixtures.total(sensor)
    assert (first.watts, first.joules) == (71.5, 5000.0)
    energy[0] = 5_007_000
    ticks.now += 0.1
    assert fixtures.total(sensor).joules == 5007.0


def test_nvml_counter_restart_breaks_the_chain(
    monkeypatch: pytest.MonkeyPatch, ticks: fixtures.Ticks
) -> None:
    energy: dict[int, int | None] = {0: 5_000_000}
    use(monkeypatch, fixtures.fake_nvml({0: 71_500}, energy))
    sensor = find_gpus()
    fixtures.total(sensor)
    energy[0] = 200
    ticks.now += 0.1
    assert 'restarted' in fixtures.total(sensor).error
    ticks.now += 0.1
    assert not fixtures.total(sensor).error


def test_nvml_lost_gpu_comes_back(monkeypatch: pytest.MonkeyPatch, ticks: fixtures.Ticks) -> None:
    power: dict[int, int | None] = {0: 71_500}
    use(monkeypatch, fixtures.fake_nvml(power, {0: 1}))
    sensor = find_gpus()
    del power[0]
    assert 'GPU is lost' in fixtures.total(sensor).error
    power[0] = 60_000
    assert fixtures.total(sensor).watts == 60.0


def test_nvml_before_volta_has_no_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, fixtures.fake_nvml({0: 50_000}, {0: None}))
    reading = fixtures.total(find_gpus())
    assert (reading.watts, reading.joules) == (50.0, None)


def test_nvml_counter_alone_gives_power(
    monkeypatch: pytest.MonkeyPatch, ticks: fixtures.Ticks
) -> None:
    energy: dict[int, int | None] = {0: 1000}
    use(monkeypatch, fixtures.fake_nvml({0: None}, energy))
    sensor = find_gpus()
    assert fixtures.total(sensor).watts is None
    energy[0] = 3000
    ticks.now += 0.1
    assert fixtures.total(sensor).watts == pytest.approx(20.0)


def test_nvml_two_gpus_of_which_one_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    use(
        monkeypatch,
        fixtures.fake_nvml({0: None, 1: 30_000, 2: 12_000}, {0: None, 1: None, 2: None}),
    )
    sensor = find_gpus()
    assert (sensor.rails, sensor.scope) == (('gpu1', 'gpu2'), '2 gpus')
    assert fixtures.total(sensor).watts == 42.0


def test_nvml_present_but_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, fixtures.fake_nvml({0: None}, {0: None}))
    with pytest.raises(NoSensorError, match='reads the power of none'):
        find_gpus()


def test_nvml_without_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    module = fixtures.fake_nvml({0: 1}, {0: 1})

    def fail() -> None:
        raise fixtures.FakeNVMLError('Driver Not Loaded')

    module.nvmlInit = fail
    use(monkeypatch, module)
    with pytest.raises(NoSensorError, match='Driver Not Loaded'):
        find_gpus()


def test_nvml_without_package(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, None)
    with pytest.raises(NoSensorError, match='nvidia-ml-py'):
        find_gpus()
