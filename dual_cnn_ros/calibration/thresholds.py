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
What every vector of thresholds comes to on labelled images, and which vectors are efficient.

A cascade of n stages has n - 1 thresholds. Each is taken from a grid of its own, all of its values
that make a difference, or quantiles of these where there would be too many vectors. On the grid
the result is exact: what an image comes to depends on nothing but the stage at which it stops, so
cumulative sums along the axes of a histogram give all vectors at once. The efficient ones are the
Pareto set that LEANets look for (Jayakodi et al., ACM TECS 19(1), 2020).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
import math

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.costs import expected_cost
from dual_cnn_ros.cascade.settings import ALWAYS_DEFER

# Three thresholds of 64 values each.
MOST_VECTORS = 64**3

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Outcome:
    """
    A vector of thresholds, and what a cascade that has it comes to.

    Attributes
    ----------
    thresholds
        One for each stage but the last, in [0, 1] or ALWAYS_DEFER.
    accuracy
        Share of images that the cascade gets right.
    deferral_rates
        Share of all images that each stage but the last passes on.
    cost
        Mean cost of an image.

    """

    thresholds: tuple[float, ...]
    accuracy: float
    deferral_rates: tuple[float, ...]
    cost: float

    def dominates(self, other: Outcome) -> bool:
        """Return True if it is as good in accuracy and cost, and better in one of them."""
        mine, its = ((p.accuracy, -p.cost) for p in (self, other))
        return mine != its and mine[0] >= its[0] and mine[1] >= its[1]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """
    What V vectors of thresholds come to, cheapest first; of equal ones, the most accurate first.

    Attributes
    ----------
    thresholds
        (V, n - 1).
    accuracy
        (V,).
    deferral_rates
        (V, n - 1).
    cost
        (V,), rising.

    """

    thresholds: Floats
    accuracy: Floats
    deferral_rates: Floats
    cost: Floats

    def __len__(self) -> int:
        return len(self.cost)

    def __iter__(self) -> Iterator[Outcome]:
        return (self[place] for place in range(len(self)))

    def __getitem__(self, place: int) -> Outcome:
        """Return one of them."""
        return Outcome(
            tuple(self.thresholds[place].tolist()),
            float(self.accuracy[place]),
            tuple(self.deferral_rates[place].tolist()),
            float(self.cost[place]),
        )

    def most_accurate(self) -> Outcome:
        """Return the vector of the highest accuracy; of equal ones, the cheapest."""
        return self.reaching(self.accuracy.max())

    def reaching(self, accuracy: float) -> Outcome:
        """Return the cheapest vector of at least this accuracy; ValueError where none has it."""
        enough = self.accuracy >= accuracy
        if not enough.any():
            raise ValueError(
                f'no threshold reaches an accuracy of {accuracy}; the highest is '
                f'{self.accuracy.max():.4f}'
            )
        return self[int(enough.argmax())]

    def costing_at_most(self, cost: float) -> Outcome:
        """Return the most accurate vector of at most this cost, or else the cheapest of all."""
        affordable = max(1, int(np.searchsorted(self.cost, cost, side='right')))
        return self[int(self.accuracy[:affordable].argmax())]

    def pareto(self) -> Outcomes:
        """Return the vectors that no other one dominates."""
        best_of_cheaper = np.maximum.accumulate(np.concatenate(([-1.0], self.accuracy[:-1])))
        return self.take(np.flatnonzero(self.accuracy > best_of_cheaper))

    def subsample(self, count: int) -> Outcomes:
        """Return at most `count` vectors, evenly by rank, with both ends and the most accurate."""
        even = np.linspace(0, len(self) - 1, min(count - 1, len(self))).round().astype(int)
        return self.take(np.union1d(even, int(self.accuracy.argmax())))

    def take(self, places: npt.NDArray[np.integer]) -> Outcomes:
        """Return some of them, by rising places."""
        columns = self.thresholds, self.accuracy, self.deferral_rates, self.cost
        return Outcomes(*(column[places] for column in columns))


