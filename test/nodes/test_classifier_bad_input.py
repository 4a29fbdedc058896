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
from collections.abc import Callable, Iterator
from itertools import chain
import math
from pathlib import Path
import pickle
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from node_fixtures import (
    Camera,
    classifier,
    Client,
    compressed,
    frame,
    NodeProcess,
)
import numpy as np
import pytest
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from tiny_bundle import LABELS, make_bundle, save_model
import yaml

from dual_cnn_ros.bundle import sha256
from dual_cnn_ros.messages.images import from_compressed_msg, from_image_msg, to_image_msg

FRONT, REAR = '/front/image', '/rear/image/compressed'
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
MEGABYTE = 1_000_000


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


def bad_raw() -> dict[str, Image]:
    """Return messages that hold no picture."""
    cases: dict[str, dict[str, Any]] = {
        'truncated': {'data': frame('red').data[:-1]},
        'without data': {'data': array('B')},
        'step too small': {'step': 95},
        'step 0': {'step': 0},
        'width 0': {'width': 0},
        'height 0': {'height': 0},
        'absurd width': {'width': 2**32 - 1, 'step': 2**32 - 1},
        'unknown encoding': {'encoding': 'rgb9'},
        'no encoding': {'encoding': ''},
        'odd size in nv12': {'encoding': 'nv12', 'width': 31},
        'mosaic of two pixels': {'encoding': 'bayer_rggb8', 'width': 2, 'height': 1},
    }
    messages = {name: frame('red') for name in cases}
    for name, changes in cases.items():
        for field, value in changes.items():
            setattr(messages[name], field, value)
    return messages


