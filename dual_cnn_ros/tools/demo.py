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
Watch the cascade at work: frames in, the real node over real DDS, a table and an image out.

Without arguments it replays the rendered drive that comes with the package. Ctrl-C ends what is
played, and shows what came of it so far.
"""

from __future__ import annotations

import argparse
from collections import Counter
import os
from pathlib import Path
import signal
import sys

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.data.cameras import name_cameras, without_copies
from dual_cnn_ros.data.image_stream import ImageStream, stream_folder, stream_video
from dual_cnn_ros.data.problems import say_problems
from dual_cnn_ros.data.recording import Recording
from dual_cnn_ros.data.true_labels import recorded_labels
from dual_cnn_ros.playback.contact_sheet import check_format, write_contact_sheet
from dual_cnn_ros.playback.decision_listener import FrameKey
from dual_cnn_ros.playback.energy_listener import find_power_input
from dual_cnn_ros.playback.session import play_to_nodes
from dual_cnn_ros.playback.stamped_recording import StampedRecording
from dual_cnn_ros.playback.summary import decision_table, energy_table
from dual_cnn_ros.share import share_directory
from dual_cnn_ros.synthetic.simulated_power import read_true_joules
from dual_cnn_ros.tools.cli import make_parser, number, positive, run_cli, writes

COURSE = share_directory() / 'config' / 'recordings' / 'course'
COURSE_BUNDLE = 'signs'


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 1 where anything failed."""
    options = _parser().parse_args(arguments)
    # The nodes are in a session of their own: whatever ends the demo, it has to end them.
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda received, _: sys.exit(128 + received))
    # The demo talks to its own nodes only, whatever robots are on the network.
    os.environ.update(
        ROS_DOMAIN_ID=str(options.domain),
        ROS_LOCALHOST_ONLY='1',
        ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST',
    )

    def work() -> None:
        with writes('demo', options.out):
            _run(options)

    return run_cli('demo', work)


def _run(options: argparse.Namespace) -> None:
    check_format(options.out)
    source, name = _open(options)
    bundle = Bundle.open(name)
    notes = source.notes.get('origin', '') if isinstance(source, Recording) else ''
    cameras = name_cameras(without_copies(source.image_topics))
    say_problems(source.path, source.problems)
    print(f'{os.path.relpath(source.path)}: {", ".join(cameras)}{". " + notes if notes else ""}')
    titles = ' then '.join(stage.title for stage in bundle.stages)
    print(f'bundle {bundle.name}: {len(bundle.labels)} classes, {titles}')
    labels = _labels(source, cameras, bundle)
    # The constructed trace goes with one drive and one bundle.
    is_course = source.path == COURSE and bundle.name == COURSE_BUNDLE
    trace = COURSE / 'power.csv' if is_course else None
    power, line = find_power_input(options.sysfs_root, trace, options.rate)
    print(line)
    result = play_to_nodes(source, cameras, bundle, power, options.rate, options.duration)
    heard = result.heard
    print(*decision_table(heard.decisions, labels, result.published, bundle), sep='\n')
    if isinstance(source, StampedRecording) and source.restamped:
        print(
            f'{source.restamped} frames had no time stamp of their own and got the time at which '
            'they were recorded; nobody knows their labels.'
        )
    stages = [stage.name for stage in bundle.stages]
    if power is not None:
        true_joules = read_true_joules(power.trace) if power.trace else {}
        print(*energy_table(power, result.report, ['memory', *stages], true_joules), sep='\n')
    count = write_contact_sheet(options.out, heard, labels, stages, notes)
    print(f'{count} frames, coloured by who answered: {options.out}')


def _open(options: argparse.Namespace) -> tuple[Recording | ImageStream, str]:
    """Return the frames, and the name of the bundle for them."""
    bundle = options.bundle or 'scenes'
    if options.images is not None:
        return stream_folder(options.images, options.fps, options.count), bundle
    if options.video is not None:
        return stream_video(str(options.video)), bundle
    if options.camera is not None:
        return stream_video(options.camera, options.duration), bundle
    if options.bag is not None:
        return StampedRecording(options.bag), bundle
    return Recording(COURSE), options.bundle or COURSE_BUNDLE


def _labels(
    source: Recording | ImageStream, cameras: dict[str, str], bundle: Bundle
) -> dict[FrameKey, str]:
    """Return the true labels, as far as the source has them and the bundle knows them."""
    if isinstance(source, ImageStream):
        (camera,) = cameras.values()
        labels = {(camera, stamp): label for stamp, label in source.labels.items()}
    else:
        problems: list[str] = []
        recorded = recorded_labels(source, cameras, problems)
        for problem in problems:
            print(f'demo: left out the label {problem}', file=sys.stderr)
        labels = {(cameras[topic], stamp): label for (topic, stamp), label in recorded.items()}
    unknown = Counter(label for label in labels.values() if label not in bundle.labels)
    for label, count in sorted(unknown.items()):
        print(f'unknown label {label!r} on {count} frames: not judged')
    return {key: label for key, label in labels.items() if label not in unknown}


def _parser() -> argparse.ArgumentParser:
    parser = make_parser('demo', __doc__)
    own = parser.add_mutually_exclusive_group()
    own.add_argument(
        '--images',
        type=Path,
        metavar='DIR',
        help='a folder of images; subfolders are taken for their labels',
    )
    own.add_argument('--video', type=Path, metavar='FILE', help='a video file')
    own.add_argument('--bag', type=Path, metavar='DIR', help='a rosbag2 recording')
    own.add_argument(
        '--camera', type=int, metavar='N', help='a camera, until Ctrl-C or for --duration'
    )
    domain = number(0, 232, kind=int)  # more have no port
    for name, kind, default, text in (
        ('bundle', str, None, 'name or folder of it (signs for the rendered drive, else scenes)'),
        ('rate', positive, 1.0, '2.0 plays twice as fast (1.0)'),
        ('fps', positive, 10.0, 'images of --images in a second (10)'),
        ('count', number(1, kind=int), 300, 'images of --images, drawn at random (300)'),
        ('duration', positive, None, 'stop after so many seconds of it'),
        ('sysfs-root', Path, Path('/sys'), 'where to look for a power sensor (/sys)'),
        ('domain', domain, 87, 'ROS_DOMAIN_ID of the demo, which shall meet no robot (87)'),
        ('out', Path, Path('demo.png'), 'file of the contact sheet (demo.png)'),
    ):
        parser.add_argument(f'--{name}', type=kind, default=default, help=text)
    return parser


if __name__ == '__main__':
    sys.exit(main())
