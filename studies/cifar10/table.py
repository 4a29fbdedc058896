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

"""Print the study's tables in Markdown: table.py macs.json cpu_seconds.json evaluate.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
import sys

from halvings import Halvings, Mean

from dual_cnn_ros.evaluation.findings import (
    EvaluatedStage,
    EvaluationFindings,
    NO_MEMORY,
    read_evaluation,
    SystemResult,
)

# Memory and protocol: images once, exact repeats, turned repeats.
ONCE, REPEATED, TURNED = (NO_MEMORY, 'd=0'), ('dhash', 'd=1'), ('invariants', 'd=1 rotated')


def once(found: Halvings) -> Iterator[str]:
    """Yield the table of every image once, mean over the halvings."""
    best, largest = found.costs[found.best], found.costs[found.largest]
    yield _row(
        *('System', 'Budget', 'Accuracy', 'Points over the single CNN as chosen', found.unit),
        *(f'of {found.best}', f'of {found.largest}'),
    )
    yield _row(*['---'] * 7)
    for budget in (0.0, *found.headline):
        for name in found.names:
            if not found.has(name, budget):
                continue
            cost = found.cost(name, budget)
            yield _row(
                name,
                f'{budget * found.factor:.3g}' if budget else '',
                f'{found.accuracy(name, budget).value:.2%}',
                _points(found.gain(name, budget)),
                f'{cost * found.factor:.3g}',
                f'{cost / best:.0%}',
                f'{cost / largest:.1%}',
            )


def _points(gain: Mean) -> str:
    return f'{100 * gain.value:+.2f} ± {100 * gain.margin:.2f}'


def twice(findings: EvaluationFindings) -> Iterator[str]:
    """Yield the table of one halving, in one process: once, and every image shown twice."""
    results = {result.key: result for result in findings.results}
    names = [system.name for system in findings.systems]
    singles = [system.name for system in findings.systems if len(system.stages) == 1]
    stages = {system.name: system.stages for system in findings.systems}
    # A CNN is known by its title and its MACs, in whichever system it is.
    own = {
        (stages[name][0].title, stages[name][0].macs): results[(name, *ONCE)].timing.cpu_seconds
        for name in singles
    }
    macs = {system.name: system.stages[0].macs for system in findings.systems}
    best = max(singles, key=lambda name: results[(name, *ONCE)].accuracy or 0.0)
    largest = max(singles, key=lambda name: macs[name])
    bases = [results[(name, *ONCE)] for name in (best, largest)]
    # Above idle, where there was a sensor.
    has_joules = any(result.energy for result in findings.results)
    yield _row(
        *('System', 'Accuracy', 'MACs, M', 'CPU, ms', 'by its members'),
        *(f'M, ms against {name}' for name in (best, largest)),
        *('Repeats: accuracy', 'M', 'ms', f'M, ms against {largest}'),
        *('Turned: accuracy', 'M', 'ms'),
        *['mJ'] * has_joules,
    )
    yield _row(*['---'] * (14 + has_joules))
    for name in names:
        result = results[(name, *ONCE)]
        single = name in singles
        memory = NO_MEMORY if single else None
        exact, turned = (
            results[name, memory or where[0], where[1]] for where in (REPEATED, TURNED)
        )
        yield _row(
            name,
            f'{result.accuracy:.2%}',
            *_costs(result),
            '' if single else f'{1e3 * _promised(result, stages[name], own):.3f}',
            *(_saved(result, base) for base in bases),
            f'{exact.accuracy:.2%}',
            *_costs(exact),
            _saved(exact, bases[1]),
            f'{turned.accuracy:.2%}',
            *_costs(turned),
            *[_joules(result)] * has_joules,
        )


def _promised(
    result: SystemResult,
    stages: Sequence[EvaluatedStage],
    own: Mapping[tuple[str, int], float | None],
) -> float:
    """Return the CPU seconds that its members take alone, as often as they were asked."""
    shares = [result.sources[s.name].share if s.name in result.sources else 0.0 for s in stages]
    return sum(
        sum(shares[place:]) * (own[stage.title, stage.macs] or 0.0)
        for place, stage in enumerate(stages)
    )


def _row(*cells: str) -> str:
    return f'| {" | ".join(cells)} |'


def _costs(result: SystemResult) -> tuple[str, str]:
    return f'{result.macs / 1e6:.1f}', f'{1e3 * (result.timing.cpu_seconds or 0.0):.3f}'


def _joules(result: SystemResult) -> str:
    joules = result.energy.joules if result.energy else None
    return '-' if joules is None else f'{1e3 * joules:.2f}'


def _saved(result: SystemResult, base: SystemResult) -> str:
    seconds, other = (r.timing.cpu_seconds or 0.0 for r in (result, base))
    return f'{result.macs / base.macs - 1:+.1%}, ' + (
        f'{seconds / other - 1:+.0%}' if other else '-'
    )


if __name__ == '__main__':
    *halvings, evaluation = map(Path, sys.argv[1:])
    for file in halvings:
        print(*once(Halvings(file)), '', sep='\n')
    print(*twice(read_evaluation(evaluation)), sep='\n')
