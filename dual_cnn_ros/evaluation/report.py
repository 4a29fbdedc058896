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

"""What evaluate found, as a table, and what changed from one of its reports to another."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from dual_cnn_ros.evaluation.metrics import LEAST_UNITS

FORMAT = 2
NAMED = 10
# What is measured, and so differs from run to run: it counts only on demand.
MEASURED = {'cpu': 'CPU seconds', 'joules': 'joules above idle'}


def compare(
    before: dict[str, Any],
    after: dict[str, Any],
    accuracy: float,
    cost: float,
    measured: Collection[str] = (),
) -> tuple[str, list[str]]:
    """
    Return a table of what changed from one report to another, and what became worse in words.

    accuracy: by how much it may fall, in [0, 1]. cost: by how much multiply-adds, and those of
    MEASURED that are named, may rise, as a share of what they were, and the share of frames that
    ask a second CNN, in itself. ValueError where the reports are of other data, labels or draws,
    their results cannot be matched by system, memory and protocol, or lack what was named.
    """
    for found, which in ((before, 'first'), (after, 'second')):
        if found['format'] != FORMAT:
            raise ValueError(
                f'the {which} report is of format {found["format"]}, not {FORMAT}; '
                'evaluate once more'
            )
    for what, a, b in (
        ('frames or labels', *(found['data']['digest'] for found in (before, after))),
        *((key, before[key], after[key]) for key in ('labels', 'seed')),
    ):
        if a != b:
            raise ValueError(f'the reports are not of the same {what}, so they cannot be compared')
    old, new = (
        {(r['system'], r['memory'], r['protocol']): r for r in report['results']}
        for report in (before, after)
    )
    for missing, where in (
        (old.keys() - new.keys(), 'second'),
        (new.keys() - old.keys(), 'first'),
    ):
        if missing:
            raise ValueError(
                f'the {where} report has no result of '
                + '; '.join(
                    f'{system}, memory {memory}, {protocol}'
                    for system, memory, protocol in sorted(missing)
                )
            )
    rows = [
        [
            'system',
            'memory',
            'protocol',
            'accuracy',
            'multiply-adds',
            'second share',
            'CPU',
            'joules',
        ]
    ]
    worse = []
    for key, was in old.items():
        now, name = new[key], ', '.join((key[0], f'memory {key[1]}', key[2]))
        row = list(key)
        for what, limit, relative in (
            ('accuracy', accuracy, False),
            ('multiply_adds', cost, True),
            ('second_share', cost, False),
            ('cpu', cost, True),
            ('joules', cost, True),
        ):
            a, b = (_figure(result, what) for result in (was, now))
            if a is None or b is None:
                if what in measured:
                    raise ValueError(f'{name}: no {MEASURED[what]} were measured in both')
                row.append('-')
                continue
            change = (b - a) / abs(a) if relative and a else b - a
            row.append(f'{change:+.2%}' if relative else f'{100 * change:+.2f}')
            counts = what not in MEASURED or what in measured
            if counts and (-change if what == 'accuracy' else change) > limit + 1e-12:
                worse.append(
                    f'{name}: {MEASURED.get(what, what)} went from {a:.6g} to {b:.6g}, '
                    f'beyond the tolerance of {limit:g}'
                )
        rows.append(row)
    return '\n'.join([*_columns(rows), 'accuracy and second share in points']), worse


def _figure(result: dict[str, Any], what: str) -> float | None:
    times = result['times']
    found: float | None = (
        times['cpu_seconds']
        if what == 'cpu'
        else times.get('energy', {}).get('joules')
        if what == 'joules'
        else result[what]
    )
    return found


def table(findings: dict[str, Any]) -> str:
    """Return the results as text, one part for each protocol, and what is wrong with the data."""
    lines = []
    for title, rows in tables(findings):
        lines += [title, *_columns(rows), '']
    return '\n'.join([*lines, *notes(findings)])


def tables(findings: dict[str, Any]) -> list[tuple[str, list[list[str]]]]:
    """Return a title and the rows, the first one names, of each protocol's table."""
    found = []
    joules = findings['times']['power']['sensor'] is not None
    for protocol in dict.fromkeys(result['protocol'] for result in findings['results']):
        results = [r for r in findings['results'] if r['protocol'] == protocol]
        names = dict.fromkeys(name for r in results for name in ('memory', *r['sources']))
        sources = [name for name in names if any(name in r['sources'] for r in results)]
        rows = [
            [
                'system',
                'memory',
                'accuracy',
                '95 % interval',
                'difference',
                '95 % interval',
                'harm/help',
                *sources,
                'multiply-adds',
                'CPU',
                'p50',
                'p95',
                *(['above idle', 'in all'] if joules else []),
            ]
        ]
        for r in results:
            times = r['times']
            rows.append(
                [
                    r['system'],
                    r['memory'],
                    percent(r['accuracy']),
                    span(r.get('interval')),
                    *(
                        [
                            f'{100 * r["difference"]:+.2f}',
                            span(r['difference_interval']),
                            f'{r["harmed"]}/{r["helped"]}',
                        ]
                        if 'difference' in r
                        else ['', '', '']
                    ),
                    *(percent(r['sources'].get(name, {}).get('share')) for name in sources),
                    f'{r["multiply_adds"] / 1e6:.2f} M',
                    *(
                        _milli(times[key], 's')
                        for key in ('cpu_seconds', 'latency_p50', 'latency_p95')
                    ),
                    *(
                        _milli(times['energy'][key], 'J')
                        for key in ('joules', 'gross_joules')
                        if joules
                    ),
                ]
            )
        found.append(
            (
                f'{protocol}: {results[0]["frames"]} frames, {results[0]["judged"]} with a '
                'known label',
                rows,
            )
        )
    return found


