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

"""The energy node over DDS: what it makes of readings and decisions, good and bad."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from node_fixtures import (
    assert_refused,
    by_name,
    Camera,
    classifier,
    Client,
    frame,
    NodeProcess,
    running,
)
import numpy as np
import pytest
from rclpy.qos import QoSProfile
from std_msgs.msg import Float64, Header
import sysfs_fixtures as fixtures
from tiny_bundle import make_bundle

from dual_cnn_ros.bundle import Bundle, MeasuredBaseline
from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.messages.decisions import decision_message
from dual_cnn_ros.messages.readings import PublishedReading, rails_message
from dual_cnn_ros.messages.types import installed
from dual_cnn_ros.nodes.energy import EnergyNode
from dual_cnn_ros.power.reading import Reading

pytestmark = [pytest.mark.ros, pytest.mark.slow]

OK, WARN = DiagnosticStatus.OK, DiagnosticStatus.WARN
BUNDLE = Bundle.open('signs')
# The readings come faster than any sensor's; none may be lost on the way.
DEPTH = 20_000
DEEP = {
    f'qos_overrides./{topic}.subscription.depth': DEPTH
    for topic in ('power_monitor/rails', 'dual_cnn/decision')
}
IDLE = 4.0


class Robot(Client):
    """Plays a power node and a classifier, in times of long ago; hears the energy node."""

    def __init__(self) -> None:
        super().__init__('energy_monitor')
        qos = QoSProfile(depth=DEPTH)
        self.rails = self.node.create_publisher(DiagnosticArray, 'power_monitor/rails', qos)
        self.decisions = self.node.create_publisher(DiagnosticArray, 'dual_cnn/decision', qos)
        self.report: dict[str, dict[str, str]] = {}
        self.energy: list[float] = []
        self.per_frame: list[float] = []
        self.hear(DiagnosticArray, 'energy_monitor/report', self._keep_report)
        self.hear(Float64, 'energy_monitor/energy', lambda m: self.energy.append(m.data))
        self.hear(
            Float64, 'energy_monitor/energy_per_frame', lambda m: self.per_frame.append(m.data)
        )

    def _keep_report(self, message: DiagnosticArray) -> None:
        self.report = by_name(message)

    def connect(self) -> None:
        self.report = {}
        self.wait_until(
            'the energy node listens',
            lambda: (
                self.rails.get_subscription_count()
                and self.decisions.get_subscription_count()
                and self.report
            ),
        )
        self.energy.clear()
        self.per_frame.clear()

    def reported(self, section: str, key: str, value: str) -> dict[str, str]:
        """Return a section once a value in it begins so."""
        self.wait_until(
            f'{section} {key} {value}',
            lambda: self.report.get(section, {}).get(key, '').startswith(value),
        )
        return self.report[section]

    def reading(
        self,
        time: float,
        watts: float,
        period: float = 0.1,
        scope: str = 'module',
        delay: float = 0.0,
    ) -> None:
        """Publish a total; the stamp is 1000 s ahead of its monotonic time."""
        reading = Reading('total', time, watts)
        published = PublishedReading(reading, 'ina3221', scope, period)
        seconds = time + 1000 - delay
        header = Header(stamp=Time(sec=int(seconds), nanosec=int(seconds % 1 * 1e9)))
        self.rails.publish(rails_message(installed, header, [published]))

    def decide(self, time: float) -> None:
        """Publish a decision of the first CNN, with a stamp 1000 s ahead as of a reading."""
        decision = Decision(
            probabilities=np.ones(1, np.float32),
            label=0,
            score=0.9,
            source='first',
            winner='first',
            scores={'first': 0.9},
            seconds={'first': 0.01},
        )
        message = decision_message(
            installed, decision, 'camera', 'dual_cnn', BUNDLE, time + 1000, Header()
        )
        self.decisions.publish(message)

    def rest(self, start: float, seconds: float, watts: float = IDLE) -> None:
        for n in range(round(seconds * 10)):
            self.reading(start + n * 0.1, watts)

    def measure_idle(self) -> None:
        """Have the idle power measured from the first readings on."""
        # On a busy machine the first reading may be old news when the service is called.
        for n in range(10):
            self.reading(n * 0.01, IDLE)
            self.reported('total', 'readings', str(n + 1))
            if self.trigger('measure_idle').success:
                break
        self.reported('idle', 'note', 'being measured')

    def next_report(self) -> None:
        """Wait for a report, and a diagnosis, that was not there before."""
        self.report = {}
        self.values('readings')
        self.wait_until('a report', lambda: self.report)

    def last(self, key: str) -> str:
        """Return a value of the last diagnosis."""
        return self.last_values('readings').get(key, '')


@pytest.fixture
def robot() -> Iterator[Robot]:
    robot = Robot()
    yield robot
    robot.close()


def energy(folder: Path, **parameters: Any) -> AbstractContextManager[NodeProcess]:
    return running('energy', folder, **DEEP, **parameters)


def test_idle_power_and_reset(tmp_path: Path, robot: Robot) -> None:
    with energy(tmp_path, idle_s=10.0):
        robot.connect()
        robot.measure_idle()
        robot.rest(0.1, 15.0)
        assert 'W over 10.0 s' in robot.reported('idle', 'note', '4.000')['note']
        robot.wait_until('joules', lambda: robot.energy)
        total = robot.report['total']
        assert (total['scope'], total['hardware_id']) == ('module', 'ina3221')
        assert (total['failed'], total['out_of_order'], total['missing']) == ('0', '0', '0')
        assert robot.trigger('reset').success
        robot.reported('total', 'readings', '0')
        assert robot.report['idle']['watts'] == '4'


def test_the_baseline_may_change_while_it_runs(tmp_path: Path, robot: Robot) -> None:
    with energy(tmp_path, baseline='always_last'):
        robot.connect()
        robot.reported('saving', 'message', 'unknown against always last')
        assert robot.set('baseline_joules', 0.5).successful
        assert robot.set('baseline_source', 'one large CNN').successful
        assert robot.set('baseline', 'measured').successful
        robot.reported('saving', 'message', 'unknown against 0.5 J per frame of one large CNN')
        # That which the measure tool stored in a bundle.
        folder = make_bundle(tmp_path / 'bundle')
        assert robot.set('bundle', str(folder)).successful
        refused = robot.set('baseline', 'bundle')
        assert not refused.successful and '--large CNN stores one' in refused.reason
        board = ('ina3221', 'module', 'a board', '2026-11-21', 'cold')
        make_bundle(folder, baseline=MeasuredBaseline('wide', 0.25, 0.01, 0.9, 4.0, *board))
        assert robot.set('baseline', 'bundle').successful
        words = 'unknown against 0.25 J per frame of wide (a board, 2026-11-21)'
        assert robot.reported('saving', 'message', words)['baseline_standard_error_joules']
        gone = robot.set('bundle', 'nowhere')
        assert not gone.successful and 'bundle.yaml: not found' in gone.reason
        assert robot.set('baseline', 'none').successful
        robot.wait_until('no saving', lambda: 'saving' not in robot.report)


def test_readings_of_another_scope_are_not_added(tmp_path: Path, robot: Robot) -> None:
    with energy(tmp_path, idle_s=10.0) as node:
        robot.connect()
        robot.measure_idle()
        robot.rest(0.1, 15.0)
        robot.reported('idle', 'watts', '4')
        for n in range(151, 200):
            robot.reading(n * 0.1, 9.0, scope='whole input')
        total = robot.reported('total', 'readings', '49')
        assert float(total['joules']) == pytest.approx(9.0 * 4.8)
        changed = 'changed from ina3221 (module scope) to ina3221 (whole input scope)'
        assert changed in robot.report['idle']['note'] and changed in node.log
        assert 'watts' not in robot.report['idle']
        # Below 95 % coverage there is no energy, and none is published.
        robot.reading(23.0, 9.0, scope='whole input')
        total = robot.reported('total', 'readings', '50')
        assert total['joules'] == '' and total['level'] == '1'
        robot.next_report()
        robot.energy.clear()
        robot.next_report()
        assert robot.energy == []
        robot.reading(23.1, 1e9, scope='whole input')
        robot.wait_for_status('readings', WARN, 'total: a power of 1e+09 W cannot be true')


def test_an_absent_power_node_is_reported_and_not_fatal(tmp_path: Path, robot: Robot) -> None:
    with energy(tmp_path):
        robot.connect()
        for n in range(100):
            robot.decide(n * 0.1 + 0.05)
        robot.reported('frames', 'waiting', '100')
        robot.wait_for_status('readings', WARN, 'no total power on /power_monitor/rails')
        assert robot.report['total']['joules'] == ''
        assert robot.energy == [] and robot.per_frame == []
        response = robot.trigger('measure_idle')
        assert not response.success and 'start the power node' in response.message
        robot.rest(0.0, 20.0)
        robot.reported('total', 'readings', '200')
        # Decisions of the time for which there are readings now.
        robot.reported('frames', 'decisions', '100')
        # It goes away: what was measured stays, and is not published as if it were new.
        robot.node.destroy_publisher(robot.rails)
        robot.wait_for_status('readings', WARN, 'publishers: 0')
        robot.next_report()
        robot.energy.clear()
        robot.next_report()
        total = robot.report['total']
        assert robot.energy == [] and total['level'] == '1'
        assert float(total['silent_seconds']) > 3.0
        assert 'no reading for' in total['message'] and float(total['joules']) > 0


def test_slow_readings_are_no_silence(tmp_path: Path, robot: Robot) -> None:
    with energy(tmp_path):
        robot.connect()
        # Of 100 s each: silence would begin after five minutes.
        for time in (0.0, 100.0):
            robot.reading(time, IDLE, period=100.0)
        robot.reported('total', 'readings', '2')
        for _ in range(5):
            robot.next_report()
        assert float(robot.report['total']['silent_seconds']) == 0
        assert robot.trigger('measure_idle').success
        robot.wait_for_status('readings', OK, 'reading ina3221')
        assert robot.energy


def test_cameras_are_found_when_they_come(tmp_path: Path, robot: Robot) -> None:
    """Those of this classifier only, whatever else is called a decision."""
    qos = QoSProfile(depth=DEPTH)
    with energy(tmp_path):
        robot.connect()
        others = [
            robot.node.create_publisher(kind, topic, qos)
            for kind, topic in (
                (Float64, 'dual_cnn/rear/decision'),
                (DiagnosticArray, 'dual_cnn/front/decisions'),
                (DiagnosticArray, 'other/dual_cnn/decision'),
                (DiagnosticArray, 'dual_cnn2/decision'),
            )
        ]
        for count, camera in enumerate(('front', 'arm/left'), 1):
            robot.decisions = robot.node.create_publisher(
                DiagnosticArray, f'dual_cnn/{camera}/decision', qos
            )
            robot.wait_until('it is heard', robot.decisions.get_subscription_count)
            robot.decide(1.0)
            robot.reported('frames', 'waiting', str(count))
        assert not any(other.get_subscription_count() for other in others)


def test_bad_and_late_messages_are_counted(tmp_path: Path, robot: Robot) -> None:
    with energy(tmp_path):
        robot.connect()
        robot.decisions.publish(DiagnosticArray(status=[DiagnosticStatus(name='dual_cnn: x')]))
        for name in ('power_monitor: total', 'power_monitor: A'):
            robot.rails.publish(DiagnosticArray(status=[DiagnosticStatus(name=name)]))
        # Nanoseconds since 1970.
        robot.reading(1.7e18, 1.0, delay=1.7e18)
        robot.decide(1.0)
        robot.reported('frames', 'waiting', '1')
        robot.rest(0.0, 20.0)
        robot.reported('frames', 'decisions', '1')
        robot.next_report()
        late = int(robot.last('late'))
        # By its stamp, this one was on its way for a quarter of an hour.
        robot.reading(20.0, IDLE, delay=900.0)
        robot.wait_until('it is counted', lambda: robot.last('late') == str(late + 1))
        assert [robot.last(f'bad_{what}') for what in ('decisions', 'readings')] == ['1', '2']
        assert robot.last('without_total') == '1'


def test_recorded_time(tmp_path: Path, robot: Robot) -> None:
    """With a simulation's clock that stands still, stamps of long ago, and loops."""
    with energy(tmp_path, use_sim_time=True):
        robot.connect()
        for loop in range(3):
            robot.rest(100.0, 20.0)
            robot.reported('total', 'restarts', str(loop))
        robot.next_report()
        # By a clock that stands still, all readings of a loop seem late until it is noticed.
        assert int(robot.last('late')) <= 2


