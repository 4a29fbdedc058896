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

Without arguments it replays the rendered drive that comes with the package. Ctrl-C ends what is
played, and shows what came of it so far.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
import math
import os
from pathlib import Path
from random import Random
import signal
import struct
import subprocess
import sys
import threading
import time
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.data.cameras import name_cameras, without_copies
from dual_cnn_ros.data.image_stream import ImageStream, stream_folder, stream_video
from dual_cnn_ros.data.recording import IMAGE_TYPES, Message, Recording, RecordingError
from dual_cnn_ros.data.true_labels import recorded_labels
from dual_cnn_ros.evaluation.tables import text_table
from dual_cnn_ros.messages import images
from dual_cnn_ros.playback import watts
from dual_cnn_ros.playback.replay import Replayer
from dual_cnn_ros.playback.sheet import contact_sheet
from dual_cnn_ros.share import share_directory
from dual_cnn_ros.tools.cli import run_cli

NODE = 'dual_cnn'
START = 60.0  # seconds that the node may take to load its models
SILENCE = 5.0  # seconds without a message after which the last frames count as lost
TILES, KEPT = 24, 96
COURSE = share_directory() / 'config' / 'recordings' / 'course'
COURSE_BUNDLE = 'signs'


@dataclass(frozen=True)
class Answer:
    """What the node said about one frame. seconds: of all steps of the cascade together."""

    source: str
    label: str
    seconds: float
    macs: float


@dataclass
class Audience:
    """
    What the nodes published, by camera and time stamp, and the energy report.

    pictures: some of the overlays, drawn at random. overlays: how many there were.
    """

    answers: dict[tuple[str, int], Answer] = field(default_factory=dict)
    sources: Counter[str] = field(default_factory=Counter)
    label: str = ''
    pictures: dict[tuple[str, int], bytes] = field(default_factory=dict)
    overlays: int = 0
    report: watts.Sections = field(default_factory=dict)
    latest: float = 0.0
    random: Random = field(default_factory=lambda: Random(0))

    def on_decision(self, camera: str, message: Any) -> None:
        """Keep a decision."""
        stamp = _stamp(message.header)
        values = {value.key: value.value for value in message.status[0].values}
        self.answers[camera, stamp] = Answer(
            values['source'],
            values['label'],
            sum(float(v) for key, v in values.items() if key.startswith('seconds.')),
            float(values['macs']),
        )
        self.sources[values['source']] += 1
        self.label = values['label']
        self.latest = time.monotonic()

    def on_overlay(self, camera: str, message: Any) -> None:
        """Keep an overlay, if it is drawn: a camera may run for a day."""
        self.latest = time.monotonic()
        self.overlays += 1
        if len(self.pictures) == KEPT:
            place = self.random.randrange(self.overlays)
            if place >= KEPT:
                return
            del self.pictures[list(self.pictures)[place]]
        picture = images.from_image_msg(message)
        self.pictures[camera, _stamp(message.header)] = cv2.imencode('.jpg', picture)[1].tobytes()


def _stamp(header: Any) -> int:
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)


def labels_of(
    source: Recording | ImageStream, cameras: Mapping[str, str]
) -> dict[tuple[str, int], str]:
    """Return the true labels by camera and time stamp, as far as the source has them."""
    if isinstance(source, ImageStream):
        (camera,) = cameras.values()
        return {(camera, stamp): label for stamp, label in source.labels.items()}
    problems: list[str] = []
    labels = recorded_labels(source, cameras, problems)
    for problem in problems:
        print(f'demo: left out the label {problem}', file=sys.stderr)
    return {(cameras[topic], stamp): label for (topic, stamp), label in labels.items()}


class Processes(dict[str, 'subprocess.Popen[bytes]']):
    """Nodes of this package by name, each a process of its own."""

    def check(self) -> None:
        """Raise RecordingError where one of them has ended."""
        for name, process in self.items():
            if process.poll() is not None:
                raise RecordingError(
                    f'the {name} node ended with code {process.returncode}; '
                    'the lines above say why'
                )


