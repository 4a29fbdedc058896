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

"""At most so many frames a second."""

from __future__ import annotations

import math


class RateLimit:
    """Takes frames evenly, so that their mean rate is the limit whatever the camera's rate."""

    def __init__(self) -> None:
        # When the last frame was due; in step with itself, unless frames come seldom anyway.
        self._due = -math.inf

    def wait(self, rate: float, now: float) -> float:
        """Return for how many of the steady seconds after now no frame is due at a rate in Hz."""
        return max(0.0, self._due + 1 / rate - now) if rate > 0 else 0.0

    def took(self, rate: float, now: float) -> None:
        """Note that a frame is taken now."""
        if rate > 0:
            due = self._due + 1 / rate
            self._due = due if now <= due + 1 / rate else now
