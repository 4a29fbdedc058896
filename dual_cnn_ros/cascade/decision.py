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

"""The one record of what was decided about a frame, and by whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

MEMORY = 'memory'


@dataclass(frozen=True, eq=False)
class Decision:
    """
    Everything that is published, logged, evaluated or drawn about one frame.

    Attributes
    ----------
    probabilities
        float32, (K,).
    label
        Index of the class that is the answer.
    score
        How sure the answer is, in [0, 1].
    source
        'memory', or the last stage that was asked: it says what the frame cost.
    winner
        The stage whose answer it is, or 'average'.
    scores
        Score of each stage that was asked, in order.
    seconds
        Time of each step that ran: 'memory' and the stages that were asked.
    threshold
        The last threshold that a score was compared with; None where there was none.
    margin
        By how much a probability or a score would have to change for another answer, in [0, 1].
    overruled
        Whether the last stage that was asked gives another answer.
    operating_point
        Name of the rule in force, '' where it has none.
    distance
        From the remembered frame that this one resembles, in [0, 1]: the difference between the
        two as a share of what is allowed. None where there is no such frame. If `source` is not
        'memory', the stages were asked all the same, as an audit of the memory.
    age
        Seconds since the answer was computed, where the memory gave it; else None.

    """

    probabilities: npt.NDArray[np.float32]
    label: int
    score: float
    source: str
    winner: str
    scores: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    threshold: float | None = None
    margin: float = 0.0
    overruled: bool = False
    operating_point: str = ''
    distance: float | None = None
    age: float | None = None
