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

"""What all three nodes create alike: topics whose QoS can be overridden, and steady timers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import Header


def add_publisher(node: Node, kind: type[Any], topic: str, depth: int = 10) -> Any:
    """Return a publisher whose QoS a parameter qos_overrides of the node may change."""
    return node.create_publisher(
        kind,
        topic,
        QoSProfile(depth=depth),
        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
    )


def add_subscription(
    node: Node,
    kind: type[Any],
    topic: str,
    callback: Callable[[Any], None],
    depth: int,
) -> Any:
    """Return a subscription whose QoS a parameter qos_overrides of the node may change."""
    return node.create_subscription(
        kind,
        topic,
        callback,
        # A new one each time: overrides change the profile that is passed in.
        QoSProfile(depth=depth),
        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
    )


def add_steady_timer(node: Node, seconds: float, callback: Callable[[], None]) -> None:
    """Call back at a steady rate: a replay that pauses /clock must not silence diagnostics."""
    node.create_timer(seconds, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))


def header_now(node: Node) -> Header:
    """Return a header with the time of the node's clock."""
    return Header(stamp=node.get_clock().now().to_msg())
