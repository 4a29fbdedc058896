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
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from node_fixtures import by_name, Camera, classifier, Client, frame, NodeProcess
import pytest
from std_msgs.msg import Float64
from tiny_bundle import LABELS, make_bundle

from dual_cnn_ros.bundle import Bundle, Certificate, OperatingPoint
from dual_cnn_ros.cascade.settings import Criterion
from dual_cnn_ros.nodes.classifier_parameters import ClassifierParameters
from dual_cnn_ros.nodes.governing import make_governor, seconds_until
from dual_cnn_ros.nodes.parameter import ParameterError

POWER = '/board/power'
PROMISE = Certificate(0.01, 0.05, 'betting', 100, 'last alone')


def point(name: str, threshold: float, accuracy: float, rates: tuple[float, ...]) -> Any:
    certificate = PROMISE if name == 'certified' else None
    criteria = (Criterion('max_probability', threshold),) * len(rates)
    return OperatingPoint(name, criteria, 'none', '', accuracy, rates, 10, certificate)


POINTS = (
    point('cheapest', 0.0, 0.6, (0.0,)),
    point('certified', 0.4, 0.7, (0.3,)),
    point('dominated', 0.45, 0.65, (0.4,)),
    point('careful', 1.0, 0.9, (1.0,)),
)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    bundle = make_bundle(tmp_path / 'bundle', operating_points=POINTS)
    given = {'image_topics': ['image'], 'memory': False, 'power_topic': POWER}
    with classifier(tmp_path, bundle=str(bundle), **given) as process:
        yield process


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle.open(str(make_bundle(tmp_path / 'bundle', operating_points=POINTS)))


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


@pytest.mark.ros
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


@pytest.mark.ros
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


def governed(bundle: Bundle, **given: Any) -> Any:
    return make_governor(ClassifierParameters(**given), bundle, 5.0, 1_800_000_000.0)


def test_the_scale_begins_at_the_floor_and_leaves_out_what_is_dominated(bundle: Bundle) -> None:
    assert governed(bundle) is None
    for floor, names in (
        ('', ['certified', 'careful']),
        ('cheapest', ['cheapest', 'certified', 'careful']),
        ('dominated', ['dominated', 'careful']),
    ):
        found = governed(bundle, governor='power', governor_target=4.0, governor_floor=floor)
        assert [each.rule.name for each in found.scale] == names
        costs = [each.cost for each in found.scale]
        assert costs == sorted(costs)


def test_without_costs_there_is_no_scale(bundle: Bundle) -> None:
    first, last = bundle.stages
    free = replace(bundle, stages=(first, replace(last, macs=0)))
    with pytest.raises(ParameterError, match='does not state macs or cpu_seconds of all stages'):
        governed(free, governor='power', governor_target=4.0)
    timed = tuple(replace(stage, cpu_seconds=1e-3) for stage in free.stages)
    assert governed(replace(free, stages=timed), governor='power', governor_target=4.0)


def test_another_budget_goes_on_from_where_the_last_one_was(bundle: Bundle) -> None:
    first = governed(bundle, governor='power', governor_target=4.0)
    for time in range(30):
        first.read(3.0, 5.0 + time)
    place = first.state(35.0).position
    values = ClassifierParameters(governor='power', governor_target=5.0)
    assert place > 0 and make_governor(values, bundle, 35.0, 0.0, first).state(35.0).position == (
        pytest.approx(place)
    )


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        ({'governor': 'power'}, 'set governor_target first, to watts above 0'),
        ({'governor': 'deferral_rate', 'governor_target': 1.5}, 'share of frames .* up to 1'),
        ({'governor': 'energy', 'governor_target': 9.0}, 'set governor_until first'),
        (
            {'governor': 'energy', 'governor_target': 9.0, 'governor_until': '2001-01-01T10:00'},
            'governor_until must be in the future',
        ),
        (
            {'governor': 'energy', 'governor_target': 9.0, 'governor_until': 'noon'},
            "THH:MM or YYYY-MM-DDTHH:MM, local time, not 'noon'",
        ),
        (
            {'governor': 'power', 'governor_target': 9.0, 'power_topic': ''},
            'governor power needs power_topic',
        ),
        (
            {'governor': 'power', 'governor_target': 9.0, 'governor_floor': 'basement'},
            "the floor must be an operating point of bundle tiny, not 'basement': cheapest;",
        ),
        (
            {'governor': 'power', 'governor_target': 9.0, 'governor_floor': 'careful'},
            'fewer than two operating points to choose from, from careful on',
        ),
        (
            {'governor': 'power', 'governor_target': 9.0, 'threshold': 0.5},
            'power decides threshold too, .* set threshold to -1.0, or governor to none, first',
        ),
    ],
)
def test_what_does_not_fit_is_refused(bundle: Bundle, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        governed(bundle, **given)


def test_the_time_is_today_or_tomorrow_or_a_date() -> None:
    now = datetime(2026, 11, 27, 15, 30, 20)
    clock = now.timestamp()
    assert seconds_until('T15:31', clock) == seconds_until('15:31', clock) == 40
    assert seconds_until('T15:30', clock) == timedelta(days=1).total_seconds() - 20
    assert seconds_until('2026-11-28T00:00', clock) == pytest.approx(8.5 * 3600 - 20)
