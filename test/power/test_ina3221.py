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

"""INA3221 and INA238 on the sysfs trees of every board, with the errors that drivers give."""

from __future__ import annotations

from pathlib import Path
import shutil
import time

import pytest
import sysfs_fixtures as fixtures
from sysfs_fixtures import total

from dual_cnn_ros.power.ina3221 import find_ina3221
from dual_cnn_ros.power.reading import Sensor

AGX_ORIN = {
    'VDD_GPU_SOC': 3.15008,
    'VDD_CPU_CV': 14.17536,
    'VIN_SYS_5V0': 4.968,
    'VDDQ_VDD2_1V8AO': 1.0912,
}
NANO = {'POM_5V_IN': 1.75, 'POM_5V_GPU': 0.0, 'POM_5V_CPU': 0.366}
ORIN_NANO = {'VDD_IN': 5.088384, 'VDD_CPU_GPU_CV': 1.0096, 'VDD_SOC': 1.453824}


def board(tmp_path: Path, files: fixtures.Files) -> Sensor:
    return find_ina3221(fixtures.build(tmp_path, files))


THOR_MODULE = {'VDD_GPU': 0.0, 'VDD_CPU_SOC_MSS': 6.4, 'VIN_SYS_5V0': 4.0}


@pytest.mark.parametrize(
    ('files', 'watts', 'whole', 'scope'),
    [
        # IIO driver: milliwatts are given, and rounded down.
        (fixtures.NANO, NANO, 1.75, 'module (5 V input)'),
        # hwmon driver: neither the chip's own sums nor its shunt voltages are rails.
        (fixtures.ORIN_NANO, ORIN_NANO, 5.088384, 'module'),
        # Three of four rails, whatever the numbers of the chips and of their unused channels.
        (fixtures.agx_orin(), AGX_ORIN, 22.29344, 'module'),
        (fixtures.agx_orin(spare='NC'), AGX_ORIN, 22.29344, 'module'),
        (fixtures.agx_orin(numbers=(4, 3)), AGX_ORIN, 22.29344, 'module'),
        # A negative current is given as read.
        (
            fixtures.agx_orin(vddq_milliamps=-20),
            AGX_ORIN | {'VDDQ_VDD2_1V8AO': -0.0992},
            22.29344,
            'module',
        ),
        (fixtures.THOR, THOR_MODULE | {'VIN': 23.0}, 23.0, 'whole input'),
        (fixtures.THOR_MODULE, THOR_MODULE, 10.4, 'module (estimate)'),
    ],
)
def test_rails_total_and_scope(
    tmp_path: Path, files: fixtures.Files, watts: dict[str, float], whole: float, scope: str
) -> None:
    sensor = board(tmp_path, files)
    assert {one.rail: one.watts for one in sensor.read()} == pytest.approx(watts, rel=1e-12)
    assert total(sensor).watts == pytest.approx(whole, rel=1e-12)
    assert sensor.scope == scope


@pytest.mark.parametrize('name', fixtures.BOARDS)
def test_members_of_every_board(tmp_path: Path, name: str) -> None:
    files, members, scope = fixtures.BOARDS[name]
    sensor = board(tmp_path, files)
    assert (sensor.members, sensor.scope) == (members, scope)
    reading = sensor.total(sensor.read())
    if members:
        assert reading is not None and reading.watts == pytest.approx(1.0 * len(members))
    else:
        assert reading is None and 'no total is known' in sensor.reason


ADD_ON = fixtures.hwmon_chip('7-0041', [('VDD_IN', 24000, 3000), ('B', 0, 0), ('C', 0, 0)], 8)
TWIN = fixtures.hwmon_chip('7-0041', [('VDD_IN', 24000, 3000), ('VDD_SOC', 0, 0)], 8)
LABELLED = fixtures.ina238_chip('7-0045', 9, 24000, 3000, 'VIN')
THOR_MODEL = fixtures.device_tree('NVIDIA Jetson AGX Thor Developer Kit')
OTHER_MODEL = fixtures.device_tree('NVIDIA Jetson Orin Nano Developer Kit', 'proc/device-tree')


