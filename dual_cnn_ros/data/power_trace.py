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
Power traces: earlier readings from a file, played as a sensor.

A trace is a CSV file, or a bag of a power node's topic `rails`. The CSV has one row for each rail
and moment, with the columns time [s], rail and watts, and volts, amps, joules, offset_watts, scope
and error where they are known. A rail with a scope is part of the total, unless there are rows of
a rail "total". Lines that begin with # are remarks; the first says how the trace was made, and is
repeated in the sensor's reason.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
import csv
from dataclasses import replace
import io
from itertools import chain, pairwise, takewhile
from pathlib import Path
import re
from statistics import median
import time
from typing import TextIO

from dual_cnn_ros.files import EncodingError, read_text
from dual_cnn_ros.messages.readings import from_status, from_values, to_values
from dual_cnn_ros.opencv import pip_install
from dual_cnn_ros.power.plausibility import ReadingCheck
from dual_cnn_ros.power.reading import NoSensorError, Reading, Sensor, TOTAL

# A clock that has moved on by more moments or seconds than these since the last read was set
# ahead: the readings that it jumped over are left out.
_MOST_BEHIND = 1000
_LONGEST_CLOCK_STEP = 20.0
_COLUMNS = ['time', 'rail', 'watts', 'volts', 'amps', 'joules', 'offset_watts', 'scope', 'error']
# The readings of one moment, each with its scope.
_Rows = list[tuple[Reading, str]]


def open_power_trace(path: Path, clock: Callable[[], float] | None = None) -> Sensor:
    """
    Open a power trace and start playing it.

    Parameters
    ----------
    path
        A CSV file, or a bag.
    clock
        Returns the time at which the trace is played, in seconds of its own readings (of a bag,
        of the stamps of its messages). Each reading is due when the clock has reached it, and
        again after the clock was set back. None: the trace is played from now on at its own
        speed, and the times of its readings are moved to the monotonic clock.

    Returns
    -------
    Sensor
        Each read of it gives the readings of the next moment, or nothing while none is due. Its
        total is the recorded one, or else the sum of the rails that have a scope.

    Raises
    ------
    NoSensorError
        Where the trace cannot be read or holds no reading; names the file, and the reading or
        topic.

    """
    scopes: dict[str, str] = {}
    sets: list[list[Reading]] = []
    reason = f'recorded earlier: {path.name}'
    try:
        if path.suffix == '.csv':
            reason = '. '.join([reason, *remarks(path)[:1]])
            read = _csv(path)
        else:
            read = _bag(path, stamped=clock is not None)
        for rows in read:
            scopes.update((reading.rail, scope) for reading, scope in rows)
            sets.append([reading for reading, _ in rows])
    except (OSError, EncodingError, csv.Error) as error:
        raise NoSensorError(f'the recording {path}: {error}') from None
    if not scopes:
        raise NoSensorError(f'the recording {path} holds no readings')
    scoped = tuple(rail for rail, scope in scopes.items() if scope)
    members = (TOTAL,) if TOTAL in scopes else scoped
    channel = _Channel(tuple(scopes), sets, clock)
    return Sensor(
        'recording',
        reason,
        (channel,),
        members,
        scopes[members[0]] if members else '',
        channel.period,
    )


def remarks(path: Path) -> list[str]:
    """Return the remarks at the beginning of a CSV, without the #."""
    lines = read_text(path).splitlines()
    return [line[1:].strip() for line in takewhile(lambda line: line.startswith('#'), lines)]


def write_power_trace(
    file: TextIO, sensor: Sensor, sets: Iterable[Iterable[Reading]], remarks: Iterable[str] = ()
) -> None:
    """
    Write a CSV.

    Parameters
    ----------
    file
        To write to.
    sensor
        Whose readings they are.
    sets
        Of each moment, the readings.
    remarks
        Lines to begin with; the first says how the trace was made.

    """
    file.writelines(f'# {remark}\n' for remark in remarks)
    writer = csv.DictWriter(file, _COLUMNS, lineterminator='\n')
    writer.writeheader()
    for reading in chain.from_iterable(sets):
        scope = sensor.scope if reading.rail in sensor.members else ''
        writer.writerow({'rail': reading.rail, **to_values(reading, scope)})


