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

"""
The launch files, run by launch itself: the nodes that they start, and what they refuse.

Two robots share a machine. One is the classifier with two cameras. The other has all nodes, in
the namespace /robot, with a parameter file and simulated time, and its classifier waits to be
configured.
"""

from __future__ import annotations

from itertools import product
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any
import unittest
from unittest import mock

from lifecycle_msgs.srv import ChangeState
from node_fixtures import Client, compressed, frame, PATIENCE
import pytest
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Float64
from tiny_bundle import make_bundle
import yaml

try:
    from launch import LaunchDescription
    from launch.actions import GroupAction, IncludeLaunchDescription, SetLaunchConfiguration
    from launch.launch_description_sources import PythonLaunchDescriptionSource
    import launch_ros  # noqa: F401 - the launch files need it
    from launch_testing import post_shutdown_test
    from launch_testing.actions import ReadyToTest
    from launch_testing.asserts import assertExitCodes
except ImportError:
    pytest.skip(
        'needs launch_testing and launch_ros, which come with an installation of ROS 2',
        allow_module_level=True,
    )

pytestmark = [pytest.mark.ros, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
CASCADE = ROOT / 'launch' / 'cascade.launch.py'
ROBOT = ROOT / 'launch' / 'robot.launch.py'
FILES = {
    CASCADE: ['/dual_cnn'],
    ROBOT: ['/dual_cnn'],
    **{
        ROOT / 'launch' / 'examples' / f'{name}.launch.py': nodes
        for name, nodes in {
            'lifecycle_manager': ['/dual_cnn'],
            'overrides': ['/dual_cnn'],
            'two_robots': ['/r1/dual_cnn', '/r2/dual_cnn'],
        }.items()
    },
}
ENVIRONMENT = mock.patch.dict(os.environ)


@pytest.mark.launch_test
@pytest.mark.timeout(600)
def generate_test_description() -> tuple[LaunchDescription, dict[str, Any]]:
    folder = Path(tempfile.mkdtemp())
    bundle = str(make_bundle(folder / 'tiny'))
    watts = folder / 'power.csv'
    watts.write_text('time,rail,watts,scope\n' + ''.join(f'{t},in,5,module\n' for t in range(999)))
    (folder / 'robot.yaml').write_text(
        yaml.safe_dump(
            {
                '/**': {
                    'ros__parameters': {
                        'bundle': bundle,
                        'threads': 2,
                        'autostart': True,
                        'source': 'recording',
                        'recording': str(watts),
                        'window_s': 3.0,
                        'qos_overrides': {
                            '/robot/image': {'subscription': {'reliability': 'reliable'}}
                        },
                    }
                }
            }
        )
    )
    ENVIRONMENT.start()
    os.environ['ROS_HOME'] = str(folder)
    make_workspace(folder / 'install')
    return LaunchDescription(
        [
            # A busy machine is no error of the nodes.
            SetLaunchConfiguration('sigterm_timeout', str(PATIENCE)),
            include(
                CASCADE,
                bundle=bundle,
                image_topics='front/image_raw,rear/image_raw/compressed',
                camera_names='front, rear',
                threshold='1',
                memory_file=str(folder / 'memory.npz'),
                memory_persist='true',
                log_level='debug',
            ),
            include(
                ROBOT,
                params_file=str(folder / 'robot.yaml'),
                namespace='robot',
                use_sim_time='true',
                autostart='false',
            ),
            ReadyToTest(),
        ]
    ), {'folder': folder}


def make_workspace(prefix: Path) -> None:
    """Let launch find the nodes of this checkout, whatever else is installed."""
    marker = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'dual_cnn_ros'
    marker.parent.mkdir(parents=True)
    marker.touch()
    (prefix / 'share' / 'dual_cnn_ros').symlink_to(ROOT)
    programs = prefix / 'lib' / 'dual_cnn_ros'
    programs.mkdir(parents=True)
    for node in ('classifier', 'power', 'energy'):
        program = programs / node
        program.write_text(
            f'#!/bin/sh\nexec {sys.executable} -m dual_cnn_ros.nodes.start {node} "$@"\n'
        )
        program.chmod(0o755)
    for name, path in (('AMENT_PREFIX_PATH', prefix), ('PYTHONPATH', ROOT)):
        os.environ[name] = os.pathsep.join(filter(None, [str(path), os.environ.get(name)]))


def include(file: Path, **arguments: str) -> GroupAction:
    return GroupAction(
        [
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(file)), launch_arguments=arguments.items()
            )
        ]
    )