@pytest.mark.parametrize(
    ('files', 'whole', 'scope'),
    [
        # What no label names may be a motor's.
        (fixtures.ORIN_NANO | fixtures.MOTOR, 5.088384, 'module'),
        (fixtures.ORIN_NANO | fixtures.MOTOR | OTHER_MODEL, 5.088384, 'module'),
        (fixtures.agx_orin() | fixtures.MOTOR, 22.29344, 'module'),
        (fixtures.MOTOR, None, ''),
        # A label tells, and so does the board, by its model or else by its rails.
        (fixtures.ORIN_NANO | LABELLED, 72.0, 'whole input'),
        (
            fixtures.ORIN_NANO | fixtures.ina238_chip('7-0045', 9, 24, 3, 'motor'),
            5.088384,
            'module',
        ),
        (fixtures.MOTOR | THOR_MODEL, 72.0, 'whole input'),
        (fixtures.THOR | THOR_MODEL, 23.0, 'whole input'),
        (fixtures.THOR | OTHER_MODEL, 10.4, 'module (estimate)'),
        (fixtures.THOR | LABELLED, 72.0, 'whole input'),
        # Of two whole inputs, neither is known to be it; the module still is.
        (fixtures.THOR | fixtures.MOTOR, 10.4, 'module (estimate)'),
        (
            fixtures.ORIN_NANO | LABELLED | fixtures.ina238_chip('7-0044', 7, 24, 3, 'VIN'),
            5.088384,
            'module',
        ),
        # A monitor on an add-on may have the label of a rail of the module, but not its others.
        (fixtures.ORIN_NANO | ADD_ON, 5.088384, 'module'),
        (fixtures.agx_orin() | ADD_ON, 22.29344, 'module'),
        (ADD_ON, None, ''),
        (fixtures.ORIN_NANO | TWIN, None, ''),
    ],
)
def test_a_further_monitor_is_not_taken_for_the_total(
    tmp_path: Path, files: fixtures.Files, whole: float | None, scope: str
) -> None:
    sensor = board(tmp_path, files)
    reading = sensor.total(sensor.read())
    assert (reading and reading.watts) == (whole and pytest.approx(whole, rel=1e-9))
    assert sensor.scope == scope and len(set(sensor.rails)) == len(sensor.rails)


def test_power_that_no_rail_draws_is_a_failed_reading(tmp_path: Path) -> None:
    chip = fixtures.hwmon_chip('1-0040', [('VDD_IN', 5048, 2**31), ('VDD_SOC', 5048, 288)])
    assert 'cannot be true' in total(board(tmp_path, chip)).error


@pytest.mark.parametrize(
    ('channels', 'enabled', 'rails'),
    [
        # Only the whole label NC means a channel that is not connected.
        ([('NC', 0, 0), ('VDD_NCORE', 800, 10), (None, 0, 0)], (1, 1, 1), ('VDD_NCORE',)),
        # Zeros are a reading, unless the channel is switched off.
        ([('VDD_IN', 5000, 200), ('A', 0, 0), ('B', 0, 0)], (1, 0, 1), ('VDD_IN', 'B')),
    ],
)
def test_channels_that_are_no_rails(
    tmp_path: Path,
    channels: list[tuple[str | None, int, int]],
    enabled: tuple[int, int, int],
    rails: tuple[str, ...],
) -> None:
    chip = fixtures.hwmon_chip('1-0040', channels, enabled=enabled)
    assert board(tmp_path, chip).rails == rails


