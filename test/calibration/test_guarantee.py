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

"""The guarantee kept in simulation, and broken by what the proofs forbid."""

from __future__ import annotations

from dataclasses import replace
import math
from typing import Any

import numpy as np
import pytest

from dual_cnn_ros.bundle import Certificate
from dual_cnn_ros.calibration import guarantee
from dual_cnn_ros.calibration.guarantee import certified_steps, certify, METHODS
from dual_cnn_ros.calibration.rules import CandidateRule
from dual_cnn_ros.cascade.settings import ALWAYS_DEFER

pytestmark = pytest.mark.filterwarnings('error')

ALPHA, DELTA, RUNS = 0.05, 0.1, 2000
GRID = np.linspace(0.9, 0.4, 6)
# What a rate of probability DELTA stays under but once in thousands of simulations.
HIGHEST_RATE = DELTA + 3.5 * math.sqrt(DELTA * (1 - DELTA) / RUNS)


def simulate(
    harm: Any, benefit: Any, seed: int, shape: tuple[int, ...] = (RUNS, 400)
) -> CandidateRule:
    """
    Return a rule on images drawn at random, the last axis of the shape.

    harm, benefit: for each threshold of the grid, the probability that only the second stage is
    right, and that only the first is, of an image that this threshold is the first to accept.
    """
    random = np.random.default_rng(seed)
    band = random.integers(0, len(GRID), shape)
    u, h, b = random.random(shape), np.asarray(harm)[band], np.asarray(benefit)[band]
    return rule_of(GRID[band], u >= h, (u < h) | (u >= h + b))


def rule_of(*arrays: np.ndarray) -> CandidateRule:
    """Return a rule of as many stages as there are arrays of what is right, after the scores."""
    count = len(arrays) // 2 + 1
    return CandidateRule('entropy', 'none', arrays[:-count], arrays[-count:], (1.0,) * count)


def certified_threshold(rule: CandidateRule, grid: Any, *options: Any, **named: Any) -> np.ndarray:
    """Return the loosest threshold of a falling grid that is certified for two stages, or NaN."""
    path = np.array([[ALWAYS_DEFER], *([threshold] for threshold in grid)])
    steps = certified_steps(rule, path, *options, **named)
    return np.concatenate(([math.nan], path[:, 0]))[steps]


def typical(*shape: int) -> CandidateRule:
    return simulate(np.linspace(0, 0.2, 6), np.linspace(0, 0.05, 6), 9, shape)


def gaps_at(threshold: float, rule: CandidateRule) -> np.ndarray:
    return rule.always_right.astype(int) - rule.right_at([threshold])


def violations(thresholds: np.ndarray, losses: np.ndarray) -> float:
    """Return how often a threshold was deployed that loses alpha or more; losses: of the grid."""
    lost = dict(zip(GRID.tolist(), losses.tolist()))
    return float(np.mean([lost.get(t, 0.0) >= ALPHA - 1e-12 for t in thresholds.tolist()]))


@pytest.mark.parametrize('benefit', [0.0, 0.1])
@pytest.mark.parametrize('true_loss', [0.3, 1.0, 1.3, 2.0])
@pytest.mark.parametrize('method', METHODS)
def test_loss_is_exceeded_no_more_often_than_promised(
    method: str, true_loss: float, benefit: float
) -> None:
    """true_loss: that of the loosest threshold, in alphas; those before lose less in steps."""
    harm = np.full(len(GRID), true_loss * ALPHA + benefit)
    rule = simulate(harm, np.full(len(GRID), benefit), 1)
    thresholds = certified_threshold(rule, GRID, ALPHA, DELTA, method)
    assert thresholds.shape == (RUNS,)
    rate = violations(thresholds, true_loss * ALPHA * np.arange(1, 7) / 6)
    assert rate <= HIGHEST_RATE
    if true_loss == 1 and (benefit == 0 or method == 'betting'):
        assert rate > DELTA / 10, 'as good as never: this simulation could not show a violation'
    if true_loss < 1 and benefit == 0:
        assert np.mean(thresholds == GRID[-1]) > 0.9, 'what loses little is deployed'


# All of the loss is in what the first threshold accepts; what the others add is noise.
NOISY = ([len(GRID) * ALPHA] + [0.25] * 5, [0.0] + [0.25] * 5)


def test_testing_all_thresholds_and_not_in_sequence_breaks_the_promise() -> None:
    rule, losses = simulate(*NOISY, 3), np.full(6, ALPHA)
    promised = certified_threshold(rule, GRID, ALPHA, DELTA)
    assert violations(promised, losses) <= HIGHEST_RATE
    loosest = np.full(RUNS, ALWAYS_DEFER)
    for threshold in GRID:
        loosest[guarantee.loss_is_bounded(gaps_at(threshold, rule), ALPHA, DELTA)] = threshold
    assert violations(loosest, losses) > 1.5 * HIGHEST_RATE


