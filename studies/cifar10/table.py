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

import json
from pathlib import Path
import sys
from typing import Any

# Memory and protocol: pictures once, exact repeats, turned repeats.
ONCE, REPEATED, TURNED = ('off', 'd=0'), ('dhash', 'd=1'), ('invariants', 'd=1 rotated')


def tables(findings: dict[str, Any], best: str) -> str:
    """
    Return a table of pictures seen once, and one in which each is seen twice.

    best: the single CNN that was best on held-out pictures. Savings are against single CNNs that
    have no memory; the two of them that matter are shown with one, too.
    """
    results = {(r['system'], r['memory'], r['protocol']): r for r in findings['results']}
    names = [system['name'] for system in findings['systems']]
    singles = [s['name'] for s in findings['systems'] if len(s['stages']) == 1]
    largest = findings['reference']
    lines = [
        '| System | Accuracy (95 % interval) | Second asked | Multiply-adds, M | CPU, ms '
        f'| M against {largest} | M against {best} |',
        '|---' * 7 + '|',
    ]
    for name in names:
        result = results[(name, *ONCE)]
        low, high = result['interval']
        lines.append(
            _row(
                name,
                f'{result["accuracy"]:.2%} ({100 * low:.2f} to {100 * high:.2f})',
                '' if name in singles else f'{result["second_share"]:.1%}',
                *_costs(result),
                *(_change(result, results[(other, *ONCE)]) for other in (largest, best)),
            )
        )
    lines += [
        '',
        '| System | Repeats: accuracy | M | ms '
        f'| M, ms against {largest} | M, ms against {best} '
        '| Turned repeats: accuracy | M | ms |',
        '|---' * 9 + '|',
    ]
    shown = [
        *((name, False) for name in singles),
        *(
            (name, True)
            for name in dict.fromkeys((largest, best, *names))
            if name not in singles or name in (largest, best)
        ),
    ]
    for name, memory in shown:
        exact, turned = (
            results[name, where[0] if memory else 'off', where[1]] for where in (REPEATED, TURNED)
        )
        lines.append(
            _row(
                name + (' + memory' if memory else ''),
                f'{exact["accuracy"]:.2%}',
                *_costs(exact),
                *(
                    f'{_change(exact, base)}, {_change(exact, base, "cpu_seconds")}'
                    for base in (results[other, 'off', 'd=1'] for other in (largest, best))
                ),
                f'{turned["accuracy"]:.2%}',
                *_costs(turned),
            )
        )
    return '\n'.join(lines)


def _row(*cells: str) -> str:
    return f'| {" | ".join(cells)} |'


def _costs(result: dict[str, Any]) -> tuple[str, str]:
    return f'{result["multiply_adds"] / 1e6:.2f}', f'{1e3 * result["times"]["cpu_seconds"]:.3f}'


def _change(result: dict[str, Any], base: dict[str, Any], what: str = 'multiply_adds') -> str:
    cost, other = ((r if what == 'multiply_adds' else r['times'])[what] for r in (result, base))
    return f'{cost / other - 1:+.1%}'


if __name__ == '__main__':
    evaluation, recommendation = (
        json.loads(Path(argument).read_text(encoding='utf-8')) for argument in sys.argv[1:]
    )
    print(tables(evaluation, recommendation['single']['first']))
