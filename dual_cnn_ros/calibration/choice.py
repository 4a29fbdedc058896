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

"""Choose a cascade of a pool of CNNs by what each one is expected to reach, and to cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
import csv
from dataclasses import dataclass, fields
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dual_cnn_ros.calibration.candidates import (
    COSTS,
    measure_cpu_seconds,
    read_candidates,
    select_validation_images,
)
from dual_cnn_ros.calibration.complementarity import complementarity
from dual_cnn_ros.calibration.intervals import exact_interval
from dual_cnn_ros.calibration.predictions import divide, predict, Predictions
from dual_cnn_ros.calibration.rules import Answers
from dual_cnn_ros.calibration.temperature import fit_temperature
from dual_cnn_ros.cascade.costs import expected_cost
from dual_cnn_ros.cascade.settings import POST_CHECKS
from dual_cnn_ros.data.dataset import read_names
from dual_cnn_ros.files import write_json
from dual_cnn_ros.records import to_plain

SCORE = 'max_probability'
AIMS = ('accuracy', 'cost')
MOST_STAGES = 4
# A CNN may be asked before one that costs less by this factor at the most.
SIMILAR = 1.25
# Of thresholds that are tried for one cascade, at most: 16 for each of three.
MOST_TRIED = 16**3
HALVES = (slice(0, None, 2), slice(1, None, 2))

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PoolMember:
    """
    A CNN of the pool.

    Attributes
    ----------
    name
        Unique in the pool.
    accuracy
        On all images to choose with.
    macs, cpu_seconds
        Cost of one image.

    """

    name: str
    accuracy: float
    macs: float
    cpu_seconds: float


@dataclass(frozen=True)
class Expectation:
    """
    What a single CNN, or a cascade under a rule, is expected to do with an image.

    Attributes
    ----------
    stages
        Names of the CNNs, in the order in which they are asked.
    post_check
        '' for a single CNN.
    aim
        What the thresholds were chosen for, one of AIMS; '' for a single CNN.
    accuracy
        Share of right answers.
    gain
        Accuracy over that of the best single CNN.
    margin
        Half of the 95 % interval of the gain, the images being a sample.
    deferral_rates
        Share of all images that each stage but the last passes on.
    macs, cpu_seconds
        Mean cost of an image.
    any_right
        Share of images on which one of the CNNs is right: the most that a rule can reach which
        picks one of their answers ('average' may find another one).

    """

    stages: tuple[str, ...]
    post_check: str
    aim: str
    accuracy: float
    gain: float
    margin: float
    deferral_rates: tuple[float, ...]
    macs: float
    cpu_seconds: float
    any_right: float

    @property
    def is_single(self) -> bool:
        """Whether it is one CNN alone."""
        return len(self.stages) == 1

    @property
    def title(self) -> str:
        """What it is in a table."""
        return ' + '.join(self.stages)


@dataclass(frozen=True)
class Recommendation:
    """
    What is worth knowing of a pool.

    Attributes
    ----------
    single
        The best single CNN.
    complementary
        The most complementary pair, the cheaper CNN first.
    cheapest
        The cheapest cascade that is accurate enough, if there is one.
    most_accurate
        Of all cascades and single CNNs.
    winner
        The cheapest that is accurate enough, a cascade or a single CNN.
    goal
        The accuracy that is enough.
    pareto
        The CNNs and cascades than which nothing cheaper is as accurate, cheapest first.

    """

    single: Expectation
    complementary: Expectation
    cheapest: Expectation | None
    most_accurate: Expectation
    winner: Expectation
    goal: float
    pareto: tuple[Expectation, ...]


def expect(
    members: Sequence[PoolMember],
    predictions: Predictions,
    cost: str,
    accuracy: float | None = None,
    most_stages: int = MOST_STAGES,
) -> list[Expectation]:
    """
    Return what to expect of every single CNN, then of every cascade, post-check and aim.

    Parameters
    ----------
    members
        The pool.
    predictions
        Of its CNNs, in the same order, on the images to choose with.
    cost
        A name of COSTS: what the cheapest rule has least of.
    accuracy
        What the cheapest rule has to reach on the images that choose it; None for what the best
        single CNN reaches there. A rule that cannot reach it is the most accurate one.
    most_stages
        Of a cascade, at most.

    Notes
    -----
    A cascade asks cheaper CNNs before dearer ones, and those of similar cost in any order. To ask
    a CNN of c times the cost first pays only where it accepts more than c times as many images.
    Thresholds are those of the SCORE of temperature-scaled probabilities: the most accurate ones,
    and the cheapest ones that are accurate enough. Expectations are cross-fitted: every other
    image chooses temperatures and thresholds, the remaining ones judge them, and the other way
    round, so that no image judges a rule that it helped to choose. The best of many cascades is
    chosen by these estimates, however, so that its own is a little too good; new images decide.

    """
    right = predictions.right
    best = max(range(len(members)), key=lambda i: members[i].accuracy)

    def row(
        order: Sequence[int], check: str, aim: str, got: Bools, deferred: Iterable[Bools]
    ) -> Expectation:
        gains = got.astype(int) - right[best]
        margin = 1.96 * float(gains.std()) / len(gains) ** 0.5
        if not gains.any() and tuple(order) != (best,):
            margin = exact_interval(0, len(gains))[1]
        rates = tuple(float(passed.mean()) for passed in deferred)
        accuracy = float(got.mean())
        return Expectation(
            tuple(members[i].name for i in order),
            check,
            aim,
            accuracy,
            float(gains.mean()),
            margin,
            rates,
            expected_cost([members[i].macs for i in order], rates),
            expected_cost([members[i].cpu_seconds for i in order], rates),
            float(right[list(order)].any(axis=0).mean()),
        )

    singles = [row((i,), '', '', own, ()) for i, own in enumerate(right)]
    costs = [float(getattr(member, cost)) for member in members]
    orders = [
        order
        for length in range(2, most_stages + 1)
        for order in permutations(range(len(members)), length)
        if all(costs[i] <= SIMILAR * costs[j] for i, j in combinations(order, 2))
    ]
    outcomes = _cross_fit(predictions, orders, costs, best, accuracy)
    return [*singles, *(row(*outcome) for outcome in outcomes)]


def _cross_fit(
    predictions: Predictions,
    orders: Sequence[tuple[int, ...]],
    costs: Sequence[float],
    best: int,
    accuracy: float | None,
) -> Iterator[tuple[tuple[int, ...], str, str, Bools, Bools]]:
    """Yield each order, post-check and aim, and which images are right, and which deferred."""
    labels, halves = predictions.labels, []
    for choosing, judging in (HALVES, HALVES[::-1]):
        temperatures = [fit_temperature(z[choosing], labels[choosing]) for z in predictions.logits]
        goal = predictions.right[best, choosing].mean() if accuracy is None else accuracy
        answers = Answers(predictions.probabilities(temperatures), labels)
        halves.append((choosing, judging, answers, goal))
    for order in tqdm(orders, desc='cascades', unit='cascade', disable=None):
        for check in POST_CHECKS:
            got = np.empty((len(AIMS), len(labels)), bool)
            deferred = np.empty((len(AIMS), len(order) - 1, len(labels)), bool)
            for choosing, judging, answers, goal in halves:
                rule = answers.rule(SCORE, check, order, [costs[i] for i in order])
                outcomes, judged = rule.on(choosing).outcomes(MOST_TRIED), rule.on(judging)
                most = outcomes.most_accurate()
                enough = outcomes.reaching(min(goal, most.accuracy))
                for aim, at in enumerate((most, enough)):
                    got[aim, judging] = judged.right_at(at.thresholds)
                    deferred[aim][:, judging] = judged.deferred_at(at.thresholds)
            for aim, name in enumerate(AIMS):
                yield order, check, name, got[aim], deferred[aim]


def recommend(
    rows: Sequence[Expectation],
    complements: npt.NDArray[np.float64],
    cost: str,
    accuracy: float | None = None,
) -> Recommendation:
    """
    Return what is worth knowing, and the cheapest that is accurate enough.

    Parameters
    ----------
    rows
        Of `expect`, the single CNNs first.
    complements
        (M, M), the complementarity of every two members, in the order of the single CNNs.
    cost
        A name of COSTS.
    accuracy
        What is enough; None for that of the best single CNN, which wins unless a cascade reaches
        it for less.

    """

    def price(row: Expectation) -> float:
        return float(getattr(row, cost))

    def strongest(some: Sequence[Expectation]) -> Expectation:
        return min(some, key=lambda row: (-row.accuracy, price(row)))

    singles = [row for row in rows if row.is_single]
    single = strongest(singles)
    # Of equal ones, the pair that is strongest together.
    most = complements.max()
    pairs = {
        tuple(singles[i].title for i in sorted(pair, key=lambda i: price(singles[i])))
        for pair in zip(*np.nonzero(complements == most))
        if pair[0] != pair[1]
    }
    goal = single.accuracy if accuracy is None else accuracy
    # A single CNN before a cascade that costs as much, and fewer stages before more.
    cheapest_first = sorted(rows, key=lambda row: (price(row), len(row.stages), -row.accuracy))
    enough = [row for row in cheapest_first if row.accuracy >= goal]
    return Recommendation(
        single,
        strongest([row for row in rows if row.stages in pairs and row.aim == 'accuracy']),
        next((row for row in enough if not row.is_single), None),
        strongest(rows),
        enough[0] if enough else strongest(rows),
        goal,
        _pareto(cheapest_first),
    )


def _pareto(cheapest_first: Sequence[Expectation]) -> tuple[Expectation, ...]:
    best, front = -1.0, []
    for row in cheapest_first:
        if row.accuracy > best:
            best = row.accuracy
            front.append(row)
    return tuple(front)


def explain(
    advice: Recommendation, complements: npt.NDArray[np.float64], cost: str
) -> Iterator[str]:
    """Yield the reasons of a recommendation, in sentences; see `recommend`."""
    title, factor, unit = COSTS[cost]
    single, pair, winner = advice.single, advice.complementary, advice.winner

    def expected(row: Expectation) -> str:
        value = getattr(row, cost)
        text = f'{row.accuracy:.2%} for {value * factor:.3g} {unit}'
        if row != single:
            text += (
                f' ({row.gain * 100:+.2f} points, 95 % interval ±{row.margin * 100:.2f}, and '
                f'{value / getattr(single, cost):.0%} of the {title} of {single.title})'
            )
        if not row.is_single:
            passed = ', '.join(
                f'{rate:.0%} to {name}' for rate, name in zip(row.deferral_rates, row.stages[1:])
            )
            text += f', deferring {passed}, {row.post_check}'
        return text

    yield f'Best single CNN: {single.title}, {expected(single)}.'
    if most := complements.max():
        yield (
            f'Most complementary: {" and ".join(pair.stages)}, {most:.2%}; one of the two is '
            f'right on {pair.any_right:.2%}. Expected: {expected(pair)}.'
        )
    else:
        yield (
            'No two CNNs complement each other: of every two, one is right wherever the other is.'
        )
    if advice.cheapest is not None:
        yield (
            f'Cheapest cascade of at least {advice.goal:.2%}: {advice.cheapest.title}, '
            f'{expected(advice.cheapest)}.'
        )
    if not advice.most_accurate.is_single and advice.most_accurate != advice.cheapest:
        yield f'Most accurate: {advice.most_accurate.title}, {expected(advice.most_accurate)}.'
    if winner.accuracy < advice.goal:
        yield (
            f'NOTHING in this pool is expected to reach {advice.goal:.2%}; {winner.title} comes '
            'nearest.'
        )
    elif winner.is_single:
        yield (
            f'THE SINGLE CNN WINS: no cascade is expected to reach {advice.goal:.2%} for less '
            f'{title} than {winner.title} alone.'
        )
    else:
        yield (
            f'RECOMMENDED: the cascade {winner.title}, because nothing cheaper is expected to '
            f'reach {advice.goal:.2%}.'
        )


@dataclass(frozen=True)
class ChoiceFindings:
    """
    What the choice of a cascade found: the content of recommendation.json.

    Attributes
    ----------
    images
        Number of images to choose with.
    fit
        Their share of the validation images.
    cost
        A name of COSTS.
    accuracy
        What was asked for; None for that of the best single CNN.
    bundles
        The path of each CNN's bundle, by its name.
    members
        The CNNs.
    complementarity
        Of each two, (M, M), see `complementarity`.
    recommendation
        The advice.
    reasons
        The advice in sentences.

    """

    images: int
    fit: float
    cost: str
    accuracy: float | None
    bundles: Mapping[str, Path]
    members: tuple[PoolMember, ...]
    complementarity: tuple[tuple[float, ...], ...]
    recommendation: Recommendation
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class ChoiceOptions:
    """
    What to choose a cascade of, and by what.

    Attributes
    ----------
    data
        Folder or tar that all CNNs were trained on.
    pool
        Bundles, by path or name, of two or more CNNs together.
    out
        Folder of the results.
    cost
        A name of COSTS: what the recommended cascade has least of.
    accuracy
        The accuracy that is enough; None for that of the best single CNN.
    stages
        Of a cascade, at most.
    fit
        Share of the validation images to choose with.
    exclude
        File of the names that `train` left out.

    """

    data: Path
    pool: tuple[str, ...]
    out: Path
    cost: str = 'cpu_seconds'
    accuracy: float | None = None
    stages: int = MOST_STAGES
    fit: float = 0.5
    exclude: Path | None = None


def choose_cascade(options: ChoiceOptions) -> ChoiceFindings:
    """
    Choose CNNs of a pool, and their order; write recommendation.json and cascades.csv.

    Raises
    ------
    ValueError
        The pool or the images are of no use; the message says why.

    """
    pool = read_candidates(options.pool)
    if len(pool) < 2:
        raise ValueError('one CNN has nothing to complement; give the bundles of two or more')
    exclude = read_names(options.exclude) if options.exclude else frozenset()
    selection = select_validation_images(pool, options.data, exclude)
    fit, _ = divide(predict(pool, selection), options.fit, selection.seed)
    members = tuple(
        PoolMember(candidate.name, float(own.mean()), candidate.stage.macs, seconds)
        for candidate, own, seconds in zip(pool, fit.right, measure_cpu_seconds(pool))
    )
    complements = complementarity(fit.right)
    rows = expect(members, fit, options.cost, options.accuracy, options.stages)
    advice = recommend(rows, complements, options.cost, options.accuracy)
    findings = ChoiceFindings(
        len(fit),
        options.fit,
        options.cost,
        options.accuracy,
        {candidate.name: candidate.path for candidate in pool},
        members,
        tuple(map(tuple, complements.tolist())),
        advice,
        tuple(explain(advice, complements, options.cost)),
    )
    write_choice(options.out, findings, rows)
    return findings


def write_choice(folder: Path, findings: ChoiceFindings, rows: Sequence[Expectation]) -> None:
    """Write recommendation.json, and cascades.csv with all rows."""
    folder.mkdir(parents=True, exist_ok=True)

    def cell(value: object) -> object:
        if isinstance(value, tuple):
            return ' '.join(str(cell(each)) for each in value)
        return f'{value:.7g}' if isinstance(value, float) else value

    names = [field.name for field in fields(Expectation)]
    with (folder / 'cascades.csv').open('w', newline='', encoding='utf-8') as stream:
        table = csv.writer(stream)
        table.writerow(names)
        table.writerows([cell(getattr(row, name)) for name in names] for row in rows)
    write_json(folder / 'recommendation.json', to_plain(findings))
