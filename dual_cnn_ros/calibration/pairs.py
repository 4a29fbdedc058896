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

"""Choose two CNNs of a pool by what each pair is expected to reach, and to cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import csv
from dataclasses import astuple, dataclass, fields
from itertools import permutations, product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dual_cnn_ros.calibration.candidates import (
    measure_cpu_seconds,
    read_candidates,
    select_validation_images,
)
from dual_cnn_ros.calibration.complementarity import complementarity
from dual_cnn_ros.calibration.intervals import exact_interval
from dual_cnn_ros.calibration.predictions import divide, predict, Predictions
from dual_cnn_ros.calibration.rules import candidate_rules
from dual_cnn_ros.calibration.temperature import fit_temperature
from dual_cnn_ros.cascade.settings import POST_CHECKS
from dual_cnn_ros.data.dataset import read_names
from dual_cnn_ros.files import write_json
from dual_cnn_ros.records import to_plain

SCORE = 'max_probability'
AIMS = ('accuracy', 'cost')
# Title, factor and unit of what a pair may have least of.
COSTS = {
    'cpu_seconds': ('CPU time', 1e3, 'ms of CPU time'),
    'macs': ('MACs', 1e-6, 'million MACs'),
}
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
    What a single CNN, or a pair under a rule, is expected to do with an image.

    Attributes
    ----------
    first, second
        Names of the CNNs; second is '' for a single one.
    post_check
        '' for a single CNN.
    aim
        What the threshold was chosen for, one of AIMS; '' for a single CNN.
    accuracy
        Share of right answers.
    gain
        Accuracy over that of the best single CNN.
    margin
        Half of the 95 % interval of the gain, the images being a sample.
    deferral_rate
        Share of images that the first CNN passes on.
    macs, cpu_seconds
        Mean cost of an image.
    complementarity
        See `complementarity`.
    either_right
        Share of images on which one of the two is right: the most that a rule can reach which
        picks one of their answers ('average' may find a third one).

    """

    first: str
    second: str
    post_check: str
    aim: str
    accuracy: float
    gain: float
    margin: float
    deferral_rate: float
    macs: float
    cpu_seconds: float
    complementarity: float
    either_right: float

    @property
    def title(self) -> str:
        """What it is in a table."""
        return f'{self.first} + {self.second}' if self.second else self.first


@dataclass(frozen=True)
class Recommendation:
    """
    What is worth knowing of a pool.

    Attributes
    ----------
    single
        The best single CNN.
    complementary
        The most complementary pair.
    cheapest
        The cheapest pair that is accurate enough, if there is one.
    most_accurate
        Of all pairs and single CNNs.
    winner
        The cheapest that is accurate enough, a pair or a single CNN.
    goal
        The accuracy that is enough.
    pareto
        The CNNs and pairs than which nothing cheaper is as accurate, cheapest first.

    """

    single: Expectation
    complementary: Expectation
    cheapest: Expectation | None
    most_accurate: Expectation
    winner: Expectation
    goal: float
    pareto: tuple[Expectation, ...]


def expect(
    members: Sequence[PoolMember], predictions: Predictions, accuracy: float | None = None
) -> list[Expectation]:
    """
    Return what to expect of every single CNN, then of every ordered pair, post-check and aim.

    Parameters
    ----------
    members
        The pool.
    predictions
        Of its CNNs, in the same order, on the images to choose with.
    accuracy
        What the cheapest rule has to reach on the images that choose it; None for what the best
        single CNN reaches there. A rule that cannot reach it is the most accurate one.

    Notes
    -----
    Thresholds are those of the SCORE of temperature-scaled probabilities: the most accurate one,
    and the cheapest one that is accurate enough. Expectations are cross-fitted: every other image
    chooses temperatures and threshold, the remaining ones judge them, and the other way round, so
    that no image judges a rule that it helped to choose. The best of many pairs is chosen by these
    estimates, however, so that its own is a little too good; new images decide.

    """
    right = predictions.right
    best = max(range(len(members)), key=lambda i: members[i].accuracy)
    complements = complementarity(right)

    def row(
        i: int, j: int | None, check: str, aim: str, got: Bools, deferred: Bools
    ) -> Expectation:
        gains = got.astype(int) - right[best]
        margin = 1.96 * float(gains.std()) / len(gains) ** 0.5
        if not gains.any() and (i, j) != (best, None):
            margin = exact_interval(0, len(gains))[1]
        accuracy, rate = float(got.mean()), float(deferred.mean())
        macs, seconds = members[i].macs, members[i].cpu_seconds
        if j is not None:
            macs += rate * members[j].macs
            seconds += rate * members[j].cpu_seconds
        return Expectation(
            members[i].name,
            '' if j is None else members[j].name,
            check,
            aim,
            accuracy,
            float(gains.mean()),
            margin,
            rate,
            macs,
            seconds,
            0.0 if j is None else float(complements[i, j]),
            accuracy if j is None else float((right[i] | right[j]).mean()),
        )

    never = np.zeros(len(predictions), bool)
    singles = [row(i, None, '', '', own, never) for i, own in enumerate(right)]
    return [*singles, *(row(*outcome) for outcome in _cross_fit(predictions, best, accuracy))]


