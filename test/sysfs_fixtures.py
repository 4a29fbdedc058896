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

"""
Trees of sysfs as Jetson boards and x86 machines show them, built in a temporary folder.

The values are invented but obey the hardware's steps (8 mV on the bus, 40 uV over the shunt).
Every board is a table of its chips; errors that files cannot hold are injected by `break_files`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from dual_cnn_ros.power import sysfs
from dual_cnn_ros.power.reading import Reading, Sensor

Files = dict[str, object]


def build(root: Path, files: Mapping[str, object], links: Mapping[str, str] | None = None) -> Path:
    """Write the files, each ending in a newline, and the links; return the folder sys."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{content}\n')
    for name, target in (links or {}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(os.path.relpath(root / target, path.parent))
    (root / 'sys').mkdir(exist_ok=True)
    return root / 'sys'


def break_files(monkeypatch: pytest.MonkeyPatch, faults: Mapping[str, int]) -> None:
    """Make reading the files whose path ends as named fail, with that errno; may be changed."""
    read = sysfs.text

    def read_or_fail(path: Path) -> str:
        for ending, code in faults.items():
            if str(path).endswith(ending):
                raise OSError(code, os.strerror(code), str(path))
        return read(path)

    monkeypatch.setattr(sysfs, 'text', read_or_fail)


def total(sensor: Sensor) -> Reading:
    """Read the total of a sensor that has one."""
    reading = sensor.total(sensor.read())
    assert reading is not None
    return reading


def iio_chip(device: str, rails: list[tuple[str, int, int]], number: int = 0) -> Files:
    """Return the files of an INA3221 under the IIO driver; rails: name, millivolts, milliamps."""
    folder = f'sys/bus/i2c/drivers/ina3221x/{device}/iio:device{number}'
    files: Files = {f'{folder}/name': 'ina3221x'}
    for n, (rail, millivolts, milliamps) in enumerate(rails):
        files |= {
            f'{folder}/rail_name_{n}': rail,
            f'{folder}/in_voltage{n}_input': millivolts,
            f'{folder}/in_current{n}_input': milliamps,
            f'{folder}/in_power{n}_input': millivolts * milliamps // 1000,
        }
    return files


def hwmon_chip(
    device: str,
    rails: list[tuple[str | None, int, int]],
    number: int = 0,
    *,
    microohms: int = 5000,
    enabled: tuple[int, int, int] = (1, 1, 1),
) -> Files:
    """
    Return the files of an INA3221 under the hwmon driver; a rail None has no label.

    The chip's own sums, in7 and curr4, and its shunt voltages, in4 to in6, are no rails.
    """
    folder = f'sys/bus/i2c/drivers/ina3221/{device}/hwmon/hwmon{number}'
    files: Files = {
        'name': 'ina3221',
        'in7_label': 'sum of shunt voltages',
        'in7_input': 7480,
        'curr4_input': 1496,
    }
    for n, (rail, millivolts, milliamps) in enumerate(rails, 1):
        if rail is not None:
            files[f'in{n}_label'] = rail
        files |= {
            f'in{n}_enable': enabled[n - 1],
            f'in{n}_input': millivolts,
            f'in{n + 3}_input': milliamps * microohms // 1000,
            f'curr{n}_input': milliamps,
            f'shunt{n}_resistor': microohms,
        }
    return {f'{folder}/{name}': content for name, content in files.items()}


def ina238_chip(
    device: str, number: int, millivolts: int, milliamps: int, label: str | None = None
) -> Files:
    folder = f'sys/bus/i2c/drivers/ina238/{device}/hwmon/hwmon{number}'
    labels: Files = {f'{folder}/in1_label': label} if label else {}
    return labels | {
        f'{folder}/name': 'ina238',
        f'{folder}/in0_input': 1,
        f'{folder}/in1_input': millivolts,
        f'{folder}/curr1_input': milliamps,
        f'{folder}/power1_input': millivolts * milliamps,
    }


# Jetson Nano, L4T 32. The total is the input's 1.750 W and not 2.116.
NANO = iio_chip(
    '6-0040', [('POM_5V_IN', 5088, 344), ('POM_5V_GPU', 5088, 0), ('POM_5V_CPU', 5088, 72)]
)

# Orin Nano, L4T 36. The total is 5.088384 W; adding up, or curr4, would give 7.551808.
ORIN_NANO = hwmon_chip(
    '1-0040',
    [('VDD_IN', 5048, 1008), ('VDD_CPU_GPU_CV', 5048, 200), ('VDD_SOC', 5048, 288)],
    1,
)


def agx_orin(
    numbers: tuple[int, int] = (1, 2), spare: str | None = None, vddq_milliamps: int = 220
) -> Files:
    """
    AGX Orin; three of four rails make the total of 22.29344 W.

    numbers: the hwmon numbers. spare: the label of the second chip's unused channels, which have
    none on L4T 36, and NC on L4T 35.
    """
    module = [('VDD_GPU_SOC', 19688, 160), ('VDD_CPU_CV', 19688, 720), ('VIN_SYS_5V0', 4968, 1000)]
    memory = [(spare, 0, 0), ('VDDQ_VDD2_1V8AO', 4960, vddq_milliamps), (spare, 0, 0)]
    return hwmon_chip('1-0040', module, numbers[0], microohms=2000) | hwmon_chip(
        '1-0041', memory, numbers[1], microohms=2000, enabled=(0, 1, 0)
    )


# AGX Thor; the INA238's address is invented.
THOR_MODULE = hwmon_chip(
    '2-0040',
    [('VDD_GPU', 20000, 0), ('VDD_CPU_SOC_MSS', 20000, 320), ('VIN_SYS_5V0', 5000, 800)],
    4,
)
THOR = THOR_MODULE | ina238_chip('2-0044', 5, 20000, 1150)

# In a monitor of a motor on a robot, of 72 W, no label says what it measures.
MOTOR = ina238_chip('7-0045', 9, 24000, 3000)


def device_tree(model: str, folder: str = 'sys/firmware/devicetree/base') -> Files:
    return {f'{folder}/model': f'{model}\0'}


# Boards of which only the rails' names are asserted, with 5 V and 0.2 A on each: name, driver,
# chips with their rails, members and scope of the total.
_BOARDS = """
TX1 | iio | 1-0040 VDD_IN VDD_GPU VDD_CPU, 1-0042 VDD_MUX VDD_5V_IO_SYS VDD_3V3_SYS,\
    1-0043 VDD_3V3_IO VDD_1V8_IO VDD_M2_IN | VDD_IN VDD_MUX | module and carrier
TX2 | iio | 0-0040 VDD_SYS_GPU VDD_SYS_SOC VDD_4V0_WIFI, 0-0041 VDD_IN VDD_SYS_CPU VDD_SYS_DDR,\
    0-0042 VDD_MUX VDD_5V0_IO_SYS VDD_3V3_SYS, 0-0043 VDD_3V3_IO_SLP VDD_1V8_IO VDD_3V3_SYS_M2\
    | VDD_IN VDD_MUX | module and carrier
TX2 without its carrier chips | iio | 0-0040 VDD_SYS_GPU VDD_SYS_SOC VDD_4V0_WIFI,\
    0-0041 VDD_IN VDD_SYS_CPU VDD_SYS_DDR | VDD_IN | module
TX2 NX | iio | 0-0040 VDD_IN VDD_CPU_GPU VDD_SOC | VDD_IN | module
AGX Xavier L4T 32 | iio | 1-0040 GPU CPU SOC, 1-0041 CV VDDRQ SYS5V\
    | GPU CPU SOC CV VDDRQ SYS5V | module
AGX Xavier L4T 35 | hwmon | 1-0040 GPU CPU SOC, 1-0041 CV VDDRQ SYS5V\
    | GPU CPU SOC CV VDDRQ SYS5V | module
half an AGX Xavier | iio | 1-0040 GPU CPU SOC | |
Xavier NX L4T 35 | hwmon | 7-0040 VDD_IN VDD_CPU_GPU_CV VDD_SOC | VDD_IN | module
Xavier NX L4T 32 | iio | 7-0040 VDD_IN VDD_CPU_GPU_CV VDD_SOC | VDD_IN | module
Orin NX | hwmon | 1-0040 VDD_IN VDD_CPU_GPU_CV VDD_SOC | VDD_IN | module
AGX Orin with a measured carrier | hwmon | 1-0040 VDD_GPU_SOC VDD_CPU_CV VIN_SYS_5V0,\
    1-0041 NC VDDQ_VDD2_1V8AO NC, 2-0041 CVB_ATX_12V CVB_ATX_3V3 CVB_ATX_5V\
    | VDD_GPU_SOC VDD_CPU_CV VIN_SYS_5V0 | module
unknown | hwmon | 1-0040 VDD_A VDD_B VDD_C | |
"""
BOARDS: dict[str, tuple[Files, tuple[str, ...], str]] = {}
for _line in _BOARDS.strip().splitlines():
    _name, _driver, _chips, _members, _scope = (cell.strip() for cell in _line.split('|'))
    _files: Files = {}
    for _number, (_device, *_rails) in enumerate(map(str.split, _chips.split(','))):
        _chip = iio_chip if _driver == 'iio' else hwmon_chip
        _files |= _chip(_device, [(rail, 5000, 200) for rail in _rails], _number)
    BOARDS[_name] = _files, tuple(_members.split()), _scope

# A machine without any power sensor.
NONE: Files = {'sys/class/hwmon/hwmon0/name': 'nvme'}


# RAPL of a desktop: counters in microjoules.
RAPL_SPAN = 262143328850
_POWERCAP = 'sys/devices/virtual/powercap'


def rapl_zone(folder: str, name: str, microjoules: int, span: int = RAPL_SPAN) -> Files:
    return {
        f'{_POWERCAP}/{folder}/name': name,
        f'{_POWERCAP}/{folder}/energy_uj': microjoules,
        f'{_POWERCAP}/{folder}/max_energy_range_uj': span,
    }


def rapl_counter(folder: str, microjoules: int) -> Files:
    return {f'{_POWERCAP}/{folder}/energy_uj': microjoules}


RAPL_PACKAGE = 'intel-rapl/intel-rapl:0'
RAPL_DRAM = f'{RAPL_PACKAGE}/intel-rapl:0:2'
RAPL_AMD = rapl_zone(RAPL_PACKAGE, 'package-0', 262143000000) | rapl_zone(
    f'{RAPL_PACKAGE}/intel-rapl:0:0', 'core', 52649883221
)
RAPL = (
    RAPL_AMD
    | rapl_zone(f'{RAPL_PACKAGE}/intel-rapl:0:1', 'uncore', 1111111111)
    | rapl_zone(RAPL_DRAM, 'dram', 30000000000, 65712999613)
    | rapl_zone('intel-rapl/intel-rapl:1', 'psys', 99999999999)
)
RAPL_MMIO = rapl_zone('intel-rapl-mmio/intel-rapl-mmio:0', 'package-0', 262143000000)


def rapl_root(tmp_path: Path, files: Files) -> Path:
    """Build these files, with the flat links of class/powercap to every zone, however deep."""
    zones = {Path(name).parent for name in files if name.startswith(_POWERCAP)}
    return build(tmp_path, files, {f'sys/class/powercap/{zone.name}': str(zone) for zone in zones})


class Ticks:
    """A clock that the test moves, in place of the module time."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class FakeNVMLError(Exception):
    pass


def fake_nvml(
    power: Mapping[int, int | None], energy: Mapping[int, int | None]
) -> SimpleNamespace:
    """Return a pynvml of so many GPUs; None is NotSupported, a missing key is a lost GPU."""

    def read(table: Mapping[int, int | None], handle: int) -> int:
        value = table.get(handle, 'lost')
        if not isinstance(value, int):
            raise FakeNVMLError('Not Supported' if value is None else 'GPU is lost')
        return value

    count = len(power)
    return SimpleNamespace(
        NVMLError=FakeNVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: count,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetPowerUsage=partial(read, power),
        nvmlDeviceGetTotalEnergyConsumption=partial(read, energy),
    )