def bad_compressed() -> dict[str, CompressedImage]:
    """Return messages that hold no compressed picture."""
    jpeg, png = bytes(compressed('red').data), bytes(compressed('red', '.png').data)
    cases = {
        'empty': ('jpeg', b''),
        'noise': ('jpeg', bytes(np.random.default_rng(0).integers(0, 256, 500, np.uint8))),
        'JPEG cut in the middle': ('jpeg', jpeg[: len(jpeg) // 2]),
        'JPEG without its end': ('jpeg', jpeg[:-2]),
        'JPEG with a damaged header': ('jpeg', jpeg.replace(b'\xff\xc0', b'\xff\xc3')),
        'damaged PNG': ('png', png[:60] + bytes([png[60] ^ 0x55]) + png[61:]),
        'video': ('h264', b'\0\0\0\x01\x67\x42' + bytes(100)),
    }
    return {
        name: CompressedImage(format=text, data=array('B', data))
        for name, (text, data) in cases.items()
    }


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

    @pytest.mark.parametrize('case', bad_raw())
    def test_bad_raw_frame(
        self, client: Client, node: NodeProcess, front: Camera, case: str
    ) -> None:
        self.refuse(client, 'front', front, bad_raw()[case])
        assert front.ask(front.stamp(frame('green'))).results[0].class_id == 'green'

    @pytest.mark.parametrize('case', bad_compressed())
    def test_bad_compressed_frame(
        self, client: Client, node: NodeProcess, rear: Camera, case: str
    ) -> None:
        self.refuse(client, 'rear', rear, bad_compressed()[case])
        assert rear.ask(rear.stamp(compressed('blue'))).results[0].class_id == 'blue'

    def test_jpeg_damaged_in_the_middle_is_answered(self, node: NodeProcess, rear: Camera) -> None:
        # Neither JPEG nor OpenCV's decoder can tell, and the colours that are left may be others.
        message = rear.stamp(compressed('green', height=240, width=320))
        data = bytes(message.data)
        middle = (data.index(b'\xff\xda') + len(data)) // 2
        sound = from_compressed_msg(message)
        message.data = array('B', data[:middle] + bytes(100) + data[middle + 100 :])
        damaged = from_compressed_msg(message)
        assert damaged.shape == sound.shape and (damaged != sound).any()
        assert len(rear.ask(message).results) == 3
        assert rear.ask(rear.stamp(compressed('blue'))).results[0].class_id == 'blue'
        assert node.is_alive

    def test_a_bad_frame_is_named_in_the_log(self, client: Client, node: NodeProcess) -> None:
        assert '[WARN]' in node.log
        assert FRONT in node.log
        assert 'Traceback' not in node.log

    @pytest.mark.parametrize('colour', LABELS)
    def test_single_pixel(self, front: Camera, colour: str) -> None:
        pixel = np.zeros((1, 1, 3), np.uint8)
        pixel[..., 2 - LABELS.index(colour)] = 255
        message = front.stamp(to_image_msg(pixel, Header(), 'bgr8', Image))
        assert front.ask(message).results[0].class_id == colour

    def test_overlay_of_a_single_pixel(self, client: Client, front: Camera) -> None:
        message = front.stamp(to_image_msg(np.zeros((1, 1), np.uint8), Header(), 'mono8', Image))
        overlays: list[Image] = []
        subscription = client.node.create_subscription(
            Image, '/dual_cnn/front/overlay', overlays.append, 10
        )
        client.wait_until('an overlay', lambda: overlays, meanwhile=lambda: front.send(message))
        client.node.destroy_subscription(subscription)
        assert overlays[0].header == message.header
        assert from_image_msg(overlays[0]).shape == (320, 320, 3)

    def test_compressed_single_pixel(self, rear: Camera) -> None:
        answer = rear.ask(rear.stamp(compressed('green', '.png', 1, 1)))
        assert answer.results[0].class_id == 'green'

    def test_frame_without_a_header(self, front: Camera) -> None:
        message = frame('blue')
        assert message.header == Header(stamp=Time(sec=0, nanosec=0), frame_id='')
        answer = front.ask(message)
        assert answer.header == message.header
        assert answer.results[0].class_id == 'blue'

    # The last, since a camera that has sent distances is in doubt from then on.
    @pytest.mark.parametrize('encoding', ['16UC1', '32FC1'])
    def test_depth_image_is_refused_once(
        self, client: Client, node: NodeProcess, front: Camera, encoding: str
    ) -> None:
        message = Image(height=4, width=4, encoding=encoding, step=16, data=array('B', bytes(64)))
        for _ in range(3):
            self.refuse(client, 'front', front, message)
        assert node.log.count('is a depth image') == 1
        assert client.statuses['dual_cnn: camera front'].level == ERROR
        assert front.ask(front.stamp(frame('red'))).results[0].class_id == 'red'


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


HOMELESS = '~no_such_user'
INVALID = [
    ('threshold', 1.5),
    ('threshold', -2.0),
    ('threshold', -0.5),
    ('threshold', math.nan),
    ('threshold', math.inf),
    ('threshold', 'high'),
    ('threshold', 1),
    ('score', 'loudness'),
    ('score', ''),
    ('score', 3),
    ('post_check', 'majority'),
    ('post_check', ['none']),
    # Sound ones, of which this bundle has none.
    ('score', 'entropy'),
    ('post_check', 'average'),
    ('score', 'deferral'),
    ('operating_point', 'frugal'),
    ('operating_point', 1.0),
    ('fingerprint', 'sha256'),
    ('memory', 'yes'),
    ('memory', 1),
    ('memory_capacity', 0),
    ('memory_capacity', -5),
    ('memory_capacity', 2_000_000),
    ('memory_capacity', 10.5),
    ('memory_max_age', -1.0),
    ('memory_max_age', math.nan),
    ('memory_max_age', math.inf),
    ('top_k', 0),
    ('top_k', -1),
    ('top_k', 100_000),
    ('top_k', 'all'),
    ('silent_after', 0.0),
    ('silent_after', math.nan),
    ('silent_after', -1.0),
    ('memory_file', 5),
    ('memory_file', f'{HOMELESS}/memory.npz'),
    ('autostart', False),
    ('bundle', ''),
    ('bundle', '/somewhere/else'),
    ('backend', 'tensorrt'),
    ('backend', 'torch'),
    ('device', 'tpu'),
    ('device', 'cpu'),
    ('threads', -1),
    ('threads', 4),
    ('image_topics', ['other']),
    ('image_topics', [FRONT, FRONT]),
    ('image_topics', ['no good']),
    ('image_transport', 'theora'),
    ('image_transport', 'compressed'),
    ('camera_names', ['left', 'right']),
]


class TestParameters:
    """Values that cannot be are refused while the node runs; it goes on with the old ones."""

    @pytest.mark.parametrize(('name', 'value'), INVALID, ids=lambda value: repr(value))
    def test_invalid_value(self, client: Client, node: NodeProcess, name: str, value: Any) -> None:
        before = client.get(name)
        result = client.set(name, value)
        assert not result.successful
        # rclpy itself refuses other types, and names the two but not the parameter.
        assert name in result.reason or 'Wrong parameter type' in result.reason
        assert client.get(name) == before

    def test_set_of_values_of_which_one_is_invalid(
        self, client: Client, node: NodeProcess
    ) -> None:
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

    def test_node_that_refused_all_this_works_as_before(
        self, client: Client, node: NodeProcess, front: Camera
    ) -> None:
        answer = front.ask(front.stamp(frame('green')))
        assert answer.results[0].class_id == 'green'
        assert len(answer.results) == 3
        assert 'Traceback' not in node.log

    # From here on the node is inactive.
    @pytest.mark.parametrize(
        ('name', 'value'),
        [
            ('image_topics', [FRONT, FRONT]),
            ('image_topics', ['no good']),
            ('image_topics', ['']),
            ('camera_names', ['no good', 'rear']),
            ('image_transport', 'theora'),
            ('backend', 'torch'),
            ('bundle', '/somewhere/else'),
        ],
    )
    def test_invalid_value_while_inactive(
        self, client: Client, node: NodeProcess, name: str, value: Any
    ) -> None:
        if client.state() == 'active':
            assert client.transition('deactivate')
        before = client.get(name)
        result = client.set(name, value)
        assert not result.successful
        assert name in result.reason
        assert client.get(name) == before

    @pytest.mark.parametrize('names', [['alone'], ['same', 'same'], ['a', 'b', 'c']])
    def test_camera_names_that_do_not_fit(
        self, client: Client, node: NodeProcess, names: list[str]
    ) -> None:
        assert client.set('camera_names', names).successful
        assert not client.transition('activate')
        assert client.state() == 'inactive'
        client.wait_until('the log names camera_names', lambda: 'camera_names' in node.log)

    def test_activated_once_the_names_fit(self, client: Client, node: NodeProcess) -> None:
        assert client.set('camera_names', ['']).successful
        assert client.transition('activate')
        camera = Camera(client, FRONT, '/dual_cnn/front/classification')
        camera.connect()
        assert camera.ask(camera.stamp(frame('red'))).results[0].class_id == 'red'
        camera.close()


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('threshold', 2.0),
        ('score', 'loudness'),
        ('top_k', 'many'),
        ('image_topics', ['no good']),
        ('camera_names', ['one', 'too', 'many']),
        ('bundle', '/no/such/bundle'),
        ('score', 'deferral'),
        ('operating_point', 'frugal'),
        ('bundle', f'{HOMELESS}/bundle'),
        ('memory_file', f'{HOMELESS}/memory.npz'),
    ],
)
def test_node_does_not_start_with_an_invalid_value(
    tmp_path: Path, bundle: Path, name: str, value: Any
) -> None:
    with classifier(tmp_path, **{'bundle': str(bundle), name: value}) as node:
        assert node.wait() == 1
        assert (value if name == 'bundle' else name) in node.log
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
        assert 'Traceback' in node.log
        client.node.destroy_client(sender)
        assert camera.ask(camera.stamp(frame('blue'))).results[0].class_id == 'blue'
        assert client.set('top_k', 3).successful and client.get('top_k') == 3
        camera.close()


