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
The power monitors of NVIDIA Jetson boards: INA3221 under both drivers, and Thor's INA238.

L4T 32 has the IIO driver `ina3221x` (channels 0 to 2, milliwatts given), L4T 34 and later the
hwmon driver `ina3221` (channels 1 to 3, no power file). Of the hwmon files only the labelled bus
voltages 1 to 3 are rails: in4 to in6 are shunt microvolts, in7 and curr4 are the chip's own sums.
The hwmon and IIO numbers change between boots, so a chip is known by driver, bus and address.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
import errno
from functools import cached_property
from pathlib import Path
import re
import time

from dual_cnn_ros.power import sysfs
from dual_cnn_ros.power.plausibility import ReadingCheck
from dual_cnn_ros.power.reading import NoSensorError, Reading, Sensor
from dual_cnn_ros.power.totals import is_thor, total_of

# TI SBOS576A: the shunt offset is at most 80 microvolts, so 80 / R[microohm] is amperes.
_SHUNT_OFFSET_MICROVOLTS = 80.0

# The label of an INA238 in front of a whole board, and the name of one without a label: that may
# be a motor's.
_VIN, _UNLABELLED = 'VIN', 'INA238'

_ADDRESS = re.compile(r'\d+-[0-9a-f]{4}')


@dataclass(frozen=True)
class _Layout:
    """The folders and files of a driver; {} stands for the channel's number."""

    folders: tuple[str, ...]
    numbers: range
    labels: tuple[str, ...]
    millivolts: str
    milliamperes: str
    power: str | None = None
    power_units_per_watt: int = 1
    unlabelled: str | None = None


_LAYOUTS = {
    'ina3221x': _Layout(
        folders=('iio:device*', 'iio_device*'),
        numbers=range(3),
        labels=('rail_name_{}',),
        millivolts='in_voltage{}_input',
        milliamperes='in_current{}_input',
        # The driver multiplies one conversion's values; our product would mix two.
        power='in_power{}_input',
        power_units_per_watt=1000,
    ),
    'ina3221': _Layout(
        folders=('hwmon/hwmon*',),
        numbers=range(1, 4),
        labels=('in{}_label',),
        millivolts='in{}_input',
        milliamperes='curr{}_input',
    ),
    'ina238': _Layout(
        folders=('hwmon/hwmon*',),
        numbers=range(1, 2),
        labels=('in{}_label', 'label'),
        millivolts='in{}_input',
        milliamperes='curr{}_input',
        power='power{}_input',
        power_units_per_watt=1_000_000,
        unlabelled=_UNLABELLED,
    ),
}


def find_ina3221(sysfs_root: Path) -> Sensor:
    """
    Find every INA3221 and INA238 of this board.

    Parameters
    ----------
    sysfs_root
        The folder in which sysfs is mounted, usually /sys.

    Raises
    ------
    NoSensorError
        Where there is no monitor, or no channel of one is connected.

    """
    channels = [channel for chip in _chips(sysfs_root) for channel in _channels(chip)]
    if not channels:
        raise NoSensorError(f'no INA3221 or INA238 rail under {sysfs_root / "bus/i2c/drivers"}')
    monitors = [
        [c for c in channels if c.chip == chip] for chip in dict.fromkeys(c.chip for c in channels)
    ]
    labels = {c.rail for c in channels}
    if _VIN not in labels and _has_whole_input(sysfs_root, labels):
        channels = [replace(c, rail=_VIN) if c.rail == _UNLABELLED else c for c in channels]
    count = Counter(channel.rail for channel in channels)
    names = {
        c: c.rail if count[c.rail] == 1 else f'{c.rail}@{c.chip.device.name}' for c in channels
    }
    members, scope = total_of(
        [{c.rail: names[c] for c in chip} for chip in monitors if chip[0].chip.driver != 'ina238'],
        [names[c] for c in channels if (c.chip.driver, c.rail) == ('ina238', _VIN)],
    )
    channels = [replace(c, rail=names[c]) for c in channels]
    chips = dict.fromkeys(f'{c.chip.driver} {c.chip.device.name}' for c in channels)
    rails = [channel.rail for channel in channels]
    reason = f'the board measures itself: {", ".join(chips)}'
    if not members:
        reason += f'; no total is known for the rails {", ".join(rails)}'
    return Sensor('ina3221', reason, tuple(channels), members, scope)


