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
Make a bundle of trained CNNs: temperatures, score, thresholds, post-check, and the evidence.

The validation images of `train` are parted once more, by a hash of their names. On one part (fit)
the temperatures are fitted, and the score and the post-check are chosen; `choose` chose the CNNs
on it too, where it was given the same --fit. On the other (certification) the thresholds are
found, the exact best of all that there are, or of 262,144 vectors where several thresholds leave
more; and some are certified: to lose at most ALPHA of accuracy against the best of what could be
had without a cascade, any CNN alone or always all, by each post-check, as the images to fit on
tell which that is; or against the CNN named by --reference. The promise holds with a probability
of at least 1 - DELTA over the draw of images.

That certificate holds for one cascade, one combination of score and post-check and one path of
thresholds to test, which therefore come from the fit part alone. To certify several and then take
the cheapest would be to look at the same images several times. The other operating points are the
best on the certification images, which promises nothing. The images of --test are looked at once,
by the finished bundle.

With --unlabelled, DATA is what the robot has seen: a folder or a tar of images, a recording or a
video. The answers of the last CNN, or of all by --post-check, or of --reference, stand for the
labels, so that every accuracy is an agreement with them; the thresholds are the cheapest that keep
1 - ALPHA of it. Frames are parted by scenes, and scenes are what a certificate counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
import sys

from dual_cnn_ros.calibration.findings import CalibrationFindings
from dual_cnn_ros.calibration.procedure import calibrate, CalibrationOptions
from dual_cnn_ros.calibration.report import calibration_report
from dual_cnn_ros.cascade.scores import SCORES
from dual_cnn_ros.cascade.settings import POST_CHECKS, SELECTOR
from dual_cnn_ros.files import write_atomically
from dual_cnn_ros.tables import percent
from dual_cnn_ros.tools.cli import (
    add_fit_options,
    fraction,
    make_parser,
    number,
    positive,
    RESULTS,
    run_cli,
    writes,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    values = vars(_parser().parse_args(argv))
    report = values.pop('report')
    values['name'] = values['name'] or values['out'].resolve().name

    def work() -> None:
        options = CalibrationOptions(**{**values, 'stages': tuple(values['stages'])})
        with writes('calibrate', options.out, report):
            bundle, findings = calibrate(options)
            _draw(findings, report or options.out)
        print(*calibration_report(bundle, findings), sep='\n')

    return run_cli('calibrate', work)


def _draw(findings: CalibrationFindings, folder: Path) -> None:
    from dual_cnn_ros.evaluation.plots import png, reliability_diagrams

    diagrams = {
        f'{name} CNN, {when}: ECE {percent(found.error)}': found
        for name, stage in findings.calibration.items()
        for when, found in (('before', stage.before), ('after', stage.after))
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / 'reliability.png', png(reliability_diagrams(diagrams, columns=2)))


def _parser() -> argparse.ArgumentParser:
    parser = make_parser('calibrate', __doc__)
    add = parser.add_argument
    add('data', type=Path, metavar='DATA', help='the folder or tar that all CNNs were trained on')
    stages = (
        'bundles, such as train wrote: their CNNs become the stages, the one to ask first at the '
        'beginning; or one bundle of several stages, to calibrate it anew'
    )
    add('stages', nargs='+', metavar='BUNDLE', help=stages)
    add('--unlabelled', action='store_true', help='DATA has no labels, see above')
    most = 'of DATA without labels, taken evenly, at most (default %(default)s)'
    add('--frames', type=number(2, kind=int), default=3000, metavar='N', help=most)
    block = (
        'length of a scene of DATA without labels; by default it ends where the content changes'
    )
    add('--block', type=positive, metavar='SECONDS', help=block)
    add('--test', type=Path, metavar='DATA', help='a folder or tar of test images')
    add('--test-split', help="its split, where it has several ('test')")
    add_fit_options(parser)
    best = 'instead of the best on the images to fit on'
    learned = f'{best}; {SELECTOR}: learned on these, see --price'
    add('--score', choices=(*SCORES, SELECTOR), help=learned)
    add('--post-check', choices=tuple(POST_CHECKS), help=best)
    nats = (
        'for the selector, what the cost of asking all CNNs counts against the log-likelihood of '
        'the answer, in nats: the higher, the sooner it stops (default %(default)s)'
    )
    add('--price', type=number(0), default=0.2, help=nats)
    cheapest = 'use the cheapest rule that reaches this, not the most accurate one'
    add('--accuracy', type=fraction, metavar='SHARE', help=cheapest)
    loss = 'accuracy that a certified threshold may lose (default %(default)s)'
    add('--alpha', type=fraction, default=0.01, help=loss)
    risk = 'probability that it loses more (default %(default)s)'
    add('--delta', type=fraction, default=0.05, help=risk)
    strong = 'bundle of one stage, a strong CNN to certify against in place of these'
    add('--reference', metavar='BUNDLE', help=strong)
    add('--name', help='of the bundle; that of its folder by default')
    add('--description', default='', help='of the bundle, one line')
    out = 'folder of the bundle (%(default)s)'
    add('--out', type=Path, default=RESULTS / 'bundle', help=out)
    add('--report', type=Path, metavar='DIR', help='folder of reliability.png, if not --out')
    return parser


if __name__ == '__main__':
    sys.exit(main())
