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
    """Admits frames evenly, so that their mean rate is the limit whatever the camera's rate."""

    def __init__(self) -> None:
        self._next = -math.inf

    def admits(self, rate: float, now: float) -> bool:
        """Return whether a frame that comes now, in steady seconds, is within a rate in Hz."""
        if rate <= 0:
            return True
        if now < self._next:
            return False
        # In step with itself, unless frames come seldom anyway.
        is_seldom = now > self._next + 1 / rate
        self._next = (now if is_seldom else self._next) + 1 / rate
        return True
