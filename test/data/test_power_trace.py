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

"""Power traces: what is written reads back, and plays at its own speed."""

from __future__ import annotations

import io
from itertools import product
from pathlib import Path
import sys

import pytest
import sysfs_fixtures as fixtures

from dual_cnn_ros.data import power_trace
from dual_cnn_ros.data.power_trace import open_power_trace, remarks, write_power_trace
from dual_cnn_ros.data.recording import NANOSECONDS, recorded_header, recorded_types, Recorder
from dual_cnn_ros.messages.readings import PublishedReading, rails_message
from dual_cnn_ros.power.ina3221 import find_ina3221
from dual_cnn_ros.power.reading import NoSensorError, Reading, Sensor

CSV = """# made by hand
time,rail,watts,volts,scope
100.0,VDD_IN,5.0,5.1,module
100.0,VDD_SOC,1.0,5.1,
100.1,VDD_IN,6.0,5.1,module
100.1,VDD_SOC,1.5,5.1,
100.2,VDD_IN,7.0,5.1,module
"""


class Clock:
    """A clock that the test moves, in place of the monotonic one and of one of a recording."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    monotonic = __call__


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(power_trace, 'time', clock)
    return clock


@pytest.fixture
def board(tmp_path: Path) -> Sensor:
    return find_ina3221(fixtures.build(tmp_path, fixtures.agx_orin()))


def csv_file(tmp_path: Path, text: str = CSV) -> Path:
    path = tmp_path / 'trace.csv'
    path.write_text(text)
    return path


def play(sensor: Sensor, clock: Clock, *moments: float) -> list[list[float | None]]:
    """Return the watts that each read gives, at these times of the clock."""
    seen = []
    for clock.now in moments:
        seen.append([reading.watts for reading in sensor.read()])
    return seen


def test_from_now_on_it_plays_at_its_own_speed(tmp_path: Path, clock: Clock) -> None:
    clock.now = 5000.0
    sensor = open_power_trace(csv_file(tmp_path))
    assert (sensor.source, sensor.members, sensor.scope) == ('recording', ('VDD_IN',), 'module')
    assert sensor.period == pytest.approx(0.1)
    assert {(reading.rail, reading.time) for reading in sensor.read()} == {
        ('VDD_IN', 5000.0),
        ('VDD_SOC', 5000.0),
    }
    # However late it is asked, each moment comes by itself.
    assert play(sensor, clock, 5000.0, 5000.21, 5000.21, 5100.0) == [[], [6.0, 1.5], [7.0], []]


@pytest.mark.parametrize(
    ('rows', 'moments', 'seen'),
    [
        # The rails of one moment come together: one by one, a total might be made of two moments.
        (
            '1.0,A,1,m\n1.01,B,2,m\n2.0,A,3,m\n2.01,B,4,m\n',
            (0.0, 1.005, 1.01, 2.005, 2.01),
            [[], [], [1.0, 2.0], [], [3.0, 4.0]],
        ),
        # Each reading comes once its time has come, and again when a loop sets the clock back.
        (
            '100.0,A,5,m\n100.1,A,6,m\n100.2,A,7,m\n',
            (0.0, 99.9, 100.0, 100.05, 100.21, 100.21, 100.21, 50.0, 100.0),
            [[], [], [5.0], [], [6.0], [7.0], [], [], [5.0]],
        ),
        # What a clock that is set ahead jumps over is left out, what a late read missed is not.
        (
            ''.join(f'{n}.0,A,{n},m\n' for n in range(200)),
            (0.0, 15.0, 15.0, 150.0, 150.0, 151.0),
            [[0.0], [1.0], [2.0], [150.0], [], [151.0]],
        ),
    ],
)
def test_in_recorded_time_it_follows_the_clock(
    tmp_path: Path,
    clock: Clock,
    rows: str,
    moments: tuple[float, ...],
    seen: list[list[float | None]],
) -> None:
    sensor = open_power_trace(csv_file(tmp_path, f'time,rail,watts,scope\n{rows}'), clock)
    assert play(sensor, clock, *moments) == seen


def test_the_first_remark_says_where_a_trace_comes_from(tmp_path: Path) -> None:
    path = csv_file(tmp_path)
    assert remarks(path) == ['made by hand']
    assert open_power_trace(path).reason == 'recorded earlier: trace.csv. made by hand'
    path.write_text(CSV.partition('\n')[2])
    assert open_power_trace(path).reason == 'recorded earlier: trace.csv'


def test_a_recorded_total_is_kept_and_a_single_moment_has_no_period(tmp_path: Path) -> None:
    text = 'time,rail,watts,scope\n1.0,A,1,m\n1.0,total,5,m\n'
    sensor = open_power_trace(csv_file(tmp_path, text))
    assert (sensor.members, sensor.scope, sensor.period) == (('total',), 'm', None)


def test_csv_round_trip(tmp_path: Path, clock: Clock, board: Sensor) -> None:
    sets = [board.read(), [Reading('VDD_CPU_CV', 9e9, error='EIO')]]
    file = io.StringIO()
    write_power_trace(file, board, sets)
    clock.now = sets[0][-1].time
    played = open_power_trace(csv_file(tmp_path, file.getvalue()), clock)
    assert (played.members, played.scope) == (board.members, board.scope)
    assert played.read() == sets[0]
    clock.now = 1e10
    assert played.read() == sets[1]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('time,watts\n', 'no column rail'),
        ('', 'no column rail, time, watts'),
        ('time,rail,watts\n', 'holds no readings'),
        ('time,rail,watts\n1,A,x\n', 'reading 1: watts is no number'),
        ('time,rail,watts\n1,A,1\n,A,1\n', 'reading 2: time is missing'),
        ('time,rail,watts\n1\n', 'reading 1 names no rail'),
        ('time;rail;watts\n1,5;A;2,0\n', "separated by ';'; save it with commas"),
        ('time\trail\twatts\n1\tA\t2\n', r"separated by '\\t'"),
        ('time,rail,watts\n1,5,A,2,0\n', 'reading 1 has 5 values in 3 columns; numbers need a'),
        ('time,rail,watts\n"1,5",A,2\n', "reading 1: time is no number: '1,5'"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(NoSensorError, match=f'trace.csv.*{message}'):
        open_power_trace(csv_file(tmp_path, text))


@pytest.mark.parametrize(
    'written',
    [
        CSV.encode('utf-8-sig'),
        CSV.replace('\n', '\r\n').encode('utf-8-sig'),
        CSV.replace('\n', '\r').encode(),
        CSV.replace(',', ' , ').encode(),
        f'{CSV}\n \n,,,,\n\n'.encode(),
        CSV.replace('\n', ',,\n').encode(),
    ],
)
def test_as_editors_and_spreadsheets_write_it(
    tmp_path: Path, clock: Clock, written: bytes
) -> None:
    path = csv_file(tmp_path)
    expected = open_power_trace(path, clock)
    path.write_bytes(written)
    sensor = open_power_trace(path, clock)
    assert sensor.reason.startswith('recorded earlier: trace.csv. made by hand')
    clock.now = 1e6
    assert sensor.scope == 'module'
    for _ in range(3):
        assert sensor.read() == expected.read()


def test_what_is_no_trace_is_named(tmp_path: Path) -> None:
    (tmp_path / 'binary.csv').write_bytes(b'time,rail,watts\n\xff\xfe\x00')
    for path in (tmp_path / 'binary.csv', tmp_path / 'none.csv', tmp_path / 'none', tmp_path):
        with pytest.raises(NoSensorError, match=path.name):
            open_power_trace(path)


# Bags


RAILS = '/power_monitor/rails'


def bag(path: Path, sensor: Sensor, *topics: str) -> Path:
    """Write two moments of a sensor, of which the messages are stamped 0 s and 1 s."""
    with Recorder(path) as recorder:
        for topic, second in product(topics, range(2)):
            readings = sensor.read()
            total = sensor.total(readings)
            assert total is not None
            published = [PublishedReading(one, 'ina3221', 'module') for one in [*readings, total]]
            header = recorded_header(second * NANOSECONDS, '')
            message = rails_message(recorded_types, header, published)
            kind = 'diagnostic_msgs/msg/DiagnosticArray'
            recorder.write(topic, kind, second * NANOSECONDS, message)
    return path


def test_bag_of_rails(tmp_path: Path, clock: Clock, board: Sensor) -> None:
    played = open_power_trace(bag(tmp_path / 'bag', board, RAILS))
    # The recorded total counts: a bag may hold some of its rails only.
    assert set(played.rails) == {*board.rails, 'total'}
    assert (played.members, played.scope) == (('total',), 'module')
    clock.now = 1e6
    total = played.total(played.read())
    assert total is not None and total.watts == pytest.approx(22.29344)


def test_bag_in_recorded_time_goes_by_the_stamps_of_its_messages(
    tmp_path: Path, clock: Clock, board: Sensor
) -> None:
    played = open_power_trace(bag(tmp_path / 'bag', board, RAILS), clock)
    for clock.now in (0.0, 1.0):
        readings = played.read()
        assert len(readings) == 5 and {reading.time for reading in readings} == {clock.now}


@pytest.mark.parametrize('topics', [[], ['/a/rails', '/b/rails'], ['/a/other']])
def test_bag_needs_exactly_one_topic(tmp_path: Path, board: Sensor, topics: list[str]) -> None:
    with pytest.raises(NoSensorError, match=r'bag.*exactly one DiagnosticArray topic named rails'):
        open_power_trace(bag(tmp_path / 'bag', board, *topics))


def test_a_bag_without_rosbags_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'rosbags.rosbag2', None)
    (tmp_path / 'drive.mcap').write_bytes(b'')
    with pytest.raises(NoSensorError, match='pip install rosbags'):
        open_power_trace(tmp_path)
