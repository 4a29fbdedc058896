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

"""Accuracy of answers, with intervals, and which labels were taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.calibration.intervals import exact_interval

RESAMPLES = 2000
CHUNK = 50
# With fewer clusters than these, the spread of the resampled means says little of the true one.
LEAST_CLUSTERS = 10

Interval = tuple[float, float]
Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]


class BootstrapMean(NamedTuple):
    """A mean, None without values, and its 95 % interval, None below LEAST_CLUSTERS."""

    mean: float | None
    interval: Interval | None


def bootstrap(
    values: Sequence[npt.NDArray[Any]], clusters: Ints, seed: int, least: float = 0.0
) -> list[BootstrapMean]:
    """
    Return means with percentile intervals of a cluster bootstrap.

    Parameters
    ----------
    values
        Of each series (N,), in [least, 1]: whether the answers of a system to N frames are right,
        or by how much more than those of another one, which pairs the two.
    clusters
        (N,), equal for frames that are drawn together: an image with its repeats, or a stretch of
        a recording.
    seed
        Of the draws.
    least
        The least that a value can be.

    Notes
    -----
    Every resample draws as many clusters as there are, with replacement, the same ones for all
    series. Where all clusters have the same value no resample differs from another, and the
    interval is the exact one of Clopper and Pearson.

    """
    if not len(clusters):
        return [BootstrapMean(None, None)] * len(values)
    _, cluster = np.unique(clusters, return_inverse=True)
    count = int(cluster.max()) + 1
    frames = np.bincount(cluster, minlength=count).astype(np.float64)
    sums = np.array([np.bincount(cluster, weights=row, minlength=count) for row in values])
    random = np.random.default_rng(seed)
    drawn = np.empty((RESAMPLES, len(values)))
    # scipy.stats.bootstrap has no clusters and holds all resamples of all frames at once.
    for start in range(0, RESAMPLES, CHUNK):
        weights = np.array(
            [np.bincount(random.integers(0, count, count), minlength=count) for _ in range(CHUNK)],
            dtype=np.float64,
        )
        drawn[start : start + CHUNK] = (weights @ sums.T) / (weights @ frames)[:, np.newaxis]
    return [
        BootstrapMean(float(row.sum() / frames.sum()), _interval(means, row / frames, least))
        for row, means in zip(sums, drawn.T)
    ]


def _interval(drawn: Floats, values: Floats, least: float) -> Interval | None:
    """Return the interval of the mean of the clusters' values, (C,), each in [least, 1]."""
    if len(values) < LEAST_CLUSTERS:
        return None
    if np.ptp(values) == 0:
        alike, _ = exact_interval(len(values), len(values))
        low, high = (float(alike * values[0] + (1 - alike) * edge) for edge in (least, 1.0))
    else:
        low, high = np.percentile(drawn, (2.5, 97.5)).tolist()
    return low, high


def confusion(truth: Ints, answer: Ints, labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return how often each true label got which answer, where that happened."""
    pairs, counts = np.unique(np.stack([truth, answer], axis=1), axis=0, return_counts=True)
    found: dict[str, dict[str, int]] = {}
    for (t, a), n in zip(pairs, counts):
        found.setdefault(labels[t], {})[labels[a]] = int(n)
    return found