# Bundles ---------------------------------------------------------------------------------------


class Trap:
    """Makes a file when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


def change(*keys: Any) -> Callable[[Any, Path], None]:
    """Return what sets the field at a path of keys, the last of `keys` being the value."""
    *path, last, value = keys

    def apply(content: Any, folder: Path) -> None:
        for key in path:
            content = content[key]
        content[last] = value

    return apply


def remove(*keys: Any) -> Callable[[Any, Path], None]:
    """Return what removes the field at a path of keys."""
    *path, last = keys

    def apply(content: Any, folder: Path) -> None:
        for key in path:
            content = content[key]
        del content[last]

    return apply


def edit_bundle(folder: Path, edit: Callable[[Any, Path], None]) -> None:
    """Change the fields in a bundle's file."""
    file = folder / 'bundle.yaml'
    content = yaml.safe_load(file.read_text(encoding='utf-8'))
    edit(content, folder)
    file.write_text(yaml.safe_dump(content), encoding='utf-8')


def replace_model(data: Callable[[Path], bytes]) -> Callable[[Any, Path], None]:
    """Return what replaces the second model by other data that has the right checksum."""

    def apply(content: Any, folder: Path) -> None:
        path = folder / 'second.onnx'
        path.write_bytes(data(folder))
        content['stages'][1]['files']['onnx']['sha256'] = sha256(path)

    return apply


