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

"""The sensors on the sysfs trees of every board, with the errors real drivers give."""

from __future__ import annotations

import errno
from pathlib import Path
import shutil
import sys
from types import SimpleNamespace

import pytest
import sysfs_fixtures as fixtures

from dual_cnn_ros.power import nvml, rapl, sysfs
from dual_cnn_ros.power.discover import discover, rediscover
from dual_cnn_ros.power.ina3221 import find_ina3221
from dual_cnn_ros.power.nvml import find_gpus
from dual_cnn_ros.power.rapl import find_rapl
from dual_cnn_ros.power.reading import NoSensorError, Reading, Sensor, SensorDeniedError


def watts(sensor: Sensor) -> dict[str, float | None]:
    return {reading.rail: reading.watts for reading in sensor.read()}


def total(sensor: Sensor) -> Reading:
    reading = sensor.total(sensor.read())
    assert reading is not None
    return reading


# INA3221 and INA238


def test_f1_nano_iio(tmp_path: Path) -> None:
    sensor = find_ina3221(fixtures.build(tmp_path, fixtures.NANO))
    assert watts(sensor) == {'POM_5V_IN': 1.75, 'POM_5V_GPU': 0.0, 'POM_5V_CPU': 0.366}
    assert total(sensor).watts == 1.75
    assert sensor.scope == 'module (5 V input)'
    assert (total(sensor).volts, total(sensor).amps) == (5.088, 0.344)


def test_f2_xavier_nx(tmp_path: Path) -> None:
    sensor = find_ina3221(fixtures.build(tmp_path, fixtures.XAVIER_NX))
    assert watts(sensor) == pytest.approx(
        {'VDD_IN': 2.76352, 'VDD_CPU_GPU_CV': 0.65024, 'VDD_SOC': 0.65024}, rel=1e-12
    )
    assert total(sensor).watts == pytest.approx(2.76352, rel=1e-12)
    assert sensor.scope == 'module'


def test_f3_orin_nano_ignores_the_chips_own_sum(tmp_path: Path) -> None:
    sensor = find_ina3221(fixtures.build(tmp_path, fixtures.ORIN_NANO))
    assert sensor.rails == ('VDD_IN', 'VDD_CPU_GPU_CV', 'VDD_SOC')
    assert total(sensor).watts == pytest.approx(5.088384, rel=1e-12)


def test_f4_agx_orin_adds_three_of_four(tmp_path: Path) -> None:
    root = fixtures.build(tmp_path, fixtures.agx_orin())
    sensor = find_ina3221(root, fixtures.faulty(fixtures.AGX_ORIN_FAULTS))
    assert watts(sensor) == pytest.approx(
        {
            'VDD_GPU_SOC': 3.15008,
            'VDD_CPU_CV': 14.17536,
            'VIN_SYS_5V0': 4.968,
            'VDDQ_VDD2_1V8AO': 1.0912,
        },
        rel=1e-12,
    )
    assert total(sensor).watts == pytest.approx(22.29344, rel=1e-12)
    assert sensor.scope == 'module'


def test_f4a_not_connected_by_label(tmp_path: Path) -> None:
    sensor = find_ina3221(fixtures.build(tmp_path, fixtures.agx_orin(spare='NC')))
    assert len(sensor.rails) == 4
    assert total(sensor).watts == pytest.approx(22.29344, rel=1e-12)


def test_not_connected_is_the_whole_label(tmp_path: Path) -> None:
    chip = fixtures.hwmon_chip('1-0040', [('NC', 0, 0), ('VDD_NCORE', 800, 10), (None, 0, 0)])
    assert find_ina3221(fixtures.build(tmp_path, chip)).rails == ('VDD_NCORE',)


