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

"""The /diagnostics of a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node

from dual_cnn_ros.messages.diagnostics import diagnostic_status, Level
from dual_cnn_ros.messages.types import installed
from dual_cnn_ros.nodes.endpoints import header_now


class Diagnostics:
    """Publishes statuses that are those of one node of a fleet: its whole name is in each."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)

    def status(
        self, name: str, level: Level, message: str, values: Mapping[str, object]
    ) -> DiagnosticStatus:
        """Return a status; an aggregator merges those that agree in name and hardware_id."""
        node = self._node.get_fully_qualified_name()
        return diagnostic_status(installed, f'{node}: {name}', level, message, node, values)

    def publish(self, statuses: Sequence[DiagnosticStatus]) -> None:
        """Publish statuses with the time of the node's clock."""
        self._publisher.publish(
            DiagnosticArray(header=header_now(self._node), status=list(statuses))
        )