def threshold_outcomes(
    scores: Sequence[npt.ArrayLike],
    right: Sequence[npt.ArrayLike],
    costs: Sequence[float],
    most: int = MOST_VECTORS,
) -> Outcomes:
    """
    Return what all vectors of thresholds come to.

    Parameters
    ----------
    scores
        Of each stage but the last, (N,), in [0, 1].
    right
        For each stage, whether the answer is right where it is the last one asked, bool (N,);
        post-check included.
    costs
        Of each stage, for one image.
    most
        Number of vectors. Up to there, every threshold that makes a difference is tried.

    Raises
    ------
    ValueError
        The arrays are empty or differ in length, or a score is not in [0, 1].

    """
    sure = [np.asarray(s, dtype=np.float64) for s in scores]
    hits = [np.asarray(r, dtype=bool) for r in right]
    count = hits[0].size
    if not count or any(array.shape != (count,) for array in (*sure, *hits)):
        raise ValueError('scores and right must be non-empty and equally long')
    if len(hits) != len(sure) + 1 or len(costs) != len(hits):
        raise ValueError('every stage needs right and a cost, every one but the last scores')
    if not all(((s >= 0) & (s <= 1)).all() for s in sure):
        raise ValueError('scores must be in [0, 1]')
    grids = [threshold_grid(s, round(most ** (1 / len(sure)))) for s in sure]
    # A sample is accepted by the first of a stage's falling thresholds that it reaches.
    places = [np.searchsorted(-grid, -s) for grid, s in zip(grids, sure)]
    shape = tuple(map(len, grids))
    total = np.zeros(shape, np.int64)
    passed = []
    for stage, own in enumerate(hits):
        asked = places[: stage + 1]
        total += _spread(_stopping(asked, own, shape, stops=stage < len(sure)), shape)
        if stage < len(sure):
            passed.append(_spread(_stopping(asked, np.ones(count, bool), shape, False), shape))
    rates = (
        np.array([deferred.ravel() for deferred in passed]).reshape(len(sure), total.size) / count
    )
    cost = np.full(total.size, expected_cost(costs, [*rates]))
    accuracy = total.ravel() / count
    order = np.lexsort((-accuracy, cost))
    vectors = np.array(np.meshgrid(*grids, indexing='ij')).reshape(len(sure), total.size)
    return Outcomes(vectors.T[order], accuracy[order], rates.T[order], cost[order])


def threshold_grid(scores: Floats, size: int) -> Floats:
    """
    Return thresholds that part scores, falling: the first accepts none of them, the last all.

    Parameters
    ----------
    scores
        (N,), in [0, 1].
    size
        Where more would make a difference, that many quantiles of the scores, at most.

    Notes
    -----
    Thresholds lie halfway between two scores, so that rounding does not matter, or at the borders
    where a score is: ALWAYS_DEFER to refuse a score of 1, 0 to accept one of 0.

    """
    falling = np.sort(scores)[::-1]
    edges = np.concatenate(([1.0 if falling[0] < 1 else ALWAYS_DEFER], falling, [0.0]))
    # Equal scores cannot be told apart.
    differ = np.flatnonzero(np.concatenate(([True], falling[:-1] > falling[1:], [True])))
    if len(differ) > size:
        ranks = np.linspace(0, len(falling), size).round()
        differ = np.unique(differ[np.searchsorted(differ, ranks)])
    above, below = edges[differ], edges[differ + 1]
    halfway = (above + below) / 2
    # Between neighbouring floats there is no half way, and the lower one would accept itself.
    return np.where(halfway > below, halfway, above)


def _stopping(
    places: Sequence[Ints], counted: npt.NDArray[np.bool_], shape: tuple[int, ...], stops: bool
) -> Ints:
    """
    Return how many of the counted samples go past some stages, for all their thresholds.

    Parameters
    ----------
    places
        Of each sample in the falling thresholds of each stage: the first that accepts it.
    counted
        (N,), which samples to count.
    shape
        Number of thresholds of each stage.
    stops
        Whether the last of these stages accepts them, and does not pass them on, too.

    """
    # One more for what not even the loosest threshold accepts.
    sizes = tuple(size + 1 for size in shape[: len(places)])
    steps = [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
    flat = sum((place * step for place, step in zip(places, steps)), np.zeros(len(counted), int))
    counts = np.bincount(flat[counted], minlength=math.prod(sizes)).reshape(sizes)
    for axis in range(len(sizes)):
        along = np.moveaxis(counts, axis, 0)
        if stops and axis == len(sizes) - 1:
            summed = np.cumsum(along, axis=0)[:-1]
        else:
            summed = np.cumsum(along[::-1], axis=0)[::-1][1:]
        counts = np.moveaxis(summed, 0, axis)
    return counts


def _spread(counts: Ints, shape: tuple[int, ...]) -> Ints:
    """Return counts that do not depend on the thresholds of later stages, for all of those."""
    later = (1,) * (len(shape) - counts.ndim)
    return np.broadcast_to(counts.reshape((*counts.shape, *later)), shape)
