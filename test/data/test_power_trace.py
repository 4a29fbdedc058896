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

"""Recorded readings: what is written reads back, and plays at its own speed."""

from __future__ import annotations

import io
from pathlib import Path
import sys
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores
import sysfs_fixtures as fixtures

from dual_cnn_ros.data import power_trace as recording
from dual_cnn_ros.messages.readings import from_status, PREFIX, to_values
from dual_cnn_ros.power import ina3221
from dual_cnn_ros.power.discover import discover
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
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def csv_file(tmp_path: Path, text: str = CSV) -> Path:
    path = tmp_path / 'trace.csv'
    path.write_text(text)
    return path


def test_csv_plays_at_its_own_speed(tmp_path: Path) -> None:
    clock = Clock()
    clock.now = 5000.0
    sensor = recording.discover(csv_file(tmp_path), clock)
    assert (sensor.source, sensor.members, sensor.scope) == ('recording', ('VDD_IN',), 'module')
    first = sensor.read()
    assert [(r.rail, r.time, r.watts, r.volts) for r in first] == [
        ('VDD_IN', 5000.0, 5.0, 5.1),
        ('VDD_SOC', 5000.0, 1.0, 5.1),
    ]
    assert sensor.read() == []
    clock.now += 0.21
    # However late one asks, each moment comes by itself.
    assert [(r.rail, r.watts) for r in sensor.read()] == [('VDD_IN', 6.0), ('VDD_SOC', 1.5)]
    last = sensor.read()
    assert [(r.rail, r.watts) for r in last] == [('VDD_IN', 7.0)]
    whole = sensor.total(last)
    assert whole is not None and whole.watts == 7.0
    clock.now += 100
    assert sensor.read() == [] and sensor.total([]) is None


def test_rails_of_one_moment_come_together(tmp_path: Path) -> None:
    """Were they let go one by one, a total might be made of two moments."""
    text = 'time,rail,watts,scope\n1.0,A,1,m\n1.01,B,2,m\n2.0,A,3,m\n2.01,B,4,m\n'
    clock = Clock()
    sensor = recording.discover(csv_file(tmp_path, text), clock)
    assert sensor.read() == []
    clock.now = 0.5
    assert [(r.rail, r.time, r.watts) for r in sensor.read()] == [
        ('A', 0.0, 1.0),
        ('B', pytest.approx(0.01), 2.0),
    ]
    clock.now = 1.005
    assert sensor.read() == []
    clock.now = 1.5
    whole = sensor.total(sensor.read())
    assert whole is not None and whole.watts == 7.0


def test_in_recorded_time_each_reading_comes_when_its_time_has_come(tmp_path: Path) -> None:
    clock = Clock()
    sensor = recording.discover(csv_file(tmp_path), clock, moved=False)
    assert sensor.period == pytest.approx(0.1)
    assert sensor.read() == []
    seen = []
    # Nothing before its time, every reading once, again when a loop sets the clock back, and not
    # what the clock was set past.
    for clock.now in (99.9, 100.0, 100.05, 100.21, 100.21, 100.21, 50.0, 100.0, 1e6, 1e6, 1e6):
        seen.append([(r.rail, r.time, r.watts) for r in sensor.read()])
    first = [('VDD_IN', 100.0, 5.0), ('VDD_SOC', 100.0, 1.0)]
    second = [('VDD_IN', 100.1, 6.0), ('VDD_SOC', 100.1, 1.5)]
    last = [('VDD_IN', 100.2, 7.0)]
    assert seen == [[], first, [], second, last, [], [], first, last, [], []]


def test_a_clock_that_jumps_ahead_leaves_out_what_it_jumped_over(tmp_path: Path) -> None:
    rows = ''.join(f'{n}.0,A,{n},m\n' for n in range(200))
    clock = Clock()
    sensor = recording.discover(csv_file(tmp_path, f'time,rail,watts,scope\n{rows}'), clock, False)
    seen = []
    for clock.now in (0.0, 15.0, 15.0, 150.0, 150.0, 151.0):
        seen.append([r.watts for r in sensor.read()])
    assert seen == [[0.0], [1.0], [2.0], [150.0], [], [151.0]]


