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

import time

import pytest

from dual_cnn_ros.power.health import Health
from dual_cnn_ros.power.reading import Reading, Sensor


def readings(
    watts: float | None = 5.0, volts: float | None = 5.0, error: str = ''
) -> list[Reading]:
    """Return readings of the total's rail, which may have failed, and of one behind it."""
    supply = Reading('VDD_IN', 1.0, watts, volts)
    return [
        Reading('VDD_IN', 1.0, error=error) if error else supply,
        Reading('VDD_SOC', 1.0, 1.0, 3.0),
    ]


FAILED = readings(error='EIO')


@pytest.mark.parametrize(
    ('sets', 'limits', 'level', 'message'),
    [
        ([], (8.0, 4.8), 'OK', 'reading'),
        ([readings()], (0, 0), 'OK', '5.000 W'),
        ([readings()], (5.0, 5.0), 'OK', '5.000 W'),
        ([readings(9.0), readings()], (8.0, 0), 'ERROR', '9.000 W is over max_power_w 8'),
        ([readings(volts=4.5), readings()], (0, 4.8), 'ERROR', '4.500 V is under'),
        ([readings(volts=0.0), readings()], (0, 4.8), 'ERROR', '0.000 V is under'),
        ([readings(), FAILED], (0, 0), 'WARN', '1 reads failed, such as VDD_IN: EIO'),
        ([FAILED], (0, 0), 'ERROR', '1 reads failed, such as VDD_IN: EIO'),
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
    status = health.status(*limits)
    assert status.level == level and message in status.message


def test_the_supply_is_no_voltage_of_only_some_members() -> None:
    """One at 19.7 V fails, and the one at 5 V says nothing about the supply."""
    health = Health(('HIGH', 'LOW'), 0.1)
    low = Reading('LOW', 1.0, 5.0, 5.0)
    health.take([Reading('HIGH', 1.0, error='EIO'), low], None)
    status = health.status(min_voltage_v=12.0)
    assert '1 reads failed' in status.message and status.least_volts is None
    health.take([Reading('HIGH', 1.0, 5.0, 19.7), low], None)
    assert health.status(min_voltage_v=12.0).least_volts == 19.7


def test_limits_without_a_total_cannot_be_checked() -> None:
    health = Health((), 0.1)
    health.take(readings(), None)
    status = health.status(0.001, 11.0)
    assert status.level == 'WARN'
    assert 'max_power_w cannot' in status.message and 'min_voltage_v cannot' in status.message
    assert health.status().level == 'OK'


def test_health_of_a_silent_sensor(monkeypatch: pytest.MonkeyPatch) -> None:
    health = Health(('VDD_IN',), 0.1)
    later = time.monotonic() + 4.0
    monkeypatch.setattr(time, 'monotonic', lambda: later)
    status = health.status()
    assert (status.level, status.message) == ('WARN', 'no readings for 4 s')
    slow = Health(('VDD_IN',), 10.0)
    monkeypatch.setattr(time, 'monotonic', lambda: later + 20.0)
    assert slow.status().level == 'OK'


def test_health_counts_failures_by_rail_for_good() -> None:
    health = Health(('VDD_IN',), 0.1)
    for _ in range(3):
        health.take(FAILED, None)
        status = health.status()
    assert status.failed == {'VDD_IN': 3}
