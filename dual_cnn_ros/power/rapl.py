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
RAPL, the energy counters of x86 packages (Intel, and AMD since kernel 5.8), through powercap.

A package contains its core and uncore zones, and psys contains the packages, so levels are never
added up; DRAM is a zone of its own beside the package, though its folder lies inside. The same
counters may appear a second time as intel-rapl-mmio.
"""

from __future__ import annotations

from dataclasses import dataclass
import os
from pathlib import Path
import re
import time

from dual_cnn_ros.power import sysfs
from dual_cnn_ros.power.counter import EnergyCounter
from dual_cnn_ros.power.reading import NoSensorError, Reading, Sensor


def find_rapl(sysfs_root: Path) -> Sensor:
    """
    Find the zones of every processor package.

    Parameters
    ----------
    sysfs_root
        The folder in which sysfs is mounted, usually /sys.

    Raises
    ------
    NoSensorError
        Where there is no package, or this user may not read its counter, as is the kernel's
        default for all but root; the message says which, and how to allow it.

    """
    channels: dict[str, _Channel] = {}
    dead = set()
    for zone in _zones(sysfs_root):
        name = _name(zone)
        if name is None or name in channels:
            continue
        file, counter = zone / 'energy_uj', EnergyCounter(name, 1_000_000, _span(zone))
        try:
            # Power and energy are differences of values: with one now, they are known sooner.
            value = sysfs.integer(file)
            counter.advance(time.monotonic(), value)
            if value == 0:
                dead.add(name)
        except PermissionError as error:
            raise NoSensorError(
                f'RAPL is present but {error.filename} may not be read: '
                'allow it (sudo chmod a+r, lasts until reboot, or a udev rule) or run as root'
            ) from None
        except OSError:
            # A package whose counter fails now still belongs to the total.
            pass
        channels[name] = _Channel((name,), file, counter)
    packages = tuple(name for name in channels if re.fullmatch(r'package-\d+(-die-\d+)?', name))
    if not packages:
        raise NoSensorError(f'no RAPL package under {sysfs_root / "class/powercap"}')
    reason = 'the processor counts its energy (not that of the rest of the machine)'
    memory = tuple(name for name in channels if name.endswith('dram'))
    if unused := [name for name in memory if name in dead]:
        # Many processors have the counter and not the memory controller that would move it.
        reason += f'; {", ".join(unused)} has counted nothing since the start, and is left out'
        memory = tuple(name for name in memory if name not in dead)
    return Sensor(
        'rapl',
        reason,
        tuple(channels.values()),
        packages + memory,
        'cpu package and dram' if memory else 'cpu package',
    )


@dataclass(frozen=True)
class _Channel:
    rails: tuple[str]
    file: Path
    counter: EnergyCounter

    def read(self) -> list[Reading]:
        before = time.monotonic()
        try:
            value = sysfs.integer(self.file)
        except OSError as error:
            return [self.counter.fail(time.monotonic(), error)]
        return [self.counter.advance((before + time.monotonic()) / 2, value)]


def _zones(sysfs_root: Path) -> list[Path]:
    """Return every zone's folder once, parents before children and intel-rapl before -mmio."""
    # class/powercap lists parents and children flat, as links to nested folders.
    zones = {
        Path(folder)
        for entry in (sysfs_root / 'class/powercap').glob('intel-rapl*')
        for folder, _, files in os.walk(entry.resolve())
        if 'energy_uj' in files
    }
    return sorted(zones)


def _span(zone: Path) -> int | None:
    try:
        return sysfs.integer(zone / 'max_energy_range_uj')
    except OSError:
        return None


def _name(zone: Path) -> str | None:
    """Return the zone's own name, preceded by that of the zone that contains it."""
    name = sysfs.word(zone / 'name')
    if name and re.fullmatch(r'intel-rapl(-mmio)?:\d+:\d+', zone.name):
        return f'{sysfs.word(zone.parent / "name")}/{name}'
    return name or None