def test_the_first_remark_says_where_a_recording_comes_from(tmp_path: Path) -> None:
    path = csv_file(tmp_path)
    assert recording.remarks(path) == ['made by hand']
    assert recording.discover(path).reason == 'recorded earlier: trace.csv. made by hand'
    path.write_text(CSV.partition('\n')[2])
    assert recording.discover(path).reason == 'recorded earlier: trace.csv'


def test_a_single_reading_has_no_period(tmp_path: Path) -> None:
    path = csv_file(tmp_path, 'time,rail,watts,scope\n1.0,A,1,m\n')
    assert recording.discover(path, Clock()).period is None


def test_a_recorded_total_is_kept(tmp_path: Path) -> None:
    text = 'time,rail,watts,scope\n1.0,A,1,m\n1.0,total,5,m\n'
    sensor = recording.discover(csv_file(tmp_path, text), Clock())
    whole = sensor.total(sensor.read())
    assert whole is not None and (whole.watts, sensor.scope) == (5.0, 'm')


def test_csv_round_trip(tmp_path: Path) -> None:
    sensor = ina3221.discover(fixtures.build(tmp_path, fixtures.agx_orin()))
    readings = sensor.read()
    file = io.StringIO()
    recording.write_csv(file, sensor, [readings, [Reading('VDD_CPU_CV', 9e9, error='EIO')]])
    clock = Clock()
    played = recording.discover(csv_file(tmp_path, file.getvalue()), clock)
    assert (played.members, played.scope) == (sensor.members, sensor.scope)
    clock.now = 1.0
    for before, after in zip(readings, played.read(), strict=True):
        assert (before.rail, before.watts, before.amps, before.offset_watts) == (
            after.rail,
            after.watts,
            after.amps,
            after.offset_watts,
        )
    clock.now = 1e10
    assert [reading.error for reading in played.read()] == ['EIO']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('time,watts\n', 'no column rail'),
        ('', 'no column rail, time, watts'),
        ('time,rail,watts\n', 'holds no readings'),
        ('time,rail,watts\n1,A,x\n', 'reading 1: watts is no number'),
        ('time,rail,watts\n1,A,1\n,A,1\n', 'reading 2: time is missing'),
        ('time,rail,watts\nnan,A,1\n', 'time is not finite'),
        ('time,rail,watts\n1,A,inf\n', 'watts is not finite'),
        ('time,rail,watts\n1\n', 'reading 1 names no rail'),
    ],
)
def test_csv_errors_name_the_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(NoSensorError, match=message) as error:
        recording.discover(csv_file(tmp_path, text))
    assert 'trace.csv' in str(error.value)


def test_other_errors_name_the_file(tmp_path: Path) -> None:
    (tmp_path / 'binary.csv').write_bytes(b'time,rail,watts\n\xff\xfe\x00')
    for path in (tmp_path / 'binary.csv', tmp_path / 'none.csv', tmp_path / 'none', tmp_path):
        with pytest.raises(NoSensorError, match=path.name):
            discover('recording', tmp_path, path)


# Statuses

finite = st.none() | st.floats(allow_nan=False, allow_infinity=False)


def status(rail: str, values: dict[str, str]) -> SimpleNamespace:
    pairs = [SimpleNamespace(key=key, value=value) for key, value in values.items()]
    return SimpleNamespace(name=PREFIX + rail, values=pairs)


@given(
    reading=st.builds(
        Reading,
        rail=st.text(min_size=1),
        time=st.floats(allow_nan=False, allow_infinity=False),
        watts=finite,
        volts=finite,
        amps=finite,
        joules=finite,
        offset_watts=finite,
        error=st.text(),
    )
)
def test_status_round_trip(reading: Reading) -> None:
    back, values = from_status(status(reading.rail, to_values(reading, 'module')))
    assert back == reading
    assert values['scope'] == 'module'


