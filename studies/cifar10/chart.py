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

from collections.abc import Sequence
from itertools import cycle
import json
from pathlib import Path
import sys
from typing import Any

from dual_cnn_ros.evaluation.page import chart, COLOURS, INK, Line, Point

X, Y = 'multiply-adds per image, millions', 'accuracy, %'


def charts(findings: dict[str, Any]) -> dict[str, str]:
    """Return a chart of pictures seen once, with the curves of all thresholds, and seen twice."""
    systems = findings['systems']
    singles = [system['name'] for system in systems if len(system['stages']) == 1]
    pairs = list(
        dict.fromkeys(
            name.partition(': ')[0]
            for name in (system['name'] for system in systems)
            if name not in singles
        )
    )
    colours = dict(zip((*pairs, *singles), cycle(COLOURS)))
    lines = [
        Line(
            [1e-6 * m for m in curve['multiply_adds']],
            [100 * a for a in curve['accuracy']],
            colours[pair],
            check == 'none',
        )
        for check in ('average', 'none')
        for pair in pairs
        for curve in findings['curves']
        if (curve['system'], curve['protocol']) == (f'{pair}: max_probability, {check}', 'd=0')
    ]
    marks = [(colours[name], 'disc', name) for name in singles]
    legend = [
        *((colours[pair], 'line', f'{pair}, average (dashed: none)') for pair in pairs),
        *((colours[pair], 'diamond', f'{pair}, certified') for pair in pairs),
        *marks,
    ]
    once = chart(
        [
            *(_point(findings, name, 'off', 'd=0', colours[name], 'disc') for name in singles),
            *(
                _point(findings, f'{pair}: certified', 'off', 'd=0', colours[pair], 'diamond')
                for pair in pairs
            ),
        ],
        lines,
        X,
        Y,
        legend,
        (760, 440),
    )
    legend = [
        *marks,
        *((colours[pair], 'diamond', f'{pair} + memory, every rule') for pair in pairs),
        (INK, 'ring', 'single CNN + memory'),
    ]
    twice = chart(
        [
            *(
                _point(findings, name, memory, 'd=1', colours[name], form)
                for name in singles
                for memory, form in (('off', 'disc'), ('dhash', 'ring'))
            ),
            *(
                _point(findings, system['name'], 'dhash', 'd=1', colours[pair], 'diamond')
                for pair in pairs
                for system in systems
                if system['name'].startswith(f'{pair}: ')
            ),
        ],
        [],
        X,
        Y,
        legend,
        (760, 440),
    )
    return {'once.svg': _alone(once), 'twice.svg': _alone(twice)}


def _point(
    findings: dict[str, Any], system: str, memory: str, protocol: str, colour: str, form: str
) -> Point:
    result = next(
        r
        for r in findings['results']
        if (r['system'], r['memory'], r['protocol']) == (system, memory, protocol)
    )
    interval: Sequence[float] | None = (
        [100 * edge for edge in result['interval']] if protocol == 'd=0' else None
    )
    return Point(1e-6 * result['multiply_adds'], 100 * result['accuracy'], colour, form, interval)


def _alone(svg: str) -> str:
    """Give a part of a page what it needs to be a file."""
    return (
        svg.replace(
            '<svg ',
            '<svg xmlns="http://www.w3.org/2000/svg" font-size="12" '
            'font-family="sans-serif" style="background:#fff" ',
            1,
        )
        + '\n'
    )


if __name__ == '__main__':
    evaluation, out = map(Path, sys.argv[1:])
    for name, svg in charts(json.loads(evaluation.read_text(encoding='utf-8'))).items():
        (out / name).write_text(svg, encoding='utf-8')
