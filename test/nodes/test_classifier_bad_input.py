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

"""What goes wrong on a robot, done to the running node: it says so, and goes on."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from node_fixtures import Camera, classifier, Client, compressed, frame, NodeProcess
import numpy as np
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from tiny_bundle import make_bundle

from dual_cnn_ros.messages.images import to_image_msg

pytestmark = pytest.mark.ros

FRONT, REAR = '/front/image', '/rear/image/compressed'
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
MEGABYTE = 1_000_000


@pytest.fixture(scope='module')
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_bundle(tmp_path_factory.mktemp('bundle')))


@pytest.fixture(scope='class')
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.close()


@pytest.fixture(scope='class')
def node(tmp_path_factory: pytest.TempPathFactory, bundle: str) -> Iterator[NodeProcess]:
    """Run a node with two cameras, one raw and one compressed."""
    folder = tmp_path_factory.mktemp('node')
    topics = [FRONT, REAR]
    with classifier(folder, bundle=bundle, image_topics=topics, silent_after=1.0) as process:
        yield process


@pytest.fixture(scope='class')
def front(client: Client, node: NodeProcess) -> Camera:
    return client.camera(FRONT, 'front')


class TestFrames:
    """A bad frame is counted and not answered; the same node answers the next good one."""

    def refuse(self, client: Client, front: Camera, message: Any) -> None:
        """Check that a message is counted as bad and not answered."""
        before = int(client.last_values('camera front')['bad'])
        front.answers.clear()
        client.wait_until(
            'the frame is counted as bad',
            lambda: int(client.last_values('camera front')['bad']) > before,
            meanwhile=lambda: front.send(message),
            every=5,
        )
        assert front.answers == []

    def test_bad_frame(self, client: Client, node: NodeProcess, front: Camera) -> None:
        message = frame('red')
        message.data = message.data[:-1]
        self.refuse(client, front, message)
        assert '[WARN]' in node.log and FRONT in node.log and 'truncated' in node.log
        assert front.label_of(frame('green')) == 'green'

    def test_frame_without_a_header(self, front: Camera) -> None:
        answer = front.ask(frame('blue'), stamped=False)
        assert answer.header == Header()
        assert answer.results[0].class_id == 'blue'

    # The last, since a camera that has sent distances is in doubt from then on.
    def test_depth_image_is_refused_once(
        self, client: Client, node: NodeProcess, front: Camera
    ) -> None:
        message = Image(height=4, width=4, encoding='16UC1', step=16, data=array('B', bytes(64)))
        client.wait_until(
            'the log says it',
            lambda: 'is a depth image' in node.log,
            meanwhile=lambda: front.send(message),
        )
        for _ in range(3):
            self.refuse(client, front, message)
        assert node.log.count('is a depth image') == 1
        client.wait_for_status('camera front', ERROR, 'depth', lambda: front.send(message))
        assert front.label_of(frame('red')) == 'red'


@pytest.mark.slow
@pytest.mark.parametrize(('topic', 'make'), [(FRONT, frame), (REAR, compressed)])
def test_frame_of_48_million_pixels(
    tmp_path: Path, bundle: str, client: Client, topic: str, make: Any
) -> None:
    # Best effort loses most messages of this size on the way, whoever listens.
    reliable = {f'qos_overrides.{topic}.subscription.reliability': 'reliable'}
    with classifier(tmp_path, bundle=bundle, image_topics=[topic], **reliable):
        message = make('green', height=6000, width=8000)
        answer = client.camera(topic).ask(message, every=15)
        assert answer.results[0].class_id == 'green'


def test_an_overlay_without_pillow_has_no_text(
    tmp_path: Path, bundle: str, client: Client
) -> None:
    (tmp_path / 'PIL').mkdir()
    (tmp_path / 'PIL' / '__init__.py').write_text('raise ImportError("hidden by a test")')
    folder = tmp_path / 'node'
    given = {'bundle': bundle, 'image_topics': [FRONT], 'memory': False}
    with classifier(folder, first_on_path=str(tmp_path), **given) as node:
        camera = client.camera(FRONT)
        overlays: list[Image] = []
        client.hear(Image, '/dual_cnn/overlay', overlays.append)
        client.wait_until(
            'three overlays',
            lambda: len(overlays) >= 3,
            meanwhile=lambda: camera.send(frame('red')),
            every=0.1,
        )
        assert camera.label_of(frame('blue')) == 'blue'
        assert node.log.count('the overlay has no text') == 1
        assert 'apt install python3-pil' in node.log


class TestParameters:
    """Values that cannot be are refused while the node runs; it goes on with the old ones."""

    @pytest.mark.parametrize(
        ('name', 'value', 'reason'),
        [
            ('score', 'loudness', 'score must be one of'),
            # rclpy itself refuses these, and does not name the parameter.
            ('threshold', 1.5, ''),
            ('top_k', 'all', 'Wrong parameter type'),
            ('autostart', False, 'autostart'),
            # A sound one, for which this bundle is not calibrated.
            ('score', 'entropy', 'not calibrated for score entropy'),
            ('bundle', 'signs', 'cannot change while configured'),
            ('image_topics', ['other'], 'cannot change while active'),
        ],
        ids=repr,
    )
    def test_invalid_value(
        self, client: Client, node: NodeProcess, name: str, value: Any, reason: str
    ) -> None:
        before = client.get(name)
        result = client.set(name, value)
        assert not result.successful
        assert result.reason and reason in result.reason
        assert client.get(name) == before

    def test_camera_names_that_do_not_fit(self, client: Client, node: NodeProcess) -> None:
        assert client.transition('deactivate')
        for names in (['alone'], ['same', 'same']):
            assert client.set('camera_names', names).successful
            assert not client.transition('activate')
            assert client.state() == 'inactive'
        client.wait_until('the log names camera_names', lambda: 'set camera_names' in node.log)
        assert client.set('camera_names', ['left', 'right']).successful
        assert client.transition('activate')
        assert client.camera(FRONT, 'left').label_of(frame('red')) == 'red'


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('threshold', 2.0, 'threshold'),
        ('top_k', 'many', 'top_k'),
        ('camera_names', ['one', 'too', 'many'], 'camera_names'),
        ('bundle', '/no/such/bundle', '/no/such/bundle/bundle.yaml: not found'),
        ('operating_point', 'frugal', 'operating_point'),
    ],
)
def test_node_does_not_start_with_an_invalid_value(
    tmp_path: Path, bundle: str, name: str, value: Any, message: str
) -> None:
    with NodeProcess(tmp_path, 'classifier', {'bundle': bundle, name: value}) as node:
        assert node.wait() == 1
        assert message in node.log
        assert 'Traceback' not in node.log


def test_parameter_of_a_type_that_rclpy_does_not_know(
    tmp_path: Path, bundle: str, client: Client
) -> None:
    given = {'bundle': bundle, 'image_topics': [FRONT]}
    with NodeProcess(tmp_path, 'classifier', given) as node:
        camera = client.camera(FRONT)
        sender: Any = client.node.create_client(SetParameters, '/dual_cnn/set_parameters')
        client.wait_until('the service is there', sender.service_is_ready)
        message = Parameter('top_k', value=2).to_parameter_msg()
        message.value.type = 200
        sender.call_async(SetParameters.Request(parameters=[message]))  # never answered
        client.wait_until('the log tells of it', lambda: '200 is not a valid' in node.log)
        client.node.destroy_client(sender)
        assert camera.label_of(frame('blue')) == 'blue'
        assert client.set('top_k', 3).successful and client.get('top_k') == [3]
        assert node.interrupt() == 0


def test_a_bundle_that_is_not_sound_is_refused_and_another_can_be_tried(
    tmp_path: Path, bundle: str, client: Client
) -> None:
    damaged = make_bundle(tmp_path / 'damaged')
    model = bytearray((damaged / 'first.onnx').read_bytes())
    model[len(model) // 2] ^= 1
    (damaged / 'first.onnx').write_bytes(model)
    with classifier(tmp_path, autostart=False) as node:
        assert client.set('bundle', str(damaged)).successful
        assert not client.transition('configure')
        assert client.state() == 'unconfigured'
        client.wait_until('the refusal is logged', lambda: '[ERROR]' in node.log)
        assert f'{damaged}/bundle.yaml: stages[0].files.onnx.sha256' in node.log
        assert client.set('bundle', bundle).successful
        assert client.transition('configure') and client.transition('activate')
        assert client.camera('/image').label_of(frame('green')) == 'green'


def test_memory_file(tmp_path: Path, client: Client, front: Camera) -> None:
    """A file that cannot be read or written is named, and the memory stays."""
    for colour in ('red', 'green'):
        front.ask(frame(colour))
    file = tmp_path / '{memory} of {robot}.npz'
    assert client.set('memory_file', str(file)).successful
    response = client.trigger('save_memory')
    assert response.success and str(file) in response.message
    damaged = tmp_path / 'damaged.npz'
    damaged.write_bytes(file.read_bytes()[:-1])
    for service, path, reason in (
        ('load_memory', str(damaged), f'{damaged}: not a memory file, or a damaged one'),
        (
            'save_memory',
            '/proc/no/memory.npz',
            'memory_file /proc/no/memory.npz cannot be written: No such file',
        ),
    ):
        assert client.set('memory_file', path).successful
        response = client.trigger(service)
        assert not response.success and reason in response.message
        assert client.values('cascade')['memory'] == '2 frames'
    assert client.trigger('clear_memory').message == 'forgot 2 frames'
    assert client.set('memory_file', str(file)).successful
    assert client.trigger('load_memory').success
    assert client.values('cascade')['memory'] == '2 frames'
    for name, value in (('threshold', 0.5), ('post_check', 'none')):
        assert client.set(name, value).successful
    response = client.trigger('load_memory')
    assert not response.success and 'saved under another' in response.message


def test_default_memory_file_is_that_of_one_node_only(tmp_path: Path, bundle: str) -> None:
    client = Client('fleet/robot2/dual_cnn')
    namespace = ['--remap', '__ns:=/fleet/robot2']
    with NodeProcess(tmp_path, 'classifier', {'bundle': bundle}, namespace) as node:
        path = tmp_path / 'fleet_robot2_dual_cnn_memory.npz'
        response = client.trigger('save_memory')
        assert response.success and str(path) in response.message
        assert path.is_file()
        assert node.interrupt() == 0, node.log
    client.close()


def test_memory_without_a_home(tmp_path: Path, bundle: str, client: Client) -> None:
    nobody = '~no_such_user'
    with NodeProcess(tmp_path, 'classifier', {'bundle': bundle}, ROS_HOME=nobody) as node:
        response = client.trigger('save_memory')
        assert not response.success
        assert 'memory_file' in response.message and nobody in response.message
        assert node.interrupt() == 0, node.log


# Cameras and nodes that come and go ------------------------------------------------------------


def test_camera_that_stops_and_returns(client: Client, node: NodeProcess) -> None:
    camera = client.camera(FRONT, 'front')
    client.wait_for_status('camera front', OK, meanwhile=lambda: camera.send(frame('red')))
    camera.close()
    warning = client.wait_for_status('camera front', WARN)
    assert FRONT in warning.message and 'its publisher is gone' in warning.message
    camera = client.camera(FRONT, 'front')
    client.wait_for_status('camera front', OK, meanwhile=lambda: camera.send(frame('red')))
    assert camera.label_of(frame('green')) == 'green'
    # The other one has been silent all the while.
    assert REAR in client.wait_for_status('camera rear', WARN).message


def test_node_killed_and_restarted_while_the_camera_runs(
    tmp_path: Path, bundle: str, client: Client
) -> None:
    camera = Camera(client, FRONT, '/dual_cnn/classification')
    client.node.create_timer(0.05, lambda: camera.send(frame('blue')))
    for life in ('first', 'second'):
        with NodeProcess(
            tmp_path / life, 'classifier', {'bundle': bundle, 'image_topics': [FRONT]}
        ):
            camera.answers.clear()
            client.wait_until(f'ten answers in its {life} life', lambda: len(camera.answers) >= 10)
            assert {answer.results[0].class_id for answer in camera.answers} == {'blue'}
            stamps = [answer.header.stamp.sec for answer in camera.answers]
            assert stamps == sorted(set(stamps))


# What lasts ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_fifty_lives_in_one_process_hold_no_more_memory(
    client: Client, node: NodeProcess, front: Camera
) -> None:
    def live(times: int) -> None:
        for label in chain.from_iterable(
            [('deactivate', 'cleanup', 'configure', 'activate')] * times
        ):
            assert client.transition(label), node.log
        assert front.label_of(frame('green')) == 'green'

    live(10)
    before = node.memory
    live(50)
    assert node.memory - before < 3 * MEGABYTE


@pytest.mark.slow
def test_ten_thousand_frames_hold_no_more_memory(
    client: Client, node: NodeProcess, front: Camera
) -> None:
    # Nothing repeats, and every frame is remembered all the same.
    assert client.set('memory_patience', 0).successful
    random = np.random.default_rng(0)

    def classify(frames: int) -> None:
        # All different, so that the memory is full after 1024 and forgets from then on.
        for pixels in random.integers(0, 256, (frames, 24, 32, 3), np.uint8):
            front.ask(to_image_msg(pixels, Header(), 'bgr8', Image))

    classify(2_000)
    before = node.memory
    classify(8_000)
    assert node.memory - before < 2 * MEGABYTE
    values = client.values('camera front')
    assert values['memory'] == '1024/1024' and int(values['classified']) >= 10_000
