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
from dataclasses import dataclass, field
import math

from dual_cnn_ros.cascade.fingerprints import FINGERPRINTS
from dual_cnn_ros.cascade.scores import SCORES

POST_CHECKS = {
    'none': 'the last stage asked has the last word',
    'more_confident': 'of the stages asked, the most confident wins, the earlier one on a tie',
    'average': 'the mean of the distributions of all stages asked',
}
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
        A name of SCORES.
    threshold
        In [0, 1], or ALWAYS_DEFER.

    """

    score: str = 'max_probability'
    threshold: float = 0.8

    def __post_init__(self) -> None:
        """Check both fields; ValueError names the one that is wrong and what it may be."""
        _check_choice('score', self.score, SCORES)
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

    """

    criteria: tuple[Criterion, ...] = (Criterion(),)
    post_check: str = 'more_confident'

    def __post_init__(self) -> None:
        """Check the post-check; ValueError names what it may be."""
        _check_choice('post_check', self.post_check, POST_CHECKS)

    @property
    def confidence(self) -> str:
        """The score by which answers of different stages are compared, and which is published."""
        return self.criteria[0].score if self.criteria else 'max_probability'


@dataclass(frozen=True)
class Settings:
    """
    The live settings of a cascade.

    Attributes
    ----------
    rule
        Who answers.
    memory
        Whether frames are remembered.
    fingerprint
        The key of the memory, a name of FINGERPRINTS.
    capacity
        Number of frames remembered at most.
    max_age
        Seconds after which a frame is forgotten, 0 for never.

    """

    rule: Rule = field(default_factory=Rule)
    memory: bool = True
    fingerprint: str = 'dhash'
    capacity: int = 1024
    max_age: float = 0.0

    def __post_init__(self) -> None:
        """Check every field; ValueError names the one that is wrong and what it may be."""
        _check_choice('fingerprint', self.fingerprint, FINGERPRINTS)
        if self.capacity < 1:
            raise ValueError(f'capacity must be at least 1 frame, not {self.capacity}')
        if not 0 <= self.max_age < math.inf:
            raise ValueError(f'max_age must be 0 (never) or positive seconds, not {self.max_age}')

    @property
    def validity(self) -> tuple[Rule, str]:
        """What a remembered answer depends on: it is worthless once this has changed."""
        return self.rule, self.fingerprint
