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
A learned score: a small network that says from the answers so far whether to stop at a stage.

Guan et al., "Energy-efficient Amortized Inference with Cascaded Deep Classifiers" (IJCAI 2018,
arXiv 1710.03368). It is trained by `calibration.policy_gradient` or `training.joint`, and stored
in the bundle as plain numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.scores import entropy

Floats = npt.NDArray[np.floating]

# Of the largest probabilities it sees so many.
TOP = 3
FEATURES = TOP + 2


def features(probabilities: Floats, agree: npt.ArrayLike) -> Floats:
    """
    Return what a selector sees of an answer, (..., FEATURES).

    The largest probabilities, largest first, the score `entropy`, and whether all stages asked so
    far agree.

    Parameters
    ----------
    probabilities
        (..., K).
    agree
        (...), bool.

    """
    p = np.asarray(probabilities)
    top = -np.sort(-p, axis=-1)[..., :TOP]
    missing = np.zeros((*p.shape[:-1], TOP - top.shape[-1]), p.dtype)
    told = np.stack([entropy(p), np.asarray(agree, p.dtype)], axis=-1)
    return np.concatenate([top, missing, told], axis=-1)


@dataclass(frozen=True)
class Selector:
    """
    One hidden layer of H units with tanh, and a logistic output: the probability of stopping.

    Attributes
    ----------
    weights
        Of the hidden layer, (H, FEATURES).
    biases
        Of the hidden layer, (H,).
    output
        Weights of the output, (H,).
    bias
        Of the output.

    """

    weights: tuple[tuple[float, ...], ...]
    biases: tuple[float, ...]
    output: tuple[float, ...]
    bias: float

    def __post_init__(self) -> None:
        """Check the shapes; ValueError says what they should be."""
        units = len(self.biases)
        shapes = {len(row) for row in self.weights}
        if len(self.weights) != units or len(self.output) != units or shapes - {FEATURES}:
            raise ValueError(
                f'selector: weights must be rows of {FEATURES} numbers, biases and output one '
                'number for each row'
            )
        if not all(np.isfinite(array).all() for array in (*self._arrays, self.bias)):
            raise ValueError('selector: every number must be finite')

    @cached_property
    def _arrays(self) -> tuple[Floats, Floats, Floats]:
        weights = np.array(self.weights, np.float64).reshape(len(self.biases), FEATURES)
        return weights, np.array(self.biases, np.float64), np.array(self.output, np.float64)

    def __call__(self, probabilities: Floats, agree: npt.ArrayLike) -> Floats:
        """Return the probability of stopping, (...); see `features` for the arguments."""
        weights, biases, output = self._arrays
        hidden = np.tanh(features(probabilities, agree) @ weights.T + biases)
        logits: Floats = hidden @ output + self.bias
        return 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
