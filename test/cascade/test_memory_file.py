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

"""Memory files: whatever `write_memory` does not write is refused, and nothing is executed."""

from __future__ import annotations

import io
import json
from pathlib import Path
import pickle
from typing import Any

import numpy as np
import pytest

from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.cascade.memory_file import (
    FORMAT,
    MemoryFileError,
    read_memory,
    Remembered,
    write_memory,
)

pytestmark = pytest.mark.filterwarnings('error')


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return a file of three frames."""
    entries = [
        (
            bytes([number] * 8),
            Remembered(
                Decision(np.eye(3, dtype=np.float32)[number], number, 1.0, 'second', 'first'), 1.0
            ),
        )
        for number in range(3)
    ]
    write_memory(tmp_path / 'memory.npz', 'id', entries, now=2.0)
    return tmp_path / 'memory.npz'


def refused(path: Path, identity: str = 'id') -> str:
    with pytest.raises(MemoryFileError) as caught:
        read_memory(path, identity, 0.0)
    assert str(path) in str(caught.value)
    return str(caught.value)


def contents(path: Path) -> list[tuple[Any, ...]]:
    return [
        (key, since, d.probabilities.tobytes(), d.label, d.score, d.source, d.winner)
        for key, (d, since) in read_memory(path, 'id', 10.0)
    ]


def test_what_is_written_is_read_again(saved: Path) -> None:
    assert [entry[:2] for entry in contents(saved)] == [(bytes([n] * 8), 9.0) for n in range(3)]
    assert {entry[3:] for entry in contents(saved)} == {
        (n, 1.0, 'memory', 'first') for n in range(3)
    }


def test_a_memory_of_another_bundle_or_rule_is_refused(saved: Path) -> None:
    assert 'saved under another bundle' in refused(saved, 'other')


def test_a_truncated_file_is_refused_wherever_it_ends(saved: Path) -> None:
    whole = saved.read_bytes()
    for length in (0, 1, 2, 4, 30, *range(50, len(whole), 50), len(whole) - 1):
        saved.write_bytes(whole[:length])
        assert 'damaged' in refused(saved)


def test_a_flipped_bit_is_refused_or_means_nothing(saved: Path) -> None:
    whole, kept, refusals = saved.read_bytes(), contents(saved), 0
    for bit in range(0, 8 * len(whole), 29):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        saved.write_bytes(damaged)
        try:
            assert contents(saved) == kept
        except MemoryFileError:
            refusals += 1
    assert refusals > len(whole) / 8


class Bomb:
    """Writes a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (self.path, 'executed')


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    file, trace = tmp_path / 'memory.npz', tmp_path / 'trace'
    file.write_bytes(pickle.dumps(Bomb(trace)))
    refused(file)
    np.savez(file, header=np.array([Bomb(trace)], dtype=object))
    refused(file)
    with file.open('wb') as opened:
        np.save(opened, np.array([Bomb(trace)], dtype=object))
    refused(file)
    assert not trace.exists()


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


@pytest.mark.parametrize(
    'foreign',
    [
        b'',
        b'label,score\n1,0.5\n',
        b'PK\x03\x04',
        b'\x93NUMPY',
        b'\x00' * 4096,
        b'[' * 100_000,
        npy(np.zeros(3)),
    ],
    ids=['empty', 'text', 'zip head', 'npy head', 'zeros', 'brackets', 'one array'],
)
def test_a_foreign_file_is_refused(foreign: bytes, tmp_path: Path) -> None:
    path = tmp_path / 'memory.npz'
    path.write_bytes(foreign)
    assert 'not a memory file, or a damaged one' in refused(path)


def write(path: Path, header: Any = None, /, **changes: np.ndarray | None) -> Path:
    """Write a file of two frames, some parts of which are changed or, where None, left out."""
    if header is None or isinstance(header, dict):
        sound = {'format': FORMAT, 'identity': 'id', 'winners': ['first', 'second']}
        header = json.dumps({**sound, **(header or {})}).encode()
    parts: dict[str, Any] = {
        'header': np.frombuffer(header, dtype=np.uint8),
        'keys': np.arange(16, dtype=np.uint8).reshape(2, 8),
        'probabilities': np.array([[0.8, 0.2], [0.4, 0.6]], dtype=np.float32),
        'labels': np.array([0, 1]),
        'scores': np.array([0.8, 0.6]),
        'ages': np.array([2.0, 1.0]),
        **changes,
    }
    np.savez(path, **{name: part for name, part in parts.items() if part is not None})
    return path


def test_the_hand_written_file_is_good(tmp_path: Path) -> None:
    assert len(contents(write(tmp_path / 'memory.npz'))) == 2


@pytest.mark.parametrize(
    'header',
    [
        b'[]',
        b'',
        b'{',
        b'\xff',
        b'null',
        {'format': 1},
        {'identity': None},
        {'winners': None},
        {'winners': ['first']},
        {'winners': 7},
    ],
)
def test_a_bad_header_is_refused(header: Any, tmp_path: Path) -> None:
    refused(write(tmp_path / 'memory.npz', header))


def test_another_format_is_named(tmp_path: Path) -> None:
    message = refused(write(tmp_path / 'memory.npz', {'format': 'dual_cnn_ros memory 9'}))
    assert "'dual_cnn_ros memory 9'" in message and FORMAT in message


@pytest.mark.parametrize(
    ('part', 'value'),
    [
        *(
            (part, None)
            for part in ('header', 'keys', 'probabilities', 'labels', 'scores', 'ages')
        ),
        ('keys', np.zeros((3, 8), np.uint8)),
        ('keys', np.array(5)),
        ('probabilities', np.array([0.8, 0.6], np.float32)),
        ('probabilities', np.array([[0.8, np.nan], [0.4, 0.6]], np.float32)),
        ('probabilities', np.array([['a', 'b'], ['c', 'd']])),
        ('probabilities', np.zeros((2, 0), np.float32)),
        ('labels', np.array([0, 2])),
        ('labels', np.array([-1, 0])),
        ('labels', np.array([0.0, 1.0])),
        ('labels', np.array([0, 1, 0])),
        ('labels', np.array(0)),
        ('scores', np.array([0.8, np.nan])),
        ('scores', np.array([0.8, 7.0])),
        ('scores', np.array(['a', 'b'])),
        ('scores', np.array([[0.8, 0.6]])),
        ('ages', np.array([1.0, -1.0])),
        ('ages', np.array([1.0, np.nan])),
        ('ages', np.array([[1.0, 1.0], [1.0, 1.0]])),
    ],
    ids=lambda value: (
        value if not isinstance(value, np.ndarray) else f'{value.dtype} {value.shape}'
    ),
)
def test_parts_that_no_memory_has_are_refused(part: str, value: Any, tmp_path: Path) -> None:
    refused(write(tmp_path / 'memory.npz', **{part: value}))
