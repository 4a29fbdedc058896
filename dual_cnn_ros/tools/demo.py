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
from dual_cnn_ros.tools import watts
from dual_cnn_ros.tools.exit_code import ended
from dual_cnn_ros.tools.frames import FrameSource, from_folder, from_video
from dual_cnn_ros.tools.labelled import camera_of, ground_truth
from dual_cnn_ros.tools.recording import Message, Recording, RecordingError
from dual_cnn_ros.tools.replay import Replayer
from dual_cnn_ros.tools.sheet import contact_sheet

NODE = 'dual_cnn'
START = 60.0  # seconds that the node may take to load its models
SILENCE = 5.0  # seconds without an answer after which the last frames count as lost
REPEATED = 0.2  # seconds of a power trace, until somebody reads them
TILES = 24
COURSE = share_directory() / 'config' / 'recordings' / 'course'
COURSE_BUNDLE = 'signs'


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
    """Everything that the nodes published, by camera and time stamp, and the energy report."""

    answers: dict[tuple[str, int], Answer] = field(default_factory=dict)
    pictures: dict[tuple[str, int], bytes] = field(default_factory=dict)
    report: watts.Sections = field(default_factory=dict)
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


def labels_of(source: Recording | FrameSource) -> dict[tuple[str, int], str]:
    """Return the true labels by camera and time stamp, as far as the source has them."""
    if isinstance(source, FrameSource):
        camera = camera_of(source.image_topics[0])
        return {(camera, stamp): label for stamp, label in source.labels.items()}
    problems: list[str] = []
    labels = ground_truth(source, source.image_topics, problems)
    for problem in problems:
        print(f'demo: left out the label {problem}', file=sys.stderr)
    return {(camera_of(topic), stamp): label for (topic, stamp), label in labels.items()}


class Processes(dict[str, 'subprocess.Popen[bytes]']):
    """Nodes of this package by name, each a process of its own."""

    def check(self) -> None:
        """Raise RecordingError where one of them has ended."""
        for name, process in self.items():
            if process.poll() is not None:
                raise RecordingError(f'the {name} node ended with code {process.returncode}; '
                                     'the lines above say why')


@contextmanager
def running(nodes: Mapping[str, Sequence[str]]) -> Iterator[Processes]:
    """Run nodes of this package with their arguments, and end them as Ctrl-C would."""
    processes = Processes()
    try:
        for name, arguments in nodes.items():
            processes[name] = subprocess.Popen([
                sys.executable, '-m', f'dual_cnn_ros.nodes.{name}', '--ros-args',
                '--log-level', 'warn', *arguments])
        yield processes
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def watch(source: Recording | FrameSource, bundle: bundles.Bundle, meter: watts.Meter | None,
          rate: float, duration: float | None) -> tuple[Audience, int]:
    """Play the source to the nodes and return what they said, and how many frames there were."""
    from diagnostic_msgs.msg import DiagnosticArray
    import rclpy
    from rclpy.executors import ExternalShutdownException
    from sensor_msgs.msg import Image

    cameras = {topic: camera_of(topic) for topic in source.image_topics}
    audience = Audience()
    rclpy.init()
    node = rclpy.create_node('demo')
    decisions = []
    for camera in cameras.values():
        prefix = f'/{NODE}/{camera}/' if len(cameras) > 1 else f'/{NODE}/'
        decisions.append(f'{prefix}decision')
        node.create_subscription(DiagnosticArray, decisions[-1],
                                 partial(audience.on_decision, camera), 100)
        node.create_subscription(Image, f'{prefix}overlay',
                                 partial(audience.on_overlay, camera), 100)
    listener = watts.Listener(node, decisions) if meter else None

    def spin() -> None:
        with suppress(ExternalShutdownException):
            rclpy.spin(node)

    spinning = threading.Thread(target=spin, daemon=True)
    spinning.start()
    replayer = Replayer(node, source, rate=rate, duration=duration,
                        clock=bool(meter and meter.trace))
    # Every frame shall arrive, as from a driver that publishes reliably; best effort, the node's
    # default, loses large ones on the way.
    reliable = [argument for topic in cameras for argument in (
        '-p', f'qos_overrides.{topic}.subscription.reliability:=reliable')]
    nodes = meter.nodes(rate) if meter else {'classifier': []}
    nodes['classifier'] += [
        '-r', f'__node:={NODE}', '-p', f'bundle:={bundle.path.resolve()}/',
        '-p', f'image_topics:=[{",".join(cameras)}]',
        '-p', f'camera_names:=[{",".join(cameras.values())}]', *reliable]
    try:
        with running(nodes) as processes:
            _wait_until_listening(replayer, processes, listener)
            if listener is not None:
                begin = -watts.LEAD * rate

                def pass_time() -> None:
                    processes.check()
                    # The same moments again, as there is only so much time before the drive.
                    replayer.run_clock(begin - REPEATED, begin)

                listener.rest(pass_time)
                replayer.run_clock(begin, 0.0)
            published = _play(replayer, source, audience, processes)
            if meter is not None and listener is not None:
                seconds = watts.TAIL * rate / meter.speed(rate)
                replayer.run_clock(replayer.position, replayer.position + seconds)
                listener.wait()
                processes.check()
                audience.report = listener.report
            return audience, published
    finally:
        replayer.close()
        rclpy.try_shutdown()
        spinning.join()


def _wait_until_listening(replayer: Replayer, processes: Processes,
                          listener: watts.Listener | None) -> None:
    limit = time.monotonic() + START
    while not (listener is None or listener.is_ready) or not replayer.wait_for_subscribers(0.5):
        processes.check()
        if time.monotonic() > limit:
            raise RecordingError(f'the nodes did not subscribe within {START:.0f} s')
        time.sleep(0.05)


def _play(replayer: Replayer, source: Recording | FrameSource, audience: Audience,
          processes: Processes) -> int:
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
            if any(process.poll() is not None for process in processes.values()):
                stop.set()

        published = replayer.play(stop=stop, progress=progress)
    # The last frames are still on their way; a frame that a newer one overtook never comes.
    audience.latest = time.monotonic()
    while len(audience.answers) < published and (
            time.monotonic() - audience.latest < SILENCE / 5):
        processes.check()
        time.sleep(0.05)
    processes.check()
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
    lines = watts.columns(rows)
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
    return Recording(COURSE), options.bundle or COURSE_BUNDLE


def _trace(options: argparse.Namespace, bundle: bundles.Bundle) -> Path | None:
    """Return the constructed power trace, where it goes with what is played."""
    own = (options.images, options.video, options.camera, options.bag)
    if bundle.name == COURSE_BUNDLE and all(frames is None for frames in own):
        return COURSE / 'power.csv'
    return None


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
    parser.add_argument('--sysfs-root', type=Path, default=Path('/sys'), metavar='DIR',
                        help='where sysfs is mounted, to look for a power sensor (/sys)')
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
    meter, line = watts.find(options.sysfs_root, _trace(options, bundle), options.rate)
    print(line)
    audience, published = watch(source, bundle, meter, options.rate, options.duration)
    print(table(audience, labels, published, bundle))
    if meter is not None:
        print(watts.table(meter, audience.report,
                          ['memory', *(stage.name for stage in bundle.stages)]))
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
    return ended('demo', lambda: _run(options))


if __name__ == '__main__':
    sys.exit(main())
