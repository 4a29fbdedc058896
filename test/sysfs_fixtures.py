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
Every board is a table of its chips; errors that files cannot hold are injected by `faulty`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import errno
import os
from pathlib import Path
from types import SimpleNamespace

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


def faulty(faults: Mapping[str, BaseException | None]) -> sysfs.Reader:
    """Return a reader that fails, or returns None, for files whose path ends as named."""

    def read(path: Path) -> str:
        for ending, fault in faults.items():
            if str(path).endswith(ending):
                if fault is None:
                    return None  # type: ignore[return-value]
                raise fault
        return sysfs.text(path)

    return read


def total(sensor: Sensor) -> Reading:
    """Read the total of a sensor that has one."""
    reading = sensor.total(sensor.read())
    assert reading is not None
    return reading


def no_data() -> OSError:
    return OSError(errno.ENODATA, os.strerror(errno.ENODATA))


def iio_chip(device: str, rails: list[tuple[str, int, int]], number: int = 0) -> Files:
    """Return the files of an INA3221 under the IIO driver; rails: name, millivolts, milliamps."""
    base = f'sys/bus/i2c/drivers/ina3221x/{device}'
    folder = f'{base}/iio:device{number}'
    files: Files = {f'{base}/name': 'ina3221x', f'{folder}/name': 'ina3221x'}
    files[f'{folder}/running_mode'] = 1
    for n, (rail, millivolts, milliamps) in enumerate(rails):
        milliwatts = millivolts * milliamps // 1000
        files |= {
            f'{folder}/rail_name_{n}': rail,
            f'{folder}/in_voltage{n}_input': millivolts,
            f'{folder}/in_current{n}_input': milliamps,
            f'{folder}/in_power{n}_input': milliwatts,
            f'{folder}/in_current{n}_trigger_input': 0,
            f'{folder}/in_power{n}_trigger_input': 0,
            f'{folder}/ui_input_{n}': f'{millivolts} {milliamps}',
            f'{folder}/crit_current_limit_{n}': '32760 ma',
            f'{folder}/warn_current_limit_{n}': '32760 ma',
            f'{folder}/crit_power_limit_{n}': f'{millivolts * 32760 // 1000} mw',
            f'{folder}/polling_delay_{n}': '0 ms',
        }
    return files


def hwmon_chip(
    device: str,
    rails: list[tuple[str | None, int, int]],
    number: int = 0,
    *,
    microohms: int = 5000,
    shunt_sum: int = 0,
    current_sum: int = 0,
    limit: int = 32760,
    enabled: tuple[int, int, int] = (1, 1, 1),
    interval: int = 7,
) -> Files:
    """Return the 38 files of an INA3221 under the hwmon driver; a rail None has no label."""
    folder = f'sys/bus/i2c/drivers/ina3221/{device}/hwmon/hwmon{number}'
    files: Files = {
        'name': 'ina3221',
        'in7_label': 'sum of shunt voltages',
        'in7_input': shunt_sum,
        'curr4_input': current_sum,
        'curr4_crit': limit * 4,
        'curr4_crit_alarm': 0,
        'samples': 1,
        'update_interval': interval,
    }
    for n, (rail, millivolts, milliamps) in enumerate(rails, 1):
        if rail is not None:
            files[f'in{n}_label'] = rail
        files |= {
            f'in{n}_enable': enabled[n - 1],
            f'in{n}_input': millivolts,
            f'in{n + 3}_input': milliamps * microohms // 1000,
            f'curr{n}_input': milliamps,
            f'curr{n}_crit': limit,
            f'curr{n}_max': limit,
            f'curr{n}_crit_alarm': 0,
            f'curr{n}_max_alarm': 0,
            f'shunt{n}_resistor': microohms,
        }
    return {f'{folder}/{name}': content for name, content in files.items()}


def ina238_chip(device: str, number: int, millivolts: int, milliamps: int) -> Files:
    folder = f'sys/bus/i2c/drivers/ina238/{device}/hwmon/hwmon{number}'
    return {
        f'{folder}/name': 'ina238',
        f'{folder}/in0_input': 1,
        f'{folder}/in1_input': millivolts,
        f'{folder}/curr1_input': milliamps,
        f'{folder}/power1_input': millivolts * milliamps,
    }


# F1: Jetson Nano, L4T 32. The total is the input's 1.750 W and not 2.116.
NANO = iio_chip(
    '6-0040', [('POM_5V_IN', 5088, 344), ('POM_5V_GPU', 5088, 0), ('POM_5V_CPU', 5088, 72)]
) | {
    'etc/nv_tegra_release': '# R32 (release), REVISION: 7.1',
    'proc/device-tree/model': 'NVIDIA Jetson Nano Developer Kit\0',
}

# F2: Xavier NX, L4T 35.
XAVIER_NX = hwmon_chip(
    '7-0040',
    [('VDD_IN', 5080, 544), ('VDD_CPU_GPU_CV', 5080, 128), ('VDD_SOC', 5080, 128)],
    5,
    shunt_sum=4000,
    current_sum=800,
)