def another_network(**options: Any) -> Callable[[Path], bytes]:
    """Return what makes a network that does not fit the bundle."""

    def data(folder: Path) -> bytes:
        save_model(folder / 'another.onnx', gain=1.0, **{'classes': 3, 'size': 16, **options})
        return (folder / 'another.onnx').read_bytes()

    return data


def damage_model(content: Any, folder: Path) -> None:
    data = bytearray((folder / 'first.onnx').read_bytes())
    data[len(data) // 2] ^= 1
    (folder / 'first.onnx').write_bytes(data)


STAGE = ('stages', 1)
MODEL = ('stages', 1, 'files', 'onnx')
# What is done to a sound bundle, and what the log says of it then, apart from the file's name.
BROKEN: dict[str, tuple[Callable[[Any, Path], None], str]] = {
    **{
        f'no {field}': (remove(field), field)
        for field in (
            'format',
            'name',
            'labels',
            'input',
            'stages',
            'score',
            'threshold',
            'post_check',
        )
    },
    **{
        f'no input.{field}': (remove('input', field), f'input.{field}')
        for field in ('height', 'width', 'colour', 'mean', 'std')
    },
    'no stage name': (remove(*STAGE, 'name'), 'stages[1].name'),
    'no files': (remove(*STAGE, 'files'), 'stages[1].files'),
    'no path': (remove(*MODEL, 'path'), 'stages[1].files.onnx.path'),
    'no sha256': (remove(*MODEL, 'sha256'), 'stages[1].files.onnx.sha256'),
    'later format': (change('format', 2), 'format is 2'),
    'format in words': (change('format', 'one'), 'format'),
    'name is a number': (change('name', 7), 'name'),
    'description is a list': (change('description', []), 'description'),
    'labels in words': (change('labels', 'red green blue'), 'labels'),
    'one label': (change('labels', ['red']), 'labels'),
    'labels twice': (change('labels', ['red', 'red', 'blue']), 'labels'),
    'label that is a bool': (change('labels', [True, 'green', 'blue']), 'labels'),
    'more labels than classes': (change('labels', ['a', 'b', 'c', 'd']), '3 classes, but labels'),
    'height 0': (change('input', 'height', 0), 'input.height'),
    'width in words': (change('input', 'width', 'wide'), 'input.width'),
    'other colours': (change('input', 'colour', 'cmyk'), 'input.colour'),
    'crop 2': (change('input', 'crop', 2.0), 'input.crop'),
    'mean of two': (change('input', 'mean', [0.5, 0.5]), 'input.mean'),
    'mean in words': (change('input', 'mean', ['a', 'b', 'c']), 'input.mean'),
    'std 0': (change('input', 'std', [1.0, 0.0, 1.0]), 'input.std'),
    'input of another size': (change('input', 'height', 9), 'stage first: the model does not run'),
    'no stage': (change('stages', []), 'stages'),
    'stage in words': (change('stages', 1, 'second.onnx'), 'stages[1]'),
    'stages of one name': (change(*STAGE, 'name', 'first'), 'stages'),
    'stage called memory': (change(*STAGE, 'name', 'memory'), 'memory'),
    'files in words': (change(*STAGE, 'files', 'second.onnx'), 'stages[1].files'),
    'unknown kind of model': (change(*STAGE, 'files', 'pickle', {}), 'stages[1].files.pickle'),
    'path outside': (change(*MODEL, 'path', '../second.onnx'), 'stages[1].files.onnx.path'),
    'path from the root': (change(*MODEL, 'path', '/etc/passwd'), 'stages[1].files.onnx.path'),
    'missing model': (change(*MODEL, 'path', 'third.onnx'), 'third.onnx'),
    'wrong checksum': (change(*MODEL, 'sha256', '0' * 64), 'stages[1].files.onnx.sha256'),
    'checksum is a number': (change(*MODEL, 'sha256', 0), 'stages[1].files.onnx.sha256'),
    'damaged model': (damage_model, 'stages[0].files.onnx.sha256'),
    'temperature 0': (change(*STAGE, 'temperature', 0.0), 'stages[1].temperature'),
    'temperature no number': (change(*STAGE, 'temperature', math.nan), 'stages[1].temperature'),
    'negative multiply_adds': (change(*STAGE, 'multiply_adds', -1), 'stages[1].multiply_adds'),
    'cpu_seconds in words': (change(*STAGE, 'cpu_seconds', 'few'), 'stages[1].cpu_seconds'),
    'unknown score': (change('score', 'loudness'), 'score'),
    'threshold 1.5': (change('threshold', 1.5), 'threshold'),
    'threshold no number': (change('threshold', math.nan), 'threshold'),
    'threshold in words': (change('threshold', 'high'), 'threshold'),
    'unknown post_check': (change('post_check', 'majority'), 'post_check'),
    'point without threshold': (
        change('operating_points', [{'name': 'sure'}]),
        'operating_points[0].threshold',
    ),
    'point of unknown score': (
        change('operating_points', [{'name': 'sure', 'threshold': 0.5, 'score': 'loudness'}]),
        'operating_points[0]: score',
    ),
    'points in words': (change('operating_points', 'none'), 'operating_points'),
    'unknown field': (change('treshold', 0.5), 'treshold'),
    'unknown field of a stage': (change(*STAGE, 'weight', 0.5), 'stages[1].weight'),
    'no model but noise': (replace_model(lambda _: b'noise' * 99), 'stage second'),
    'empty model': (replace_model(lambda _: b''), 'stage second'),
    'half a model': (
        replace_model(lambda folder: (folder / 'first.onnx').read_bytes()[:90]),
        'stage second',
    ),
    'model of two classes': (replace_model(another_network(classes=2)), '2 classes, but labels'),
    'model of another input': (replace_model(another_network(size=9)), 'stage second'),
    'pickle for a model': (
        replace_model(lambda folder: pickle.dumps(Trap(folder / 'sprung'))),
        'stage second',
    ),
}

# What stands in bundle.yaml instead, and what the log says of it.
NOT_YAML = {
    'empty': (b'', 'mapping'),
    'a list': (b'- 1\n- 2\n', 'mapping'),
    'broken': (b'format: [1\n', 'cannot be read'),
    'binary': (b'\xff\xfe\0\x01', 'cannot be read'),
    'code': (b'format: !!python/object/apply:os.system ["touch sprung"]\n', 'cannot be read'),
}


class TestBundles:
    """A bundle that is not sound is refused at configure; the node can try another."""

    @pytest.fixture(scope='class')
    def node(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
        with classifier(tmp_path_factory.mktemp('node'), autostart=False) as process:
            yield process

    def refuse(self, client: Client, node: NodeProcess, folder: Path, words: str) -> None:
        """Check that a bundle is refused, and with which words."""
        already = len(node.log)
        assert client.set('bundle', str(folder)).successful
        assert not client.transition('configure')
        assert client.state() == 'unconfigured'
        client.wait_until('the refusal is logged', lambda: '[ERROR]' in node.log[already:])
        assert str(folder) in node.log[already:]
        assert words in node.log[already:]
        assert not (folder / 'sprung').exists()

    @pytest.mark.parametrize('case', BROKEN)
    def test_broken_bundle(
        self, tmp_path: Path, client: Client, node: NodeProcess, case: str
    ) -> None:
        spoil, words = BROKEN[case]
        edit_bundle(make_bundle(tmp_path), spoil)
        self.refuse(client, node, tmp_path, words)

    @pytest.mark.parametrize('case', NOT_YAML)
    def test_bundle_file_that_holds_none(
        self, tmp_path: Path, client: Client, node: NodeProcess, case: str
    ) -> None:
        data, words = NOT_YAML[case]
        (make_bundle(tmp_path) / 'bundle.yaml').write_bytes(data)
        self.refuse(client, node, tmp_path, words)

    def test_folder_without_a_bundle(
        self, tmp_path: Path, client: Client, node: NodeProcess
    ) -> None:
        self.refuse(client, node, tmp_path, 'not found')

    @pytest.mark.parametrize('kind', ['torchscript', 'safetensors'])
    def test_pickle_in_place_of_a_model_of_torch(
        self, tmp_path: Path, client: Client, node: NodeProcess, kind: str
    ) -> None:
        pytest.importorskip('torch')
        model = make_bundle(tmp_path) / 'model'
        model.write_bytes(pickle.dumps(Trap(tmp_path / 'sprung')))
        stage = {
            'name': 'second',
            'architecture': 'resnet20',
            'files': {kind: {'path': 'model', 'sha256': sha256(model)}},
        }
        edit_bundle(tmp_path, change('stages', 1, stage))
        self.refuse(client, node, tmp_path, 'stage second')

    def test_sound_bundle_after_all_these(
        self, bundle: Path, client: Client, node: NodeProcess
    ) -> None:
        assert 'Traceback' not in node.log
        assert client.set('bundle', str(bundle)).successful
        assert client.transition('configure')
        assert client.transition('activate')
        camera = Camera(client, '/image', '/dual_cnn/classification')
        camera.connect()
        assert camera.ask(camera.stamp(frame('green'))).results[0].class_id == 'green'
        camera.close()


# The memory's file -----------------------------------------------------------------------------


def flip(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :]


def saved_by_numpy(path: Path, **parts: Any) -> bytes:
    np.savez(path, **parts)
    return path.read_bytes()


MEMORY_FILES: dict[str, Callable[[bytes, Path], bytes]] = {
    'empty': lambda data, folder: b'',
    'cut': lambda data, folder: data[: len(data) // 2],
    'without its last byte': lambda data, folder: data[:-1],
    # Three bytes into the numbers, which follow a line of text.
    'damaged': lambda data, folder: flip(
        data, 3 + data.index(b'\n', data.index(b'probabilities.npy'))
    ),
    'text': lambda data, folder: b'frames: 12\n',
    'foreign': lambda data, folder: saved_by_numpy(folder / 'a.npz', keys=np.arange(9)),
    'a pickle': lambda data, folder: pickle.dumps(Trap(folder / 'sprung')),
    'with a pickle in it': lambda data, folder: saved_by_numpy(
        folder / 'b.npz', header=np.array([Trap(folder / 'sprung')], object)
    ),
}


class TestMemoryFile:
    """A file that is no memory of this bundle is refused, and the memory stays."""

    @pytest.fixture(scope='class')
    def file(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        client: Client,
        node: NodeProcess,
        front: Camera,
    ) -> Path:
        """Return a file with a memory of two frames, which the node has too."""
        path = tmp_path_factory.mktemp('memory') / 'memory.npz'
        for colour in ('red', 'green'):
            front.ask(front.stamp(frame(colour)))
        assert client.set('memory_file', str(path)).successful
        response = client.trigger('save_memory')
        assert response.success
        assert str(path) in response.message
        return path

    def refuse(self, client: Client, path: Path, words: str) -> None:
        """Check that a file is not loaded, and that the memory still has its two frames."""
        assert client.set('memory_file', str(path)).successful
        response = client.trigger('load_memory')
        assert not response.success
        assert str(path) in response.message
        assert words in response.message
        assert client.values('cascade')['memory'] == '2/1024'

    @pytest.mark.parametrize('case', MEMORY_FILES)
    def test_damaged_file(self, tmp_path: Path, client: Client, file: Path, case: str) -> None:
        path = tmp_path / 'memory.npz'
        path.write_bytes(MEMORY_FILES[case](file.read_bytes(), tmp_path))
        self.refuse(client, path, 'not a memory file, or a damaged one')
        assert not (tmp_path / 'sprung').exists()

    def test_missing_file(self, tmp_path: Path, client: Client, file: Path) -> None:
        self.refuse(client, tmp_path / 'none.npz', 'No such file')

    def test_folder(self, tmp_path: Path, client: Client, file: Path) -> None:
        self.refuse(client, tmp_path, 'Is a directory')

    def test_file_that_cannot_be_written(self, client: Client, file: Path) -> None:
        assert client.set('memory_file', '/proc/no/memory.npz').successful
        response = client.trigger('save_memory')
        assert not response.success
        assert '/proc/no' in response.message

    def test_file_of_any_name(self, tmp_path: Path, client: Client, file: Path) -> None:
        path = tmp_path / '{} of {robot}.npz'
        assert client.set('memory_file', str(path)).successful
        for service in ('save_memory', 'load_memory'):
            response = client.trigger(service)
            assert response.success and str(path) in response.message
        assert path.is_file()

    def test_sound_file(self, client: Client, file: Path) -> None:
        assert client.trigger('clear_memory').message == 'forgot 2 frames'
        assert client.set('memory_file', str(file)).successful
        assert client.trigger('load_memory').success
        assert client.values('cascade')['memory'] == '2/1024'

    def test_file_of_another_threshold(
        self, client: Client, node: NodeProcess, file: Path
    ) -> None:
        assert client.set('memory_file', str(file)).successful
        assert client.set('threshold', 0.5).successful
        response = client.trigger('load_memory')
        assert not response.success
        assert 'saved under another' in response.message
        assert 'Traceback' not in node.log


@pytest.mark.parametrize('namespace', ['', '/robot1', '/fleet/robot2'])
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
    client.wait_for_status('camera front', OK, lambda: camera.send(frame('red')))
    camera.close()
    warning = client.wait_for_status('camera front', WARN)
    assert FRONT in warning.message
    assert '0 publishers' in warning.message
    camera = Camera(client, FRONT, '/dual_cnn/front/classification')
    camera.connect()
    client.wait_for_status('camera front', OK, lambda: camera.send(frame('red')))
    assert camera.ask(camera.stamp(frame('green'))).results[0].class_id == 'green'
    camera.close()


def test_two_cameras_one_dead(client: Client, node: NodeProcess, front: Camera) -> None:
    warning = client.wait_for_status('camera rear', WARN, lambda: front.send(frame('red')))
    assert REAR in warning.message
    client.wait_for_status('camera front', OK, lambda: front.send(frame('red')))
    assert front.ask(front.stamp(frame('green'))).results[0].class_id == 'green'


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


def test_fifty_lives_in_one_process_hold_no_more_memory(
    client: Client, node: NodeProcess, front: Camera
) -> None:
    def live(times: int) -> None:
        for label in chain.from_iterable(
            [('deactivate', 'cleanup', 'configure', 'activate')] * times
        ):
            assert client.transition(label), node.log
        assert front.ask(front.stamp(frame('green'))).results[0].class_id == 'green'

    live(10)
    before = node.memory
    live(50)
    assert node.memory - before < 3 * MEGABYTE


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
