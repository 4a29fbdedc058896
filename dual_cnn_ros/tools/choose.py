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
Choose up to four CNNs of a pool, and their order, by what each cascade would reach and cost.

Writes complementarity.png, cascades.csv and recommendation.json, and says which cascade it
recommends and why, or that a single CNN wins. The images are those that `train` kept for
validation from every CNN, and of these the part that `calibrate` fits on and chooses with. It
certifies on the other part, which must know nothing of the choice: give both tools the same --fit.

Cheaper CNNs are asked before dearer ones, and those of similar cost in either order. Of every
cascade of up to --stages CNNs and every post-check there are two rules, thresholds on the
max_probability of temperature-scaled probabilities: the most accurate one, and the cheapest one
that reaches the accuracy asked for. What they are expected to do is cross-fitted: every other
image chooses temperatures and thresholds, the remaining ones judge them, and the other way round.
The best of many cascades is chosen by these estimates, however, so that its own is a little too
good; new images decide.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
import sys

import numpy as np

from dual_cnn_ros.calibration.choice import (
    ChoiceFindings,
    ChoiceOptions,
    choose_cascade,
    MOST_STAGES,
)
from dual_cnn_ros.calibration.report import choice_report
from dual_cnn_ros.files import write_atomically
from dual_cnn_ros.tools.cli import (
    add_fit_options,
    make_parser,
    number,
    RESULTS,
    run_cli,
    writes,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = ChoiceOptions(**vars(_parser().parse_args(argv)))
    matrix = options.out / 'complementarity.png'

    def work() -> None:
        with writes('choose', options.out):
            findings = choose_cascade(options)
            _draw(matrix, findings)
        print(*choice_report(options.data.name, findings), sep='\n')
        table = options.out / 'cascades.csv'
        print(f'\n{matrix} shows the matrix, {table} has all cascades and rules.')

    return run_cli('choose', work)


def _draw(file: Path, findings: ChoiceFindings) -> None:
    from dual_cnn_ros.evaluation.plots import heat_map, png

    shown = 100 * np.array(findings.complementarity)
    np.fill_diagonal(shown, np.nan)
    row, column = np.unravel_index(np.nanargmax(shown), shown.shape)
    figure = heat_map(
        shown,
        [f'{member.name}  {member.accuracy:.1%}' for member in findings.members],
        [member.name for member in findings.members],
        f'Complementarity, % of {findings.images:,} images; beside the names: accuracy',
        (int(row), int(column)),
    )
    write_atomically(file, png(figure))


def _parser() -> argparse.ArgumentParser:
    parser = make_parser('choose', __doc__)
    add = parser.add_argument
    add('data', type=Path, help='the folder or tar that all were trained on')
    add(
        'pool',
        nargs='+',
        metavar='BUNDLE',
        help='bundles that train wrote, of two or more CNNs together; the answers of each are '
        'kept beside it (.npz), so that it runs once',
    )
    add('--out', type=Path, default=RESULTS / 'choose', help='folder of the results (%(default)s)')
    most = 'of a cascade, at most (default %(default)s)'
    add('--stages', type=number(2, 8, kind=int), default=MOST_STAGES, metavar='N', help=most)
    enough = 'that is enough; where not given, that of the best single CNN'
    add('--accuracy', type=number(0, 1), metavar='SHARE', help=enough)
    add_fit_options(parser)
    return parser


if __name__ == '__main__':
    sys.exit(main())
