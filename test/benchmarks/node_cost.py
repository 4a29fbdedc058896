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
What a frame costs the classifier, beside a subscriber that does nothing and a node without us.

Every figure is CPU time of a whole process by /proc, for a frame of a camera that publishes 30 of
them a second, reliably, into the shared memory of config/fastdds_large_images.xml. All are taken
in one run, in turns, so that their ratios mean something on any machine. The latency is from the
publication of a frame to the arrival of its classification in the camera's process.

It takes 17 minutes; --rows, --rounds and --seconds make it less.
"""

from __future__ import annotations

from argparse import ArgumentParser
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
import json
import os
from pathlib import Path
import signal
import struct
import subprocess
import sys
import time
from typing import Any, NamedTuple

import cv2
import numpy as np

from dual_cnn_ros.cascade.scores import softmax
from dual_cnn_ros.data.labelled_frames import open_frames
from dual_cnn_ros.evaluation.systems import parse_system
from dual_cnn_ros.heap import keep_freed_blocks
from dual_cnn_ros.playback.large_images import make_room_for_large_images

RATE, SETTLE = 30.0, 2.0
PHOTOGRAPHS = 150
RESULT = '/cost/classification'


class Row(NamedTuple):
    """What a camera publishes."""

    width: int
    height: int
    kind: str

    @property
    def title(self) -> str:
        """As shown."""
        return f'{self.width} x {self.height} {"JPEG" if self.kind == "jpeg" else "raw"}'

    def topics(self, cameras: int) -> list[str]:
        """Where so many cameras publish it."""
        names = [f'camera{i}' for i in range(cameras)] if cameras > 1 else ['camera']
        return [f'/{name}/image_raw' + '/compressed' * (self.kind == 'jpeg') for name in names]


class Cost(NamedTuple):
    """CPU milliseconds of a frame, and percentiles of the latency in milliseconds."""

    cpu: float
    p50: float
    p95: float


ROWS = (
    Row(640, 480, 'raw'),
    Row(1920, 1080, 'raw'),
    Row(640, 480, 'jpeg'),
    Row(1280, 720, 'jpeg'),
    Row(1920, 1080, 'jpeg'),
)
NODE = [sys.executable, '-m', 'dual_cnn_ros.nodes.start', 'classifier', '--ros-args']
NODE += ['-r', '__node:=cost']
# What each of our columns sets.
OURS = {
    'hit': ['-p', 'memory_audit:=0.0'],
    'first': ['-p', 'memory:=false', '-p', 'threshold:=0.0'],
    'both': ['-p', 'memory:=false', '-p', 'threshold:=1.0'],
}
# Columns that are a subscriber of this file; the first keeps no blocks.
SUBSCRIBERS = ('bare', 'bare, blocks kept', 'bare, serialized', 'plain')
COLUMNS = (*SUBSCRIBERS[:-1], *OURS, 'plain')


def picture(row: Row) -> np.ndarray:
    """Return smooth shapes with the grain of a sensor, of which both CNNs are sure enough."""
    random = np.random.default_rng(3)
    coarse = random.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (row.width, row.height), interpolation=cv2.INTER_CUBIC)
    grain = random.normal(0, 3, smooth.shape)
    return np.asarray(np.clip(smooth + grain, 0, 255), np.uint8)


def pictures(row: Row) -> list[np.ndarray]:
    """Return the frames of a camera: photographs of the folder or tar COST_IMAGES, or the same."""
    if not (data := os.environ.get('COST_IMAGES')):
        return [picture(row)]
    source = open_frames(Path(data))
    wanted = np.random.default_rng(0).permutation(source.count)[:PHOTOGRAPHS]
    return [
        np.asarray(cv2.resize(f.image(), (row.width, row.height), interpolation=cv2.INTER_CUBIC))
        for f in source.frames(set(wanted.tolist()))
    ]


def jpeg(image: np.ndarray) -> np.ndarray:
    """Return an image as a camera driver compresses it."""
    return np.asarray(cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].ravel())


# Processes ---------------------------------------------------------------------------------------


def camera(row: Row, seconds: float, cameras: int) -> None:
    """Publish frames on time once somebody subscribes; print when it begins, and the latencies."""
    import rclpy
    from rclpy.qos import QoSProfile
    from sensor_msgs.msg import CompressedImage, Image
    from vision_msgs.msg import Classification

    rclpy.init()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends by itself
    node = rclpy.create_node('cost_camera')
    images = pictures(row)
    size = {'height': row.height, 'width': row.width, 'step': 3 * row.width}
    messages: list[Any] = [
        Image(encoding='bgr8', data=array('B', image.tobytes()), **size)
        if row.kind == 'raw'
        else CompressedImage(format='jpeg', data=array('B', jpeg(image).tobytes()))
        for image in images
    ]
    publishers = [
        node.create_publisher(type(messages[0]), topic, QoSProfile(depth=1))
        for topic in row.topics(cameras)
    ]
    latencies: list[float] = []
    answers = 0

    def arrived(answer: Classification) -> None:
        nonlocal answers
        answers += 1
        stamp = answer.header.stamp
        latencies.append(time.time() - stamp.sec - 1e-9 * stamp.nanosec)

    results = [RESULT]
    if cameras > 1:
        results = [f'/cost/camera{i}/classification' for i in range(cameras)]
    for result in results:
        node.create_subscription(Classification, result, arrived, 10)
    while not all(publisher.get_subscription_count() for publisher in publishers):
        rclpy.spin_once(node, timeout_sec=0.1)
    begin = time.monotonic()
    count = round((seconds + SETTLE) * RATE)
    for number in range(count):
        due = begin + number / RATE
        while (left := due - time.monotonic()) > 0:
            rclpy.spin_once(node, timeout_sec=left)
        if number == round(SETTLE * RATE):
            print('begin', flush=True)
            latencies.clear()
            answers = 0
        message = messages[number % len(messages)]
        for publisher in publishers:
            now = time.time_ns()
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 1_000_000_000)
            publisher.publish(message)
    print('end', flush=True)
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        rclpy.spin_once(node, timeout_sec=0.05)
    frames = (count - round(SETTLE * RATE)) * cameras
    print(json.dumps({'latencies': latencies, 'answers': answers, 'frames': frames}), flush=True)
    node.destroy_node()
    rclpy.shutdown()


def subscriber(
    row: Row, work: Callable[[Any], np.ndarray | None], is_serialized: bool = False
) -> None:
    """Answer every frame with a Classification and a Float64, of what `work` says of it."""
    import rclpy
    from rclpy.executors import ExternalShutdownException
    from rclpy.qos import QoSProfile
    from sensor_msgs.msg import CompressedImage, Image
    from std_msgs.msg import Float64, Header
    from vision_msgs.msg import Classification, ObjectHypothesis

    rclpy.init()
    node = rclpy.create_node('cost')
    results = node.create_publisher(Classification, RESULT, 10)
    confidence = node.create_publisher(Float64, '/cost/confidence', 10)

    def on_image(message: Any) -> None:
        if is_serialized:
            # Our camera's frame_id is empty. The pixels would be read where they lie.
            header = Header()
            header.stamp.sec, header.stamp.nanosec = struct.unpack_from('<iI', message, 4)
        else:
            header = message.header
        p = work(message)
        answer = Classification(header=header)
        if p is not None:
            best = int(p.argmax())
            answer.results = [ObjectHypothesis(class_id=str(best), score=float(p[best]))]
        results.publish(answer)
        confidence.publish(Float64(data=1.0))

    kind = Image if row.kind == 'raw' else CompressedImage
    qos = QoSProfile(depth=1)
    node.create_subscription(kind, row.topics(1)[0], on_image, qos, raw=is_serialized)
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)
    node.destroy_node()
    rclpy.try_shutdown()


def plain_network(system: str) -> Callable[[Any], np.ndarray]:
    """Return what a node does without us: one CNN, BUNDLE or BUNDLE@STAGE, on every frame."""
    import onnxruntime

    (stage,) = parse_system(system).bundle.stages
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(str(stage.files['onnx'].path), options)
    name = session.get_inputs()[0].name
    mean, std = (np.array(v, np.float32) for v in (stage.input.mean, stage.input.std))

    def classify(message: Any) -> np.ndarray:
        data = np.frombuffer(message.data, np.uint8)
        if hasattr(message, 'format'):
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
        else:
            image = data.reshape(message.height, message.width, 3)
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        if stage.input.crop:
            side = round(stage.input.crop * min(image.shape[:2]))
            top, left = ((full - side) // 2 for full in image.shape[:2])
            image = image[top : top + side, left : left + side]
        small = cv2.resize(
            image, (stage.input.width, stage.input.height), interpolation=cv2.INTER_AREA
        )
        blob = ((small / np.float32(255) - mean) / std).transpose(2, 0, 1)[np.newaxis]
        return softmax(session.run(None, {name: blob.astype(np.float32)})[0][0])

    return classify


# Measuring ---------------------------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads that a process has, to the nanosecond."""
    tasks = Path(f'/proc/{pid}/task').glob('*/schedstat')
    return sum(int(task.read_text().split()[0]) for task in tasks) * 1e-9


