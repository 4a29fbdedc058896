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

"""One self-contained HTML page of what evaluate found: no script, nothing loaded."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import NamedTuple

import cv2
from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from dual_cnn_ros.cascade.decision import MEMORY
from dual_cnn_ros.cascade.frame import Image, shrink
from dual_cnn_ros.evaluation import plots
from dual_cnn_ros.evaluation.findings import (
    DisagreedFrame,
    EvaluationFindings,
    NO_MEMORY,
    SystemResult,
    ThresholdFront,
)
from dual_cnn_ros.evaluation.plots import INK, LegendEntry, Line, PALETTE, Point
from dual_cnn_ros.evaluation.summary import (
    accuracy_table,
    cost_table,
    finding,
    memory_table,
    notes,
    protocol_title,
    warnings,
)
from dual_cnn_ros.tables import millions

# The memory and the stages, as the overlay draws them. No system has one of these colours.
_SOURCE_COLOURS = ('#009e73', '#0072b2', '#e69f00', '#cc79a7', '#d55e00')
_SYSTEM_COLOURS = tuple(c for c in PALETTE if c not in _SOURCE_COLOURS)
THUMBNAIL = 160
MOST_CLASSES = 30
TEMPLATE = 'page.html.j2'


class Part(NamedTuple):
    """What the page shows of one protocol."""

    title: str
    finding: str
    accuracies: list[list[str]]
    costs: list[list[str]]
    memories: list[list[str]]
    charts: list[Figure]
    shares: Figure
    latencies: Figure | None


def make_page(findings: EvaluationFindings, images: Mapping[int, Image], method: str) -> str:
    """
    Return the page.

    Parameters
    ----------
    findings
        What to show.
    images
        By number, at least those of the disagreement.
    method
        How it was measured, in paragraphs.

    """
    protocols = findings.protocols
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters['svg'] = plots.svg
    template = (files(__package__) / TEMPLATE).read_text(encoding='utf-8')
    return environment.from_string(template).render(
        findings=findings,
        systems=list(_system_rows(findings)),
        parts=[
            Part(
                protocol_title(findings.of_protocol(protocol)),
                finding(findings, protocol),
                accuracy_table(findings, protocol),
                cost_table(findings, protocol),
                memory_table(findings, protocol),
                list(_cost_charts(findings, protocol)),
                _share_bars(findings, findings.of_protocol(protocol)),
                _latency_bars(findings.of_protocol(protocol)),
            )
            for protocol in protocols
        ],
        warnings=warnings(findings),
        notes=notes(findings),
        protocol=protocols[0],
        calibration=_calibration(findings.of_protocol(protocols[0])),
        confused=findings.of_protocol(protocols[0])[0],
        confusion=_confusion_map(findings),
        mistakes=_mistakes(findings),
        shown=list(_shown_frames(findings, images)),
        method=method.strip().split('\n\n'),
    )


def _system_rows(findings: EvaluationFindings) -> Iterator[list[str]]:
    yield ['system', 'bundle', 'CNNs (MACs)', 'rule']
    for system in findings.systems:
        rule = 'alone'
        if system.rule is not None:
            criteria = ', '.join(f'{c.score} >= {c.threshold:.4f}' for c in system.rule.criteria)
            rule = f'{criteria}; post-check {system.rule.post_check}'
        stages = ' + '.join(f'{stage.title} ({millions(stage.macs)})' for stage in system.stages)
        yield [system.name, system.bundle, stages, rule]


def _cost_charts(findings: EvaluationFindings, protocol: str) -> Iterator[Figure]:
    """Yield charts of accuracy over MACs and, where it was measured, over CPU time."""
    results = findings.of_protocol(protocol)
    if results[0].accuracy is None:
        return
    names = [system.name for system in findings.systems]
    colours = {name: _SYSTEM_COLOURS[i % len(_SYSTEM_COLOURS)] for i, name in enumerate(names)}
    memories = [m for m in dict.fromkeys(r.memory for r in results) if m != NO_MEMORY]
    forms: dict[str, plots.Form] = {NO_MEMORY: 'disc'}
    forms |= {memory: 'diamond' if i else 'square' for i, memory in enumerate(memories)}
    # The fronts are of this protocol.
    fronts: Sequence[ThresholdFront] = findings.fronts if protocol == 'd=0' else ()
    legend = [LegendEntry(name, colours[name], 'disc') for name in names]
    legend += [LegendEntry(f'memory {memory}', INK, forms[memory]) for memory in memories]
    if fronts:
        legend.append(LegendEntry('at other thresholds, no memory', INK, 'line'))
    lines = [
        Line(
            [1e-6 * outcome.cost for outcome in front.outcomes],
            [outcome.accuracy for outcome in front.outcomes],
            colours[front.system],
        )
        for front in fronts
    ]

    def points(costs: Sequence[float]) -> list[Point]:
        return [
            Point(cost, r.accuracy or 0.0, colours[r.system], forms[r.memory], r.interval)
            for r, cost in zip(results, costs)
        ]

    macs = points([1e-6 * r.macs for r in results])
    yield plots.accuracy_chart(macs, lines, legend, 'MACs per image, millions')
    seconds = [r.timing.cpu_seconds for r in results if r.timing.cpu_seconds is not None]
    if len(seconds) == len(results):
        cpu = points([1e3 * value for value in seconds])
        yield plots.accuracy_chart(cpu, [], legend, 'CPU time per image, ms')


def _share_bars(findings: EvaluationFindings, results: Sequence[SystemResult]) -> Figure:
    stages = (stage.name for system in findings.systems for stage in system.stages)
    sources = [MEMORY, *dict.fromkeys(stages)]
    shares = {
        name: [100 * r.sources[name].share if name in r.sources else 0.0 for r in results]
        for name in sources
    }
    colours = [_SOURCE_COLOURS[min(i, len(_SOURCE_COLOURS) - 1)] for i in range(len(sources))]
    return plots.stacked_bars([r.title for r in results], shares, colours, 'frames, %')


def _latency_bars(results: Sequence[SystemResult]) -> Figure | None:
    timed = [
        (r.title, 1e3 * r.timing.latency_p50, 1e3 * r.timing.latency_p95)
        for r in results
        if r.timing.latency_p50 is not None and r.timing.latency_p95 is not None
    ]
    if not timed:
        return None
    titles, p50, p95 = zip(*timed)
    parts = {'median': p50, '95th percentile': [b - a for a, b in zip(p50, p95)]}
    return plots.stacked_bars(titles, parts, ('#777777', '#c8c8c8'), 'ms')


def _calibration(results: Sequence[SystemResult]) -> Figure | None:
    """Return a reliability diagram of each system, without memory where that was run."""
    found = {r.system: r.reliability for r in reversed(results) if r.reliability is not None}
    diagrams = {
        f'{name}: error {100 * reliability.error:.2f} points': reliability
        for name, reliability in reversed(found.items())
    }
    return plots.reliability_diagrams(diagrams) if diagrams else None


def _confusion_map(findings: EvaluationFindings) -> Figure | None:
    """Return how often which label was taken for which by the first system, if there is room."""
    counts, labels = findings.results[0].confusion, findings.labels
    if not counts or len(labels) > MOST_CLASSES:
        return None
    table = [[counts.get(truth, {}).get(answer, 0) for answer in labels] for truth in labels]
    shares = [[count / (sum(row) or 1) for count in row] for row in table]
    texts = [[str(count or '') for count in row] for row in table]
    return plots.heat_map(shares, labels, labels, texts=texts, labels=('true label', 'answer'))


def _mistakes(findings: EvaluationFindings) -> list[tuple[int, str, str]]:
    """Return the most frequent mistakes of the first system where the map has no room."""
    if len(findings.labels) <= MOST_CLASSES:
        return []
    mistakes = [
        (count, truth, answer)
        for truth, answers in findings.results[0].confusion.items()
        for answer, count in answers.items()
        if truth != answer
    ]
    return sorted(mistakes, key=lambda mistake: -mistake[0])[:MOST_CLASSES]


def _shown_frames(
    findings: EvaluationFindings, images: Mapping[int, Image]
) -> Iterator[tuple[DisagreedFrame, str, bool]]:
    """Yield frames of the disagreement, with a thumbnail in base64, and whether it is enlarged."""
    for frame in findings.disagreement.shown if findings.disagreement else ():
        image = images[frame.number]
        jpeg = cv2.imencode('.jpg', shrink(image, THUMBNAIL, THUMBNAIL))[1]
        is_enlarged = max(image.shape[:2]) < THUMBNAIL
        yield frame, base64.b64encode(jpeg.tobytes()).decode(), is_enlarged