class _Channel:
    """All rails of a trace; `sets` are the readings of one moment each."""

    def __init__(
        self,
        rails: tuple[str, ...],
        sets: list[list[Reading]],
        clock: Callable[[], float] | None,
    ) -> None:
        self.rails = rails
        self._sets = sorted((one for one in sets if one), key=_moment)
        self._checks = {rail: ReadingCheck(rail == TOTAL) for rail in rails}
        self._clock = clock or time.monotonic
        begun = min(reading.time for reading in self._sets[0])
        self._shift = self._clock() - begun if clock is None else 0.0
        self._moments = [_moment(one) + self._shift for one in self._sets]
        self._asked = self._clock()
        self._given = 0

    @property
    def period(self) -> float | None:
        """The usual time between readings, seconds; None for a single one."""
        steps = [later - sooner for sooner, later in pairwise(self._moments) if later > sooner]
        return round(median(steps), 6) if steps else None

    def read(self) -> list[Reading]:
        asked, self._asked = self._asked, self._clock()
        reached = bisect_right(self._moments, self._asked)
        if self._asked < asked:
            self._given = max(0, reached - 1)
        elif self._asked > asked + _LONGEST_CLOCK_STEP or reached > self._given + _MOST_BEHIND:
            # The clock was set ahead: what it jumped over belongs to no time that was played.
            self._given = max(self._given, reached - 1)
        if self._given >= reached:
            return []
        self._given += 1
        return [
            self._checks[reading.rail].check(replace(reading, time=reading.time + self._shift))
            for reading in self._sets[self._given - 1]
        ]


def _moment(readings: list[Reading]) -> float:
    return max(reading.time for reading in readings)


def _csv(path: Path) -> Iterator[_Rows]:
    lines = (line for line in io.StringIO(read_text(path), newline='') if not line.startswith('#'))
    table = csv.reader(lines, skipinitialspace=True)
    columns = [name.strip() for name in next(table, [])]
    if len(columns) == 1 and (separator := re.search('[;\t]', columns[0])):
        raise NoSensorError(
            f'its columns are separated by {separator[0]!r}; save it with commas, and with points '
            'in its numbers'
        )
    missing = {'time', 'rail', 'watts'} - set(columns)
    if missing:
        raise NoSensorError(f'no column {", ".join(sorted(missing))} in its first line')
    rows: dict[str, tuple[Reading, str]] = {}
    written = ([value.strip() for value in row] for row in table)
    for number, row in enumerate(filter(any, written), 1):
        if any(row[len(columns) :]):
            raise NoSensorError(
                f'reading {number} has {len(row)} values in {len(columns)} columns; numbers need '
                'a point, not a comma'
            )
        values = dict(zip(columns, row, strict=False))
        if not values.get('rail'):
            raise NoSensorError(f'reading {number} names no rail')
        try:
            reading = from_values(values['rail'], values)
        except ValueError as error:
            raise NoSensorError(f'reading {number}: {error}') from None
        # The next moment begins where a rail comes again.
        if reading.rail in rows:
            yield list(rows.values())
            rows.clear()
        rows[reading.rail] = reading, values.get('scope', '')
    yield list(rows.values())


def _bag(path: Path, stamped: bool) -> Iterator[_Rows]:
    # Imports OpenCV, which a sensor or a CSV is read without.
    from dual_cnn_ros.data.recording import Recording, RecordingError

    try:
        with Recording(path) as recording:
            rails = sorted(
                topic.name
                for topic in recording.topics.values()
                if topic.name.endswith('/rails')
                and topic.type == 'diagnostic_msgs/msg/DiagnosticArray'
            )
            if len(rails) != 1:
                raise NoSensorError(
                    'needs exactly one DiagnosticArray topic named rails, '
                    f'has {", ".join(rails) or "none"}'
                )
            for message in recording.messages(rails):
                array = message.decode()
                try:
                    published = [from_status(status) for status in array.status]
                except ValueError as error:
                    raise NoSensorError(f'{message.topic}: {error}') from None
                rows = [(one.reading, one.scope) for one in published]
                if stamped:
                    stamp = array.header.stamp.sec + array.header.stamp.nanosec * 1e-9
                    rows = [(replace(reading, time=stamp), scope) for reading, scope in rows]
                yield rows
    except ImportError:
        raise NoSensorError(
            f'a bag needs rosbags; install it with "{pip_install("rosbags")}"'
        ) from None
    except RecordingError as error:
        raise NoSensorError(str(error)) from None