def notes(findings: dict[str, Any]) -> list[str]:
    """Return what a reader of the tables has to know: references, frames left out, energy."""
    data, power = findings['data'], findings['times']['power']
    lines = [
        f'difference: from {findings["reference"]}, without memory where that was run, in '
        'points; harm/help: frames that only the reference, and only this system, got right; '
        'p50, p95: of the latency'
    ]
    untimed = [r for r in findings['results'] if r['times']['cpu_seconds'] is None]
    if untimed:
        lines.append(
            f'no CPU seconds for {len(untimed)} results: not all who answered were timed (--timed)'
        )
    if power['sensor'] is None:
        lines.append(
            f'no energy was measured ({power["reason"]}): multiply-adds and CPU seconds '
            'stand for it'
        )
    else:
        lines.append(f'energy per image by {power["sensor"]} ({power["scope"]})')
    few = min(result['units'] for result in findings['results'])
    if 0 < few < LEAST_UNITS:
        lines.append(
            f'no intervals: {few} units ({findings["bootstrap"]["unit"]} each) are too '
            f'few for the bootstrap, which wants {LEAST_UNITS}'
        )
    for name, count in data['unknown_labels'].items():
        lines.append(f'unknown label {name!r} on {count} frames: not judged')
    if data['unlabelled']:
        lines.append(f'{data["unlabelled"]} frames without a label: not judged')
    lines += [f'left out: {name}: {why}' for name, why in list(data['bad'].items())[:NAMED]]
    lines += [f'label left out: {problem}' for problem in data['problems'][:NAMED]]
    for what, count in (('frames', len(data['bad'])), ('labels', len(data['problems']))):
        if count > NAMED:
            lines.append(f'... {count} {what} left out in all; evaluate.json has their names')
    return lines


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        '  '.join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]


def percent(value: float | None) -> str:
    """Return a share in percent, - for none."""
    return '-' if value is None else f'{value:.2%}'


def span(interval: Sequence[float] | None) -> str:
    """Return an interval of shares in percent, - for none."""
    return '-' if interval is None else f'[{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]'


def _milli(value: float | None, unit: str) -> str:
    return '-' if value is None else f'{1e3 * value:.3f} m{unit}'
