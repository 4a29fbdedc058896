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

"""One thread that works on the newest frame of each camera, so that nothing else ever waits."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Thread
from typing import Generic, TypeVar

Key = TypeVar('Key')
Item = TypeVar('Item')


class NewestWorker(Generic[Key, Item]):
    """
    Works in a thread of its own on the newest item of each key, on each key in turn.

    An item is dropped if a newer one of its key comes before its turn.

    Parameters
    ----------
    work
        Called with a key and an item; must not raise.

    """

    def __init__(self, work: Callable[[Key, Item], None]) -> None:
        self._work = work
        self._waiting: dict[Key, Item] = {}
        self._changed = Condition()
        self._running = True
        Thread(target=self._run, daemon=True).start()

    def put(self, key: Key, item: Item) -> bool:
        """Hand over an item; return True if an older one of its key was dropped for it."""
        with self._changed:
            # The newer item takes the place of the older one in the order, so that every camera
            # gets its turn.
            replaced = key in self._waiting
            self._waiting[key] = item
            self._changed.notify()
            return replaced

    def stop(self) -> None:
        """Forget what is waiting and end the thread after the item in work; does not wait."""
        with self._changed:
            self._running = False
            self._waiting.clear()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._running and not self._waiting:
                    self._changed.wait()
                if not self._running:
                    return
                key = next(iter(self._waiting))
                item = self._waiting.pop(key)
            self._work(key, item)
