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

from collections.abc import Iterator, Sequence
import contextlib
import math
from pathlib import Path
import signal
import subprocess
import sys
from threading import Event, Timer
from typing import Any

from node_fixtures import Client, nobodys_domain, PATIENCE
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from rosbag_profiles import LATCHED
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Writer
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

import dual_cnn_ros
from dual_cnn_ros.data import recording
from dual_cnn_ros.data.recording import (
    COMPRESSED_IMAGE,
    IMAGE,
    Message,
    recorded_header,
    recorded_types,
    Recorder,
    Recording,
    RecordingError,
    serialized,
)
from dual_cnn_ros.playback.replayer import Replayer
from dual_cnn_ros.tools import replay

pytestmark = pytest.mark.ros

START = 1_700_000_000_000_000_000
FRAMES = 30
PERIOD = 20_000_000
RAW, JPEG, WORDS = '/front/image_raw', '/rear/image_raw/compressed', '/words'
STRING = 'std_msgs/msg/String'


def write(path: Path, storage: str = 'sqlite3') -> Path:
    """Write 0.6 s: every 20 ms a raw image, a compressed one and a word."""
    rng = np.random.default_rng(1)
    with Recorder(path, storage=storage) as recorder:
        for i in range(FRAMES):
            stamp = START + i * PERIOD
            header = recorded_header(stamp, f'camera {i}')
            pixels = rng.integers(0, 256, 48 * 64 * 3, dtype=np.uint8)
            raw = recorded_types(IMAGE)(header, 48, 64, 'rgb8', 0, 64 * 3, pixels)
            jpeg = recorded_types(COMPRESSED_IMAGE)(header, 'jpeg', pixels[: 100 + i])
            recorder.write(RAW, IMAGE, stamp, raw)
            recorder.write(JPEG, COMPRESSED_IMAGE, stamp + 1000, jpeg)
            recorder.write(WORDS, STRING, stamp + 2000, recorded_types(STRING)(str(i)))
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


class Listener(Client):
    """Keeps the bytes that it receives, by topic."""

    def __init__(self) -> None:
        super().__init__()
        self.received: dict[str, list[bytes]] = {}

    def listen(self, kind: Any, topic: str, qos: QoSProfile | int = 200) -> None:
        self.received[topic] = []
        self.hear(kind, topic, self.received[topic].append, qos, raw=True)

    def wait(self, topic: str, count: int) -> list[bytes]:
        received = self.received[topic]
        self.wait_until(f'{count} messages on {topic}', lambda: len(received) >= count)
        return received


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


def test_start_duration_and_topics_choose_a_part(node: Node, plain: Path) -> None:
    seen: list[Message] = []
    with replaying(node, plain, [WORDS], rate=10.0, start=0.2, duration=0.1) as replayer:
        assert set(replayer.publishers) == {WORDS} and node.count_publishers(RAW) == 0
        assert replayer.seconds == pytest.approx(0.1)
        assert replayer.play(progress=seen.append) == 5
    assert [m.time - START - 2000 for m in seen] == [PERIOD * i for i in range(10, 15)]


def wait_for_the_clock(
    listener: Listener, replayer: Replayer, times: Sequence[float], begin: float
) -> None:
    """Publish one time again and again until it is heard."""
    listener.wait_until(
        'the clock is heard',
        lambda: times,
        meanwhile=lambda: replayer.run_clock(begin, begin),
        every=0.05,
    )


