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

"""The energy account: what is late, missing, out of order or begins again."""

from __future__ import annotations

import pickle

import pytest
from tiny_bundle import STAGES

from dual_cnn_ros.energy.account import Account
from dual_cnn_ros.energy.attribution import InseparableError
from dual_cnn_ros.power.reading import Reading


class Robot:
    """Ten readings a second; while it works, as many decisions, 'memory' and 'first' in turn."""

    def __init__(self, window: float = 1.0) -> None:
        self.account = Account(window)
        self.now = 0.0
        self.stamp = 1000.0

    def read(self, watts: float | None = 10.0, error: str = '', period: float = 0.1) -> bool:
        """Give a reading of now, then let the time until the next one pass."""
        reading = Reading('total', self.now, watts=watts, error=error)
        was_reset = self.account.add_reading(self.stamp, reading, period)
        self.skip(period)
        return was_reset

    def skip(self, seconds: float) -> None:
        self.now += seconds
        self.stamp += seconds

    def rest(self, seconds: float, watts: float = 10.0) -> None:
        for _ in range(round(seconds * 10)):
            self.read(watts)

    def work(self, seconds: float, watts: float = 10.0) -> None:
        for n in range(round(seconds * 10)):
            self.read(watts)
            source = 'first' if n % 2 else 'memory'
            self.account.add_decision(self.stamp - 0.07, source, {source: 0.01 * (1 + n % 3)})

    def measure_idle(self, watts: float) -> None:
        self.rest(2.0, watts)
        self.account.measure_idle(5.0)
        self.rest(8.0, watts)


@pytest.fixture
def robot() -> Robot:
    return Robot()


def test_energy_and_frames(robot: Robot) -> None:
    robot.rest(10.0)
    robot.work(20.0)
    robot.rest(10.0)
    account = robot.account
    assert account.energy.joules == pytest.approx(399.0)
    assert account.decisions == 200
    # Windows from the first decision's to the last one's.
    assert account.joules_per_frame == pytest.approx(1.0)
    assert account.net is None and account.net_joules_per_frame is None
    decisions = {name: source.decisions for name, source in account.sources.items()}
    assert decisions == {'memory': 100, 'first': 100}
    assert account.mean_busy_seconds('first') == pytest.approx({'first': 0.02}, rel=0.02)
    account.reset()
    robot.work(5.0, 2.0)
    assert account.energy.joules == pytest.approx(9.8)
    assert account.joules_per_frame == pytest.approx(0.2)


def test_a_pause_between_decisions_counts(robot: Robot) -> None:
    robot.work(5.0)
    robot.rest(5.0)
    robot.work(5.0)
    robot.rest(5.0)
    assert robot.account.joules_per_frame == pytest.approx(1.5)


# Idle power


def test_energy_above_the_mean_idle_power(robot: Robot) -> None:
    robot.measure_idle(4.0)
    robot.work(50.0)
    robot.measure_idle(4.2)
    idle, net = robot.account.idle, robot.account.net
    assert idle is not None and idle.watts == pytest.approx(4.1)
    assert idle.standard_error_watts == pytest.approx(0.1)
    assert net is not None and net.net_joules == pytest.approx(50 * 5.9, rel=0.02)
    assert robot.account.net_joules_per_frame == pytest.approx(0.59, rel=0.02)


# What a robot does in turn; a number is a rest at so many watts, in which the idle power is
# measured.
WORK, RESET = 'work', 'reset'


