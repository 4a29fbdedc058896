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

Learn then Test (Angelopoulos et al., 2021) with fixed-sequence testing: walk a path of vectors of
thresholds that was declared beforehand, from always asking all stages to asking hardly any but the
first, test at each step the hypothesis that the loss is more than alpha, and stop at the first
that is not rejected. Whatever the number of steps, the probability of going too far is at most
delta, because that takes the rejection of one hypothesis in particular: the first true one. All
vectors before the stop are certified together, so that any of them may be used, whatever it was
chosen by. Nothing that is decided with the images tested on may change the path, the rule or the
test.

The images must be independent of each other. Those of a video are not: there, a whole scene counts
as one bet, by the share of its frames that are lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
import math

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.bundle import Certificate
from dual_cnn_ros.calibration.rules import CandidateRule
from dual_cnn_ros.cascade.settings import ALWAYS_DEFER

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Path = npt.NDArray[np.float64]


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


def declared_path(rule: CandidateRule, size: int = 200) -> Path:
    """
    Return vectors of thresholds to test one after another, (L, n - 1), dearest first.

    The first asks all stages about every image. The others are those of at most `size` that no
    other vector dominates on the images of the rule, which are not those tested on.
    """
    front = rule.outcomes().pareto().subsample(size)
    return np.concatenate((np.full((1, len(rule.scores)), ALWAYS_DEFER), front.thresholds[::-1]))


@dataclass(frozen=True, eq=False)
class Blocks:
    """
    Images of which only those of different blocks are independent, such as scenes of a video.

    Attributes
    ----------
    starts
        (B,), places of the first image of each block; the images of a block follow each other.
    kept
        (N,), whether an image counts: of a long block, an even choice of `most` does.
    most
        Images of one block that count, at most; it must not depend on these blocks.

    """

    starts: npt.NDArray[np.int64]
    kept: Bools
    most: int

    @classmethod
    def of(cls, names: Sequence[str], most: int) -> Blocks:
        """Return the blocks of images (N,), each told by the name of its block."""
        starts = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
        kept = np.zeros(len(names), bool)
        for start, end in zip(starts, [*starts[1:], len(names)]):
            kept[np.linspace(start, end - 1, min(most, end - start)).round().astype(int)] = True
        return cls(np.array(starts), kept, most)

    def __len__(self) -> int:
        return len(self.starts)

    def gaps(self, gaps: npt.ArrayLike, alpha: float) -> Floats:
        """
        Return one gap for each block, (..., B), of a mean above alpha if that of the images is.

        Every block counts by its share in the images, so that the promise is one about images.
        """
        excess = np.where(self.kept, np.asarray(gaps) - alpha, 0)
        return alpha + np.add.reduceat(excess, self.starts, axis=-1) / self.most


def certified_steps(
    rule: CandidateRule,
    path: npt.ArrayLike,
    alpha: float,
    delta: float,
    method: str = 'betting',
    reference_right: Bools | None = None,
    blocks: Blocks | None = None,
) -> npt.NDArray[np.int64]:
    """
    Return how far a path goes before the loss may exceed alpha, with P >= 1 - delta.

    Parameters
    ----------
    rule
        On images in an order that does not depend on what is right. Its arrays may have leading
        axes, (..., N): repetitions of all this, each by itself.
    path
        Vectors of thresholds, (L, n - 1), chosen without these images, in the order in which they
        are tested.
    alpha, delta
        In (0, 1).
    method
        A name of METHODS; with blocks, 'betting'.
    reference_right
        (..., N), whether the answer that must not be missed is right. None, or the rule's own
        always_right: what always asking all stages comes to.
    blocks
        For images that are not independent.

    Returns
    -------
    certified
        (...), number of the path's vectors that are certified, from the first on.

    Raises
    ------
    ValueError
        alpha, delta or the path are no such things.

    """
    steps = np.asarray(path, np.float64)
    if not 0 < alpha < 1 or not 0 < delta < 1:
        raise ValueError('alpha and delta must be between 0 and 1, both excluded')
    if steps.ndim != 2 or steps.shape[1] != len(rule.scores):
        raise ValueError('the path must be vectors of one threshold for each stage but the last')
    reference = rule.always_right if reference_right is None else reference_right
    certified = np.zeros(reference.shape[:-1], np.int64)
    goes_on = np.ones(certified.shape, bool)
    for thresholds in steps:
        # Against itself it loses nothing, which no image has to show.
        if reference is not rule.always_right or not (thresholds == ALWAYS_DEFER).all():
            gaps = reference.astype(np.int8) - rule.right_at(thresholds)
            shown = blocks.gaps(gaps, alpha) if blocks else gaps
            goes_on &= METHODS[method](shown, alpha, delta)
        certified += goes_on
        if not goes_on.any():
            break
    return certified


@dataclass(frozen=True)
class CertifiedPath:
    """
    All vectors of thresholds that one test has shown to keep a promise.

    Attributes
    ----------
    certificate
        The promise.
    path
        At least one, in the order in which they were tested, dearest first.

    """

    certificate: Certificate
    path: tuple[tuple[float, ...], ...]


def certify(
    rule: CandidateRule,
    path: Path,
    sought: Certificate,
    reference_right: Bools,
    blocks: Blocks | None = None,
) -> tuple[CertifiedPath, ...]:
    """
    Return what each of METHODS certifies; one that certifies nothing is left out.

    Parameters
    ----------
    rule
        On the images to certify with.
    sought
        What is to be promised; its method stands for each of METHODS that can be used.
    path, reference_right, blocks
        As in `certified_steps`.

    """
    found = []
    # The binomial test counts independent images.
    for method in (sought.method,) if blocks else METHODS:
        steps = certified_steps(
            rule, path, sought.alpha, sought.delta, method, reference_right, blocks
        )
        if certified := tuple(map(tuple, path[: int(steps)].tolist())):
            found.append(CertifiedPath(replace(sought, method=method), certified))
    return tuple(found)


def units_needed(alpha: float, delta: float) -> int:
    """Return how many independent images or blocks without any loss show one of at most alpha."""
    return math.ceil(math.log(1 / delta) / math.log1p(alpha))
