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
Compare cascades and single CNNs on images, a rosbag2 recording or a video, frame by frame.

A SYSTEM is BUNDLE (its own rule), BUNDLE@POINT (an operating point of it, by name), or
BUNDLE@first, BUNDLE@second, ... (that CNN alone). BUNDLE is the name of one that comes with the
package, or a folder, such as train and calibrate write; NAME=SYSTEM gives a system another name.
Where no single CNN is among them, those of the first system are added.

The protocol d=x plays all images, then a share x of them once more, each turned by a quarter, a
half, three quarters or mirrored if so wished.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
import sys

from dual_cnn_ros.cascade.fingerprints import FINGERPRINTS
from dual_cnn_ros.evaluation.comparison import compare_findings, MEASURED
from dual_cnn_ros.evaluation.findings import read_evaluation
from dual_cnn_ros.evaluation.protocol import METHOD
from dual_cnn_ros.evaluation.summary import summary
from dual_cnn_ros.inference import BACKENDS, PROVIDERS
from dual_cnn_ros.tools.cli import make_parser, number, positive, RESULTS, run_cli, writes


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    Returns
    -------
    int
        The exit code: 0; 1 after an error, or where --compare finds that something became worse;
        2 for bad usage, or where --compare cannot compare; 130 after Ctrl-C.

    """
    parser = _parser()
    options = parser.parse_args(argv)
    if options.compare:
        return _compare(options)
    if not options.systems:
        parser.error('needs DATA and one SYSTEM or more, or --compare')

    def work() -> None:
        from dual_cnn_ros.evaluation.evaluation import evaluate, EvaluationOptions
        from dual_cnn_ros.evaluation.systems import with_singles

        options.systems = with_singles(options.systems)
        names = {field.name for field in fields(EvaluationOptions)}
        given = {name: value for name, value in vars(options).items() if name in names}
        lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
        with writes('evaluate', options.out, options.record):
            findings = evaluate(EvaluationOptions(**{**given, **lists}))
        print(summary(findings))
        print(f'report: {options.out / "evaluate.json"} and {options.out / "evaluate.html"}')

    return run_cli('evaluate', work, 'interrupted; the same command goes on from here')


def _compare(options: argparse.Namespace) -> int:
    try:
        before, after = map(read_evaluation, options.compare)
        comparison = compare_findings(
            before,
            after,
            options.accuracy_tolerance,
            options.cost_tolerance,
            [name for name in MEASURED if getattr(options, name)],
        )
    except (ValueError, OSError) as error:
        print(f'evaluate: {error}', file=sys.stderr)
        return 2
    print('\n'.join([*comparison.table, *(f'WORSE {line}' for line in comparison.worse)]))
    return 1 if comparison.worse else 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser('evaluate', f'{__doc__}\n{METHOD}')
    add = parser.add_argument
    add('data', type=Path, nargs='?', help='images as <class>/<file>, a recording or a video')
    add('systems', nargs='*', metavar='SYSTEM', help='see above')
    out = 'folder of the results (%(default)s)'
    add('--out', type=Path, default=RESULTS / 'evaluate', help=out)
    add('--repeat', type=number(0, 1), nargs='+', default=[0.0], metavar='D', help='see above (0)')
    add('--rotate', action='store_true', help='protocols with repeats also with turned ones')
    add('--memory', action=argparse.BooleanOptionalAction, help='only with it, or without (both)')
    keys, dest = tuple(FINGERPRINTS), 'fingerprints'
    memories = 'of the memory, a system each (thumbnail)'
    add('--fingerprint', nargs='+', choices=keys, default=[keys[0]], dest=dest, help=memories)
    audits = "share of the memory's hits that are computed anyway (0.02)"
    add('--audit', type=number(0, 1), default=0.02, metavar='X', help=audits)
    add('--capacity', type=number(1, kind=int), metavar='FRAMES', help='of memory (all images)')
    compared = 'the system that all are compared with (the single CNN that is right most often)'
    add('--reference', metavar='NAME', help=compared)
    add('--split', help="of the images, where there are several ('test')")
    add('--exclude', type=Path, metavar='FILE', help='names of images to leave out')
    columns = 'columns label, frame or stamp, and topic'
    add('--labels', type=Path, metavar='CSV', help=f'{columns} (the ground_truth of a recording)')
    add('--topics', nargs='+', default=[], metavar='TOPIC', help='of a recording (all images)')
    clusters = 'of a recording or video, drawn as one by the bootstrap: neighbours resemble (2)'
    add('--block', type=positive, default=2.0, metavar='SECONDS', help=clusters)
    add('--timed', type=number(0, kind=int), default=500, metavar='N', help='images to time (500)')
    add('--seed', type=number(0, kind=int), default=0, help='of everything drawn (0)')
    add('--backend', choices=('auto', *BACKENDS), default='auto', help='as of the node (auto)')
    add('--providers', nargs='+', choices=PROVIDERS, default=[*PROVIDERS], help='as of the node')
    blocks = 'of each block where there is a power sensor; 0: none (10)'
    add('--energy-seconds', type=number(0), default=10.0, metavar='SECONDS', help=blocks)
    add('--sysfs-root', type=Path, default=Path('/sys'), help='where sysfs is mounted (/sys)')
    add('--record', type=Path, metavar='DIR', help='a recording of what the node would publish')
    add('--restart', action='store_true', help='begin anew what a run that was cut off began')
    add = parser.add_argument_group(
        'comparing two reports, for regression tests',
        'The exit code is 1 where one became worse, 2 for an error.',
    ).add_argument
    reports = ('BEFORE', 'AFTER')
    add('--compare', type=Path, nargs=2, metavar=reports, help='two evaluate.json')
    fall = 'by how much the accuracy may fall (0.005)'
    add('--accuracy-tolerance', type=number(0), default=0.005, metavar='X', help=fall)
    rise = 'by what share MACs may rise, and by how much the deferral rate (0.05)'
    add('--cost-tolerance', type=number(0), default=0.05, metavar='X', help=rise)
    for name, what in MEASURED.items():
        add(f'--{name}', action='store_true', help=f'{what} must not rise by more than that share')
    return parser


if __name__ == '__main__':
    sys.exit(main())
