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

"""The status of a sensor: failures, silence, and the owner's limits."""

from __future__ import annotations

from pathlib import Path
import time

import pytest
import sysfs_fixtures as fixtures

from dual_cnn_ros.power.health import Health, PowerLimits
from dual_cnn_ros.power.ina3221 import find_ina3221
from dual_cnn_ros.power.reading import Reading, Sensor

FAILED = 'EIO'


def readings(watts: float | str | None = 5.0, volts: float | None = 5.0) -> list[Reading]:
    """Return readings of the total's rail, which may have failed, and of one behind it."""
    supply = (
        Reading('VDD_IN', 1.0, error=watts)
        if isinstance(watts, str)
        else Reading('VDD_IN', 1.0, watts=watts, volts=volts)
    )
    return [supply, Reading('VDD_SOC', 1.0, watts=1.0, volts=3.0)]


@pytest.mark.parametrize(
    ('sets', 'limits', 'level', 'message'),
    [
        ([], (8.0, 4.8), 'OK', 'reading'),
        ([readings()], (0, 0), 'OK', '5.000 W'),
        ([readings()], (5.0, 5.0), 'OK', '5.000 W'),
        ([readings(9.0), readings()], (8.0, 0), 'ERROR', '9.000 W is over max_power_w 8'),
        ([readings(volts=4.5), readings()], (0, 4.8), 'ERROR', '4.500 V is under'),
        ([readings(volts=0.0), readings()], (0, 4.8), 'ERROR', '0.000 V is under'),
        ([readings(), readings(FAILED)], (0, 0), 'WARN', '1 reads failed, such as VDD_IN: EIO'),
        ([readings(FAILED)], (0, 0), 'ERROR', '1 reads failed, such as VDD_IN: EIO'),
        ([readings(None)], (0, 0), 'OK', 'reading'),
        ([readings(None)], (1.0, 0), 'WARN', 'max_power_w cannot be checked: no total power'),
        ([readings(volts=None)], (8.0, 0), 'OK', '5.000 W'),
        ([readings(volts=None)], (0, 4.8), 'WARN', 'min_voltage_v cannot be checked: no supply'),
        ([readings(volts=None)], (4.0, 4.8), 'ERROR', 'is over max_power_w'),
    ],
)
def test_status(
    sets: list[list[Reading]], limits: tuple[float, float], level: str, message: str
) -> None:
    health = Health(('VDD_IN',), 0.1)
    sensor = Sensor('fake', '', (), ('VDD_IN',), 'module')
    for one in sets:
        health.take(one, sensor.total(one))
    status = health.status(PowerLimits(*limits))
    assert status.level == level and message in status.message


def test_the_supply_is_no_voltage_of_only_some_members(tmp_path: Path) -> None:
    """The rails at 19.7 V fail, and the one at 5 V says nothing about the supply."""
    root = fixtures.build(tmp_path, fixtures.agx_orin())
    faults = {f'hwmon1/curr{n}_input': fixtures.no_data() for n in (1, 2)}
    sensor = find_ina3221(root, fixtures.faulty(faults))
    health = Health(sensor.members, 0.1)
    readings = sensor.read()
    health.take(readings, sensor.total(readings))
    status = health.status(PowerLimits(min_voltage_v=12.0))
    assert status.level == 'ERROR' and '2 reads failed' in status.message
    assert status.least_volts is None
    readings = find_ina3221(root).read()
    health.take(readings, sensor.total(readings))
    assert health.status(PowerLimits(min_voltage_v=12.0)).level == 'OK'
    health.take(readings, sensor.total(readings))
    assert '19.688 V is under' in health.status(PowerLimits(min_voltage_v=20.0)).message


def test_limits_without_a_total_cannot_be_checked() -> None:
    health = Health((), 0.1)
    health.take(readings(), None)
    status = health.status(PowerLimits(0.001, 11.0))
    assert status.level == 'WARN'
    assert 'max_power_w cannot' in status.message and 'min_voltage_v cannot' in status.message
    assert health.status(PowerLimits()).level == 'OK'


def test_health_of_a_silent_sensor(monkeypatch: pytest.MonkeyPatch) -> None:
    health = Health(('VDD_IN',), 0.1)
    later = time.monotonic() + 4.0
    monkeypatch.setattr(time, 'monotonic', lambda: later)
    status = health.status(PowerLimits())
    assert (status.level, status.message) == ('WARN', 'no readings for 4 s')
    slow = Health(('VDD_IN',), 10.0)
    monkeypatch.setattr(time, 'monotonic', lambda: later + 20.0)
    assert slow.status(PowerLimits()).level == 'OK'


def test_health_counts_failures_by_rail_for_good() -> None:
    health = Health(('VDD_IN',), 0.1)
    for _ in range(3):
        health.take(readings(FAILED), None)
        status = health.status(PowerLimits())
    assert status.failed == {'VDD_IN': 3}
