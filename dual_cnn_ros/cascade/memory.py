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

"""The memory: decisions about past frames by fingerprint, the least recently used out first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
import time

from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.cascade.fingerprints import FINGERPRINTS
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.memory_file import read_memory, Remembered, Snapshot, write_memory


class Memory:
    """
    What was decided about past frames that had exactly the same fingerprint.

    It may be used by several threads at once.

    Parameters
    ----------
    fingerprint
        A name of FINGERPRINTS.
    capacity
        Number of frames at most.
    max_age
        Seconds after which a decision is forgotten, 0 for never. They count from the decision, not
        from the last time it was recalled: else a wrong answer could be repeated for ever.
    clock
        Returns monotonic seconds.

    Attributes
    ----------
    changes
        How often frames were remembered or forgotten: what is saved need not be saved again while
        it stays the same.

    """

    def __init__(
        self,
        fingerprint: str,
        capacity: int,
        max_age: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.capacity, self.max_age = capacity, max_age
        self._fingerprint, self._clock = FINGERPRINTS[fingerprint], clock
        self._entries: OrderedDict[bytes, Remembered] = OrderedDict()
        self._lock = Lock()
        self.changes = 0

    def __len__(self) -> int:
        """Return the number of frames remembered."""
        return len(self._entries)

    def resize(self, capacity: int, max_age: float) -> None:
        """Change the limits; what no longer fits is forgotten, least recently used first."""
        with self._lock:
            self.capacity, self.max_age = capacity, max_age
            self._shrink()

    def recall(self, frame: Frame) -> Decision | None:
        """Return what was decided about a frame with this fingerprint, or None."""
        key = frame.once(self._fingerprint)
        if key is None:
            return None
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if self.max_age and self._clock() - entry.since > self.max_age:
                del self._entries[key]
                self.changes += 1
                return None
            self._entries.move_to_end(key)
            return entry.decision

    def remember(self, frame: Frame, decision: Decision) -> None:
        """Keep a decision under the frame's fingerprint, in place of any earlier one."""
        key = frame.once(self._fingerprint)
        if key is None:
            return
        with self._lock:
            self._entries[key] = Remembered(decision, self._clock())
            self._entries.move_to_end(key)
            self.changes += 1
            self._shrink()

    def clear(self) -> int:
        """Forget everything; return how many frames that were."""
        with self._lock:
            count = len(self._entries)
            self._entries.clear()
            self.changes += count
            return count

    def snapshot(self) -> Snapshot:
        """Return what is remembered now."""
        with self._lock:
            return Snapshot(list(self._entries.items()), self._clock(), self.changes)

    def save(self, path: Path, identity: str) -> int:
        """
        Write the memory to a file, whole or not at all.

        Parameters
        ----------
        path
            The file; folders that are missing are made.
        identity
            Says which bundle and rule the decisions come from; `load` asks for the same.

        Returns
        -------
        int
            Number of frames written.

        Raises
        ------
        OSError
            The file cannot be written.

        """
        snapshot = self.snapshot()
        write_memory(path, identity, snapshot)
        return len(snapshot.entries)

    def load(self, path: Path, identity: str) -> int:
        """
        Replace the content by that of a file; where anything is raised, it stays as it was.

        The time between saving and loading does not count towards max_age, because a monotonic
        clock does not survive a restart.

        Parameters
        ----------
        path
            A file that `save` wrote.
        identity
            What `save` was given.

        Returns
        -------
        int
            Number of frames now remembered.

        Raises
        ------
        MemoryFileError
            The file is of another kind or identity, or damaged.
        OSError
            The file cannot be read.

        """
        entries = read_memory(path, identity, self._clock())
        with self._lock:
            self._entries = OrderedDict(entries)
            self.changes += 1
            self._shrink()
            return len(self._entries)

    def _shrink(self) -> None:
        while len(self._entries) > self.capacity:
            self._entries.popitem(last=False)
            self.changes += 1