def test_a_labelled_rail_with_zeros_is_a_real_zero(tmp_path: Path) -> None:
    root = fixtures.build(tmp_path, fixtures.agx_orin(spare='VDD_SPARE'))
    for n in (1, 3):
        (root / f'bus/i2c/drivers/ina3221/1-0041/hwmon/hwmon2/in{n}_enable').write_text('1\n')
    sensor = find_ina3221(root)
    assert watts(sensor)['VDD_SPARE@1-0041'] == 0.0
    assert total(sensor).watts == pytest.approx(22.29344, rel=1e-12)


def test_a_channel_switched_off_is_no_rail(tmp_path: Path) -> None:
    chip = fixtures.hwmon_chip(
        '1-0040', [('VDD_IN', 5000, 200), ('VDD_SOC', 0, 0), ('X', 0, 0)], enabled=(1, 0, 0)
    )
    assert find_ina3221(fixtures.build(tmp_path, chip)).rails == ('VDD_IN',)


def test_f4b_hwmon_numbers_do_not_matter(tmp_path: Path) -> None:
    sensor = find_ina3221(fixtures.build(tmp_path, fixtures.agx_orin(numbers=(4, 3))))
    assert total(sensor).watts == pytest.approx(22.29344, rel=1e-12)


def test_f4c_negative_current_is_published_as_read(tmp_path: Path) -> None:
    sensor = find_ina3221(fixtures.build(tmp_path, fixtures.agx_orin(vddq_milliamps=-20)))
    reading = {r.rail: r for r in sensor.read()}['VDDQ_VDD2_1V8AO']
    assert reading.amps == -0.02
    assert reading.watts == pytest.approx(-0.0992)


@pytest.mark.parametrize(
    'fault',
    [
        OSError(errno.ETIMEDOUT, 'Connection timed out'),
        OSError(errno.ENODATA, 'No data available'),
        OSError(errno.EBUSY, 'Device or resource busy'),
        OSError(errno.EREMOTEIO, 'Remote I/O error'),
        BlockingIOError(errno.EAGAIN, 'Resource temporarily unavailable'),
        TypeError("can't concat NoneType to bytes"),
        None,
    ],
)
@pytest.mark.parametrize('file', ['1-0040/hwmon/hwmon1/in3_input', 'hwmon1/curr1_input'])
def test_f4de_a_failing_member_makes_the_total_missing(
    tmp_path: Path, file: str, fault: BaseException | None
) -> None:
    root = fixtures.build(tmp_path, fixtures.agx_orin())
    sensor = find_ina3221(root, fixtures.faulty({file: fault}))
    readings = sensor.read()
    failed = [reading for reading in readings if reading.error]
    assert len(failed) == 1 and failed[0].watts is None and file in failed[0].error
    assert len([reading for reading in readings if reading.watts is not None]) == 3
    reading = sensor.total(readings)
    assert reading is not None
    assert reading.watts is None and failed[0].rail in reading.error


def test_a_member_that_was_not_read_makes_the_total_missing(tmp_path: Path) -> None:
    sensor = find_ina3221(fixtures.build(tmp_path, fixtures.agx_orin()))
    reading = sensor.total(sensor.read()[1:])
    assert reading is not None
    assert reading.watts is None and 'VDD_GPU_SOC was not read' in reading.error


@pytest.mark.parametrize('content', ['', 'garbage', '12.5', '32760 ma'])
def test_a_file_without_a_number_is_a_failed_read(tmp_path: Path, content: str) -> None:
    files = fixtures.ORIN_NANO | {
        'sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr1_input': content
    }
    reading = total(find_ina3221(fixtures.build(tmp_path, files)))
    assert reading.watts is None and 'not a number' in reading.error


def test_f7_thor_prefers_the_whole_input(tmp_path: Path) -> None:
    sensor = find_ina3221(fixtures.build(tmp_path, fixtures.THOR))
    assert (total(sensor).watts, sensor.scope) == (23.0, 'whole input')
    assert watts(sensor)['VDD_GPU'] == 0.0


