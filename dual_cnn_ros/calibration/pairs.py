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
Choose two CNNs of a pool by how they complement each other and what each pair would cost.

Writes complementarity.png, pairs.csv and recommendation.json, and says which pair it recommends
and why, or that a single model wins. The pictures are those that `train` held out from every
model, and of these the part that `calibrate` fits on and chooses with. It certifies on the other
part, which must know nothing of the choice of the pair: give both tools the same --fit.

Of every ordered pair and post-check there are two rules, thresholds on the max_probability of
temperature-scaled probabilities: the most accurate one, and the cheapest one that reaches the
accuracy asked for. What they are expected to do is cross-fitted: every other picture chooses
temperatures and threshold, the remaining ones judge them, and the other way round, so that no
picture judges a rule that it helped to choose. The best of many pairs is chosen on these
estimates, however, so that its own is a little too good; pictures that nobody has seen decide.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
import csv
import json
from pathlib import Path
import sys
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dual_cnn_ros.calibration.predictions import (
    add_fit,
    cpu_seconds,
    fit_and_rest,
    predict,
    read_trained,
)
from dual_cnn_ros.calibration.rules import Combination, final_labels, temperature
from dual_cnn_ros.cascade.scores import SCORES, softmax
from dual_cnn_ros.cascade.settings import POST_CHECKS
from dual_cnn_ros.data.dataset import read_names
from dual_cnn_ros.evaluation.metrics import all_alike
from dual_cnn_ros.evaluation.plots import heat_map
from dual_cnn_ros.tools.cli import run_cli

SCORE = 'max_probability'
AIMS = ('accuracy', 'cost')
# Name, factor, what is written after the number.
COSTS = {
    'cpu_seconds': ('CPU time', 1e3, 'ms of CPU time'),
    'multiply_adds': ('multiply-adds', 1e-6, 'million multiply-adds'),
}
HALVES = (slice(0, None, 2), slice(1, None, 2))

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


class Member(NamedTuple):
    """A model of the pool. accuracy: on all pictures."""

    name: str
    accuracy: float
    multiply_adds: float
    cpu_seconds: float


class Row(NamedTuple):
    """
    What a single model, or a pair under a rule, is expected to do with a picture.

    second, post_check, aim: '' for a single model. aim: what the threshold was chosen for, one of
    AIMS. gain: accuracy over that of the best single model, and margin: half of its 95 % interval,
    the pictures being a sample. complementarity: see `complementarity`. either_right: the share of
    pictures on which one of the two is right, the most that a rule that picks one of their answers
    can reach ('average' may find a third one).
    """

    first: str
    second: str
    post_check: str
    aim: str
    accuracy: float
    gain: float
    margin: float
    second_share: float
    multiply_adds: float
    cpu_seconds: float
    complementarity: float
    either_right: float

    @property
    def title(self) -> str:
        """What it is in a table."""
        return f'{self.first} + {self.second}' if self.second else self.first


class Recommendation(NamedTuple):
    """Rows of their own merit, the cheapest of which may not exist, the winner, and why."""

    single: Row
    complementary: Row
    cheapest: Row | None
    most_accurate: Row
    winner: Row
    reasons: tuple[str, ...]


def only_first(right: Bools) -> npt.NDArray[np.int64]:
    """Return how many pictures model i is right on and j is not, (M, M), of right (M, N)."""
    both = right.astype(np.int64) @ right.T.astype(np.int64)
    return np.diag(both)[:, np.newaxis] - both


def complementarity(right: Bools) -> Floats:
    """
    Return 2 min(x, y) / N of each two models, (M, M), x and y being right by one of them alone.

    right: (M, N), whether model m is right on picture n. It is (n(a or b) - n(a and b) -
    |n(a) - n(b)|) / N with n the number of pictures that are right (Kinnas et al., arXiv
    2412.01039), so that a weak model does not complement a strong one by being different.
    """
    alone = only_first(right)
    return 2 * np.minimum(alone, alone.T) / right.shape[1]


