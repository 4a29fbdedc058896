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

"""The choice of a cascade: expectations by brute force, and advice either way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from some_cnns import decide

from dual_cnn_ros.calibration import choice
from dual_cnn_ros.calibration.choice import (
    expect,
    Expectation,
    explain,
    PoolMember,
    recommend,
    Recommendation,
)
from dual_cnn_ros.calibration.complementarity import complementarity
from dual_cnn_ros.calibration.predictions import Predictions
from dual_cnn_ros.calibration.temperature import fit_temperature
from dual_cnn_ros.cascade.scores import softmax
from dual_cnn_ros.cascade.settings import Criterion, Rule


def pool_of(
    logits: Sequence[np.ndarray], labels: np.ndarray, costs: Sequence[float]
) -> tuple[list[PoolMember], Predictions]:
    """Return CNNs 'a', 'b', ... of these MACs, and as many CPU milliseconds."""
    found = Predictions(tuple(map(str, range(len(labels)))), labels, tuple(logits))
    accuracies = found.right.mean(axis=1).tolist()
    return [
        PoolMember(name, accuracy, cost, cost / 1000)
        for name, accuracy, cost in zip('abcdefgh', accuracies, costs)
    ], found


@pytest.mark.parametrize('goal', [None, 0.6])
def test_expectations_are_those_of_half_the_images_judged_by_the_other(goal) -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 4, 40)
    logits = random.normal(size=(2, 40, 4)).astype(np.float32)
    logits[:, np.arange(40), labels] += [[1.0], [1.6]]
    costs = {'a': 6.0, 'b': 7.0}
    rows = expect(*pool_of(logits, labels, [*costs.values()]), 'macs', goal)
    assert [row.title for row in rows[:2]] == ['a', 'b'] and len(rows) == 2 + 2 * 3 * 2
    right = logits.argmax(axis=2) == labels
    assert rows[1].accuracy == right[1].mean() > rows[0].accuracy

    for row in rows[2:]:
        order = ['ab'.index(name) for name in row.stages]
        outcomes = []
        for start in (0, 1):
            choosing, judging = range(start, 40, 2), range(1 - start, 40, 2)
            first, second = (
                softmax(z, fit_temperature(z[choosing], labels[choosing])) for z in logits[order]
            )

            def outcome(n: int, t: float, p=first, q=second, check=row.post_check):
                rule = Rule((Criterion('max_probability', t),), check)
                label, deferred = decide([p[n], q[n]], rule)
                return label == labels[n], deferred

            scores = np.unique(first[choosing].max(axis=1).astype(float))
            thresholds = [scores[0] / 2, *(scores[:-1] + scores[1:]) / 2, (scores[-1] + 1) / 2]
            tried = [(*np.mean([outcome(n, t) for n in choosing], axis=0), t) for t in thresholds]
            most = max(accuracy for accuracy, _, _ in tried)
            enough = right[1, choosing].mean() if goal is None else goal
            limit = most if row.aim == 'accuracy' else min(enough, most)
            _, threshold = min((rate, t) for accuracy, rate, t in tried if accuracy >= limit)
            outcomes += [(*outcome(n, threshold), right[1, n]) for n in judging]
        hits, deferred, best = np.array(outcomes, float).T
        assert row.accuracy == pytest.approx(hits.mean())
        assert row.deferral_rates == (pytest.approx(deferred.mean()),)
        first, second = row.stages
        assert row.macs == pytest.approx(costs[first] + deferred.mean() * costs[second])
        assert row.cpu_seconds == pytest.approx(row.macs / 1000)
        assert row.gain == pytest.approx((hits - best).mean())
        margin = 1.96 * np.std(hits - best) / 40**0.5
        # That none of 40 images differed does not say that none ever does.
        assert row.margin == pytest.approx(margin or 1 - 0.025 ** (1 / 40))
        assert row.any_right == pytest.approx(right.any(axis=0).mean())


@pytest.mark.parametrize('honest', [True, False])
def test_expectations_are_not_too_good_where_confidence_means_nothing(monkeypatch, honest) -> None:
    if not honest:  # judged by those that chose, twice
        monkeypatch.setattr(choice, 'HALVES', (slice(0, 100), slice(0, 100)))
    gains = []
    for seed in range(25):
        random = np.random.default_rng(seed)
        labels = random.integers(0, 2, 100)
        logits = random.normal(size=(2, 100, 2)).astype(np.float32)
        gains += [
            row.accuracy - 0.5
            for row in expect(*pool_of(logits, labels, [1, 1]), 'macs')
            if (row.stages, row.post_check, row.aim) == (('a', 'b'), 'none', 'accuracy')
        ]
    deviations = np.mean(gains) / (np.std(gains) / 25**0.5)
    assert abs(deviations) < 3 if honest else deviations > 5


def certain(answers: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Return logits of these answers, large where a CNN is sure."""
    return (np.eye(3)[answers] * np.where(sure, 6.0, 1.0)[:, np.newaxis]).astype(np.float32)


def advise(
    pool: tuple[list[PoolMember], Predictions], cost: str = 'macs', accuracy: float | None = None
) -> tuple[Recommendation, list[str]]:
    """Return the advice on a pool, and its reasons."""
    complements = complementarity(pool[1].right)
    advice = recommend(expect(*pool, cost, accuracy), complements, cost, accuracy)
    return advice, list(explain(advice, complements, cost))


N = np.arange(400)
LABELS = N // 10 % 3


