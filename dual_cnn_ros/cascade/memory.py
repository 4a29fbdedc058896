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

"""A bounded memory of past frames: fingerprint to Decision, least recently used out first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from io import BytesIO
import json
from pathlib import Path
from threading import Lock
import time
from typing import NamedTuple

import numpy as np

from dual_cnn_ros.cascade.decision import Decision, MEMORY
from dual_cnn_ros.files import write_atomically

FORMAT = 'dual_cnn_ros memory 1'


class MemoryFileError(ValueError):
    """A memory file is foreign, damaged, or was made by another bundle or rule."""


class _Remembered(NamedTuple):
    decision: Decision
    since: float


class Memory:
    """
    What was decided about past frames, by exact fingerprint.

    capacity: frames at most. max_age: seconds from when a frame was decided, not from when it was
    last seen, so that a wrong answer does not live on by being repeated; 0 for no limit. clock:
    monotonic seconds. Calls from several threads are safe.
    """

    def __init__(
        self, capacity: int, max_age: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Make an empty memory."""
        self._lock = Lock()
        self._clock = clock
        self._entries: OrderedDict[bytes, _Remembered] = OrderedDict()
        self.resize(capacity, max_age)

    def __len__(self) -> int:
        """Return the number of frames remembered."""
        return len(self._entries)

    def resize(self, capacity: int, max_age: float) -> None:
        """Change the limits, forgetting the least recently used frames that no longer fit."""
        with self._lock:
            self.capacity, self.max_age = capacity, max_age
            self._shrink()

    def recall(self, key: bytes) -> Decision | None:
        """Return what was decided about a frame with this fingerprint, or None."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if self.max_age and self._clock() - entry.since > self.max_age:
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            return entry.decision

    def remember(self, key: bytes, decision: Decision) -> None:
        """Keep a decision under a fingerprint, in place of any earlier one."""
        with self._lock:
            self._entries[key] = _Remembered(decision, self._clock())
            self._entries.move_to_end(key)
            self._shrink()

    def clear(self) -> int:
        """Forget everything; return how many frames that were."""
        with self._lock:
            count = len(self._entries)
            self._entries.clear()
            return count

    def save(self, path: Path, identity: str) -> int:
        """
        Write the memory to a file, whole or not at all; return the number of frames.

        identity: of the bundle and rule that the decisions came from; `load` asks for the same.
        OSError where the file cannot be written.
        """
        with self._lock:
            now = self._clock()
            entries = list(self._entries.items())
        decisions = [entry.decision for _, entry in entries]
        header = {
            'format': FORMAT,
            'identity': identity,
            'winners': [decision.winner for decision in decisions],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        content = BytesIO()
        np.savez(
            content,
            header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
            keys=np.array([list(key) for key, _ in entries], dtype=np.uint8),
            probabilities=np.array([d.probabilities for d in decisions], dtype=np.float32),
            labels=np.array([d.label for d in decisions], dtype=np.int64),
            scores=np.array([d.score for d in decisions], dtype=np.float64),
            ages=np.array([now - entry.since for _, entry in entries], dtype=np.float64),
        )
        write_atomically(path, content.getvalue())
        return len(entries)

    def load(self, path: Path, identity: str) -> int:
        """
        Replace the memory by a saved one; return the number of frames now remembered.

        MemoryFileError names the file and what is wrong with it, and the memory stays as it was;
        OSError where the file cannot be read. Time that passed between the two does not count
        towards max_age: monotonic clocks do not survive a restart.
        """
        content = BytesIO(path.read_bytes())
        try:
            # Nothing in the file is executed: pickled arrays are refused, and each part has a
            # checksum of its own, which zipfile verifies.
            with np.load(content, allow_pickle=False) as file:
                parts = {name: file[name] for name in file.files}
            header = json.loads(parts['header'].tobytes())
            if header['format'] != FORMAT:
                raise MemoryFileError(
                    f'{path}: its format is {header["format"]!r}, not {FORMAT!r}'
                )
            if header['identity'] != identity:
                raise MemoryFileError(
                    f'{path}: it was saved under another bundle, score, threshold, post-check or '
                    'fingerprint, whose answers may differ'
                )
            winners = [str(winner) for winner in header['winners']]
            keys = [key.tobytes() for key in parts['keys']]
            probabilities = parts['probabilities'].astype(np.float32)
            labels, scores, ages = (parts[name].tolist() for name in ('labels', 'scores', 'ages'))
            if {len(part) for part in (keys, probabilities, labels, scores, ages)} != {
                len(winners)
            }:
                raise MemoryFileError(f'{path}: its parts have different lengths; it is damaged')
            now = self._clock()
            entries = OrderedDict(
                (key, _Remembered(Decision(p.copy(), label, score, MEMORY, winner), now - age))
                for key, p, label, score, winner, age in zip(
                    keys, probabilities, labels, scores, winners, ages
                )
            )
            for decision, since in entries.values():
                p = decision.probabilities
                if not (
                    p.ndim == 1
                    and np.isfinite(p).all()
                    and isinstance(decision.label, int)
                    and 0 <= decision.label < p.size
                    and 0 <= decision.score <= 1
                    and since <= now
                ):
                    raise MemoryFileError(
                        f'{path}: it holds values that no decision has; it is damaged'
                    )
        except MemoryFileError:
            raise
        except Exception as error:  # zipfile, NumPy and JSON each have their own for damaged bytes
            raise MemoryFileError(
                f'{path}: not a memory file, or a damaged one ({error}); '
                'save the memory again to replace it'
            ) from error
        with self._lock:
            self._entries = entries
            self._shrink()
            return len(self._entries)

    def _shrink(self) -> None:
        while len(self._entries) > self.capacity:
            self._entries.popitem(last=False)