BAD: list[tuple[str, Any]] = [
    ('window_s', 0.1),
    ('baseline', 'measured'),
    ('baseline', 'bundle'),
    ('rails_topic', ''),
    ('rails_topic', 'with space'),
    ('rails_topic', 'dual_cnn/decision'),
    ('rails_topic', '**'),
    ('decision_topics', ['']),
    ('decision_topics', ['a', 'a']),
    ('decision_topics', ['1/a']),
    ('decision_topics', ['dual_cnn/**']),
    ('decision_topics', ['dual_cnn/front**/decision']),
]


@pytest.mark.parametrize(('name', 'value'), BAD)
def test_a_node_with_a_bad_parameter_is_not_made(name: str, value: Any) -> None:
    assert_refused(EnergyNode, {name: value}, name)


def test_with_a_real_classifier(tmp_path: Path, robot: Robot) -> None:
    """All three nodes: decisions of every source are heard, understood and paid for."""
    for publisher in (robot.rails, robot.decisions):
        robot.node.destroy_publisher(publisher)
    root = fixtures.build(tmp_path, fixtures.agx_orin())
    bundle = make_bundle(tmp_path / 'bundle')
    with (
        running('power', tmp_path / 'power', sysfs_root=str(root)),
        classifier(tmp_path / 'classifier', bundle=str(bundle), image_topics=['image']),
        energy(tmp_path / 'energy', window_s=1.0),
    ):
        camera = Camera(robot, 'image', 'dual_cnn/classification')
        camera.connect()
        seed = iter(range(10**6))

        def look() -> None:
            # One new frame and, once it is answered and not overtaken, the same one again.
            message = frame('red', seed=next(seed))
            camera.ask(message)
            camera.ask(message)
            # The machine stalled, and so early that it counts for much.
            if 'readings cover only' in robot.report.get('frames', {}).get('message', ''):
                robot.trigger('reset')

        robot.wait_until(
            'decisions by a CNN and by the memory that have a cost',
            lambda: {'first', 'memory'} <= robot.report.keys() and robot.per_frame,
            meanwhile=look,
            every=0.05,
        )
        assert robot.per_frame[-1] > 0
        first, memory = robot.report['first'], robot.report['memory']
        assert 0 < float(first['busy_seconds.first']) < 1
        assert 0 < float(memory['busy_seconds.memory']) < 1
        assert 'busy_seconds.first' not in memory
