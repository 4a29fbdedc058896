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

"""A camera that never stops, and a classifier of what it sees: the memory beside the truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from dual_cnn_ros.cascade.cascade import Answer, post_check
from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.cascade.frame import Frame, Image
from dual_cnn_ros.cascade.memory import Memory
from dual_cnn_ros.cascade.scores import softmax
from dual_cnn_ros.cascade.settings import Criterion, MemorySettings, Rule

SHAPE = (24, 32, 3)
PLACES, CLASSES, NOISES = 40, 5, 64
RULE = Rule((Criterion('difference', 0.8),))


class Camera:
    """
    Frames of places that are left and visited again, as pixels of a thumbnail.

    A visit lasts some seconds. The place has noise, its light drifts; what is seen may jump to
    another place, or change into it so slowly that no two frames in a row differ.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        smooth = self._random.normal(0, 45, (PLACES, 5, 6, 3))
        weights = (_interpolation(24, 5), _interpolation(32, 6))
        self._places = 128 + np.einsum('ra,cb,pabk->prck', *weights, smooth)
        self._noise = self._random.normal(0, 1, (NOISES, *SHAPE)).astype(np.float32)

    def frames(self) -> Iterator[Image]:
        """Yield frames, uint8, (24, 32, 3), for ever."""
        random = self._random
        here = self._places[0]
        while True:
            there = self._places[random.integers(PLACES)]
            count = int(random.integers(20, 600))
            sigma, drift = random.uniform(0, 1.5), random.uniform(-8, 8)
            is_morph = random.random() < 0.3
            for step in range(count):
                share = step / count
                seen = (1 - share) * here + share * there if is_morph else there
                noise = sigma * self._noise[random.integers(NOISES)]
                yield np.clip(seen + share * drift + noise, 0, 255).astype(np.uint8)
            here = there


def _interpolation(size: int, points: int) -> np.ndarray:
    """Return weights (size, points) that interpolate between points."""
    at = np.linspace(0, points - 1, size)[:, np.newaxis]
    return np.asarray(np.maximum(0, 1 - np.abs(at - np.arange(points))))


class Classifier:
    """
    Two stages that answer by linear functions of a few features of the pixels.

    `sharpness` is how fast their answers change from one picture to another.
    """

    def __init__(self, seed: int, sharpness: float = 1.0) -> None:
        random = np.random.default_rng((seed, 1))
        both = random.normal(0, 1, (np.prod(SHAPE), CLASSES))
        self._weights = [
            sharpness * (both + 0.7 * random.normal(0, 1, both.shape)) / 350 for _ in range(2)
        ]

    def decide(self, image: Image) -> Decision:
        """Return what the cascade says of a frame."""
        pixels = image.reshape(-1) - np.float32(128)
        answers: list[Answer] = []
        for name, weights, threshold in zip(('a', 'b'), self._weights, (0.8, None)):
            p = softmax(pixels @ weights)
            top = np.partition(p, -2)
            answers.append(Answer(name, p, float(top[-1] - top[-2]), threshold, 0.0))
            if threshold is not None and answers[-1].score >= threshold:
                break
        return post_check(answers, RULE)


class Tally(NamedTuple):
    """How many frames the memory answered, how many wrongly, and the most that it held."""

    frames: int
    answered: int
    wrong: int
    most: int


def play(memory: Memory, frames: int, sharpness: float = 1.0, settle: int = 0) -> Tally:
    """
    Play frames of a camera to a memory, and compare every answer with the classifier's.

    Those by which the memory settles are not counted.
    """
    camera, classifier = Camera(0).frames(), Classifier(0, sharpness)
    answered = wrong = most = 0
    for number in range(-settle, frames):
        image = next(camera)
        truth = classifier.decide(image)
        recollection = memory.recall(Frame(image))
        if recollection.answer is None:
            memory.remember(recollection, truth)
        elif number >= 0:
            answered += 1
            wrong += recollection.answer.label != truth.label
        most = max(most, len(memory))
    return Tally(frames, answered, wrong, most)


def main(frames: int = 1_000_000) -> None:
    """Play a million frames under the defaults, and under a rule that is much too loose."""
    for name, settings in (
        ('defaults', MemorySettings()),
        ('three times the differences', MemorySettings(difference=45.0, difference_per_margin=90)),
        ('no audits', MemorySettings(audit=0.0, difference=45.0, difference_per_margin=90)),
    ):
        for sharpness in (1.0, 3.0):
            memory = Memory(settings, seed=0)
            tally, record = play(memory, frames, sharpness=sharpness), memory.record()
            shares = tally.answered / frames, tally.wrong / max(1, tally.answered)
            print(
                f'{name}, sharpness {sharpness:g}: answered {shares[0]:.1%}, '
                f'wrong {shares[1]:.2%}, held at most {tally.most}; {record}',
                flush=True,
            )


if __name__ == '__main__':
    main()