def test_the_clock_runs_before_during_and_after_the_messages(
    node: Node, listener: Listener, plain: Path
) -> None:
    times: list[int] = []
    listener.hear(
        Clock, '/clock', lambda m: times.append(m.clock.sec * 10**9 + m.clock.nanosec), 200
    )
    with replaying(node, plain, [RAW], rate=0.5, start=0.2, clock=True) as replayer:
        wait_for_the_clock(listener, replayer, times, -0.4)
        replayer.run_clock(-0.4, 0.0)
        assert replayer.position == pytest.approx(0.0, abs=1e-6)
        assert replayer.play() == FRAMES - 10
        end = replayer.position
        assert end >= (FRAMES - 11) * PERIOD / 1e9
        replayer.run_clock(end, end + 0.3)
        assert replayer.position == pytest.approx(end + 0.3, abs=1e-6)
        last = START + round((0.2 + end + 0.3) * 1e9)
        listener.wait_until('the last time', lambda: abs(times[-1] - last) < 10_000)
    assert times == sorted(times) and times[0] < START + 200_000_000
    # On the way, not only with each message.
    assert len(set(times)) >= 40


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
    writer = Writer(tmp_path / 'bag', version=8)
    writer.set_compression(CompressionMode.FILE, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection(
            '/map', STRING, typestore=recording.typestore(), offered_qos_profiles=[LATCHED]
        )
        writer.write(connection, START, serialized(recorded_types(STRING)('here'), STRING))
    with replaying(node, tmp_path / 'bag', ['/map']) as replayer:
        assert replayer.play() == 1
        late = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
        listener.listen(String, '/map', late)
        assert same(listener.wait('/map', 1), recorded(tmp_path / 'bag', '/map'))


def write_with_gaps(path: Path) -> Path:
    """Write a word at time 0, as of a clock that was not set yet, and others an hour apart."""
    with Recorder(path) as recorder:
        for time in (0, START, START + PERIOD, START + 3600 * 10**9):
            recorder.write(WORDS, STRING, time, recorded_types(STRING)(str(time)))
    return path


def test_gaps_are_skipped_on_demand(
    node: Node, listener: Listener, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    times: list[float] = []
    listener.hear(
        Clock, '/clock', lambda m: times.append(m.clock.sec + m.clock.nanosec / 1e9), 200
    )
    bag = write_with_gaps(tmp_path / 'bag')
    with replaying(node, bag, [WORDS], rate=5.0, clock=True, skip_gaps=True) as replayer:
        wait_for_the_clock(listener, replayer, times, 0.0)
        assert replayer.play() == 4
        assert replayer.position < 20.0
        hour = START / 1e9 + 3600
        listener.wait_until('the last time', lambda: times and times[-1] > hour)
    said = capfd.readouterr().err
    assert 'nothing was recorded for 19675.9 days, which is skipped' in said
    assert 'nothing was recorded for 60.0 minutes, which is skipped' in said
    # The clock jumps, as it did while it was recorded, and does not run backwards.
    assert times == sorted(times) and times[0] < 10


def test_gaps_are_announced(node: Node, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stop = Event()
    with replaying(node, write_with_gaps(tmp_path / 'bag'), [WORDS], rate=2.0) as replayer:
        Timer(0.5, stop.set).start()
        assert replayer.play(stop=stop) == 1
    said = capfd.readouterr().err
    assert 'nothing was recorded for 19675.9 days, and is not played for 9838.0 days' in said
    assert '--skip-gaps' in said


def test_waiting_for_subscribers_can_be_given_up(node: Node, plain: Path) -> None:
    with replaying(node, plain, [WORDS]) as replayer:
        assert not replayer.wait_for_subscribers(0.05)


# What is refused ----------------------------------------------------------------------------


def test_a_part_without_messages_is_refused(node: Node, plain: Path) -> None:
    with (
        replaying(node, plain, start=100.0) as replayer,
        pytest.raises(RecordingError, match=r'from second 100 on; it is 0\.58'),
    ):
        replayer.play()


@pytest.mark.parametrize(
    ('option', 'value'),
    [('rate', 0.0), ('rate', math.nan), ('rate', math.inf), ('start', -1.0), ('duration', 0.0)],
)
def test_impossible_numbers_are_refused(
    node: Node, plain: Path, option: str, value: float
) -> None:
    with pytest.raises(ValueError, match=option), replaying(node, plain, **{option: value}):
        pass


def write_words(path: Path, *, with_unknown: bool = False) -> None:
    """Write a word, and perhaps a message whose type no machine has."""
    with Writer(path, version=8) as writer:
        words = writer.add_connection(WORDS, STRING, typestore=recording.typestore())
        writer.write(words, START, serialized(recorded_types(STRING)('hello'), STRING))
        if with_unknown:
            text = recording.typestore()
            writer.write(
                writer.add_connection('a name', STRING, typestore=text),
                START,
                serialized(recorded_types(STRING)('hello'), STRING),
            )
            odd = writer.add_connection(
                '/odd', 'robot_msgs/msg/Odd', msgdef='int32 a', rihs01='RIHS01_' + '0' * 64
            )
            writer.write(odd, START + 1, b'\0\1\0\0\1\0\0\0')


def test_a_topic_of_an_unknown_type_is_left_out_by_name(
    node: Node, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_words(tmp_path / 'bag', with_unknown=True)
    with replaying(node, tmp_path / 'bag', ['/odd', 'a name', WORDS]) as replayer:
        assert set(replayer.publishers) == {WORDS}
        said = capfd.readouterr().err
        assert '/odd is left out' in said and 'a name is left out: Invalid topic name' in said
        assert replayer.play() == 1
    nothing = 'nothing is left to play; /odd: .*robot_msgs/msg/Odd'
    with (
        pytest.raises(RecordingError, match=nothing),
        replaying(node, tmp_path / 'bag', ['/odd']),
    ):
        pass


@pytest.mark.parametrize(
    ('kind', 'data'),
    [
        # With a field more, and with one less, than here.
        (STRING, serialized(recorded_types(STRING)('hello'), STRING) + bytes(12)),
        ('std_msgs/msg/ColorRGBA', bytes([0, 1, 0, 0]) + bytes(12)),
        (IMAGE, bytes([0, 1, 0, 0]) + b'\xff' * 40),
    ],
)
def test_a_topic_of_a_type_that_is_another_one_here_is_left_out(
    node: Node, tmp_path: Path, kind: str, data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with Recorder(tmp_path / 'bag') as recorder:
        recorder.write('/other', kind, START, data)
        recorder.write(WORDS, STRING, START, recorded_types(STRING)('hello'))
    with replaying(node, tmp_path / 'bag', ['/other', WORDS]) as replayer:
        assert set(replayer.publishers) == {WORDS}
    expected = f'/other is left out: {kind} was defined differently where it was recorded'
    assert expected in capfd.readouterr().err


# The command --------------------------------------------------------------------------------


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, '-m', 'dual_cnn_ros.tools.replay', *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(dual_cnn_ros.__file__).parents[1],
    )


def test_the_command_serves_a_subscriber_in_another_process(
    listener: Listener, plain: Path
) -> None:
    newest = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
    listener.listen(Image, '/camera', newest)
    listener.listen(CompressedImage, JPEG)
    options = ('--all', '--rate', '3', '--wait-for-subscribers', '--ros-args')
    listener.listen(String, WORDS)
    process = start(plain, *options, '-r', f'{RAW}:=/camera')
    said, errors = process.communicate(timeout=2 * PATIENCE)
    assert process.returncode == 0, errors
    assert f'{3 * FRAMES} messages published' in said
    assert set(listener.wait('/camera', 1)) <= set(recorded(plain, RAW))
    assert same(listener.wait(JPEG, FRAMES), recorded(plain, JPEG))


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_cleanly_when_told_to(
    listener: Listener, plain: Path, number: signal.Signals
) -> None:
    listener.listen(Image, RAW)
    process = start(plain, '--loop', '--clock')
    try:
        listener.wait(RAW, FRAMES + 5)
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, 'Traceback' in errors) == (0, False), errors


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_cleanly_while_it_waits(plain: Path, number: signal.Signals) -> None:
    process = start(plain, '--wait-for-subscribers')
    try:
        assert process.stderr is not None
        assert any('waiting for subscribers' in line for line in process.stderr)
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, errors) == (0, '')


def test_the_command_names_what_is_wrong(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_words(tmp_path / 'bag')
    cases: list[tuple[list[Any], str]] = [
        ([tmp_path / 'nothing'], f'there is no recording at {tmp_path}/nothing'),
        ([tmp_path], 'metadata.yaml'),
        ([tmp_path / 'bag'], 'has no images: it holds /words (std_msgs/msg/String)'),
        ([tmp_path / 'bag', '--topics', '/up', WORDS], 'no topic /up; it has /words'),
    ]
    for arguments, words in cases:
        monkeypatch.setenv('ROS_DOMAIN_ID', str(nobodys_domain()))
        assert replay.main([str(argument) for argument in arguments]) == 1
        # Besides, some middleware says what it found on the network.
        lines = capfd.readouterr().err.splitlines()
        assert [words in line for line in lines if line.startswith('replay: ')] == [True]
