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
Measure the joules that one image costs each CNN of a bundle, and the memory, on this machine.

Each is repeated back to back with the machine otherwise idle, and the idle power, measured before
and after, is subtracted. The scope is the sensor's: a Jetson's module, a processor, a GPU; never
the whole robot. With --large, one large CNN is measured too, and stored in the bundle as what the
energy node compares with (baseline: bundle). An image is ready in memory: reading it from a
camera, and ROS, are not part of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
import sys

from dual_cnn_ros.bundle import FILE, find_bundle
from dual_cnn_ros.evaluation.measurement import (
    cost_table,
    LEAST_SECONDS,
    measure,
    MeasureOptions,
    store_baseline,
)
from dual_cnn_ros.inference import BACKENDS, PROVIDERS
from dual_cnn_ros.power.discover import POWER_SOURCES
from dual_cnn_ros.tools.cli import csv_file, make_parser, number, run_cli, writes


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; see run_cli for the exit code."""
    arguments = vars(_parser().parse_args(argv))
    options = MeasureOptions(**{**arguments, 'frame': tuple(arguments['frame'])})

    def work() -> None:
        bundle = find_bundle(options.bundle) if options.large else None
        with writes('measure', options.trace, bundle):
            _run(options)

    return run_cli('measure', work)


def _run(options: MeasureOptions) -> None:
    found = measure(options, lambda name: print(f'{name} ...', file=sys.stderr, flush=True))
    sensor = found.sensor
    print(
        f'{found.machine}; {sensor.source}: {sensor.reason}; total {" + ".join(sensor.members)} '
        f'({sensor.scope})'
    )
    print('\n'.join(cost_table(found.costs)))
    if options.trace:
        print(f'Readings: {options.trace}')
    if found.large:
        baseline = store_baseline(found, options)
        file = find_bundle(options.bundle) / FILE
        print(f'{file}: baseline {baseline.name}, {1e3 * baseline.joules:.4g} mJ')


def _parser() -> argparse.ArgumentParser:
    parser = make_parser('measure', __doc__)
    add = parser.add_argument
    add('bundle', help='name or folder of the bundle')
    large = 'a large CNN, BUNDLE@STAGE or a bundle of one stage; its joules go into the bundle'
    add('--large', metavar='CNN', help=large)
    loops = f'of each loop and each rest (at least {LEAST_SECONDS:g})'
    add('--seconds', type=number(LEAST_SECONDS), default=LEAST_SECONDS, help=loops)
    add('--rate', type=number(1, 100), default=10.0, help='readings a second (10)')
    size = ('WIDTH', 'HEIGHT')
    pixels = number(16, kind=int)
    add('--frame', type=pixels, nargs=2, default=(640, 480), metavar=size, help='(640 480)')
    add('--backend', choices=('auto', *BACKENDS), default='auto')
    add('--providers', nargs='+', choices=PROVIDERS, default=[*PROVIDERS])
    add('--threads', type=number(1, kind=int), default=1, help='of one inference (1)')
    add('--source', choices=POWER_SOURCES, default='auto', help='of the power (auto)')
    add('--sysfs-root', type=Path, default=Path('/sys'), help='where sysfs is mounted (/sys)')
    trace = 'write every reading to this .csv, which the power node plays'
    add('--trace', type=csv_file, metavar='FILE', help=trace)
    return parser


if __name__ == '__main__':
    sys.exit(main())