def _cross_fit(
    predictions: Predictions, best: int, accuracy: float | None
) -> Iterator[tuple[int, int, str, str, Bools, Bools]]:
    """Yield each pair, post-check and aim, and which images are right and deferred, (N,)."""
    labels, halves = predictions.labels, []
    for choosing, judging in (HALVES, HALVES[::-1]):
        temperatures = [fit_temperature(z[choosing], labels[choosing]) for z in predictions.logits]
        goal = predictions.right[best, choosing].mean() if accuracy is None else accuracy
        halves.append((choosing, judging, predictions.probabilities(temperatures), goal))
    pairs = list(permutations(range(len(predictions.logits)), 2))
    for i, j in tqdm(pairs, desc='pairs', unit='pair', disable=None):
        got = np.empty((len(POST_CHECKS), len(AIMS), len(labels)), bool)
        deferred = np.empty_like(got)
        for choosing, judging, probabilities, goal in halves:
            rules = candidate_rules([probabilities[i], probabilities[j]], labels, (SCORE,))
            for c, rule in enumerate(rules):
                chosen, judged = rule.on(choosing).curve(), rule.on(judging)
                enough = min(goal, chosen.accuracy.max())
                for a, at in enumerate((chosen.most_accurate(), chosen.reaching(enough))):
                    got[c, a, judging] = judged.right(at.threshold)
                    deferred[c, a, judging] = judged.scores < at.threshold
        for (c, check), (a, aim) in product(enumerate(POST_CHECKS), enumerate(AIMS)):
            yield i, j, check, aim, got[c, a], deferred[c, a]


def recommend(
    rows: Sequence[Expectation], cost: str, accuracy: float | None = None
) -> Recommendation:
    """
    Return what is worth knowing, and the cheapest that is accurate enough.

    Parameters
    ----------
    rows
        Of `expect`.
    cost
        A name of COSTS.
    accuracy
        What is enough; None for that of the best single CNN, which wins unless a pair reaches it
        for less.

    """

    def price(row: Expectation) -> float:
        return float(getattr(row, cost))

    def strongest(some: Sequence[Expectation]) -> Expectation:
        return min(some, key=lambda row: (-row.accuracy, price(row)))

    singles = sorted((row for row in rows if not row.second), key=price)
    rank = {row.first: number for number, row in enumerate(singles)}
    cheaper_first = [row for row in rows if row.second and rank[row.first] < rank[row.second]]
    single = strongest(singles)
    most = max(row.complementarity for row in cheaper_first)
    goal = single.accuracy if accuracy is None else accuracy
    # A single CNN before a pair that costs as much.
    enough = sorted(
        (row for row in rows if row.accuracy >= goal),
        key=lambda row: (price(row), bool(row.second), -row.accuracy),
    )
    return Recommendation(
        single,
        strongest(
            [row for row in cheaper_first if row.complementarity == most and row.aim == 'accuracy']
        ),
        next((row for row in enough if row.second), None),
        strongest(rows),
        enough[0] if enough else strongest(rows),
        goal,
        _pareto(sorted(rows, key=lambda row: (price(row), bool(row.second), -row.accuracy))),
    )


