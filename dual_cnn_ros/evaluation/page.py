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

"""One self-contained HTML page of what evaluate found: inline SVG, no script, nothing loaded."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
import math
from typing import Any

import cv2

from dual_cnn_ros.cascade.frame import Image, shrink
from dual_cnn_ros.evaluation.report import notes, percent, tables

# Distinct to colour-blind eyes too (after Okabe and Ito).
COLOURS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#6b4c9a', '#555555')
SOURCES = ('#009e73', '#0072b2', '#e69f00', '#cc79a7')  # memory, first, second, deeper, as overlay
INK, FAINT = '#333333', '#dddddd'
THUMBNAIL, CELL, LARGEST_CONFUSION = 160, 34, 30

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #333; background: #fff; max-width: 1240px;
  margin: 2em auto; padding: 0 1.5em; }
h1 { font-size: 1.6em; margin-bottom: 0; } h2 { font-size: 1.2em; margin: 2em 0 .4em; }
h3 { font-size: 1em; margin: 1.2em 0 .3em; }
table { border-collapse: collapse; font-size: 12.5px; font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 600; border-bottom: 1px solid #999; padding: .2em .5em;
  white-space: nowrap; }
td { text-align: right; border-bottom: 1px solid #eee; padding: .2em .5em; white-space: nowrap; }
th:nth-child(-n+2), td:nth-child(-n+2), .words th, .words td { text-align: left; }
.wide { overflow-x: auto; } .row { display: flex; flex-wrap: wrap; gap: 1.5em; }
svg text { font: 12px system-ui, sans-serif; fill: #333; } svg .small { font-size: 11px; }
figure { margin: 0; width: 170px; font-size: 12px; line-height: 1.35; }
figure img { width: 160px; height: 120px; object-fit: contain; background: #f3f3f3; }
.pixels { image-rendering: pixelated; }
.note { color: #666; font-size: 13px; max-width: 70em; } ul.note { padding-left: 1.2em; }
"""


@dataclass(frozen=True)
class Point:
    """
    A mark in a chart, with a line to either side of it where there is an interval in y.

    form: 'disc', 'ring' or 'diamond'. hint: shown where the pointer rests on it. radius: pixels.
    """

    x: float
    y: float
    colour: str
    form: str = 'disc'
    interval: Sequence[float] | None = None
    hint: str = ''
    radius: float = 5


@dataclass(frozen=True)
class Line:
    """A line through points; dashed ones are a guide to the eye."""

    x: Sequence[float]
    y: Sequence[float]
    colour: str
    dashed: bool = False


