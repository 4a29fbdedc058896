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

"""One temperature makes confidence mean what it says."""

from __future__ import annotations

import numpy as np
import pytest

from dual_cnn_ros.calibration.reliability import BINS, reliability, ReliabilityBin
from dual_cnn_ros.calibration.temperature import by_rows, calibrated, fit_temperature, LIMITS
from dual_cnn_ros.cascade.scores import softmax


def loss(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    z = logits.astype(np.float64) / temperature
    return float((np.logaddexp.reduce(z, axis=1) - z[np.arange(len(z)), labels]).mean())


@pytest.mark.parametrize('sharpness', [0.1, 0.5, 1.0, 3.0, 10.0])
def test_a_scaling_of_the_logits_is_undone(sharpness: float) -> None:
    """Labels are drawn from the softmax of the logits over `sharpness`."""
    random = np.random.default_rng(5)
    z = random.normal(size=(4000, 5)) * 3
    labels = (random.random((4000, 1)) > softmax(z).cumsum(axis=1)).sum(axis=1).clip(max=4)
    logits = (z * sharpness).astype(np.float32)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(sharpness, rel=0.1)
    for other in (0.5, 0.99, 1.01, 2.0):
        assert loss(logits, labels, found) < loss(logits, labels, found * other)
    p = calibrated(logits, found)
    assert reliability(p.max(axis=1), p.argmax(axis=1) == labels).error < 0.03


def test_answers_that_are_all_right_or_all_wrong_give_a_limit() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    assert fit_temperature(logits, logits.argmax(axis=1)) == LIMITS[0]
    assert fit_temperature(logits, logits.argmin(axis=1)) == LIMITS[1]


def test_portions_of_rows_give_what_all_rows_give() -> None:
    logits = np.random.default_rng(0).normal(size=(2500, 3)).astype(np.float32)
    assert np.array_equal(by_rows(softmax, logits), softmax(logits))


def test_reliability_of_a_known_case() -> None:
    confidence = np.array([0.5, 0.52, 0.9, 0.91, 1.0])
    found = reliability(confidence, np.array([True, False, True, False, True]))
    assert found.bins == (
        ReliabilityBin(pytest.approx(0.51), 0.5, 2),
        ReliabilityBin(pytest.approx(0.905), 0.5, 2),
        ReliabilityBin(1.0, 1.0, 1),
    )
    assert found.error == pytest.approx((2 * 0.01 + 2 * 0.405 + 0) / 5)
    assert reliability(np.linspace(0, 1, 400), np.ones(400, bool)).bins[-1].count < 2 * 400 / BINS