def test_thor_without_its_input_is_an_estimate(tmp_path: Path) -> None:
    sensor = find_ina3221(fixtures.build(tmp_path, fixtures.THOR_MODULE))
    assert (total(sensor).watts, sensor.scope) == (10.4, 'module (estimate)')


def test_two_whole_inputs_are_none(tmp_path: Path) -> None:
    files = fixtures.ina238_chip('2-0044', 5, 20000, 10) | fixtures.ina238_chip(
        '2-0045', 6, 20000, 10
    )
    sensor = find_ina3221(fixtures.build(tmp_path, files))
    assert sensor.rails == ('VIN@2-0044', 'VIN@2-0045')
    assert sensor.members == () and sensor.total(sensor.read()) is None


@pytest.mark.parametrize('name', fixtures.BOARDS)
def test_every_board(tmp_path: Path, name: str) -> None:
    files, members, scope = fixtures.BOARDS[name]
    sensor = find_ina3221(fixtures.build(tmp_path, files))
    assert (sensor.members, sensor.scope) == (members, scope)
    reading = sensor.total(sensor.read())
    if members:
        assert reading is not None and reading.watts == pytest.approx(1.0 * len(members))
    else:
        assert reading is None
        assert 'no total is known' in sensor.reason


def test_devices_are_links_among_other_files(tmp_path: Path) -> None:
    real = 'sys/devices/platform/c240000.i2c/i2c-1/1-0040'
    files = {
        name.replace('sys/bus/i2c/drivers/ina3221/1-0040', real): content
        for name, content in fixtures.ORIN_NANO.items()
    } | {f'sys/bus/i2c/drivers/ina3221/{name}': '' for name in ('bind', 'unbind', 'a-file')}
    links = {
        'sys/bus/i2c/drivers/ina3221/1-0040': real,
        'sys/bus/i2c/drivers/ina3221/11-0040': real,
        'sys/bus/i2c/drivers/ina3221/module': 'sys/devices',
    }
    sensor = find_ina3221(fixtures.build(tmp_path, files, links))
    assert sensor.rails == ('VDD_IN', 'VDD_CPU_GPU_CV', 'VDD_SOC')


def test_two_digit_buses_and_old_iio_folders(tmp_path: Path) -> None:
    files = {
        name.replace('6-0040', '12-0040').replace('iio:device0', 'iio_device'): content
        for name, content in fixtures.NANO.items()
    }
    assert total(find_ina3221(fixtures.build(tmp_path, files))).watts == 1.75


def test_a_renumbered_tree_is_found_again(tmp_path: Path) -> None:
    root = fixtures.build(tmp_path, fixtures.ORIN_NANO)
    sensor = find_ina3221(root)
    hwmon = root / 'bus/i2c/drivers/ina3221/1-0040/hwmon'
    shutil.move(hwmon, tmp_path / 'away')
    gone = sensor.read()
    assert all(reading.error for reading in gone) and len(gone) == 3
    assert total(sensor).error
    shutil.move(tmp_path / 'away', hwmon)
    (hwmon / 'hwmon1').rename(hwmon / 'hwmon7')
    assert total(sensor).watts == pytest.approx(5.088384)


def test_offset_bound_from_the_shunt(tmp_path: Path) -> None:
    sensor = find_ina3221(fixtures.build(tmp_path, fixtures.agx_orin()))
    # 80 uV over 2 mOhm is 40 mA; about 1.8 W over the two rails at 19.7 V and the one at 5 V.
    assert total(sensor).offset_watts == pytest.approx(0.04 * (19.688 * 2 + 4.968))


def test_offset_unknown_without_shunts(tmp_path: Path) -> None:
    assert total(find_ina3221(fixtures.build(tmp_path, fixtures.NANO))).offset_watts is None


def test_times_are_monotonic_and_in_the_read(tmp_path: Path) -> None:
    import time

    sensor = find_ina3221(fixtures.build(tmp_path, fixtures.ORIN_NANO))
    before = time.monotonic()
    times = [reading.time for reading in sensor.read()]
    assert before <= times[0] <= times[1] <= times[2] <= time.monotonic()


