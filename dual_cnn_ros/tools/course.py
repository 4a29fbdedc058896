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

"""Render a robot's drive past signs and write it as a rosbag2 recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import sys

from dual_cnn_ros.data.recording import STORAGES
from dual_cnn_ros.synthetic.course import DESCRIPTION, write_course
from dual_cnn_ros.synthetic.drive import LONGEST
from dual_cnn_ros.tools.cli import make_parser, number, run_cli, writes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = make_parser('course', f'{__doc__}\n\n{DESCRIPTION}')
    parser.add_argument('out', type=Path, help='folder of the recording, must not exist')
    for name, kind, default, text in (
        ('--seed', number(0, kind=int), 0, 'another seed, another drive'),
        ('--seconds', number(1, LONGEST), 50.0, 'length of the drive'),
        ('--rate', number(0.001, 100), 5.0, 'frames per second of each camera'),
    ):
        parser.add_argument(name, type=kind, default=default, help=f'{text} (%(default)g)')
    parser.add_argument(
        '--storage',
        choices=STORAGES,
        default='sqlite3',
        help='sqlite3 plays everywhere; mcap is smaller, and an extra package in Humble '
        '(%(default)s)',
    )
    options = parser.parse_args(arguments)

    def work() -> None:
        with writes('course', options.out):
            summary = write_course(**vars(options))
        size = sum(path.stat().st_size for path in options.out.iterdir())
        print(
            f'{options.out}: RENDERED, {options.seconds:g} s, {summary.frames} + '
            f'{summary.frames} frames, {summary.repeats} of the front camera repeat exactly, '
            f'{size / 1e6:.1f} MB'
        )

    return run_cli('course', work)


if __name__ == '__main__':
    sys.exit(main())
