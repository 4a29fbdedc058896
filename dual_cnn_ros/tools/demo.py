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
Watch the cascade at work: frames in, the real node over real DDS, a table and a picture out.

Without arguments it replays the rendered drive that comes with the package.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from dual_cnn_ros import bundle as bundles
from dual_cnn_ros.nodes import images, parameters
from dual_cnn_ros.share import share_directory
from dual_cnn_ros.tools.frames import FrameSource, from_folder, from_video
from dual_cnn_ros.tools.recording import Message, Recording, RecordingError
from dual_cnn_ros.tools.replay import Replayer
from dual_cnn_ros.tools.sheet import contact_sheet

NODE = 'dual_cnn'
START = 60.0  # seconds that the node may take to load its models
SILENCE = 5.0  # seconds without an answer after which the last frames count as lost
TILES = 24


@dataclass(frozen=True)
class Answer:
    """What the node said about one frame; the steps' seconds are in the decision."""

    camera: str
    stamp: int
    values: Mapping[str, str]

    @property
    def seconds(self) -> float:
        """Return the time of all steps of the cascade."""
        return sum(float(v) for k, v in self.values.items() if k.startswith('seconds.'))


@dataclass
class Audience:
    """Everything that the node published, by camera and time stamp."""

    answers: dict[tuple[str, int], Answer] = field(default_factory=dict)
    pictures: dict[tuple[str, int], bytes] = field(default_factory=dict)
    latest: float = 0.0

    def on_decision(self, camera: str, message: Any) -> None:
        """Keep a decision."""
        stamp = _stamp(message.header)
        values = {value.key: value.value for value in message.status[0].values}
        self.answers[camera, stamp] = Answer(camera, stamp, values)
        self.latest = time.monotonic()

    def on_overlay(self, camera: str, message: Any) -> None:
        """Keep an overlay, compressed: a drive of a minute would fill a gigabyte."""
        picture = images.from_image_msg(message)
        self.pictures[camera, _stamp(message.header)] = cv2.imencode('.jpg', picture)[1].tobytes()


def _stamp(header: Any) -> int:
    return int(header.stamp.sec) * 10 ** 9 + int(header.stamp.nanosec)


def _camera(topic: str) -> str:
    return topic.removesuffix('/compressed').strip('/').rpartition('/')[0] or 'camera'


def labels_of(source: Recording | FrameSource) -> dict[tuple[str, int], str]:
    """Return the true labels by camera and time stamp, as far as the source has them."""
    cameras = [_camera(topic) for topic in source.image_topics]
    if isinstance(source, FrameSource):
        return {(cameras[0], stamp): label for stamp, label in source.labels.items()}
    topics = {f'/{camera}/ground_truth': camera for camera in cameras}
    labels = {}
    for message in source.messages([topic for topic in topics if topic in source.topics]):
        truth = message.decode()
        if truth.results:
            labels[topics[message.topic], _stamp(truth.header)] = truth.results[0].class_id
    return labels