# RAPL


def rapl_root(tmp_path: Path, files: fixtures.Files) -> Path:
    return fixtures.build(tmp_path, files, fixtures.rapl_links(files))


class Ticks:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    ticks = Ticks()
    monkeypatch.setattr(rapl, 'time', ticks)
    monkeypatch.setattr(nvml, 'time', ticks)
    return ticks


def test_f5_rapl_wraps_around_and_counts_nothing_twice(tmp_path: Path, ticks: Ticks) -> None:
    sensor = find_rapl(rapl_root(tmp_path, fixtures.RAPL))
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
    sensor = find_rapl(rapl_root(tmp_path, fixtures.RAPL_AMD))
    assert (sensor.members, sensor.scope) == (('package-0',), 'cpu package')


def test_rapl_mmio_repeats_the_package(tmp_path: Path) -> None:
    sensor = find_rapl(rapl_root(tmp_path, fixtures.RAPL | fixtures.RAPL_MMIO))
    assert sensor.members == ('package-0', 'package-0/dram')
    alone = find_rapl(rapl_root(tmp_path / 'alone', fixtures.RAPL_MMIO))
    assert alone.members == ('package-0',)


def test_rapl_two_packages(tmp_path: Path) -> None:
    second = fixtures.rapl_zone('intel-rapl/intel-rapl:2', 'package-1', 5) | fixtures.rapl_zone(
        'intel-rapl/intel-rapl:2/intel-rapl:2:0', 'core', 5
    )
    sensor = find_rapl(rapl_root(tmp_path, fixtures.RAPL_AMD | second))
    assert sensor.members == ('package-0', 'package-1')
    assert 'package-1/core' in sensor.rails


def test_rapl_present_but_denied_is_a_state_of_its_own(tmp_path: Path) -> None:
    root = rapl_root(tmp_path, fixtures.RAPL)
    denied = fixtures.faulty({'energy_uj': PermissionError(errno.EACCES, 'Permission denied')})
    with pytest.raises(SensorDeniedError, match=r'energy_uj may not be read.*chmod'):
        find_rapl(root, denied)
    with pytest.raises(NoSensorError, match='no RAPL package') as absent:
        find_rapl(tmp_path / 'nothing')
    assert not isinstance(absent.value, SensorDeniedError)


def test_rapl_one_failed_read_adds_no_energy(tmp_path: Path, ticks: Ticks) -> None:
    faults: dict[str, BaseException | None] = {}
    sensor = find_rapl(rapl_root(tmp_path, fixtures.RAPL_AMD), fixtures.faulty(faults))
    ticks.now += 0.1
    first = total(sensor)
    faults['intel-rapl:0/energy_uj'] = OSError(errno.EIO, 'Input/output error')
    ticks.now += 0.1
    failed = total(sensor)
    assert failed.watts is None and failed.joules is None and 'Input/output' in failed.error
    del faults['intel-rapl:0/energy_uj']
    fixtures.build(tmp_path, {fixtures.RAPL_PACKAGE_FILE: 262143500000})
    ticks.now += 0.1
    back = total(sensor)
    assert not back.error and back.watts is None
    assert first.joules is not None and back.joules is not None
    assert back.joules - first.joules == pytest.approx(0.5)
    fixtures.build(tmp_path, {fixtures.RAPL_PACKAGE_FILE: 262144000000})
    ticks.now += 0.1
    assert total(sensor).watts == pytest.approx(5.0)


def test_rapl_a_package_that_fails_at_the_start_still_belongs_to_the_total(
    tmp_path: Path,
) -> None:
    faults: dict[str, BaseException | None] = {
        'intel-rapl:0/energy_uj': OSError(errno.EIO, 'Input/output error'),
        'intel-rapl:0/max_energy_range_uj': OSError(errno.EIO, 'Input/output error'),
    }
    sensor = find_rapl(rapl_root(tmp_path, fixtures.RAPL), fixtures.faulty(faults))
    assert sensor.members == ('package-0', 'package-0/dram')
    assert total(sensor).error
    faults.clear()
    assert not total(sensor).error


