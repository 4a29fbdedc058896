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

"""Temperature scaling: one number per CNN that makes its probabilities mean what they say."""

from __future__ import annotations

from collections.abc import Callable
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.scores import softmax

LIMITS = math.exp(-3), math.exp(3)
_ROWS = 1024

Floats = npt.NDArray[np.floating]


def by_rows(
    function: Callable[..., npt.NDArray[Any]], *arrays: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """
    Return function(*arrays), (N, ...), computed for a portion of the rows at a time.

    Intermediate results then fit the cache, and take no memory where N is large.
    """
    portions = range(0, len(arrays[0]), _ROWS)
    return np.concatenate(
        [function(*(a[start : start + _ROWS] for a in arrays)) for start in portions]
    )


def fit_temperature(logits: Floats, labels: npt.NDArray[np.int64]) -> float:
    """
    Return the temperature T that minimises the mean negative log likelihood of the labels.

    Parameters
    ----------
    logits
        (N, K).
    labels
        (N,), the true classes.

    Returns
    -------
    float
        In LIMITS; at one of them where all answers are right, or all wrong.

    Notes
    -----
    The loss of softmax(b z) is convex in b = 1 / T, and its slope is the mean of E[z] - z_y with
    E[z] the expectation under softmax(b z): b is the root of the slope.

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks", 2017.

    """
    from scipy.optimize import brentq

    def slope(b: float) -> float:
        def rows(z: Floats, own: npt.NDArray[np.int64]) -> Floats:
            z = z - z.max(axis=1, keepdims=True).astype(np.float64)
            weights = np.exp(b * z)
            return (weights * z).sum(axis=1) / weights.sum(axis=1) - z[np.arange(len(z)), own]

        return float(by_rows(rows, logits, labels).mean())

    low, high = 1 / LIMITS[1], 1 / LIMITS[0]
    if slope(low) >= 0:
        return LIMITS[1]
    if slope(high) <= 0:
        return LIMITS[0]
    return 1 / float(brentq(slope, low, high, xtol=1e-7))


def calibrated(logits: Floats, temperature: float) -> npt.NDArray[np.float32]:
    """Return softmax(logits / temperature), (N, K)."""
    return by_rows(lambda z: softmax(z, temperature), logits)
