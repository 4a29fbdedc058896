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

from collections.abc import Callable
from fractions import Fraction
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import numpy.typing as npt
import pytest

from dual_cnn_ros.cascade.scores import difference, entropy, max_probability, SCORES, softmax

pytestmark = pytest.mark.filterwarnings('error')

CLASSES = (1, 2, 3, 10, 1000)
TYPES = (np.float32, np.float64)
Array = npt.NDArray[np.floating]
Make = Callable[[int, Any], Array]


def textbook_softmax(logits: list[float], temperature: float) -> list[float]:
    # Fractions neither overflow nor round before exp.
    scaled = [Fraction(z) / Fraction(temperature) for z in logits]
    differences = [max(scaled) - z for z in scaled]
    powers = [math.exp(-float(d)) if d < 1000 else 0.0 for d in differences]
    return [power / math.fsum(powers) for power in powers]


def textbook_score(name: str, probabilities: Array) -> float:
    p = sorted((float(value) for value in probabilities), reverse=True)
    if name == 'max_probability':
        return p[0]
    if name == 'difference':
        return p[0] - (p[1] if len(p) > 1 else 0)
    if len(p) == 1:
        return 1.0
    uncertainty = -math.fsum(value * math.log(value) for value in p if value > 0)
    return 1 - uncertainty / math.log(len(p))


def one_hot(classes: int, dtype: Any, label: int = 0) -> Array:
    return np.eye(classes, dtype=dtype)[label]


def uniform(classes: int, dtype: Any) -> Array:
    return np.full(classes, 1 / classes, dtype=dtype)


def random(classes: int, dtype: Any, seed: int = 0) -> Array:
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.3)).astype(dtype)


@pytest.mark.parametrize('name', SCORES)
@pytest.mark.parametrize('dtype', TYPES)
@pytest.mark.parametrize('classes', CLASSES)
@pytest.mark.parametrize('make', [one_hot, uniform, random])
def test_score_is_the_textbooks(make: Make, classes: int, dtype: Any, name: str) -> None:
    p = make(classes, dtype)
    score = SCORES[name](p)
    assert score.dtype == dtype
    assert score == pytest.approx(
        textbook_score(name, p), abs=2e-6 if dtype == np.float32 else 1e-12
    )
    assert 0 <= score <= 1


@pytest.mark.parametrize('name', SCORES)
@pytest.mark.parametrize('dtype', TYPES)
@pytest.mark.parametrize('classes', CLASSES)
def test_certainty_scores_one(classes: int, dtype: Any, name: str) -> None:
    for label in {0, classes - 1}:
        assert SCORES[name](one_hot(classes, dtype, label)) == 1


@pytest.mark.parametrize('dtype', TYPES)
@pytest.mark.parametrize('classes', CLASSES[1:])
def test_no_idea_scores_lowest(classes: int, dtype: Any) -> None:
    p = uniform(classes, dtype)
    assert max_probability(p) == dtype(1 / classes)
    assert difference(p) == 0
    assert entropy(p) == pytest.approx(0, abs=1e-6)


def test_entropy_of_two_even_classes_of_four_is_a_half() -> None:
    assert entropy(np.array([0.5, 0.5, 0, 0])) == pytest.approx(0.5)


@pytest.mark.parametrize('dtype', TYPES)
def test_entropy_of_the_smallest_probabilities_is_their_limit(dtype: Any) -> None:
    smallest = np.nextafter(dtype(0), dtype(1))
    assert entropy(np.array([1, smallest, 0], dtype=dtype)) == 1


@pytest.mark.parametrize('name', SCORES)
@pytest.mark.parametrize('classes', CLASSES)
def test_scores_work_on_batches_of_any_shape(classes: int, name: str) -> None:
    batch = np.stack([random(classes, np.float32, seed) for seed in range(6)]).reshape(
        2, 3, classes
    )
    scores = SCORES[name](batch)
    assert scores.shape == (2, 3)
    for index in np.ndindex(2, 3):
        assert scores[index] == pytest.approx(SCORES[name](batch[index]), abs=1e-6)


@pytest.mark.parametrize('name', SCORES)
def test_scores_leave_their_input_alone(name: str) -> None:
    p = random(10, np.float32)
    before = p.copy()
    p.setflags(write=False)
    SCORES[name](p)
    np.testing.assert_array_equal(p, before)


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20),
    st.floats(1e-3, 1e3),
)
def test_softmax_is_the_textbooks_for_all_finite_logits(
    logits: list[float], temperature: float
) -> None:
    p = softmax(np.array(logits), temperature)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p, textbook_softmax(logits, temperature), rtol=1e-5, atol=1e-30)


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=20)
)
def test_scores_of_any_finite_logits_are_in_range(logits: list[float]) -> None:
    p: Array = softmax(np.array(logits, dtype=np.float32))
    for name, score in SCORES.items():
        value = score(p)
        assert 0 <= value <= 1
        assert value == pytest.approx(textbook_score(name, p), abs=2e-6)


@pytest.mark.parametrize('dtype', TYPES)
def test_softmax_of_the_largest_logits(dtype: Any) -> None:
    largest = np.finfo(dtype).max
    np.testing.assert_array_equal(
        softmax(np.array([largest, largest, -largest], dtype=dtype)), [0.5, 0.5, 0]
    )


def test_softmax_of_logits_far_apart_is_certain_whatever_the_temperature() -> None:
    for temperature in (1e-300, 1e-3, 1.0, 10.0):
        np.testing.assert_array_equal(softmax([0.0, 1e9, -1e9], temperature), [0, 1, 0])


def test_a_higher_temperature_is_less_sure() -> None:
    logits = [2.0, 1.0, 0.0]
    by_temperature = [softmax(logits, temperature).max() for temperature in (0.5, 1, 2, 1e6)]
    assert by_temperature == sorted(by_temperature, reverse=True)
    assert by_temperature[-1] == pytest.approx(1 / 3, abs=1e-5)


def test_softmax_works_along_the_last_axis() -> None:
    logits = np.random.default_rng(0).normal(size=(4, 5, 7))
    np.testing.assert_array_equal(softmax(logits)[2, 3], softmax(logits[2, 3]))


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('dtype', TYPES)
def test_a_broken_models_logits_are_refused(dtype: Any, bad: float) -> None:
    with pytest.raises(ValueError, match='NaN or infinite'):
        softmax(np.array([1, bad, 0], dtype=dtype))
