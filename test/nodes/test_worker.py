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

"""The worker: always the newest item of each key, and nobody waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from threading import enumerate as enumerate_threads
from threading import Event, Thread

import pytest

from dual_cnn_ros.nodes.worker import NewestWorker

PATIENCE = 30.0  # seconds until a test that hangs fails


class Bench:
    """A worker whose every item waits for a permission, and a record of what it worked on."""

    def __init__(self) -> None:
        self.done: list[tuple[str, int]] = []
        self.started, self.go_on = Event(), Event()
        self.all_done = Event()
        others = set(enumerate_threads())
        self.worker: NewestWorker[str, int] = NewestWorker(self.work)
        (self.thread,) = set(enumerate_threads()) - others

    def work(self, key: str, item: int) -> None:
        self.started.set()
        assert self.go_on.wait(PATIENCE)
        self.done.append((key, item))
        if item < 0:
            self.all_done.set()

    def occupy(self) -> None:
        """Make the worker busy with an item 0 of 'front' until `finish`."""
        assert not self.worker.put('front', 0)
        assert self.started.wait(PATIENCE)

    def finish(self) -> list[tuple[str, int]]:
        """Let it work, and return what it did with all that waited."""
        self.worker.put('end', -1)
        self.go_on.set()
        assert self.all_done.wait(PATIENCE)
        return [entry for entry in self.done if entry[1] >= 0]


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Return a worker that is stopped at the end."""
    bench = Bench()
    yield bench
    bench.go_on.set()
    bench.worker.stop()


def test_only_the_newest_item_of_a_key_is_kept(bench: Bench) -> None:
    bench.occupy()
    assert [bench.worker.put('front', item) for item in (1, 2, 3)] == [False, True, True]
    assert bench.finish() == [('front', 0), ('front', 3)]


def test_keys_take_turns_however_often_one_of_them_is_put(bench: Bench) -> None:
    bench.occupy()
    for key, item in (('front', 1), ('rear', 2), ('front', 3), ('left', 4), ('front', 5)):
        bench.worker.put(key, item)
    assert bench.finish() == [('front', 0), ('front', 5), ('rear', 2), ('left', 4)]


@pytest.mark.parametrize('call', ['put', 'stop'])
def test_nobody_waits_for_the_work(bench: Bench, call: str) -> None:
    bench.occupy()
    arguments = ('rear', 1) if call == 'put' else ()
    thread = Thread(target=getattr(bench.worker, call), args=arguments)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive() and bench.done == []


def test_stop_forgets_what_waits_and_ends_the_thread_after_the_item_in_work(bench: Bench) -> None:
    bench.occupy()
    bench.worker.put('rear', 1)
    bench.worker.stop()
    bench.worker.put('front', 1)
    bench.go_on.set()
    bench.thread.join(PATIENCE)
    assert not bench.thread.is_alive() and bench.done == [('front', 0)]