def expect(
    members: Sequence[Member],
    logits: Sequence[Floats],
    labels: npt.NDArray[np.int64],
    accuracy: float | None = None,
) -> list[Row]:
    """
    Return a row for every single model, then for every ordered pair, post-check and aim.

    logits: (N, K) of each model. labels: (N,). accuracy: what the cheapest rule has to reach on
    the pictures that choose it; where None, what the best single model reaches there. A rule that
    cannot reach it is the most accurate one.
    """
    count = len(labels)
    right = np.array([z.argmax(axis=1) == labels for z in logits])
    best = max(range(len(members)), key=lambda i: members[i].accuracy)
    complements, alone = complementarity(right), only_first(right)

    def row(i: int, j: int | None, check: str, aim: str, outcome: Sequence[float]) -> Row:
        hits, share, gained, lost = (value / count for value in outcome)
        costs = np.array(members[i][2:])
        if j is not None:
            costs += share * np.array(members[j][2:])
        margin = 1.96 * max(0.0, (gained + lost - (gained - lost) ** 2) / count) ** 0.5
        if not gained + lost and (i, j) != (best, None):
            margin = 1 - all_alike(count)
        pair = (
            (0.0, hits)
            if j is None
            else (float(complements[i, j]), (right[j].sum() + alone[i, j]) / count)
        )
        return Row(
            members[i].name,
            '' if j is None else members[j].name,
            check,
            aim,
            hits,
            gained - lost,
            margin,
            share,
            *costs.tolist(),
            *pair,
        )

    rows = [
        row(i, None, '', '', (right[i].sum(), 0, alone[i, best], alone[best, i]))
        for i in range(len(members))
    ]
    checks = tuple(POST_CHECKS)
    outcomes = _cross_fit(logits, labels, best, accuracy)
    return rows + [
        row(i, j, checks[c], AIMS[a], outcomes[i, j, c, a].tolist())
        for i, j, c, a in np.ndindex(outcomes.shape[:-1])
        if i != j
    ]


def _cross_fit(
    logits: Sequence[Floats], labels: npt.NDArray[np.int64], best: int, accuracy: float | None
) -> npt.NDArray[np.int64]:
    """
    Return of each pair, post-check and aim, (M, M, checks, aims, 4), how many pictures count.

    As: right, passed to the second model, right where the best single model is wrong, the reverse.
    """
    size = len(logits)
    outcomes = np.zeros((size, size, len(POST_CHECKS), len(AIMS), 4), np.int64)
    with tqdm(total=2 * size * (size - 1), desc='pairs', unit='pair', disable=None) as bar:
        for chosen, judging in (HALVES, HALVES[::-1]):
            probabilities = [softmax(z, temperature(z[chosen], labels[chosen])) for z in logits]
            # The cascade compares in double precision too.
            scores = [SCORES[SCORE](p).astype(np.float64) for p in probabilities]
            right = np.array([p.argmax(axis=1) == labels for p in probabilities])
            goal = right[best, chosen].mean() if accuracy is None else accuracy
            for i, j in np.ndindex(size, size):
                if i == j:
                    continue
                final = final_labels(probabilities[i], probabilities[j], {SCORE: scores[i]})
                for c, check in enumerate(POST_CHECKS):
                    half, rest = (
                        Combination(
                            SCORE,
                            check,
                            scores[i][part],
                            right[i, part],
                            (final[SCORE, check] == labels)[part],
                        )
                        for part in (chosen, judging)
                    )
                    rules = half.curve()
                    for a, point in enumerate(
                        (rules.most_accurate(), rules.reaching(min(goal, rules.accuracy.max())))
                    ):
                        got, reference = rest.right(point.threshold), right[best, judging]
                        outcomes[i, j, c, a] += (
                            got.sum(),
                            (rest.scores < point.threshold).sum(),
                            (got > reference).sum(),
                            (got < reference).sum(),
                        )
                bar.update()
    return outcomes


def recommend(rows: Sequence[Row], cost: str, accuracy: float | None = None) -> Recommendation:
    """
    Return the rows worth knowing, and the cheapest that is accurate enough.

    cost: a name of COSTS. accuracy: that is enough; None for that of the best single model, which
    wins unless a pair reaches it for less.
    """

    def price(row: Row) -> float:
        return float(getattr(row, cost))

    def strongest(some: Sequence[Row]) -> Row:
        return min(some, key=lambda row: (-row.accuracy, price(row)))

    singles = sorted((row for row in rows if not row.second), key=price)
    rank = {row.first: number for number, row in enumerate(singles)}
    cheaper_first = [row for row in rows if row.second and rank[row.first] < rank[row.second]]
    single = strongest(singles)
    most = max(row.complementarity for row in cheaper_first)
    goal = single.accuracy if accuracy is None else accuracy
    # A single model before a pair that costs as much.
    enough = sorted(
        (row for row in rows if row.accuracy >= goal),
        key=lambda row: (price(row), bool(row.second), -row.accuracy),
    )
    advice = Recommendation(
        single,
        strongest(
            [row for row in cheaper_first if row.complementarity == most and row.aim == 'accuracy']
        ),
        next((row for row in enough if row.second), None),
        strongest(rows),
        enough[0] if enough else strongest(rows),
        (),
    )
    return advice._replace(
        reasons=tuple(_reasons(advice, cost, goal, {row.first: row.accuracy for row in singles}))
    )