@pytest.mark.parametrize(
    ('life', 'before', 'after'),
    [
        # Without decisions, too, a second rest is that after the load.
        ((4.0, 4.2), 4.0, 4.2),
        ((4.0, WORK, 4.2), 4.0, 4.2),
        ((4.0, WORK, 4.2, RESET), 4.2, None),
        # In another power mode: the rest comes before the load, so it replaces the idle power.
        ((4.0, WORK, RESET, 6.0), 6.0, None),
        ((4.0, WORK, RESET, 6.0, WORK, 6.2), 6.0, 6.2),
        ((4.0, RESET, WORK, 4.2), 4.0, 4.2),
    ],
)
def test_idle_power_before_and_after_a_load(
    robot: Robot, life: tuple[float | str, ...], before: float, after: float | None
) -> None:
    for event in life:
        if event == RESET:
            robot.account.reset()
        elif event == WORK:
            robot.work(20.0)
        else:
            robot.measure_idle(float(event))
    idle = robot.account.idle
    assert idle is not None and idle.before.mean_watts == pytest.approx(before)
    found = idle.after.mean_watts if idle.after else None
    assert found == (None if after is None else pytest.approx(after))


def test_a_rest_is_refused_where_it_tells_no_idle_power(robot: Robot) -> None:
    account = robot.account
    with pytest.raises(ValueError, match='no power readings yet'):
        account.measure_idle(5.0)
    robot.rest(1.0)
    account.measure_idle(5.0)
    assert account.idle_note == 'being measured for 5 s'
    robot.work(10.0)
    assert 'refused: 49 decisions were made' in account.idle_note
    robot.rest(1.0)
    account.measure_idle(5.0)
    robot.skip(3.0)
    robot.rest(10.0)
    assert 'refused: readings covered only' in account.idle_note
    account.measure_idle(5.0)
    robot.now = 0.0
    robot.rest(1.0)
    assert account.idle_note.startswith('refused: the clock of the readings was reset')
    assert account.idle is None


def test_a_rest_is_refused_where_its_error_cannot_be_told(robot: Robot) -> None:
    account = robot.account
    notes = []
    for seconds in (5.0, 10.0):
        robot.read(period=1.0)
        account.measure_idle(seconds)
        for _ in range(14):
            robot.read(period=1.0)
        notes.append(account.idle_note)
    assert notes[0] == (
        'refused: 6 readings are too few to tell its standard error; set idle_s to at least 10'
    )
    assert notes[1].startswith('10.000 W')


# Decisions without readings, and readings that do not follow each other


def test_decisions_before_and_after_the_readings_are_unmatched(robot: Robot) -> None:
    robot.account.add_decision(900.0, 'first', {'first': 0.1})
    robot.rest(10.0)
    robot.account.add_decision(1001.0, 'first', {'first': 0.1})
    assert (robot.account.decisions, robot.account.unmatched) == (0, 2)


def test_an_absent_power_node_costs_no_memory(robot: Robot) -> None:
    for n in range(30_000):
        robot.account.add_decision(n / 30, 'first', {'first': 0.01})
    assert (robot.account.waiting, robot.account.unmatched) == (10_000, 20_000)


def test_a_decision_stamped_in_the_far_future_blocks_no_other(robot: Robot) -> None:
    robot.account.add_decision(1e9, 'first', {'first': 0.01})
    robot.work(10.0)
    assert robot.account.decisions >= 80


@pytest.mark.parametrize(
    ('time', 'stamp', 'out_of_order'),
    [(-0.2, -0.2, 1), (-0.9, -0.9, 1), (-1.5, -1.5, 1), (-30.0, -30.0, 1), (0.0, -500.0, 0)],
)
def test_a_single_reading_of_an_earlier_time_begins_nothing_anew(
    robot: Robot, time: float, stamp: float, out_of_order: int
) -> None:
    """It was delivered late, or its stamp is off."""
    robot.work(60.0)
    now, stamp_now = robot.now, robot.stamp
    robot.now, robot.stamp = now + time, stamp_now + stamp
    assert not robot.read()
    robot.now, robot.stamp = now + 0.1, stamp_now + 0.1
    robot.work(60.0)
    energy = robot.account.energy
    assert (energy.out_of_order, energy.restarts) == (out_of_order, 0)
    assert energy.window_seconds == pytest.approx(120.0)
    assert energy.joules == pytest.approx(1200.0)
    assert robot.account.unmatched == 0


