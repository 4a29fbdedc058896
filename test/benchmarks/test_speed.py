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
Our versions beside plain ones, in the same run: `make benchmark`.

Nothing here asserts a time. The plain versions are written as a textbook, or a straightforward
implementation of the paper, has them; each answers the same question as ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
import math
from typing import Any

import cv2
import numpy as np
import pytest

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.calibration.guarantee import certified_steps
from dual_cnn_ros.calibration.rules import candidate_rules, CandidateRule
from dual_cnn_ros.calibration.temperature import calibrated
from dual_cnn_ros.calibration.thresholds import Outcome, threshold_outcomes
from dual_cnn_ros.cascade.cascade import Cascade
from dual_cnn_ros.cascade.fingerprints import dhash, invariants
from dual_cnn_ros.cascade.frame import Frame, Image, Preprocessing
from dual_cnn_ros.cascade.scores import entropy, SCORES, softmax
from dual_cnn_ros.cascade.settings import MemorySettings, POST_CHECKS


def compared(group: str, *others: str, rounds: int = 200) -> Callable[[Any], Any]:
    """Let pytest run a test for our version, number 0, and each of the others, as one group."""

    def mark(test: Any) -> Any:
        names = ['ours', *others]
        versions = pytest.mark.parametrize('version', range(len(names)), ids=names)
        return pytest.mark.benchmark(group=group, min_rounds=rounds, warmup=rounds > 10)(
            versions(test)
        )

    return mark


def photo(height: int, width: int, seed: int = 0) -> Image:
    """Return smooth shapes with the grain of a sensor."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


CAMERA = photo(480, 640)
THUMBNAIL = photo(32, 32)


# dhash -------------------------------------------------------------------------------------------


def sampled_dhash(image: Image, interpolation: int) -> bytes:
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    cells = cv2.resize(grey, (9, 8), interpolation=interpolation)
    return np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes()


@compared('dhash of a 480 x 640 colour frame', 'bilinear: four pixels a cell', 'one INTER_AREA')
def test_dhash(benchmark: Any, version: int) -> None:
    versions = (
        lambda: dhash(Frame(CAMERA)),
        lambda: sampled_dhash(CAMERA, cv2.INTER_LINEAR),
        lambda: sampled_dhash(CAMERA, cv2.INTER_AREA),
    )
    assert len(benchmark(versions[version])) == 8


# invariants --------------------------------------------------------------------------------------


def textbook_invariants(image: Image) -> tuple[float, ...]:
    """Return complex-moment invariants of order 3 as the definitions have them."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    if max(grey.shape) > 32:
        grey = cv2.resize(grey, (32, 32))
    f = grey.astype(np.float64)
    y, x = np.mgrid[: f.shape[0], : f.shape[1]]
    total = f.sum()
    x, y = x - (x * f).sum() / total, y - (y * f).sum() / total
    order = 3
    geometric = {
        (p, q): (x**p * y**q * f).sum()
        for p, q in product(range(order + 1), repeat=2)
        if p + q <= order
    }
    c = {}
    for p, q in geometric:
        moment = 0j
        for j, k in product(range(p + 1), range(q + 1)):
            moment += (
                math.comb(p, j)
                * math.comb(q, k)
                * (-1) ** (q - k)
                * 1j ** (p + q - j - k)
                * geometric[j + k, p + q - j - k]
            )
        c[p, q] = moment / total ** ((p + q + 2) / 2)
    return (
        c[1, 1].real,
        abs(c[2, 1]) ** 2,
        abs(c[3, 0]) ** 2,
        (c[2, 0] * c[1, 2] ** 2).real,
        (c[3, 0] * c[1, 2] ** 3).real,
    )


@compared('invariants of a 32 x 32 colour frame', 'definitions, in NumPy')
def test_invariants_of_a_thumbnail(benchmark: Any, version: int) -> None:
    versions = lambda: invariants(Frame(THUMBNAIL)), lambda: textbook_invariants(THUMBNAIL)
    assert benchmark(versions[version])


@compared(
    'invariants of a 480 x 640 colour frame (ours reads every pixel)',
    'definitions, in NumPy',
    'grey conversion alone',
)
def test_invariants_of_a_frame(benchmark: Any, version: int) -> None:
    versions = (
        lambda: invariants(Frame(CAMERA)),
        lambda: textbook_invariants(CAMERA),
        lambda: cv2.cvtColor(CAMERA, cv2.COLOR_BGR2GRAY),
    )
    assert benchmark(versions[version]) is not None


# Scores and threshold ----------------------------------------------------------------------------


