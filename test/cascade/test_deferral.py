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

"""The learned score: what it computes, that it is fitted well, and when it beats confidence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dual_cnn_ros.cascade.deferral import Deferral, fit
from dual_cnn_ros.cascade.scores import SCORES

pytestmark = pytest.mark.filterwarnings('error')

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

# How the first CNN's probabilities fall, how often it is right, and how often the second one is.
SHAPES = (
    ((40.0, 1.0, 0.5, 0.5, 0.5), 0.97, 0.60),  # sure
    ((12.0, 11.0, 0.3, 0.3, 0.3), 0.50, 0.95),  # torn between two: the second knows them apart
    ((6.0, 5.0, 5.0, 4.0, 4.0), 0.30, 0.25),  # lost, and so is the second
)


def specialist(count: int, seed: int) -> tuple[Floats, Integers, Integers]:
    """Return probabilities (N, 5) of a first CNN, and whether it and its second are right."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, len(SHAPES), count)
    p = np.empty((count, 5))
    for i, (alpha, _, _) in enumerate(SHAPES):
        p[kind == i] = rng.dirichlet(alpha, (kind == i).sum())
    p = rng.permuted(p, axis=1).astype(np.float32)
    first, second = (rng.random(count) < np.array([s[c] for s in SHAPES])[kind] for c in (1, 2))
    return p, first.astype(np.int64), second.astype(np.int64)


def accuracy(
    scores: npt.NDArray[np.floating], first: Integers, second: Integers, share: float
) -> float:
    """Return the accuracy where that share of pictures, of the lowest scores, is deferred."""
    deferred = np.argsort(scores, kind='stable')[: int(share * len(scores))]
    right = first.copy()
    right[deferred] = second[deferred]
    return float(right.mean())


def test_score_is_the_predicted_gain_of_the_largest_probabilities() -> None:
    deferral = Deferral(0.1, (0.5, -0.25))
    gain = 0.1 + 0.5 * math.log(0.6) - 0.25 * math.log(0.3)
    p = np.array([0.1, 0.6, 0.3], dtype=np.float32)
    assert deferral(p) == pytest.approx((1 - gain) / 2, abs=1e-5)
    assert deferral(p[:2] / 0.7) != pytest.approx(deferral(p))
    np.testing.assert_allclose(
        deferral(np.array([[p, p[::-1]], [p[[1, 0, 2]], p]])), np.full((2, 2), deferral(p))
    )


def test_offset_of_the_answer_is_added() -> None:
    deferral = Deferral(0.1, (0.5,), (0.0, 0.2, -0.4))
    p = np.array([[0.2, 0.5, 0.3], [0.2, 0.3, 0.5], [0.5, 0.2, 0.3]], dtype=np.float32)
    without = Deferral(0.1, (0.5,))(p)
    np.testing.assert_allclose(deferral(p), without - np.array([0.1, -0.2, 0.0]))
    np.testing.assert_array_equal([deferral(row) for row in p], deferral(p))


@pytest.mark.parametrize('classes', [1, 2, 10, 1000])
@pytest.mark.parametrize('intercept', [-9.0, 0.0, 9.0])
def test_score_is_in_its_range_at_every_extreme(classes: int, intercept: float) -> None:
    deferral = Deferral(intercept, (3.0, -2.0)[:classes])
    batch = np.stack([np.eye(classes, dtype=np.float32)[0], np.full(classes, 1 / classes)])
    assert ((deferral(batch) >= 0) & (deferral(batch) <= 1)).all()
    assert Deferral(0.0, (0.0,))(batch).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    'numbers',
    [(0.0, ()), (math.nan, (1.0,)), (0.0, (1.0, math.inf)), (0.0, (1.0,), (0.0, math.nan))],
)
def test_numbers_that_predict_nothing_are_refused(numbers: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match='all finite'):
        Deferral(*numbers)


def test_where_confidence_is_a_poor_guide_the_learned_score_wins_at_equal_cost() -> None:
    # Whoever is torn is surer than who is lost by every plain score, but only there the second
    # CNN helps: at a share of a third, plain scores spend it on the lost ones.
    p, first, second = specialist(4000, seed=1)
    learned = fit(p, second - first)
    p, first, second = specialist(4000, seed=2)
    for share in (0.15, 0.3, 0.45):
        reached = accuracy(learned(p), first, second, share)
        for score in SCORES.values():
            assert reached > accuracy(score(p), first, second, share) + 0.04
    best = np.mean([max(s[1], s[2]) for s in SHAPES])  # knowing each picture's kind
    assert accuracy(learned(p), first, second, 1 / 3) > best - 0.03


