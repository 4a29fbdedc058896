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

"""The scores against slow textbook definitions, up to the extremes of floating point."""

from __future__ import annotations

from fractions import Fraction
import math
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
import numpy as np
import numpy.typing as npt
import pytest

from dual_cnn_ros.cascade.scores import SCORES, softmax

pytestmark = pytest.mark.filterwarnings('error')

LARGEST = np.finfo(np.float64).max
finite = st.floats(allow_nan=False, allow_infinity=False)


def textbook_softmax(logits: list[float], temperature: float) -> list[float]:
    # Fractions neither overflow nor round before exp.
    scaled = [Fraction(z) / Fraction(temperature) for z in logits]
    differences = [max(scaled) - z for z in scaled]
    powers = [math.exp(-float(d)) if d < 1000 else 0.0 for d in differences]
    return [power / math.fsum(powers) for power in powers]


def textbook_score(name: str, probabilities: npt.NDArray[np.floating]) -> float:
    p = sorted((float(value) for value in probabilities), reverse=True)
    if name == 'max_probability':
        return p[0]
    if name == 'difference':
        return p[0] - (p[1] if len(p) > 1 else 0)
    if len(p) == 1:
        return 1.0
    uncertainty = -math.fsum(value * math.log(value) for value in p if value > 0)
    return 1 - uncertainty / math.log(len(p))


@given(st.lists(finite, min_size=1, max_size=20), st.floats(1e-300, 1e3))
@example([LARGEST, LARGEST, -LARGEST], 1.0)
@example([0.0, 1e9, -1e9], 1e-300)
def test_softmax_is_the_textbooks_for_all_finite_logits(
    logits: list[float], temperature: float
) -> None:
    p = softmax(logits, temperature)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p, textbook_softmax(logits, temperature), rtol=1e-5, atol=1e-30)


def test_softmax_works_along_the_last_axis() -> None:
    logits = np.random.default_rng(0).normal(size=(4, 5, 7))
    np.testing.assert_array_equal(softmax(logits)[2, 3], softmax(logits[2, 3]))


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_a_broken_models_logits_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match='NaN or infinite'):
        softmax([1, bad, 0])


@pytest.mark.parametrize(('dtype', 'tolerance'), [(np.float32, 2e-6), (np.float64, 1e-12)])
@pytest.mark.parametrize('name', SCORES)
@given(logits=st.lists(finite | st.floats(-5, 5), min_size=1, max_size=20))
@example([0.0] * 1000)
def test_scores_are_the_textbooks_and_in_range(
    name: str, dtype: Any, tolerance: float, logits: list[float]
) -> None:
    p = np.array(textbook_softmax(logits, 1.0)).astype(dtype)
    p.setflags(write=False)  # a score that changed its input would raise
    score = SCORES[name](p)
    assert score.dtype == dtype
    assert 0 <= score <= 1
    assert score == pytest.approx(textbook_score(name, p), abs=tolerance)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('classes', [1, 2, 1000])
@pytest.mark.parametrize('name', SCORES)
def test_certainty_scores_exactly_one(name: str, classes: int, dtype: Any) -> None:
    # So that a stage can reach a threshold of 1.
    p = np.eye(classes, dtype=dtype)[-1]
    assert SCORES[name](p) == 1
    p[0] = max(p[0], np.nextafter(dtype(0), dtype(1)))
    assert SCORES[name](p) == 1


@pytest.mark.parametrize('classes', [1, 10])
@pytest.mark.parametrize('name', SCORES)
def test_scores_work_on_batches_of_any_shape(name: str, classes: int) -> None:
    batch = np.random.default_rng(0).dirichlet(np.full(classes, 0.3), size=(2, 3))
    scores = SCORES[name](batch)
    assert scores.shape == (2, 3)
    for index in np.ndindex(2, 3):
        assert scores[index] == pytest.approx(SCORES[name](batch[index]))