def test_bets_in_an_order_that_depends_on_the_outcome_break_the_promise() -> None:
    gaps = gaps_at(GRID[-1], simulate(*NOISY, 4))
    assert guarantee.loss_is_bounded(gaps, ALPHA, DELTA).mean() <= HIGHEST_RATE
    assert guarantee.loss_is_bounded(np.sort(gaps, axis=-1), ALPHA, DELTA).mean() > 0.99


@pytest.mark.parametrize(
    ('worst_harm', 'benefit', 'ahead'),
    [(0.12, np.linspace(0.02, 0.07, 6), 'betting'), (0.05, np.zeros(6), 'binomial')],
)
def test_betting_accepts_more_than_the_binomial_test_where_gains_make_up_for_losses(
    worst_harm: float, benefit: np.ndarray, ahead: str
) -> None:
    rule = simulate(np.linspace(0.02, worst_harm, 6), benefit, 6, (200, 2000))
    accepted = {
        method: (certified_threshold(rule, GRID, 0.03, 0.05, method) <= rule.scores[0].T).mean()
        for method in METHODS
    }
    assert max(accepted, key=accepted.__getitem__) == ahead


@pytest.mark.parametrize(
    ('harmed', 'images', 'shown'), [(0, 299, True), (0, 298, False), (1, 299, False)]
)
def test_rule_of_three(harmed: int, images: int, shown: bool) -> None:
    """0 of 299 shows less than 1 % at 95 %, and 0 of 298 does not, by the binomial test."""
    assert bool(guarantee.harm_is_bounded(np.arange(images) < harmed, 0.01, 0.05)) == shown


@pytest.mark.parametrize('method', METHODS)
def test_repetitions_are_independent_of_each_other(method: str) -> None:
    rule = typical(20, 300)
    together = certified_threshold(rule, GRID, ALPHA, DELTA, method)
    assert len(set(together.tolist())) > 2
    for run, threshold in enumerate(together):
        assert certified_threshold(rule.on(run), GRID, ALPHA, DELTA, method) == threshold


@pytest.mark.parametrize('method', METHODS)
def test_where_nothing_can_be_shown_even_a_certain_first_stage_is_not_accepted(
    method: str,
) -> None:
    right = np.ones(50, bool)
    rule = rule_of(np.ones(50), right, right)
    assert certified_threshold(rule, [1.0, 0.5], 0.01, 0.05, method) == ALWAYS_DEFER
    assert not (rule.scores[0] >= ALWAYS_DEFER).any()


def test_strong_model_has_to_be_matched_by_the_second_stage_too() -> None:
    rule = typical(3000)
    number = np.arange(3000)

    def loosest(rule: CandidateRule, reference: np.ndarray | None) -> float:
        return float(certified_threshold(rule, GRID, ALPHA, DELTA, reference_right=reference))

    own = loosest(rule, None)
    assert ALWAYS_DEFER > own > GRID[-1] and loosest(rule, rule.always_right) == own
    # The model errs less often than either stage.
    strong, second = number % 100 > 0, number % 10 > 0
    assert math.isnan(loosest(rule_of(*rule.scores, rule.right[0], second), strong))
    # Where the second stage matches it, to be certain of the first one would not do.
    certain = rule_of(np.ones(3000), rule.right[0], strong)
    assert loosest(certain, strong) == ALWAYS_DEFER
    # The model errs more often than the second stage, so there is more to lose.
    weak = second & (number % 33 > 0)
    assert loosest(rule_of(*rule.scores, second, second), weak) == GRID[-1]


def test_all_thresholds_up_to_the_loosest_are_certified() -> None:
    rule = typical(3000)
    sought = Certificate(ALPHA, DELTA, 'betting', 3000, 'strong')
    path = np.array([[ALWAYS_DEFER], *GRID[:, np.newaxis]])
    for found, method in zip(certify(rule, path, sought, rule.always_right), METHODS):
        loosest = certified_threshold(rule, GRID, ALPHA, DELTA, method)
        assert GRID[-1] < loosest < GRID[0]
        assert found.path == ((ALWAYS_DEFER,), *((t,) for t in GRID[loosest <= GRID]))
        assert found.certificate == replace(sought, method=method)
    weak = rule_of(*rule.scores, rule.right[0], np.arange(3000) % 10 > 0)
    assert certify(weak, path, sought, np.ones(3000, bool)) == ()


def three_stages(seed: int, shape: tuple[int, ...]) -> CandidateRule:
    """Return a rule of three stages, each better than the one before where that one is unsure."""
    random = np.random.default_rng(seed)
    scores = random.random((2, *shape))
    right = [random.random(shape) < p for p in (0.5 + scores[0] / 2, 0.7 + scores[1] / 4, 0.95)]
    return rule_of(*scores, *right)


