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

"""The memories of all cameras: made when a camera is first seen, changed and saved together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import time

from dual_cnn_ros.cascade.audit import AuditRecord
from dual_cnn_ros.cascade.memory import Memory
from dual_cnn_ros.cascade.memory_file import (
    CameraSnapshot,
    MemoryFileError,
    read_memory,
    Snapshot,
    write_memory,
)
from dual_cnn_ros.cascade.settings import MemorySettings

NOTHING = CameraSnapshot([], 1.0)


class Memories:
    """
    A memory for each camera: two cameras that see alike need not be told alike.

    Parameters
    ----------
    settings
        Of each.
    clock
        Returns monotonic seconds.
    seed
        Of the audits; None for another one each time.

    """

    def __init__(
        self,
        settings: MemorySettings,
        clock: Callable[[], float] = time.monotonic,
        seed: int | None = None,
    ) -> None:
        self.settings, self._clock, self._seed = settings, clock, seed
        self._cameras: dict[str, Memory] = {}

    def of(self, camera: str) -> Memory:
        """Return the memory of a camera."""
        if (memory := self._cameras.get(camera)) is None:
            memory = Memory(self.settings, self._clock, self._seed)
            memory = self._cameras.setdefault(camera, memory)
        return memory

    def empty(self, settings: MemorySettings) -> Memories:
        """Return others that remember nothing yet."""
        return Memories(settings, self._clock, self._seed)

    def __len__(self) -> int:
        """Return the number of frames remembered."""
        return sum(map(len, self._all()))

    def _all(self) -> list[Memory]:
        # A list made at once: another thread may see a new camera meanwhile.
        return list(self._cameras.values())

    @property
    def changes(self) -> int:
        """How often frames were remembered or forgotten; see Memory."""
        return sum(memory.changes for memory in self._all())

    def configure(self, settings: MemorySettings) -> None:
        """Change all settings but the fingerprint; what no longer fits is forgotten."""
        self.settings = settings
        for memory in self._all():
            memory.configure(settings)

    def records(self) -> list[AuditRecord]:
        """Return how right the hits of each camera have been."""
        return [memory.record() for memory in self._all()]

    def clear(self) -> int:
        """Forget everything; return how many frames that were."""
        return sum(memory.clear() for memory in self._all())

    def snapshot(self) -> Snapshot:
        """Return what is remembered now."""
        changes = self.changes
        cameras = {name: memory.snapshot() for name, memory in list(self._cameras.items())}
        return Snapshot(cameras, self._clock(), changes)

    def save(self, path: Path, identity: str) -> int:
        """
        Write the memories to a file, whole or not at all.

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
        return snapshot.frames

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
        cameras = read_memory(path, identity, self._clock())
        try:
            # Keys of a file have one length, so that the first camera shows whether it is right.
            for name in {**cameras, **self._cameras}:
                self.of(name).restore(cameras.get(name, NOTHING))
        except ValueError as error:
            raise MemoryFileError(f'{path}: its keys are none ({error}); it is damaged') from error
        return len(self)