# NVML


class FakeNVMLError(Exception):
    pass


def fake_nvml(power: dict[int, int | None], energy: dict[int, int | None]) -> SimpleNamespace:
    """Return a pynvml of so many GPUs; None is NotSupported, a missing key is a lost GPU."""

    def get(table: dict[int, int | None]) -> object:
        def read(handle: int) -> int:
            if handle not in table:
                raise FakeNVMLError('GPU is lost')
            value = table[handle]
            if value is None:
                raise FakeNVMLError('Not Supported')
            return value

        return read

    count = len(power)
    return SimpleNamespace(
        NVMLError=FakeNVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: count,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetPowerUsage=get(power),
        nvmlDeviceGetTotalEnergyConsumption=get(energy),
    )


def use(monkeypatch: pytest.MonkeyPatch, module: object) -> None:
    monkeypatch.setitem(sys.modules, 'pynvml', module)


def test_nvml_gives_power_and_counter(monkeypatch: pytest.MonkeyPatch, ticks: Ticks) -> None:
    energy: dict[int, int | None] = {0: 5_000_000}
    use(monkeypatch, fake_nvml({0: 71_500}, energy))
    sensor = find_gpus()
    assert (sensor.rails, sensor.members, sensor.scope) == (('gpu0',), ('gpu0',), 'gpu')
    first = total(sensor)
    assert (first.watts, first.joules) == (71.5, 5000.0)
    energy[0] = 5_007_000
    ticks.now += 0.1
    assert total(sensor).joules == 5007.0


def test_nvml_counter_restart_breaks_the_chain(
    monkeypatch: pytest.MonkeyPatch, ticks: Ticks
) -> None:
    energy: dict[int, int | None] = {0: 5_000_000}
    use(monkeypatch, fake_nvml({0: 71_500}, energy))
    sensor = find_gpus()
    total(sensor)
    energy[0] = 200
    ticks.now += 0.1
    assert 'restarted' in total(sensor).error
    ticks.now += 0.1
    assert not total(sensor).error


def test_nvml_lost_gpu_comes_back(monkeypatch: pytest.MonkeyPatch, ticks: Ticks) -> None:
    power: dict[int, int | None] = {0: 71_500}
    use(monkeypatch, fake_nvml(power, {0: 1}))
    sensor = find_gpus()
    del power[0]
    assert 'GPU is lost' in total(sensor).error
    power[0] = 60_000
    assert total(sensor).watts == 60.0


def test_nvml_before_volta_has_no_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, fake_nvml({0: 50_000}, {0: None}))
    reading = total(find_gpus())
    assert (reading.watts, reading.joules) == (50.0, None)


def test_nvml_counter_alone_gives_power(monkeypatch: pytest.MonkeyPatch, ticks: Ticks) -> None:
    energy: dict[int, int | None] = {0: 1000}
    use(monkeypatch, fake_nvml({0: None}, energy))
    sensor = find_gpus()
    assert total(sensor).watts is None
    energy[0] = 3000
    ticks.now += 0.1
    assert total(sensor).watts == pytest.approx(20.0)


def test_nvml_two_gpus_of_which_one_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, fake_nvml({0: None, 1: 30_000, 2: 12_000}, {0: None, 1: None, 2: None}))
    sensor = find_gpus()
    assert (sensor.rails, sensor.scope) == (('gpu1', 'gpu2'), '2 gpus')
    assert total(sensor).watts == 42.0


def test_nvml_present_but_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, fake_nvml({0: None}, {0: None}))
    with pytest.raises(NoSensorError, match='reads the power of none'):
        find_gpus()