def _reasons(
    advice: Recommendation, cost: str, goal: float, accuracy_of: Mapping[str, float]
) -> Iterator[str]:
    title, factor, unit = COSTS[cost]
    single, pair, cheapest, most_accurate, winner, _ = advice

    def expected(row: Row) -> str:
        value = getattr(row, cost)
        text = f'{row.accuracy:.2%} for {value * factor:.3g} {unit}'
        if row != single:
            text += (
                f' ({row.gain * 100:+.2f} points, 95 % interval ±{row.margin * 100:.2f}, and '
                f'{value / getattr(single, cost):.0%} of the {title} of {single.first})'
            )
        if row.second:
            text += (
                f', asking {row.second} for {row.second_share:.0%} of the pictures, '
                f'post-check {row.post_check}'
            )
        return text

    yield f'The best single model is {single.first}: {expected(single)}.'
    if pair.complementarity:
        alone = [pair.either_right - accuracy_of[other] for other in (pair.second, pair.first)]
        yield (
            f'The most complementary are {pair.first} and {pair.second}: complementarity '
            f'{pair.complementarity:.2%}, as {alone[0]:.2%} of the pictures are right by '
            f'{pair.first} alone and {alone[1]:.2%} by {pair.second} alone. One of the two is '
            f'right on {pair.either_right:.2%}. Expected: {expected(pair)}.'
        )
    else:
        yield (
            'No two models complement each other: of every two, one is right wherever the '
            'other is.'
        )
    if cheapest is not None:
        yield (
            f'The cheapest pair of at least {goal:.2%} is {cheapest.first} before '
            f'{cheapest.second}: {expected(cheapest)}.'
        )
    if most_accurate.second and most_accurate != cheapest:
        yield f'The most accurate is {most_accurate.title}: {expected(most_accurate)}.'
    if winner.accuracy < goal:
        yield f'NOTHING in this pool is expected to reach {goal:.2%}; {winner.title} is nearest.'
    elif winner.second:
        yield (
            f'RECOMMENDED: the pair {winner.title}, because nothing cheaper is expected to '
            f'reach {goal:.2%}.'
        )
    else:
        yield (
            f'THE SINGLE MODEL WINS: no pair is expected to reach {goal:.2%} for less '
            f'{title} than {winner.first} alone, {expected(winner)}.'
        )


def run(options: argparse.Namespace) -> str:
    """Write the results, and return what to print; ValueError where the pool is of no use."""
    files = [file.resolve() for file in options.models]
    if twice := [str(file) for i, file in enumerate(files) if file in files[:i]]:
        raise ValueError(f'{twice[0]} is given twice')
    if len(files) < 2:
        raise ValueError(
            'one model has nothing to complement; give the metrics files of two or more'
        )
    if options.accuracy is not None and not 0 < options.accuracy <= 1:
        raise ValueError(
            f'--accuracy is a fraction in (0, 1], such as 0.93, not {options.accuracy:g}'
        )
    pool = [read_trained(file) for file in options.models]
    stems = [file.stem for file in files]
    names = [
        stem if stems.count(stem) == 1 else str(given.with_suffix(''))
        for stem, given in zip(stems, options.models)
    ]
    exclude = read_names(options.exclude) if options.exclude else ()
    answers = predict(
        pool,
        options.data,
        split=pool[0].metrics['arguments']['split'],
        held_out=True,
        exclude=exclude,
    )
    fit, _ = fit_and_rest(answers[0].names, options.fit, pool[0].metrics['arguments']['seed'])
    if len(fit) < 2:
        raise ValueError(
            f'{options.data}: of the {len(answers[0].names)} pictures held out, '
            f'--fit {options.fit:g} leaves {len(fit)}; two or more are needed'
        )
    labels, logits = answers[0].labels[fit], [answer.logits[fit] for answer in answers]
    right = np.array([z.argmax(axis=1) == labels for z in logits])
    members = [
        Member(name, float(own.mean()), float(trained.metrics['multiply_adds']), seconds)
        for name, own, trained, seconds in zip(names, right, pool, cpu_seconds(pool))
    ]
    rows = expect(members, logits, labels, options.accuracy)
    advice = recommend(rows, options.cost, options.accuracy)
    complements = complementarity(right)
    _write(
        options.out,
        members,
        complements,
        rows,
        advice,
        {
            'pictures': len(labels),
            'fit': options.fit,
            'cost': options.cost,
            'accuracy': options.accuracy,
            'files': dict(zip(names, map(str, options.models))),
        },
    )
    return _report(members, complements, advice, options, len(labels))


