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

"""The constructed trace: it says what it is, belongs to the drive, and what went in comes out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from node_fixtures import Client, NodeProcess
import numpy as np
import pytest
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from std_srvs.srv import Trigger

from dual_cnn_ros import bundle as bundles
from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.data import power_trace as recording
from dual_cnn_ros.data.recording import COMPRESSED_IMAGE, IMAGE, Recording
from dual_cnn_ros.nodes import parameters
from dual_cnn_ros.power.totals import total_of
from dual_cnn_ros.share import share_directory
from dual_cnn_ros.synthetic import board as simulate_power
from dual_cnn_ros.synthetic.board import construct, decide, stated, Trace

COURSE = share_directory() / 'config' / 'recordings' / 'course'
SHIPPED = COURSE / 'power.csv'


@pytest.fixture(scope='module')
def bundle() -> bundles.Bundle:
    return bundles.read(parameters.bundle_path('signs'))


@pytest.fixture(scope='module')
def made(bundle: bundles.Bundle) -> Trace:
    with Recording(COURSE) as opened:
        return construct(opened, bundle)


def test_it_cannot_be_taken_for_a_measurement() -> None:
    said = recording.remarks(SHIPPED)
    assert 'CONSTRUCTED' in said[0] and 'no board drew this power' in said[0]
    sensor = recording.discover(SHIPPED, lambda: 0.0)
    assert said[0] in sensor.reason
    assert (sensor.source, sensor.rails, sensor.scope) == (
        'recording',
        ('SIMULATED_IN',),
        'simulated',
    )
    # No rule takes it for a board's.
    assert total_of(sensor.rails) == ((), '')


def test_shipped_trace_is_that_of_the_shipped_drive_and_bundle(made: Trace) -> None:
    """If not: python -m dual_cnn_ros.synthetic.board, as the README says."""
    assert stated(SHIPPED) == pytest.approx(made.joules, rel=0.02)
    shipped = recording.discover(SHIPPED, lambda: made.readings[-1].time, moved=False)
    assert shipped.period == pytest.approx(simulate_power.PERIOD)
    rows = [line.split(',') for line in SHIPPED.read_text().splitlines() if line[0] != '#'][1:]
    assert len(rows) == len(made.readings)
    # Another machine's arithmetic may decide a frame or two otherwise.
    same = sum(
        float(row[0]) == reading.time and float(row[2]) == reading.watts
        for row, reading in zip(rows, made.readings)
    )
    assert same > 0.97 * len(rows)


class Robot(Client):
    """Plays the clock of the drive and the classifier of a board that is as imagined."""

    def __init__(self) -> None:
        super().__init__()
        qos = QoSProfile(depth=1000)
        self.clock = self.node.create_publisher(Clock, '/clock', 10)
        self.decisions = {
            kind: self.node.create_publisher(DiagnosticArray, f'dual_cnn/{camera}/decision', qos)
            for kind, camera in ((IMAGE, 'front'), (COMPRESSED_IMAGE, 'rear'))
        }
        self.report: dict[str, DiagnosticStatus] = {}
        self.node.create_subscription(DiagnosticArray, 'energy_monitor/report', self._hear, 10)

    def _hear(self, message: DiagnosticArray) -> None:
        self.report = {status.name.partition(': ')[2]: status for status in message.status}

    def value(self, section: str, key: str) -> str:
        status = self.report.get(section)
        return '' if status is None else next(p.value for p in status.values if p.key == key)

    def decide(self, time: float, kind: str, decision: Decision) -> float:
        """Publish a decision about a frame of this time; return when it was finished."""
        busy = {
            'decode': simulate_power.MEMORY_SECONDS[kind],
            **dict.fromkeys(decision.scores, simulate_power.CNN_SECONDS),
        }
        finished = time + sum(busy.values())
        values = {
            'source': decision.source,
            'finished': f'{finished:.9f}',
            **{f'score.{stage}': '0.9' for stage in decision.scores},
            **{f'seconds.{step}': str(seconds) for step, seconds in busy.items()},
        }
        self.decisions[kind].publish(
            DiagnosticArray(
                status=[
                    DiagnosticStatus(
                        values=[KeyValue(key=key, value=value) for key, value in values.items()]
                    )
                ]
            )
        )
        return finished

    def tick(self, seconds: float) -> None:
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(round(seconds * 1e9), 10**9)
        self.clock.publish(message)


@pytest.fixture
def robot() -> Iterator[Robot]:
    robot = Robot()
    yield robot
    robot.close()


def test_what_was_put_in_comes_out_of_the_nodes_within_the_stated_error(
    made: Trace, bundle: bundles.Bundle, robot: Robot, tmp_path: Path
) -> None:
    """Power node, DDS, energy node, in recorded time and at eight times the speed."""
    with Recording(COURSE) as opened:
        decisions = list(decide(opened, bundle))
        begin = opened.start * 1e-9
    power = NodeProcess(
        tmp_path / 'power',
        'power',
        {'source': 'recording', 'recording': str(SHIPPED), 'use_sim_time': True},
    )
    energy = NodeProcess(
        tmp_path / 'energy',
        'energy',
        {'window_s': 1.0, 'idle_s': 4.0, 'baseline': 'always_both', 'use_sim_time': True},
    )
    try:
        robot.wait_until(
            'both are there',
            lambda: (
                robot.report
                and robot.clock.get_subscription_count() == 2
                and all(
                    publisher.get_subscription_count() for publisher in robot.decisions.values()
                )
            ),
        )
        latest = max(robot.decide(*decision) for decision in decisions)
        robot.wait_until('all are heard', lambda: robot.value('frames', 'waiting') == '500')
        robot.wait_until(
            'a reading',
            lambda: robot.value('total', 'readings') > '0',
            meanwhile=lambda: robot.tick(begin - 6),
        )
        assert robot.call(Trigger, '/energy_monitor/measure_idle', Trigger.Request()).success
        times = iter(np.arange(begin - 6, latest + 3, 0.16))
        robot.wait_until(
            'the end',
            lambda: robot.value('frames', 'decisions') == '500',
            meanwhile=lambda: robot.tick(next(times, latest + 3)),
            every=0.02,
        )
        for source, joules in made.joules.items():
            found = float(robot.value(source, 'joules_per_decision'))
            error = float(robot.value(source, 'error_joules'))
            assert abs(found - joules) < 3 * error
            assert error < 0.1 * joules
            assert int(robot.value(source, 'decisions')) == made.decisions[source]
            assert robot.report[source].hardware_id == 'recording'
        spent = sum(made.joules[name] * made.decisions[name] for name in made.joules) / 500
        assert float(robot.value('frames', 'net_joules_per_frame')) == pytest.approx(
            spent, rel=0.03
        )
        both = simulate_power.CNN_SECONDS * (
            simulate_power.FIRST_WATTS + simulate_power.LATER_WATTS
        )
        assert float(robot.value('saving', 'saving')) == pytest.approx(
            1 - spent / both, abs=3 * float(robot.value('saving', 'error'))
        )
        assert float(robot.value('total', 'coverage')) == pytest.approx(1.0, abs=0.01)
        assert robot.value('total', 'scope') == 'simulated'
        for node in (power, energy):
            assert node.interrupt() == 0, node.log
    finally:
        power.kill()
        energy.kill()


def test_energy_is_what_the_readings_hold(made: Trace) -> None:
    above = sum(r.watts - simulate_power.IDLE_WATTS for r in made.readings if r.watts)
    expected = sum(made.joules[name] * made.decisions[name] for name in made.joules)
    assert above * simulate_power.PERIOD == pytest.approx(expected, rel=0.05)
    # Every reading is one that the imagined sensor can give.
    steps = [(r.amps or 0.0) / simulate_power.AMPS_STEP for r in made.readings]
    assert all(abs(step - round(step)) < 1e-6 for step in steps)
    assert simulate_power.MEMORY_SECONDS[COMPRESSED_IMAGE] > simulate_power.MEMORY_SECONDS[IMAGE]


def test_what_was_written_reads_back(tmp_path: Path) -> None:
    file = tmp_path / 'power.csv'
    assert simulate_power.main([str(COURSE), '--bundle', 'signs', '--out', str(file)]) == 0
    assert recording.discover(file).scope == 'simulated'
    assert stated(file) == stated(SHIPPED) or stated(file) == pytest.approx(
        stated(SHIPPED), rel=0.02
    )


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['nowhere', '--bundle', 'signs', '--out', 'x.csv'], 'no recording at nowhere'),
        ([str(COURSE), '--bundle', './none', '--out', 'x.csv'], 'bundle.yaml: not found'),
        ([str(COURSE), '--bundle', 'signs', '--out', 'no/such/folder.csv'], 'folder.csv'),
    ],
)
def test_what_is_missing_is_named(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate_power.main(arguments) == 1
    assert said in capsys.readouterr().err
