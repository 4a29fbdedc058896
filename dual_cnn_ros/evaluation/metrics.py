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

"""What a series of answers is worth: accuracy with intervals, calibration, confusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class AccuracyEstimate:
    """
    The accuracy of one system, and how it differs from that of another on the same frames.

    Attributes
    ----------
    clusters
        Number of clusters that the bootstrap draws from.
    accuracy
        Share of right answers.
    interval
        95 % confidence interval of the accuracy; None below LEAST_CLUSTERS.
    difference, difference_interval
        From the accuracy of the other system, paired by cluster; None without one.
    """

    clusters: int
    accuracy: float
    interval: Interval | None
    difference: float | None = None
    difference_interval: Interval | None = None


def bootstrap(
    right: Sequence[Bools], clusters: Ints, reference: Sequence[int | None], seed: int
) -> list[AccuracyEstimate]:
    """
    Return accuracies with percentile intervals of a paired cluster bootstrap.

    Parameters
    ----------
    right
        For each system (N,), whether its answers to the same N frames are right.
    clusters
        (N,), equal for frames that are drawn together: an image with its repeats, or a stretch of
        a recording.
    reference
        For each system the index of the one that it is compared with, or None.
    seed
        Of the draws.

    Notes
    -----
    Every resample draws as many clusters as there are, with replacement, the same ones for all
    systems. Where all clusters have the same value no resample differs from another, and the
    interval is the exact one of Clopper and Pearson.
    """
    _, cluster = np.unique(clusters, return_inverse=True)
    count = int(cluster.max()) + 1
    frames = np.bincount(cluster, minlength=count).astype(np.float64)
    sums = np.array([np.bincount(cluster, weights=row, minlength=count) for row in right])
    random = np.random.default_rng(seed)
    drawn = np.empty((RESAMPLES, len(right)))
    # scipy.stats.bootstrap has no clusters and holds all resamples of all frames at once.
    for start in range(0, RESAMPLES, CHUNK):
        weights = np.array(
            [np.bincount(random.integers(0, count, count), minlength=count) for _ in range(CHUNK)],
            dtype=np.float64,
        )
        drawn[start : start + CHUNK] = (weights @ sums.T) / (weights @ frames)[:, np.newaxis]
    accuracy = sums.sum(axis=1) / frames.sum()
    estimates = []
    for i, other in enumerate(reference):
        interval = _interval(drawn[:, i], sums[i] / frames, 0.0)
        estimate = AccuracyEstimate(count, float(accuracy[i]), interval)
        if other is not None:
            estimate = AccuracyEstimate(
                count,
                float(accuracy[i]),
                interval,
                float(accuracy[i] - accuracy[other]),
                _interval(drawn[:, i] - drawn[:, other], (sums[i] - sums[other]) / frames, -1.0),
            )
        estimates.append(estimate)
    return estimates


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