def chart(
    points: Sequence[Point],
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    legend: Sequence[tuple[str, str, str]] = (),
    size: tuple[int, int] = (520, 360),
    frame: tuple[float, float, float, float] | None = None,
) -> str:
    """
    Return a chart as SVG.

    legend: colour, form ('line' for a line) and text of each entry, below the chart. size: width
    and height of the plot with its axes. frame: least x, greatest x, least y, greatest y; None for
    what the data need.
    """
    width, height = size
    left, bottom, top, right = 58, 44, 10, 14
    if frame is None:
        xs = [p.x for p in points] + [x for line in lines for x in line.x]
        ys = [edge for p in points for edge in (p.y, *(p.interval or ()))] + [
            y for line in lines for y in line.y
        ]
        frame = (*_padded(xs, 0.05), *_padded(ys, 0.08))
    x0, x1, y0, y1 = frame

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + (x - x0) / (x1 - x0) * (width - left - right),
            top + (y1 - y) / (y1 - y0) * (height - top - bottom),
        )

    rows = -(-len(legend) // 2)
    parts = [
        f'<svg width="{width}" height="{height + 18 * rows}" role="img" '
        f'aria-label="{escape(y_label)} over {escape(x_label)}">'
    ]
    for tick in ticks(x0, x1):
        x = place(tick, y0)[0]
        parts.append(
            _line(x, top, x, height - bottom, FAINT)
            + _text(x, height - bottom + 17, f'{tick:g}', 'middle')
        )
    for tick in ticks(y0, y1):
        y = place(x0, tick)[1]
        parts.append(
            _line(left, y, width - right, y, FAINT) + _text(left - 7, y + 4, f'{tick:g}', 'end')
        )
    parts.append(
        _line(left, height - bottom, width - right, height - bottom, INK)
        + _line(left, top, left, height - bottom, INK)
    )
    middle = (top + height - bottom) / 2
    parts.append(
        _text((left + width - right) / 2, height - 8, x_label, 'middle')
        + f'<g transform="rotate(-90 14 {middle:g})">'
        + _text(14, middle, y_label, 'middle')
        + '</g>'
    )
    for line in lines:
        path = ' '.join('{:.1f},{:.1f}'.format(*place(x, y)) for x, y in zip(line.x, line.y))
        dashes = ' stroke-dasharray="4 4"' if line.dashed else ''
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{line.colour}" '
            f'stroke-width="{1 if line.dashed else 1.8}"{dashes}/>'
        )
    for p in points:
        x, y = place(p.x, p.y)
        if p.interval is not None:
            low, high = (place(p.x, edge)[1] for edge in p.interval)
            parts.append(
                _line(x, low, x, high, p.colour)
                + _line(x - 3, low, x + 3, low, p.colour)
                + _line(x - 3, high, x + 3, high, p.colour)
            )
        parts.append(_mark(x, y, p.colour, p.form, p.hint, p.radius))
    for i, (colour, form, text) in enumerate(legend):
        x, y = left + (i % 2) * (width - left) / 2, height + 18 * (i // 2) + 6
        parts.append(
            _line(x - 8, y, x + 8, y, colour, 2)
            if form == 'line'
            else _mark(x, y, colour, form, '')
        )
        parts.append(_text(x + 14, y + 4, text))
    return ''.join([*parts, '</svg>'])


def bars(
    rows: Sequence[tuple[str, Sequence[tuple[str, float]]]],
    x_label: str,
    legend: Sequence[tuple[str, str]],
    largest: float | None = None,
) -> str:
    """
    Return horizontal bars of stacked parts as SVG.

    rows: the name of each and its parts, a colour and a length. legend: colour and text of each
    part. largest: the length of the axis, None for that of the longest bar.
    """
    left = 14 + 7 * max((len(name) for name, _ in rows), default=0)
    width, top, step = left + 340, 26, 21
    longest = (
        largest or max((sum(length for _, length in parts) for _, parts in rows), default=0) or 1
    )
    scale, end = 310 / longest, top + step * len(rows)
    out = [
        f'<svg width="{width:.0f}" height="{end + 44}" role="img" aria-label="{escape(x_label)}">'
    ]
    x = float(left)
    for colour, text in legend:
        out.append(
            f'<rect x="{x:g}" y="5" width="12" height="12" fill="{colour}"/>'
            + _text(x + 17, 15, text)
        )
        x += 36 + 6.8 * len(text)
    for tick in ticks(0, longest):
        out.append(
            _line(left + tick * scale, top, left + tick * scale, end, FAINT)
            + _text(left + tick * scale, end + 15, f'{tick:g}', 'middle')
        )
    for i, (name, parts) in enumerate(rows):
        y, start = top + step * i, float(left)
        out.append(_text(left - 8, y + 14, name, 'end'))
        for colour, length in parts:
            out.append(
                f'<rect x="{start:.1f}" y="{y + 3}" width="{max(0, length * scale):.1f}" '
                f'height="14" fill="{colour}"><title>{length:.4g}</title></rect>'
            )
            start += length * scale
    out.append(_text(left + 155, end + 36, x_label, 'middle'))
    return ''.join([*out, '</svg>'])


def ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Return round numbers from low to high, at most so many, evenly spaced."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _padded(values: Sequence[float], share: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = (high - low) * share or abs(high) * share or 1.0
    return low - room, high + room


def _line(x0: float, y0: float, x1: float, y1: float, colour: str, width: float = 1) -> str:
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{colour}" '
        f'stroke-width="{width}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str = 'start') -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _mark(x: float, y: float, colour: str, form: str, hint: str, radius: float = 5) -> str:
    if form == 'diamond':
        shape = (
            f'<path d="M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7-7z" fill="#fff" stroke="{colour}" '
            'stroke-width="2">'
        )
    else:
        shape = (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="'
            f'{colour if form == "disc" else "#fff"}" stroke="{colour}" stroke-width="2">'
        )
    kind = 'path' if form == 'diamond' else 'circle'
    return f'{shape}<title>{escape(hint)}</title></{kind}>'


def page(findings: Mapping[str, Any], thumbnails: Mapping[int, Image], method: str) -> str:
    """
    Return the page.

    findings: what evaluate writes as JSON. thumbnails: pictures by number, shown where the systems
    disagree. method: what was measured, in paragraphs.
    """
    data, results = findings['data'], findings['results']
    protocols = list(dict.fromkeys(result['protocol'] for result in results))
    body = [
        f'<h1>{escape(", ".join(s["name"] for s in findings["systems"]))}</h1>',
        f'<p>on {escape(data["name"])}: {data["frames"]} frames, {data["labelled"]} with a '
        'known label</p>',
        _systems(findings),
    ]
    for protocol, (title, rows) in zip(protocols, tables(dict(findings))):
        own = [result for result in results if result['protocol'] == protocol]
        body += [
            f'<h2>{escape(title)}</h2>',
            _table(rows),
            _charts(findings, protocol, own),
            _uses(findings, own),
        ]
    lines = ''.join(f'<li>{escape(line)}</li>' for line in notes(dict(findings)))
    body += [
        f'<ul class="note">{lines}</ul>',
        _reliability(results, protocols[0]),
        _confusion(findings, protocols[0]),
        _disagreements(findings, thumbnails),
        '<h2>How this was measured</h2>',
        *(f'<p class="note">{escape(part)}</p>' for part in method.strip().split('\n\n')),
    ]
    title = escape(f'{findings["systems"][0]["name"]} on {data["name"]}')
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>'
        + title
        + f'</title><style>{STYLE}</style></head><body>\n'
        + '\n'.join(filter(None, body))
        + '\n</body></html>\n'
    )