@pytest.mark.parametrize(
    ('name', 'values', 'message'),
    [
        ('other: A', {'monotonic': '1'}, 'is not named'),
        ('power_monitor: A', {}, 'monotonic is missing'),
        ('power_monitor: A', {'monotonic': 'x'}, "A': monotonic is no number"),
        ('power_monitor: A', {'monotonic': '1', 'watts': 'nan'}, 'watts is not finite'),
    ],
)
def test_status_that_is_not_a_rail(name: str, values: dict[str, str], message: str) -> None:
    wrong = status('', values)
    wrong.name = name
    with pytest.raises(ValueError, match=message):
        from_status(wrong)


# Bags


def bag(path: Path, sensor: Sensor, sets: list[list[Reading]], topics: list[str]) -> Path:
    store = get_typestore(Stores.ROS2_HUMBLE)
    types = {name.split('/')[-1]: kind for name, kind in store.types.items()}
    with Writer(path, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        for topic in topics:
            connection = writer.add_connection(
                topic, 'diagnostic_msgs/msg/DiagnosticArray', typestore=store
            )
            for n, readings in enumerate(sets):
                whole = sensor.total(readings)
                assert whole is not None
                statuses = [
                    types['DiagnosticStatus'](
                        level=0,
                        name=PREFIX + reading.rail,
                        message='',
                        hardware_id='ina3221',
                        values=[
                            types['KeyValue'](key=key, value=value)
                            for key, value in to_values(
                                reading,
                                sensor.scope if reading.rail in (*sensor.members, 'total') else '',
                            ).items()
                        ],
                    )
                    for reading in [*readings, whole]
                ]
                header = store.types['std_msgs/msg/Header'](
                    stamp=store.types['builtin_interfaces/msg/Time'](sec=n, nanosec=0),
                    frame_id='',
                )
                message = types['DiagnosticArray'](header=header, status=statuses)
                data = store.serialize_cdr(message, 'diagnostic_msgs/msg/DiagnosticArray')
                writer.write(connection, n * 10**9, bytes(data))
    return path


def test_bag_of_rails(tmp_path: Path) -> None:
    sensor = ina3221.discover(fixtures.build(tmp_path, fixtures.agx_orin()))
    sets = [sensor.read(), sensor.read()]
    path = bag(tmp_path / 'bag', sensor, sets, ['/power_monitor/rails'])
    clock = Clock()
    played = recording.discover(path, clock)
    # The recorded total counts: a bag may hold some of its rails only.
    assert set(played.rails) == {*sensor.rails, 'total'}
    assert (played.members, played.scope) == (('total',), 'module')
    clock.now = 1e6
    whole = played.total(played.read())
    assert whole is not None and whole.watts == pytest.approx(22.29344)


def test_bag_in_recorded_time_goes_by_the_stamps_of_its_messages(tmp_path: Path) -> None:
    sensor = ina3221.discover(fixtures.build(tmp_path, fixtures.ORIN_NANO))
    path = bag(tmp_path / 'bag', sensor, [sensor.read(), sensor.read()], ['/power_monitor/rails'])
    clock = Clock()
    played = discover('recording', tmp_path, path, clock)
    for clock.now in (0.0, 1.0):
        readings = played.read()
        assert len(readings) == 4 and {reading.time for reading in readings} == {clock.now}


@pytest.mark.parametrize('topics', [[], ['/a/rails', '/b/rails'], ['/a/other']])
def test_bag_needs_exactly_one_topic(tmp_path: Path, topics: list[str]) -> None:
    sensor = ina3221.discover(fixtures.build(tmp_path, fixtures.ORIN_NANO))
    path = bag(tmp_path / 'bag', sensor, [sensor.read()], topics)
    with pytest.raises(NoSensorError, match=r'bag.*exactly one DiagnosticArray topic named rails'):
        recording.discover(path)


def test_a_bag_without_rosbags_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'rosbags.highlevel', None)
    with pytest.raises(NoSensorError, match='pip install rosbags"'):
        recording.discover(tmp_path)
