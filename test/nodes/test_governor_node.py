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

"""The governor in the node, over DDS: a power trace that follows what the node does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from governed_points import POINTS
from node_fixtures import by_name, Camera, classifier, Client, frame, NodeProcess
import pytest
from std_msgs.msg import Float64
from tiny_bundle import LABELS, make_bundle

pytestmark = pytest.mark.ros

POWER = '/board/power'


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    bundle = make_bundle(tmp_path / 'bundle', operating_points=POINTS)
    given = {'image_topics': ['image'], 'memory': False, 'power_topic': POWER}
    with classifier(tmp_path, bundle=str(bundle), **given) as process:
        yield process


class Robot:
    """A board whose watts are those of the operating points in the newest decisions."""

    def __init__(self, client: Client, camera: Camera) -> None:
        self.points: list[str] = []
        self._client, self._camera = client, camera
        self._power = client.node.create_publisher(Float64, POWER, 1)
        client.hear(DiagnosticArray, '/dual_cnn/decision', self._keep)
        self._number = 0

    def _keep(self, message: DiagnosticArray) -> None:
        (values,) = by_name(message).values()
        self.points.append(values['operating_point'])

    @property
    def watts(self) -> float:
        recent = self.points[-10:]
        return 3.0 + sum(name == 'careful' for name in recent) / max(1, len(recent))

    def step(self, with_power: bool = True) -> None:
        """Send a frame that nothing remembers, and a reading."""
        self._number += 1
        self._camera.send(frame(LABELS[self._number % 3], seed=self._number))
        if with_power:
            self._power.publish(Float64(data=self.watts))

    def run_until(self, what: str, condition: Any, with_power: bool = True) -> None:
        self._client.wait_until(what, condition, 30.0, lambda: self.step(with_power), every=0.04)


@pytest.fixture
def robot(node: NodeProcess, client: Client) -> Robot:
    return Robot(client, client.camera('/image'))


def test_watts_decide_the_operating_point_and_a_lost_sensor_holds_it(
    robot: Robot, client: Client
) -> None:
    assert client.node.count_subscribers(POWER) == 0, 'not read before it is needed'
    assert client.set('governor_target', 3.5).successful
    assert client.set('governor', 'power').successful
    robot.run_until('the governor reads', lambda: client.node.count_subscribers(POWER) == 1)
    robot.run_until('both points are used', lambda: {*robot.points} >= {'certified', 'careful'})
    robot.run_until(
        'the budget is kept',
        lambda: abs(float(client.last_values('governor')['measured'] or 0) - 3.5) < 0.15,
    )
    assert not {'cheapest', 'dominated'} & {*robot.points[1:]}, 'the certified point is the floor'
    values = client.values('governor')
    assert values['governor'] == 'power' and float(values['target']) == 3.5
    assert set(values['operating_points'].split()) <= {'certified', 'careful'}

    # More than it may take: the floor, and a warning.
    assert client.set('governor_target', 1.0).successful
    full = '/dual_cnn: governor'
    robot.run_until(
        'a budget that cannot be met is said',
        lambda: 'cannot be met' in client.statuses[full].message,
    )
    assert client.statuses[full].level == DiagnosticStatus.WARN
    assert {*robot.points[-10:]} == {'certified'}
    robot.run_until(
        'the loss of the sensor is said',
        lambda: 'no power reading' in client.statuses[full].message,
        with_power=False,
    )
    refused = client.set('operating_point', 'careful')
    assert not refused.successful and 'governor power decides operating_point' in refused.reason
    assert client.set('governor', 'none').successful
    robot.run_until('no point is in force', lambda: robot.points[-1:] == [''])
    client.wait_until('not read any more', lambda: client.node.count_subscribers(POWER) == 0)


def test_a_share_of_deferred_frames_needs_no_sensor(robot: Robot, client: Client) -> None:
    refused = client.set('governor', 'deferral_rate')
    assert not refused.successful and 'set governor_target first' in refused.reason
    assert client.set('governor_target', 0.5).successful
    assert client.set('governor_floor', 'cheapest').successful
    assert client.set('governor', 'deferral_rate').successful
    robot.run_until('there are decisions', lambda: len(robot.points) > 60, with_power=False)
    values = client.values('governor')
    assert float(values['measured']) == pytest.approx(0.5, abs=0.2)
    assert client.node.count_subscribers(POWER) == 0
    assert {*robot.points[10:]} <= {'cheapest', 'certified', 'careful'}
