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

"""What may be tuned while the cascade runs: one immutable record, swapped between two frames."""

from __future__ import annotations

from dataclasses import dataclass

from dual_cnn_ros.calibration.thresholds import ALWAYS_DEFER
from dual_cnn_ros.cascade.fingerprints import FINGERPRINTS
from dual_cnn_ros.cascade.scores import SCORE_NAMES

POST_CHECKS = {
    'none': 'the last stage asked has the last word',
    'more_confident': 'of the stages asked, the most confident wins, the earlier one on a tie',
    'average': 'the mean of the distributions of all stages asked',
}


@dataclass(frozen=True)
class Settings:
    """
    The live settings of a cascade.

    score: a name of SCORE_NAMES. thresholds: one for each stage but the last, in [0, 1]; a stage's
    answer is accepted when its score is at least that, and never at ALWAYS_DEFER. post_check: a
    name of POST_CHECKS. memory: whether frames are remembered. fingerprint: a name of
    FINGERPRINTS. capacity: frames remembered at most. max_age: seconds after which a frame is
    forgotten, 0 for never.
    """

    score: str = 'max_probability'
    thresholds: tuple[float, ...] = (0.8,)
    post_check: str = 'more_confident'
    memory: bool = True
    fingerprint: str = 'dhash'
    capacity: int = 1024
    max_age: float = 0.0

    def __post_init__(self) -> None:
        """Check every field; ValueError names the one that is wrong and what it may be."""
        for name, choices in (
            ('score', SCORE_NAMES),
            ('post_check', POST_CHECKS),
            ('fingerprint', FINGERPRINTS),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f'{name} must be one of {", ".join(choices)}, not {getattr(self, name)!r}'
                )
        for threshold in self.thresholds:
            if not 0 <= threshold <= ALWAYS_DEFER:
                raise ValueError(f'threshold must be in [0, 1], not {threshold}')
        if self.capacity < 1:
            raise ValueError(f'capacity must be at least 1 frame, not {self.capacity}')
        if not 0 <= self.max_age < float('inf'):
            raise ValueError(f'max_age must be 0 (never) or positive seconds, not {self.max_age}')

    @property
    def rule(self) -> tuple[object, ...]:
        """What a remembered answer depends on: where this changes, the memory is worthless."""
        return self.score, self.thresholds, self.post_check, self.fingerprint
