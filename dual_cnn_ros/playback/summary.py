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

"""What came of a session, in tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.messages.decisions import PublishedDecision
from dual_cnn_ros.playback.decision_listener import FrameKey
from dual_cnn_ros.playback.energy_listener import PowerInput, Sections
from dual_cnn_ros.tables import text_table


def decision_table(
    decisions: Mapping[FrameKey, PublishedDecision],
    labels: Mapping[FrameKey, str],
    published: int,
    bundle: Bundle,
) -> list[str]:
    """
    Return who answered how many frames, how well, how fast and at what cost.

    Parameters
    ----------
    decisions
        Of the frames that were answered.
    labels
        True labels, as far as they are known.
    published
        Number of frames that were played.
    bundle
        The classifier's.

    """
    names = ('memory', *(stage.name for stage in bundle.stages))
    groups = {
        name: [key for key, decision in decisions.items() if decision.source == name]
        for name in names
    }
    rows = [['answered by', 'frames', 'share', 'correct', 'p50', 'p95', 'MACs']]
    for name, keys in (*groups.items(), ('all', list(decisions))):
        if not keys:
            continue
        judged = [labels[key] == decisions[key].label for key in keys if key in labels]
        seconds = [sum(decisions[key].seconds.values()) for key in keys]
        p50, p95 = 1e3 * np.percentile(seconds, (50, 95))
        rows.append(
            [
                name,
                str(len(keys)),
                f'{len(keys) / len(decisions):.1%}',
                f'{np.mean(judged):.1%}' if judged else '-',
                f'{p50:.2f} ms',
                f'{p95:.2f} ms',
                f'{np.mean([decisions[key].macs for key in keys]) / 1e6:.1f} M',
            ]
        )
    lines = text_table(rows, total=True)
    if total := sum(stage.macs for stage in bundle.stages):
        mean = float(np.mean([decision.macs for decision in decisions.values()]))
        lines.append(
            f'Every stage for every frame would take {total / 1e6:.1f} M MACs each; this took '
            f'{mean / total:.1%} of that.'
        )
    labelled = sum(key in labels for key in decisions)
    if 0 < labelled < len(decisions):
        lines.append(f'Correct: of the {labelled} frames that have a true label.')
    if lost := published - len(decisions):
        lines.append(f'{lost} of {published} frames were overtaken by a newer one or refused.')
    return lines


def energy_table(
    power: PowerInput, report: Sections, sources: Sequence[str], true_joules: Mapping[str, float]
) -> list[str]:
    """
    Return the joules per decision by source, how much was covered, and the saving.

    Parameters
    ----------
    power
        What was read.
    report
        The energy node's.
    sources
        Memory and stages, in order.
    true_joules
        By source, the joules per decision from which a constructed trace was made; else empty.

    """
    mark = 'constructed ' if power.trace else ''
    rows = [['answered by', 'decisions', f'{mark}J per decision, above idle', 'standard error']]
    notes = []
    for name in sources:
        if name not in report:
            continue
        message, values = report[name]
        if not values['joules_per_decision']:
            notes.append(f'{name}: {message}')
        joules = [values[key] for key in ('joules_per_decision', 'standard_error_joules')]
        rows.append([name, values['decisions'], *map(_joules, joules)])
    frames, total, idle = (report[name][1] for name in ('frames', 'total', 'idle'))
    rows.append(['all', frames['decisions'], _joules(frames['net_joules_per_frame']), ''])
    if power.trace:
        put_in = [f'{true_joules.get(name, 0):.4f}' for name, *_ in rows[1:-1]]
        rows = [[*row, word] for row, word in zip(rows, ['put in', *put_in, ''])]
    if not idle.get('watts'):
        notes.append(f'idle power: {idle["note"]}')
    elif idle.get('refused'):
        notes.append(idle['refused'])
    watts = [
        f'{float(values[key]):.2f} W {what}'
        for values, key, what in (
            (total, 'mean_watts', 'on average'),
            (idle, 'watts', 'when idle'),
        )
        if values.get(key)
    ]
    notes.append(
        f'{" and ".join(watts)}, {float(total["coverage"]):.1%} of '
        f'{float(total["window_seconds"]):.0f} s covered, longest gap '
        f'{float(total["longest_gap_seconds"]):.1f} s, {total["scope"] or "unknown"} scope.'
    )
    notes.append(f'saving: {report["saving"][0]}.')
    table = text_table(rows, total=True)
    return [f'Energy {power.description}.', *table, *(mark.capitalize() + note for note in notes)]


def _joules(written: str) -> str:
    return f'{round(float(written), 4) + 0.0:.4f}' if written else '-'