def _table(rows: Sequence[Sequence[str]], kind: str = '') -> str:
    head, *rest = ([escape(cell) for cell in row] for row in rows)
    return (
        f'<div class="wide"><table class="{kind}"><tr><th>'
        + '</th><th>'.join(head)
        + '</th></tr>'
        + ''.join('<tr><td>' + '</td><td>'.join(row) + '</td></tr>' for row in rest)
        + '</table></div>'
    )


def _systems(findings: Mapping[str, Any]) -> str:
    rows = [['system', 'bundle', 'CNNs', 'rule']]
    for system in findings['systems']:
        cnns = ' + '.join(
            f'{stage["architecture"] or stage["name"]} ({stage["multiply_adds"] / 1e6:.1f} M)'
            for stage in system['stages']
        )
        rule = (
            f'{system["score"]} at least '
            f'{", ".join(f"{t:.4f}" for t in system["thresholds"])}, '
            f'post-check {system["post_check"]}'
            if 'score' in system
            else 'alone'
        )
        rows.append([system['name'], system['bundle'], cnns, rule])
    return _table(rows, 'words')


def _colour(findings: Mapping[str, Any], name: str) -> str:
    names = [system['name'] for system in findings['systems']]
    return COLOURS[names.index(name) % len(COLOURS)]


def _title(result: Mapping[str, Any]) -> str:
    return str(result['system']) + (f' + {result["memory"]}' if result['memory'] != 'off' else '')


