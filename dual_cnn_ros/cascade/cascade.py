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
The cascade: a memory answers repeated frames, cheap CNNs easy ones, expensive CNNs the rest.

A frame is classified in four steps:

1. Memory: if the answer to a frame that resembles this one is remembered, it is returned, unless
   it is to be audited.
2. Stages: the CNNs are asked in order until the confidence score of one reaches its threshold.
3. Post-check: if more than one was asked, it decides which of their answers counts.
4. Memory: the decision is remembered, or confirms or corrects what was remembered.

Two stages are the dual CNN of Kinnas et al., "Reducing Inference Energy Consumption Using Dual
Complementary CNNs" (arXiv 2412.01039). Two stages without memory and post-check are the
big/LITTLE network of Park et al. (CODES+ISSS 2015). More stages are the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from time import monotonic, perf_counter

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.decision import Decision, MEMORY
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.memories import Memories
from dual_cnn_ros.cascade.scores import SCORES
from dual_cnn_ros.cascade.selector import Selector
from dual_cnn_ros.cascade.settings import Rule, SELECTOR, Settings

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
        Of the classes, float32, (K,).
    score
        The confidence of the stage, in [0, 1].
    threshold
        The stage is sure if the score reaches this; None for the last stage.
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
    One CNN of the cascade, and when it is sure of its answer.

    Attributes
    ----------
    name
        The name of the stage in decisions and messages.
    predict
        Maps a frame to class probabilities, float32 (K,).
    score
        The confidence score, a name of SCORES, or SELECTOR.
    threshold
        The stage is sure if its score reaches this; None for the last stage, which always is.
    runs_on
        What runs the CNN, for people.
    selector
        The learned score, if it has one.

    """

    name: str
    predict: Callable[[Frame], Probabilities]
    score: str = 'max_probability'
    threshold: float | None = None
    runs_on: str = ''
    selector: Selector | None = None

    def classify(self, frame: Frame, earlier: Sequence[Answer] = ()) -> Answer:
        """
        Run the CNN on a frame, and return its answer with the score and the time taken.

        earlier: the answers of the stages that were asked before.
        """
        start = perf_counter()
        probabilities = self.predict(frame)
        seconds = perf_counter() - start
        if self.score == SELECTOR and self.selector is not None:
            label = probabilities.argmax()
            agree = all(answer.probabilities.argmax() == label for answer in earlier)
            score = float(self.selector(probabilities, agree))
        else:
            score = float(SCORES[self.score](probabilities))
        return Answer(self.name, probabilities, score, self.threshold, seconds)

    def is_sure(self, answer: Answer) -> bool:
        """Return True if the score reaches the threshold, so that no later stage is asked."""
        return self.threshold is None or answer.score >= self.threshold


class Cascade:
    """
    Stages asked in order until one is sure, behind a memory of past frames.

    The settings may be assigned at any time and from any thread. A frame that is being classified
    is finished under the settings it began with, and not remembered under another rule.

    Parameters
    ----------
    stages
        At least one, cheapest first. Their scores and thresholds are replaced by the settings'.
    settings
        Their rule has one criterion for each stage but the last.
    clock
        Returns monotonic seconds.
    seed
        Of the audits of the memory; None for another one each time.

    Raises
    ------
    ValueError
        The number of criteria does not fit the number of stages.

    """

    def __init__(
        self,
        stages: Sequence[Stage],
        settings: Settings,
        clock: Callable[[], float] = monotonic,
        seed: int | None = None,
    ) -> None:
        # One tuple, replaced as a whole: a frame sees settings, stages and memories that belong
        # together, without a lock.
        self._active = (
            settings,
            apply_rule(settings.rule, stages),
            Memories(settings.remember, clock, seed),
        )
        self._swap = Lock()

    @property
    def settings(self) -> Settings:
        """
        The settings in force.

        Assigning another score, post-check or fingerprint empties the memory. Under other
        thresholds an answer stands where the stages that were asked would be enough.
        """
        return self._active[0]

    @settings.setter
    def settings(self, settings: Settings) -> None:
        with self._swap:
            self._change(settings)

    def use(self, rule: Rule) -> None:
        """Put another rule in force from the next frame on; all other settings stay."""
        with self._swap:
            if rule is not self.settings.rule:
                self._change(replace(self.settings, rule=rule))

    def _change(self, settings: Settings) -> None:
        stages = apply_rule(settings.rule, self.stages)
        before, _, memory = self._active
        if settings.validity == before.validity:
            if settings.remember != before.remember:
                memory.configure(settings.remember)
        else:
            memory = memory.empty(settings.remember)
        self._active = settings, stages, memory

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages, with the scores and thresholds in force."""
        return self._active[1]

    @property
    def memory(self) -> Memories:
        """The memories in force: others after a change of score, post-check or fingerprint."""
        return self._active[2]

    def classify(self, frame: Frame, camera: str = '') -> Decision:
        """
        Return the decision about one frame, from the memory or the stages.

        An exception of a stage is passed on, and nothing is remembered.

        Parameters
        ----------
        frame
            The frame.
        camera
            Whose it is: what one camera has seen is no answer for another.

        """
        settings, stages, memories = self._active
        if not settings.memory:
            return ask(stages, frame, settings.rule)
        memory = memories.of(camera)
        start = perf_counter()
        recalled = memory.recall(frame, lambda decision: still_stands(decision, stages))
        seconds = {MEMORY: perf_counter() - start}
        if (answer := recalled.answer) is not None:
            point = settings.rule.name
            same = answer.operating_point == point
            return answer if same else replace(answer, operating_point=point)
        decision = ask(stages, frame, settings.rule)
        memory.remember(recalled, decision)
        distance = recalled.distance if recalled.is_audit else None
        return replace(decision, seconds={**seconds, **decision.seconds}, distance=distance)


