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
Four systems and ours on a pool of CNNs: study.py POOL TEST OUT macs|cpu_seconds, see README.md.

The CNNs have seen all training images, so everything is chosen on one half of the test images and
judged on the other, for five random halvings. On the half to choose with, candidates are
cross-fitted: every other image chooses thresholds, the remaining ones judge them, and the other
way round. What does best is then taken with the thresholds of the whole half.

OUT gets macs.json or cpu_seconds.json with every result, at equal MACs or at equal CPU time of the
CNNs as measured here; and bundles of the first halving and the names of the images that chose
them, for `evaluate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path
import re
import sys

from halvings import CHOSEN
import numpy as np
from tqdm import tqdm

from dual_cnn_ros.bundle import Bundle, Certificate, STAGES, write_bundle
from dual_cnn_ros.calibration.candidates import (
    Candidate,
    ImageSelection,
    measure_cpu_seconds,
    read_candidates,
)
from dual_cnn_ros.calibration.complementarity import complementarity
from dual_cnn_ros.calibration.guarantee import certify, declared_path
from dual_cnn_ros.calibration.policy_gradient import learn_selectors, selector_scores
from dual_cnn_ros.calibration.predictions import predict, Predictions
from dual_cnn_ros.calibration.procedure import copy_stage
from dual_cnn_ros.calibration.rules import Answers, CandidateRule
from dual_cnn_ros.calibration.temperature import fit_temperature
from dual_cnn_ros.cascade.selector import Selector
from dual_cnn_ros.cascade.settings import POST_CHECKS, SELECTOR
from dual_cnn_ros.files import write_atomically, write_json
from dual_cnn_ros.records import to_plain

HALVINGS = 5
MOST_STAGES = 4
TRIED = 16**3
PRICES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)
ALPHA, DELTA = 0.01, 0.05
SCORES_TRIED = ('max_probability', 'difference')
UNSCALED = 'ours, without temperatures'
# Systems that `evaluate` leaves out.
UNPLAYED = ('ours, averaged only', 'ours, selector as score')
CROSS = (slice(0, None, 2), slice(1, None, 2))

Order = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """
    What one system came to in one halving, on the images that had no part in its choice.

    Attributes
    ----------
    system
        Its name.
    budget
        The cost that it was allowed, or 0 where it has none.
    halving
        Number of the halving.
    stages
        Names of the CNNs.
    rule
        Score and post-check.
    accuracy, cost
        On the other half of the images.
    deferral_rates
        See Outcome.

    """

    system: str
    budget: float
    halving: int
    stages: tuple[str, ...]
    rule: str
    accuracy: float
    cost: float
    deferral_rates: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Choice:
    """
    A system as it was chosen.

    Attributes
    ----------
    order
        Places of the CNNs in the pool.
    rule
        On the half to choose with.
    thresholds
        One for each stage but the last.
    selectors
        Of the stages but the last, where it has them.

    """

    order: Order
    rule: CandidateRule
    thresholds: tuple[float, ...]
    selectors: tuple[Selector, ...] = ()


class Halving:
    """
    One half of the test images to choose with, the other to judge with.

    Parameters
    ----------
    pool
        The CNNs.
    everything
        What they answer to all test images.
    number
        Seed of the halving.
    costs
        Of each CNN, for one image.
    is_scaled
        Whether temperatures are fitted.

    """

    def __init__(
        self,
        pool: Sequence[Candidate],
        everything: Predictions,
        number: int,
        costs: Sequence[float],
        is_scaled: bool = True,
    ) -> None:
        order = np.random.default_rng(number).permutation(len(everything))
        middle = len(everything) // 2
        self.number, self.pool = number, pool
        self.choosing = everything.take(order[:middle])
        self.judging = everything.take(order[middle:])
        self.temperatures = [
            fit_temperature(z, self.choosing.labels) if is_scaled else 1.0
            for z in self.choosing.logits
        ]
        self.costs = list(map(float, costs))
        self.cheapest_first = sorted(range(len(pool)), key=lambda i: self.costs[i])
        parts = (self.choosing, self.judging)
        self.probabilities = [part.probabilities(self.temperatures) for part in parts]
        self.answers = [Answers(p, part.labels) for p, part in zip(self.probabilities, parts)]
        self._learned: dict[object, tuple[Selector, ...]] = {}
        self.single = int(self.choosing.right.mean(axis=1).argmax())

    def cascades(self, lengths: Sequence[int]) -> list[Order]:
        """Return all cascades of so many CNNs, each cheaper than the next."""
        return [order for length in lengths for order in combinations(self.cheapest_first, length)]

    def rule(self, part: int, order: Order, score: str, check: str) -> CandidateRule:
        """Return a rule on the half to choose with (0) or to judge with (1)."""
        costs = [self.costs[i] for i in order]
        return self.answers[part].rule(score, check, order, costs)

    def learned(
        self, part: int, order: Order, check: str, selectors: Sequence[Selector]
    ) -> CandidateRule:
        """Return the same with selectors in place of a score."""
        rule = self.rule(part, order, 'max_probability', check)
        probabilities = [self.probabilities[part][i] for i in order]
        scores = selector_scores(selectors, probabilities)
        return replace(rule, score=SELECTOR, scores=scores)

    def learn(self, order: Order, check: str, price: float, images: slice) -> tuple[Selector, ...]:
        """Return selectors that some of the images to choose with taught."""
        key = order, check, price, str(images)
        if key not in self._learned:
            probabilities = [self.probabilities[0][i][images] for i in order]
            costs, labels = [self.costs[i] for i in order], self.choosing.labels[images]
            self._learned[key] = learn_selectors(probabilities, labels, costs, check, price)
        return self._learned[key]

    def within(
        self,
        budgets: Sequence[float],
        orders: Sequence[Order],
        scores: Sequence[str],
        checks: Sequence[str],
    ) -> list[Choice]:
        """Return for each budget the cascade that is expected to be most accurate within it."""
        tried = []
        for order, score, check in product(orders, scores, checks):
            rule = self.rule(0, order, score, check)
            right = np.empty((len(budgets), len(self.choosing)), bool)
            for choosing, judging in (CROSS, CROSS[::-1]):
                outcomes, judged = rule.on(choosing).outcomes(TRIED), rule.on(judging)
                for place, budget in enumerate(budgets):
                    found = outcomes.costing_at_most(budget)
                    right[place, judging] = judged.right_at(found.thresholds)
            tried.append((order, rule, right.mean(axis=1)))
        choices = []
        for place, budget in enumerate(budgets):
            # Where no CNN is cheap enough, the cheapest.
            order, rule, _ = max(
                tried,
                key=lambda each: (
                    (1, each[2][place]) if each[1].costs[0] <= budget else (0, -each[1].costs[0])
                ),
            )
            thresholds = rule.outcomes().costing_at_most(budget).thresholds
            choices.append(Choice(order, rule, thresholds))
        return choices

    def selected(self, budget: float, order: Order, check: str) -> Choice:
        """Return selectors that stop above 1/2, of the price that is best within a budget."""
        half = (0.5,) * (len(order) - 1)
        best: tuple[float, float] | None = None
        for price in PRICES:
            right, spent = np.empty(len(self.choosing), bool), 0.0
            for choosing, judging in (CROSS, CROSS[::-1]):
                selectors = self.learn(order, check, price, choosing)
                rule = self.learned(0, order, check, selectors).on(judging)
                right[judging] = rule.right_at(half)
                spent += rule.at(half).cost / 2
            if spent <= budget and (best is None or right.mean() > best[0]):
                best = float(right.mean()), price
        price = best[1] if best else PRICES[-1]
        selectors = self.learn(order, check, price, slice(None))
        return Choice(order, self.learned(0, order, check, selectors), half, selectors)

    def scored(self, budget: float, order: Order, check: str) -> Choice:
        """Return selectors as a score: their thresholds are those that a budget allows."""
        best: tuple[float, float] | None = None
        for price in PRICES[1:-1:2]:
            right = np.empty(len(self.choosing), bool)
            for choosing, judging in (CROSS, CROSS[::-1]):
                rule = self.learned(0, order, check, self.learn(order, check, price, choosing))
                found = rule.on(choosing).outcomes(TRIED).costing_at_most(budget)
                right[judging] = rule.on(judging).right_at(found.thresholds)
            if best is None or right.mean() > best[0]:
                best = float(right.mean()), price
        assert best is not None
        selectors = self.learn(order, check, best[1], slice(None))
        rule = self.learned(0, order, check, selectors)
        return Choice(order, rule, rule.outcomes().costing_at_most(budget).thresholds, selectors)

    def certified(self, order: Order, score: str, check: str) -> Choice:
        """Return thresholds that are certified against the best single CNN."""
        rule = self.rule(0, order, score, check)
        path = declared_path(rule.on(CROSS[0]))
        reference = self.choosing.right[self.single][CROSS[1]]
        sought = Certificate(ALPHA, DELTA, 'betting', len(reference), self.pool[self.single].name)
        tested = rule.on(CROSS[1])
        found = [c for c in certify(tested, path, sought, reference) if c.certificate == sought]
        certified = found[0].path if found else [tuple(path[0].tolist())]
        return Choice(order, rule, min(certified, key=lambda t: tested.at(t).cost))

    def judge(self, system: str, budget: float, choice: Choice) -> Row:
        """Return what a system comes to on the other half."""
        score, check = choice.rule.score, choice.rule.post_check
        if choice.selectors:
            rule = self.learned(1, choice.order, check, choice.selectors)
        else:
            rule = self.rule(1, choice.order, score, check)
        at = rule.at(choice.thresholds)
        return Row(
            system,
            budget,
            self.number,
            tuple(self.pool[i].name for i in choice.order),
            f'{score}, {check}',
            at.accuracy,
            at.cost,
            at.deferral_rates,
        )


def systems(halving: Halving, budgets: Sequence[float]) -> Iterator[tuple[str, float, Choice]]:
    """Yield every system of the table: its name, its budget, and what was chosen."""
    for place, member in enumerate(halving.pool):
        yield member.name, 0.0, Choice((place,), halving.rule(0, (place,), 'entropy', 'none'), ())
    single = (halving.single,)
    yield CHOSEN, 0.0, Choice(single, halving.rule(0, single, 'entropy', 'none'), ())
    # Kinnas et al.: the pair that complements best, the most accurate threshold.
    complements = complementarity(halving.choosing.right)
    pair = np.unravel_index(complements.argmax(), complements.shape)
    order = tuple(i for i in halving.cheapest_first if i in pair)
    for check in POST_CHECKS:
        rule = halving.rule(0, order, 'max_probability', check)
        best = rule.outcomes().most_accurate()
        yield f'complementary pair, {check}', 0.0, Choice(order, rule, best.thresholds)
    big = halving.single
    cheaper = [i for i in halving.cheapest_first if halving.costs[i] < halving.costs[big]]
    littles: list[Order] = [(i, big) for i in cheaper] or [single]
    pairs, many = halving.cascades([1, 2]), halving.cascades(range(1, MOST_STAGES + 1))
    scores, checks = SCORES_TRIED, list(POST_CHECKS)
    found = {
        'big/LITTLE': halving.within(budgets, littles, ['difference'], ['none']),
        'dual': halving.within(budgets, pairs, ['max_probability'], checks),
        'LEANets': halving.within(budgets, many, ['max_probability'], ['none']),
        'ours': halving.within(budgets, many, scores, checks),
        'ours, averaged only': halving.within(budgets, many, scores, ['average']),
    }
    for place, budget in enumerate(budgets):
        for name, choices in found.items():
            yield name, budget, choices[place]
        # The selector stops in the cascade of LEANets, which is the same but for how it stops. One
        # CNN has nowhere to stop.
        nets, ours = found['LEANets'][place], found['ours'][place]
        check = ours.rule.post_check
        selected, scored, certified = nets, ours, ours
        if len(nets.order) > 1:
            selected = halving.selected(budget, nets.order, 'none')
        if len(ours.order) > 1:
            scored = halving.scored(budget, ours.order, check)
            certified = halving.certified(ours.order, ours.rule.score, check)
        yield 'selector', budget, selected
        yield 'ours, selector as score', budget, scored
        yield 'ours, certified', budget, certified


def write_chosen(halving: Halving, name: str, choice: Choice, folder: Path) -> None:
    """Write a system of several stages as a bundle."""
    folder.mkdir(parents=True, exist_ok=True)
    criteria = (*choice.rule.criteria(choice.thresholds), None)
    selectors = (*(choice.selectors or (None,) * len(choice.thresholds)), None)
    stages = tuple(
        copy_stage(
            replace(
                halving.pool[place].stage,
                temperature=round(halving.temperatures[place], 4),
                selector=selector,
            ),
            folder,
            stage,
            0.0,
            criterion,
        )
        for stage, place, criterion, selector in zip(STAGES, choice.order, criteria, selectors)
    )
    labels = halving.pool[0].labels
    write_bundle(Bundle(folder, name, labels, stages, post_check=choice.rule.post_check))


def budgets_of(costs: Sequence[float]) -> list[float]:
    """Return the budgets of the curves, from the cheapest CNN's cost to the dearest's."""
    low, high = min(costs), max(costs)
    return [float(value) for value in np.geomspace(1.3 * low, high, 12)]


def main(pool_folder: Path, test: Path, out: Path, cost: str) -> None:
    """Run the study; cost: a name of COSTS."""
    pool = read_candidates(sorted(str(path.parent) for path in pool_folder.glob('*/bundle.yaml')))
    everything = predict(pool, ImageSelection(test, 'test'))
    costs = [float(member.stage.macs) for member in pool]
    if cost == 'cpu_seconds':
        costs = list(measure_cpu_seconds(pool))
    best = costs[int(everything.right.mean(axis=1).argmax())]
    headline = [0.15 * max(costs), 0.33 * best, 0.65 * best]
    shown = {0.0: '', headline[0]: '15 of largest', headline[2]: '65 of best'}
    budgets = sorted({*headline, *budgets_of(costs)})
    rows = []
    for number in tqdm(range(HALVINGS), desc='halvings', disable=None):
        halving = Halving(pool, everything, number, costs)
        for system, budget, choice in systems(halving, budgets):
            rows.append(halving.judge(system, budget, choice))
            played = number == 0 and budget in shown and system not in UNPLAYED
            if played and len(choice.order) > 1:
                title = re.sub(r'\W+', '_', f'{system} {shown[budget]}'.strip())
                title += '_cpu' * (cost == 'cpu_seconds')
                write_chosen(halving, system, choice, out / 'bundles' / title)
        unscaled = Halving(pool, everything, number, costs, is_scaled=False)
        many = unscaled.cascades(range(1, MOST_STAGES + 1))
        choices = unscaled.within(headline, many, SCORES_TRIED, list(POST_CHECKS))
        rows += [unscaled.judge(UNSCALED, b, choice) for b, choice in zip(headline, choices)]
        if number == 0:
            names = '\n'.join(halving.choosing.names)
            write_atomically(out / 'choosing.txt', names.encode())
        out.mkdir(parents=True, exist_ok=True)
        write_json(
            out / f'{cost}.json',
            {
                'cost': cost,
                'costs': dict(zip([member.name for member in pool], costs)),
                'headline': headline,
                'rows': to_plain(tuple(rows)),
            },
        )


if __name__ == '__main__':
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
