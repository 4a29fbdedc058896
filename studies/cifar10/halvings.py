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

"""
The content of macs.json or cpu_seconds.json, which study.py writes.

halvings.py macs.json prints all of it: each system at each budget, and its CNNs in each halving.
"""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path
import sys

import numpy as np
from scipy.stats import t as student

CHOSEN = 'best single CNN, as chosen'
UNITS = {'macs': ('M MACs', 1e-6), 'cpu_seconds': ('ms', 1e3)}


@dataclass(frozen=True)
class Mean:
    """Mean over the halvings, and half of its 95 % interval by Student's t."""

    value: float
    margin: float

    @classmethod
    def of(cls, values: list[float]) -> Mean:
        """Return that of some values; the margin of a single one is 0."""
        count = len(values)
        if count < 2:
            return cls(values[0], 0.0)
        margin = float(student.ppf(0.975, count - 1)) * float(np.std(values, ddof=1)) / count**0.5
        return cls(float(np.mean(values)), margin)


class Halvings:
    """
    All results, by system and budget.

    Attributes
    ----------
    unit, factor
        Of costs as they are shown: million MACs or milliseconds.
    costs
        Of each CNN.
    headline
        Budgets of the table: 15 % of the dearest CNN's cost, 33 % and 65 % of the best one's.
    budgets
        All of them.
    names
        Of the systems, the single CNNs first.
    best, largest
        Names of the CNNs that is most accurate, and that costs most.

    """

    def __init__(self, file: Path) -> None:
        content = json.loads(file.read_text(encoding='utf-8'))
        self.unit, self.factor = UNITS[content['cost']]
        self.costs: dict[str, float] = content['costs']
        self.headline: list[float] = content['headline']
        self._rows = {(r['system'], r['budget'], r['halving']): r for r in content['rows']}
        self.budgets = sorted({budget for _, budget, _ in self._rows} - {0.0})
        self.names = list(dict.fromkeys(system for system, _, _ in self._rows))
        self.halvings = sorted({halving for _, _, halving in self._rows})
        self.best = max(self.costs, key=lambda name: self.accuracy(name).value)
        self.largest = max(self.costs, key=lambda name: self.costs[name])

    def _all(self, system: str, budget: float, field: str) -> list[float]:
        rows = [self._rows.get((system, budget, halving)) for halving in self.halvings]
        return [row[field] for row in rows if row is not None]

    def has(self, system: str, budget: float) -> bool:
        """Return whether a system was run in every halving with that budget."""
        return len(self._all(system, budget, 'accuracy')) == len(self.halvings)

    def accuracy(self, system: str, budget: float = 0.0) -> Mean:
        """Return the accuracy."""
        return Mean.of(self._all(system, budget, 'accuracy'))

    def cost(self, system: str, budget: float = 0.0) -> float:
        """Return the mean cost of an image."""
        return float(np.mean(self._all(system, budget, 'cost')))

    def gain(self, system: str, budget: float = 0.0) -> Mean:
        """Return the accuracy above that of the single CNN that was chosen, on the same images."""
        theirs = self._all(CHOSEN, 0.0, 'accuracy')
        return Mean.of(
            [a - b for a, b in zip(self._all(system, budget, 'accuracy'), theirs, strict=True)]
        )

    def stages(self, system: str, budget: float) -> list[str]:
        """Return which CNNs it had, for each halving."""
        rows = (self._rows[system, budget, halving] for halving in self.halvings)
        return [' → '.join(row['stages']) for row in rows]


if __name__ == '__main__':
    found = Halvings(Path(sys.argv[1]))
    for budget in (0.0, *found.budgets):
        for name in filter(lambda each: found.has(each, budget), found.names):
            print(
                f'{name}, {budget * found.factor:.3g}: {found.accuracy(name, budget).value:.2%} '
                f'for {found.cost(name, budget) * found.factor:.3g} {found.unit}; '
                + '; '.join(found.stages(name, budget))
            )