def test_a_path_of_vectors_keeps_the_promise() -> None:
    path = guarantee.declared_path(three_stages(0, (2000,)), 30)
    assert path.shape[1] == 2 and len(path) <= 31 and (path[0] == ALWAYS_DEFER).all()
    rule, many = three_stages(1, (RUNS, 400)), three_stages(2, (200_000,))
    steps = certified_steps(rule, path, ALPHA, DELTA)
    losses = [float(many.always_right.mean() - many.right_at(t).mean()) for t in path]
    # The first that loses too much is not certified too often; what is certified may be used.
    assert np.mean([max(losses[:n]) > ALPHA for n in steps]) <= HIGHEST_RATE
    costs = [many.at(t).cost for t in path]
    assert (np.diff(costs) < 0.02).all() and costs[0] == 3
    assert np.mean([costs[n - 1] for n in steps]) < 2.5, 'a certificate that saves something'


def test_the_path_is_declared_by_other_images_and_saves_the_front() -> None:
    rule = three_stages(5, (500,))
    front = rule.outcomes().pareto()
    path = guarantee.declared_path(rule, 10_000)
    assert path[1:].tolist() == front.thresholds[::-1].tolist()


def scenes(loss: float, seed: int, runs: int = 600, count: int = 300) -> tuple[Any, list[str]]:
    """
    Return a rule on frames of scenes that are lost together, and the scene of each frame.

    Long scenes lose more often; loss: of all frames, so many are lost.
    """
    random = np.random.default_rng(seed)
    lengths = random.choice([1, 4, 10], count)
    names = [name for i, n in enumerate(lengths) for name in [f'scene {i}'] * int(n)]
    # Mean of n * p(n) over the mean of n is the loss.
    chance = {1: 0.5 * loss, 4: 0.8 * loss, 10: (5 * loss - 0.5 * loss / 3 - 3.2 * loss / 3) * 0.3}
    shape = (runs, count)
    is_lost = random.random(shape) < np.array([chance[int(n)] for n in lengths])
    first = ~np.repeat(is_lost, lengths, axis=1)
    always = np.ones(first.shape, bool)
    return rule_of(np.full(first.shape, 0.5), first, always), names


@pytest.mark.parametrize('true_loss', [0.3, 1.0, 1.3, 2.0])
def test_frames_of_one_scene_count_as_one_bet(true_loss: float) -> None:
    rule, names = scenes(true_loss * ALPHA, 7)
    blocks = guarantee.Blocks.of(names, 10)
    found = certified_threshold(rule, [0.5], ALPHA, DELTA, blocks=blocks) == 0.5
    single = certified_threshold(rule, [0.5], ALPHA, DELTA) == 0.5
    highest = DELTA + 3.5 * math.sqrt(DELTA * (1 - DELTA) / len(found))
    if true_loss < 1:
        assert found.mean() > 0.5, 'what loses little is deployed'
    else:
        assert found.mean() <= highest
    if true_loss == 1:
        assert single.mean() > 1.5 * highest, (
            'frames as if they were independent break the promise'
        )


def test_of_a_long_scene_an_even_choice_counts() -> None:
    blocks = guarantee.Blocks.of(['a'] * 9 + ['b'] * 2, 3)
    assert blocks.kept.nonzero()[0].tolist() == [0, 4, 8, 9, 10] and len(blocks) == 2
    gaps = np.array([1, 0, 0, 0, 1, 0, 0, 0, 1] + [0, 1])
    # All of three that count, and one of two.
    np.testing.assert_allclose(blocks.gaps(gaps, 0.1), [1.0, 0.1 + (1 - 2 * 0.1) / 3])
    # A single image a scene, and a scene is an image.
    alone = guarantee.Blocks.of([str(i) for i in range(11)], 1)
    np.testing.assert_allclose(alone.gaps(gaps, 0.1), gaps)


@pytest.mark.parametrize(('alpha', 'delta'), [(0.01, 0.05), (0.05, 0.1), (0.02, 0.05)])
def test_as_many_images_are_needed_as_are_said_to_be(alpha: float, delta: float) -> None:
    needed = guarantee.units_needed(alpha, delta)
    shown = [
        bool(guarantee.loss_is_bounded(np.zeros(n), alpha, delta))
        for n in (needed - 1, 2 * needed)
    ]
    assert shown == [False, True]


@pytest.mark.parametrize(
    ('path', 'alpha', 'delta', 'message'),
    [
        ([[0.6], [0.5]], 0.0, 0.1, 'alpha and delta'),
        ([[0.6], [0.5]], 0.1, 1.0, 'alpha and delta'),
        ([0.6, 0.5], 0.1, 0.1, 'vectors of one threshold'),
        ([[0.6, 0.5]], 0.1, 0.1, 'vectors of one threshold'),
    ],
)
def test_what_makes_no_sense_is_refused(
    path: list[Any], alpha: float, delta: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        certified_steps(typical(10), path, alpha, delta)
