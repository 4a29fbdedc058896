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

"""The subscription to a camera, which follows what the camera's publishers offer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSPolicyKind, QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

from dual_cnn_ros.data.cameras import COMPRESSED
from dual_cnn_ros.nodes.parameter import ParameterError

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import (  # type: ignore[no-redef, import-not-found]
        SubscriptionEventCallbacks,
        UnsupportedEventTypeError,
    )

RELIABLE, BEST_EFFORT = QoSReliabilityPolicy.RELIABLE, QoSReliabilityPolicy.BEST_EFFORT
KINDS = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}
FOLLOW = 'best_available'
OVERRIDES = {FOLLOW: None, 'reliable': RELIABLE, 'best_effort': BEST_EFFORT}
POLICIES = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH)


@dataclass(frozen=True)
class Publishers:
    """
    Who publishes on the topic of a camera, as far as discovery knows.

    Attributes
    ----------
    images
        Number of publishers of the type that is subscribed to.
    best_effort
        Names of the nodes of those among them that do not offer to publish reliably.
    other_types
        What else is published there.

    """

    images: int = 0
    best_effort: tuple[str, ...] = ()
    other_types: tuple[str, ...] = ()


class CameraInput:
    """
    A subscription to images that is reliable where all publishers offer that, else best effort.

    A best-effort subscription loses what does not fit into the shared memory of Fast DDS, a
    reliable one hears nothing from a best-effort publisher. The type is that which is published,
    too: a CompressedImage need not be on a topic that ends in /compressed.

    Parameters
    ----------
    node
        Subscribes.
    topic
        Resolved name of the image topic.
    on_image
        Called with each message.
    on_lost
        Called with the number of messages that were lost on the way, where the middleware tells.

    Attributes
    ----------
    publishers
        Those found last.

    Raises
    ------
    ParameterError
        If the reliability that qos_overrides state is none.

    """

    def __init__(
        self,
        node: LifecycleNode,
        topic: str,
        on_image: Callable[[Image | CompressedImage], None],
        on_lost: Callable[[int], None],
    ) -> None:
        self._node, self._topic, self._on_image = node, topic, on_image

        def on_event(event: Any) -> None:
            on_lost(event.total_count_change)

        self._events = SubscriptionEventCallbacks(message_lost=on_event)
        self._stated = _stated_reliability(node, topic)
        self._subscription: Any = None
        self._current: tuple[str, QoSReliabilityPolicy] | None = None
        self._logged = ''
        self.publishers = Publishers()
        self.follow()

    @property
    def is_unheard(self) -> bool:
        """Whether a stated reliability keeps it from hearing some of its publishers."""
        return self._stated == RELIABLE and bool(self.publishers.best_effort)

    def follow(self) -> None:
        """Look who publishes, and subscribe anew where that asks for another subscription."""
        found = self._node.get_publishers_info_by_topic(self._topic)
        types = {info.topic_type for info in found}
        named = 'CompressedImage' if self._topic.endswith(COMPRESSED) else 'Image'
        kind = f'sensor_msgs/msg/{named}'
        if kind not in types:
            kind = next((other for other in KINDS if other in types), kind)
        images = [info for info in found if info.topic_type == kind]
        self.publishers = Publishers(
            len(images),
            tuple(
                f'{info.node_namespace.rstrip("/")}/{info.node_name}'
                for info in images
                if info.qos_profile.reliability != RELIABLE
            ),
            tuple(sorted(types - {kind})),
        )
        is_reliable = images and not self.publishers.best_effort
        reliability = self._stated or (RELIABLE if is_reliable else BEST_EFFORT)
        if (kind, reliability) != self._current:
            self.close()
            self._current = kind, reliability
            self._subscribe(KINDS[kind], reliability)
        quality = f'{kind}, {reliability.name.lower().replace("_", " ")}' if images else ''
        if quality not in ('', self._logged):
            self._node.get_logger().info(f'{self._topic}: {quality}, {self._reason()}')
        self._logged = quality

    def close(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._subscription = self._current = None

    def _subscribe(self, kind: type[Any], reliability: QoSReliabilityPolicy) -> None:
        def create(**events: Any) -> Any:
            return self._node.create_subscription(
                kind,
                self._topic,
                self._on_image,
                # Only the newest frame counts. A new profile each time: overrides change it.
                QoSProfile(depth=1, reliability=reliability),
                qos_overriding_options=QoSOverridingOptions(policy_kinds=POLICIES),
                **events,
            )

        try:
            self._subscription = create(event_callbacks=self._events)
        except UnsupportedEventTypeError:
            self._subscription = create()

    def _reason(self) -> str:
        if self._stated:
            return 'as qos_overrides say'
        if self.publishers.best_effort:
            return f'since {", ".join(self.publishers.best_effort)} does not publish reliably'
        return 'as all its publishers offer'


def _stated_reliability(node: LifecycleNode, topic: str) -> QoSReliabilityPolicy | None:
    """Return the reliability that a parameter of the node demands, or None."""
    # Declared here, since rclpy would pin the reliability of the first subscription.
    name = f'qos_overrides.{topic}.subscription.reliability'
    if not node.has_parameter(name):
        node.declare_parameter(
            name,
            FOLLOW,
            ParameterDescriptor(
                description=f'Reliability of the subscription to {topic}; {FOLLOW}: reliable '
                'where all its publishers are.',
                additional_constraints=f'One of: {", ".join(OVERRIDES)}.',
                read_only=True,
            ),
        )
    value = node.get_parameter(name).value
    if value not in OVERRIDES:
        raise ParameterError(f'{name} must be one of {", ".join(OVERRIDES)}, not {value!r}')
    return OVERRIDES[value]
