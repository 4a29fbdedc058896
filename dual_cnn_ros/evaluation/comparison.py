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

"""What changed from one evaluate.json to another, for regression tests."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from dual_cnn_ros.evaluation.findings import EvaluationFindings, SystemResult
from dual_cnn_ros.tables import text_table

# What is measured, and so differs from run to run: it counts only on demand.
MEASURED = {'cpu': 'CPU seconds', 'joules': 'joules above idle'}


class Comparison(NamedTuple):
    """A table of what changed, and what became worse than tolerated, in words."""

    table: list[str]
    worse: list[str]


def compare_findings(
    before: EvaluationFindings,
    after: EvaluationFindings,
    accuracy_tolerance: float,
    cost_tolerance: float,
    measured: Collection[str] = (),
) -> Comparison:
    """
    Compare two runs of evaluate.

    Parameters
    ----------
    before, after
        Of the same data, seed and systems.
    accuracy_tolerance
        By how much the accuracy may fall, in [0, 1].
    cost_tolerance
        By what share MACs, and those of MEASURED that are named, may rise; and by how much the
        deferral rate may.
    measured
        Names of MEASURED that count.

    Raises
    ------
    ValueError
        The runs cannot be compared, or lack what was named.

    """
    _require_same_data(before, after)
    then = {result.key: result for result in before.results}
    now = {result.key: result for result in after.results}
    for missing, where in (
        (then.keys() - now.keys(), 'second'),
        (now.keys() - then.keys(), 'first'),
    ):
        if missing:
            results = '; '.join(f'{s}, memory {m}, {p}' for s, m, p in sorted(missing))
            raise ValueError(f'the {where} report has no result of {results}')
    rows = [['system', 'memory', 'protocol', 'accuracy', 'MACs', 'deferral rate', 'CPU', 'joules']]
    worse = []
    for key, old in then.items():
        name = ', '.join((key[0], f'memory {key[1]}', key[2]))
        figures = zip(_figures(old).items(), _figures(now[key]).values())
        row = list(key)
        for (what, a), b in figures:
            if a is None or b is None:
                if what in measured:
                    raise ValueError(f'{name}: no {MEASURED[what]} were measured in both')
                row.append('-')
                continue
            is_share = what in ('accuracy', 'deferral rate')
            change = b - a if is_share or not a else (b - a) / abs(a)
            row.append(f'{100 * change:+.2f}' if is_share else f'{change:+.2%}')
            loss, limit = (
                (-change, accuracy_tolerance) if what == 'accuracy' else (change, cost_tolerance)
            )
            counts = what not in MEASURED or what in measured
            if counts and loss > limit + 1e-12:
                worse.append(
                    f'{name}: {MEASURED.get(what, what)} went from {a:.6g} to {b:.6g}, '
                    f'beyond the tolerance of {limit:g}'
                )
        rows.append(row)
    return Comparison([*text_table(rows), 'accuracy and deferral rate in points'], worse)


def _require_same_data(before: EvaluationFindings, after: EvaluationFindings) -> None:
    for what, a, b in (
        ('frames or labels', before.data.digest, after.data.digest),
        ('labels', before.labels, after.labels),
        ('seed', before.seed, after.seed),
    ):
        if a != b:
            raise ValueError(f'the reports are not of the same {what}, so they cannot be compared')


def _figures(result: SystemResult) -> dict[str, float | None]:
    """Return what is compared, by the name of its column."""
    return {
        'accuracy': result.accuracy,
        'MACs': result.macs,
        'deferral rate': result.deferral_rate,
        'cpu': result.timing.cpu_seconds,
        'joules': result.energy.joules if result.energy else None,
    }