def _has_whole_input(sysfs_root: Path, labels: set[str]) -> bool:
    """Return whether this board has an INA238 in front of it: the AGX Thor alone does."""
    # In a container, the device tree is often masked; the rails are the Thor's own then.
    folders = sysfs_root / 'firmware/devicetree/base', sysfs_root.parent / 'proc/device-tree'
    models = filter(None, (sysfs.word(folder / 'model') for folder in folders))
    model = next(models, None)
    return is_thor(labels) if model is None else 'Thor' in model


@dataclass(frozen=True)
class _Chip:
    """One monitor chip."""

    driver: str
    device: Path

    @property
    def layout(self) -> _Layout:
        return _LAYOUTS[self.driver]

    @cached_property
    def folder(self) -> Path:
        """Its hwmon or IIO folder; may be deleted to look it up again."""
        found = [folder for name in self.layout.folders for folder in self.device.glob(name)]
        if not found:
            raise FileNotFoundError(errno.ENOENT, 'the sensor is gone', str(self.device))
        return min(found)


@dataclass(frozen=True)
class _Channel:
    """
    One channel of a chip.

    Two are equal if chip and number are, so that a channel is known again after its rail's name
    has changed: that depends on the other chips, see `find_ina3221`.
    """

    rail: str = field(compare=False)
    chip: _Chip
    number: int
    shunt_microohms: int | None = field(compare=False)
    check: ReadingCheck = field(compare=False, default_factory=ReadingCheck)

    @property
    def rails(self) -> tuple[str]:
        return (self.rail,)

    def read(self) -> list[Reading]:
        layout = self.chip.layout
        start = time.monotonic()
        try:
            millivolts = self._integer(layout.millivolts)
            milliamperes = self._integer(layout.milliamperes)
            if layout.power is None:
                watts = millivolts * milliamperes / 1_000_000
            else:
                watts = self._integer(layout.power) / layout.power_units_per_watt
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV):
                # Its folder has another number when it comes back.
                vars(self.chip).pop('folder', None)
            return [Reading(self.rail, time.monotonic(), error=str(error))]
        offset_watts = None
        if self.shunt_microohms:
            offset_amps = _SHUNT_OFFSET_MICROVOLTS / self.shunt_microohms
            offset_watts = offset_amps * abs(millivolts) / 1000
        now = (start + time.monotonic()) / 2
        volts, amps = millivolts / 1000, milliamperes / 1000
        reading = Reading(self.rail, now, watts, volts, amps, offset_watts=offset_watts)
        return [self.check.check(reading)]

    def _integer(self, name: str) -> int:
        return sysfs.integer(self.chip.folder / name.format(self.number))


def _chips(sysfs_root: Path) -> Iterator[_Chip]:
    seen = set()
    for driver in _LAYOUTS:
        # Under drivers/ the devices are symbolic links, among files such as bind and uevent.
        for device in sorted((sysfs_root / 'bus/i2c/drivers' / driver).glob('*-*')):
            if _ADDRESS.fullmatch(device.name) and device.resolve() not in seen:
                seen.add(device.resolve())
                yield _Chip(driver, device)


def _channels(chip: _Chip) -> Iterator[_Channel]:
    try:
        folder = chip.folder
    except OSError:
        return
    for number in chip.layout.numbers:

        def word(name: str, number: int = number) -> str | None:
            return sysfs.word(folder / name.format(number))

        label = next(filter(None, map(word, chip.layout.labels)), chip.layout.unlabelled)
        if label is None or label == 'NC' or word('in{}_enable') == '0':
            continue
        shunt = word('shunt{}_resistor')
        microohms = int(shunt) if shunt and shunt.isdecimal() else None
        yield _Channel(label, chip, number, microohms)
