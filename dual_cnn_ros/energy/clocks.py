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

"""From the time stamps of messages to the monotonic time of the readings."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

MOST_PAIRS = 2000


class Clocks:
    """
    Two clocks that are read together now and then, and interpolated in between.

    The stamps may run at another speed than the monotonic clock, as they do in a replay; both
    only go forward (`forget` when one began again). Keeps the newest 2000 pairs.
    """

    def __init__(self) -> None:
        self._stamps: deque[float] = deque(maxlen=MOST_PAIRS)
        self._monotonic: deque[float] = deque(maxlen=MOST_PAIRS)

    def add(self, stamp: float, monotonic: float) -> None:
        """Take both clocks' times, in seconds, of one moment not before the last."""
        self._stamps.append(stamp)
        self._monotonic.append(monotonic)

    def monotonic(self, stamp: float) -> float | None:
        """Return the monotonic time of a stamp, None while the stamps have not come so far."""
        if not self._stamps or stamp > self._stamps[-1]:
            return None
        after = bisect_right(self._stamps, stamp)
        if after == 0:
            return self._monotonic[0] - (self._stamps[0] - stamp)
        if after == len(self._stamps):
            return self._monotonic[-1]
        before = after - 1
        share = (stamp - self._stamps[before]) / (self._stamps[after] - self._stamps[before])
        return self._monotonic[before] + share * (self._monotonic[after] - self._monotonic[before])

    def forget(self) -> None:
        """Drop every pair."""
        self._stamps.clear()
        self._monotonic.clear()
