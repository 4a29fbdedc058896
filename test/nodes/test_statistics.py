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

"""Counts, rates, shares and latencies of each camera."""

from __future__ import annotations

import pytest

from dual_cnn_ros.nodes import statistics
from dual_cnn_ros.nodes.statistics import RECENT, Statistics


class Clock:
    """Stands for the time module."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of every Statistics made in the test."""
    clock = Clock()
    monkeypatch.setattr(statistics, 'time', clock)
    return clock


def test_statistics_of_a_camera_that_sent_nothing(clock: Clock) -> None:
    summary = Statistics().summary('front', ('memory', 'first'))
    assert summary == {
        'received': 0,
        'classified': 0,
        'dropped': 0,
        'bad': 0,
        'rate_hz': 0.0,
        'share.memory': 0.0,
        'share.first': 0.0,
        'latency_p50_ms': '',
        'latency_p95_ms': '',
    }


def test_statistics_count_each_camera_for_itself(clock: Clock) -> None:
    counted = Statistics()
    for what in ('received', 'received', 'dropped', 'received', 'bad'):
        counted.count('front', what)
    counted.answered('rear', 'first', 0.01)
    front, rear = (counted.summary(camera, ()) for camera in ('front', 'rear'))
    assert [front[name] for name in ('received', 'classified', 'dropped', 'bad')] == [3, 0, 1, 1]
    assert [rear[name] for name in ('received', 'classified', 'dropped', 'bad')] == [0, 1, 0, 0]


def test_rate_is_that_since_the_last_summary(clock: Clock) -> None:
    counted = Statistics()
    for _ in range(30):
        counted.count('front', 'received')
    clock.now += 2.0
    assert counted.summary('front', ())['rate_hz'] == 15.0
    clock.now += 1.0
    assert counted.summary('front', ())['rate_hz'] == 0.0
    counted.count('front', 'received')
    clock.now += 0.5
    assert counted.summary('front', ())['rate_hz'] == 2.0


def test_shares_and_latencies(clock: Clock) -> None:
    counted = Statistics()
    for number in range(100):
        source = 'memory' if number < 50 else 'first' if number < 80 else 'second'
        counted.answered('front', source, 0.001 * number)
    summary = counted.summary('front', ('memory', 'first', 'second'))
    assert [summary[f'share.{source}'] for source in ('memory', 'first', 'second')] == [
        0.5,
        0.3,
        0.2,
    ]
    assert summary['latency_p50_ms'] == pytest.approx(49.5)
    assert summary['latency_p95_ms'] == pytest.approx(94.05)


def test_shares_are_of_recent_frames_only(clock: Clock) -> None:
    counted = Statistics()
    for source in ['second'] * 100 + ['memory'] * RECENT:
        counted.answered('front', source, 0.001)
    summary = counted.summary('front', ('memory', 'second'))
    assert (summary['share.memory'], summary['share.second']) == (1.0, 0.0)
    assert summary['classified'] == RECENT + 100


def test_silence_is_since_the_last_frame_or_the_start(clock: Clock) -> None:
    counted = Statistics()
    clock.now += 3.0
    assert counted.silence('front') == 3.0
    counted.count('front', 'received')
    counted.answered('rear', 'first', 0.001)  # an answer is no sign of life
    clock.now += 1.0
    assert (counted.silence('front'), counted.silence('rear')) == (1.0, 4.0)
