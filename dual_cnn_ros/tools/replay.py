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
from contextlib import suppress
from pathlib import Path
import signal
import sys

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args
from tqdm import tqdm

from dual_cnn_ros.data.problems import say_problems
from dual_cnn_ros.data.recording import Message, Recording
from dual_cnn_ros.playback.large_images import make_room_for_large_images
from dual_cnn_ros.playback.replayer import Replayer
from dual_cnn_ros.tools.cli import make_parser, run_cli


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 1 where the recording cannot be played."""
    words = sys.argv if arguments is None else ['replay', *arguments]
    options = _parser().parse_args(remove_ros_args(words)[1:])

    def work() -> None:
        # An interrupt is how --loop ends, and no failure.
        with suppress(KeyboardInterrupt), Recording(options.recording) as recording:
            make_room_for_large_images()
            # ROS's own handlers would end the publishers in the middle of what uses them.
            rclpy.init(args=words, signal_handler_options=SignalHandlerOptions.NO)
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            node = rclpy.create_node('replay')
            try:
                _play(node, recording, options)
            finally:
                node.destroy_node()

    try:
        return run_cli('replay', work)
    finally:
        rclpy.try_shutdown()


def _play(node: Node, recording: Recording, options: argparse.Namespace) -> None:
    replayer = Replayer(
        node,
        recording,
        sorted(recording.topics) if options.all else options.topics,
        rate=options.rate,
        start=options.start,
        duration=options.duration,
        clock=options.clock,
        skip_gaps=options.skip_gaps,
    )
    say_problems(recording.path, recording.problems)
    try:
        if options.wait_for_subscribers:
            print(f'waiting for subscribers of {", ".join(replayer.publishers)}', file=sys.stderr)
            replayer.wait_for_subscribers()
        whole, part = '{l_bar}{bar}| {n:.1f}/{total:.1f} s{postfix}', '{n:.1f} s{postfix}'
        with tqdm(
            # How much of it is gaps, nobody knows before.
            total=None if options.skip_gaps else round(replayer.seconds, 1),
            unit='s',
            disable=None,
            bar_format=part if options.skip_gaps else whole,
        ) as bar:
            sent = 0

            def progress(message: Message) -> None:
                nonlocal sent
                sent += 1
                # The bar draws only so often; setting it is cheap.
                bar.set_postfix_str(f'{sent} messages', refresh=False)
                bar.update(replayer.position - bar.n)

            count = replayer.play(loop=options.loop, progress=progress)
    finally:
        replayer.close()
    print(f'{count} messages published')


def _parser() -> argparse.ArgumentParser:
    parser = make_parser('replay', __doc__)
    parser.add_argument('recording', type=Path, help='its folder, or a .db3 or .mcap file')
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--topics', nargs='+', metavar='TOPIC', help='these (all images)')
    which.add_argument('--all', action='store_true', help='every topic, not only images')
    parser.add_argument('--rate', type=float, default=1.0, help='2.0 plays twice as fast (1.0)')
    parser.add_argument('--start', type=float, default=0.0, help='begin at this second (0)')
    parser.add_argument('--duration', type=float, help='play so many seconds of it (to the end)')
    parser.add_argument('--loop', action='store_true', help='begin again at the end, for ever')
    parser.add_argument(
        '--skip-gaps', action='store_true', help='leave out silence of more than ten seconds'
    )
    parser.add_argument('--clock', action='store_true', help='publish /clock, in recorded time')
    parser.add_argument(
        '--wait-for-subscribers',
        action='store_true',
        help='begin when every played topic has a subscriber',
    )
    return parser


if __name__ == '__main__':
    sys.exit(main())