class TestNodes(unittest.TestCase):
    """While they run."""

    def setUp(self) -> None:
        self.client = self.ask('dual_cnn')
        nodes = {
            ('dual_cnn', '/'),
            *((node, '/robot') for node in ('dual_cnn', 'energy_monitor', 'power_monitor')),
        }
        self.client.wait_until(
            'all nodes are there',
            lambda: nodes <= set(self.client.node.get_node_names_and_namespaces()),
            3 * PATIENCE,
        )

    def ask(self, node: str) -> Client:
        client = Client(node)
        self.addCleanup(client.close)
        return client

    def test_arguments_take_precedence_over_the_file_and_the_file_over_defaults(
        self, folder: Path
    ) -> None:
        names = 'bundle', 'image_topics', 'autostart', 'use_sim_time', 'threads'
        bundle, topics = str(folder / 'tiny'), ['front/image_raw', 'rear/image_raw/compressed']
        assert self.client.get(*names) == [bundle, topics, True, False, 1]
        given = self.client.get('camera_names', 'threshold', 'memory_persist')
        assert given == [['front', 'rear'], 1.0, True]
        robot = self.ask('robot/dual_cnn')
        assert robot.get(*names) == [bundle, ['image'], False, True, 2]

    def test_all_nodes_of_a_robot_have_its_file_and_the_arguments(self, folder: Path) -> None:
        power, energy = self.ask('robot/power_monitor'), self.ask('robot/energy_monitor')
        assert power.get('source', 'use_sim_time') == ['recording', True]
        names = 'window_s', 'use_sim_time', 'bundle'
        assert energy.get(*names) == [3.0, True, str(folder / 'tiny')]
        heard: list[float] = []
        self.client.node.create_subscription(
            Float64, '/robot/power_monitor/power', lambda message: heard.append(message.data), 10
        )
        # A recording waits for its time to come.
        clock = self.client.node.create_publisher(Clock, '/clock', 10)
        seconds = iter(range(1, 999))

        def tick() -> None:
            message = Clock()
            message.clock.sec = next(seconds)
            clock.publish(message)

        self.client.wait_until('power is published', lambda: heard, meanwhile=tick, every=0.1)
        assert heard[0] == 5.0

    def test_every_camera_is_classified(self) -> None:
        self.client.wait_until('it is active', lambda: self.client.state() == 'active')
        front = self.client.camera('/front/image_raw', 'front')
        rear = self.client.camera('/rear/image_raw/compressed', 'rear')
        assert front.label_of(frame('red')) == 'red'
        assert rear.label_of(compressed('blue')) == 'blue'

    def test_lifecycle_by_hand(self) -> None:
        robot = self.ask('robot/dual_cnn')
        robot.wait_until('it is there', lambda: robot.state() == 'unconfigured')
        # Not waited for: Humble and Jazzy do not answer where a transition is not allowed.
        request = ChangeState.Request()
        request.transition.label = 'activate'
        client = robot.node.create_client(ChangeState, '/robot/dual_cnn/change_state')
        assert client.wait_for_service(PATIENCE)
        client.call_async(request)
        assert robot.state() == 'unconfigured'
        for transition, state in (('configure', 'inactive'), ('activate', 'active')):
            assert robot.transition(transition)
            assert robot.state() == state
        assert robot.get('qos_overrides./robot/image.subscription.reliability') == ['reliable']
        assert robot.camera('/robot/image').label_of(frame('green')) == 'green'
        for transition, state in (('deactivate', 'inactive'), ('cleanup', 'unconfigured')):
            assert robot.transition(transition)
            assert robot.state() == state

    def test_every_file_runs_and_ends_in_order(self) -> None:
        domain = str(int(os.environ['ROS_DOMAIN_ID']) + 100)
        for (file, nodes), interrupts in product(FILES.items(), (1, 2)):
            with (
                self.subTest(f'{file.name}, {interrupts} interrupts'),
                mock.patch.dict(os.environ, ROS_DOMAIN_ID=domain),
                tempfile.TemporaryFile('w+') as log,
            ):
                process = subprocess.Popen(
                    ['ros2', 'launch', str(file)], stdout=log, stderr=log, start_new_session=True
                )
                try:
                    for name in nodes:
                        client = self.ask(name.strip('/'))
                        client.wait_until(
                            f'{name} is active', lambda node=client: node.state() == 'active'
                        )
                        if file.name == 'overrides.launch.py':
                            values = client.get('max_rate', 'threshold', 'memory_max_age')
                            assert values == [5.0, 0.9, 600.0]
                    for _ in range(interrupts):
                        # As a terminal sends it, to launch and to what it started.
                        os.killpg(process.pid, signal.SIGINT)
                        time.sleep(0.05)
                    code = process.wait(PATIENCE)
                finally:
                    process.kill()
                    process.wait()
                log.seek(0)
                said = log.read()
                assert code == 0 and 'Traceback' not in said and 'exception' not in said, said

    def test_a_failed_start_ends_the_launch(self) -> None:
        for file, options in (CASCADE, ['on_exit_shutdown:=true']), (ROBOT, []):
            with self.subTest(file.name):
                command = ['ros2', 'launch', str(file), 'namespace:=wrong', 'bundle:=/nowhere']
                result = subprocess.run([*command, *options], capture_output=True, text=True)
                assert result.returncode == 1
                assert '/nowhere/bundle.yaml: not found' in result.stdout + result.stderr

    def test_what_is_wrong_is_said(self) -> None:
        for argument, *messages in (
            ('bundle:=/nowhere', '/nowhere/bundle.yaml: not found', 'process has died'),
            ('params_file:=/nowhere.yaml', 'params_file: there is no file /nowhere.yaml'),
            ('image_topics:=front,,rear', 'image_topics must be a list like a,b'),
            ('use_sim_time:=perhaps', 'use_sim_time'),
        ):
            with self.subTest(argument):
                result = subprocess.run(
                    ['ros2', 'launch', str(CASCADE), 'namespace:=wrong', argument],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
                for message in messages:
                    assert message in result.stdout


@post_shutdown_test()
class TestEnd(unittest.TestCase):
    """After launch ended them as Ctrl-C does."""

    def test_every_node_ended_in_order(self, proc_info: Any, folder: Path) -> None:
        assertExitCodes(proc_info)
        assert len(proc_info.process_names()) == 4
        ENVIRONMENT.stop()
        shutil.rmtree(folder)