def ask(stages: Sequence[Stage], frame: Frame, rule: Rule) -> Decision:
    """Ask one stage after another until one is sure, and return the rule's decision."""
    answers: list[Answer] = []
    for stage in stages:
        answers.append(stage.classify(frame, answers))
        if stage.is_sure(answers[-1]):  # the last stage always is
            break
    return post_check(answers, rule)


def still_stands(decision: Decision, stages: Sequence[Stage]) -> bool:
    """Return whether a past decision asked as many stages as would be asked now, or more."""
    for stage in stages:
        if stage.name == decision.source:
            return stage.threshold is None or decision.scores[stage.name] >= stage.threshold
    return False


def post_check(answers: Sequence[Answer], rule: Rule) -> Decision:
    """
    Return the decision that a rule makes of the answers of the stages that were asked.

    Parameters
    ----------
    answers
        At least one, in the order in which the stages were asked.
    rule
        Its post-check, a name of POST_CHECKS, picks the winner. All answers are compared by the
        rule's confidence score, because scores of different kinds cannot be compared.

    """

    def confidence(answer: Answer) -> float:
        return float(SCORES[rule.confidence](answer.probabilities))

    last = winner = answers[-1]
    if len(answers) > 1 and rule.post_check == 'more_confident':
        winner = max(answers, key=confidence)  # the first of equals
    elif len(answers) > 1 and rule.post_check == 'average':
        mean = np.mean([answer.probabilities for answer in answers], axis=0)
        winner = replace(last, stage='average', probabilities=mean)
    label = int(winner.probabilities.argmax())
    thresholds = [answer.threshold for answer in answers if answer.threshold is not None]
    return Decision(
        winner.probabilities,
        label,
        confidence(winner),
        source=last.stage,
        winner=winner.stage,
        scores={answer.stage: answer.score for answer in answers},
        seconds={answer.stage: answer.seconds for answer in answers},
        threshold=thresholds[-1] if thresholds else None,
        margin=_margin(answers, winner, rule),
        overruled=label != int(last.probabilities.argmax()),
        operating_point=rule.name,
    )


def _margin(answers: Sequence[Answer], winner: Answer, rule: Rule) -> float:
    """Return how far a decision is from another one; see Decision."""
    *_, second, first = np.partition(winner.probabilities, -2)
    margin = float(first - second)
    for answer in answers:
        if answer.probabilities.argmax() == winner.probabilities.argmax():
            continue
        # An earlier stage would be heard if it were sure.
        if answer.threshold is not None:
            margin = min(margin, answer.threshold - answer.score)
        if rule.post_check == 'more_confident':
            score = SCORES[rule.confidence]
            apart = score(winner.probabilities) - score(answer.probabilities)
            margin = min(margin, float(apart))
    return min(max(margin, 0.0), 1.0)


def apply_rule(rule: Rule, stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """
    Return the stages with a rule's scores and thresholds in place of their own.

    Raises
    ------
    ValueError
        The rule does not have one criterion for each stage but the last, or goes by a selector
        that a stage has not.

    """
    if not stages or len(rule.criteria) != len(stages) - 1:
        raise ValueError(
            f'{len(stages)} stages need one threshold for each but the last, '
            f'not {len(rule.criteria)}'
        )
    *earlier, last = stages
    for stage, criterion in zip(earlier, rule.criteria):
        if criterion.score == SELECTOR and stage.selector is None:
            raise ValueError(
                f'score {SELECTOR}: stage {stage.name} has none; calibrate with --score {SELECTOR}'
            )
    return (
        *(
            replace(stage, score=criterion.score, threshold=criterion.threshold)
            for stage, criterion in zip(earlier, rule.criteria)
        ),
        replace(last, score=rule.confidence, threshold=None),
    )
