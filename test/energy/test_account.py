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

"""The running account: what is late, missing, out of order or begins again."""

from __future__ import annotations

import pickle

import pytest

from dual_cnn_ros.energy.account import Account
from dual_cnn_ros.energy.attribution import InseparableError
from dual_cnn_ros.power.reading import Reading


def run(
    account: Account,
    start: float,
    seconds: float,
    watts: float = 10.0,
    offset: float = 1000.0,
    decide: bool = False,
) -> None:
    """Ten readings and ten decisions a second, the decisions by turns of 'memory' and 'first'."""
    for n in range(round(seconds * 10)):
        time = start + n * 0.1
        account.add_reading(time + offset, Reading('total', time, watts=watts), 0.1)
        if decide:
            source = 'first' if n % 2 else 'memory'
            account.add_decision(time + 0.03 + offset, source, {source: 0.01 * (1 + n % 3)})


def test_energy_and_frames() -> None:
    account = Account(1.0)
    run(account, 0.0, 10.0)
    run(account, 10.0, 20.0, decide=True)
    run(account, 30.0, 10.0)
    assert account.energy.joules == pytest.approx(399.0)
    assert account.decisions == 200
    # Windows from the first decision's to the last one's.
    assert account.joules_per_frame == pytest.approx(1.0)
    assert account.net is None and account.net_joules_per_frame is None
    assert {name: source.decisions for name, source in account.sources.items()} == {
        'memory': 100,
        'first': 100,
    }
    assert account.mean_busy_seconds('first') == pytest.approx({'first': 0.02}, rel=0.02)


def test_a_pause_between_decisions_counts() -> None:
    account = Account(1.0)
    run(account, 0.0, 5.0, decide=True)
    run(account, 5.0, 5.0)
    run(account, 10.0, 5.0, decide=True)
    run(account, 15.0, 5.0)
    assert account.joules_per_frame == pytest.approx(1.5)


def test_idle_before_and_after() -> None:
    account = Account(1.0)
    with pytest.raises(ValueError, match='no power readings yet'):
        account.measure_idle(5.0)
    run(account, 0.0, 1.0, 4.0)
    account.measure_idle(5.0)
    assert 'being measured' in account.idle_note
    run(account, 1.0, 10.0, 4.0)
    assert account.idle is not None and account.idle.after is None
    assert account.idle.watts == pytest.approx(4.0)
    run(account, 11.0, 50.0, 10.0, decide=True)
    run(account, 61.0, 2.0, 4.2)
    account.measure_idle(5.0)
    run(account, 63.0, 10.0, 4.2)
    assert account.idle.watts == pytest.approx(4.1)
    assert account.idle.standard_error_watts == pytest.approx(0.1)
    assert account.net is not None and account.net.joules is not None
    account.reset()
    assert account.idle.watts == pytest.approx(4.2) and account.idle.after is None


def test_a_session_after_a_reset_has_its_own_idle_power() -> None:
    """Another power mode: the rest before the load replaces the one that the reset has left."""
    account = Account(1.0)
    run(account, 0.0, 1.0, 4.0)
    account.measure_idle(5.0)
    run(account, 1.0, 10.0, 4.0)
    run(account, 11.0, 20.0, 10.0, decide=True)
    account.reset()
    assert account.idle is not None and account.idle.watts == pytest.approx(4.0)
    run(account, 31.0, 2.0, 6.0)
    account.measure_idle(5.0)
    run(account, 33.0, 10.0, 6.0)
    assert account.idle.after is None and account.idle.watts == pytest.approx(6.0)
    run(account, 43.0, 20.0, 12.0, decide=True)
    run(account, 63.0, 2.0, 6.2)
    account.measure_idle(5.0)
    run(account, 65.0, 10.0, 6.2)
    assert account.idle.before.mean_watts == pytest.approx(6.0)
    assert account.idle.after is not None and account.idle.watts == pytest.approx(6.1)


def test_the_idle_power_left_by_a_reset_is_that_before_the_decisions_since() -> None:
    account = Account(1.0)
    run(account, 0.0, 1.0, 4.0)
    account.measure_idle(5.0)
    run(account, 1.0, 10.0, 4.0)
    account.reset()
    run(account, 11.0, 20.0, 10.0, decide=True)
    run(account, 31.0, 2.0, 4.2)
    account.measure_idle(5.0)
    run(account, 33.0, 10.0, 4.2)
    assert account.idle is not None and account.idle.after is not None
    assert account.idle.watts == pytest.approx(4.1)


