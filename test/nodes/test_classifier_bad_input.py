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
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from tiny_bundle import make_bundle

from dual_cnn_ros.messages.images import from_image_msg, to_image_msg

pytestmark = pytest.mark.ros

FRONT, REAR = '/front/image', '/rear/image/compressed'
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
MEGABYTE = 1_000_000
HOMELESS = '~no_such_user'


@pytest.fixture(scope='module')
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp('bundle'))


@pytest.fixture(scope='class')
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.close()


@pytest.fixture(scope='class')
def node(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[NodeProcess]:
    """Run a node with two cameras, one raw and one compressed."""
    with classifier(
        tmp_path_factory.mktemp('node'),
        bundle=str(bundle),
        image_topics=[FRONT, REAR],
        silent_after=1.0,
    ) as process:
        yield process
        assert 'Traceback' not in process.log


@pytest.fixture(scope='class')
def front(client: Client, node: NodeProcess) -> Iterator[Camera]:
    camera = Camera(client, FRONT, '/dual_cnn/front/classification')
    camera.connect()
    yield camera
    camera.close()


@pytest.fixture(scope='class')
def rear(client: Client, node: NodeProcess) -> Iterator[Camera]:
    camera = Camera(client, REAR, '/dual_cnn/rear/classification')
    camera.connect()
    yield camera
    camera.close()


def answers(camera: Camera, message: Any) -> str:
    """Return the first class that the node gives for a message."""
    return str(camera.ask(camera.stamp(message)).results[0].class_id)


class TestFrames:
    """Bad frames cost themselves; the node is the same one throughout."""

    def refuse(self, client: Client, name: str, camera: Camera, message: Any) -> None:
        """Check that a message is counted as bad and not answered."""
        before = int(client.last_values(f'camera {name}')['bad'])
        camera.stamp(message)
        camera.answers.clear()
        client.wait_until(
            'the frame is counted as bad',
            lambda: int(client.last_values(f'camera {name}')['bad']) > before,
            meanwhile=lambda: camera.send(message),
            every=5,
        )
        assert camera.answers == []

    def test_bad_raw_frame(self, client: Client, node: NodeProcess, front: Camera) -> None:
        message = frame('red')
        message.data = message.data[:-1]
        self.refuse(client, 'front', front, message)
        assert '[WARN]' in node.log and FRONT in node.log and 'truncated' in node.log
        assert answers(front, frame('green')) == 'green'

    def test_bad_compressed_frame(self, client: Client, rear: Camera) -> None:
        message = compressed('red')
        message.data = array('B', bytes(message.data)[: len(message.data) // 2])
        self.refuse(client, 'rear', rear, message)
        assert answers(rear, compressed('blue')) == 'blue'

    def test_single_pixel(self, client: Client, front: Camera) -> None:
        pixel = np.array([[[0, 255, 0]]], np.uint8)
        message = front.stamp(to_image_msg(pixel, Header(), 'bgr8', Image))
        assert front.ask(message).results[0].class_id == 'green'
        overlays: list[Image] = []
        subscription = client.node.create_subscription(
            Image, '/dual_cnn/front/overlay', overlays.append, 10
        )
        client.wait_until('an overlay', lambda: overlays, meanwhile=lambda: front.send(message))
        client.node.destroy_subscription(subscription)
        assert overlays[0].header == message.header
        assert from_image_msg(overlays[0]).shape == (320, 320, 3)

    def test_frame_without_a_header(self, front: Camera) -> None:
        message = frame('blue')
        assert message.header == Header()
        answer = front.ask(message)
        assert answer.header == message.header
        assert answer.results[0].class_id == 'blue'

    # The last, since a camera that has sent distances is in doubt from then on.
    def test_depth_image_is_refused_once(
        self, client: Client, node: NodeProcess, front: Camera
    ) -> None:
        message = Image(height=4, width=4, encoding='16UC1', step=16, data=array('B', bytes(64)))
        for _ in range(3):
            self.refuse(client, 'front', front, message)
        assert node.log.count('is a depth image') == 1
        client.wait_for_status('camera front', ERROR)
        assert answers(front, frame('red')) == 'red'


@pytest.mark.slow
@pytest.mark.parametrize('topic', [FRONT, REAR])
def test_frame_of_48_million_pixels(
    tmp_path: Path, bundle: Path, client: Client, topic: str
) -> None:
    # Best effort loses most messages of this size on the way, whoever listens.
    reliable = {f'qos_overrides.{topic}.subscription.reliability': 'reliable'}
    with classifier(tmp_path, bundle=str(bundle), image_topics=[topic], **reliable):
        camera = Camera(client, topic, '/dual_cnn/classification')
        camera.connect()
        make = frame if topic == FRONT else compressed
        message = camera.stamp(make('green', height=6000, width=8000))
        assert camera.ask(message, every=15).results[0].class_id == 'green'
        camera.close()


def test_an_overlay_without_pillow_has_no_text(
    tmp_path: Path, bundle: Path, client: Client
) -> None:
    (tmp_path / 'PIL').mkdir()
    (tmp_path / 'PIL' / '__init__.py').write_text('raise ImportError("hidden by a test")')
    with classifier(
        tmp_path / 'node',
        first_on_path=str(tmp_path),
        bundle=str(bundle),
        image_topics=[FRONT],
        memory=False,
    ) as node:
        camera = Camera(client, FRONT, '/dual_cnn/classification')
        camera.connect()
        overlays: list[Image] = []
        client.node.create_subscription(Image, '/dual_cnn/overlay', overlays.append, 10)
        client.wait_until(
            'three overlays',
            lambda: len(overlays) >= 3,
            meanwhile=lambda: camera.send(camera.stamp(frame('red'))),
            every=0.1,
        )
        assert answers(camera, frame('blue')) == 'blue'
        assert node.log.count('the overlay has no text') == 1
        assert 'apt install python3-pil' in node.log
        camera.close()


class TestParameters:
    """Values that cannot be are refused while the node runs; it goes on with the old ones."""

    @pytest.mark.parametrize(
        ('name', 'value', 'reason'),
        [
            ('score', 'loudness', 'score must be one of'),
            ('threshold', -0.5, 'threshold must be in'),
            # rclpy itself refuses these, and does not name the parameter.
            ('threshold', 1.5, ''),
            ('top_k', 'all', 'Wrong parameter type'),
            ('memory', 1, 'Wrong parameter type'),
            ('autostart', False, 'autostart'),
            # Sound ones, of which this bundle has none.
            ('score', 'entropy', 'not calibrated for score entropy'),
            ('operating_point', 'frugal', 'operating_point must be one that bundle'),
            ('bundle', 'signs', 'cannot change while configured'),
            ('image_topics', ['other'], 'cannot change while active'),
            ('memory_file', f'{HOMELESS}/memory.npz', 'memory_file'),
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

    def test_set_of_values_of_which_one_is_invalid(self, client: Client, front: Camera) -> None:
        parameters: list[Any] = [
            Parameter('top_k', value=2),
            Parameter('post_check', value='majority'),
        ]
        response = client.call(
            SetParametersAtomically,
            '/dual_cnn/set_parameters_atomically',
            SetParametersAtomically.Request(parameters=[p.to_parameter_msg() for p in parameters]),
        )
        assert not response.result.successful
        assert client.get('top_k') == 5
        assert len(front.ask(front.stamp(frame('green'))).results) == 3

    # From here on the node is inactive.
    def test_invalid_value_while_inactive(self, client: Client) -> None:
        assert client.transition('deactivate')
        for topics in ([FRONT, FRONT], ['no good'], ['']):
            result = client.set('image_topics', topics)
            assert not result.successful and 'image_topics' in result.reason
        assert client.get('image_topics') == [FRONT, REAR]

    def test_camera_names_that_do_not_fit(self, client: Client, node: NodeProcess) -> None:
        for names in (['alone'], ['same', 'same']):
            assert client.set('camera_names', names).successful
            assert not client.transition('activate')
            assert client.state() == 'inactive'
        client.wait_until('the log names camera_names', lambda: 'set camera_names' in node.log)

    def test_activated_once_the_names_fit(self, client: Client) -> None:
        assert client.set('camera_names', ['left', 'right']).successful
        assert client.transition('activate')
        camera = Camera(client, FRONT, '/dual_cnn/left/classification')
        camera.connect()
        assert answers(camera, frame('red')) == 'red'
        camera.close()


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
    tmp_path: Path, bundle: Path, name: str, value: Any, message: str
) -> None:
    with classifier(tmp_path, **{'bundle': str(bundle), name: value}) as node:
        assert node.wait() == 1
        assert message in node.log
        assert 'Traceback' not in node.log


def test_parameter_of_a_type_that_rclpy_does_not_know(
    tmp_path: Path, bundle: Path, client: Client
) -> None:
    with classifier(tmp_path, bundle=str(bundle), image_topics=[FRONT]) as node:
        camera = Camera(client, FRONT, '/dual_cnn/classification')
        camera.connect()
        sender: Any = client.node.create_client(SetParameters, '/dual_cnn/set_parameters')
        client.wait_until('the service is there', sender.service_is_ready)
        message = Parameter('top_k', value=2).to_parameter_msg()
        message.value.type = 200
        sender.call_async(SetParameters.Request(parameters=[message]))  # never answered
        client.wait_until('the log tells of it', lambda: '200 is not a valid' in node.log)
        client.node.destroy_client(sender)
        assert answers(camera, frame('blue')) == 'blue'
        assert client.set('top_k', 3).successful and client.get('top_k') == 3
        camera.close()


def test_a_bundle_that_is_not_sound_is_refused_and_another_can_be_tried(
    tmp_path: Path, bundle: Path, client: Client
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
        assert client.set('bundle', str(bundle)).successful
        assert client.transition('configure') and client.transition('activate')
        camera = Camera(client, '/image', '/dual_cnn/classification')
        camera.connect()
        assert answers(camera, frame('green')) == 'green'
        camera.close()
        assert 'Traceback' not in node.log


@pytest.fixture(scope='class')
def file(tmp_path_factory: pytest.TempPathFactory, client: Client, front: Camera) -> Path:
    """Return a file with a memory of two frames, which the node has too."""
    path = tmp_path_factory.mktemp('memory') / '{memory} of {robot}.npz'
    for colour in ('red', 'green'):
        front.ask(front.stamp(frame(colour)))
    assert client.set('memory_file', str(path)).successful
    response = client.trigger('save_memory')
    assert response.success and str(path) in response.message
    return path


class TestMemoryFile:
    """A file that is no memory of this bundle is refused, and the memory stays."""

    def refuse(self, client: Client, path: Path, words: str) -> None:
        """Check that a file is not loaded, and that the memory still has its two frames."""
        assert client.set('memory_file', str(path)).successful
        response = client.trigger('load_memory')
        assert not response.success
        assert str(path) in response.message
        assert words in response.message
        assert client.values('cascade')['memory'] == '2/1024'

    def test_damaged_file(self, tmp_path: Path, client: Client, file: Path) -> None:
        path = tmp_path / 'memory.npz'
        path.write_bytes(file.read_bytes()[:-1])
        self.refuse(client, path, 'not a memory file, or a damaged one')

    def test_missing_file(self, tmp_path: Path, client: Client, file: Path) -> None:
        self.refuse(client, tmp_path / 'none.npz', 'No such file')

    def test_file_that_cannot_be_written(self, client: Client, file: Path) -> None:
        assert client.set('memory_file', '/proc/no/memory.npz').successful
        response = client.trigger('save_memory')
        assert not response.success
        assert '/proc/no' in response.message

    def test_sound_file(self, client: Client, file: Path) -> None:
        assert client.trigger('clear_memory').message == 'forgot 2 frames'
        assert client.set('memory_file', str(file)).successful
        assert client.trigger('load_memory').success
        assert client.values('cascade')['memory'] == '2/1024'

    def test_file_of_another_threshold(self, client: Client, file: Path) -> None:
        assert client.set('memory_file', str(file)).successful
        assert client.set('threshold', 0.5).successful
        response = client.trigger('load_memory')
        assert not response.success
        assert 'saved under another' in response.message


@pytest.mark.parametrize('namespace', ['', '/fleet/robot2'])
def test_default_file_is_that_of_one_node_only(
    tmp_path: Path, bundle: Path, client: Client, namespace: str
) -> None:
    node = NodeProcess(
        tmp_path, 'classifier', {'bundle': str(bundle)}, ['--remap', f'__ns:={namespace or "/"}']
    )
    name = f'{namespace}/dual_cnn'
    path = tmp_path / f'{name[1:].replace("/", "_")}_memory.npz'
    try:
        response = client.call(Trigger, f'{name}/save_memory', Trigger.Request())
        assert response.success and str(path) in response.message
        assert path.is_file()
        assert node.interrupt() == 0, node.log
    finally:
        node.kill()


def test_memory_without_a_home(tmp_path: Path, bundle: Path, client: Client) -> None:
    node = NodeProcess(tmp_path, 'classifier', {'bundle': str(bundle)}, ROS_HOME=HOMELESS)
    try:
        for service in ('save_memory', 'load_memory'):
            response = client.trigger(service)
            assert not response.success
            assert 'memory_file' in response.message and HOMELESS in response.message
        assert node.interrupt() == 0, node.log
    finally:
        node.kill()


# Cameras and nodes that come and go ------------------------------------------------------------


def test_camera_that_stops_and_returns(client: Client, node: NodeProcess) -> None:
    camera = Camera(client, FRONT, '/dual_cnn/front/classification')
    camera.connect()
    client.wait_for_status('camera front', OK, meanwhile=lambda: camera.send(frame('red')))
    camera.close()
    warning = client.wait_for_status('camera front', WARN)
    assert FRONT in warning.message
    assert '0 publishers' in warning.message
    camera = Camera(client, FRONT, '/dual_cnn/front/classification')
    camera.connect()
    client.wait_for_status('camera front', OK, meanwhile=lambda: camera.send(frame('red')))
    assert answers(camera, frame('green')) == 'green'
    # The other one has been silent all the while.
    assert REAR in client.wait_for_status('camera rear', WARN).message
    camera.close()


def test_node_killed_and_restarted_while_the_camera_runs(
    tmp_path: Path, bundle: Path, client: Client
) -> None:
    camera = Camera(client, FRONT, '/dual_cnn/classification')
    client.node.create_timer(0.05, lambda: camera.send(camera.stamp(frame('blue'))))
    for life in ('first', 'second'):
        with classifier(tmp_path / life, bundle=str(bundle), image_topics=[FRONT]) as node:
            camera.answers.clear()
            client.wait_until(f'ten answers in its {life} life', lambda: len(camera.answers) >= 10)
            assert {answer.results[0].class_id for answer in camera.answers} == {'blue'}
            stamps = [answer.header.stamp.sec for answer in camera.answers]
            assert stamps == sorted(set(stamps))
            if life == 'first':
                node.kill()


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
        assert answers(front, frame('green')) == 'green'

    live(10)
    before = node.memory
    live(50)
    assert node.memory - before < 3 * MEGABYTE


@pytest.mark.slow
def test_ten_thousand_frames_hold_no_more_memory(
    client: Client, node: NodeProcess, front: Camera
) -> None:
    random = np.random.default_rng(0)

    def classify(frames: int) -> None:
        # All different, so that the memory is full after 1024 and forgets from then on.
        for pixels in random.integers(0, 256, (frames, 24, 32, 3), np.uint8):
            front.ask(front.stamp(to_image_msg(pixels, Header(), 'bgr8', Image)))

    classify(2_000)
    before = node.memory
    classify(8_000)
    assert node.memory - before < 2 * MEGABYTE
    assert client.values('cascade')['memory'] == '1024/1024'
    assert int(client.values('camera front')['classified']) >= 10_000
