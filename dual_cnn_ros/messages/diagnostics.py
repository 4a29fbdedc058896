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

"""Statuses of diagnostic_msgs, as every node of this package publishes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from dual_cnn_ros.messages.types import MessageTypes

Level = Literal['OK', 'WARN', 'ERROR', 'STALE']
"""The name of a level of diagnostic_msgs/DiagnosticStatus."""


def diagnostic_status(
    types: MessageTypes,
    name: str,
    level: Level,
    message: str,
    hardware_id: str,
    values: Mapping[str, object],
) -> Any:
    """
    Build a diagnostic_msgs/DiagnosticStatus.

    Parameters
    ----------
    types
        The message classes.
    name, message, hardware_id
        As in the message.
    level
        Of the status.
    values
        By key; floats are written with six digits, and None as the empty string.

    """
    kind = types('diagnostic_msgs/msg/DiagnosticStatus')
    pair = types('diagnostic_msgs/msg/KeyValue')
    return kind(
        name=name,
        level=getattr(kind, level),
        message=message,
        hardware_id=hardware_id,
        values=[pair(key=key, value=_text(value)) for key, value in values.items()],
    )


def diagnostic_array(types: MessageTypes, header: Any, statuses: list[Any]) -> Any:
    """Build a diagnostic_msgs/DiagnosticArray."""
    return types('diagnostic_msgs/msg/DiagnosticArray')(header=header, status=statuses)


def _text(value: object) -> str:
    if value is None:
        return ''
    return f'{value:.6g}' if isinstance(value, float) else str(value)