def test_where_the_second_knows_some_classes_only_those_are_deferred() -> None:
    # Neither how sure the first is nor how often it is right depends on the class; what the second
    # knows does. So plain scores cannot tell where it helps, and defer at random.
    def pair(seed: int) -> tuple[Floats, Integers, Integers]:
        rng = np.random.default_rng(seed)
        p = rng.dirichlet(np.full(20, 0.2), 4000).astype(np.float32)
        knows = np.where(p.argmax(axis=1) < 10, 0.9, 0.3)
        return p, (rng.random(4000) < 0.6).astype(int), (rng.random(4000) < knows).astype(int)

    p, first, second = pair(1)
    learned = fit(p, second - first)
    assert len(learned.offsets) == 20
    p, first, second = pair(2)
    assert accuracy(learned(p), first, second, 0.5) > 0.73  # of 0.75
    for score in SCORES.values():
        assert accuracy(score(p), first, second, 0.5) < 0.63  # 0.6, whatever is deferred


def test_offsets_are_the_solution_of_the_whole_ridge_regression(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    p, first, second = specialist(500, seed=9)
    gain = (second - first) * (p.argmax(axis=1) != 2)
    monkeypatch.setattr('dual_cnn_ros.cascade.deferral.TOPS', (3,))
    monkeypatch.setattr('dual_cnn_ros.cascade.deferral.PENALTIES', (10.0,))
    x = np.log(-np.sort(-p.astype(np.float64), axis=1)[:, :3] + 1e-6)
    x = np.column_stack(
        ((x - x.mean(axis=0)) / x.std(axis=0), np.eye(5)[p.argmax(axis=1)], np.ones(500))
    )
    solution = np.linalg.solve(x.T @ x + np.diag([10.0] * 8 + [0.0]), x.T @ gain)
    np.testing.assert_allclose(fit(p, gain)(p), (1 - x @ solution) / 2, atol=1e-9)


def test_predicted_gain_is_the_gain() -> None:
    p, first, second = specialist(4000, seed=3)
    learned = fit(p, second - first)
    p, first, second = specialist(4000, seed=4)
    predicted = 1 - 2 * learned(p)
    order = np.argsort(predicted)
    for quarter in np.split(order, 4):
        assert predicted[quarter].mean() == pytest.approx(
            (second - first)[quarter].mean(), abs=0.12
        )


def test_without_evidence_it_is_the_largest_probability() -> None:
    # The gain depends on nothing else. Without the standard error, 13 of these 40 say otherwise.
    misled = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        p = rng.dirichlet(np.full(6, 0.3), 400).astype(np.float32)
        learned = fit(p, (rng.random(400) < 0.5 * (1 - p.max(axis=1))).astype(int))
        if learned.offsets:
            misled += 1
        else:
            assert len(learned.weights) == 1
            np.testing.assert_array_equal(np.argsort(learned(p)), np.argsort(p.max(axis=1)))
    assert misled <= 6


@pytest.mark.parametrize('gain', [-1, 0, 1])
def test_the_same_gain_everywhere_is_predicted_everywhere(gain: int) -> None:
    p, _, _ = specialist(50, seed=6)
    np.testing.assert_allclose(fit(p, np.full(50, gain))(p), (1 - gain) / 2, atol=1e-9)


def test_fit_is_the_same_each_time_and_for_any_order_of_classes() -> None:
    p, first, second = specialist(1000, seed=7)
    learned = fit(p, second - first)
    assert fit(p.copy(), second - first) == learned
    mirrored = fit(p[:, ::-1], second - first)
    np.testing.assert_allclose(mirrored(p[:, ::-1]), learned(p), atol=1e-9)


@pytest.mark.parametrize('classes', [1, 2, 3])
def test_few_classes_are_enough(classes: int) -> None:
    p = np.random.default_rng(8).dirichlet(np.ones(classes), 60).astype(np.float32)
    learned = fit(p, np.arange(60) % 3 - 1)
    assert len(learned.weights) <= classes and np.isfinite(learned(p)).all()


def test_sure_answers_only_are_enough() -> None:
    p = np.eye(4, dtype=np.float32)[np.arange(40) % 4]
    gain = np.array([1, 0, 0, -1] * 10)
    np.testing.assert_allclose(fit(p, gain)(p), (1 - gain) / 2, atol=0.1)


@pytest.mark.parametrize(
    ('p', 'gain'),
    [
        (np.ones((4, 2)) / 2, np.zeros(4)),
        (np.ones((9, 0)), np.zeros(9)),
        (np.ones(9), np.zeros(9)),
        (np.ones((9, 2)) / 2, np.zeros(8)),
    ],
    ids=str,
)
def test_arrays_that_do_not_fit_are_refused(p: Floats, gain: Integers) -> None:
    with pytest.raises(ValueError, match='as many gains of 5 pictures or more'):
        fit(p, gain)


@pytest.mark.parametrize(
    ('value', 'gain'), [(0.5, 2), (0.5, 0.5), (0.5, math.nan), (1.5, 0), (-0.5, 0), (math.nan, 0)]
)
def test_values_that_cannot_be_are_refused(value: float, gain: float) -> None:
    with pytest.raises(ValueError, match='gains must be -1, 0 or 1'):
        fit(np.full((9, 2), value), np.full(9, gain))
