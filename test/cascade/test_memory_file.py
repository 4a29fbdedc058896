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

import json
from pathlib import Path
import pickle
from typing import Any

import numpy as np
import pytest

from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.cascade.memory_file import (
    CameraSnapshot,
    FORMAT,
    MemoryFileError,
    read_memory,
    Remembered,
    Snapshot,
    write_memory,
)

pytestmark = pytest.mark.filterwarnings('error')

PROBABILITIES = np.array([[0.75, 0.25], [0.25, 0.75]], dtype=np.float32)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return a file of two frames."""
    cameras = {}
    for n, p in enumerate(PROBABILITIES):
        decision = Decision(p, n, float(n), 'second', 'first')
        remembered = Remembered(decision, 1.0, 0.5, is_contested=n == 0, agreements=7 * n)
        cameras[f'camera {n}'] = CameraSnapshot([(bytes([n] * 8), remembered)], 0.25 + n / 4)
    write_memory(tmp_path / 'memory.npz', 'id', Snapshot(cameras, 2.0, 2))
    return tmp_path / 'memory.npz'


def refused(path: Path, identity: str = 'id') -> str:
    with pytest.raises(MemoryFileError) as caught:
        read_memory(path, identity, 0.0)
    assert str(path) in str(caught.value)
    return str(caught.value)


def contents(path: Path) -> list[tuple[Any, ...]]:
    return [
        (name, camera.scale, key, *rest, d.probabilities.tobytes(), d.label, d.score, d.winner)
        for name, camera in read_memory(path, 'id', 10.0).items()
        for key, (d, *rest) in camera.entries
    ]


def test_what_is_written_is_read_again_as_of_the_memory(saved: Path) -> None:
    assert contents(saved) == [
        (
            f'camera {n}',
            0.25 + n / 4,
            bytes([n] * 8),
            9.0,
            0.5,
            n == 0,
            7 * n,
            p.tobytes(),
            n,
            float(n),
            'first',
        )
        for n, p in enumerate(PROBABILITIES)
    ]
    decision = read_memory(saved, 'id', 10.0)['camera 0'].entries[0][1].decision
    assert (decision.source, decision.margin) == ('memory', 0.5)
    assert (type(decision.label), type(decision.score)) == (int, float)
    assert decision.probabilities.dtype == np.float32


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


@pytest.mark.parametrize(
    'foreign',
    [b'label,score\n1,0.5\n', b'\x93NUMPY', b'\x00' * 4096, b'[' * 100_000],
    ids=['text', 'npy head', 'zeros', 'brackets'],
)
def test_a_foreign_file_is_refused(foreign: bytes, tmp_path: Path) -> None:
    path = tmp_path / 'memory.npz'
    path.write_bytes(foreign)
    assert 'not a memory file, or a damaged one' in refused(path)
    with path.open('wb') as file:
        np.save(file, np.zeros(3))
    assert 'not a memory file, or a damaged one' in refused(path)


def rewrite(path: Path, header: Any = None, /, **changes: np.ndarray | None) -> None:
    """Change a file's header, or fields of it, and parts; those that become None are left out."""
    with np.load(path) as file:
        parts: dict[str, Any] = {**file}
    if not isinstance(header, bytes):
        sound = json.loads(parts['header'].tobytes())
        header = json.dumps({**sound, **(header or {})}).encode()
    parts = {**parts, 'header': np.frombuffer(header, dtype=np.uint8), **changes}
    np.savez(path, **{name: part for name, part in parts.items() if part is not None})


def test_a_file_that_was_rewritten_without_a_change_is_good(saved: Path) -> None:
    before = contents(saved)
    rewrite(saved)
    assert contents(saved) == before


@pytest.mark.parametrize(
    ('header', 'said'),
    [
        *((header, 'damaged') for header in (b'[]', b'', b'{', b'\xff', b'null')),
        *(({'decisions': words}, 'damaged') for words in (None, ['first'], 7)),
        *(
            ({'cameras': cameras}, 'damaged')
            for cameras in (
                None,
                [],
                {},
                {'a': {'frames': 1, 'scale': 1.0}},
                {'a': {'frames': 3, 'scale': 1.0}},
                {'a': {'frames': -1, 'scale': 1.0}, 'b': {'frames': 3, 'scale': 1.0}},
                {'a': {'frames': 2, 'scale': 0.0}},
                {'a': {'frames': 2, 'scale': None}},
                {'a': {'frames': 2}},
            )
        ),
        ({'identity': None}, 'saved under another bundle'),
        ({'format': 'memory 9'}, f"its format is 'memory 9', not {FORMAT!r}"),
    ],
)
def test_a_bad_header_is_refused(header: Any, said: str, saved: Path) -> None:
    rewrite(saved, header)
    assert said in refused(saved)


@pytest.mark.parametrize(
    ('part', 'values'),
    [
        ('header', [None]),
        ('keys', [None, np.zeros((3, 8), np.uint8), np.array(5)]),
        (
            'probabilities',
            [
                None,
                np.array([0.8, 0.6], np.float32),
                np.array([[0.8, np.nan], [0.4, 0.6]], np.float32),
                np.array([['a', 'b'], ['c', 'd']]),
                np.zeros((2, 0), np.float32),
            ],
        ),
        ('labels', [None, *map(np.array, ([0, 2], [-1, 0], [0.0, 1.0], [0, 1, 0], 0))]),
        ('margins', [None, *map(np.array, ([0.5, np.nan], [0.5, 1.5], ['a', 'b'], [0.5]))]),
        ('contested', [None, *map(np.array, ([True], [[True, False]] * 2))]),
        ('agreements', [None, *map(np.array, ([1, -1], ['a', 'b'], [1]))]),
        ('scores', [None, *map(np.array, ([0.8, np.nan], [0.8, 7], ['a', 'b'], [[0.8, 0.6]]))]),
        ('ages', [None, *map(np.array, ([1.0, -1.0], [1.0, np.nan], [[1.0, 1.0]] * 2))]),
    ],
)
def test_parts_that_no_memory_has_are_refused(part: str, values: list[Any], saved: Path) -> None:
    sound = saved.read_bytes()
    for value in values:
        saved.write_bytes(sound)
        rewrite(saved, **{part: value})
        refused(saved)
