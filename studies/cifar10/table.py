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

"""Print the study's tables in Markdown: table.py evaluate.json recommendation.json."""

from collections.abc import Iterator
import json
from pathlib import Path
import sys

from dual_cnn_ros.calibration.pairs import PairingFindings
from dual_cnn_ros.evaluation.findings import (
    EvaluationFindings,
    NO_MEMORY,
    read_evaluation,
    SystemResult,
)
from dual_cnn_ros.records import from_plain

# Memory and protocol: images once, exact repeats, turned repeats.
ONCE, REPEATED, TURNED = (NO_MEMORY, 'd=0'), ('dhash', 'd=1'), ('invariants', 'd=1 rotated')


def tables(findings: EvaluationFindings, best: str) -> Iterator[str]:
    """
    Yield the lines of a table of images seen once, and of one in which each is seen twice.

    Savings are against single CNNs that have no memory; the two of them that matter are shown with
    one, too. best: the single CNN that was best on validation images.
    """
    results = {result.key: result for result in findings.results}
    names = [system.name for system in findings.systems]
    singles = [system.name for system in findings.systems if len(system.stages) == 1]
    others = (findings.reference, best)
    yield _row(
        'System',
        'Accuracy (95 % interval)',
        'Deferred',
        'MACs, M',
        'CPU, ms',
        *(f'M against {other}' for other in others),
    )
    yield _row(*['---'] * 7)
    for name in names:
        result = results[(name, *ONCE)]
        low, high = result.interval or (0.0, 0.0)
        yield _row(
            name,
            f'{result.accuracy:.2%} ({100 * low:.2f} to {100 * high:.2f})',
            '' if name in singles else f'{result.deferral_rate:.1%}',
            *_costs(result),
            *(_saved_macs(result, results[(other, *ONCE)]) for other in others),
        )
    yield ''
    yield _row(
        'System',
        'Repeats: accuracy',
        'M',
        'ms',
        *(f'M, ms against {other}' for other in others),
        'Turned repeats: accuracy',
        'M',
        'ms',
    )
    yield _row(*['---'] * 9)
    cascades = [name for name in names if name not in singles]
    with_memory = dict.fromkeys((*others, *cascades))
    for name, memory in [*((n, False) for n in singles), *((n, True) for n in with_memory)]:
        exact, turned = (
            results[name, where[0] if memory else NO_MEMORY, where[1]]
            for where in (REPEATED, TURNED)
        )
        bases = [results[other, NO_MEMORY, 'd=1'] for other in others]
        yield _row(
            name + (' + memory' if memory else ''),
            f'{exact.accuracy:.2%}',
            *_costs(exact),
            *(f'{_saved_macs(exact, base)}, {_saved_seconds(exact, base)}' for base in bases),
            f'{turned.accuracy:.2%}',
            *_costs(turned),
        )


def _row(*cells: str) -> str:
    return f'| {" | ".join(cells)} |'


def _costs(result: SystemResult) -> tuple[str, str]:
    return f'{result.macs / 1e6:.2f}', f'{1e3 * (result.timing.cpu_seconds or 0.0):.3f}'


def _saved_macs(result: SystemResult, base: SystemResult) -> str:
    return f'{result.macs / base.macs - 1:+.1%}'


def _saved_seconds(result: SystemResult, base: SystemResult) -> str:
    seconds, other = (r.timing.cpu_seconds or 0.0 for r in (result, base))
    return f'{seconds / other - 1:+.1%}' if other else '-'


if __name__ == '__main__':
    evaluation, recommendation = map(Path, sys.argv[1:])
    pairing = from_plain(PairingFindings, json.loads(recommendation.read_text(encoding='utf-8')))
    best = pairing.recommendation.single.first
    print('\n'.join(tables(read_evaluation(evaluation), best)))
