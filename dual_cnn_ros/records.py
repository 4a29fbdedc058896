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

"""Dataclasses to the plain values of YAML and JSON, and back with every field checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, MISSING
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints, TypeVar, Union

import numpy as np

T = TypeVar('T')

KINDS = {
    dict: 'a mapping of fields',
    list: 'a list',
    str: 'text, in quotes where YAML would read something else',
    bool: 'true or false',
    int: 'a whole number',
    float: 'a number',
}


class RecordError(ValueError):
    """A value does not fit its record; the message names the field, such as stages[0].name."""


def to_plain(value: Any) -> Any:
    """
    Return a record as dicts, lists and scalars, from which `from_plain` makes it again.

    Fields that are empty by default and empty now are left out.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_plain(getattr(value, field.name))
            for field in fields(value)
            if not _may_be_left_out(field, getattr(value, field.name))
        }
    if isinstance(value, Mapping):
        return {key: to_plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(entry) for entry in value]
    if isinstance(value, np.generic):  # which JSON and YAML refuse
        return value.item()
    return value.as_posix() if isinstance(value, Path) else value


def from_plain(kind: type[T], value: object, where: str = '') -> T:
    """
    Return a record of a dataclass, made of plain values.

    Parameters
    ----------
    kind
        A dataclass whose fields are scalars, paths, dataclasses, Any, tuples or mappings of these,
        or optional ones. A whole number will do for a float; nothing else is converted.
    value
        What was read from the file.
    where
        The field that the value comes from.

    Raises
    ------
    RecordError
        Names the first field that is missing, unknown, of another type, or refused by its
        dataclass.

    """
    result: T = _convert(kind, value, where)
    return result


def _convert(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, UnionType):
        if value is None and NoneType in arguments:
            return None
        return _convert(next(a for a in arguments if a is not NoneType), value, where)
    if origin is tuple:
        entries = _expect(list, value, where)
        kinds = arguments if arguments[-1] is not ... else arguments[:1] * len(entries)
        if len(kinds) != len(entries):
            raise RecordError(f'{where} must have {len(kinds)} entries, not {len(entries)}')
        return tuple(
            _convert(kind, entry, f'{where}[{i}]')
            for i, (kind, entry) in enumerate(zip(kinds, entries))
        )
    if origin is not None:  # a mapping
        entries = _expect(dict, value, where)
        return {
            _expect(arguments[0], key, f'{where}: a key'): _convert(
                arguments[1], entry, f'{where}.{key}'
            )
            for key, entry in entries.items()
        }
    if is_dataclass(kind):
        return _record(kind, value, where)
    if kind is Path:
        return Path(_expect(str, value, where))
    if kind is float and _is_number(value):
        return float(value)
    return _expect(kind, value, where)


def _record(kind: Any, value: Any, where: str) -> Any:
    left = dict(_expect(dict, value, where or 'the file'))
    prefix = f'{where}.' if where else ''
    hints, found = get_type_hints(kind), {}
    for field in fields(kind):
        if field.name in left:
            found[field.name] = _convert(
                hints[field.name], left.pop(field.name), prefix + field.name
            )
        elif field.default is MISSING and field.default_factory is MISSING:
            raise RecordError(f'the field {prefix}{field.name} is missing')
    if left:
        names = ', '.join(map(str, left))
        raise RecordError(f'unknown field {prefix}{names}; check the spelling')
    try:
        return kind(**found)
    except ValueError as error:
        raise RecordError(f'{prefix}{error}') from error


def _expect(kind: Any, value: Any, where: str) -> Any:
    if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
        return value
    found = type(value).__name__ if isinstance(value, (dict, list)) else repr(value)
    raise RecordError(f'{where} must be {KINDS[kind]}, not {found}')


def _is_number(value: Any) -> bool:
    # A whole number of hundreds of digits has no float.
    return isinstance(value, float) or (
        isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
    )


def _may_be_left_out(field: Any, value: Any) -> bool:
    is_empty = value is None or (isinstance(value, (str, tuple, Mapping)) and not value)
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return is_empty and bool(value == default)
