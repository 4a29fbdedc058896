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

"""The nodes find the joules that a trace was constructed from, played beside its drive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from node_fixtures import Client, NodeProcess
import numpy as np
import pytest
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.data.recording import COMPRESSED_IMAGE, IMAGE, Recording
from dual_cnn_ros.messages.decisions import decision_message
from dual_cnn_ros.messages.types import installed
from dual_cnn_ros.share import share_directory
from dual_cnn_ros.synthetic import simulated_power as board
from dual_cnn_ros.synthetic.simulated_power import (
    classify_recording,
    RecordedDecision,
    simulate_power,
)

pytestmark = [pytest.mark.ros, pytest.mark.slow]

BUNDLE = Bundle.open('signs')
COURSE = share_directory() / 'config' / 'recordings' / 'course'


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

    def is_heard(self) -> bool:
        publishers = self.decisions.values()
        return (
            bool(self.report)
            and self.clock.get_subscription_count() == 2
            and all(publisher.get_subscription_count() for publisher in publishers)
        )

    def publish(self, recorded: RecordedDecision) -> float:
        """Publish a decision; return when the imagined board had finished it."""
        decision = recorded.decision
        busy = {
            'decode': board.MEMORY_SECONDS[recorded.message_type],
            **dict.fromkeys(decision.scores, board.CNN_SECONDS),
        }
        finished = recorded.time + sum(busy.values())
        message = decision_message(
            installed,
            replace(decision, seconds=busy),
            'camera',
            'dual_cnn',
            BUNDLE,
            finished,
            Header(),
        )
        self.decisions[recorded.message_type].publish(message)
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


def test_nodes_find_the_true_joules_within_their_standard_error(
    robot: Robot, tmp_path: Path
) -> None:
    """Power node, DDS and energy node, in recorded time and at eight times the speed."""
    with Recording(COURSE) as recording:
        truth = simulate_power(recording, BUNDLE)
        decisions = list(classify_recording(recording, BUNDLE))
        begin = recording.start * 1e-9
    trace = {'source': 'recording', 'recording': str(COURSE / 'power.csv')}
    windows = {'window_s': 1.0, 'idle_s': 4.0, 'baseline': 'always_both'}
    nodes = [
        NodeProcess(tmp_path / name, name, {**parameters, 'use_sim_time': True})
        for name, parameters in (('power', trace), ('energy', windows))
    ]
    try:
        robot.wait_until('both are there', robot.is_heard)
        latest = max(robot.publish(recorded) for recorded in decisions)
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
        for source, joules in truth.joules.items():
            error = float(robot.value(source, 'standard_error_joules'))
            assert error < 0.1 * joules
            found = float(robot.value(source, 'joules_per_decision'))
            assert found == pytest.approx(joules, abs=3 * error)
            assert int(robot.value(source, 'decisions')) == truth.decisions[source]
            assert robot.report[source].hardware_id == 'recording'
        spent = sum(truth.joules[name] * count for name, count in truth.decisions.items()) / 500
        net = float(robot.value('frames', 'net_joules_per_frame'))
        assert net == pytest.approx(spent, rel=0.03)
        both = board.CNN_SECONDS * (board.FIRST_WATTS + board.LATER_WATTS)
        error = float(robot.value('saving', 'standard_error'))
        saving = float(robot.value('saving', 'saving'))
        assert saving == pytest.approx(1 - spent / both, abs=3 * error)
        assert float(robot.value('total', 'coverage')) == pytest.approx(1.0, abs=0.01)
        assert robot.value('total', 'scope') == 'simulated'
        for node in nodes:
            assert node.interrupt() == 0, node.log
    finally:
        for node in nodes:
            node.kill()
