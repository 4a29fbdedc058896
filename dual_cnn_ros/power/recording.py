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
Earlier readings played back as a sensor: a CSV file, or a bag of a power node's rails.

The CSV has one row per rail and moment, with the columns time [s], rail and watts, and volts,
amps, joules, offset_watts, scope and error where they are known. A rail with a scope is part of
the total. Lines that begin with # are remarks, such as how the recording was made.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
import csv
from dataclasses import replace
from pathlib import Path
import time
from typing import Any, TextIO

from dual_cnn_ros.power.message import from_status, from_values, to_values
from dual_cnn_ros.power.reading import NoSensorError, Reading, Sensor, TOTAL

Clock = Callable[[], float]


def discover(path: Path, clock: Clock = time.monotonic) -> Sensor:
    """
    Open a recording and start playing it, at its own speed, from now.

    Each channel gives its newest reading that has not been given yet, with its time moved to
    `clock`, and nothing once the recording has ended. Raises NoSensorError, with the file and the
    line or topic, where it cannot be read or holds no reading.
    """
    rails: dict[str, list[Reading]] = {}
    scopes: dict[str, str] = {}
    try:
        for reading, scope in _csv(path) if path.suffix == '.csv' else _bag(path):
            if reading.rail != TOTAL:
                rails.setdefault(reading.rail, []).append(reading)
                scopes[reading.rail] = scope
    except (OSError, UnicodeError, csv.Error) as error:
        raise NoSensorError(f'the recording {path}: {error}') from None
    if not rails:
        raise NoSensorError(f'the recording {path} holds no readings')
    for readings in rails.values():
        readings.sort(key=lambda reading: reading.time)
    shift = clock() - min(readings[0].time for readings in rails.values())
    channels = tuple(_Channel(rail, readings, shift, clock) for rail, readings in rails.items())
    members = tuple(rail for rail in rails if scopes[rail])
    return Sensor(
        'recording',
        f'recorded earlier: {path.name}',
        channels,
        members,
        scopes[members[0]] if members else '',
    )


def write_csv(file: TextIO, sensor: Sensor, sets: Iterable[Iterable[Reading]]) -> None:
    """Write sets of readings of a sensor as they come."""
    writer: csv.DictWriter[str] | None = None
    for readings in sets:
        for reading in readings:
            values = to_values(reading, sensor.scope if reading.rail in sensor.members else '')
            row = {'time': values.pop('monotonic'), 'rail': reading.rail, **values}
            if writer is None:
                writer = csv.DictWriter(file, list(row), lineterminator='\n')
                writer.writeheader()
            writer.writerow(row)


class _Channel:
    def __init__(self, rail: str, readings: list[Reading], shift: float, clock: Clock) -> None:
        self.rail = rail
        self._readings = readings
        self._times = [reading.time + shift for reading in readings]
        self._clock = clock
        self._given = 0

    def read(self) -> Reading | None:
        reached = bisect_right(self._times, self._clock())
        if reached == self._given:
            return None
        self._given = reached
        return replace(self._readings[reached - 1], time=self._times[reached - 1])


def _csv(path: Path) -> Iterator[tuple[Reading, str]]:
    with path.open(newline='', encoding='utf-8') as file:
        rows = csv.DictReader(line for line in file if not line.startswith('#'))
        missing = {'time', 'rail', 'watts'} - set(rows.fieldnames or ())
        if missing:
            raise NoSensorError(f'no column {", ".join(sorted(missing))} in its first line')
        for number, row in enumerate(rows, 1):
            if not row['rail']:
                raise NoSensorError(f'reading {number} names no rail')
            try:
                yield from_values(row['rail'], row, 'time'), row.get('scope') or ''
            except ValueError as error:
                raise NoSensorError(f'reading {number}: {error}') from None


def _bag(path: Path) -> Iterator[tuple[Reading, str]]:
    try:
        from rosbags.highlevel import AnyReader, AnyReaderError
        from rosbags.typesys import get_typestore, Stores
    except ImportError:
        raise NoSensorError('a bag needs the Python package rosbags') from None
    try:
        with AnyReader([path], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
            rails = [
                connection
                for connection in reader.connections
                if connection.topic.endswith('/rails')
                and connection.msgtype == 'diagnostic_msgs/msg/DiagnosticArray'
            ]
            if len({connection.topic for connection in rails}) != 1:
                found = ', '.join(sorted(c.topic for c in rails)) or 'none'
                raise NoSensorError(
                    f'needs exactly one DiagnosticArray topic named rails, has {found}'
                )
            for connection, _, data in reader.messages(rails):
                message: Any = reader.deserialize(data, connection.msgtype)
                for status in message.status:
                    try:
                        reading, values = from_status(status)
                    except ValueError as error:
                        raise NoSensorError(f'{connection.topic}: {error}') from None
                    yield reading, values.get('scope', '')
    except AnyReaderError as error:
        raise NoSensorError(str(error)) from None
