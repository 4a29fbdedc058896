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

"""What the classifier says about the frames that are played to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random
import time
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import Image

from dual_cnn_ros.messages.decisions import PublishedDecision, read_decision
from dual_cnn_ros.messages.images import from_image_msg

# Overlays kept for the contact sheet: a camera may run for a day.
MAX_OVERLAYS = 96
DEPTH = 100

# Name of the camera, and time stamp of the image in nanoseconds.
FrameKey = tuple[str, int]


@dataclass
class DecisionListener:
    """
    Keeps the decisions and overlays that the classifier publishes, by frame.

    Attributes
    ----------
    decisions
        Of every frame that was answered.
    sources
        How many frames each source answered.
    label
        The newest answer.
    overlays
        Some of the overlays, as JPEG, drawn at random.
    overlay_count
        How many overlays there were.
    latest
        Monotonic seconds of the last message.

    """

    decisions: dict[FrameKey, PublishedDecision] = field(default_factory=dict)
    sources: Counter[str] = field(default_factory=Counter)
    label: str = ''
    overlays: dict[FrameKey, bytes] = field(default_factory=dict)
    overlay_count: int = 0
    latest: float = 0.0
    random: Random = field(default_factory=lambda: Random(0))

    def listen(self, node: Node, topics: Mapping[str, str]) -> None:
        """Subscribe; topics: of each camera, by name, the prefix of the classifier's outputs."""
        for camera, prefix in topics.items():
            for kind, name, callback in (
                (DiagnosticArray, 'decision', self.on_decision),
                (Image, 'overlay', self.on_overlay),
            ):
                node.create_subscription(kind, prefix + name, partial(callback, camera), DEPTH)

    def on_decision(self, camera: str, message: Any) -> None:
        """Keep a decision."""
        decision = read_decision(message.status[0])
        self.decisions[camera, _stamp(message)] = decision
        self.sources[decision.source] += 1
        self.label = decision.label
        self.latest = time.monotonic()

    def on_overlay(self, camera: str, message: Any) -> None:
        """Keep an overlay if the draw falls on it, so that each is kept with equal chance."""
        self.latest = time.monotonic()
        self.overlay_count += 1
        if len(self.overlays) == MAX_OVERLAYS:
            place = self.random.randrange(self.overlay_count)
            if place >= MAX_OVERLAYS:
                return
            del self.overlays[list(self.overlays)[place]]
        jpeg = cv2.imencode('.jpg', from_image_msg(message))[1].tobytes()
        self.overlays[camera, _stamp(message)] = jpeg

    def has_all(self, published: int) -> bool:
        """Return True if there is a decision for each frame and an overlay for each decision."""
        return published <= len(self.decisions) <= self.overlay_count


def _stamp(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)