def pool_of_a_pair() -> tuple[list[PoolMember], Predictions]:
    """
    Return a small CNN that knows what it does not know, a medium one, and a large one.

    Of 400 images, one in five is hard: on those the small one is unsure and wrong, the medium one
    is wrong on half of them, and the large one right. Of all images, the medium one is wrong on
    another fifth, and the large one on another twentieth.
    """
    small, large = N % 5 == 4, N % 20 == 3
    medium = (N % 5 == 2) | (N % 10 == 4)
    logits = [
        certain((LABELS + wrong) % 3, sure)
        for wrong, sure in ((small, ~small), (medium, N >= 0), (large, N >= 0))
    ]
    return pool_of(logits, LABELS, [1, 5, 10])


@pytest.mark.parametrize('cost', ['macs', 'cpu_seconds'])
def test_a_pair_that_wins_is_recommended(cost) -> None:
    advice, reasons = advise(pool_of_a_pair(), cost)
    assert advice.single.title == 'c' and advice.single.accuracy == 0.95
    assert advice.winner == advice.cheapest
    assert advice.winner.stages == ('a', 'c'), 'and not with b between, which does not help'
    assert advice.winner.accuracy == 1 and advice.winner.deferral_rates == (0.2,)
    assert advice.winner.macs == pytest.approx(1 + 0.2 * 10)
    assert advice.winner.gain == pytest.approx(0.05)
    # Alone right: a on 20 % and b on 10 %; a on 5 % and c on 20 %; b on 5 % and c on 30 %.
    assert advice.complementary.stages == ('a', 'b')
    assert [row.title for row in advice.pareto] == ['a', 'a + c']
    text = '\n'.join(reasons)
    assert 'RECOMMENDED: the cascade a + c' in text and 'SINGLE' not in text
    assert (
        'deferring 20% to c' in text
        and 'a and b, 20.00%' in text
        and '+5.00 points' in text
        and '30% of the' in text
    )


def test_a_single_cnn_that_wins_is_recommended() -> None:
    # The other one costs less, but is wrong wherever it is surest.
    logits = [
        certain((LABELS + (N % 3 == 0)) % 3, N % 3 == 0),
        certain((LABELS + (N % 20 == 0)) % 3, N >= 0),
    ]
    for costs in ([1, 2], [2, 1], [1, 1]):
        advice, (*others, last) = advise(pool_of(logits, LABELS, costs))
        assert advice.winner == advice.single and advice.single.title == 'b'
        assert 'THE SINGLE CNN WINS' in last and 'RECOMMENDED' not in '\n'.join(others)


def test_the_accuracy_asked_for_decides() -> None:
    pool = pool_of_a_pair()
    for accuracy, title, words in (
        (0.75, 'a', 'SINGLE CNN WINS: no cascade is expected to reach 75.00%'),
        (1.0, 'a + c', 'RECOMMENDED'),
    ):
        advice, reasons = advise(pool, accuracy=accuracy)
        assert advice.winner.title == title and advice.single.title == 'c'
        assert words in reasons[-1]


def test_a_pool_that_reaches_nothing_says_so() -> None:
    twins = [certain((LABELS + (N % 40 == 0)) % 3, N >= 0)] * 2
    advice, reasons = advise(pool_of(twins, LABELS, [1, 2]), accuracy=0.99)
    assert advice.cheapest is None and advice.winner.title == 'a'
    assert 'NOTHING' in reasons[-1] and '99.00%' in reasons[-1]
    assert any('No two CNNs complement' in reason for reason in reasons)


def pool_of_three() -> tuple[list[PoolMember], Predictions]:
    """Return CNNs of which each is unsure and wrong where only the dearer ones are right."""
    mixed = np.random.default_rng(0).permutation(N)
    wrong = [mixed % 2 == 0, mixed % 8 == 0, mixed % 40 == 0]
    logits = [certain((LABELS + w) % 3, ~w) for w in wrong]
    return pool_of(logits, LABELS, [1, 10, 100])


def test_three_stages_that_win_are_recommended() -> None:
    advice, reasons = advise(pool_of_three())
    assert advice.winner.stages == ('a', 'b', 'c') and advice.single.title == 'c'
    assert advice.winner.deferral_rates == (0.5, 0.125)
    assert advice.winner.macs == pytest.approx(1 + 0.5 * 10 + 0.125 * 100)
    assert any('deferring 50% to b, 12% to c' in reason for reason in reasons)
    pool = pool_of_three()
    assert max(len(row.stages) for row in expect(*pool, 'macs', most_stages=2)) == 2


def test_orders_that_cannot_pay_are_not_tried() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 40, 3)).astype(np.float32)
    rows = expect(*pool_of(logits, LABELS[:40], [10, 12, 20]), 'macs')
    assert {row.stages for row in rows if not row.is_single} == {
        *(('a', 'b'), ('b', 'a'), ('a', 'c'), ('b', 'c')),
        *(('a', 'b', 'c'), ('b', 'a', 'c')),
    }


def test_a_cascade_of_equal_cost_loses_to_the_single_cnn() -> None:
    row = Expectation(('a',), '', '', 0.9, 0, 0, (), 5, 0.005, 0.9)
    same = replace(row, stages=('a', 'b'), post_check='none', aim='cost', accuracy=0.91)
    other = replace(row, stages=('b',), macs=6, accuracy=0.8)
    rows = [row, other, same, replace(same, aim='accuracy')]
    complements = np.array([[0, 0.1], [0.1, 0]])
    assert recommend(rows, complements, 'macs').winner == row
    rows[2] = replace(same, macs=4.9)
    assert recommend(rows, complements, 'macs').winner == rows[2]
