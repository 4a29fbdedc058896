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

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.callback_groups import CallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation
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


class Taken(NamedTuple):
    """
    A frame of a camera.

    Attributes
    ----------
    message
        The image.
    missed
        How many frames the camera published since the one taken before, as far as is known.

    """

    message: Image | CompressedImage
    missed: int = 0


class _NotByTheExecutor(CallbackGroup):
    """
    Keeps a subscription and its events from the executor.

    With Fast DDS, who waits for an event of a subscription is also woken by each of its messages,
    again and again until another thread has taken it.
    """

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        pass


class CameraInput:
    """
    A subscription to images that is reliable where all publishers offer that, else best effort.

    It takes frames when told to, and no executor takes them.

    A best-effort subscription loses what does not fit into the shared memory of Fast DDS, a
    reliable one hears nothing from a best-effort publisher. The type is that which is published,
    too: a CompressedImage need not be on a topic that ends in /compressed.

    Parameters
    ----------
    node
        Subscribes.
    topic
        Resolved name of the image topic.
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
        on_lost: Callable[[int], None],
    ) -> None:
        self._node, self._topic = node, topic

        def on_event(event: Any) -> None:
            on_lost(event.total_count_change)

        # What the default ones would log, the diagnostics say.
        self._events = SubscriptionEventCallbacks(
            message_lost=on_event, use_default_callbacks=False
        )
        self._stated = _stated_reliability(node, topic)
        # Held by whoever waits for the subscription, takes from it or destroys it: no process may
        # have two types on one topic, not even for a moment.
        self._in_use = Lock()
        self._on_change: Callable[[], None] = lambda: None
        self._subscription: Any = None
        self._current: tuple[str, QoSReliabilityPolicy] | None = None
        self._logged = ''
        # Of the frame taken last, by its one publisher.
        self._number: int | None = None
        self._gids: set[bytes] = set()
        self._group = _NotByTheExecutor()
        self.publishers = Publishers()
        self.follow()

    @property
    def is_unheard(self) -> bool:
        """Whether a stated reliability keeps it from hearing some of its publishers."""
        return self._stated == RELIABLE and bool(self.publishers.best_effort)

    def call_on_change(self, on_change: Callable[[], None]) -> None:
        """Have whoever waits for the subscription woken when it is to be another one."""
        self._on_change = on_change

    def follow(self) -> None:
        """
        Look who publishes, and subscribe anew where that asks for another subscription.

        What was lost on the way since the last time is told, too.
        """
        self._tell_lost()
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
        gids = {bytes(info.endpoint_gid) for info in images}
        if gids != self._gids:
            self._gids, self._number = gids, None
        is_reliable = images and not self.publishers.best_effort
        reliability = self._stated or (RELIABLE if is_reliable else BEST_EFFORT)
        if (kind, reliability) != self._current:
            self.close()
            self._current = kind, reliability
            self._subscribe(KINDS[kind], reliability)
            self._on_change()
        quality = f'{kind}, {reliability.name.lower().replace("_", " ")}' if images else ''
        if quality not in ('', self._logged):
            self._node.get_logger().info(f'{self._topic}: {quality}, {self._reason()}')
        self._logged = quality

    def close(self) -> None:
        """Unsubscribe, once nobody waits for a frame any more."""
        # Who is woken finds none to wait for.
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            self._on_change()
            with self._in_use:
                self._node.destroy_subscription(subscription)
        self._current = self._number = None

    @contextmanager
    def in_use(self) -> Iterator[Any]:
        """Keep the subscription as it is; yield it, None where there is none at the moment."""
        if self._subscription is None:
            yield None
            return
        with self._in_use:
            yield self._subscription

    def take(self) -> Taken | None:
        """Return the newest frame that has come since the one taken before, None if none has."""
        with self.in_use() as subscription:
            if subscription is None:
                return None
            found = subscription.handle.take_message(subscription.msg_type, False)
        if found is None:
            return None
        message, information = found
        before, self._number = self._number, information.get('publication_sequence_number')
        # Each publisher has numbers of its own. Humble tells none.
        if before is None or self._number is None or len(self._gids) != 1:
            return Taken(message)
        return Taken(message, max(0, self._number - before - 1))

    def _subscribe(self, kind: type[Any], reliability: QoSReliabilityPolicy) -> None:
        def create(**events: Any) -> Any:
            return self._node.create_subscription(
                kind,
                self._topic,
                lambda _: None,
                # Only the newest frame counts. A new profile each time: overrides change it.
                QoSProfile(depth=1, reliability=reliability),
                callback_group=self._group,
                qos_overriding_options=QoSOverridingOptions(policy_kinds=POLICIES),
                **events,
            )

        try:
            self._subscription = create(event_callbacks=self._events)
        except UnsupportedEventTypeError:
            self._subscription = create()

    def _tell_lost(self) -> None:
        handlers = [] if self._subscription is None else self._subscription.event_handlers
        for handler in handlers:
            context: Any = self._node.context.handle
            wait_set = rclpy_implementation.WaitSet(0, 0, 0, 0, 0, 1, context)
            wait_set.clear_entities()
            handler.add_to_wait_set(wait_set)
            wait_set.wait(0)
            if handler.is_ready(wait_set) and (event := handler.take_data()) is not None:
                handler.callback(event)

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