@pytest.mark.parametrize('later', [0.0, 30.0])
def test_a_recording_that_begins_again(robot: Robot, later: float) -> None:
    """A loop resets both clocks; a machine that was restarted only the monotonic one."""
    robot.work(20.0)
    robot.now, robot.stamp = 0.0, 1000.0 + later
    assert [robot.read(), robot.read()] == [False, True]
    robot.work(19.8)
    energy = robot.account.energy
    assert energy.restarts == 1 and energy.out_of_order == 0
    assert energy.measured_joules == pytest.approx(398.0)
    assert robot.account.decisions == pytest.approx(370, abs=25)
    # The time for which the machine was away counts as a gap.
    assert (energy.coverage > 0.95) is (later == 0.0)
    assert (robot.account.joules_per_frame is not None) is (later == 0.0)


# Gaps


def test_a_gap_leaves_its_windows_out(robot: Robot) -> None:
    robot.work(5.0)
    robot.skip(1.5)
    robot.work(5.0)
    account = robot.account
    # 4.9 s to 6.5 s: the windows of which a part is missing are [4, 5), [5, 6) and [6, 7).
    assert account.uncovered_windows == 3
    assert account.energy.joules is None and account.energy.measured_joules == pytest.approx(98.0)
    assert account.joules_per_frame is None
    with pytest.raises(InseparableError, match='cover only 70.0%'):
        account.fit()
    # Of longer work the same gap is less than a twentieth.
    robot.work(70.0)
    assert account.uncovered_windows == 3 and account.coverage > 0.95
    assert account.joules_per_frame == pytest.approx(1.0, rel=0.02)


def test_a_long_silence_counts_as_the_windows_that_it_took(robot: Robot) -> None:
    robot.work(100.0)
    robot.skip(900.0)
    robot.work(100.0)
    account = robot.account
    assert account.uncovered_windows == pytest.approx(900, abs=2)
    assert account.coverage == pytest.approx(account.energy.coverage, abs=0.01)
    assert account.joules_per_frame is None and account.net_joules_per_frame is None


def test_readings_too_rare_for_the_windows_say_so() -> None:
    robot = Robot(window=2.0)
    for _ in range(20):
        robot.read(period=10.0)
    assert robot.account.energy.joules == pytest.approx(1900)
    assert 'every 10 s cover 0% of the windows of 2 s' in robot.account.obstacle


def test_hours_of_readings_and_decisions_do_not_grow() -> None:
    robot, sizes = Robot(window=2.0), []
    for _ in range(3):
        for _ in range(3600):
            robot.read(period=1.0)
            robot.account.add_decision(robot.stamp - 0.5, 'first', {'first': 0.01})
        sizes.append(len(pickle.dumps(robot.account)))
    assert max(sizes) - min(sizes) < 2000


def test_baselines_are_all_stages_and_the_last_one() -> None:
    account = Account(1.0)
    with pytest.raises(InseparableError, match='no decision yet'):
        account.baseline_busy_seconds('always_all')
    # Each stage takes a hundredth of a second more than the one before.
    for n in range(400):
        time = n * 0.1
        account.add_reading(time, Reading('total', time, watts=4.0), 0.1)
        if n >= 100 and n % 3 == 0:
            asked = STAGES[: 1 + n // 3 % 3]
            busy = {name: 0.01 * (place + 1) for place, name in enumerate(asked)}
            account.add_decision(time, asked[-1], busy, STAGES[:3])
    assert account.baseline_busy_seconds('always_last') == {'third': pytest.approx(0.03)}
    assert account.baseline_busy_seconds('always_all') == {
        name: pytest.approx(0.01 * (place + 1)) for place, name in enumerate(STAGES[:3])
    }
    account.add_decision(40.0, 'first', {'first': 0.01}, STAGES)
    with pytest.raises(InseparableError, match='fourth has not run yet'):
        account.baseline_busy_seconds('always_last')
