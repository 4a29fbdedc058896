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

"""What a run of answers is worth: accuracy with intervals, calibration, confusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
CHUNK = 50
BINS = 15
# Fewer than these tell next to nothing of how far the next ones lie apart.
LEAST_UNITS = 10

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


def bootstrap(
    right: Sequence[Bools], units: Ints, reference: Sequence[int | None], seed: int
) -> list[dict[str, Any]]:
    """
    Return accuracies with 95 % percentile bootstrap intervals, and paired differences.

    right: for each system (N,), whether its answers to the same frames are right. units: (N,),
    equal where frames are drawn together: a picture with its repeats, a stretch of a recording.
    reference: for each system the number of the one it is compared with, or None. Each result has
    units (how many there are), accuracy and interval, and a difference with its interval where
    there is a reference. Intervals are None below 10 units, and where all units are alike, of
    which no draw differs from another, the exact ones of Clopper and Pearson.
    """
    _, unit = np.unique(units, return_inverse=True)
    count = int(unit.max()) + 1
    frames = np.bincount(unit, minlength=count).astype(np.float64)
    sums = np.array([np.bincount(unit, weights=row, minlength=count) for row in right])
    random = np.random.default_rng(seed)
    drawn = np.empty((RESAMPLES, len(right)))
    for start in range(0, RESAMPLES, CHUNK):
        weights = np.array(
            [np.bincount(random.integers(0, count, count), minlength=count) for _ in range(CHUNK)],
            dtype=np.float64,
        )
        drawn[start : start + CHUNK] = (weights @ sums.T) / (weights @ frames)[:, np.newaxis]
    accuracy = sums.sum(axis=1) / frames.sum()
    results = []
    for i, other in enumerate(reference):
        result = {
            'units': count,
            'accuracy': float(accuracy[i]),
            'interval': _interval(drawn[:, i], sums[i] / frames, 0.0),
        }
        if other is not None:
            result['difference'] = float(accuracy[i] - accuracy[other])
            result['difference_interval'] = _interval(
                drawn[:, i] - drawn[:, other], (sums[i] - sums[other]) / frames, -1.0
            )
        results.append(result)
    return results


def interval(right: Bools, seed: int = 0) -> list[float] | None:
    """Return the interval of an accuracy over pictures, (N,), as of `bootstrap`."""
    hits = np.random.default_rng(seed).binomial(len(right), right.mean(), RESAMPLES)
    found = _interval(hits / len(right), right.astype(np.float64), 0.0)
    return found and [round(edge, 4) for edge in found]


def _interval(drawn: Floats, units: Floats, least: float) -> list[float] | None:
    """Return the interval of a mean of values from least to 1, (U,), as it was drawn."""
    if len(units) < LEAST_UNITS:
        return None
    if np.ptp(units) == 0:
        share = all_alike(len(units))
        return [float(share * units[0] + (1 - share) * edge) for edge in (least, 1.0)]
    return [float(edge) for edge in np.percentile(drawn, (2.5, 97.5))]


def all_alike(count: int) -> float:
    """Return the least share of the units that is like all `count` seen, at 97.5 % confidence."""
    return float(0.025 ** (1 / count))


def reliability(confidence: Floats, right: Bools) -> tuple[float, list[dict[str, float]]]:
    """
    Return the expected calibration error over 15 equally wide bins, and the bins that hold frames.

    confidence: (N,), the probability of the answer. right: (N,). Each bin has its mean confidence,
    its accuracy and its number of frames.
    """
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = [
        {
            'confidence': float(confidence[place == b].mean()),
            'accuracy': float(right[place == b].mean()),
            'frames': int(np.count_nonzero(place == b)),
        }
        for b in np.unique(place)
    ]
    error = sum(abs(b['confidence'] - b['accuracy']) * b['frames'] for b in bins)
    return float(error / len(confidence)), bins


def confusion(truth: Ints, answer: Ints, labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return how often each true label got which answer, where that happened."""
    pairs, counts = np.unique(np.stack([truth, answer], axis=1), axis=0, return_counts=True)
    found: dict[str, dict[str, int]] = {}
    for (t, a), n in zip(pairs, counts):
        found.setdefault(labels[t], {})[labels[a]] = int(n)
    return found
