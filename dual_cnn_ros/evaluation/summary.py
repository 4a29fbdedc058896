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

"""What evaluate found, as tables of text and notes on how to read them."""

from __future__ import annotations

from collections.abc import Sequence

from dual_cnn_ros.data.problems import MOST_NAMED
from dual_cnn_ros.evaluation.findings import EvaluationFindings, SystemResult
from dual_cnn_ros.evaluation.metrics import LEAST_CLUSTERS
from dual_cnn_ros.evaluation.views import CHANGED, DIFFERENT
from dual_cnn_ros.tables import interval_text, milli, millions, percent, text_table


def summary(findings: EvaluationFindings) -> str:
    """Return the results as text, a table for each protocol, and notes."""
    lines = []
    for protocol, (title, rows) in zip(findings.protocols, result_tables(findings)):
        lines += [title, *text_table(rows), '']
        if memories := memory_table(findings, protocol):
            lines += [*text_table(memories), '']
    return '\n'.join([*lines, *notes(findings)])


def result_tables(findings: EvaluationFindings) -> list[tuple[str, list[list[str]]]]:
    """Return the title and the rows of each protocol's table; the first row is the head."""
    return [_table(findings, protocol) for protocol in findings.protocols]


def _table(findings: EvaluationFindings, protocol: str) -> tuple[str, list[list[str]]]:
    results = findings.of_protocol(protocol)
    there = dict.fromkeys(name for result in results for name in ('memory', *result.sources))
    sources = [name for name in there if any(name in result.sources for result in results)]
    has_energy = findings.conditions.sensor is not None
    head = [
        'system',
        'memory',
        'accuracy',
        '95 % interval',
        'difference',
        '95 % interval',
        'harm/help',
        *sources,
        'MACs',
        'CPU',
        'p50',
        'p95',
        *(['above idle', 'in all'] if has_energy else []),
    ]
    title = f'{protocol}: {results[0].frames} frames, {results[0].judged} with a known label'
    return title, [head, *(_row(result, sources, has_energy) for result in results)]


def _row(result: SystemResult, sources: Sequence[str], has_energy: bool) -> list[str]:
    timing, energy, difference = result.timing, result.energy, result.difference
    compared = ['', '', '']
    if difference is not None:
        compared = [
            f'{100 * difference.accuracy:+.2f}',
            interval_text(difference.interval),
            f'{difference.harmed}/{difference.helped}',
        ]
    joules = (energy.joules, energy.gross_joules) if energy else (None, None)
    shares = [result.sources.get(name) for name in sources]
    return [
        result.system,
        result.memory,
        percent(result.accuracy),
        interval_text(result.interval),
        *compared,
        *(percent(share.share if share else None) for share in shares),
        millions(result.macs),
        *(milli(value, 's') for value in (timing.cpu_seconds, timing.latency_p50)),
        milli(timing.latency_p95, 's'),
        *(milli(value, 'J') for value in joules if has_energy),
    ]


def memory_table(findings: EvaluationFindings, protocol: str) -> list[list[str]]:
    """Return the rows of the table of a protocol's memories, the head first; none without any."""
    head = ['system', 'memory', 'hits', 'answered', 'wrong', 'changed']
    head += ['audits', 'contradicted', 'wrong by audits', 'scale']
    rows = [
        [
            result.system,
            result.memory,
            *(percent(share) for share in (found.hits, found.answered, found.wrong)),
            percent(found.changed),
            str(found.audits),
            str(found.contradictions),
            f'<= {percent(found.bound)}',
            f'{found.scale:.3f}',
        ]
        for result in findings.of_protocol(protocol)
        if (found := result.remembered) is not None
    ]
    return [head, *rows] if rows else []


def notes(findings: EvaluationFindings) -> list[str]:
    """Return what a reader of the tables has to know: references, frames left out, energy."""
    data, conditions = findings.data, findings.conditions
    lines = [
        f'difference: from {findings.reference}, without memory where that was run, in '
        'points; harm/help: frames that only the reference, and only this system, got right; '
        'p50, p95: of the latency'
    ]
    if any(result.remembered for result in findings.results):
        lines.append(
            'hits: frames that resemble a remembered one; of the answered, wrong: the CNNs say '
            f'another label, changed: over {percent(CHANGED)} of the pixels differ by over '
            f'{DIFFERENT} grey levels; wrong by audits: 95 % bound'
        )
    untimed = [result for result in findings.results if result.timing.cpu_seconds is None]
    if untimed:
        lines.append(
            f'no CPU seconds for {len(untimed)} results: not all who answered were timed (--timed)'
        )
    if conditions.sensor is None:
        lines.append(
            f'no energy was measured ({conditions.reason}): MACs and CPU seconds stand for it'
        )
    else:
        lines.append(f'energy per image by {conditions.sensor} ({conditions.scope})')
    few = min(result.clusters for result in findings.results)
    if 0 < few < LEAST_CLUSTERS:
        lines.append(
            f'no intervals: {few} clusters ({findings.cluster} each) are too few for the '
            f'bootstrap, which wants {LEAST_CLUSTERS}'
        )
    for name, count in data.unknown_labels.items():
        lines.append(f'unknown label {name!r} on {count} frames: not judged')
    if data.unlabelled:
        lines.append(f'{data.unlabelled} frames without a label: not judged')
    lines += data.warnings[:MOST_NAMED]
    lines += [f'left out: {name}: {why}' for name, why in list(data.bad.items())[:MOST_NAMED]]
    lines += [f'label left out: {problem}' for problem in data.problems[:MOST_NAMED]]
    for what, count in (
        ('frames', len(data.bad)),
        ('labels', len(data.problems)),
        ('other entries', len(data.warnings)),
    ):
        if count > MOST_NAMED:
            lines.append(f'... {count} {what} left out in all; evaluate.json has their names')
    return lines
