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

"""Whether answers are right as often as their confidence says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 15


@dataclass(frozen=True)
class ReliabilityBin:
    """
    The answers of similar confidence.

    Attributes
    ----------
    confidence
        Their mean confidence.
    accuracy
        The share of them that is right.
    count
        Their number, at least 1.

    """

    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True)
class Reliability:
    """
    A reliability diagram.

    Attributes
    ----------
    error
        The expected calibration error (ECE): the mean over all answers of the distance between
        the confidence and the accuracy of their bin.
    bins
        Those of BINS equally wide ones that are not empty, by confidence.

    """

    error: float
    bins: tuple[ReliabilityBin, ...]


def reliability(confidence: npt.NDArray[np.floating], right: npt.NDArray[np.bool_]) -> Reliability:
    """
    Return how far the confidence of answers is from the truth.

    Parameters
    ----------
    confidence
        (N,), the probability that each answer was given.
    right
        (N,), whether it is right.

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks", 2017.

    """
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = tuple(
        ReliabilityBin(float(confidence[here].mean()), float(right[here].mean()), int(here.sum()))
        for here in (place == number for number in np.unique(place))
    )
    error = sum(abs(found.confidence - found.accuracy) * found.count for found in bins)
    return Reliability(error / len(confidence), bins)