def test_without_a_classifier_the_second_rest_is_that_after_the_load() -> None:
    account = Account(1.0)
    run(account, 0.0, 1.0, 4.0)
    account.measure_idle(5.0)
    run(account, 1.0, 10.0, 4.0)
    run(account, 11.0, 20.0, 10.0)
    run(account, 31.0, 2.0, 4.2)
    account.measure_idle(5.0)
    run(account, 33.0, 10.0, 4.2)
    assert account.idle is not None and account.idle.after is not None


def test_idle_is_refused_while_decisions_are_made() -> None:
    account = Account(1.0)
    run(account, 0.0, 1.0)
    account.measure_idle(5.0)
    run(account, 1.0, 10.0, decide=True)
    assert account.idle is None
    assert '49 decisions were made' in account.idle_note


def test_idle_is_refused_with_gaps() -> None:
    account = Account(1.0)
    run(account, 0.0, 1.0)
    account.measure_idle(5.0)
    run(account, 4.0, 10.0)
    assert account.idle is None and 'covered only' in account.idle_note


def test_idle_is_refused_where_its_error_cannot_be_told() -> None:
    """Taken for zero, the unknown error would make every other one too small."""
    account = Account(1.0)
    for n in range(40):
        account.add_reading(1000.0 + n, Reading('total', float(n), watts=4.0), 1.0)
        if n == 1:
            account.measure_idle(5.0)
    assert account.idle is None
    assert account.idle_note == (
        'refused: 6 readings are too few to tell its standard error; set idle_s to at least 10'
    )
    account.measure_idle(10.0)
    for n in range(40, 60):
        account.add_reading(1000.0 + n, Reading('total', float(n), watts=4.0), 1.0)
    assert account.idle is not None


def test_decisions_before_and_after_the_readings_are_unmatched() -> None:
    account = Account(1.0)
    account.add_decision(900.0, 'first', {'first': 0.1})
    run(account, 0.0, 10.0)
    account.add_decision(1001.0, 'first', {'first': 0.1})
    assert (account.decisions, account.unmatched) == (0, 2)


def test_an_absent_power_node_costs_no_memory() -> None:
    account = Account(1.0)
    for n in range(30_000):
        account.add_decision(n / 30, 'first', {'first': 0.01})
    assert account.unmatched == 20_000
    assert len(pickle.dumps(account._waiting)) < 1_000_000


def test_a_decision_stamped_in_the_far_future_blocks_no_other() -> None:
    account = Account(1.0)
    account.add_decision(1e9, 'first', {'first': 0.01})
    run(account, 0.0, 10.0, decide=True)
    assert account.decisions >= 80


def test_readings_out_of_order_and_twice() -> None:
    account = Account(1.0)
    times = [0.0, 0.1, 0.3, 0.2, 0.3, 0.4, 0.5]
    for time in times:
        account.add_reading(1000 + time, Reading('total', time, watts=10.0), 0.1)
    assert account.energy.out_of_order == 2
    assert account.energy.joules == pytest.approx(5.0)


@pytest.mark.parametrize('back', [0.9, 1.5, 30.0])
def test_a_single_late_reading_begins_nothing_anew(back: float) -> None:
    account = Account(1.0)
    run(account, 0.0, 60.0, decide=True)
    stray = Reading('total', 59.9 - back, watts=10.0)
    assert not account.add_reading(stray.time + 1000, stray, 0.1)
    run(account, 60.0, 60.0, decide=True)
    energy = account.energy
    assert (energy.out_of_order, energy.restarts) == (1, 0)
    assert energy.window == pytest.approx(119.9) and energy.joules == pytest.approx(1199.0)
    assert account.unmatched == 0


def test_a_single_stamp_that_is_off_begins_nothing_anew() -> None:
    account = Account(1.0)
    run(account, 0.0, 10.0, decide=True)
    assert not account.add_reading(500.0, Reading('total', 10.0, watts=10.0), 0.1)
    run(account, 10.1, 10.0, decide=True)
    energy = account.energy
    assert (energy.out_of_order, energy.restarts) == (0, 0)
    assert energy.joules == pytest.approx(200.0) and account.unmatched == 0