def _pareto(cheapest_first: Sequence[Expectation]) -> tuple[Expectation, ...]:
    best, front = -1.0, []
    for row in cheapest_first:
        if row.accuracy > best:
            best = row.accuracy
            front.append(row)
    return tuple(front)


def explain(advice: Recommendation, cost: str) -> Iterator[str]:
    """Yield the reasons of a recommendation, in sentences; cost: a name of COSTS."""
    title, factor, unit = COSTS[cost]
    single, pair, winner = advice.single, advice.complementary, advice.winner

    def expected(row: Expectation) -> str:
        value = getattr(row, cost)
        text = f'{row.accuracy:.2%} for {value * factor:.3g} {unit}'
        if row != single:
            text += (
                f' ({row.gain * 100:+.2f} points, 95 % interval ±{row.margin * 100:.2f}, and '
                f'{value / getattr(single, cost):.0%} of the {title} of {single.first})'
            )
        if row.second:
            text += f', deferring {row.deferral_rate:.0%} to {row.second}, {row.post_check}'
        return text

    yield f'Best single CNN: {single.first}, {expected(single)}.'
    if pair.complementarity:
        yield (
            f'Most complementary: {pair.first} and {pair.second}, {pair.complementarity:.2%}; one '
            f'of the two is right on {pair.either_right:.2%}. Expected: {expected(pair)}.'
        )
    else:
        yield (
            'No two CNNs complement each other: of every two, one is right wherever the other is.'
        )
    if advice.cheapest is not None:
        yield (
            f'Cheapest pair of at least {advice.goal:.2%}: {advice.cheapest.title}, '
            f'{expected(advice.cheapest)}.'
        )
    if advice.most_accurate.second and advice.most_accurate != advice.cheapest:
        yield f'Most accurate: {advice.most_accurate.title}, {expected(advice.most_accurate)}.'
    if winner.accuracy < advice.goal:
        yield (
            f'NOTHING in this pool is expected to reach {advice.goal:.2%}; {winner.title} comes '
            'nearest.'
        )
    elif winner.second:
        yield (
            f'RECOMMENDED: the pair {winner.title}, because nothing cheaper is expected to reach '
            f'{advice.goal:.2%}.'
        )
    else:
        yield (
            f'THE SINGLE CNN WINS: no pair is expected to reach {advice.goal:.2%} for less '
            f'{title} than {winner.first} alone.'
        )


@dataclass(frozen=True)
class PairingFindings:
    """
    What the choice of a pair found: the content of recommendation.json.

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
class PairingOptions:
    """
    What to choose a pair of, and by what.

    Attributes
    ----------
    data
        Folder or tar that all CNNs were trained on.
    pool
        Bundles of one stage, by path or name; two or more.
    out
        Folder of the results.
    cost
        A name of COSTS: what the recommended pair has least of.
    accuracy
        The accuracy that is enough; None for that of the best single CNN.
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
    fit: float = 0.5
    exclude: Path | None = None


def choose_pair(options: PairingOptions) -> PairingFindings:
    """
    Choose two CNNs of a pool; write recommendation.json and pairs.csv.

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
    rows = expect(members, fit, options.accuracy)
    advice = recommend(rows, options.cost, options.accuracy)
    findings = PairingFindings(
        len(fit),
        options.fit,
        options.cost,
        options.accuracy,
        {candidate.name: candidate.path for candidate in pool},
        members,
        tuple(tuple(row) for row in complementarity(fit.right).tolist()),
        advice,
        tuple(explain(advice, options.cost)),
    )
    write_pairing(options.out, findings, rows)
    return findings


def write_pairing(folder: Path, findings: PairingFindings, rows: Sequence[Expectation]) -> None:
    """Write recommendation.json, and pairs.csv with all rows."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / 'pairs.csv').open('w', newline='', encoding='utf-8') as stream:
        table = csv.writer(stream)
        table.writerow([field.name for field in fields(Expectation)])
        table.writerows(
            [f'{value:.7g}' if isinstance(value, float) else value for value in astuple(row)]
            for row in rows
        )
    write_json(folder / 'recommendation.json', to_plain(findings))
