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

from collections.abc import Mapping, Sequence
from io import BytesIO
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.decision import Decision, MEMORY
from dual_cnn_ros.files import write_atomically

FORMAT = 'dual_cnn_ros memory 3'


class MemoryFileError(ValueError):
    """A file holds no memory, is damaged, or belongs to another bundle or rule."""


class Remembered(NamedTuple):
    """
    What is remembered of a frame.

    Attributes
    ----------
    decision
        What was decided.
    since
        When, in monotonic seconds.
    margin
        The least margin of this and all decisions that confirmed it.
    is_contested
        Whether it has to be proved right before it is an answer.
    agreements
        How often it was proved right since it was contested.

    """

    decision: Decision
    since: float
    margin: float
    is_contested: bool = False
    agreements: int = 0

    @classmethod
    def of(cls, decision: Decision, since: float) -> Remembered:
        """Return a decision as it is remembered; one that overrules a stage is contested."""
        return cls(decision, since, decision.margin, decision.overruled)


class CameraSnapshot(NamedTuple):
    """
    What the memory of a camera held at one moment.

    Attributes
    ----------
    entries
        Keys of one length and what is remembered under them, in the order of use.
    scale
        That of its audit.

    """

    entries: Sequence[tuple[bytes, Remembered]]
    scale: float


class Snapshot(NamedTuple):
    """
    What the memories of all cameras held at one moment.

    Attributes
    ----------
    cameras
        By name.
    now
        Monotonic seconds, from which ages are counted.
    changes
        Those of the memories.

    """

    cameras: Mapping[str, CameraSnapshot]
    now: float
    changes: int

    @property
    def frames(self) -> int:
        """Number of frames that are remembered."""
        return sum(len(camera.entries) for camera in self.cameras.values())


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
        What the memories hold.

    """
    entries = [entry for camera in snapshot.cameras.values() for entry in camera.entries]
    remembered = [entry for _, entry in entries]
    decisions = [entry.decision for entry in remembered]
    header = {
        'format': FORMAT,
        'identity': identity,
        'cameras': {
            name: {'frames': len(camera.entries), 'scale': camera.scale}
            for name, camera in snapshot.cameras.items()
        },
        # Who won, the operating point, and the scores of the stages asked.
        'decisions': [[d.winner, d.operating_point, dict(d.scores)] for d in decisions],
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
        margins=np.array([entry.margin for entry in remembered], dtype=np.float64),
        contested=np.array([entry.is_contested for entry in remembered], dtype=np.bool_),
        agreements=np.array([entry.agreements for entry in remembered], dtype=np.int64),
        ages=np.array([snapshot.now - entry.since for entry in remembered], dtype=np.float64),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.getvalue())


def read_memory(path: Path, identity: str, now: float) -> dict[str, CameraSnapshot]:
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
    except Exception as error:  # zipfile, NumPy and JSON each have their own for damaged bytes
        raise MemoryFileError(
            f'{path}: not a memory file, or a damaged one ({error}); '
            'save the memory again to replace it'
        ) from error
    if found != FORMAT:
        raise MemoryFileError(f'{path}: its format is {found!r}, not {FORMAT!r}')
    if made_by != identity:
        raise MemoryFileError(
            f'{path}: it was saved under another bundle, score, post-check or fingerprint, whose '
            'answers may differ'
        )
    try:
        return _cameras(header, parts, now)
    except Exception as error:  # whatever a field of another type or length brings about
        raise MemoryFileError(
            f'{path}: its parts do not fit each other ({error}); it is damaged'
        ) from error


def _cameras(
    header: Mapping[str, Any], parts: Mapping[str, npt.NDArray[Any]], now: float
) -> dict[str, CameraSnapshot]:
    """Return the cameras of a file; any exception where its parts do not fit each other."""
    keys = [key.tobytes() for key in parts['keys']]
    entries = [
        (
            key,
            Remembered(
                _decision(p.copy(), label, float(score), words, margin),
                now - float(age),
                margin,
                bool(is_contested),
                int(agreements),
            ),
        )
        for key, p, label, score, words, margin, is_contested, agreements, age in zip(
            keys,
            parts['probabilities'].astype(np.float32),
            parts['labels'].tolist(),
            parts['scores'],
            header['decisions'],
            parts['margins'].astype(np.float64).tolist(),
            parts['contested'],
            parts['agreements'],
            parts['ages'],
            strict=True,
        )
    ]
    if not all(_is_plausible(entry, now) for _, entry in entries):
        raise ValueError('it holds values that no decision has')
    cameras, begin = {}, 0
    for name, camera in header['cameras'].items():
        end = begin + int(camera['frames'])
        scale = float(camera['scale'])
        if not begin <= end <= len(entries) or not 0 < scale <= 1:
            raise ValueError(f'camera {name!r} has {camera}')
        cameras[name] = CameraSnapshot(entries[begin:end], scale)
        begin = end
    if begin != len(entries):
        raise ValueError(f'{len(entries)} frames, of which the cameras have {begin}')
    return cameras


def _decision(
    probabilities: npt.NDArray[np.float32], label: int, score: float, words: Any, margin: float
) -> Decision:
    winner, point, asked = words
    scores = {str(stage): float(value) for stage, value in asked.items()}
    return Decision(
        probabilities,
        label,
        score,
        next(reversed(scores), MEMORY),
        str(winner),
        scores,
        margin=margin,
        operating_point=str(point),
    )


def _is_plausible(entry: Remembered, now: float) -> bool:
    decision = entry.decision
    p = decision.probabilities
    return bool(
        p.ndim == 1
        and np.isfinite(p).all()
        and isinstance(decision.label, int)
        and 0 <= decision.label < p.size
        and 0 <= decision.score <= 1
        and 0 <= entry.margin <= 1
        and entry.agreements >= 0
        and entry.since <= now
    )
