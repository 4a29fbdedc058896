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
Thresholds with a guarantee: an accuracy loss of at most alpha, with probability 1 - delta.

Learn then Test (Angelopoulos et al., 2021) with fixed-sequence testing: walk a grid of thresholds
that was declared beforehand, from the one that accepts least to the one that accepts most, test at
each the hypothesis that the loss is more than alpha, and stop at the first that is not rejected.
Whatever the number of steps, the probability of going too far is at most delta, because that takes
the rejection of one hypothesis in particular: the first true one. All thresholds before the stop
are certified together, so that any of them may be used, whatever it was chosen by. Nothing that is
decided with the images tested on may change the grid, the rule or the test.

The images must be independent of each other: of a video, take frames that are scenes apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import math

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.bundle import Certificate
from dual_cnn_ros.calibration.rules import CandidateRule
from dual_cnn_ros.cascade.settings import ALWAYS_DEFER

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def harm_is_bounded(gaps: npt.ArrayLike, alpha: float, delta: float) -> Bools:
    """
    Return whether the binomial test shows that P(gap = 1) is at most alpha.

    Parameters
    ----------
    gaps
        (..., N), 1 where the reference is right and the rule is wrong. Images where it is the
        other way round do not count in its favour, so this bounds more than the loss of accuracy.
    alpha, delta
        The p-value of 'more than alpha' has to be at most delta.

    Returns
    -------
    bounded
        (...).

    """
    from scipy.stats import binom

    g = np.asarray(gaps)
    harmed = np.count_nonzero(g > 0, axis=-1)
    return np.asarray(binom.cdf(harmed, g.shape[-1], alpha) <= delta)


def loss_is_bounded(gaps: npt.ArrayLike, alpha: float, delta: float) -> Bools:
    """
    Return whether a betting test shows that E[gap] is at most alpha.

    Parameters
    ----------
    gaps
        (..., N) in [-1, 1], in an order that does not depend on them, such as that of a hash of
        the images' names.
    alpha, delta
        The test errs with a probability of at most delta.

    Returns
    -------
    bounded
        (...).

    Notes
    -----
    Each stake is laid before the image is seen. That keeps the wealth of one who bets on 'at most
    alpha' from reaching 1 / delta with more than probability delta where that is false.

    References
    ----------
    Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", 2024.

    """
    g = np.asarray(gaps)
    n = g.shape[-1]
    seen = np.arange(1, n)
    variance = np.full(g.shape, 0.25)
    # As if one had been seen before, of mean 0 and variance 1/4.
    variance[..., 1:] = (0.25 + np.cumsum(np.square(g[..., :-1]), axis=-1)) / (
        seen + 1
    ) - np.square(np.cumsum(g[..., :-1], axis=-1) / (seen + 1))
    stakes = np.minimum(np.sqrt(2 * math.log(1 / delta) / (n * variance)), 1)
    wealth = np.cumsum(np.log1p(-stakes * (g - alpha)), axis=-1)
    return np.asarray(wealth.max(axis=-1) >= math.log(1 / delta))


METHODS: dict[str, Callable[[npt.ArrayLike, float, float], Bools]] = {
    'betting': loss_is_bounded,
    'binomial': harm_is_bounded,
}


def declared_grid(scores: npt.ArrayLike, size: int = 200) -> Floats:
    """Return at most `size` thresholds, falling: quantiles of scores that are not tested on."""
    quantiles = np.quantile(np.asarray(scores, np.float64), np.linspace(0, 1, size))
    return np.unique(quantiles)[::-1]


def certified_threshold(
    rule: CandidateRule,
    grid: npt.ArrayLike,
    alpha: float,
    delta: float,
    method: str = 'betting',
    reference_right: Bools | None = None,
) -> Floats:
    """
    Return the loosest threshold of the grid whose loss is at most alpha, with P >= 1 - delta.

    Parameters
    ----------
    rule
        On images in an order that does not depend on what is right. Its arrays may have leading
        axes, (..., N): repetitions of all this, each by itself.
    grid
        (L,), falling, chosen without these images.
    alpha, delta
        In (0, 1).
    method
        A name of METHODS.
    reference_right
        (..., N), whether the model that must not be missed is right. None: what always asking all
        stages comes to, which is the last stage alone only where there is no post-check.

    Returns
    -------
    thresholds
        (...). Where nothing can be shown, ALWAYS_DEFER, which by definition loses nothing against
        always asking all stages. Against another reference that has to be shown like the rest, and
        where it cannot be, NaN: no threshold is certified.

    Raises
    ------
    ValueError
        For alpha, delta or a grid that cannot be used.

    """
    steps = np.asarray(grid, np.float64)
    if not 0 < alpha < 1 or not 0 < delta < 1:
        raise ValueError(f'alpha and delta must be in (0, 1), not {alpha} and {delta}')
    if not (np.diff(steps) < 0).all():
        raise ValueError('the grid must fall from the threshold that accepts least')
    reference, certified = rule.final_right, np.array(ALWAYS_DEFER)
    if reference_right is not None:
        reference, certified = reference_right, np.array(math.nan)
        steps = np.insert(steps, 0, ALWAYS_DEFER)
    goes_on = np.ones(rule.scores.shape[:-1], bool)
    for threshold in steps:
        gaps = reference.astype(np.int8) - rule.right(threshold)
        goes_on &= METHODS[method](gaps, alpha, delta)
        certified = np.where(goes_on, threshold, certified)
        if not goes_on.any():
            break
    return certified


@dataclass(frozen=True)
class CertifiedThresholds:
    """
    All thresholds that one test has shown to keep a promise.

    Attributes
    ----------
    certificate
        The promise.
    thresholds
        At least one, rising: the loosest first, ALWAYS_DEFER last.

    """

    certificate: Certificate
    thresholds: tuple[float, ...]


def certify(
    rule: CandidateRule,
    grid: Floats,
    alpha: float,
    delta: float,
    reference: str | None = None,
    reference_right: Bools | None = None,
) -> tuple[CertifiedThresholds, ...]:
    """
    Return what each of METHODS certifies; one that certifies nothing is left out.

    Parameters
    ----------
    rule
        On the images to certify with.
    grid, alpha, delta, reference_right
        As in `certified_threshold`.
    reference
        Name of the model that reference_right belongs to; None for always asking both stages.

    """
    if reference is None:
        reference = (
            'always asking second'
            if rule.post_check == 'none'
            else f'always asking both, post-check {rule.post_check}'
        )
    found = []
    for method in METHODS:
        loosest = certified_threshold(rule, grid, alpha, delta, method, reference_right)
        certified = [t for t in (*grid[::-1].tolist(), ALWAYS_DEFER) if t >= loosest]
        if certified:
            certificate = Certificate(alpha, delta, method, len(rule.scores), reference)
            found.append(CertifiedThresholds(certificate, tuple(certified)))
    return tuple(found)
