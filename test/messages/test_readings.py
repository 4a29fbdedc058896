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

"""A reading as a status of a DiagnosticArray: what is written reads back, in either library."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
import pytest

from dual_cnn_ros.data.recording import recorded_types
from dual_cnn_ros.messages.readings import (
    find_total,
    from_status,
    PublishedReading,
    rails_message,
)
from dual_cnn_ros.messages.types import installed, MessageTypes
from dual_cnn_ros.power.reading import Reading

finite = st.floats(allow_nan=False, allow_infinity=False)
read = st.none() | finite
published = st.builds(
    PublishedReading,
    reading=st.builds(
        Reading,
        rail=st.text(min_size=1),
        time=finite,
        watts=read,
        volts=read,
        amps=read,
        joules=read,
        offset_watts=read,
        error=st.text(),
    ),
    source=st.text(),
    scope=st.text(),
    period=st.none() | st.floats(1e-6, 1e6),
)


@given(published=published)
def test_round_trip(published: PublishedReading) -> None:
    [status] = rails_message(recorded_types, None, [published]).status
    assert from_status(status) == published


@pytest.mark.parametrize('types', [recorded_types, pytest.param(installed, marks=pytest.mark.ros)])
def test_a_message_is_one_of_ros_or_of_rosbags(types: MessageTypes) -> None:
    stamp = types('builtin_interfaces/msg/Time')(sec=5, nanosec=6)
    header = types('std_msgs/msg/Header')(stamp=stamp, frame_id='')
    total = PublishedReading(Reading('total', 5.0, watts=1.25), 'rapl', 'cpu package', 0.1)
    failed = PublishedReading(Reading('psys', 5.0, error='EIO'), 'rapl')
    message = rails_message(types, header, [failed, total])
    assert isinstance(message, types('diagnostic_msgs/msg/DiagnosticArray'))
    kind = types('diagnostic_msgs/msg/DiagnosticStatus')
    assert [(one.name, one.level, one.message, one.hardware_id) for one in message.status] == [
        ('power_monitor: psys', kind.ERROR, 'EIO', 'rapl'),
        ('power_monitor: total', kind.OK, '1.250 W', 'rapl'),
    ]
    assert find_total(message) is message.status[1]
    assert find_total(rails_message(types, header, [failed])) is None


@pytest.mark.parametrize(
    ('name', 'values', 'message'),
    [
        ('other: A', {'monotonic': '1'}, "'other: A' is not named"),
        ('power_monitor: A', {}, 'monotonic is missing'),
        ('power_monitor: A', {'monotonic': 'x'}, "A': monotonic is no number"),
        ('power_monitor: A', {'monotonic': '1', 'watts': 'nan'}, 'watts is not finite'),
        ('power_monitor: A', {'monotonic': '1', 'period': '0'}, 'period is not above zero'),
    ],
)
def test_a_status_that_is_no_readings_is_named(
    name: str, values: dict[str, str], message: str
) -> None:
    pairs = [SimpleNamespace(key=key, value=value) for key, value in values.items()]
    with pytest.raises(ValueError, match=message):
        from_status(SimpleNamespace(name=name, values=pairs, hardware_id=''))