def _charts(
    findings: Mapping[str, Any], protocol: str, results: Sequence[Mapping[str, Any]]
) -> str:
    """Return accuracy over multiply-adds and, where it was measured, over CPU time."""
    if results[0]['accuracy'] is None:
        return ''
    memories = list(dict.fromkeys(result['memory'] for result in results))
    others = [memory for memory in memories if memory != 'off']
    forms = dict(zip(('off', *others), ('disc', 'ring', 'diamond')))
    curves = [one for one in findings['curves'] if one['protocol'] == protocol]
    legend = [
        (_colour(findings, system['name']), 'disc', system['name'])
        for system in findings['systems']
    ]
    legend += [(INK, forms[memory], f'memory {memory}') for memory in others]
    if curves:
        legend.append((INK, 'line', 'at every threshold, no memory'))
    out = []
    for what, unit, factor in (
        ('multiply_adds', 'multiply-adds per image, millions', 1e-6),
        ('cpu_seconds', 'CPU time per image, ms', 1e3),
    ):
        costs = [(r['times'] if what == 'cpu_seconds' else r)[what] for r in results]
        if None in costs:
            continue
        points = [
            Point(
                cost * factor,
                100 * r['accuracy'],
                _colour(findings, r['system']),
                forms[r['memory']],
                r['interval'] and [100 * edge for edge in r['interval']],
                f'{_title(r)}: {percent(r["accuracy"])}, {cost * factor:.4g}',
            )
            for r, cost in zip(results, costs)
        ]
        lines = [
            Line(
                [factor * cost for cost in one['multiply_adds']],
                [100 * a for a in one['accuracy']],
                _colour(findings, one['system']),
            )
            for one in curves
            if what == 'multiply_adds'
        ]
        out.append(
            chart(points, lines, unit, 'accuracy, %', legend if what == 'multiply_adds' else ())
        )
    return (
        '<h3>Accuracy and cost, with 95 % intervals</h3><div class="row">'
        + ''.join(out)
        + '</div>'
    )