@pytest.mark.parametrize('name', ['in3_input', 'curr1_input'])
def test_a_failing_member_makes_the_total_missing(tmp_path: Path, name: str) -> None:
    root = fixtures.build(tmp_path, fixtures.agx_orin())
    file = next(root.rglob(f'hwmon1/{name}'))
    file.unlink()
    # Like many a driver's error, that of reading a folder comes after it was opened.
    file.mkdir()
    sensor = find_ina3221(root)
    readings = sensor.read()
    [failed] = [reading for reading in readings if reading.error]
    assert failed.watts is None and f"Is a directory: '{file}'" in failed.error
    reading = sensor.total(readings)
    assert reading is not None and reading.watts is None and failed.rail in reading.error


def test_a_member_that_was_not_read_makes_the_total_missing(tmp_path: Path) -> None:
    sensor = board(tmp_path, fixtures.agx_orin())
    reading = sensor.total(sensor.read()[1:])
    assert reading is not None
    assert reading.watts is None and 'VDD_GPU_SOC was not read' in reading.error


@pytest.mark.parametrize('content', ['', 'garbage', '12.5', '32760 ma'])
def test_a_file_without_a_number_is_a_failed_read(tmp_path: Path, content: str) -> None:
    file = 'sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr1_input'
    reading = total(board(tmp_path, fixtures.ORIN_NANO | {file: content}))
    assert reading.watts is None and 'not a number' in reading.error


def test_devices_are_links_among_other_files(tmp_path: Path) -> None:
    """On buses of one and two digits; the folders of the IIO driver had another name once."""
    drivers, real = 'sys/bus/i2c/drivers/ina3221x', 'sys/devices/platform/i2c-1/6-0040'
    files = {
        name.replace(f'{drivers}/6-0040', real).replace('iio:device0', 'iio_device'): content
        for name, content in fixtures.NANO.items()
    } | {f'{drivers}/{name}': '' for name in ('bind', 'unbind', 'a-file')}
    links = {f'{drivers}/{bus}-0040': real for bus in (6, 12)}
    links[f'{drivers}/module'] = 'sys/devices'
    assert find_ina3221(fixtures.build(tmp_path, files, links)).rails == tuple(NANO)


def test_a_chip_without_files_yet_has_no_rails(tmp_path: Path) -> None:
    root = fixtures.build(tmp_path, fixtures.ORIN_NANO)
    (root / 'bus/i2c/drivers/ina3221/1-0041').mkdir()
    assert find_ina3221(root).rails == tuple(ORIN_NANO)


def test_a_renumbered_tree_is_found_again(tmp_path: Path) -> None:
    root = fixtures.build(tmp_path, fixtures.ORIN_NANO)
    sensor = find_ina3221(root)
    hwmon = root / 'bus/i2c/drivers/ina3221/1-0040/hwmon'
    shutil.move(hwmon, tmp_path / 'away')
    assert all(reading.error for reading in sensor.read()) and total(sensor).error
    shutil.move(tmp_path / 'away', hwmon)
    (hwmon / 'hwmon1').rename(hwmon / 'hwmon7')
    assert total(sensor).watts == pytest.approx(5.088384)


def test_bound_of_the_offset(tmp_path: Path) -> None:
    # 80 uV over 2 mOhm is 40 mA; about 1.8 W over the two rails at 19.7 V and the one at 5 V.
    offset = total(board(tmp_path / 'orin', fixtures.agx_orin())).offset_watts
    assert offset == pytest.approx(0.04 * (19.688 * 2 + 4.968))
    # The IIO driver does not give the shunts.
    assert total(board(tmp_path / 'nano', fixtures.NANO)).offset_watts is None


def test_volts_amps_and_times_are_those_of_the_read(tmp_path: Path) -> None:
    sensor = board(tmp_path, fixtures.NANO)
    before = time.monotonic()
    readings = sensor.read()
    times = [before, *(reading.time for reading in readings), time.monotonic()]
    assert times == sorted(times)
    # A total of one rail has its voltage.
    whole = sensor.total(readings)
    assert whole is not None and (whole.volts, whole.amps) == (5.088, 0.344)
