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
The codec of a reading: a status of a diagnostic_msgs/DiagnosticArray, written and read.

Imports no ROS: live messages, recorded ones and those that are built for a recording pass through
the same few lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from dual_cnn_ros.messages.diagnostics import diagnostic_array, diagnostic_status
from dual_cnn_ros.messages.types import MessageTypes
from dual_cnn_ros.power.reading import Reading, TOTAL

_PREFIX = 'power_monitor: '
_NUMBERS = tuple(field.name for field in fields(Reading) if field.name not in ('rail', 'error'))


@dataclass(frozen=True)
class PublishedReading:
    """
    A reading as it is published.

    Attributes
    ----------
    reading
        Of a rail, or the total.
    source
        Of the sensor, such as 'ina3221'.
    scope
        Of the total that the rail is part of, such as 'module'; empty for any other rail.
    period
        Nominal seconds between readings; only the total has one.

    """

    reading: Reading
    source: str
    scope: str = ''
    period: float | None = None


def rails_message(types: MessageTypes, header: Any, readings: Iterable[PublishedReading]) -> Any:
    """Build the DiagnosticArray of the readings of one moment, of which `header` has the time."""
    return diagnostic_array(types, header, [_to_status(types, one) for one in readings])


def _to_status(types: MessageTypes, published: PublishedReading) -> Any:
    reading = published.reading
    values = to_values(reading, published.scope)
    values['monotonic'] = values.pop('time')
    if published.period is not None:
        values['period'] = repr(published.period)
    watts = 'counting' if reading.watts is None else f'{reading.watts:.3f} W'
    return diagnostic_status(
        types,
        _PREFIX + reading.rail,
        'ERROR' if reading.error else 'OK',
        reading.error or watts,
        published.source,
        values,
    )


def from_status(status: Any) -> PublishedReading:
    """
    Read one status of a DiagnosticArray back.

    Raises
    ------
    ValueError
        Where it is not a rail's; names the status and the key.

    """
    if not status.name.startswith(_PREFIX):
        raise ValueError(f'the status {status.name!r} is not named {_PREFIX!r} and a rail')
    values = {pair.key: pair.value for pair in status.values}
    try:
        reading = from_values(status.name[len(_PREFIX) :], values, 'monotonic')
        period = _number(values, 'period')
        if period is not None and period <= 0:
            raise ValueError(f'period is not above zero: {period:g}')
    except ValueError as error:
        raise ValueError(f'the status {status.name!r}: {error}') from None
    return PublishedReading(reading, status.hardware_id, values.get('scope', ''), period)


def find_total(rails: Any) -> Any | None:
    """Return the total's status of a DiagnosticArray of rails, None where it has none."""
    return next((status for status in rails.status if status.name == _PREFIX + TOTAL), None)


def to_values(reading: Reading, scope: str) -> dict[str, str]:
    """
    Return a reading as texts, by field; what was not read is the empty string.

    Floats are written so that they read back exactly. `scope` is as in PublishedReading.
    """
    values = {name: _written(getattr(reading, name)) for name in _NUMBERS}
    return {**values, 'scope': scope, 'error': reading.error}


def from_values(rail: str, values: Mapping[str, str], time: str = 'time') -> Reading:
    """
    Build a reading from texts, by field.

    Parameters
    ----------
    rail
        Its name.
    values
        As of `to_values`; a field that is missing or empty was not read.
    time
        The key of the reading's time.

    Raises
    ------
    ValueError
        Where a value is no finite number, or there is no time; names the key.

    """
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
