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
Which other files an ONNX model takes weights from.

The package onnx would say so too, but a robot has only a runtime. A model is one protobuf message;
of it, what may hold a tensor is walked through, and all else is skipped by its length.

References
----------
onnx.proto in https://github.com/onnx/onnx, for the numbers of the fields;
https://protobuf.dev/programming-guides/encoding, for how they are written.

"""

from __future__ import annotations

from collections.abc import Iterator

# By message, the fields that hold messages.
_FIELDS = {
    'Model': {7: 'Graph', 20: 'TrainingInfo', 25: 'Function'},
    'TrainingInfo': {1: 'Graph', 2: 'Graph'},
    'Function': {7: 'Node', 11: 'Attribute'},
    'Graph': {1: 'Node', 5: 'Tensor', 15: 'SparseTensor'},
    'Node': {5: 'Attribute'},
    'Attribute': {
        **{5: 'Tensor', 6: 'Graph', 10: 'Tensor', 11: 'Graph'},
        **{22: 'SparseTensor', 23: 'SparseTensor'},
    },
    'SparseTensor': {1: 'Tensor', 2: 'Tensor'},
    'Tensor': {13: 'Entry'},
    'Entry': {},
}
_DATA_LOCATION, _EXTERNAL = 14, 1
_KEY, _VALUE = 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def external_files(content: bytes) -> set[str]:
    """
    Return the locations of all files that an ONNX model takes weights from, as it states them.

    Parameters
    ----------
    content
        Of the .onnx file.

    Raises
    ------
    ValueError
        This is no ONNX model, or damaged.

    """
    try:
        return set(_locations('Model', memoryview(content)))
    except (IndexError, KeyError, RecursionError) as error:
        raise ValueError('it is no ONNX model, or damaged') from error


def _locations(kind: str, message: memoryview) -> Iterator[str]:
    is_external, location = False, ''
    for field, value in _fields(message):
        if isinstance(value, int):
            if kind == 'Tensor' and field == _DATA_LOCATION:
                is_external = value & 0xFFFFFFFF == _EXTERNAL
        elif (inner := _FIELDS[kind].get(field)) == 'Entry':
            entry = dict(_fields(value))
            if _text(entry.get(_KEY)) == 'location':
                location = _text(entry.get(_VALUE))
        elif inner is not None:
            yield from _locations(inner, value)
    if is_external:
        yield location


def _text(value: int | memoryview | None) -> str:
    return bytes(value).decode(errors='replace') if isinstance(value, memoryview) else ''


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field; IndexError or KeyError where it is no protobuf."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        field, wire = tag >> 3, tag & 7
        if not 0 < field < 1 << 29:
            raise IndexError
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield field, value
            continue
        if wire == _BYTES:
            length, at = _varint(message, at)
        else:
            length = {_FIXED64: 8, _FIXED32: 4}[wire]
        if at + length > len(message):
            raise IndexError
        yield field, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at a place, and the place after it."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value & (1 << 64) - 1, at
        if shift >= 70:
            raise IndexError
