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
The cascade: a memory answers repeats, a first CNN what it is sure of, a second the rest.

The method is that of Kinnas et al., "Reducing Inference Energy Consumption Using Dual
Complementary CNNs" (arXiv 2412.01039). Two stages are the dual CNN; two stages without post-check
are the big/LITTLE network of Park et al. (CODES+ISSS 2015); more stages with a threshold each are
the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import zip_longest
from threading import Lock
from time import perf_counter
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.decision import Decision, MEMORY
from dual_cnn_ros.cascade.fingerprints import FINGERPRINTS
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.memory import Memory
from dual_cnn_ros.cascade.scores import confidence, DEFERRAL, Score
from dual_cnn_ros.cascade.settings import Settings

Probabilities = npt.NDArray[np.float32]


class Stage(NamedTuple):
    """
    A named CNN: `classify` maps a frame to its class probabilities, float32 (K,).

    deferral: the score of that name, of its own probabilities, where it has learned one.
    """

    name: str
    classify: Callable[[Frame], Probabilities]
    deferral: Score | None = None


class Learned(Protocol):
    """A stage, loaded or not, that may have learned a score."""

    @property
    def name(self) -> str:
        """Of the stage."""

    @property
    def deferral(self) -> Score | None:
        """Its score, if it has learned one."""


class Cascade:
    """
    Stages asked in order until one is sure enough, behind a memory of past frames.

    stages: at least one, cheapest first. settings: may be assigned at any time and from any
    thread; a frame that is being classified is finished under those it began with.
    """

    def __init__(self, stages: Sequence[Stage], settings: Settings) -> None:
        """Check that there is a threshold for each stage but the last; ValueError if not."""
        self.stages = tuple(stages)
        self.memory = Memory(settings.capacity, settings.max_age)
        self._settings = settings
        self._swap = Lock()
        self._check(settings)

    @property
    def settings(self) -> Settings:
        """The settings in force; assigning others forgets the answers of another rule."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._check(settings)
        with self._swap:
            if settings.rule != self._settings.rule:
                self.memory.clear()
            self.memory.resize(settings.capacity, settings.max_age)
            self._settings = settings

    def classify(self, frame: Frame) -> Decision:
        """Answer one frame. What a stage raises is passed on, and nothing is remembered."""
        settings = self._settings
        seconds: dict[str, float] = {}
        key = None
        if settings.memory:
            start = perf_counter()
            key = FINGERPRINTS[settings.fingerprint](frame)
            seconds['fingerprint'] = perf_counter() - start
        if key is not None:
            start = perf_counter()
            remembered = self.memory.recall(key)
            seconds[MEMORY] = perf_counter() - start
            if remembered is not None:
                return replace(
                    remembered,
                    source=MEMORY,
                    scores={},
                    seconds=seconds,
                    threshold=None,
                    distance=0,
                )
        decision = self._ask(frame, settings, seconds)
        with self._swap:
            if key is not None and settings.rule == self._settings.rule:
                self.memory.remember(key, decision)
        return decision

    def _ask(self, frame: Frame, settings: Settings, seconds: dict[str, float]) -> Decision:
        """Answer one frame by the stages alone, adding the time of each to `seconds`."""
        score = confidence(settings.score)
        answers: list[Decision] = []
        scores: dict[str, float] = {}
        threshold = None
        for stage, limit in zip_longest(self.stages, settings.thresholds):
            start = perf_counter()
            probabilities = stage.classify(frame)
            seconds[stage.name] = perf_counter() - start
            answers.append(
                Decision(
                    probabilities,
                    int(probabilities.argmax()),
                    float(score(probabilities)),
                    stage.name,
                    stage.name,
                )
            )
            decision = post_check(answers, settings.post_check, score)
            compared, scores[stage.name] = decision.score, answers[-1].score
            if limit is None:
                break
            if settings.score == DEFERRAL and stage.deferral is not None:
                compared = scores[stage.name] = float(stage.deferral(probabilities))
            threshold = limit
            if compared >= threshold:
                break
        return replace(
            decision,
            source=answers[-1].source,
            seconds=seconds,
            scores=scores,
            threshold=threshold,
        )

    def _check(self, settings: Settings) -> None:
        if not self.stages or len(settings.thresholds) != len(self.stages) - 1:
            raise ValueError(
                f'{len(self.stages)} stages need one threshold for each but the '
                f'last, not {len(settings.thresholds)}'
            )
        check_score(settings.score, self.stages)


def check_score(score: str, stages: Sequence[Learned]) -> None:
    """Raise ValueError where a stage that others follow has not learned the score in use."""
    missing = [stage.name for stage in stages[:-1] if stage.deferral is None]
    if score == DEFERRAL and missing:
        raise ValueError(
            f'score deferral: the bundle has no deferral for stage '
            f'{", ".join(missing)}; calibrate learns it'
        )


def post_check(answers: Sequence[Decision], rule: str, score: Score) -> Decision:
    """Return the answer that counts once these stages have been asked; see POST_CHECKS."""
    if rule == 'none' or len(answers) == 1:
        return answers[-1]
    if rule == 'more_confident':
        return max(answers, key=lambda answer: answer.score)  # max keeps the first of equals
    mean: Probabilities = np.mean([answer.probabilities for answer in answers], axis=0)
    return Decision(mean, int(mean.argmax()), float(score(mean)), answers[-1].source, 'average')
