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
from dual_cnn_ros.calibration.guarantee import certified_threshold, certify, METHODS
from dual_cnn_ros.calibration.rules import CandidateRule
from dual_cnn_ros.cascade.settings import ALWAYS_DEFER

pytestmark = pytest.mark.filterwarnings('error')

ALPHA, DELTA, RUNS, IMAGES = 0.05, 0.1, 2000, 400
GRID = np.linspace(0.9, 0.4, 6)


def simulated(
    harm: Any, benefit: Any, seed: int, runs: int = RUNS, images: int = IMAGES
) -> tuple[np.ndarray, ...]:
    """
    Return scores, first_right and final_right, each (runs, images).

    harm, benefit: for each threshold of the grid, the probability that only the second stage is
    right, and that only the first is, of an image that this threshold is the first to accept.
    """
    random = np.random.default_rng(seed)
    band = random.integers(0, len(GRID), (runs, images))
    u, h, b = random.random((runs, images)), np.asarray(harm)[band], np.asarray(benefit)[band]
    return GRID[band], u >= h, (u < h) | (u >= h + b)


def true_losses(harm: Any, benefit: Any) -> np.ndarray:
    """Return the accuracy lost at each threshold of the grid."""
    return np.cumsum(np.subtract(harm, benefit)) / len(GRID)


def highest_rate_allowed(probability: float = DELTA, runs: int = RUNS) -> float:
    """Return what a rate of that probability stays under but once in thousands of times."""
    return probability + 3.5 * math.sqrt(probability * (1 - probability) / runs)


def violations(thresholds: np.ndarray, losses: np.ndarray) -> float:
    """Return how often a threshold was deployed that loses alpha or more."""
    lost = dict(zip(GRID.tolist(), losses.tolist()))
    return float(np.mean([lost.get(t, 0.0) >= ALPHA - 1e-12 for t in thresholds.tolist()]))


@pytest.mark.parametrize('benefit', [0.0, 0.1])
@pytest.mark.parametrize('true_loss', [1.0, 1.3, 2.0])
@pytest.mark.parametrize('method', METHODS)
def test_loss_is_exceeded_no_more_often_than_promised(
    method: str, true_loss: float, benefit: float
) -> None:
    """true_loss: that of the loosest threshold, in alphas; those before lose less in steps."""
    harm = np.full(len(GRID), true_loss * ALPHA + benefit)
    losses = true_losses(harm, np.full(len(GRID), benefit))
    thresholds = certified_threshold(
        *simulated(harm, harm * 0 + benefit, 1), GRID, alpha=ALPHA, delta=DELTA, method=method
    )
    assert thresholds.shape == (RUNS,)
    rate = violations(thresholds, losses)
    assert rate <= highest_rate_allowed()
    if true_loss == 1 and (benefit == 0 or method == 'betting'):
        assert rate > DELTA / 10, 'as good as never: this simulation could not show a violation'


@pytest.mark.parametrize('method', METHODS)
def test_what_loses_little_is_deployed(method: str) -> None:
    harm = np.full(len(GRID), 0.3 * ALPHA)
    thresholds = certified_threshold(
        *simulated(harm, harm * 0, 2), GRID, alpha=ALPHA, delta=DELTA, method=method
    )
    assert np.mean(thresholds == GRID[-1]) > 0.9


# All of the loss is in what the first threshold accepts; what the others add is noise.
NOISY = ([len(GRID) * ALPHA] + [0.25] * 5, [0.0] + [0.25] * 5)


def gaps_at(
    threshold: float, scores: np.ndarray, first: np.ndarray, final: np.ndarray
) -> np.ndarray:
    return np.where(scores >= threshold, final.astype(int) - first, 0)


def test_testing_all_thresholds_and_not_in_sequence_breaks_the_promise() -> None:
    drawn = simulated(*NOISY, 3)
    losses = true_losses(*NOISY)
    assert losses == pytest.approx(ALPHA)
    promised = certified_threshold(*drawn, GRID, alpha=ALPHA, delta=DELTA)
    assert violations(promised, losses) <= highest_rate_allowed()
    loosest = np.full(RUNS, ALWAYS_DEFER)
    for threshold in GRID:
        loosest[guarantee.loss_is_bounded(gaps_at(threshold, *drawn), ALPHA, DELTA)] = threshold
    assert violations(loosest, losses) > 1.5 * highest_rate_allowed()


def test_bets_in_an_order_that_depends_on_the_outcome_break_the_promise() -> None:
    gaps = gaps_at(GRID[-1], *simulated(*NOISY, 4))
    assert guarantee.loss_is_bounded(gaps, ALPHA, DELTA).mean() <= highest_rate_allowed()
    assert guarantee.loss_is_bounded(np.sort(gaps, axis=-1), ALPHA, DELTA).mean() > 0.99


def test_betting_accepts_more_than_the_binomial_test_where_gains_make_up_for_losses() -> None:
    for top, benefit, ahead in (
        (0.12, np.linspace(0.02, 0.07, 6), 'betting'),
        (0.05, np.zeros(6), 'binomial'),
    ):
        drawn = simulated(np.linspace(0.02, top, 6), benefit, 6, runs=200, images=2000)
        accepted = {
            method: (
                drawn[0]
                >= certified_threshold(*drawn, GRID, alpha=0.03, delta=0.05, method=method)[
                    :, np.newaxis
                ]
            ).mean()
            for method in METHODS
        }
        assert max(accepted, key=accepted.__getitem__) == ahead


