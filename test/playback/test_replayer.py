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

"""Replaying recordings through real DDS."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
from pathlib import Path
import shutil
import signal
import sqlite3
import subprocess
import sys
from threading import Event, Thread
import time
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from rosbag_profiles import LATCHED
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Writer
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

import dual_cnn_ros
from dual_cnn_ros.data import recording
from dual_cnn_ros.data.recording import Message, Recorder, Recording, RecordingError
from dual_cnn_ros.playback.replayer import Replayer
from dual_cnn_ros.tools import replay

pytestmark = pytest.mark.ros

PATIENCE = 30.0
"""Seconds after which something that takes well under one is taken to have failed."""
START = 1_700_000_000_000_000_000
FRAMES = 30
PERIOD = 20_000_000
RAW, JPEG, WORDS = '/front/image_raw', '/rear/image_raw/compressed', '/words'


def write(path: Path, storage: str = 'sqlite3') -> Path:
    """Write a second and a half: every 20 ms a raw image, a compressed one and a word."""
    types = recording.typestore().types
    rng = np.random.default_rng(1)
    with Recorder(path, storage=storage) as recorder:
        for i in range(FRAMES):
            stamp = START + i * PERIOD
            when = types['builtin_interfaces/msg/Time'](stamp // 10**9, stamp % 10**9)
            header = types['std_msgs/msg/Header'](when, f'camera {i}')
            pixels = rng.integers(0, 256, 48 * 64 * 3, dtype=np.uint8)
            raw = types[recording.IMAGE](header, 48, 64, 'rgb8', 0, 64 * 3, pixels)
            jpeg = types[recording.COMPRESSED_IMAGE](header, 'jpeg', pixels[: 100 + i])
            recorder.write(RAW, recording.IMAGE, stamp, raw)
            recorder.write(JPEG, recording.COMPRESSED_IMAGE, stamp + 1000, jpeg)
            recorder.write(
                WORDS, 'std_msgs/msg/String', stamp + 2000, types['std_msgs/msg/String'](str(i))
            )
    return path


@pytest.fixture(scope='module', params=recording.STORAGES)
def bag(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp('replay') / request.param, request.param)


@pytest.fixture(scope='module')
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp('replay') / 'plain')


@pytest.fixture(scope='module')
def node() -> Iterator[Node]:
    """Give the node that publishes; nobody spins it."""
    context = Context()
    rclpy.init(context=context)
    made = rclpy.create_node('publishing', context=context)
    yield made
    made.destroy_node()
    rclpy.try_shutdown(context=context)


class Listener:
    """A participant of its own, spinning in a thread, that keeps the bytes it receives."""

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node('listening', context=self.context)
        self.received: dict[str, list[bytes]] = {}
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.thread = Thread(target=self._spin)
        self.thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self.executor.spin()

    def listen(
        self,
        kind: Any,
        topic: str,
        *,
        depth: int = 200,
        best_effort: bool = False,
        latched: bool = False,
    ) -> None:
        self.received[topic] = []
        profile = QoSProfile(
            depth=depth,
            reliability=(
                QoSReliabilityPolicy.BEST_EFFORT if best_effort else QoSReliabilityPolicy.RELIABLE
            ),
            durability=(
                QoSDurabilityPolicy.TRANSIENT_LOCAL if latched else QoSDurabilityPolicy.VOLATILE
            ),
        )
        self.node.create_subscription(kind, topic, self.received[topic].append, profile, raw=True)
        self.executor.wake()

    def wait(self, topic: str, count: int) -> list[bytes]:
        limit = time.monotonic() + PATIENCE
        while len(self.received[topic]) < count and time.monotonic() < limit:
            time.sleep(0.01)
        return self.received[topic]

    def close(self) -> None:
        rclpy.try_shutdown(context=self.context)
        self.thread.join(PATIENCE)
        self.node.destroy_node()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


@contextlib.contextmanager
def replaying(node: Node, path: Path, *arguments: Any, **options: Any) -> Iterator[Replayer]:
    with Recording(path) as opened:
        replayer = Replayer(node, opened, *arguments, **options)
        try:
            yield replayer
        finally:
            replayer.close()


def recorded(path: Path, topic: str) -> list[bytes]:
    with Recording(path) as opened:
        return [m.data for m in opened.messages([topic])]


def same(received: list[bytes], sent: list[bytes]) -> bool:
    """Compare serialized messages; on the wire each is padded to whole words of four bytes."""
    return len(received) == len(sent) and all(
        got[: len(data)] == data and got[len(data) :] in (b'', bytes(-len(data) % 4))
        for got, data in zip(received, sent)
    )


# What arrives -------------------------------------------------------------------------------


def test_every_image_arrives_in_order_and_byte_for_byte(
    node: Node, listener: Listener, bag: Path
) -> None:
    listener.listen(Image, RAW)
    listener.listen(CompressedImage, JPEG)
    with replaying(node, bag, rate=3.0) as replayer:
        assert replayer.wait_for_subscribers(PATIENCE)
        assert replayer.play() == 2 * FRAMES
        for topic in (RAW, JPEG):
            assert same(listener.wait(topic, FRAMES), recorded(bag, topic))


def test_only_the_chosen_topics_are_published(node: Node, listener: Listener, plain: Path) -> None:
    listener.listen(String, WORDS)
    with replaying(node, plain, [WORDS], rate=10.0) as replayer:
        assert set(replayer.publishers) == {WORDS}
        assert node.count_publishers(RAW) == 0
        assert replayer.wait_for_subscribers(PATIENCE)
        assert replayer.play() == FRAMES
        assert same(listener.wait(WORDS, FRAMES), recorded(plain, WORDS))
    with replaying(node, plain) as replayer:
        assert set(replayer.publishers) == {RAW, JPEG}


def test_start_and_duration_choose_a_part(node: Node, plain: Path) -> None:
    seen: list[Message] = []
    with replaying(node, plain, [RAW], rate=10.0, start=0.2, duration=0.1) as replayer:
        assert replayer.seconds == pytest.approx(0.1)
        assert replayer.play(progress=seen.append) == 5
    assert [m.time - START for m in seen] == [PERIOD * i for i in range(10, 15)]


def clock(listener: Listener) -> list[int]:
    """Return what was heard on /clock so far, in nanoseconds."""
    heard: list[Any] = [
        recording.typestore().deserialize_cdr(data, 'rosgraph_msgs/msg/Clock')
        for data in listener.received['/clock']
    ]
    return [message.clock.sec * 10**9 + message.clock.nanosec for message in heard]


def test_the_clock_runs_from_the_start_of_the_part_to_its_end(
    node: Node, listener: Listener, plain: Path
) -> None:
    listener.listen(Clock, '/clock')
    with replaying(node, plain, [RAW], rate=0.5, start=0.2, clock=True) as replayer:
        limit = time.monotonic() + PATIENCE
        while node.count_subscribers('/clock') == 0 and time.monotonic() < limit:
            time.sleep(0.01)
        replayer.play()
        limit = time.monotonic() + PATIENCE
        while clock(listener)[-1:] <= [START + (FRAMES - 2) * PERIOD] and time.monotonic() < limit:
            time.sleep(0.01)
    times = clock(listener)
    assert times == sorted(times)
    # On the way, not only with each message.
    assert len(set(times)) >= 20
    assert times[0] >= START + 200_000_000
    assert START + (FRAMES - 2) * PERIOD < times[-1] <= START + (FRAMES + 2) * PERIOD


def test_the_clock_runs_before_and_after_without_a_message(
    node: Node, listener: Listener, plain: Path
) -> None:
    listener.listen(Clock, '/clock')
    with replaying(node, plain, [RAW], rate=2.0, clock=True) as replayer:
        limit = time.monotonic() + PATIENCE
        while node.count_subscribers('/clock') == 0 and time.monotonic() < limit:
            time.sleep(0.01)
        replayer.run_clock(-0.4, 0.0)
        assert replayer.position == pytest.approx(0.0, abs=1e-6)
        listener.wait('/clock', 1)
        assert replayer.play() == FRAMES
        end = replayer.position
        assert end >= (FRAMES - 1) * PERIOD / 1e9
        replayer.run_clock(end, end + 0.3)
        assert replayer.position == pytest.approx(end + 0.3, abs=1e-6)
        last = START + round((end + 0.3) * 1e9)
        while clock(listener)[-1] < last - 10_000 and time.monotonic() < limit:
            time.sleep(0.01)
    times = clock(listener)
    assert times == sorted(times)
    assert times[0] < START and abs(times[-1] - last) < 10_000


def test_a_loop_begins_again_until_it_is_stopped(
    node: Node, listener: Listener, plain: Path
) -> None:
    listener.listen(Image, RAW)
    stop, counts = Event(), list[int]()

    def progress(message: Message) -> None:
        counts.append(message.time)
        if len(counts) == 2 * FRAMES + 5:
            stop.set()

    with replaying(node, plain, [RAW], rate=5.0) as replayer:
        assert replayer.wait_for_subscribers(PATIENCE)
        assert replayer.play(loop=True, stop=stop, progress=progress) == 2 * FRAMES + 5
        data = recorded(plain, RAW)
        assert same(listener.wait(RAW, 2 * FRAMES + 5), data + data + data[:5])


def test_a_late_subscriber_gets_what_was_latched(
    node: Node, listener: Listener, tmp_path: Path
) -> None:
    store = recording.typestore()
    writer = Writer(tmp_path / 'bag', version=8)
    writer.set_compression(CompressionMode.FILE, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection(
            '/map', 'std_msgs/msg/String', typestore=store, offered_qos_profiles=[LATCHED]
        )
        word = store.types['std_msgs/msg/String']('here')
        writer.write(connection, START, store.serialize_cdr(word, 'std_msgs/msg/String'))
    with replaying(node, tmp_path / 'bag', ['/map']) as replayer:
        assert replayer.play() == 1
        listener.listen(String, '/map', latched=True)
        assert same(listener.wait('/map', 1), recorded(tmp_path / 'bag', '/map'))


def test_waiting_for_subscribers_can_be_given_up(node: Node, plain: Path) -> None:
    with replaying(node, plain, [WORDS]) as replayer:
        assert not replayer.wait_for_subscribers(0.05)
        stop = Event()
        stop.set()
        assert not replayer.wait_for_subscribers(stop=stop)


# What is refused ----------------------------------------------------------------------------


def words_only(path: Path) -> Path:
    with Recorder(path) as recorder:
        word = recording.typestore().types['std_msgs/msg/String']('hello')
        recorder.write('/words', 'std_msgs/msg/String', START, word)
    return path


def test_a_recording_without_images_names_what_it_has(node: Node, tmp_path: Path) -> None:
    words_only(tmp_path / 'bag')
    with (
        Recording(tmp_path / 'bag') as opened,
        pytest.raises(RecordingError, match=r'has no images: it holds /words \(std_msgs/msg/Str'),
    ):
        Replayer(node, opened)


def test_an_unknown_topic_names_the_known_ones(node: Node, plain: Path) -> None:
    with (
        Recording(plain) as opened,
        pytest.raises(RecordingError, match='no topic /up; it has /front/image_raw, '),
    ):
        Replayer(node, opened, ['/up', RAW])


def test_a_part_without_messages_is_refused(node: Node, plain: Path) -> None:
    with (
        replaying(node, plain, start=100.0) as replayer,
        pytest.raises(RecordingError, match=r'from second 100 on; it is 0\.58'),
    ):
        replayer.play()


@pytest.mark.parametrize(
    'options',
    [
        {'rate': 0.0},
        {'rate': -1.0},
        {'rate': float('nan')},
        {'rate': float('inf')},
        {'start': -1.0},
        {'duration': 0.0},
    ],
)
def test_impossible_numbers_are_refused(node: Node, plain: Path, options: dict[str, Any]) -> None:
    with Recording(plain) as opened, pytest.raises(ValueError, match=next(iter(options))):
        Replayer(node, opened, **options)


def odd_types(path: Path, *, only: bool) -> Path:
    """Write a topic whose type no machine has, beside words or alone."""
    store = recording.typestore()
    with Writer(path, version=8) as writer:
        odd = writer.add_connection(
            '/odd', 'robot_msgs/msg/Odd', msgdef='int32 a', rihs01='RIHS01_' + '0' * 64
        )
        writer.write(odd, START, b'\0\1\0\0\1\0\0\0')
        if not only:
            words = writer.add_connection('/words', 'std_msgs/msg/String', typestore=store)
            word = store.types['std_msgs/msg/String']('hello')
            writer.write(words, START + 1, store.serialize_cdr(word, 'std_msgs/msg/String'))
    return path


def test_an_unsupported_type_is_left_out_by_name(
    node: Node, listener: Listener, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    odd_types(tmp_path / 'bag', only=False)
    listener.listen(String, '/words')
    with replaying(node, tmp_path / 'bag', ['/odd', '/words']) as replayer:
        assert set(replayer.publishers) == {'/words'}
        assert 'robot_msgs/msg/Odd' in replayer.skipped['/odd']
        assert '/odd is left out' in capfd.readouterr().err
        assert replayer.wait_for_subscribers(PATIENCE)
        assert replayer.play() == 1
        assert len(listener.wait('/words', 1)) == 1


def test_with_nothing_left_to_play_it_says_why(node: Node, tmp_path: Path) -> None:
    odd_types(tmp_path / 'bag', only=True)
    with (
        Recording(tmp_path / 'bag') as opened,
        pytest.raises(RecordingError, match='nothing is left to play; /odd: .*robot_msgs/msg/Odd'),
    ):
        Replayer(node, opened, ['/odd'])


def test_damage_is_told_after_what_is_sound_went_out(
    node: Node, listener: Listener, plain: Path, tmp_path: Path
) -> None:
    shutil.copytree(plain, tmp_path / 'bag')
    database = sqlite3.connect(next((tmp_path / 'bag').glob('*.db3')))
    with database:
        database.execute('UPDATE messages SET data = ? WHERE id = 31', (b'not zstd',))
    database.close()
    listener.listen(Image, RAW)
    with replaying(node, tmp_path / 'bag', [RAW], rate=5.0) as replayer:
        assert replayer.wait_for_subscribers(PATIENCE)
        with pytest.raises(RecordingError, match=f'{tmp_path}/bag is damaged'):
            replayer.play()
        assert same(listener.wait(RAW, 10), recorded(plain, RAW)[:10])


# The command --------------------------------------------------------------------------------


def command(*arguments: object) -> list[str]:
    return [sys.executable, '-m', 'dual_cnn_ros.tools.replay', *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
        cwd=Path(dual_cnn_ros.__file__).parents[1],
    )


def test_the_command_serves_a_subscriber_in_another_process(
    listener: Listener, plain: Path
) -> None:
    listener.listen(Image, '/camera', depth=1, best_effort=True)
    listener.listen(CompressedImage, JPEG)
    options = ('--all', '--rate', '3', '--wait-for-subscribers', '--ros-args')
    listener.listen(String, WORDS)
    done = run(plain, *options, '-r', f'{RAW}:=/camera')
    assert done.returncode == 0, done.stderr
    assert f'{3 * FRAMES} messages published' in done.stdout
    assert set(listener.wait('/camera', 1)) <= set(recorded(plain, RAW))
    assert same(listener.wait(JPEG, FRAMES), recorded(plain, JPEG))


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_cleanly_when_told_to(
    listener: Listener, plain: Path, number: signal.Signals
) -> None:
    listener.listen(Image, RAW)
    process = subprocess.Popen(
        command(plain, '--loop', '--clock'),
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(dual_cnn_ros.__file__).parents[1],
    )
    try:
        assert len(listener.wait(RAW, FRAMES + 5)) >= FRAMES + 5
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, 'Traceback' in errors) == (0, False), errors


def test_the_command_names_what_is_wrong(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words_only(tmp_path / 'bag')
    cases: list[tuple[list[Any], str]] = [
        ([tmp_path / 'nothing'], f'there is no recording at {tmp_path}/nothing'),
        ([tmp_path], 'metadata.yaml'),
        ([tmp_path / 'bag'], 'has no images'),
        ([tmp_path / 'bag', '--topics', '/up'], 'no topic /up; it has /words'),
        ([tmp_path / 'bag', '--topics', '/words', '--rate', '-2'], 'rate must be'),
    ]
    for arguments, words in cases:
        assert replay.main([str(argument) for argument in arguments]) == 1
        errors = capfd.readouterr().err
        assert errors.startswith('replay: ')
        assert words in errors