@contextmanager
def running(module: str, arguments: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a node of this package as a process of its own, and end it as Ctrl-C would."""
    process = subprocess.Popen([sys.executable, '-m', f'dual_cnn_ros.nodes.{module}', '--ros-args',
                                '--log-level', 'warn', *arguments])
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def watch(source: Recording | FrameSource, bundle: bundles.Bundle, rate: float,
          duration: float | None) -> tuple[Audience, int]:
    """Play the source to the node and return what it said, and how many frames were published."""
    from diagnostic_msgs.msg import DiagnosticArray
    import rclpy
    from rclpy.executors import ExternalShutdownException
    from sensor_msgs.msg import Image

    cameras = {topic: _camera(topic) for topic in source.image_topics}
    audience = Audience()
    rclpy.init()
    node = rclpy.create_node('demo')
    for camera in cameras.values():
        prefix = f'/{NODE}/{camera}/' if len(cameras) > 1 else f'/{NODE}/'
        node.create_subscription(DiagnosticArray, f'{prefix}decision',
                                 partial(audience.on_decision, camera), 100)
        node.create_subscription(Image, f'{prefix}overlay',
                                 partial(audience.on_overlay, camera), 100)

    def spin() -> None:
        with suppress(ExternalShutdownException):
            rclpy.spin(node)

    spinning = threading.Thread(target=spin, daemon=True)
    spinning.start()
    replayer = Replayer(node, source, rate=rate, duration=duration)
    # Every frame shall arrive, as from a driver that publishes reliably; best effort, the node's
    # default, loses large ones on the way.
    reliable = [argument for topic in cameras for argument in (
        '-p', f'qos_overrides.{topic}.subscription.reliability:=reliable')]
    try:
        with running('classifier', [
                '-r', f'__node:={NODE}', '-p', f'bundle:={bundle.path.resolve()}/',
                '-p', f'image_topics:=[{",".join(cameras)}]',
                '-p', f'camera_names:=[{",".join(cameras.values())}]', *reliable]) as process:
            _wait_until_listening(replayer, process)
            published = _play(replayer, source, audience, process)
            return audience, published
    finally:
        replayer.close()
        rclpy.try_shutdown()
        spinning.join()


def _wait_until_listening(replayer: Replayer, process: subprocess.Popen[bytes]) -> None:
    stop = threading.Event()
    limit = time.monotonic() + START
    while not replayer.wait_for_subscribers(timeout=0.5, stop=stop):
        if process.poll() is not None:
            raise RecordingError('the classifier node ended before the first frame; '
                                 'the lines above say why')
        if time.monotonic() > limit:
            raise RecordingError(f'the classifier node did not subscribe within {START:.0f} s')


def _play(replayer: Replayer, source: Recording | FrameSource, audience: Audience,
          process: subprocess.Popen[bytes]) -> int:
    total = sum(topic.count for topic in source.topics.values()
                if topic.name in source.image_topics) or None
    stop = threading.Event()
    with tqdm(total=total, unit=' frames', disable=None, dynamic_ncols=True) as bar:
        def progress(message: Message) -> None:
            bar.update()
            answers = list(audience.answers.values())
            counts = Counter(answer.values['source'] for answer in answers)
            shares = '  '.join(f'{name} {count / len(answers):4.0%}'
                               for name, count in sorted(counts.items()))
            bar.set_postfix_str(f'{shares}  {answers[-1].values["label"] if answers else ""}')
            if process.poll() is not None:
                stop.set()

        published = replayer.play(stop=stop, progress=progress)
    # The last frames are still on their way; a frame that a newer one overtook never comes.
    audience.latest = time.monotonic()
    while len(audience.answers) < published and process.poll() is None and (
            time.monotonic() - audience.latest < SILENCE / 5):
        time.sleep(0.05)
    if process.poll() is not None:
        raise RecordingError(f'the classifier node ended with code {process.returncode} '
                             'in the middle of the demo; the lines above say why')
    if not audience.answers:
        raise RecordingError('the classifier node did not answer a single frame')
    return published


def table(audience: Audience, labels: Mapping[tuple[str, int], str], published: int,
          bundle: bundles.Bundle) -> str:
    """Return who answered how many frames, how well, how fast and at what cost."""
    answers = list(audience.answers.values())
    by_source: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_source[answer.values['source']].append(answer)
    sources = [s for s in ('memory', *(stage.name for stage in bundle.stages)) if s in by_source]
    rows: list[tuple[str, ...]] = [
        ('answered by', 'frames', 'share', 'correct', 'p50', 'p95', 'multiply-adds')]
    for name, group in [*((source, by_source[source]) for source in sources), ('all', answers)]:
        judged = [labels[a.camera, a.stamp] == a.values['label'] for a in group
                  if (a.camera, a.stamp) in labels]
        milliseconds = np.percentile([1e3 * a.seconds for a in group], (50, 95))
        cost = np.mean([float(a.values['multiply_adds']) for a in group])
        rows.append((name, f'{len(group)}', f'{len(group) / len(answers):.1%}',
                     f'{np.mean(judged):.1%}' if judged else '-',
                     *(f'{ms:.2f} ms' for ms in milliseconds), f'{cost / 1e6:.1f} M'))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ['  '.join(cell.ljust(width) if i == 0 else cell.rjust(width)
                       for i, (cell, width) in enumerate(zip(row, widths))) for row in rows]
    lines.insert(1, '-' * len(lines[0]))
    lines.insert(len(lines) - 1, '-' * len(lines[0]))
    both = sum(stage.multiply_adds for stage in bundle.stages)
    average = float(np.mean([float(a.values['multiply_adds']) for a in answers]))
    if both:
        lines.append(f'Asking every CNN about every frame would take {both / 1e6:.1f} M '
                     f'multiply-adds each; this took {average / both:.1%} of that.')
    labelled = sum((a.camera, a.stamp) in labels for a in answers)
    if 0 < labelled < len(answers):
        lines.append(f'Correct: of the {labelled} frames that have a true label.')
    if lost := published - len(answers):
        lines.append(f'{lost} of {published} frames were overtaken by a newer one or refused.')
    return '\n'.join(lines)


def _open(options: argparse.Namespace) -> tuple[Recording | FrameSource, str]:
    """Return the frames and the name of the bundle for them."""
    if options.images is not None:
        return from_folder(options.images, options.fps), options.bundle or 'scenes'
    if options.video is not None:
        return from_video(str(options.video)), options.bundle or 'scenes'
    if options.camera is not None:
        return from_video(options.camera, options.duration), options.bundle or 'scenes'
    if options.bag is not None:
        return Recording(options.bag), options.bundle or 'scenes'
    course = share_directory() / 'config' / 'recordings' / 'course'
    return Recording(course), options.bundle or 'signs'


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='demo', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    own = parser.add_mutually_exclusive_group()
    own.add_argument('--images', type=Path, metavar='DIR',
                     help='a folder of pictures; subfolders are taken for their labels')
    own.add_argument('--video', type=Path, metavar='FILE', help='a video file')
    own.add_argument('--bag', type=Path, metavar='DIR', help='a rosbag2 recording')
    own.add_argument('--camera', type=int, metavar='N', help='a camera, until Ctrl-C')
    parser.add_argument('--bundle', help='name or folder of the bundle (signs for the rendered '
                        'drive, else scenes)')
    parser.add_argument('--rate', type=float, default=1.0, help='2.0 plays twice as fast (1.0)')
    parser.add_argument('--fps', type=float, default=10.0,
                        help='pictures of --images in a second (10)')
    parser.add_argument('--duration', type=float, help='stop after so many seconds of it')
    parser.add_argument('--out', type=Path, default=Path('demo.png'),
                        help='file of the contact sheet (demo.png)')
    return parser


def _run(options: argparse.Namespace) -> None:
    # The demo talks to its own node only, whatever robots are on the network.
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    os.environ.setdefault('ROS_LOCALHOST_ONLY', '1')
    os.environ.setdefault('ROS_DOMAIN_ID', '87')
    source, name = _open(options)
    bundle = bundles.read(parameters.bundle_path(name))
    notes = source.notes.get('origin', '') if isinstance(source, Recording) else ''
    print(f'{source.path}: {", ".join(source.image_topics)}{". " + notes if notes else ""}\n'
          f'bundle {bundle.name}: {len(bundle.labels)} classes, '
          + ' then '.join(stage.source.architecture or stage.name for stage in bundle.stages))
    labels = labels_of(source)
    audience, published = watch(source, bundle, options.rate, options.duration)
    print(table(audience, labels, published, bundle))
    keys = sorted(audience.pictures.keys() & audience.answers.keys(), key=lambda key: key[1])
    chosen = [keys[i] for i in np.unique(np.linspace(0, len(keys) - 1, TILES).astype(int))]
    sheet = contact_sheet([audience.pictures[key] for key in chosen],
                          [labels.get(key) for key in chosen],
                          [audience.answers[key].values['label'] for key in chosen],
                          [stage.name for stage in bundle.stages], notes)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(options.out), sheet):
        raise OSError(f'{options.out} cannot be written; choose another file with --out')
    print(f'Pictures of {len(chosen)} frames, coloured by who answered: {options.out}')


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 1 where anything failed."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except (ValueError, OSError) as error:
        print(f'demo: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
