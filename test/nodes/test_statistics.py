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

"""Counts, rates, shares and latencies of a camera."""

from __future__ import annotations

import pytest

from dual_cnn_ros.nodes import statistics
from dual_cnn_ros.nodes.statistics import COUNTS, RECENT, Statistics


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
    assert Statistics().summary(('memory', 'first')) == {
        **dict.fromkeys(COUNTS, 0),
        'rate_hz': 0.0,
        'share.memory': 0.0,
        'share.first': 0.0,
        'latency_p50_ms': '',
        'latency_p95_ms': '',
    }


def test_frames_are_counted_by_what_becomes_of_them(clock: Clock) -> None:
    counted = Statistics()
    counted.took(0)
    counted.answered('first', 0.01)
    counted.took(2)
    counted.failed('truncated')
    counted.hold()
    counted.took(4)
    summary = counted.summary(())
    assert [summary[name] for name in COUNTS] == [9, 1, 2, 4, 1, 0]


def test_what_was_lost_on_the_way_is_missed_but_was_not_received(clock: Clock) -> None:
    counted = Statistics()
    counted.lost(7)
    for missed in (0, 5, 3):
        counted.took(missed)
    summary = counted.summary(())
    assert [summary[name] for name in ('received', 'dropped', 'lost')] == [4, 1, 7]


def test_newest_is_of_the_last_second_in_which_a_frame_ended(clock: Clock) -> None:
    counted = Statistics()
    counted.answered('first', 0.01)
    counted.failed('truncated')
    counted.lost(7)
    counted.summary(())
    assert counted.newest == (1, 1, 7, 'truncated')
    counted.summary(())  # a slow camera: its last frame still counts, what was lost does not
    assert counted.newest == (1, 1, 0, 'truncated')
    counted.answered('first', 0.01)
    counted.summary(())
    assert counted.newest[:3] == (1, 0, 0)


def test_a_reason_is_logged_once_and_again_when_it_changes(clock: Clock) -> None:
    counted = Statistics()
    assert counted.failed('depth')
    clock.now += 10.0
    assert not counted.failed('depth')
    assert counted.failed('truncated')
    assert not counted.failed('depth')  # so soon after the other one
    clock.now += 5.0
    assert counted.failed('depth')
    counted.answered('first', 0.01)
    clock.now += 5.0
    assert counted.failed('depth')


def test_rate_is_that_since_the_last_summary(clock: Clock) -> None:
    counted = Statistics()
    for frames, seconds, rate in ((30, 2.0, 15.0), (0, 1.0, 0.0), (1, 0.5, 2.0)):
        for _ in range(frames):
            counted.took(0)
        clock.now += seconds
        assert counted.summary(())['rate_hz'] == rate


def test_frames_that_are_not_wanted_are_neither_silence_nor_a_lower_rate(clock: Clock) -> None:
    counted = Statistics()
    counted.took(0)
    counted.summary(())
    for _ in range(3):
        clock.now += 1.0
        counted.hold()
        assert counted.silence() == 0.0
        counted.summary(())
    counted.took(89)
    assert counted.summary(())['rate_hz'] == 30.0
    clock.now += 1.0
    assert counted.silence() == 1.0 and counted.summary(())['rate_hz'] == 0.0


def test_shares_and_latencies_are_of_recent_frames_only(clock: Clock) -> None:
    counted = Statistics()
    for _ in range(100):
        counted.answered('forgotten', 9.0)
    for number in range(RECENT):
        share = number / RECENT
        source = 'memory' if share < 0.5 else 'first' if share < 0.8 else 'second'
        counted.answered(source, 0.001 * number)
    sources = ('forgotten', 'memory', 'first', 'second')
    summary = counted.summary(sources)
    assert summary['classified'] == RECENT + 100
    assert [summary[f'share.{source}'] for source in sources] == [0.0, 0.5, 0.3, 0.2]
    assert summary['latency_p50_ms'] == pytest.approx(249.5)
    assert summary['latency_p95_ms'] == pytest.approx(474.05)


def test_silence_is_since_the_last_frame_or_the_start(clock: Clock) -> None:
    counted = Statistics()
    clock.now += 3.0
    counted.answered('first', 0.001)  # an answer is no sign of life
    assert counted.silence() == 3.0
    counted.took(0)
    clock.now += 1.0
    assert counted.silence() == 1.0