@contextmanager
def running(nodes: Mapping[str, Sequence[str]]) -> Iterator[Processes]:
    """Run nodes of this package with their arguments, and end them as Ctrl-C would."""
    processes = Processes()
    try:
        for name, arguments in nodes.items():
            processes[name] = subprocess.Popen(
                [
                    sys.executable,
                    '-m',
                    f'dual_cnn_ros.nodes.{name}',
                    '--ros-args',
                    '--log-level',
                    'warn',
                    *arguments,
                ],
                # Ctrl-C in the terminal is for the demo, which has yet to ask them.
                start_new_session=True,
            )
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


@contextmanager
def ending(stop: threading.Event) -> Iterator[None]:
    """Have the first Ctrl-C of a block set an event; only a second one interrupts it."""
    before = signal.getsignal(signal.SIGINT)

    def first(number: int, frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def watch(
    source: Recording | ImageStream,
    cameras: Mapping[str, str],
    bundle: Bundle,
    meter: watts.Meter | None,
    rate: float,
    duration: float | None,
) -> tuple[Audience, int]:
    """
    Play the source to the nodes and return what they said, and how many frames there were.

    cameras: the name of each image topic's.
    """
    from diagnostic_msgs.msg import DiagnosticArray
    import rclpy
    from rclpy.executors import ExternalShutdownException
    from rclpy.signals import SignalHandlerOptions
    from sensor_msgs.msg import Image

    audience = Audience()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('demo')
    decisions = []
    for camera in cameras.values():
        prefix = f'/{NODE}/{camera}/' if len(cameras) > 1 else f'/{NODE}/'
        decisions.append(f'{prefix}decision')
        node.create_subscription(
            DiagnosticArray, decisions[-1], partial(audience.on_decision, camera), 100
        )
        node.create_subscription(
            Image, f'{prefix}overlay', partial(audience.on_overlay, camera), 100
        )
    listener = watts.Listener(node, decisions) if meter else None

    def spin() -> None:
        with suppress(ExternalShutdownException):
            rclpy.spin(node)

    spinning = threading.Thread(target=spin, daemon=True)
    spinning.start()
    replayer = Replayer(
        node,
        source,
        list(cameras) or None,
        rate=rate,
        duration=duration,
        clock=bool(meter and meter.trace),
    )
    # Every frame shall arrive, as from a driver that publishes reliably; best effort, the node's
    # default, loses large ones on the way.
    reliable = [
        argument
        for topic in cameras
        for argument in ('-p', f'qos_overrides.{topic}.subscription.reliability:=reliable')
    ]
    nodes = meter.nodes(rate) if meter else {'classifier': []}
    nodes['classifier'] += [
        '-r',
        f'__node:={NODE}',
        '-p',
        f'bundle:={bundle.path.resolve()}/',
        '-p',
        f'image_topics:=[{",".join(cameras)}]',
        '-p',
        f'camera_names:=[{",".join(cameras.values())}]',
        *reliable,
    ]
    try:
        with running(nodes) as processes:
            _wait_until_listening(replayer, processes, listener)
            if listener is not None:
                begin = -watts.LEAD * rate

                def pass_time() -> None:
                    processes.check()
                    # The same moments again, as there is only so much time before the drive.
                    replayer.run_clock(begin - watts.REPEATED, begin)

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


def _wait_until_listening(
    replayer: Replayer, processes: Processes, listener: watts.Listener | None
) -> None:
    limit = time.monotonic() + START
    while not (listener is None or listener.is_ready) or not replayer.wait_for_subscribers(0.5):
        processes.check()
        if time.monotonic() > limit:
            raise RecordingError(f'the nodes did not subscribe within {START:.0f} s')
        time.sleep(0.05)


def _play(
    replayer: Replayer, source: Recording | ImageStream, audience: Audience, processes: Processes
) -> int:
    def is_due() -> bool:
        return (
            len(audience.answers) < published or audience.overlays < len(audience.answers)
        ) and time.monotonic() - audience.latest < SILENCE

    total = (
        sum(topic.count for topic in source.topics.values() if topic.name in replayer.publishers)
        or None
    )
    stop = threading.Event()
    with ending(stop), tqdm(total=total, unit=' frames', disable=None, dynamic_ncols=True) as bar:

        def progress(message: Message) -> None:
            bar.update()
            sources = dict(audience.sources)
            shares = '  '.join(
                f'{name} {count / sum(sources.values()):4.0%}'
                for name, count in sorted(sources.items())
            )
            bar.set_postfix_str(f'{shares}  {audience.label}')
            if any(process.poll() is not None for process in processes.values()):
                stop.set()

        published = replayer.play(stop=stop, progress=progress)
    # The last frames are still on their way; a frame that a newer one overtook never comes.
    audience.latest = time.monotonic()
    while is_due():
        processes.check()
        time.sleep(0.05)
    processes.check()
    if not audience.answers:
        raise RecordingError('the classifier node did not answer a single frame')
    return published


def table(
    audience: Audience,
    labels: Mapping[tuple[str, int], str],
    published: int,
    bundle: Bundle,
) -> str:
    """Return who answered how many frames, how well, how fast and at what cost."""
    answers = list(audience.answers.items())
    by_source: dict[str, list[tuple[tuple[str, int], Answer]]] = defaultdict(list)
    for key, answer in answers:
        by_source[answer.source].append((key, answer))
    sources = [s for s in ('memory', *(stage.name for stage in bundle.stages)) if s in by_source]
    rows: list[tuple[str, ...]] = [
        ('answered by', 'frames', 'share', 'correct', 'p50', 'p95', 'multiply-adds')
    ]
    for name, group in [*((source, by_source[source]) for source in sources), ('all', answers)]:
        judged = [labels[key] == a.label for key, a in group if key in labels]
        milliseconds = np.percentile([1e3 * a.seconds for _, a in group], (50, 95))
        cost = np.mean([a.macs for _, a in group])
        rows.append(
            (
                name,
                f'{len(group)}',
                f'{len(group) / len(answers):.1%}',
                f'{np.mean(judged):.1%}' if judged else '-',
                *(f'{ms:.2f} ms' for ms in milliseconds),
                f'{cost / 1e6:.1f} M',
            )
        )
    lines = text_table(rows, total=True)
    both = sum(stage.macs for stage in bundle.stages)
    average = float(np.mean([a.macs for _, a in answers]))
    if both:
        lines.append(
            f'Asking every CNN about every frame would take {both / 1e6:.1f} M '
            f'multiply-adds each; this took {average / both:.1%} of that.'
        )
    labelled = sum(key in labels for key, _ in answers)
    if 0 < labelled < len(answers):
        lines.append(f'Correct: of the {labelled} frames that have a true label.')
    if lost := published - len(answers):
        lines.append(f'{lost} of {published} frames were overtaken by a newer one or refused.')
    return '\n'.join(lines)


class _Stamped(Recording):
    """
    A recording that tells all frames of a topic apart by their stamps, as its labels do.

    A frame without a stamp, or with that of one before, gets the time at which it was received;
    restamped: how many did.
    """

    restamped = 0

    def messages(
        self,
        topics: Iterable[str] | None = None,
        *,
        start: float = 0.0,
        duration: float | None = None,
    ) -> Iterator[Message]:
        seen: dict[str, set[int]] = defaultdict(lambda: {0})
        for message in super().messages(topics, start=start, duration=duration):
            if message.type in IMAGE_TYPES:
                stamp, _ = message.image_header()
                if stamp in seen[message.topic]:
                    self.restamped += 1
                    stamp = message.time
                    data = bytearray(message.data)
                    struct.pack_into(
                        f'{"<" if data[1] else ">"}iI', data, 4, *divmod(stamp, 10**9)
                    )
                    message = replace(message, data=bytes(data))
                seen[message.topic].add(stamp)
            yield message


def _open(options: argparse.Namespace) -> tuple[Recording | ImageStream, str]:
    """Return the frames and the name of the bundle for them."""
    if options.images is not None:
        return stream_folder(options.images, options.fps), options.bundle or 'scenes'
    if options.video is not None:
        return stream_video(str(options.video)), options.bundle or 'scenes'
    if options.camera is not None:
        return stream_video(options.camera, options.duration), options.bundle or 'scenes'
    if options.bag is not None:
        return _Stamped(options.bag), options.bundle or 'scenes'
    return Recording(COURSE), options.bundle or COURSE_BUNDLE


def _trace(options: argparse.Namespace, bundle: Bundle) -> Path | None:
    """Return the constructed power trace, where it goes with what is played."""
    own = (options.images, options.video, options.camera, options.bag)
    if bundle.name == COURSE_BUNDLE and all(frames is None for frames in own):
        return COURSE / 'power.csv'
    return None


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f'must be a positive number, not {text}')
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='demo', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    own = parser.add_mutually_exclusive_group()
    own.add_argument(
        '--images',
        type=Path,
        metavar='DIR',
        help='a folder of pictures; subfolders are taken for their labels',
    )
    own.add_argument('--video', type=Path, metavar='FILE', help='a video file')
    own.add_argument('--bag', type=Path, metavar='DIR', help='a rosbag2 recording')
    own.add_argument(
        '--camera', type=int, metavar='N', help='a camera, until Ctrl-C or for --duration'
    )
    parser.add_argument(
        '--bundle', help='name or folder of the bundle (signs for the rendered drive, else scenes)'
    )
    parser.add_argument('--rate', type=float, default=1.0, help='2.0 plays twice as fast (1.0)')
    parser.add_argument(
        '--fps', type=_positive, default=10.0, help='pictures of --images in a second (10)'
    )
    parser.add_argument('--duration', type=float, help='stop after so many seconds of it')
    parser.add_argument(
        '--sysfs-root',
        type=Path,
        default=Path('/sys'),
        metavar='DIR',
        help='where sysfs is mounted, to look for a power sensor (/sys)',
    )
    parser.add_argument(
        '--domain',
        type=int,
        default=87,
        help='ROS_DOMAIN_ID of the demo, which shall meet no robot (87)',
    )
    parser.add_argument(
        '--out', type=Path, default=Path('demo.png'), help='file of the contact sheet (demo.png)'
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    # The demo talks to its own nodes only, whatever robots are on the network.
    os.environ.update(
        ROS_DOMAIN_ID=str(options.domain),
        ROS_LOCALHOST_ONLY='1',
        ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST',
    )
    if not cv2.haveImageWriter(str(options.out)):
        raise ValueError(f'--out {options.out}: the name must end in .png or .jpg')
    source, name = _open(options)
    bundle = Bundle.open(name)
    notes = source.notes.get('origin', '') if isinstance(source, Recording) else ''
    cameras = name_cameras(without_copies(source.image_topics))
    print(
        f'{source.path}: {", ".join(cameras)}{". " + notes if notes else ""}\n'
        f'bundle {bundle.name}: {len(bundle.labels)} classes, '
        + ' then '.join(stage.title for stage in bundle.stages)
    )
    labels = labels_of(source, cameras)
    meter, line = watts.find(options.sysfs_root, _trace(options, bundle), options.rate)
    print(line)
    audience, published = watch(source, cameras, bundle, meter, options.rate, options.duration)
    print(table(audience, labels, published, bundle))
    if isinstance(source, _Stamped) and source.restamped:
        print(
            f'{source.restamped} frames had no time stamp of their own and got the time at '
            'which they were recorded; nobody knows their labels.'
        )
    if meter is not None:
        print(
            watts.table(
                meter, audience.report, ['memory', *(stage.name for stage in bundle.stages)]
            )
        )
    if not audience.pictures:
        raise RecordingError('the classifier node drew no picture of any frame')
    keys = sorted(audience.pictures.keys() & audience.answers.keys(), key=lambda key: key[1])
    chosen = [keys[i] for i in np.unique(np.linspace(0, len(keys) - 1, TILES).astype(int))]
    sheet = contact_sheet(
        [audience.pictures[key] for key in chosen],
        [labels.get(key) for key in chosen],
        [audience.answers[key].label for key in chosen],
        [stage.name for stage in bundle.stages],
        notes,
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(options.out), sheet):
        raise OSError(f'{options.out} cannot be written; choose another file with --out')
    print(f'Pictures of {len(chosen)} frames, coloured by who answered: {options.out}')


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 1 where anything failed."""
    options = _parser().parse_args(arguments)
    # The nodes are in a session of their own: whatever ends the demo, it has to end them.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    return run_cli('demo', lambda: _run(options))


if __name__ == '__main__':
    sys.exit(main())