@compared('entropy over 1,000 classes', 'loop over an array', 'loop over a tensor')
def test_entropy(benchmark: Any, version: int) -> None:
    p = softmax(np.random.default_rng(0).normal(size=1000) * 3)
    values: Any = p
    if version == 2:
        values = pytest.importorskip('torch').from_numpy(p)

    def loop() -> float:
        # p is never 0 here: the loop would fail.
        uncertainty = -sum(v.item() * math.log(v.item()) for v in values)
        return 1 - uncertainty / math.log(1000)

    assert benchmark(loop if version else lambda: entropy(p)) == pytest.approx(
        1 + (p * np.log(p)).sum() / math.log(1000), rel=1e-4
    )


def python_grid(scores: list[float], first: list[bool], final: list[bool]) -> float:
    best, best_right = 0.0, -1
    for step in range(1, 2000):
        threshold, right = step / 2000, 0
        for score, first_right, final_right in zip(scores, first, final):
            right += first_right if score >= threshold else final_right
        if right > best_right:
            best, best_right = threshold, right
    return best


def numpy_grid(scores: np.ndarray, first: np.ndarray, final: np.ndarray) -> float:
    grid = np.arange(1, 2000) / 2000
    right = [np.where(scores >= threshold, first, final).sum() for threshold in grid]
    return float(grid[np.argmax(right)])


@compared(
    'threshold for 1,000 samples (a grid has 2,000 values)',
    'grid, in Python',
    'grid, in NumPy',
    rounds=3,
)
def test_threshold(benchmark: Any, version: int) -> None:
    rng = np.random.default_rng(0)
    # Between the values of the grid, so that it can tell all of them apart.
    s = np.round(rng.beta(4, 1, size=1000) * 1998 + 1) / 2000 + 0.5 / 2000
    first, final = rng.random(1000) < s, rng.random(1000) < 0.85
    lists: Any = s.tolist(), first.tolist(), final.tolist()

    def exact() -> Outcome:
        return threshold_outcomes([s], [first, final], (1.0, 1.0)).most_accurate()

    best = exact()
    versions = (
        lambda: exact().thresholds[0],
        lambda: python_grid(*lists),
        lambda: numpy_grid(s, first, final),
    )
    threshold = benchmark(versions[version])
    assert np.where(s >= threshold, first, final).mean() == best.accuracy
    # Of equally good ones all take that which asks least.
    assert ((s < threshold).mean(),) == best.deferral_rates


