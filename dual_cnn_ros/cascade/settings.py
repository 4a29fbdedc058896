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

"""What may be changed while the cascade runs, in one immutable record."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
import math

from dual_cnn_ros.cascade.audit import LEAST_SCALE
from dual_cnn_ros.cascade.fingerprints import FINGERPRINTS
from dual_cnn_ros.cascade.scores import SCORES

POST_CHECKS = {
    'none': 'the last stage asked has the last word',
    'more_confident': 'of the stages asked, the most confident wins, the earlier one on a tie',
    'average': 'the mean of the distributions of all stages asked',
}
# The learned score, of stages that have a selector; all others are in SCORES.
SELECTOR = 'selector'
# No score exceeds 1, so a stage with this threshold is never sure. With a threshold of 1 it is
# sure where its score is exactly 1.
ALWAYS_DEFER = math.nextafter(1.0, 2.0)


def _check_choice(name: str, value: str, choices: Collection[str]) -> None:
    if value not in choices:
        raise ValueError(f'{name} must be one of {", ".join(choices)}, not {value!r}')


@dataclass(frozen=True)
class Criterion:
    """
    When a stage is sure of its answer: where its score reaches the threshold.

    Attributes
    ----------
    score
        A name of SCORES, or SELECTOR.
    threshold
        In [0, 1], or ALWAYS_DEFER.

    """

    score: str = 'max_probability'
    threshold: float = 0.8

    def __post_init__(self) -> None:
        """Check both fields; ValueError names the one that is wrong and what it may be."""
        _check_choice('score', self.score, (*SCORES, SELECTOR))
        if not 0 <= self.threshold <= ALWAYS_DEFER:
            raise ValueError(f'threshold must be in [0, 1], not {self.threshold}')


@dataclass(frozen=True)
class Rule:
    """
    Who answers: what each stage but the last must reach, and who wins once several were asked.

    Attributes
    ----------
    criteria
        One for each stage but the last, which is always sure.
    post_check
        A name of POST_CHECKS.
    name
        Of the operating point that it is, '' for none. Rules of the same content are equal.

    """

    criteria: tuple[Criterion, ...] = (Criterion(),)
    post_check: str = 'more_confident'
    name: str = field(default='', compare=False)

    def __post_init__(self) -> None:
        """Check the post-check; ValueError names what it may be."""
        _check_choice('post_check', self.post_check, POST_CHECKS)

    @property
    def confidence(self) -> str:
        """The score by which answers of different stages are compared, and which is published."""
        score = self.criteria[0].score if self.criteria else SELECTOR
        # A selector says whether to stop, not how sure the answer is.
        return 'max_probability' if score == SELECTOR else score


@dataclass(frozen=True)
class MemorySettings:
    """
    What the memory keeps, what it takes for the same, and how it makes sure.

    Attributes
    ----------
    fingerprint
        The key, a name of FINGERPRINTS.
    capacity
        Number of frames remembered of a camera at most.
    max_age
        Seconds after which a frame is forgotten, 0 for never.
    audit
        Share of the hits that are computed anyway. At 0, contested entries are not either.
    error
        Share of wrong hits that is accepted.
    difference
        By how many grey levels any cell of a thumbnail may differ at the most.
    difference_per_margin
        The same for each unit of the remembered decision's margin m, as atanh(m), half its
        log-odds, because the answers of CNNs change with those: the smaller one counts.
    brightness
        By how many grey levels the means of two thumbnails may differ.
    scale
        The largest factor that the audits put on difference_per_margin.
    patience
        Number of misses in a row after which only every second frame is looked up, after as many
        more every fourth, and so on to every sixteenth, until one is a hit; 0 to look up all.

    """

    fingerprint: str = 'thumbnail'
    capacity: int = 1024
    max_age: float = 0.0
    audit: float = 0.02
    error: float = 0.01
    difference: float = 15.0
    difference_per_margin: float = 30.0
    brightness: float = 10.0
    scale: float = 1.0
    patience: int = 30

    def __post_init__(self) -> None:
        """Check every field; ValueError names the one that is wrong and what it may be."""
        _check_choice('fingerprint', self.fingerprint, FINGERPRINTS)
        if self.capacity < 1:
            raise ValueError(f'capacity must be at least 1 frame, not {self.capacity}')
        if not 0 <= self.max_age < math.inf:
            raise ValueError(f'max_age must be 0 (never) or positive seconds, not {self.max_age}')
        if not 0 <= self.audit <= 1:
            raise ValueError(f'audit must be in [0, 1], not {self.audit}')
        if not 0 < self.error < 1:
            raise ValueError(f'error must be between 0 and 1, not {self.error}')
        for name in ('difference', 'difference_per_margin', 'brightness'):
            if not 0 <= (value := getattr(self, name)) < math.inf:
                raise ValueError(f'{name} must be grey levels from 0 on, not {value}')
        if not LEAST_SCALE <= self.scale <= 1:
            raise ValueError(f'scale must be in [{LEAST_SCALE}, 1], not {self.scale}')
        if self.patience < 0:
            raise ValueError(f'patience must be frames from 0 on, not {self.patience}')

    @property
    def rule(self) -> MemorySettings:
        """What decides which hits are right: audits are counted anew once it changes."""
        return replace(self, capacity=1, max_age=0.0, patience=0)


@dataclass(frozen=True)
class Settings:
    """
    The live settings of a cascade.

    Attributes
    ----------
    rule
        Who answers.
    memory
        Whether frames are looked up and remembered.
    remember
        Which frames, and for how long.

    """

    rule: Rule = field(default_factory=Rule)
    memory: bool = True
    remember: MemorySettings = field(default_factory=MemorySettings)

    @property
    def validity(self) -> tuple[tuple[str, ...], str, str]:
        """
        What all remembered answers depend on: they are worthless once this has changed.

        Thresholds are not in it, as each answer tells whether it stands under others.
        """
        scores = tuple(criterion.score for criterion in self.rule.criteria)
        return scores, self.rule.post_check, self.remember.fingerprint
