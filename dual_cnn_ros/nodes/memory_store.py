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

"""The file in which the memory of a node outlives the node."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread
from time import monotonic

from dual_cnn_ros.cascade.memories import Memories
from dual_cnn_ros.cascade.memory_file import MemoryFileError, Snapshot, write_memory
from dual_cnn_ros.files import locked


class MemoryStore:
    """
    Loads memories from a file, and saves it there whenever it has changed.

    Nobody else may write the file until `close`. A process that is killed leaves what was saved
    last, and the file free for the next one.

    Parameters
    ----------
    path
        The file; folders that are missing are made.
    owner
        Who writes it, for the message to whoever else wants to.

    Attributes
    ----------
    fault
        Why it could not be saved last; empty where it could.

    Raises
    ------
    OSError
        Another process writes the file, or nothing can be written there; the message says so.

    """

    def __init__(self, path: Path, owner: str) -> None:
        # A link is followed once: the file in its place would be another one.
        self.path = path.resolve()
        self.fault = ''
        self._held = ExitStack()
        self._saved: tuple[Memories, int] | None = None
        self._looked = monotonic()
        self._writing: Thread | None = None
        # The file has something that is not ours to replace.
        self._is_foreign = False
        if self.path.is_dir():
            raise IsADirectoryError(f'memory_file {self.path} is a folder; name a file')
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._held.enter_context(locked(self.path, owner))
        except BlockingIOError as error:
            raise BlockingIOError(f'memory_file: {error}') from error
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> OSError:
        return OSError(
            f'memory_file {self.path} cannot be written: {error.strerror or error}; make room '
            'for it there, or name another file'
        )

    def load(self, memory: Memories, identity: str) -> str:
        """
        Load the file into a memory, which stays as it is where there is none or a foreign one.

        Returns
        -------
        str
            What is wrong with the file, in words; empty where there is none or a good one.

        """
        try:
            memory.load(self.path, identity)
        except FileNotFoundError:
            return ''
        except (MemoryFileError, OSError) as error:
            self._is_foreign = True
            return f'{error}. It becomes {self._aside.name} as soon as there is another to save'
        self._saved = memory, memory.changes
        return ''

    @property
    def _aside(self) -> Path:
        return self.path.with_name(f'{self.path.name}.old')

    def save(self, memory: Memories, identity: str) -> int:
        """
        Save a memory now.

        Returns
        -------
        int
            Number of frames in it.

        Raises
        ------
        OSError
            It could not be written; the file is as it was.

        """
        self._wait()
        snapshot = memory.snapshot()
        self._write(memory, identity, snapshot)
        return snapshot.frames

    def save_changes(self, memory: Memories, identity: str) -> None:
        """Save a memory now, unless it is as it was saved last; OSError as by `save`."""
        self._wait()
        if self._is_changed(memory):
            self.save(memory, identity)

    def save_changes_every(
        self, seconds: float, memory: Memories, identity: str, report: Callable[[str], None]
    ) -> None:
        """
        Begin to save a memory that has changed, where it is so long since the last time.

        It is written in a thread of its own, since a card may take seconds for that. To be called
        more often than that, and by the thread that gives the memory its rule.

        Parameters
        ----------
        seconds
            At least so long from one time to the next.
        memory, identity
            As for `save`.
        report
            Called with what went wrong, from that thread.

        """
        now = monotonic()
        if now - self._looked < seconds or (self._writing and self._writing.is_alive()):
            return
        self._looked = now
        if not self._is_changed(memory):
            return
        # Taken here: rule and content belong together.
        snapshot = memory.snapshot()

        def write() -> None:
            try:
                self._write(memory, identity, snapshot)
            except OSError as error:
                report(str(error))

        self._writing = Thread(target=write)
        self._writing.start()

    def close(self) -> None:
        """Let others have the file."""
        self._wait()
        self._held.close()

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.join()
            self._writing = None

    def _is_changed(self, memory: Memories) -> bool:
        if self._saved is None or self._saved[0] is not memory:
            return memory.changes > 0
        # Ages that count are part of it, and always change. A file may be removed meanwhile.
        is_stale = memory.settings.max_age > 0 or not self.path.exists()
        return memory.changes != self._saved[1] or (is_stale and len(memory) > 0)

    def _write(self, memory: Memories, identity: str, snapshot: Snapshot) -> None:
        try:
            if self._is_foreign:
                with suppress(FileNotFoundError):
                    self.path.replace(self._aside)
                self._is_foreign = False
            write_memory(self.path, identity, snapshot)
        except OSError as error:
            failure = self._unwritable(error)
            self.fault = str(failure)
            raise failure from error
        self._saved, self.fault = (memory, snapshot.changes), ''
