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

"""
Readings as the statuses of a diagnostic_msgs/DiagnosticArray, and back.

Knows the names of the fields but imports no ROS, so that live messages and recorded ones are read
by the same few lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from dual_cnn_ros.power.reading import Reading

PREFIX = 'power_monitor: '

_NUMBERS = tuple(field.name for field in fields(Reading) if field.name not in ('rail', 'error'))


def to_values(reading: Reading, scope: str) -> dict[str, str]:
    """
    Return the key-value pairs of one rail's status; what was not read is the empty string.

    `scope` is that of the total which this rail is part of, empty for a rail outside of it.
    `monotonic` is the reading's time; floats are written so that they read back exactly.
    """
    values = {name: _written(getattr(reading, name)) for name in _NUMBERS}
    values['monotonic'] = values.pop('time')
    return {**values, 'scope': scope, 'error': reading.error}


def from_status(status: Any) -> tuple[Reading, dict[str, str]]:
    """
    Read one status back: the reading, and all key-value pairs.

    Raises ValueError, naming the status, where it is not a rail's.
    """
    values = {pair.key: pair.value for pair in status.values}
    if not status.name.startswith(PREFIX):
        raise ValueError(f'the status {status.name!r} is not named {PREFIX!r} and a rail')
    try:
        return from_values(status.name[len(PREFIX) :], values, 'monotonic'), values
    except ValueError as error:
        raise ValueError(f'the status {status.name!r}: {error}') from None


def from_values(rail: str, values: Mapping[str, str], time: str) -> Reading:
    """Build a reading from texts, `time` being the key of its time; raises ValueError."""
    keys = {'time': time}
    numbers = {name: _number(values, keys.get(name, name)) for name in _NUMBERS}
    moment = numbers.pop('time')
    if moment is None:
        raise ValueError(f'{time} is missing')
    return Reading(rail, moment, **numbers, error=values.get('error') or '')


def _written(value: float | None) -> str:
    return '' if value is None else repr(value)


def _number(values: Mapping[str, str], key: str) -> float | None:
    written = values.get(key)
    if not written:
        return None
    try:
        number = float(written)
    except ValueError:
        raise ValueError(f'{key} is no number: {written!r}') from None
    if number - number != 0:
        raise ValueError(f'{key} is not finite: {written!r}')
    return number
