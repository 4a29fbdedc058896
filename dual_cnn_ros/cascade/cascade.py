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
The cascade: a memory answers repeats, a first CNN what it is sure of, later ones the rest.

Two stages are the dual CNN of Kinnas et al., "Reducing Inference Energy Consumption Using Dual
Complementary CNNs" (arXiv 2412.01039). Two stages without post-check are the big/LITTLE network
of Park et al. (CODES+ISSS 2015). More stages, each with a score and a threshold of its own, are
the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from time import perf_counter

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.decision import Decision, MEMORY
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.memory import Memory
from dual_cnn_ros.cascade.scores import SCORES
from dual_cnn_ros.cascade.settings import Rule, Settings

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Answer:
    """
    What one stage answers about one frame.

    Attributes
    ----------
    stage
        The name of the stage.
    probabilities
        float32, (K,).
    score
        In [0, 1]: how sure the stage is.
    threshold
        What the score was compared with; None for the last stage.
    seconds
        The time that the CNN took.
    """

    stage: str
    probabilities: Probabilities
    score: float
    threshold: float | None
    seconds: float


@dataclass(frozen=True)
class Stage:
    """
    One CNN of the cascade, and when it is sure.

    Attributes
    ----------
    name
        What decisions and messages call it.
    predict
        Maps a frame to class probabilities, float32 (K,).
    score
        A name of SCORES.
    threshold
        It is sure where its score reaches this; None for the last stage, which always is.
    """

    name: str
    predict: Callable[[Frame], Probabilities]
    score: str = 'max_probability'
    threshold: float | None = None

    def classify(self, frame: Frame) -> Answer:
        """Ask the CNN about a frame."""
        start = perf_counter()
        probabilities = self.predict(frame)
        seconds = perf_counter() - start
        score = float(SCORES[self.score](probabilities))
        return Answer(self.name, probabilities, score, self.threshold, seconds)

    def is_sure(self, answer: Answer) -> bool:
        """Return True if the answer needs no other stage."""
        return self.threshold is None or answer.score >= self.threshold


class Cascade:
    """
    Stages asked in order until one is sure, behind a memory of past frames.

    The settings may be assigned at any time and from any thread. A frame that is being classified
    is finished under the settings it began with, and not remembered under another rule.

    Parameters
    ----------
    stages
        At least one, cheapest first. The settings decide their scores and thresholds.
    settings
        With one criterion for each stage but the last.

    Raises
    ------
    ValueError
        The number of criteria does not fit the number of stages.
    """

    def __init__(self, stages: Sequence[Stage], settings: Settings) -> None:
        memory = Memory(settings.fingerprint, settings.capacity, settings.max_age)
        # One tuple, replaced as a whole: a frame sees settings, stages and memory that belong
        # together, without a lock.
        self._active = settings, under(settings.rule, stages), memory
        self._swap = Lock()

    @property
    def settings(self) -> Settings:
        """The settings in force; assigning others forgets answers that depend on the old ones."""
        return self._active[0]

    @settings.setter
    def settings(self, settings: Settings) -> None:
        stages = under(settings.rule, self.stages)
        with self._swap:
            before, _, memory = self._active
            if settings.validity == before.validity:
                memory.resize(settings.capacity, settings.max_age)
            else:
                memory = Memory(settings.fingerprint, settings.capacity, settings.max_age)
            self._active = settings, stages, memory

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages, with the scores and thresholds in force."""
        return self._active[1]

    @property
    def memory(self) -> Memory:
        """The memory in force: another one after a change of rule or fingerprint."""
        return self._active[2]

    def classify(self, frame: Frame) -> Decision:
        """
        Return the decision about one frame.

        What a stage raises is passed on, and nothing is remembered.
        """
        settings, stages, memory = self._active
        if not settings.memory:
            return ask(stages, frame, settings.rule)
        start = perf_counter()
        remembered = memory.recall(frame)
        seconds = {MEMORY: perf_counter() - start}
        if remembered is not None:
            return replace(
                remembered, source=MEMORY, scores={}, seconds=seconds, threshold=None, distance=0
            )
        decision = ask(stages, frame, settings.rule)
        memory.remember(frame, decision)
        return replace(decision, seconds={**seconds, **decision.seconds})


def ask(stages: Sequence[Stage], frame: Frame, rule: Rule) -> Decision:
    """Ask one stage after another until one is sure; the post-check decides among them."""
    answers = []
    for stage in stages:
        answers.append(stage.classify(frame))
        if stage.is_sure(answers[-1]):  # the last one always is
            break
    return post_check(answers, rule)


def post_check(answers: Sequence[Answer], rule: Rule) -> Decision:
    """
    Return the decision that a rule makes of the answers of all stages asked, in their order.

    See POST_CHECKS. Answers are compared by the rule's confidence, whatever score each stage was
    asked for.
    """

    def confidence(answer: Answer) -> float:
        return float(SCORES[rule.confidence](answer.probabilities))

    last = winner = answers[-1]
    if len(answers) > 1 and rule.post_check == 'more_confident':
        winner = max(answers, key=confidence)  # the first of equals
    elif len(answers) > 1 and rule.post_check == 'average':
        mean = np.mean([answer.probabilities for answer in answers], axis=0)
        winner = replace(last, stage='average', probabilities=mean)
    thresholds = [answer.threshold for answer in answers if answer.threshold is not None]
    return Decision(
        winner.probabilities,
        int(winner.probabilities.argmax()),
        confidence(winner),
        source=last.stage,
        winner=winner.stage,
        scores={answer.stage: answer.score for answer in answers},
        seconds={answer.stage: answer.seconds for answer in answers},
        threshold=thresholds[-1] if thresholds else None,
    )


def under(rule: Rule, stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """Return the stages with a rule's criteria; ValueError where their numbers do not fit."""
    if not stages or len(rule.criteria) != len(stages) - 1:
        raise ValueError(
            f'{len(stages)} stages need one threshold for each but the last, '
            f'not {len(rule.criteria)}'
        )
    *earlier, last = stages
    return (
        *(
            replace(stage, score=criterion.score, threshold=criterion.threshold)
            for stage, criterion in zip(earlier, rule.criteria)
        ),
        replace(last, score=rule.confidence, threshold=None),
    )
