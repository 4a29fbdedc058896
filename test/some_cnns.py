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

"""CNNs of known answers, in the real cascade."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dual_cnn_ros.cascade.cascade import apply_rule, ask, Stage
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.settings import Rule

BLANK = Frame(np.zeros((8, 8), np.uint8))


def decide(answers: Sequence[np.ndarray], rule: Rule) -> tuple[int, int]:
    """Return the cascade's answer to one image, and how many stages passed it on."""
    stages = [
        Stage(str(number), lambda _, answer=answer: answer)
        for number, answer in enumerate(answers)
    ]
    decision = ask(apply_rule(rule, stages), BLANK, rule)
    return decision.label, int(decision.source)
