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

"""The classifier node at work, over real DDS: outputs, several cameras, tuning, slow frames."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from node_fixtures import by_name, Camera, classifier, Client, compressed, frame, NodeProcess
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Float64
from tiny_bundle import LABELS, make_bundle
from vision_msgs.msg import LabelInfo, VisionInfo

from dual_cnn_ros.bundle import OperatingPoint
from dual_cnn_ros.cascade.cascade import Cascade
from dual_cnn_ros.cascade.settings import Criterion
from dual_cnn_ros.messages.images import from_image_msg
from dual_cnn_ros.nodes.classifier import ClassifierNode

pytestmark = pytest.mark.ros

FRONT = '/front/image'
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


class Heard:
    """The messages of one topic, from when somebody publishes on it."""

    def __init__(self, client: Client, kind: Any, topic: str, qos: Any = 10) -> None:
        self.messages: list[Any] = []
        self._client, self._topic = client, topic
        client.hear(kind, topic, self.messages.append, qos)
        client.wait_until(f'{topic} is offered', lambda: client.node.count_publishers(topic))

    def of(self, header: Any) -> Any:
        """Return the message with this header, once it has come."""
        self._client.wait_until(
            f'{self._topic} for a frame',
            lambda: any(message.header == header for message in self.messages),
        )
        return next(message for message in self.messages if message.header == header)

    def last(self) -> Any:
        """Return the last message, once there is one."""
        self._client.wait_until(f'anything on {self._topic}', lambda: self.messages)
        return self.messages[-1]

    def decision(self, message: Any) -> dict[str, str]:
        """Return the values of the decision about a frame."""
        (values,) = by_name(self.of(message.header)).values()
        return values


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    careful = OperatingPoint('careful', (Criterion('max_probability', 1.0),), 'average')
    bundle = make_bundle(tmp_path / 'bundle', operating_points=(careful,))
    given = {'image_topics': [FRONT], 'memory_audit': 0.0}
    with classifier(tmp_path, bundle=str(bundle), **given) as process:
        yield process


@pytest.fixture
def front(node: NodeProcess, client: Client) -> Camera:
    return client.camera(FRONT)


def test_outputs_of_one_frame_carry_its_header_and_agree(front: Camera, client: Client) -> None:
    decisions = Heard(client, DiagnosticArray, '/dual_cnn/decision')
    confidences = Heard(client, Float64, '/dual_cnn/confidence')
    answer = front.ask(frame('green'))
    assert answer.results[0].class_id == 'green'
    scores = [result.score for result in answer.results]
    assert scores == sorted(scores, reverse=True) and sum(scores) == pytest.approx(1, abs=1e-5)
    again = frame('green')
    front.ask(again)
    decision = decisions.decision(again)
    assert decision['source'] == 'memory' and decision['distance'] == '0'
    assert decision['label'] == 'green' and LABELS[int(decision['class_id'])] == 'green'
    assert decision['macs'] == '0' and 'seconds.first' not in decision
    assert float(decision['score']) == pytest.approx(confidences.last().data, rel=1e-5)
    other = frame('blue', seed=5)
    front.ask(other)
    decision = decisions.decision(other)
    assert decision['source'] in ('first', 'second') and float(decision['seconds.first']) > 0
    assert int(decision['macs']) in (9, 18)


def test_overlay_is_the_frame_with_what_is_known_of_power(front: Camera, client: Client) -> None:
    overlays = Heard(client, Image, '/dual_cnn/overlay')
    message = frame('red', 240, 320)
    front.ask(message)
    plain = from_image_msg(overlays.of(message.header))
    assert plain.shape == (240, 320, 3)
    watts = client.node.create_publisher(Float64, '/power_monitor/power', 10)
    client.wait_until('the node reads power', watts.get_subscription_count)

    def bottom_changed() -> bool:
        latest = from_image_msg(overlays.last())
        changed = (latest != plain)[60:232, 20:300]  # within the frame of the source's colour
        return bool(changed[140:].any() and not changed[:120].any())

    def step() -> None:
        watts.publish(Float64(data=5.25))
        front.send(frame('red', 240, 320))

    client.wait_until('watts on the overlay', bottom_changed, meanwhile=step, every=0.1)


def test_labels_are_there_for_whoever_comes_late(node: NodeProcess, client: Client) -> None:
    client.wait_for_status('cascade', b'\0')
    labels = Heard(client, LabelInfo, '/dual_cnn/label_info', LATCHED)
    classes = [(entry.class_id, entry.class_name) for entry in labels.last().class_map]
    assert classes == list(enumerate(LABELS))
    assert client.set('threshold', 0.75).successful
    client.wait_until('the new threshold', lambda: labels.last().threshold == 0.75)
    info = Heard(client, VisionInfo, '/dual_cnn/vision_info', LATCHED).last()
    assert info.database_location == '/dual_cnn/label_info' and 'tiny' in info.method


def test_tuning_takes_effect_on_the_next_frame(front: Camera, client: Client) -> None:
    decisions = Heard(client, DiagnosticArray, '/dual_cnn/decision')

    def decide(**parameters: Any) -> dict[str, str]:
        for name, value in parameters.items():
            assert client.set(name, value).successful
        message = frame('green')
        front.ask(message)
        return decisions.decision(message)

    assert decide(memory=False)['threshold'] == '0.8'
    careful = decide(operating_point='careful')
    assert (careful['threshold'], careful['winner']) == ('1', 'average')
    refused = client.set('threshold', 0.25)
    assert not refused.successful and 'decides threshold too' in refused.reason
    assert decide(operating_point='', threshold=0.0)['source'] == 'first'
    assert decide(threshold=1.0)['source'] == 'second'
    assert decide(post_check='none')['winner'] == 'second'
    assert client.set('top_k', 2).successful and len(front.ask(frame('red')).results) == 2
    assert decide(memory=True)['source'] == 'second'
    assert decide()['source'] == 'memory'
    assert decide(threshold=0.5)['source'] == 'memory', 'no more could be asked'
    assert decide(post_check='average')['source'] != 'memory'
    assert client.trigger('clear_memory').success
    assert decide()['source'] != 'memory'


def test_samples_of_12_bits_are_told(front: Camera, client: Client, node: NodeProcess) -> None:
    shown = Heard(client, Image, '/dual_cnn/overlay')
    grey = np.linspace(0, 4095, 64 * 48).round().astype('<u2').tobytes()
    message = Image(height=48, width=64, encoding='mono16', step=128, data=array('B', grey))
    for bits in (0, 16, 0):
        assert client.set('sample_bits', bits).successful
        front.ask(message)
        assert (np.median(from_image_msg(shown.of(message.header))) > 60) == (bits == 0)
    assert node.log.count(f'{FRONT}: its 16-bit samples seem to hold 12 bits') == 2
    assert not client.set('sample_bits', 4).successful


def test_only_the_region_is_classified(front: Camera, client: Client) -> None:
    message = frame('red', 48, 64)
    from_image_msg(message)[:, 32:] = from_image_msg(frame('blue', 48, 32))
    for region, label in ([0.0, 0.0, 0.5, 1.0], 'red'), ([0.5, 0.0, 0.5, 1.0], 'blue'):
        assert client.set('region', region).successful
        assert front.label_of(message) == label
    refused = client.set('region', [0.5, 0.0, 0.6, 1.0])
    assert not refused.successful and 'x + width' in refused.reason


def test_frames_above_the_maximum_rate_are_skipped(front: Camera, client: Client) -> None:
    assert client.set('max_rate', 2.0).successful
    client.wait_until(
        'frames are skipped',
        lambda: int(client.last_values('camera front')['skipped']) > 20,
        meanwhile=lambda: front.send(frame('red')),
        every=0.05,
    )
    counts = client.values('camera front')
    assert int(counts['classified']) < int(counts['skipped']) and counts['dropped'] == '0'
    assert client.set('max_rate', 0.001).successful
    front.send(frame('green'))
    assert client.set('max_rate', 0).successful
    assert front.label_of(frame('blue')) == 'blue'


def test_a_remapping_holds_for_the_compressed_transport(client: Client, tmp_path: Path) -> None:
    bundle = str(make_bundle(tmp_path / 'bundle'))
    given = {'bundle': bundle, 'image_transport': 'compressed'}
    remap = ['--remap', 'image:=/rear/image_raw']
    with NodeProcess(tmp_path, 'classifier', given, remap) as node:
        rear = client.camera('/rear/image_raw/compressed')
        assert rear.label_of(compressed('green')) == 'green'
        assert node.interrupt() == 0, node.log


def test_models_change_after_cleanup_only(front: Camera, client: Client, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / 'other', labels=('north', 'east', 'south'), name='other')
    assert client.transition('deactivate')
    refused = client.set('bundle', str(other))
    assert not refused.successful and 'clean up' in refused.reason
    assert client.set('image_topics', ['/rear/image']).successful
    assert client.transition('cleanup')
    assert client.set('bundle', str(other)).successful
    assert client.transition('configure') and client.transition('activate')
    assert client.camera('/rear/image').label_of(frame('red')) == 'north'
    assert client.transition('shutdown') and client.state() == 'finalized'


def test_each_camera_has_a_memory_of_its_own(client: Client, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / 'bundle')
    given = {
        'image_topics': ['/front/image', '/rear/image'],
        'image_transport': 'compressed',
        'memory_audit': 0.0,
    }
    with classifier(tmp_path, bundle=str(bundle), **given):
        front = client.camera('/front/image/compressed', 'front')
        rear = client.camera('/rear/image/compressed', 'rear')
        decisions = Heard(client, DiagnosticArray, '/dual_cnn/rear/decision')
        front.ask(compressed('green', '.png'))
        for source in 'first', 'memory':
            message = compressed('green', '.png')
            assert rear.label_of(message) == 'green'
            assert decisions.decision(message)['source'] == source


def test_slow_frame_blocks_neither_parameters_nor_lifecycle(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = Event(), Event()
    quick = Cascade.classify

    def slow(cascade: Cascade, *frame_and_camera: Any) -> Any:
        begun.set()
        assert go_on.wait(60)
        return quick(cascade, *frame_and_camera)

    monkeypatch.setattr(Cascade, 'classify', slow)
    context = Context()
    rclpy.init(context=context)
    given = {'bundle': str(make_bundle(tmp_path / 'bundle')), 'image_topics': [FRONT]}
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    node = ClassifierNode(context=context, parameter_overrides=overrides)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = Thread(target=executor.spin, daemon=True)
    thread.start()
    try:
        assert client.transition('configure') and client.transition('activate')
        front = client.camera(FRONT)
        client.wait_until(
            'the slow frame has begun', begun.is_set, meanwhile=lambda: front.send(frame('red'))
        )
        assert client.set('threshold', 0.25).successful and client.get('threshold') == [0.25]
        assert client.trigger('clear_memory').success
        assert client.transition('deactivate') and client.state() == 'inactive'
        assert client.transition('cleanup') and client.state() == 'unconfigured'
        go_on.set()
        assert client.transition('configure') and client.transition('activate')
        front.connect()
        assert front.label_of(frame('blue')) == 'blue'
    finally:
        go_on.set()
        executor.shutdown()
        thread.join(10)
        node.destroy_node()
        context.try_shutdown()
