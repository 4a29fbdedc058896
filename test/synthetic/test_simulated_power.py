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

"""The constructed trace: nobody takes it for measured, and its readings hold its joules."""

from __future__ import annotations

from pathlib import Path

import pytest

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.data.power_trace import open_power_trace, remarks
from dual_cnn_ros.data.recording import COMPRESSED_IMAGE, IMAGE, Recording
from dual_cnn_ros.energy.account import Account
from dual_cnn_ros.power.totals import total_of
from dual_cnn_ros.share import share_directory
from dual_cnn_ros.synthetic import simulated_power as board
from dual_cnn_ros.synthetic.simulated_power import (
    classify_recording,
    read_true_joules,
    simulate_power,
    SimulatedTrace,
    write_trace,
)

COURSE = share_directory() / 'config' / 'recordings' / 'course'
SHIPPED = COURSE / 'power.csv'


@pytest.fixture(scope='module')
def trace() -> SimulatedTrace:
    with Recording(COURSE) as recording:
        return simulate_power(recording, Bundle.open('signs'))


def test_trace_cannot_be_taken_for_a_measurement() -> None:
    first = remarks(SHIPPED)[0]
    assert 'CONSTRUCTED' in first and 'no board drew this power' in first
    sensor = open_power_trace(SHIPPED)
    assert first in sensor.reason
    assert (sensor.rails, sensor.scope) == (('SIMULATED_IN',), 'simulated')
    # No rule takes its rail for a real board's.
    assert total_of(sensor.rails) == ((), '')


def test_shipped_trace_states_the_joules_of_the_shipped_drive_and_bundle(
    trace: SimulatedTrace,
) -> None:
    """If not, write it again with simulate_power."""
    assert read_true_joules(SHIPPED) == pytest.approx(trace.joules, rel=0.02)


def test_readings_hold_the_stated_energy_in_steps_of_the_sensor(trace: SimulatedTrace) -> None:
    above = sum((r.watts or 0.0) - board.IDLE_WATTS for r in trace.readings) * board.PERIOD
    joules = sum(trace.joules[name] * count for name, count in trace.decisions.items())
    assert above == pytest.approx(joules, rel=0.05)
    steps = [(r.amps or 0.0) / board.AMPS_STEP for r in trace.readings]
    assert all(abs(step - round(step)) < 1e-6 for step in steps)
    assert board.MEMORY_SECONDS[COMPRESSED_IMAGE] > board.MEMORY_SECONDS[IMAGE]


def test_the_energy_account_finds_the_stated_joules_within_its_standard_error(
    trace: SimulatedTrace,
) -> None:
    account = Account(window=1.0)
    bundle = Bundle.open('signs')
    with Recording(COURSE) as recording:
        for message, decision in classify_recording(recording, bundle):
            busy = dict.fromkeys(decision.scores, board.CNN_SECONDS)
            busy['decode'] = board.MEMORY_SECONDS[message.type]
            finished = message.time * 1e-9 + sum(busy.values())
            stages = tuple(stage.name for stage in bundle.stages)
            account.add_decision(finished, decision.source, busy, stages)
    for number, reading in enumerate(trace.readings):
        account.add_reading(reading.time, reading, board.PERIOD)
        if number == 0:
            account.measure_idle(board.BEFORE - 1)
    fit = account.fit()
    for source, joules in trace.joules.items():
        cost = fit.cost(account.mean_busy_seconds(source))
        assert cost.standard_error < 0.1 * joules
        assert cost.value == pytest.approx(joules, abs=3 * cost.standard_error)
        assert account.sources[source].decisions == trace.decisions[source]
    spent = sum(trace.joules[name] * count for name, count in trace.decisions.items())
    spent /= account.decisions
    assert account.net_joules_per_frame == pytest.approx(spent, rel=0.03)
    both = board.CNN_SECONDS * (board.FIRST_WATTS + board.LATER_WATTS)
    always_all = account.baseline_busy_seconds('always_all')
    saving = fit.saving(account.mean_busy_seconds(), always_all)
    assert saving.value == pytest.approx(1 - spent / both, abs=3 * saving.standard_error)


def test_written_trace_reads_back(trace: SimulatedTrace, tmp_path: Path) -> None:
    file = tmp_path / 'power.csv'
    write_trace(trace, file)
    assert read_true_joules(file) == pytest.approx(trace.joules, abs=1e-6)
    end = trace.readings[-1].time
    sensor = open_power_trace(file, lambda: end)
    assert sensor.scope == 'simulated'
    assert sensor.period == pytest.approx(board.PERIOD)
    assert 'Decisions: ' + ', '.join(
        f'{name} {count}' for name, count in trace.decisions.items()
    ) in remarks(file)
