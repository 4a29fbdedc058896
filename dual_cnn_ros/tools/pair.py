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
Choose two CNNs of a pool by how they complement each other and what each pair would cost.

Writes complementarity.png, pairs.csv and recommendation.json, and says which pair it recommends
and why, or that a single CNN wins. The images are those that `train` kept for validation from
every CNN, and of these the part that `calibrate` fits on and chooses with. It certifies on the
other part, which must know nothing of the choice of the pair: give both tools the same --fit.

Of every ordered pair and post-check there are two rules, thresholds on the max_probability of
temperature-scaled probabilities: the most accurate one, and the cheapest one that reaches the
accuracy asked for. What they are expected to do is cross-fitted: every other image chooses
temperatures and threshold, the remaining ones judge them, and the other way round. The best of
many pairs is chosen by these estimates, however, so that its own is a little too good; new images
decide.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
import sys

import numpy as np

from dual_cnn_ros.calibration.pairs import choose_pair, COSTS, PairingFindings, PairingOptions
from dual_cnn_ros.calibration.report import pairing_report
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
    options = PairingOptions(**vars(_parser().parse_args(argv)))
    matrix = options.out / 'complementarity.png'

    def work() -> None:
        with writes('pair', options.out):
            findings = choose_pair(options)
            _draw(matrix, findings)
        print(*pairing_report(options.data.name, findings), sep='\n')
        print(f'\n{matrix} shows the matrix, {options.out / "pairs.csv"} has all pairs and rules.')

    return run_cli('pair', work)


def _draw(file: Path, findings: PairingFindings) -> None:
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
    parser = make_parser('pair', __doc__)
    add = parser.add_argument
    add('data', type=Path, help='the folder or tar that all were trained on')
    add(
        'pool',
        nargs='+',
        metavar='BUNDLE',
        help='bundles of one stage that train wrote, two or more; the answers of each are kept '
        'beside it (.npz), so that it runs once',
    )
    add('--out', type=Path, default=RESULTS / 'pair', help='folder of the results (%(default)s)')
    add(
        '--cost',
        choices=tuple(COSTS),
        default='cpu_seconds',
        help='what the recommended pair has least of: CPU seconds as measured here, or MACs, the '
        'same on every machine (%(default)s)',
    )
    enough = 'that is enough; where not given, that of the best single CNN'
    add('--accuracy', type=number(0, 1), metavar='SHARE', help=enough)
    add_fit_options(parser)
    return parser


if __name__ == '__main__':
    sys.exit(main())