def test_a_gap_leaves_its_windows_out() -> None:
    account = Account(1.0)
    run(account, 0.0, 5.0, decide=True)
    run(account, 6.5, 5.0, decide=True)
    # 4.9 s to 6.5 s: the windows of which a part is missing are [4, 5), [5, 6) and [6, 7).
    assert account.uncovered_windows == 3
    assert account.energy.joules is None and account.energy.measured == pytest.approx(98.0)
    assert account.joules_per_frame is None
    with pytest.raises(InseparableError, match='cover only 70.0%'):
        account.fit()
    # Of longer work the same gap is less than a twentieth.
    run(account, 11.5, 70.0, decide=True)
    assert account.uncovered_windows == 3 and account.coverage > 0.95
    assert account.joules_per_frame == pytest.approx(1.0, rel=0.02)


def test_a_long_silence_counts_as_the_windows_that_it_took() -> None:
    account = Account(1.0)
    run(account, 0.0, 100.0, decide=True)
    run(account, 1000.0, 100.0, decide=True)
    assert account.uncovered_windows == pytest.approx(900, abs=2)
    assert account.coverage == pytest.approx(account.energy.coverage, abs=0.01)
    assert account.joules_per_frame is None and account.net_joules_per_frame is None


def test_readings_too_rare_for_the_windows_say_so() -> None:
    account = Account(2.0)
    for n in range(20):
        account.add_reading(1000 + n * 10.0, Reading('total', n * 10.0, watts=10.0), 10.0)
        account.add_decision(1000 + n * 10.0, 'first', {'first': 0.1})
    assert account.energy.joules == pytest.approx(1900) and account.joules_per_frame is None
    assert 'every 10 s cover 0% of the windows of 2 s' in account.obstacle


def test_failed_readings_are_counted() -> None:
    account = Account(1.0)
    for n in range(100):
        error = 'EIO' if n % 10 == 0 else ''
        watts = None if error else 10.0
        account.add_reading(n * 0.1, Reading('total', n * 0.1, watts=watts, error=error), 0.1)
    energy = account.energy
    assert (energy.failed, energy.readings) == (10, 90)
    assert energy.joules == pytest.approx(98.0)


@pytest.mark.parametrize('offset', [1000.0, 1030.0])
def test_a_recording_that_begins_again(offset: float) -> None:
    """A loop starts both clocks anew; a rebooted machine only the monotonic one."""
    account = Account(1.0)
    run(account, 0.0, 20.0, decide=True)
    run(account, 0.0, 20.0, decide=True, offset=offset)
    energy = account.energy
    assert energy.restarts == 1 and energy.out_of_order == 0
    assert energy.measured == pytest.approx(398.0)
    assert account.decisions == pytest.approx(370, abs=25)
    assert (energy.coverage > 0.95) is (offset == 1000.0)
    assert account.joules_per_frame == (pytest.approx(1.0, rel=0.05) if offset == 1000.0 else None)


def test_replay_at_another_speed() -> None:
    """Stamps that run at half the speed of the readings' clock still meet their window."""
    account = Account(1.0)
    for n in range(200):
        time = n * 0.1
        account.add_reading(1000 + time / 2, Reading('total', time, watts=10.0), 0.1)
        account.add_decision(1000 + time / 2 + 0.01, 'first', {'first': 0.02})
    assert account.decisions > 150
    assert account.joules_per_frame == pytest.approx(1.0, rel=0.01)


def test_baselines_need_what_they_are_made_of() -> None:
    account = Account(1.0)
    run(account, 0.0, 10.0, decide=True)
    for name in ('always_both', 'always_second'):
        with pytest.raises(InseparableError, match='second has not run yet'):
            account.baseline_busy_seconds(name)


def test_reset_begins_anew() -> None:
    account = Account(1.0)
    run(account, 0.0, 10.0, decide=True)
    account.reset()
    run(account, 10.0, 5.0, 2.0, decide=True)
    assert account.energy.joules == pytest.approx(9.8)
    assert account.joules_per_frame == pytest.approx(0.2)


def test_a_day_of_readings_and_decisions_does_not_grow() -> None:
    account, sizes = Account(2.0), []
    for hour in range(1, 4):
        # An hour at 1 Hz: the work per reading is that at 10 Hz.
        for n in range(3600):
            time = hour * 3600 + n
            account.add_reading(float(time), Reading('total', float(time), watts=5.0), 1.0)
            account.add_decision(time + 0.5, 'first', {'first': 0.01})
        sizes.append(len(pickle.dumps(account)))
    assert max(sizes) - min(sizes) < 2000
