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

from dual_cnn_ros.calibration.memory_check import memory_advice
from dual_cnn_ros.cascade.settings import MemorySettings
from dual_cnn_ros.data.problems import MOST_NAMED
from dual_cnn_ros.evaluation.findings import (
    Difference,
    EvaluationFindings,
    NO_MEMORY,
    SystemResult,
)
from dual_cnn_ros.evaluation.metrics import LEAST_CLUSTERS
from dual_cnn_ros.evaluation.views import CHANGED, DIFFERENT
from dual_cnn_ros.tables import interval_text, milli, millions, percent, text_table

# Loss of accuracy, at the lower end of its interval, up to which a system is as right as another.
SAME = 0.01


def summary(findings: EvaluationFindings) -> str:
    """Return the results as text: what was found, tables for each protocol, and notes."""
    lines = []
    for protocol in findings.protocols:
        results = findings.of_protocol(protocol)
        lines += [protocol_title(results), finding(findings, protocol), '']
        lines += [*text_table(accuracy_table(findings, protocol)), '']
        lines += [*text_table(cost_table(findings, protocol)), '']
        if memories := memory_table(findings, protocol):
            lines += [*text_table(memories), '']
    return '\n'.join([*lines, *warnings(findings), *notes(findings)])


def protocol_title(results: Sequence[SystemResult]) -> str:
    """Return what a protocol is called, and of how many frames it was."""
    first = results[0]
    return f'{first.protocol}: {first.frames} frames, {first.judged} with a known label'


def finding(findings: EvaluationFindings, protocol: str) -> str:
    """Return in a sentence what the first system that is not the reference comes to beside it."""
    reference = _baseline(findings, protocol)
    others = [r for r in findings.of_protocol(protocol) if r.system != findings.reference]
    if not others:
        return f'{reference.title} alone: there is nothing to compare it with.'
    first, *rest = (result for result in others if result.system == others[0].system)
    single = {s.name: len(s.stages) == 1 for s in findings.systems}[findings.reference]
    other = f'{"the best single CNN, " if single else ""}{findings.reference}'
    word, points = _rightness(first.difference)
    text = f'{first.title} is {word} {other} ({points}), for {_savings(first, reference)}'
    for result in rest:
        text += f'; with memory {result.memory}, for {_savings(result, reference)}'
        if result.difference:
            text += f' ({100 * result.difference.accuracy:+.2f} points)'
    return f'{text}.'


def _savings(result: SystemResult, reference: SystemResult) -> str:
    names = ('MACs', 'CPU time', 'joules')
    changes = map(saving, _costs(result), _costs(reference))
    return ', '.join(f'{change} {what}' for what, change in zip(names, changes) if change != '-')


def _costs(result: SystemResult) -> tuple[float | None, float | None, float | None]:
    """Return MACs, CPU seconds, and joules above idle."""
    energy = result.energy
    return result.macs, result.timing.cpu_seconds, energy.joules if energy else None


def _rightness(difference: Difference | None) -> tuple[str, str]:
    """Return how right a system is beside another one: the comparative, and the evidence."""
    if difference is None:
        return 'compared with', 'without labels nobody knows how right it is'
    points = f'{100 * difference.accuracy:+.2f} points'
    if difference.interval is None:
        return 'compared with', points
    low, high = difference.interval
    if low > 0:
        word = 'more right than'
    elif high < 0:
        word = 'less right than'
    else:
        # Few images leave an interval that a real loss has room in.
        word = 'as right as' if low >= -SAME else 'not shown to be less right than'
    return word, f'{points}, 95 % interval {interval_text(difference.interval)}'


def saving(value: float | None, baseline: float | None) -> str:
    """Return the change from a baseline in percent, '-' where there is none."""
    if value is None or not baseline:
        return '-'
    change = 100 * (value / baseline - 1)
    return f'{change:+.0f} %'


def _baseline(findings: EvaluationFindings, protocol: str) -> SystemResult:
    """Return the result of the reference, without memory where that was run."""
    results = [r for r in findings.of_protocol(protocol) if r.system == findings.reference]
    return next((r for r in results if r.memory == NO_MEMORY), results[0])


def accuracy_table(findings: EvaluationFindings, protocol: str) -> list[list[str]]:
    """Return the rows of the table of accuracies, the head first."""
    results = findings.of_protocol(protocol)
    head = ['system', 'memory', 'accuracy', '95 % interval', 'difference', '95 % interval']
    return [
        [*head, 'harm', 'help'],
        *(
            [
                *_who(findings, result),
                percent(result.accuracy),
                interval_text(result.interval),
                *(
                    (
                        f'{100 * difference.accuracy:+.2f}',
                        interval_text(difference.interval),
                        str(difference.harmed),
                        str(difference.helped),
                    )
                    if (difference := result.difference)
                    else ('-',) * 4
                ),
            ]
            for result in results
        ),
    ]


def _who(findings: EvaluationFindings, result: SystemResult) -> tuple[str, str]:
    is_baseline = result.system == findings.reference and result.difference is None
    return f'{result.system} (reference)' if is_baseline else result.system, result.memory


def cost_table(findings: EvaluationFindings, protocol: str) -> list[list[str]]:
    """Return the rows of the table of who answered and what it cost, the head first."""
    results, baseline = findings.of_protocol(protocol), _baseline(findings, protocol)
    there = dict.fromkeys(name for result in results for name in ('memory', *result.sources))
    sources = [name for name in there if any(name in result.sources for result in results)]
    has_energy = findings.conditions.sensor is not None
    by = [f'by {name}' for name in sources]
    head = ['system', 'memory', *by, 'MACs', 'saved', 'CPU', 'saved', 'p50', 'p95']
    rows = [[*head, *(['above idle', 'in all', 'saved'] if has_energy else [])]]
    for result in results:
        timing, energy = result.timing, result.energy
        before = (None, None, None) if result is baseline else _costs(baseline)
        macs, cpu, joules = map(saving, _costs(result), before)
        shares = [result.sources.get(name) for name in sources]
        row = [
            *_who(findings, result),
            *(percent(share.share if share else None, 1) for share in shares),
            millions(result.macs),
            macs,
            milli(timing.cpu_seconds, 's'),
            cpu,
            milli(timing.latency_p50, 's'),
            milli(timing.latency_p95, 's'),
        ]
        if has_energy:
            spent = (energy.joules, energy.gross_joules) if energy else (None, None)
            row += [*(milli(value, 'J') for value in spent), joules]
        rows.append(row)
    return rows


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


def warnings(findings: EvaluationFindings) -> list[str]:
    """Return which memories answered wrongly too often, and what to set."""
    worst: dict[str, float] = {}
    for result in findings.results:
        found = result.remembered
        if found and found.wrong > MemorySettings.error:
            worst[result.memory] = max(found.wrong, worst.get(result.memory, 0.0))
    return [
        f'WARNING: {percent(wrong)} of what the memory {memory} answered is wrong. '
        + memory_advice(wrong)
        for memory, wrong in worst.items()
    ]


def notes(findings: EvaluationFindings) -> list[str]:
    """Return what a reader of the tables has to know: references, frames left out, energy."""
    data, conditions = findings.data, findings.conditions
    lines = [
        f'difference and saved: from {findings.reference}, without memory where that was run, '
        'the difference in points; harm, help: frames that only the reference, and only this '
        'system, got right; p50, p95: of the latency'
    ]
    if conditions.runs_on:
        lines.append(f'CNNs run by {" and ".join(conditions.runs_on)}')
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
