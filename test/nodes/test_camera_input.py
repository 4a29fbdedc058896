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

"""What a camera node sees of its camera, over real DDS: QoS, types, losses, and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from node_fixtures import classifier, Client, compressed, frame, NodeProcess
import pytest
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from tiny_bundle import make_bundle

from dual_cnn_ros.nodes.camera_health import camera_health
from dual_cnn_ros.nodes.camera_input import Publishers
from dual_cnn_ros.nodes.statistics import Newest

pytestmark = pytest.mark.ros

TOPIC = '/front/image'
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
RELIABLE, BEST_EFFORT = QoSReliabilityPolicy.RELIABLE, QoSReliabilityPolicy.BEST_EFFORT


class Publisher:
    """A camera's driver, with a reliability of its own."""

    def __init__(
        self, client: Client, reliability: QoSReliabilityPolicy, kind: Any = Image
    ) -> None:
        qos = QoSProfile(depth=1, reliability=reliability)
        self._client, self._publisher = client, client.node.create_publisher(kind, TOPIC, qos)

    def send(self, message: Any = None) -> None:
        self._publisher.publish(frame('red') if message is None else message)

    def close(self) -> None:
        self._client.node.destroy_publisher(self._publisher)


@pytest.fixture(scope='module')
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_bundle(tmp_path_factory.mktemp('bundle')))


@pytest.fixture
def node(tmp_path: Path, bundle: str) -> Iterator[NodeProcess]:
    given = {'bundle': bundle, 'image_topics': [TOPIC], 'silent_after': 1.0}
    with classifier(tmp_path, **given) as process:
        yield process


def wait_for_reliability(client: Client, wanted: QoSReliabilityPolicy) -> None:
    """Wait until the node subscribes so."""

    def offered() -> list[QoSReliabilityPolicy]:
        found = client.node.get_subscriptions_info_by_topic(TOPIC)
        return [info.qos_profile.reliability for info in found]

    client.wait_until(f'{wanted!r}', lambda: offered() == [wanted])


def test_reliability_follows_the_publishers(client: Client, node: NodeProcess) -> None:
    def hears(camera: Publisher, reliability: QoSReliabilityPolicy) -> None:
        wait_for_reliability(client, reliability)
        client.wait_for_status('camera front', OK, ' Hz', meanwhile=camera.send)

    # The node was first, then the camera is exchanged.
    for reliability in (RELIABLE, BEST_EFFORT, RELIABLE):
        camera = Publisher(client, reliability)
        hears(camera, reliability)
        camera.close()
        client.wait_for_status('camera front', WARN, 'its publisher is gone')
    reliable, best_effort = Publisher(client, RELIABLE), Publisher(client, BEST_EFFORT)
    hears(best_effort, BEST_EFFORT)
    best_effort.close()
    hears(reliable, RELIABLE)
    # The camera was first.
    assert client.transition('deactivate') and client.transition('activate')
    hears(reliable, RELIABLE)
    assert 'sensor_msgs/msg/Image, reliable, as all its publishers offer' in node.log
    assert 'best effort, since /tester does not publish reliably' in node.log
    assert 'its publisher is gone' in node.log and 'deactivated' in node.log


@pytest.mark.parametrize(
    ('stated', 'offered', 'level', 'words'),
    [
        ('best_effort', RELIABLE, OK, ' Hz'),
        ('reliable', BEST_EFFORT, ERROR, '/tester publishes best effort'),
    ],
)
def test_stated_reliability_stays(
    tmp_path: Path,
    bundle: str,
    client: Client,
    stated: str,
    offered: QoSReliabilityPolicy,
    level: bytes,
    words: str,
) -> None:
    override = {f'qos_overrides.{TOPIC}.subscription.reliability': stated}
    given = {'bundle': bundle, 'image_topics': [TOPIC], 'silent_after': 1.0, **override}
    with classifier(tmp_path, **given):
        camera = Publisher(client, offered)
        client.wait_for_status('camera front', level, words, meanwhile=camera.send)
        wait_for_reliability(client, QoSReliabilityPolicy[stated.upper()])


def test_unknown_reliability_is_refused(tmp_path: Path, bundle: str) -> None:
    name = 'qos_overrides./image.subscription.reliability'
    with NodeProcess(tmp_path, 'classifier', {'bundle': bundle, name: 'fast'}) as node:
        assert node.wait() == 1
        assert f'{name} must be one of best_available' in node.log


def test_type_follows_the_publisher(client: Client, node: NodeProcess) -> None:
    camera = Publisher(client, RELIABLE, CompressedImage)
    client.wait_for_status(
        'camera front', OK, ' Hz', meanwhile=lambda: camera.send(compressed('red'))
    )
    camera.close()
    # In one process no topic has two types.
    other = Client()
    text = Publisher(other, RELIABLE, String)
    client.wait_for_status('camera front', ERROR, 'is a std_msgs/msg/String, not an image')
    text.close()
    other.close()
    camera = Publisher(client, RELIABLE)
    client.wait_for_status('camera front', OK, ' Hz', meanwhile=camera.send)
    for words in ('is a std_msgs/msg/String', 'frames arrive on /front/image again'):
        assert words in node.log


def test_missing_camera_is_logged_once(client: Client, node: NodeProcess) -> None:
    for _ in range(3):
        client.wait_for_status('camera front', WARN, 'nobody publishes it')
    assert node.log.count('nobody publishes it') == 1


def test_camera_whose_frames_fail(client: Client, node: NodeProcess) -> None:
    bad = frame('red')
    bad.encoding = 'yuv999'
    camera = Publisher(client, RELIABLE)

    either = cycle([bad, frame('red')])

    def wait(level: bytes, words: str, meanwhile: Any) -> DiagnosticStatus:
        return client.wait_for_status('camera front', level, words, meanwhile)

    status = wait(ERROR, 'frames not classified', lambda: camera.send(bad))
    assert 'yuv999' in status.message
    assert (status.name, status.hardware_id) == ('/dual_cnn: camera front', '/dual_cnn')
    wait(WARN, 'frames not classified', lambda: camera.send(next(either)))
    wait(OK, ' Hz', camera.send)


@pytest.mark.parametrize(
    ('newest', 'silence', 'level', 'words'),
    [
        (Newest(), 0.5, 'OK', '30.0 Hz'),
        (Newest(3, 1, 0, 'truncated'), 0.5, 'WARN', '1 of 4 frames not classified: truncated'),
        (Newest(0, 4, 0, 'truncated'), 0.5, 'ERROR', '4 of 4 frames not classified: truncated'),
        (Newest(3, 0, 27), 0.5, 'WARN', '27 frames lost'),
        (Newest(0, 0, 30), 9.0, 'ERROR', '30 were lost on the way'),
        (Newest(), 9.0, 'WARN', 'no frame on /front/image for 9.0 s, though it is published'),
    ],
)
def test_health_of_a_camera_with_a_publisher(
    newest: Newest, silence: float, level: str, words: str
) -> None:
    counted: Any = SimpleNamespace(
        newest=newest, rate=30.0, has_received=True, silence=lambda: silence
    )
    camera: Any = SimpleNamespace(publishers=Publishers(images=1), is_unheard=False)
    health = camera_health(TOPIC, counted, camera, 2.0)
    assert health.level == level and words in health.message
