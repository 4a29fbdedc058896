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

"""Messages of a recording, published on time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
import math
import threading
import time
from typing import Any

from rclpy.duration import Duration
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock

from dual_cnn_ros.data.image_stream import ImageStream, MessageSource
from dual_cnn_ros.data.recording import Message, RecordingError, Topic
from dual_cnn_ros.messages.types import installed

# Seconds of real time between two messages on /clock, and between two looks at a stop request.
CLOCK_PERIOD = 0.025
# Seconds from when this side knows of a subscriber until that one surely knows of this side.
SETTLE = 1.0
# Seconds that reliable subscribers get to fetch the last messages.
ACKNOWLEDGE = 2.0
# Silence of so many seconds is said, or skipped but for a short rest.
GAP = 10.0
REST = 1.0
# Some middleware fills up the end of a message.
PADDING_BYTES = 4


class Replayer:
    """
    Publishes topics of a recording through a node, on time.

    Publishing needs no executor: the node may be spun elsewhere, or not at all.

    Parameters
    ----------
    node
        Makes the publishers. Its context must live until `close`, so no handler of ROS may end it
        on a signal.
    recording
        What is played.
    topics
        Which; None for all image topics. One whose message type is not installed, or is another
        one here than where it was recorded, is left out with a warning.
    rate
        2.0 plays twice as fast.
    start, duration
        Seconds of the recording; duration None plays to its end.
    clock
        Whether /clock is published too.
    skip_gaps
        Whether silence of more than ten seconds is left out.

    Attributes
    ----------
    position
        Seconds after `start` that have been reached, without the gaps that were skipped.
    publishers
        By topic.

    Raises
    ------
    RecordingError
        The recording lacks a topic, or there is nothing to play.
    ValueError
        The rate is not positive, or a time is negative.

    """

    def __init__(
        self,
        node: Node,
        recording: MessageSource,
        topics: Iterable[str] | None = None,
        *,
        rate: float = 1.0,
        start: float = 0.0,
        duration: float | None = None,
        clock: bool = False,
        skip_gaps: bool = False,
    ) -> None:
        if not (math.isfinite(rate) and rate > 0):
            raise ValueError(f'rate must be a positive number, not {rate}')
        if start < 0 or (duration is not None and duration <= 0):
            raise ValueError('start must not be negative, and duration must be positive')
        self.node, self.recording = node, recording
        self.rate, self.start, self.duration = rate, start, duration
        self.skip_gaps = skip_gaps
        self.position = 0.0
        # Nanoseconds of the recording, and monotonic seconds, at which the position is 0.
        self._origin = recording.start + round(start * 1e9)
        self._begun = 0.0
        skipped: list[str] = []
        self.publishers: dict[str, Publisher] = {}
        for topic in self._choose(topics):
            try:
                kind = installed(topic.type)
                self._refuse_other_definition(kind, topic)
                publisher = node.create_publisher(kind, topic.name, _quality(topic))
            except (ImportError, RecordingError, InvalidTopicNameException) as error:
                reason = str(error).partition('\n')[0]
                skipped.append(f'{topic.name}: {reason}')
                node.get_logger().warning(f'{topic.name} is left out: {reason}')
                continue
            self.publishers[topic.name] = publisher
        if not self.publishers:
            raise RecordingError(
                f'{recording.path}: nothing is left to play; {"; ".join(skipped)}'
            )
        self._clock = node.create_publisher(Clock, '/clock', 10) if clock else None

    def _refuse_other_definition(self, kind: type[Any], topic: Topic) -> None:
        """Raise RecordingError for a topic whose messages are not what is called so here."""
        if isinstance(self.recording, ImageStream):
            return
        # One of them may be damaged, which is another matter.
        first = [message.data for message in islice(self.recording.messages([topic.name]), 3)]
        if first and not any(_is_message(kind, data) for data in first):
            raise RecordingError(f'{topic.type} was defined differently where it was recorded')

    def _choose(self, names: Iterable[str] | None) -> list[Topic]:
        topics = self.recording.topics
        if names is None:
            names = self.recording.image_topics
            if not names:
                there = ', '.join(f'{t.name} ({t.type})' for t in topics.values()) or 'nothing'
                raise RecordingError(
                    f'{self.recording.path} has no images: it holds {there}. Name topics to play '
                    'something else.'
                )
        if unknown := sorted(set(names) - topics.keys()):
            raise RecordingError(
                f'{self.recording.path} has no topic {", ".join(unknown)}; it has '
                f'{", ".join(sorted(topics)) or "none at all"}'
            )
        return [topics[name] for name in names]

    @property
    def seconds(self) -> float:
        """Return how many seconds of the recording one pass plays."""
        left = max(0.0, self.recording.duration - self.start)
        return left if self.duration is None else min(left, self.duration)

    def wait_for_subscribers(self, timeout: float = math.inf) -> bool:
        """Wait until every topic has a subscriber; return False where that takes too long."""
        limit = time.monotonic() + timeout
        while any(p.get_subscription_count() == 0 for p in self.publishers.values()):
            if time.monotonic() > limit:
                return False
            time.sleep(CLOCK_PERIOD)
        time.sleep(SETTLE)
        return True

    def play(
        self,
        *,
        loop: bool = False,
        stop: threading.Event | None = None,
        progress: Callable[[Message], None] | None = None,
    ) -> int:
        """
        Publish the messages on time, once or for ever.

        Parameters
        ----------
        loop
            Begin again at the end.
        stop
            Set it from another thread to end early.
        progress
            Called after each message.

        Returns
        -------
        int
            Number of messages published.

        Raises
        ------
        RecordingError
            The recording is damaged (all before the damage has been published), or has no message
            in the chosen time.

        """
        stop = stop or threading.Event()
        count = 0
        while True:
            published = self._pass(stop, progress)
            count += published
            if stop.is_set():
                return count
            if not published:
                raise RecordingError(
                    f'{self.recording.path} has no message of {", ".join(self.publishers)} from '
                    f'second {self.start:g} on; it is {self.recording.duration:g} s long'
                )
            if not loop:
                return count

    def _pass(self, stop: threading.Event, progress: Callable[[Message], None] | None) -> int:
        self._begun = time.monotonic()
        self._origin = self.recording.start + round(self.start * 1e9)
        count, last = 0, 0.0
        for message in self.recording.messages(
            self.publishers, start=self.start, duration=self.duration
        ):
            last = self._cross_gap(last, message.time)
            if not self._wait(last, stop):
                return count
            self.publishers[message.topic].publish(message.data)
            count += 1
            if progress is not None:
                progress(message)
        # A pass lasts one mean interval longer than its last message, or a loop would stutter.
        self._wait(last + last / max(1, count), stop)
        return count

    def _cross_gap(self, last: float, time: int) -> float:
        """Return the position of a message after another one; say or skip what is between them."""
        due = (time - self._origin) / 1e9
        if (silence := due - last) <= GAP * self.rate:
            return due
        gap = f'{self.recording.path}: nothing was recorded for {_duration(silence)}'
        if not self.skip_gaps:
            self.node.get_logger().warning(
                f'{gap}, and is not played for {_duration(silence / self.rate)}; --skip-gaps '
                'leaves that out'
            )
            return due
        self.node.get_logger().info(f'{gap}, which is skipped')
        rest = REST * self.rate
        self._origin += round((silence - rest) * 1e9)
        return last + rest

    def _wait(self, end: float, stop: threading.Event) -> bool:
        """Wait until a position is reached and keep /clock going; return False when stopped."""
        while not stop.is_set():
            reached = (time.monotonic() - self._begun) * self.rate
            self.position = min(reached, end)
            if self._clock is not None:
                clock = Clock()
                stamp = self._origin + round(self.position * 1e9)
                clock.clock.sec, clock.clock.nanosec = divmod(stamp, 10**9)
                self._clock.publish(clock)
            if reached >= end:
                return True
            stop.wait(min((end - reached) / self.rate, CLOCK_PERIOD))
        return False

    def run_clock(self, begin: float, end: float) -> None:
        """
        Let time pass, on /clock too, without playing anything.

        begin and end are seconds after `start`, as `position` is, and may lie before the first
        message or after the last.
        """
        self._begun = time.monotonic() - begin / self.rate
        self._wait(end, threading.Event())

    def close(self) -> None:
        """Let reliable subscribers fetch the last messages, then remove the publishers."""
        for publisher in self.publishers.values():
            publisher.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE))
            self.node.destroy_publisher(publisher)
        self.publishers.clear()
        if self._clock is not None:
            self.node.destroy_publisher(self._clock)
            self._clock = None


def _is_message(kind: type[Any], data: bytes) -> bool:
    """Return whether all of the data, and nothing else, is a serialized message of this type."""
    try:
        again = serialize_message(deserialize_message(data, kind))
    except Exception:  # of the middleware, which has no common one
        return False
    return abs(len(again) - len(data)) < PADDING_BYTES


def _duration(seconds: float) -> str:
    """Return a time in its largest units."""
    for unit, length in (('days', 86400), ('hours', 3600), ('minutes', 60)):
        if seconds >= 2 * length:
            return f'{seconds / length:.1f} {unit}'
    return f'{seconds:.1f} seconds'


def _quality(topic: Topic) -> QoSProfile:
    """Return a profile that reliable and best-effort subscribers both match."""
    durability = (
        QoSDurabilityPolicy.TRANSIENT_LOCAL if topic.latched else QoSDurabilityPolicy.VOLATILE
    )
    return QoSProfile(depth=10, reliability=QoSReliabilityPolicy.RELIABLE, durability=durability)