# F3: Orin Nano, L4T 36. The total is 5.088384 W; adding up, or curr4, would give 7.551808.
ORIN_NANO = hwmon_chip(
    '1-0040',
    [('VDD_IN', 5048, 1008), ('VDD_CPU_GPU_CV', 5048, 200), ('VDD_SOC', 5048, 288)],
    1,
    shunt_sum=7480,
    current_sum=1496,
)


def agx_orin(
    numbers: tuple[int, int] = (1, 2),
    spare: str | None = None,
    vddq_milliamps: int = 220,
) -> Files:
    """
    F4: AGX Orin; three of four rails make the total of 22.29344 W.

    numbers: the hwmon numbers. spare: the label of the second chip's unused channels, which have
    none on L4T 36 and give ENODATA (see AGX_ORIN_FAULTS), and NC with zeros on L4T 35.
    """
    return hwmon_chip(
        '1-0040',
        [('VDD_GPU_SOC', 19688, 160), ('VDD_CPU_CV', 19688, 720), ('VIN_SYS_5V0', 4968, 1000)],
        numbers[0],
        microohms=2000,
        shunt_sum=1760,
        current_sum=880,
        limit=81900,
    ) | hwmon_chip(
        '1-0041',
        [(spare, 0, 0), ('VDDQ_VDD2_1V8AO', 4960, vddq_milliamps), (spare, 0, 0)],
        numbers[1],
        microohms=2000,
        shunt_sum=440,
        current_sum=220,
        limit=81900,
        enabled=(0, 1, 0),
        interval=2,
    )


AGX_ORIN_FAULTS: dict[str, BaseException | None] = {
    f'1-0041/hwmon/hwmon2/{name}_input': no_data()
    for name in ('in1', 'in3', 'in4', 'in6', 'curr1', 'curr3')
}

# F7: AGX Thor; the INA238's address is invented.
THOR_MODULE = hwmon_chip(
    '2-0040',
    [('VDD_GPU', 20000, 0), ('VDD_CPU_SOC_MSS', 20000, 320), ('VIN_SYS_5V0', 5000, 800)],
    4,
)
THOR = THOR_MODULE | ina238_chip('2-0044', 5, 20000, 1150)

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

# F6: a machine without any power sensor.
NONE: Files = {
    'sys/class/hwmon/hwmon0/name': 'nvme',
    'proc/device-tree/model': 'Jetson Nano 2GB\0',
}


# F5: RAPL of a desktop: counters in microjoules.
RAPL_SPAN = 262143328850
_POWERCAP = 'sys/devices/virtual/powercap'


def rapl_zone(folder: str, name: str, microjoules: int, span: int = RAPL_SPAN) -> Files:
    return {
        f'{_POWERCAP}/{folder}/name': name,
        f'{_POWERCAP}/{folder}/energy_uj': microjoules,
        f'{_POWERCAP}/{folder}/max_energy_range_uj': span,
        f'{_POWERCAP}/{folder}/enabled': 1,
    }


_PACKAGE = 'intel-rapl/intel-rapl:0'
RAPL_AMD = (
    {f'{_POWERCAP}/intel-rapl/enabled': 1}
    | rapl_zone(_PACKAGE, 'package-0', 262143000000)
    | rapl_zone(f'{_PACKAGE}/intel-rapl:0:0', 'core', 52649883221)
)
RAPL = (
    RAPL_AMD
    | rapl_zone(f'{_PACKAGE}/intel-rapl:0:1', 'uncore', 1111111111)
    | rapl_zone(f'{_PACKAGE}/intel-rapl:0:2', 'dram', 30000000000, 65712999613)
    | rapl_zone('intel-rapl/intel-rapl:1', 'psys', 99999999999)
)
RAPL_MMIO = rapl_zone('intel-rapl-mmio/intel-rapl-mmio:0', 'package-0', 262143000000)
# A tenth of a second later: 2 J for the package, which wrapped around, and 0.3 J for the DRAM.
RAPL_LATER = {
    f'{_POWERCAP}/{_PACKAGE}/energy_uj': 1671150,
    f'{_POWERCAP}/{_PACKAGE}/intel-rapl:0:2/energy_uj': 30000300000,
}
RAPL_PACKAGE_FILE = f'{_POWERCAP}/{_PACKAGE}/energy_uj'


def rapl_links(files: Mapping[str, object]) -> dict[str, str]:
    """Return the flat links of class/powercap to every zone, however deep."""
    zones = {Path(name).parent for name in files if name.startswith(_POWERCAP)}
    return {f'sys/class/powercap/{zone.name}': str(zone) for zone in zones}


def rapl_root(tmp_path: Path, files: Files) -> Path:
    return build(tmp_path, files, rapl_links(files))


class Ticks:
    """A clock that the test moves, in place of the module time."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


# NVML: there is no driver, so the module pynvml is made up.


class FakeNVMLError(Exception):
    pass


def fake_nvml(
    power: Mapping[int, int | None], energy: Mapping[int, int | None]
) -> SimpleNamespace:
    """Return a pynvml of so many GPUs; None is NotSupported, a missing key is a lost GPU."""

    def get(table: Mapping[int, int | None]) -> Callable[[int], int]:
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
