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
Publish the image topics of a rosbag2 recording, sqlite3 or mcap, where there is no rosbag2.

Messages go out as they were recorded, byte for byte: their stamps are those of the recording. Give
--clock, and use_sim_time to the nodes, where that matters. Topics are remapped as usual, with
--ros-args -r /from:=/to.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from contextlib import suppress
import math
from pathlib import Path
import sys
import threading
import time

import rclpy
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from rclpy.utilities import remove_ros_args
from rosgraph_msgs.msg import Clock
from tqdm import tqdm

from dual_cnn_ros.data.recording import Message, MessageSource, Recording, RecordingError, Topic
from dual_cnn_ros.messages.types import installed
from dual_cnn_ros.tools.cli import run_cli

CLOCK_PERIOD = 0.025
"""Seconds of real time between two messages on /clock, and between two looks at a stop request."""
SETTLE = 1.0
"""Seconds from when this side knows of a subscriber until that one surely knows of this side."""
ACKNOWLEDGE = 2.0
"""Seconds that reliable subscribers get to fetch the last messages."""


class Replayer:
    """
    Publishes topics of a recording through a node, on time.

    topics: which, None for all image topics. Topics whose message type is not installed are left
    out with a warning; skipped holds them. rate: 2.0 plays twice as fast. start, duration: seconds
    of the recording, duration None to its end. clock: publish /clock too. position: seconds after
    `start` that have been reached.

    Publishing needs no executor: the node may be spun elsewhere, or not at all.

    Raises RecordingError for a recording without the topics, and ValueError for a rate that is
    not positive and for negative times.
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
    ) -> None:
        if not (math.isfinite(rate) and rate > 0):
            raise ValueError(f'rate must be a positive number, not {rate}')
        if start < 0 or (duration is not None and duration <= 0):
            raise ValueError('start must not be negative, and duration must be positive')
        self.node, self.recording = node, recording
        self.rate, self.start, self.duration = rate, start, duration
        self.position = 0.0
        self.skipped: dict[str, str] = {}
        self.publishers: dict[str, Publisher] = {}
        for topic in self._choose(topics):
            try:
                kind = installed(topic.type)
            except ImportError as error:
                self.skipped[topic.name] = str(error)
                node.get_logger().warning(f'{topic.name} is left out: {error}')
                continue
            self.publishers[topic.name] = node.create_publisher(kind, topic.name, _quality(topic))
        if not self.publishers:
            raise RecordingError(
                f'{recording.path}: nothing is left to play; '
                + '; '.join(f'{name}: {why}' for name, why in self.skipped.items())
            )
        self._clock = node.create_publisher(Clock, '/clock', 10) if clock else None

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

    def wait_for_subscribers(
        self, timeout: float | None = None, stop: threading.Event | None = None
    ) -> bool:
        """
        Wait until every topic has a subscriber that will miss nothing from now on.

        Returns False after timeout seconds or when stopped.
        """
        stop = stop or threading.Event()
        limit = None if timeout is None else time.monotonic() + timeout
        while any(p.get_subscription_count() == 0 for p in self.publishers.values()):
            if not self.node.context.ok() or (limit is not None and time.monotonic() > limit):
                return False
            if stop.wait(CLOCK_PERIOD):
                return False
        return not stop.wait(SETTLE)

    def play(
        self,
        *,
        loop: bool = False,
        stop: threading.Event | None = None,
        progress: Callable[[Message], None] | None = None,
    ) -> int:
        """
        Publish the messages on time, once or for ever; return how many went out.

        stop: set it from another thread to end early. progress: called after each message.

        Raises RecordingError where the recording turns out to be damaged (everything before that
        has been published) or has no message in the chosen time.
        """
        stop = stop or threading.Event()
        count = 0
        while True:
            published = self._pass(stop, progress)
            count += published
            if stop.is_set() or not self.node.context.ok():
                return count
            if not published:
                raise RecordingError(
                    f'{self.recording.path} has no message of {", ".join(self.publishers)} from '
                    f'second {self.start:g} on; it is {self.recording.duration:g} s long'
                )
            if not loop:
                return count

    def _pass(self, stop: threading.Event, progress: Callable[[Message], None] | None) -> int:
        origin = self.recording.start + round(self.start * 1e9)
        begun = time.monotonic()
        count, last = 0, begun
        for message in self.recording.messages(
            self.publishers, start=self.start, duration=self.duration
        ):
            last = begun + (message.time - origin) / 1e9 / self.rate
            if not self._wait(last, begun, origin, stop):
                return count
            self.publishers[message.topic].publish(message.data)
            count += 1
            if progress is not None:
                progress(message)
        # A pass lasts one mean interval longer than its last message, or a loop would stutter.
        self._wait(last + (last - begun) / max(1, count), begun, origin, stop)
        return count

    def _wait(self, due: float, begun: float, origin: int, stop: threading.Event) -> bool:
        """Wait until a monotonic time and keep /clock going; False when stopped."""
        while not stop.is_set() and self.node.context.ok():
            now = time.monotonic()
            stamp = origin + round((min(now, due) - begun) * self.rate * 1e9)
            self.position = (stamp - self.recording.start) * 1e-9 - self.start
            if self._clock is not None:
                clock = Clock()
                clock.clock.sec, clock.clock.nanosec = divmod(stamp, 10**9)
                self._clock.publish(clock)
            if now >= due:
                return True
            stop.wait(min(due - now, CLOCK_PERIOD))
        return False

    def run_clock(self, begin: float, end: float) -> None:
        """
        Let the time pass, on /clock too, from one second to another, without playing anything.

        Both count as `position` does, and may lie before the first message or after the last.
        """
        begun = time.monotonic()
        due = begun + (end - begin) / self.rate
        origin = self.recording.start + round((self.start + begin) * 1e9)
        self._wait(due, begun, origin, threading.Event())

    def close(self) -> None:
        """Let reliable subscribers fetch the last messages, then remove the publishers."""
        for publisher in self.publishers.values():
            if self.node.context.ok():
                publisher.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE))
            self.node.destroy_publisher(publisher)
        self.publishers.clear()
        if self._clock is not None:
            self.node.destroy_publisher(self._clock)
            self._clock = None


def _quality(topic: Topic) -> QoSProfile:
    """Return a profile that reliable and best-effort subscribers both match."""
    durability = (
        QoSDurabilityPolicy.TRANSIENT_LOCAL if topic.latched else QoSDurabilityPolicy.VOLATILE
    )
    return QoSProfile(depth=10, reliability=QoSReliabilityPolicy.RELIABLE, durability=durability)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='replay', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('recording', type=Path, help='its folder, or a .db3 or .mcap file')
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--topics', nargs='+', metavar='TOPIC', help='these (all images)')
    which.add_argument('--all', action='store_true', help='every topic, not only images')
    parser.add_argument('--rate', type=float, default=1.0, help='2.0 plays twice as fast (1.0)')
    parser.add_argument('--start', type=float, default=0.0, help='begin at this second (0)')
    parser.add_argument('--duration', type=float, help='play so many seconds of it (to the end)')
    parser.add_argument('--loop', action='store_true', help='begin again at the end, for ever')
    parser.add_argument('--clock', action='store_true', help='publish /clock, in recorded time')
    parser.add_argument(
        '--wait-for-subscribers',
        action='store_true',
        help='begin when every played topic has a subscriber',
    )
    return parser


def _play(node: Node, recording: Recording, options: argparse.Namespace) -> None:
    topics = sorted(recording.topics) if options.all else options.topics
    replayer = Replayer(
        node,
        recording,
        topics,
        rate=options.rate,
        start=options.start,
        duration=options.duration,
        clock=options.clock,
    )
    try:
        if options.wait_for_subscribers:
            print(f'waiting for subscribers of {", ".join(replayer.publishers)}', file=sys.stderr)
            if not replayer.wait_for_subscribers():
                return
        origin = recording.start / 1e9 + options.start
        with tqdm(
            total=round(replayer.seconds, 1),
            unit='s',
            disable=None,
            bar_format='{l_bar}{bar}| {n:.1f}/{total:.1f} s{postfix}',
        ) as bar:
            sent = 0

            def progress(message: Message) -> None:
                nonlocal sent
                sent += 1
                # The bar draws only so often; setting it is cheap.
                bar.set_postfix_str(f'{sent} messages', refresh=False)
                bar.update(message.time / 1e9 - origin - bar.n)

            count = replayer.play(loop=options.loop, progress=progress)
    finally:
        replayer.close()
    print(f'{count} messages published')


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    arguments = sys.argv if arguments is None else ['replay', *arguments]
    parser = _parser()
    options = parser.parse_args(remove_ros_args(arguments)[1:])

    def work() -> None:
        # An interrupt is how --loop ends, and no failure.
        with (
            suppress(KeyboardInterrupt, ExternalShutdownException),
            Recording(options.recording) as recording,
        ):
            rclpy.init(args=arguments)
            node = rclpy.create_node('replay')
            try:
                _play(node, recording, options)
            finally:
                node.destroy_node()

    try:
        return run_cli('replay', work)
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    sys.exit(main())