def test_nvml_without_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    module = fake_nvml({0: 1}, {0: 1})

    def fail() -> None:
        raise FakeNVMLError('Driver Not Loaded')

    module.nvmlInit = fail
    use(monkeypatch, module)
    with pytest.raises(NoSensorError, match='Driver Not Loaded'):
        find_gpus()


def test_nvml_without_package(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, None)
    with pytest.raises(NoSensorError, match='nvidia-ml-py'):
        find_gpus()


# Choosing


def test_auto_prefers_the_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, fake_nvml({0: 1000}, {0: 1}))
    files = fixtures.ORIN_NANO | fixtures.RAPL
    sensor = discover('auto', rapl_root(tmp_path, files))
    assert sensor.source == 'ina3221' and 'ina3221 1-0040' in sensor.reason


def test_auto_says_what_it_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, fake_nvml({0: 1000}, {0: 1}))
    assert discover('auto', rapl_root(tmp_path, fixtures.RAPL)).source == 'rapl'
    sensor = discover('auto', fixtures.build(tmp_path / 'none', fixtures.NONE))
    assert sensor.source == 'nvml'
    assert 'no INA3221' in sensor.reason and 'no RAPL' in sensor.reason


@pytest.mark.parametrize('board', [fixtures.THOR, fixtures.BOARDS['TX2'][0]])
def test_a_sensor_grows_by_chips_and_never_shrinks(tmp_path: Path, board: fixtures.Files) -> None:
    root = fixtures.build(tmp_path, board)
    chips = sorted((root / 'bus/i2c/drivers').glob('*/*'))
    late, away = chips[-1], tmp_path / 'away'
    whole = discover('auto', root)
    late.rename(away)
    sensor = discover('auto', root)
    assert rediscover(sensor, root) is None
    # A chip that comes in the place of another would give another total.
    chips[0].rename(tmp_path / 'gone')
    away.rename(late)
    assert rediscover(sensor, root) is None and rediscover(whole, root) is None
    (tmp_path / 'gone').rename(chips[0])
    more = rediscover(sensor, root)
    assert more is not None
    assert (more.rails, more.members, more.scope) == (whole.rails, whole.members, whole.scope)
    assert rediscover(more, root) is None
    shutil.rmtree(root / 'bus')
    assert rediscover(more, root) is None


def test_rails_of_one_name_are_still_the_same_channels(tmp_path: Path) -> None:
    rails = [('VDD_A', 5000, 1), ('VDD_B', 5000, 1), ('VDD_C', 5000, 1)]
    root = fixtures.build(tmp_path, fixtures.hwmon_chip('1-0040', rails, 1))
    sensor = discover('auto', root)
    fixtures.build(tmp_path, fixtures.hwmon_chip('1-0041', rails, 2))
    more = rediscover(sensor, root)
    assert more is not None and len(more.rails) == 6 and 'VDD_A@1-0040' in more.rails


def test_a_better_source_replaces_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, None)
    root = rapl_root(tmp_path, fixtures.RAPL)
    sensor = discover('auto', root)
    fixtures.build(tmp_path, fixtures.ORIN_NANO)
    assert sensor.source == 'rapl' and rediscover(sensor, root) is None


@pytest.mark.parametrize('source', ['auto', 'ina3221', 'rapl', 'nvml'])
def test_f6_no_source_is_said_and_nothing_invented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    use(monkeypatch, None)
    root = fixtures.build(tmp_path, fixtures.NONE)
    (root / 'bus/i2c/drivers').mkdir(parents=True)
    with pytest.raises(NoSensorError) as error:
        discover(source, root)
    if source == 'auto':
        assert all(word in str(error.value) for word in ('INA3221', 'RAPL', 'nvidia-ml-py'))


def test_sysfs_text_drops_the_nul(tmp_path: Path) -> None:
    fixtures.build(tmp_path, {'model': 'NVIDIA Jetson Nano Developer Kit\0'})
    assert sysfs.text(tmp_path / 'model') == 'NVIDIA Jetson Nano Developer Kit'
