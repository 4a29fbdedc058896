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

"""The memory on disk: a NumPy archive without pickles, so that reading it executes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dual_cnn_ros.cascade.decision import Decision, MEMORY
from dual_cnn_ros.files import write_atomically

FORMAT = 'dual_cnn_ros memory 1'


class MemoryFileError(ValueError):
    """A file holds no memory, is damaged, or belongs to another bundle or rule."""


class Remembered(NamedTuple):
    """A decision, and the monotonic time in seconds at which it was made."""

    decision: Decision
    since: float


class Snapshot(NamedTuple):
    """
    What a memory held at one moment.

    Attributes
    ----------
    entries
        Keys of one length and what is remembered under them, in the order of use.
    now
        Monotonic seconds, from which ages are counted.
    changes
        Those of the memory.

    """

    entries: Sequence[tuple[bytes, Remembered]]
    now: float
    changes: int


def write_memory(path: Path, identity: str, snapshot: Snapshot) -> None:
    """
    Write keys and decisions to a file, whole or not at all.

    Parameters
    ----------
    path
        The file; folders that are missing are made.
    identity
        Says which bundle and rule the decisions come from.
    snapshot
        What the memory holds.

    """
    entries, now, _ = snapshot
    decisions = [entry.decision for _, entry in entries]
    header = {
        'format': FORMAT,
        'identity': identity,
        'winners': [decision.winner for decision in decisions],
    }
    content = BytesIO()
    np.savez(
        content,
        header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
        # One row for each; of bytes, an array of NumPy would drop zeros at the end.
        keys=np.frombuffer(b''.join(key for key, _ in entries), np.uint8).reshape(
            len(entries), -1 if entries else 0
        ),
        probabilities=np.array([d.probabilities for d in decisions], dtype=np.float32),
        labels=np.array([d.label for d in decisions], dtype=np.int64),
        scores=np.array([d.score for d in decisions], dtype=np.float64),
        ages=np.array([now - entry.since for _, entry in entries], dtype=np.float64),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.getvalue())


def read_memory(path: Path, identity: str, now: float) -> list[tuple[bytes, Remembered]]:
    """
    Return what `write_memory` wrote, with the times moved so that the ages are right at `now`.

    Raises
    ------
    MemoryFileError
        Names the file and what is wrong with it.
    OSError
        The file cannot be read.

    """
    content = BytesIO(path.read_bytes())
    try:
        # Pickled arrays are refused, and zipfile verifies the checksum of each part.
        with np.load(content, allow_pickle=False) as file:
            parts = {name: file[name] for name in file.files}
        header = json.loads(parts['header'].tobytes())
        found, made_by = header['format'], header['identity']
        winners = [str(winner) for winner in header['winners']]
        keys = [key.tobytes() for key in parts['keys']]
        probabilities = parts['probabilities'].astype(np.float32)
        labels = parts['labels']
        scores, ages = (parts[name].astype(np.float64) for name in ('scores', 'ages'))
        is_whole = len(keys) == len(probabilities) == len(winners) and all(
            part.shape == (len(keys),) for part in (labels, scores, ages)
        )
    except Exception as error:  # zipfile, NumPy and JSON each have their own for damaged bytes
        raise MemoryFileError(
            f'{path}: not a memory file, or a damaged one ({error}); '
            'save the memory again to replace it'
        ) from error
    if found != FORMAT:
        raise MemoryFileError(f'{path}: its format is {found!r}, not {FORMAT!r}')
    if made_by != identity:
        raise MemoryFileError(
            f'{path}: it was saved under another bundle, score, threshold, post-check or '
            'fingerprint, whose answers may differ'
        )
    if not is_whole:
        raise MemoryFileError(f'{path}: its parts do not fit each other; it is damaged')
    entries = [
        (key, Remembered(Decision(p.copy(), label, score, MEMORY, winner), now - age))
        for key, p, label, score, winner, age in zip(
            keys, probabilities, labels.tolist(), scores.tolist(), winners, ages.tolist()
        )
    ]
    if not all(_is_plausible(entry, now) for _, entry in entries):
        raise MemoryFileError(f'{path}: it holds values that no decision has; it is damaged')
    return entries


def _is_plausible(entry: Remembered, now: float) -> bool:
    decision = entry.decision
    p = decision.probabilities
    return bool(
        p.ndim == 1
        and np.isfinite(p).all()
        and isinstance(decision.label, int)
        and 0 <= decision.label < p.size
        and 0 <= decision.score <= 1
        and entry.since <= now
    )
