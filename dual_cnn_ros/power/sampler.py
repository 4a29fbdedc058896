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

"""
Reading a sensor at a steady rate, even while the driver of one rail blocks.

Each rail is read in a thread of its own, so that one that blocks delays no other. Each period has
one reading, at a random moment of it: at regular moments, a load that repeats at a multiple of
the rate, such as a camera's, would always be read in the same phase.
"""

from __future__ import annotations

from collections.abc import Callable
import queue
import random
import threading
import time

from dual_cnn_ros.power.reading import Channel, Reading, Sensor

# A read that takes longer has failed; the rail is read again only when that read has ended.
ANSWER_SECONDS = 0.25


class Sampler:
    """
    Reads every rail of a sensor once in each period, in the background.

    A rail that blocks gives a failed reading; the value that its read returns in the end is
    dropped, as the moment to which it belongs is unknown. A recording is read until nothing more
    is due, however long that takes.

    Parameters
    ----------
    sensor
        Whose rails are read.
    period
        Seconds.
    deliver
        Called with the readings of each moment, from the sampler's thread; must not raise.

    """

    def __init__(
        self, sensor: Sensor, period: float, deliver: Callable[[list[Reading]], None]
    ) -> None:
        self._recorded = sensor.period is not None
        self._period = period
        self._deliver = deliver
        self._answers: queue.SimpleQueue[_Answer] = queue.SimpleQueue()
        self._workers = [_Worker(channel, self._answers) for channel in sensor.channels]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name='sampler', daemon=True)

    def start(self) -> None:
        """Start reading."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading; nothing is delivered afterwards. Does not wait for a blocked rail."""
        self._stopped.set()
        self._thread.join()
        for worker in self._workers:
            worker.end()

    def _run(self) -> None:
        start = time.monotonic()
        while not self._stopped.wait(
            max(0.0, start + random.random() * self._period - time.monotonic())
        ):
            readings = self._read()
            self._deliver(readings)
            while self._recorded and readings and not self._stopped.is_set():
                readings = self._read()
                self._deliver(readings)
            # Periods that were missed while a rail was slow are not caught up.
            missed = int((time.monotonic() - start) / self._period)
            start += max(1, missed) * self._period

    def _read(self) -> list[Reading]:
        asked = time.monotonic()
        pending = {worker for worker in self._workers if worker.ask(asked)}
        answers: dict[_Worker, list[Reading]] = {}
        while pending:
            try:
                worker, since, readings = self._answers.get(timeout=self._patience(asked))
            except queue.Empty:
                break
            if since == asked:
                pending.discard(worker)
                answers[worker] = readings
        now = time.monotonic()
        for worker in self._workers:
            if worker not in answers:
                error = f'no answer for {now - worker.asked:.2f} s'
                answers[worker] = worker.failed(asked, error)
        return [reading for worker in self._workers for reading in answers[worker]]

    def _patience(self, asked: float) -> float | None:
        """Return how many seconds an answer may still take, None for any number."""
        # A recording is only slow where this machine is busy; and the time of a failure would be
        # this machine's, not the recording's.
        return None if self._recorded else max(0.0, asked + ANSWER_SECONDS - time.monotonic())


class _Worker:
    """The thread that reads one rail when it is asked to."""

    def __init__(self, channel: Channel, answers: queue.SimpleQueue[_Answer]) -> None:
        self.asked = 0.0
        self._channel = channel
        self._answers = answers
        self._questions: queue.SimpleQueue[float | None] = queue.SimpleQueue()
        self._busy = False
        threading.Thread(target=self._run, name=channel.rails[0], daemon=True).start()

    def ask(self, now: float) -> bool:
        """Ask for a reading; return False while the previous read has not ended."""
        if self._busy:
            return False
        self._busy = True
        self.asked = now
        self._questions.put(now)
        return True

    def failed(self, time: float, error: str) -> list[Reading]:
        """Return a failed reading of each rail."""
        return [Reading(rail, time, error=error) for rail in self._channel.rails]

    def end(self) -> None:
        """End the thread, after the read that is in progress."""
        self._questions.put(None)

    def _run(self) -> None:
        while (asked := self._questions.get()) is not None:
            try:
                readings = self._channel.read()
            except Exception as error:
                # An exception that the channel does not handle must not end this thread.
                readings = self.failed(time.monotonic(), repr(error))
            self._busy = False
            self._answers.put((self, asked, readings))


_Answer = tuple[_Worker, float, list[Reading]]