def one_by_one(scores: np.ndarray, right: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return the accuracy and the deferral rates of each vector, (V, n)."""
    found = np.zeros((len(vectors), len(right)))
    for row, thresholds in zip(found, vectors):
        goes_on = np.ones(len(scores[0]), bool)
        for stage, threshold in enumerate(thresholds):
            sure = goes_on & (scores[stage] >= threshold)
            row[0] += np.count_nonzero(sure & right[stage])
            goes_on &= ~sure
            row[stage + 1] = np.count_nonzero(goes_on)
        row[0] += np.count_nonzero(goes_on & right[-1])
    return found / len(scores[0])


EVERY = 64


@compared(
    'four stages, 5,000 samples: 262,144 vectors of thresholds',
    f'one vector after another, 1 of {EVERY} of them',
    rounds=3,
)
def test_vectors(benchmark: Any, version: int) -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((3, 5000))
    right = rng.random((4, 5000)) < np.array([0.7, 0.8, 0.9, 0.95])[:, np.newaxis]
    costs = (1.0, 3.0, 9.0, 27.0)
    exact = threshold_outcomes(scores, right, costs)
    assert len(exact) == 64**3
    vectors = exact.thresholds[::EVERY]
    versions: tuple[Any, ...] = (
        lambda: threshold_outcomes(scores, right, costs),
        lambda: one_by_one(scores, right, vectors),
    )
    found = benchmark(versions[version])
    if version:
        np.testing.assert_array_equal(found[:, 0], exact.accuracy[::EVERY])
        np.testing.assert_array_equal(found[:, 1:], exact.deferral_rates[::EVERY])


def answers(count: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the probabilities of two CNNs that are right on most images, and what is true."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, classes, count)
    p = []
    for strength in (8, 9):
        logits = 2 * rng.standard_normal((count, classes), np.float32)
        logits[np.arange(count), truth] += strength
        p.append(calibrated(logits, 1.0))
    return p[0], p[1], truth


def grid_search(first: np.ndarray, second: np.ndarray, truth: np.ndarray) -> list[float]:
    """
    Return the best accuracy for each score and post-check as the authors search for it.

    Per score and post-check, 2,000 thresholds and a loop over the images; what an image's two
    answers and their scores are is found once, which is more than they do.
    """
    found = []
    for score in SCORES.values():
        rows = [
            (
                float(score(a)),
                float(score(b)),
                int(a.argmax()),
                int(b.argmax()),
                int(np.mean([a, b], axis=0).argmax()),
            )
            for a, b in zip(first, second)
        ]
        for check in POST_CHECKS:
            final = [
                {
                    'none': label_b,
                    'average': average,
                    'more_confident': label_b if score_b > score_a else label_a,
                }[check]
                == wanted
                for (score_a, score_b, label_a, label_b, average), wanted in zip(
                    rows, truth.tolist()
                )
            ]
            scores = [row[0] for row in rows]
            right = [row[2] == wanted for row, wanted in zip(rows, truth.tolist())]
            best = python_grid(scores, right, final)
            found.append(
                sum(r if s >= best else f for s, r, f in zip(scores, right, final)) / len(truth)
            )
    return found


def exact_search(first: np.ndarray, second: np.ndarray, truth: np.ndarray) -> list[float]:
    rules = candidate_rules([first, second], truth, (1.0, 2.0))
    return [rule.outcomes().most_accurate().accuracy for rule in rules]


@compared(
    'search of 3 scores x 3 post-checks, 1,000 samples of 1,000 classes',
    'grid of 2,000, in Python',
    rounds=1,
)
def test_search(benchmark: Any, version: int) -> None:
    drawn = answers(1000, 1000)
    found = benchmark((exact_search, grid_search)[version], *drawn)
    # A grid may miss what lies between two of its values, and never finds more.
    exact = exact_search(*drawn)
    assert all(best - 0.003 <= accuracy <= best for accuracy, best in zip(found, exact))


@compared('search of 3 scores x 3 post-checks, 50,000 samples of 1,000 classes', rounds=1)
def test_large_search(benchmark: Any, version: int) -> None:
    found = benchmark(exact_search, *answers(50_000, 1000))
    assert len(found) == 9 and min(found) > 0.5


@compared('certified threshold, 25,000 samples, 200 steps', 'binomial test', rounds=3)
def test_certificate(benchmark: Any, version: int) -> None:
    rng = np.random.default_rng(0)
    s = rng.random(25_000)
    # So little is lost that every step is taken.
    final = rng.random(25_000) < 0.9
    first = final & (rng.random(25_000) < 0.998)
    rule = CandidateRule('entropy', 'none', (s,), (first, final), (1.0, 2.0))
    path = np.linspace(1, 0, 200)[:, np.newaxis]
    method = ('betting', 'binomial')[version]
    assert benchmark(certified_steps, rule, path, 0.01, 0.05, method) == 200


# Frame -------------------------------------------------------------------------------------------

PREPROCESSING = Preprocessing(96, 96, 'rgb', None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def plain_blob(image: Image, interpolation: int) -> np.ndarray:
    small = cv2.resize(image, (96, 96), interpolation=interpolation)
    values = cv2.cvtColor(small, cv2.COLOR_BGR2RGB).astype(np.float32) / 255
    values = (values - np.array(PREPROCESSING.mean, np.float32)) / np.array(
        PREPROCESSING.std, np.float32
    )
    return np.ascontiguousarray(values.transpose(2, 0, 1)[np.newaxis])


@compared(
    'input of a CNN, 96 x 96, from a 480 x 640 colour frame',
    'bilinear: a sixth of the pixels',
    'one INTER_AREA',
)
def test_blob(benchmark: Any, version: int) -> None:
    versions = (
        lambda: Frame(CAMERA).blob(PREPROCESSING),
        lambda: plain_blob(CAMERA, cv2.INTER_LINEAR),
        lambda: plain_blob(CAMERA, cv2.INTER_AREA),
    )
    assert benchmark(versions[version]).shape == (1, 3, 96, 96)


# Memory ------------------------------------------------------------------------------------------

FINGERPRINTS = ('thumbnail', 'dhash', 'invariants')


@compared(
    'a repeated 480 x 640 frame',
    'by dhash',
    'by invariants',
    'first CNN of scenes',
    'both CNNs of scenes',
    rounds=50,
)
def test_memory_hit(benchmark: Any, version: int) -> None:
    bundle = Bundle.open('scenes')
    stages = bundle.load('onnxruntime', ('cpu',), threads=1)
    remember = MemorySettings(FINGERPRINTS[version % 3], audit=0)
    cascade = Cascade(stages, replace(bundle.settings, remember=remember))
    cascade.classify(Frame(CAMERA))

    def both() -> None:
        frame = Frame(CAMERA)
        for stage in stages:
            stage.classify(frame)

    def remembered() -> None:
        assert cascade.classify(Frame(CAMERA)).source == 'memory'

    hits = (remembered,) * 3
    benchmark((*hits, lambda: stages[0].classify(Frame(CAMERA)), both)[version])
