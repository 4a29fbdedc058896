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

"""Draw the study's charts: chart.py evaluate.json OUT, which gets once.svg and twice.svg."""

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
import sys

from matplotlib.figure import Figure

from dual_cnn_ros.evaluation.findings import EvaluationFindings, NO_MEMORY, read_evaluation
from dual_cnn_ros.evaluation.plots import (
    accuracy_chart,
    Form,
    INK,
    LegendEntry,
    Line,
    PALETTE,
    Point,
    svg,
)

X, SIZE = 'MACs per image, millions', (8.0, 6.0)


def charts(findings: EvaluationFindings) -> dict[str, Figure]:
    """Return a chart of images seen once, with the curves of all thresholds, and seen twice."""
    singles = [system.name for system in findings.systems if len(system.stages) == 1]
    cascades = [system.name for system in findings.systems if len(system.stages) > 1]
    pairs = list(dict.fromkeys(name.partition(': ')[0] for name in cascades))
    colours = dict(zip((*pairs, *singles), cycle(PALETTE)))

    def points(protocol: str, names: list[str], memory: str, form: Form) -> Iterator[Point]:
        for result in findings.of_protocol(protocol):
            if result.system in names and result.memory == memory:
                colour = colours[result.system.partition(': ')[0]]
                interval = result.interval if protocol == 'd=0' else None
                yield Point(1e-6 * result.macs, result.accuracy or 0.0, colour, form, interval)

    forms: dict[str, Form] = {'average': 'line', 'none': 'dashed'}
    curves = {curve.system: curve for curve in findings.curves}
    lines = [
        Line([1e-6 * macs for macs in curve.macs], curve.accuracy, colours[pair], form)
        for check, form in forms.items()
        for pair in pairs
        if (curve := curves.get(f'{pair}: max_probability, {check}'))
    ]
    certified = [f'{pair}: certified' for pair in pairs]
    marks = [LegendEntry(name, colours[name], 'disc') for name in singles]
    once = accuracy_chart(
        [
            *points('d=0', singles, NO_MEMORY, 'disc'),
            *points('d=0', certified, NO_MEMORY, 'diamond'),
        ],
        lines,
        [
            *(LegendEntry(f'{p}, average (dashed: none)', colours[p], 'line') for p in pairs),
            *(LegendEntry(f'{p}, certified', colours[p], 'diamond') for p in pairs),
            *marks,
        ],
        X,
        SIZE,
    )
    twice = accuracy_chart(
        [
            *points('d=1', singles, NO_MEMORY, 'disc'),
            *points('d=1', singles, 'dhash', 'ring'),
            *points('d=1', cascades, 'dhash', 'diamond'),
        ],
        [],
        [
            *marks,
            *(LegendEntry(f'{p} + memory, every rule', colours[p], 'diamond') for p in pairs),
            LegendEntry('single CNN + memory', INK, 'ring'),
        ],
        X,
        SIZE,
    )
    return {'once.svg': once, 'twice.svg': twice}


if __name__ == '__main__':
    evaluation, out = map(Path, sys.argv[1:])
    for name, figure in charts(read_evaluation(evaluation)).items():
        (out / name).write_text(svg(figure), encoding='utf-8')
