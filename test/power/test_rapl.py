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
from dual_cnn_ros.power.reading import NoSensorError, Reading, Sensor


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> fixtures.Ticks:
    ticks = fixtures.Ticks()
    monkeypatch.setattr(rapl, 'time', ticks)
    return ticks


def read(sensor: Sensor) -> dict[str, Reading]:
    return {reading.rail: reading for reading in sensor.read()}


def test_power_of_all_zones_counts_nothing_twice(tmp_path: Path, ticks: fixtures.Ticks) -> None:
    sensor = find_rapl(fixtures.rapl_root(tmp_path, fixtures.RAPL))
    zones = ('package-0', 'package-0/core', 'package-0/uncore', 'package-0/dram', 'psys')
    assert sensor.rails == zones
    # Each tenth of a second 2 J for the package, which wraps around, and 0.3 J for the DRAM.
    sets = []
    for n in range(1, 5):
        package = (262137000000 + 2_000_000 * n) % fixtures.RAPL_SPAN
        later = {fixtures.RAPL_PACKAGE: package, fixtures.RAPL_DRAM: 30000000000 + 300_000 * n}
        for zone, microjoules in later.items():
            fixtures.build(tmp_path, fixtures.rapl_counter(zone, microjoules))
        ticks.now += 0.1
        sets.append(read(sensor))
    before, after = sets[-2:]
    assert after['package-0'].watts == pytest.approx(20.0)
    assert after['package-0'].joules - before['package-0'].joules == pytest.approx(2.0, abs=1e-9)
    assert after['package-0/dram'].watts == pytest.approx(3.0)
    assert sensor.total(after.values()).watts == pytest.approx(23.0)


SECOND = fixtures.rapl_zone('intel-rapl/intel-rapl:2', 'package-1', 5) | fixtures.rapl_zone(
    'intel-rapl/intel-rapl:2/intel-rapl:2:0', 'core', 5
)


@pytest.mark.parametrize(
    ('files', 'members', 'scope'),
    [
        (fixtures.RAPL, ('package-0', 'package-0/dram'), 'cpu package and dram'),
        (fixtures.RAPL_AMD, ('package-0',), 'cpu package'),
        # The second interface repeats the counters of the first.
        (fixtures.RAPL_AMD | fixtures.RAPL_MMIO, ('package-0',), 'cpu package'),
        (fixtures.RAPL_MMIO, ('package-0',), 'cpu package'),
        (fixtures.RAPL_AMD | SECOND, ('package-0', 'package-1'), 'cpu package'),
    ],
)
def test_members_of_the_total(
    tmp_path: Path, files: fixtures.Files, members: tuple[str, ...], scope: str
) -> None:
    sensor = find_rapl(fixtures.rapl_root(tmp_path, files))
    assert (sensor.members, sensor.scope) == (members, scope)


def test_a_counter_that_may_not_be_read_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoSensorError, match='no RAPL package'):
        find_rapl(tmp_path / 'nothing')
    fixtures.break_files(monkeypatch, {'energy_uj': errno.EACCES})
    with pytest.raises(NoSensorError, match=r'energy_uj may not be read.*chmod'):
        find_rapl(fixtures.rapl_root(tmp_path, fixtures.RAPL))


def test_a_failed_read_adds_no_energy(
    tmp_path: Path, ticks: fixtures.Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A package that fails at the start still belongs to the total.
    faults = dict.fromkeys(('intel-rapl:0/energy_uj', 'max_energy_range_uj'), errno.EIO)
    fixtures.break_files(monkeypatch, faults)
    sensor = find_rapl(fixtures.rapl_root(tmp_path, fixtures.RAPL))
    assert sensor.members == ('package-0', 'package-0/dram')
    totals = []
    for n in range(5):
        if n:
            faults.clear()
        microjoules = 262143000000 + n * 500_000
        for zone in (fixtures.RAPL_PACKAGE, fixtures.RAPL_DRAM):
            fixtures.build(tmp_path, fixtures.rapl_counter(zone, microjoules))
        ticks.now += 0.1
        totals.append(fixtures.total(sensor))
    failed, back, *_, before, later = totals
    assert failed.watts is None and failed.joules is None and 'Input/output' in failed.error
    assert not back.error and back.watts is None
    assert later.watts == pytest.approx(10.0)
    assert later.joules - before.joules == pytest.approx(1.0)


def test_a_memory_that_counted_nothing_since_the_start_is_left_out(tmp_path: Path) -> None:
    files = fixtures.RAPL | fixtures.rapl_counter(fixtures.RAPL_DRAM, 0)
    sensor = find_rapl(fixtures.rapl_root(tmp_path, files))
    assert (sensor.members, sensor.scope) == (('package-0',), 'cpu package')
    assert 'package-0/dram has counted nothing' in sensor.reason
    # A package that does is broken.
    files = fixtures.RAPL | fixtures.rapl_counter(fixtures.RAPL_PACKAGE, 0)
    assert 'package-0' in find_rapl(fixtures.rapl_root(tmp_path / 'other', files)).members