@contextmanager
def running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a process until the end of the block."""
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            # Not killed: that would leave 32 MiB of shared memory each time.
            process.send_signal(signal.SIGINT)


def measure(command: list[str], row: Row, seconds: float, cameras: int = 1) -> tuple[Cost, float]:
    """Return the cost of a frame to the process of a command, and the share that was answered."""
    source = [sys.executable, __file__, 'camera', *map(str, row), str(seconds), str(cameras)]
    with running(command) as node, running(source, stdout=subprocess.PIPE) as publisher:
        assert publisher.stdout is not None
        assert publisher.stdout.readline() == 'begin\n'
        before = cpu_seconds(node.pid)
        assert publisher.stdout.readline() == 'end\n'
        used = cpu_seconds(node.pid) - before
        found = json.loads(publisher.stdout.readline())
    latencies = 1e3 * np.array(found['latencies'])
    p50, p95 = np.percentile(latencies, (50, 95)) if len(latencies) else (np.nan, np.nan)
    frames = found['frames']
    return Cost(1e3 * used / frames, float(p50), float(p95)), found['answers'] / frames


def command_of(column: str, row: Row) -> list[str]:
    """Return the command of a process to measure."""
    if column in OURS:
        return [*NODE, '-p', f'image_topics:={row.topics(1)}', *OURS[column]]
    return [sys.executable, __file__, column, *map(str, row)]


def decode(row: Row) -> None:
    """Print the CPU milliseconds of one decode of the JPEG of a row: full, and to an eighth."""
    data = jpeg(picture(row))
    found = []
    for flags in (cv2.IMREAD_COLOR, cv2.IMREAD_REDUCED_COLOR_8):
        times = []
        for _ in range(60):
            time.sleep(1 / RATE)  # as in a node, with what others leave in the caches
            start = time.thread_time()
            cv2.imdecode(data, flags)
            times.append(time.thread_time() - start)
        found.append(1e3 * float(np.median(times)))
    print(json.dumps(found))


def decodes(row: Row) -> dict[str, float]:
    """Return the CPU milliseconds of decodes, each in a process that does nothing else."""
    found = {}
    for blocks in ('', ', blocks kept'):
        command = [sys.executable, __file__, f'decode{blocks}', *map(str, row)]
        full, eighth = json.loads(subprocess.check_output(command, text=True))
        found |= {f'full decode{blocks}': full, f'decode to an eighth{blocks}': eighth}
    return found


def inactive_share(seconds: float) -> float:
    """Return the share of a core that an inactive node takes beside a camera, in percent."""
    row = [*map(str, ROWS[0])]
    idle = [*NODE, '-p', 'autostart:=false']
    bare = [sys.executable, __file__, 'bare', *row]
    source = [sys.executable, __file__, 'camera', *row, str(seconds), '1']
    with (
        running(idle) as node,
        running(bare),
        running(source, stdout=subprocess.PIPE) as publisher,
    ):
        assert publisher.stdout is not None
        publisher.stdout.readline()
        before = cpu_seconds(node.pid)
        publisher.stdout.readline()
        used = cpu_seconds(node.pid) - before
        publisher.stdout.readline()
    return 100 * used / seconds


def costs_of(row: Row, seconds: float, rounds: int) -> dict[str, Cost]:
    """Return the cost of each column: the median of rounds, in which they take turns."""
    found: dict[str, list[Cost]] = {column: [] for column in COLUMNS}
    for _ in range(rounds):
        for column in COLUMNS:
            cost, share = measure(command_of(column, row), row, seconds)
            found[column].append(cost)
            if share < 0.98:
                print(f'{row.title}, {column}: only {share:.0%} answered', file=sys.stderr)
    return {column: Cost(*np.median(costs, axis=0)) for column, costs in found.items()}


def report(seconds: float, rounds: int, rows: tuple[Row, ...]) -> None:
    """Measure everything, and print the tables."""
    costs = {row: costs_of(row, seconds, rounds) for row in rows}
    for what, part in (('CPU ms per frame', 0), ('latency p50 ms', 1), ('latency p95 ms', 2)):
        print(f'\n| {what} | ' + ' | '.join(COLUMNS) + ' |')
        print('|---' * (len(COLUMNS) + 1) + '|')
        for row, found in costs.items():
            figures = ' | '.join(f'{found[column][part]:.2f}' for column in COLUMNS)
            print(f'| {row.title} | {figures} |')
    print('\n| ratio, same run | |\n|---|---|')
    for row, found in costs.items():
        hit = found['hit'].cpu
        if row.kind == 'raw':
            kept = found['bare, blocks kept'].cpu
            print(f'| {row.title}: hit / bare, blocks kept | {hit / kept:.2f} |')
        else:
            for what, milliseconds in decodes(row).items():
                print(f'| {row.title}: hit / {what}, {milliseconds:.2f} ms | ', end='')
                print(f'{hit / milliseconds:.2f} |')
    print(f'| inactive node beside a 30 Hz camera, % of a core | {inactive_share(seconds):.2f} |')
    four = Row(1280, 720, 'jpeg')
    command = ['taskset', '-c', '0', *NODE, '-p', f'image_topics:={four.topics(4)}']
    cost, share = measure([*command, *OURS['hit']], four, seconds, cameras=4)
    print(f'| four cameras, {four.title}, on one core: answered | {share:.0%} |')
    print(f'| the same: CPU ms per frame of a camera | {cost.cpu:.2f} |')


def main(arguments: list[str]) -> None:
    """Measure, or be one of the processes."""
    roles = ('camera', *SUBSCRIBERS, 'decode', 'decode, blocks kept')
    if arguments and arguments[0] in roles:
        role, width, height, kind, *rest = arguments
        row = Row(int(width), int(height), kind)
        if role == 'camera':
            return camera(row, float(rest[0]), int(rest[1]))
        if role in ('bare, blocks kept', 'bare, serialized', 'decode, blocks kept'):
            keep_freed_blocks()
        cv2.setNumThreads(1)
        if role.startswith('decode'):
            return decode(row)
        work = plain_network(*rest or ['scenes@second']) if role == 'plain' else lambda _: None
        return subscriber(row, work, role == 'bare, serialized')
    parser = ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=4.0)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--rows', type=int, nargs='+', default=list(range(len(ROWS))))
    options = parser.parse_args(arguments)
    os.environ.update(ROS_DOMAIN_ID='87', ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST')
    make_room_for_large_images()
    return report(options.seconds, options.rounds, tuple(ROWS[i] for i in options.rows))


if __name__ == '__main__':
    main(sys.argv[1:])