def _write(
    out: Path,
    members: Sequence[Member],
    complements: Floats,
    rows: Sequence[Row],
    advice: Recommendation,
    settings: Mapping[str, Any],
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with (out / 'pairs.csv').open('w', newline='', encoding='utf-8') as stream:
        table = csv.writer(stream)
        table.writerow(Row._fields)
        table.writerows(
            [f'{value:.7g}' if isinstance(value, float) else value for value in row]
            for row in rows
        )
    shown = 100 * complements
    np.fill_diagonal(shown, np.nan)
    names = [member.name for member in members]
    most = np.unravel_index(np.nanargmax(shown), shown.shape)
    picture = heat_map(
        shown,
        [f'{member.name}  {member.accuracy:.1%}' for member in members],
        names,
        f'Complementarity, % of {settings["pictures"]:,} pictures; beside the names: accuracy',
        (int(most[0]), int(most[1])),
    )
    (out / 'complementarity.png').write_bytes(cv2.imencode('.png', picture)[1].tobytes())
    content = {
        **settings,
        **{
            key: value._asdict() if isinstance(value, Row) else value
            for key, value in advice._asdict().items()
        },
    }
    (out / 'recommendation.json').write_text(
        json.dumps(content, indent=1) + '\n', encoding='utf-8'
    )


def _report(
    members: Sequence[Member],
    complements: Floats,
    advice: Recommendation,
    options: argparse.Namespace,
    count: int,
) -> str:
    width = max(len(member.name) for member in members)
    lines = [
        f'{count:,} held-out pictures of {options.data.name} to choose with; complementarity '
        'in % of them',
        '',
        f'    {"":{width}} accuracy {"M mult-adds":>11} {"CPU ms":>8}  '
        + ''.join(f'{i + 1:6}' for i in range(len(members))),
    ]
    for i, (member, own) in enumerate(zip(members, complements), 1):
        lines.append(
            f'{i:3} {member.name:{width}} {member.accuracy:8.2%} '
            f'{member.multiply_adds / 1e6:11.2f} {member.cpu_seconds * 1e3:8.3f}  '
            + ''.join(
                f'{"-":>6}' if j == i else f'{value:6.2f}' for j, value in enumerate(100 * own, 1)
            )
        )
    entries = [
        ('best single model', advice.single),
        ('most complementary', advice.complementary),
        ('cheapest accurate', advice.cheapest),
        ('most accurate', advice.most_accurate),
    ]
    width = max(len(row.title) for _, row in entries if row)
    lines += [
        '',
        f'{"expected":19} {"":{width}} {"post-check":14} accuracy   second '
        f'{"M mult-adds":>11} {"CPU ms":>8}',
    ]
    for title, row in entries:
        if row is not None:
            lines.append(
                f'{title:19} {row.title:{width}} {row.post_check:14} {row.accuracy:8.2%} '
                f'{row.second_share:8.1%} {row.multiply_adds / 1e6:11.2f} '
                f'{row.cpu_seconds * 1e3:8.3f}'
            )
    lines += [
        '',
        *advice.reasons,
        '',
        f'{options.out / "complementarity.png"} shows the matrix, '
        f'{options.out / "pairs.csv"} has all pairs and rules.',
    ]
    return '\n'.join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='pair', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('data', type=Path, help='the folder or tar that all were trained on')
    parser.add_argument(
        'models',
        type=Path,
        nargs='+',
        metavar='MODEL',
        help='metrics files (.json) that train wrote, two or more; the answers of '
        'each are kept beside it (.npz), so that it runs once',
    )
    parser.add_argument('--out', type=Path, required=True, help='folder of the results')
    parser.add_argument(
        '--cost',
        choices=tuple(COSTS),
        default='cpu_seconds',
        help='what the recommended pair has least of: CPU seconds as measured '
        'here, or multiply-adds, the same on every machine (%(default)s)',
    )
    parser.add_argument(
        '--accuracy',
        type=float,
        metavar='FRACTION',
        help='that is enough; where not given, that of the best single model',
    )
    add_fit(parser)
    parser.add_argument(
        '--exclude', type=Path, metavar='FILE', help='the names that train left out'
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    return run_cli('pair', lambda: print(run(options)))


if __name__ == '__main__':
    sys.exit(main())
