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
What a frame costs the node with a bundle, beside a plain node with one CNN, every frame new.

The camera shows photographs of --images in turn, enlarged to its size. A SYSTEM is BUNDLE, for our
node without a memory; BUNDLE@POINT, at an operating point; or plain:BUNDLE, plain:BUNDLE@STAGE,
for that CNN alone in the few lines that one would write. See node_cost.py for what is measured.
"""

from __future__ import annotations

from argparse import ArgumentParser
import os
from pathlib import Path
import sys

import node_cost
from node_cost import Cost, measure, NODE, Row
import numpy as np

from dual_cnn_ros.evaluation.systems import parse_system
from dual_cnn_ros.playback.large_images import make_room_for_large_images

ROWS = (Row(640, 480, 'raw'), Row(1280, 720, 'jpeg'))


def command_of(system: str, row: Row) -> list[str]:
    """Return the command of a process to measure."""
    plain, colon, name = system.rpartition('plain:')
    if colon and not plain:
        return [sys.executable, node_cost.__file__, 'plain', *map(str, row), name]
    bundle = parse_system(system).bundle
    point = system.rpartition('@')[2] if system.rpartition('@')[2] in bundle.rules else ''
    return [
        *NODE,
        *('-p', f'bundle:={bundle.path.resolve()}/', '-p', f"operating_point:='{point}'"),
        *('-p', 'memory:=false', '-p', f'image_topics:={row.topics(1)}'),
    ]


def main() -> None:
    """Measure, and print a table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument('systems', nargs='+', metavar='SYSTEM')
    parser.add_argument('--images', type=Path, required=True)
    parser.add_argument('--seconds', type=float, default=5.0)
    parser.add_argument('--rounds', type=int, default=3)
    options = parser.parse_args()
    os.environ.update(ROS_DOMAIN_ID='87', ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST')
    os.environ['COST_IMAGES'] = str(options.images.resolve())
    make_room_for_large_images()
    print('| CPU ms per frame | ' + ' | '.join(row.title for row in ROWS) + ' |')
    print('|---' * (len(ROWS) + 1) + '|')
    found: dict[tuple[str, Row], list[Cost]] = {}
    for _ in range(options.rounds):
        for row in ROWS:
            for system in options.systems:
                cost, share = measure(command_of(system, row), row, options.seconds)
                found.setdefault((system, row), []).append(cost)
                if share < 0.98:
                    print(f'{system}, {row.title}: only {share:.0%} answered', file=sys.stderr)
    for system in options.systems:
        medians = [Cost(*np.median(found[system, row], axis=0)) for row in ROWS]
        print(f'| {system} | ' + ' | '.join(f'{cost.cpu:.2f}' for cost in medians) + ' |')


if __name__ == '__main__':
    main()
