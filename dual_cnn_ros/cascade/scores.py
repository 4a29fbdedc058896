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
Confidence scores: how sure a CNN is, from its class probabilities, in [0, 1].

To add one, write a function from (..., K) to (...) and name it in SCORES.
"""

from __future__ import annotations

from collections.abc import Callable
import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Score = Callable[[Array], Array]


def softmax(logits: npt.ArrayLike, temperature: float = 1.0) -> npt.NDArray[np.float32]:
    """
    Return the softmax of logits / temperature over the last axis.

    Parameters
    ----------
    logits
        (..., K).
    temperature
        Positive; the larger, the flatter the distribution (Guo et al., "On Calibration of Modern
        Neural Networks", ICML 2017).

    Returns
    -------
    probabilities
        float32, of the shape of logits.

    Raises
    ------
    ValueError
        A logit is NaN or infinite, which only a broken model gives.

    """
    z = np.asarray(logits, dtype=np.float64)
    if not np.isfinite(z).all():
        raise ValueError('the model returned a logit that is NaN or infinite')
    with np.errstate(over='ignore'):  # to minus infinity, of which exp is 0
        p = np.exp((z - z.max(axis=-1, keepdims=True)) / temperature)
    return (p / p.sum(axis=-1, keepdims=True)).astype(np.float32)


def max_probability(probabilities: Array) -> Array:
    """Return the largest probability; (..., K) to (...)."""
    return probabilities.max(axis=-1)


def difference(probabilities: Array) -> Array:
    """Return the largest minus the second largest probability; (..., K) to (...)."""
    if probabilities.shape[-1] == 1:
        return probabilities[..., 0]
    top = np.partition(probabilities, -2, axis=-1)
    return top[..., -1] - top[..., -2]


def entropy(probabilities: Array) -> Array:
    """Return 1 - H / ln K with H = -sum p ln p and 0 ln 0 = 0; (..., K) to (...)."""
    classes = probabilities.shape[-1]
    if classes == 1:
        return np.ones(probabilities.shape[:-1], dtype=probabilities.dtype)
    # The addend matters only where p is (nearly) 0, and there p times the logarithm is 0.
    logarithms = np.log(probabilities + 1e-37)
    normalised = (probabilities * logarithms).sum(axis=-1) / math.log(classes)
    # For a single value, np.clip takes five times as long as these two.
    return np.minimum(np.maximum(1 + normalised, 0), 1).astype(probabilities.dtype)


SCORES: dict[str, Score] = {
    'max_probability': max_probability,
    'difference': difference,
    'entropy': entropy,
}
