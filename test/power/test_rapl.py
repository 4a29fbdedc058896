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

"""RAPL on trees of powercap: what belongs to the total, wrap-around, failures."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import sysfs_fixtures as fixtures

from dual_cnn_ros.power import rapl
from dual_cnn_ros.power.rapl import find_rapl
from dual_cnn_ros.power.reading import NoSensorError, SensorDeniedError


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> fixtures.Ticks:
    ticks = fixtures.Ticks()
    monkeypatch.setattr(rapl, 'time', ticks)
    return ticks


def test_f5_rapl_wraps_around_and_counts_nothing_twice(
    tmp_path: Path, ticks: fixtures.Ticks
) -> None:
    sensor = find_rapl(fixtures.rapl_root(tmp_path, fixtures.RAPL))
    assert sensor.rails == (
        'package-0',
        'package-0/core',
        'package-0/uncore',
        'package-0/dram',
        'psys',
    )
    assert sensor.members == ('package-0', 'package-0/dram')
    assert sensor.scope == 'cpu package and dram'
    before = {reading.rail: reading for reading in sensor.read()}
    fixtures.build(tmp_path, fixtures.RAPL_LATER)
    ticks.now += 0.1
    readings = sensor.read()
    after = {reading.rail: reading for reading in readings}
    assert after['package-0'].watts == pytest.approx(20.0)
    assert after['package-0/dram'].watts == pytest.approx(3.0)
    joules = after['package-0'].joules, before['package-0'].joules
    assert joules[0] is not None and joules[1] is not None
    assert joules[0] - joules[1] == pytest.approx(2.0, abs=1e-9)
    whole = sensor.total(readings)
    assert whole is not None and whole.watts == pytest.approx(23.0)


def test_rapl_amd(tmp_path: Path) -> None:
    sensor = find_rapl(fixtures.rapl_root(tmp_path, fixtures.RAPL_AMD))
    assert (sensor.members, sensor.scope) == (('package-0',), 'cpu package')


def test_rapl_mmio_repeats_the_package(tmp_path: Path) -> None:
    sensor = find_rapl(fixtures.rapl_root(tmp_path, fixtures.RAPL | fixtures.RAPL_MMIO))
    assert sensor.members == ('package-0', 'package-0/dram')
    alone = find_rapl(fixtures.rapl_root(tmp_path / 'alone', fixtures.RAPL_MMIO))
    assert alone.members == ('package-0',)


def test_rapl_two_packages(tmp_path: Path) -> None:
    second = fixtures.rapl_zone('intel-rapl/intel-rapl:2', 'package-1', 5) | fixtures.rapl_zone(
        'intel-rapl/intel-rapl:2/intel-rapl:2:0', 'core', 5
    )
    sensor = find_rapl(fixtures.rapl_root(tmp_path, fixtures.RAPL_AMD | second))
    assert sensor.members == ('package-0', 'package-1')
    assert 'package-1/core' in sensor.rails


def test_rapl_present_but_denied_is_a_state_of_its_own(tmp_path: Path) -> None:
    root = fixtures.rapl_root(tmp_path, fixtures.RAPL)
    denied = fixtures.faulty({'energy_uj': PermissionError(errno.EACCES, 'Permission denied')})
    with pytest.raises(SensorDeniedError, match=r'energy_uj may not be read.*chmod'):
        find_rapl(root, denied)
    with pytest.raises(NoSensorError, match='no RAPL package') as absent:
        find_rapl(tmp_path / 'nothing')
    assert not isinstance(absent.value, SensorDeniedError)


def test_rapl_one_failed_read_adds_no_energy(tmp_path: Path, ticks: fixtures.Ticks) -> None:
    faults: dict[str, BaseException | None] = {}
    sensor = find_rapl(fixtures.rapl_root(tmp_path, fixtures.RAPL_AMD), fixtures.faulty(faults))
    ticks.now += 0.1
    first = fixtures.total(sensor)
    faults['intel-rapl:0/energy_uj'] = OSError(errno.EIO, 'Input/output error')
    ticks.now += 0.1
    failed = fixtures.total(sensor)
    assert failed.watts is None and failed.joules is None and 'Input/output' in failed.error
    del faults['intel-rapl:0/energy_uj']
    fixtures.build(tmp_path, {fixtures.RAPL_PACKAGE_FILE: 262143500000})
    ticks.now += 0.1
    back = fixtures.total(sensor)
    assert not back.error and back.watts is None
    assert first.joules is not None and back.joules is not None
    assert back.joules - first.joules == pytest.approx(0.5)
    fixtures.build(tmp_path, {fixtures.RAPL_PACKAGE_FILE: 262144000000})
    ticks.now += 0.1
    assert fixtures.total(sensor).watts == pytest.approx(5.0)


def test_rapl_a_package_that_fails_at_the_start_still_belongs_to_the_total(
    tmp_path: Path,
) -> None:
    faults: dict[str, BaseException | None] = {
        'intel-rapl:0/energy_uj': OSError(errno.EIO, 'Input/output error'),
        'intel-rapl:0/max_energy_range_uj': OSError(errno.EIO, 'Input/output error'),
    }
    sensor = find_rapl(fixtures.rapl_root(tmp_path, fixtures.RAPL), fixtures.faulty(faults))
    assert sensor.members == ('package-0', 'package-0/dram')
    assert fixtures.total(sensor).error
    faults.clear()
    assert not fixtures.total(sensor).error