@pytest.mark.parametrize(('harmed', 'shown'), [(0, True), (1, False)])
def test_rule_of_three(harmed: int, shown: bool) -> None:
    """0 of 299 shows less than 1 % at 95 %, and 0 of 298 does not, by the binomial test."""
    for n, enough in ((299, True), (298, False)):
        gaps = np.arange(n) < harmed
        assert bool(guarantee.harm_is_bounded(gaps, 0.01, 0.05)) == (shown and enough)


def single(runs: int, images: int, seed: int) -> tuple[np.ndarray, ...]:
    return simulated(np.linspace(0, 0.2, 6), np.linspace(0, 0.05, 6), seed, runs, images)


@pytest.mark.parametrize('method', METHODS)
def test_repetitions_are_independent_of_each_other(method: str) -> None:
    drawn = single(20, 300, 8)
    together = certified_threshold(*drawn, GRID, alpha=ALPHA, delta=DELTA, method=method)
    assert len(set(together.tolist())) > 2
    for run, threshold in enumerate(together):
        alone = certified_threshold(
            *(a[run] for a in drawn), GRID, alpha=ALPHA, delta=DELTA, method=method
        )
        assert alone.shape == () and alone == threshold


@pytest.mark.parametrize('method', METHODS)
def test_where_nothing_can_be_shown_even_a_certain_first_stage_is_not_accepted(
    method: str,
) -> None:
    scores = np.ones(50)
    threshold = certified_threshold(
        scores, scores > 0, scores > 0, [1.0, 0.5], alpha=0.01, delta=0.05, method=method
    )
    assert threshold == ALWAYS_DEFER and not (scores >= threshold).any()


def test_strong_model_has_to_be_matched_by_the_second_stage_too() -> None:
    scores, first, final = single(1, 3000, 9)
    scores, first, final = scores[0], first[0], final[0]
    common: dict[str, Any] = {'alpha': ALPHA, 'delta': DELTA}
    own = certified_threshold(scores, first, final, GRID, **common)
    assert ALWAYS_DEFER > own > GRID[-1]
    assert certified_threshold(scores, first, final, GRID, **common, reference_right=final) == own
    # It errs less often than either stage.
    strong = np.arange(3000) % 100 > 0
    final = np.arange(3000) % 10 > 0
    assert math.isnan(
        certified_threshold(scores, first, final, GRID, **common, reference_right=strong)
    )
    # Where the second stage matches it, to be certain of the first one would not do.
    assert (
        certified_threshold(
            np.ones(3000, np.float32), first, strong, [1.0], **common, reference_right=strong
        )
        == ALWAYS_DEFER
    )
    # It errs more often than the second stage, so there is more to lose.
    weak = final & (np.arange(3000) % 33 > 0)
    assert (
        certified_threshold(scores, final, final, GRID, **common, reference_right=weak) == GRID[-1]
    )


@pytest.mark.parametrize(
    ('check', 'reference'),
    [
        ('none', 'always asking second'),
        ('more_confident', 'always asking both, post-check more_confident'),
        ('average', 'strong'),
    ],
)
def test_all_thresholds_up_to_the_loosest_are_certified(check: str, reference: str) -> None:
    scores, first, final = (a[0] for a in single(1, 3000, 9))
    rule = CandidateRule('entropy', check, scores, first, final)
    strong = ('strong', final) if reference == 'strong' else ()
    for found, method in zip(certify(rule, GRID, ALPHA, DELTA, *strong), METHODS):
        loosest = certified_threshold(
            scores, first, final, GRID, alpha=ALPHA, delta=DELTA, method=method
        )
        assert GRID[-1] < loosest < GRID[0]
        assert found.thresholds == (*sorted(GRID[loosest <= GRID]), ALWAYS_DEFER)
        assert found.certificate == Certificate(ALPHA, DELTA, method, 3000, reference)
    weak = replace(rule, final_right=np.arange(3000) % 10 > 0)
    assert certify(weak, GRID, ALPHA, DELTA, 'strong', np.ones(3000, bool)) == ()


def test_grid_falls_and_keeps_to_the_scores() -> None:
    scores = np.float32([0.2, 0.9, 0.9, 0.9, 1.0])
    grid = guarantee.declared_grid(scores, 9)
    assert (np.diff(grid) < 0).all() and grid[0] == 1 and grid[-1] == np.float32(0.2)
    assert len(guarantee.declared_grid(np.linspace(0, 1, 1000))) == 200


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'alpha': 0.0}, 'alpha and delta'),
        ({'delta': 1.0}, 'alpha and delta'),
        ({'method': 'hope'}, 'betting, binomial'),
        ({'grid': [0.5, 0.6]}, 'must fall'),
        ({'grid': [0.5, 0.5]}, 'must fall'),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {'grid': [0.6, 0.5], 'alpha': 0.1, 'delta': 0.1} | change
    with pytest.raises(ValueError, match=message):
        certified_threshold([0.7], [True], [True], **arguments)