def _uses(findings: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> str:
    stages = [
        'memory',
        *dict.fromkeys(
            stage['name'] for system in findings['systems'] for stage in system['stages']
        ),
    ]
    colours = {name: SOURCES[min(i, len(SOURCES) - 1)] for i, name in enumerate(stages)}
    shares = bars(
        [
            (
                _title(r),
                [(colours[name], 100 * entry['share']) for name, entry in r['sources'].items()],
            )
            for r in results
        ],
        'frames, %',
        [(colours[name], name) for name in stages],
        100.0,
    )
    out = f'<div><h3>Who answered</h3>{shares}</div>'
    timed = [r for r in results if r['times']['latency_p50'] is not None]
    if timed:
        spans = bars(
            [
                (
                    _title(r),
                    [
                        (COLOURS[0], 1e3 * r['times']['latency_p50']),
                        (
                            COLOURS[5],
                            1e3 * (r['times']['latency_p95'] - r['times']['latency_p50']),
                        ),
                    ],
                )
                for r in timed
            ],
            'ms',
            [(COLOURS[0], 'median'), (COLOURS[5], '95th percentile')],
        )
        out += f'<div><h3>Latency of the timed frames</h3>{spans}</div>'
    return f'<div class="row">{out}</div>'


def _reliability(results: Sequence[Mapping[str, Any]], protocol: str) -> str:
    """Return one chart for each system: what its confidence promises, and what it keeps."""
    own = {
        r['system']: r
        for r in reversed(results)
        if r['protocol'] == protocol and 'reliability' in r
    }
    charts = []
    for name, result in reversed(own.items()):
        points = [
            Point(
                100 * b['confidence'],
                100 * b['accuracy'],
                COLOURS[0],
                hint=f'{b["frames"]} frames',
                radius=2 + 6 * (b['frames'] / result['judged']) ** 0.5,
            )
            for b in result['reliability']
        ]
        charts.append(
            f'<div><h3>{escape(name)}: error {100 * result["calibration_error"]:.2f} '
            'points</h3>'
            + chart(
                points,
                [Line((0, 100), (0, 100), '#888888', dashed=True)],
                'confidence, %',
                'accuracy, %',
                size=(270, 260),
                frame=(0, 100, 0, 100),
            )
            + '</div>'
        )
    if not charts:
        return ''
    return (
        f'<h2>Calibration, {escape(protocol)}</h2><p class="note">Frames in 15 equally wide '
        'bins of confidence, the larger a dot the more of them; on the dashed line, '
        'confidence is what it promises to be. The error is the mean distance from it.</p>'
        '<div class="row">' + ''.join(charts) + '</div>'
    )


def _confusion(findings: Mapping[str, Any], protocol: str) -> str:
    """Return how often which label was taken for which, of the first system."""
    result = next(r for r in findings['results'] if r['protocol'] == protocol)
    if 'confusion' not in result:
        return ''
    labels, counts = findings['labels'], result['confusion']
    title = f'<h2>Confusion, {escape(result["system"])}, {escape(protocol)}</h2>'
    if len(labels) > LARGEST_CONFUSION:
        pairs = sorted(
            (
                (n, truth, answer)
                for truth, answers in counts.items()
                for answer, n in answers.items()
                if truth != answer
            ),
            key=lambda pair: -pair[0],
        )[:LARGEST_CONFUSION]
        return title + _table(
            [
                ['is', 'taken for', 'frames'],
                *([truth, answer, str(n)] for n, truth, answer in pairs),
            ]
        )
    room = 7 * max(map(len, labels))
    left, top, side = room + 40, room + 34, CELL * len(labels)
    out = [
        f'<svg width="{left + side + 10}" height="{top + side + 10}" role="img" '
        'aria-label="confusion matrix">',
        _text(left, 14, 'answer'),
        _text(4, top - 10, 'true label'),
    ]
    for i, truth in enumerate(labels):
        total = sum(counts.get(truth, {}).values())
        middle = CELL * i + CELL / 2 + 4
        out.append(
            _text(left - 8, top + middle, truth, 'end')
            + f'<g transform="rotate(-90 {left + middle:g} {top - 8})">'
            + _text(left + middle, top - 8, truth)
            + '</g>'
        )
        for j, answer in enumerate(labels):
            n = counts.get(truth, {}).get(answer, 0)
            share = n / total if total else 0
            hue = '0,114,178' if i == j else '213,94,0'
            shade = share**0.5 if i != j else share
            out.append(
                f'<rect x="{left + CELL * j}" y="{top + CELL * i}" width="{CELL - 1}" '
                f'height="{CELL - 1}" fill="rgba({hue},{shade:.3f})" stroke="#eee">'
                f'<title>{escape(truth)} taken for {escape(answer)}: {n}</title></rect>'
            )
            if n:
                colour = ' style="fill:#fff"' if shade > 0.6 else ''
                out.append(
                    f'<text class="small" x="{left + CELL * j + CELL / 2 - 0.5}" '
                    f'y="{top + middle}" text-anchor="middle"{colour}>{n}</text>'
                )
    return title + '<div class="wide">' + ''.join([*out, '</svg>']) + '</div>'


def _disagreements(findings: Mapping[str, Any], thumbnails: Mapping[int, Image]) -> str:
    found = findings['disagreements']
    if not found or not found['frames']:
        return ''
    figures = []
    for entry in found['shown']:
        picture = thumbnails[entry['number']]
        small = shrink(picture, THUMBNAIL, THUMBNAIL)
        data = base64.b64encode(cv2.imencode('.jpg', small)[1].tobytes()).decode()
        pixels = ' class="pixels"' if max(picture.shape[:2]) < THUMBNAIL else ''
        right = entry['label'] in (entry['system'], entry['reference'])
        answers = [
            f'<b>{escape(entry[who])}</b>' if entry[who] == entry['label'] else escape(entry[who])
            for who in ('system', 'reference')
        ]
        truth = '' if entry['label'] is None or right else f'<br>is: {escape(entry["label"])}'
        figures.append(
            f'<figure><img{pixels} alt="" src="data:image/jpeg;base64,{data}">'
            f'<figcaption>{answers[0]} ({escape(entry["source"])})<br>'
            f'{answers[1]}{truth}</figcaption></figure>'
        )
    names = [escape(found[key]) for key in ('system', 'reference')]
    return (
        f'<h2>Where {names[0]} and {names[1]} disagree</h2><p class="note">{found["frames"]} '
        f'frames, of which {len(figures)} are shown, those first in which only {names[1]} is '
        f'right. The upper line is what {names[0]} says and who in it answered, the lower '
        f'{names[1]}; the right one is bold.</p><div class="row">' + ''.join(figures) + '</div>'
    )
