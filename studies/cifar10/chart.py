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

"""Draw the study's chart, accuracy against cost of all systems: chart.py macs.json OUT.svg."""

from __future__ import annotations

from pathlib import Path
import sys

from halvings import Halvings
from matplotlib.figure import Figure

from dual_cnn_ros.evaluation.plots import INK, PALETTE, svg

CURVES = {
    'big/LITTLE': PALETTE[4],
    'dual': PALETTE[0],
    'LEANets': PALETTE[2],
    'selector': PALETTE[3],
    'ours': PALETTE[1],
}
# Accuracies below tell the systems apart no more.
LEAST = 0.925


def chart(found: Halvings) -> Figure:
    """Return the figure."""
    figure = Figure(figsize=(9.0, 6.5), layout='constrained')
    axes = figure.subplots()
    front: list[tuple[float, float]] = []
    for name, colour in CURVES.items():
        points = [
            (found.cost(name, budget) * found.factor, found.accuracy(name, budget))
            for budget in found.budgets
            if found.has(name, budget)
        ]
        costs, accuracies = zip(*points)
        axes.errorbar(
            costs,
            [100 * each.value for each in accuracies],
            [100 * each.margin for each in accuracies],
            fmt='o-',
            ms=4,
            lw=1.4,
            elinewidth=0.4,
            color=colour,
            label=name,
        )
        front += [(cost, 100 * each.value) for cost, each in points]
    for name, own in found.costs.items():
        cost = own * found.factor
        value = 100 * found.accuracy(name).value
        if value < 100 * LEAST:
            continue
        axes.plot(cost, value, 's', color=INK, ms=6)
        axes.annotate(name, (cost, value), (6, -10), textcoords='offset points')
        front.append((cost, value))
    axes.plot([], [], 's', color=INK, label='single CNN')
    _draw_front(axes, sorted(front))
    for title, cost, value in claims(found):
        axes.plot(cost, value, '*', color='none', mec=INK, ms=14)
        axes.annotate(title, (cost, value), (9, 5), textcoords='offset points', style='italic')
    axes.plot([], [], '*', color='none', mec=INK, ms=12, label="a paper's claim, see the table")
    axes.set(
        xscale='log',
        ylim=(100 * LEAST, 97),
        xlabel=f'{found.unit} of an image (every image once, no memory)',
        ylabel='accuracy, %, mean of five halvings and its 95 % interval',
    )
    low = min(found.costs.values()) * found.factor
    ticks = [low * 2 ** (place / 2) for place in range(20)]
    high = max(found.costs.values()) * found.factor
    shown = [tick for tick in ticks if tick < 1.1 * high]
    axes.set_xticks(shown, [f'{tick:.3g}' for tick in shown])
    axes.minorticks_off()
    axes.grid(visible=True, color='#eeeeee')
    axes.legend(loc='upper left')
    return figure


def _draw_front(axes: object, rising: list[tuple[float, float]]) -> None:
    best, steps = 0.0, []
    for cost, value in rising:
        if value > best:
            best = value
            steps.append((cost, value))
    axes.step(  # type: ignore[attr-defined]
        *zip(*steps), where='post', color='#999999', lw=5, alpha=0.35, label='Pareto front'
    )


def claims(found: Halvings) -> list[tuple[str, float, float]]:
    """Return what the papers claim, in terms of this pool: title, cost, accuracy in %."""
    best, largest = (found.costs[name] * found.factor for name in (found.best, found.largest))
    accuracy, of_largest = (
        100 * found.accuracy(name).value for name in (found.best, found.largest)
    )
    return [
        ('Kinnas: -85.8 % of the largest (there d = 1)', 0.142 * largest, of_largest),
        ('Guan: 20 % of ResNet-56', 0.2 * best, accuracy),
        ('LEANets: -50 %', 0.5 * best, accuracy),
        ('Park: -53.7 %, -0.9 points', 0.463 * best, accuracy - 0.9),
    ]


if __name__ == '__main__':
    results, out = map(Path, sys.argv[1:])
    out.write_text(svg(chart(Halvings(results))), encoding='utf-8')
