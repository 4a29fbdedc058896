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
Make the int8 version of a trained CNN: twice as fast on many CPUs, and a quarter as large.

The new bundle of one stage goes to `pair` and `calibrate` like any other. IMAGES are what the
robot will see: a folder or a tar of images, a recording or a video; labels are not needed, but
tell whether accuracy is lost. Of the images that the CNN was trained on, those that `train` kept
for validation have no part in it, and are what both versions are compared on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
import sys

from dual_cnn_ros.tables import milli, percent, text_table
from dual_cnn_ros.tools.cli import make_parser, number, RESULTS, run_cli, writes
from dual_cnn_ros.training.quantisation import (
    INT8,
    QuantisationFindings,
    QuantisationOptions,
    quantise,
    TARGETS,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    arguments = vars(_parser().parse_args(argv))
    stage = Path(arguments['stage']).name
    arguments['out'] = arguments['out'] or RESULTS / 'models' / f'{stage}_{INT8}'
    arguments['name'] = arguments['name'] or arguments['out'].resolve().name
    options = QuantisationOptions(**arguments)

    def work() -> None:
        with writes('quantise', options.out):
            findings = quantise(options)
        print(*_report(options, findings), sep='\n')

    return run_cli('quantise', work)


def _report(options: QuantisationOptions, findings: QuantisationFindings) -> list[str]:
    before, after = findings.before, findings.after
    rows = [
        (name, percent(cost.accuracy), milli(cost.cpu_seconds, 's'), f'{cost.size / 1e6:.2f} MB')
        for name, cost in (('float32', before), ('int8', after))
    ]
    return [
        f'{options.out}: ranges of {findings.fitted} images; compared on {findings.compared} '
        f'others, of which both answer {percent(findings.agreement)} alike',
        '',
        *text_table([('CNN', 'accuracy', 'CPU', 'size'), *rows]),
        '',
        f'int8 takes {after.cpu_seconds / before.cpu_seconds:.0%} of the CPU time here.',
    ]


def _parser() -> argparse.ArgumentParser:
    parser = make_parser('quantise', __doc__)
    add = parser.add_argument
    add('stage', metavar='STAGE', help='bundle of one stage that train wrote')
    add('data', type=Path, metavar='IMAGES', help='what the robot will see')
    add('--split', help='of the images; the one that the CNN was trained on by default')
    many = 'images to find the ranges of the activations on (%(default)s)'
    add('--images', type=number(1, kind=int), default=200, metavar='N', help=many)
    target = (
        'what will run it: cpu, or TensorRT, which knows signed activations around zero only, and '
        'which CPUs are slow with (%(default)s)'
    )
    add('--target', choices=TARGETS, default=TARGETS[0], help=target)
    add('--name', help='of the bundle; that of the folder by default')
    out = f'folder of the bundle ({RESULTS / "models" / "STAGE_int8"})'
    add('--out', type=Path, help=out)
    return parser


if __name__ == '__main__':
    sys.exit(main())
