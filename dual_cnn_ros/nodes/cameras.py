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

"""The cameras of the classifier node: their names, and what is published about each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from threading import Lock
from time import monotonic
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image
from std_msgs.msg import Float64
from vision_msgs.msg import Classification

from dual_cnn_ros.data.cameras import camera_of, COMPRESSED
from dual_cnn_ros.messages.images import SampleDepth
from dual_cnn_ros.nodes.classifier_parameters import ClassifierParameters
from dual_cnn_ros.nodes.parameter import ParameterError
from dual_cnn_ros.nodes.rate_limit import RateLimit
from dual_cnn_ros.nodes.statistics import Statistics


class CameraOutputs:
    """
    The publishers of one camera, and what is known of the camera.

    Parameters
    ----------
    node
        Has the publishers.
    name
        Of the camera, in diagnostics and decisions.
    topic
        Where its images come from.
    prefix
        Of the topics below the node's name: empty, or ending in a slash.

    Attributes
    ----------
    statistics
        Of its frames.
    condition
        Of its health, as logged last.
    depth
        Of its 16-bit samples.

    """

    def __init__(self, node: LifecycleNode, name: str, topic: str, prefix: str) -> None:
        self.name, self.topic = name, topic
        self.statistics = Statistics()
        self.condition = ''
        self._limit = RateLimit()
        self.depth = SampleDepth()
        self._node = node
        # Held while messages are published, so that no publisher is destroyed meanwhile.
        self._lock = Lock()
        self._is_open = True
        create = partial(node.create_lifecycle_publisher, qos_profile=10)
        self.classification = create(Classification, f'~/{prefix}classification')
        self.confidence = create(Float64, f'~/{prefix}confidence')
        self.decision = create(DiagnosticArray, f'~/{prefix}decision')
        self.overlay = create(Image, f'~/{prefix}overlay')

    def due(self, rate: float) -> float:
        """Return the seconds until the next frame is wanted, at most `rate` a second."""
        seconds = self._limit.wait(rate, monotonic())
        if seconds > 0:
            self.statistics.hold()
        return seconds

    def took(self, missed: int, rate: float) -> None:
        """Count a frame that was taken, and those missed before it."""
        self._limit.took(rate, monotonic())
        self.statistics.took(missed)

    def is_wanted(self, publisher: Any) -> bool:
        """Return True if somebody subscribes to one of the publishers."""
        with self._lock:
            return self._is_open and publisher.get_subscription_count() > 0

    def publish(self, outputs: Sequence[tuple[Any, Any]]) -> bool:
        """Publish messages, each with its publisher; return False if the camera was closed."""
        with self._lock:
            if self._is_open:
                for publisher, message in outputs:
                    publisher.publish(message)
            return self._is_open

    def close(self) -> None:
        """Destroy the publishers."""
        with self._lock:
            self._is_open = False
            for publisher in (self.classification, self.confidence, self.decision, self.overlay):
                self._node.destroy_lifecycle_publisher(publisher)


def make_cameras(node: LifecycleNode, values: ClassifierParameters) -> list[CameraOutputs]:
    """
    Return the cameras that the parameters name, with their publishers.

    Raises
    ------
    ParameterError
        If there is not one name for each topic.

    """
    topics = values.image_topics
    resolved = [node.resolve_topic_name(topic) for topic in topics]
    if values.image_transport == 'compressed':
        # A remapping of the image holds for its transports, and one of a transport for that.
        resolved = [
            node.resolve_topic_name(topic.removesuffix(COMPRESSED) + COMPRESSED)
            for topic in resolved
        ]
    names = [name for name in values.camera_names if name]
    names = names or [camera_name(topic, node.get_namespace()) for topic in resolved]
    if len(names) != len(topics) or len(set(names)) != len(names):
        raise ParameterError(
            f'camera_names: {len(topics)} image topics need as many different names, not '
            f'{names}; set camera_names'
        )
    is_only_one = len(topics) == 1
    return [
        CameraOutputs(node, name, topic, '' if is_only_one else f'{name}/')
        for name, topic in zip(names, resolved)
    ]


def camera_name(topic: str, namespace: str) -> str:
    """Return the name of a camera: the namespace of its topic, relative to the node's."""
    return camera_of(topic.removeprefix(namespace.rstrip('/') + '/'))
