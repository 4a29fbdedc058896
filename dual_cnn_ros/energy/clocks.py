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

"""Conversion of the time stamps of messages to the monotonic time of the readings."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

_MOST_PAIRS = 2000


class Clocks:
    """
    Converts stamps to monotonic times, by interpolating between pairs of both.

    The clock of the stamps may run at another speed than the monotonic clock, as in a replay.
    Neither may go backwards; call `forget` when one was reset. The newest 2000 pairs are kept.
    """

    def __init__(self) -> None:
        self._stamps: deque[float] = deque(maxlen=_MOST_PAIRS)
        self._monotonic: deque[float] = deque(maxlen=_MOST_PAIRS)

    def add(self, stamp: float, monotonic: float) -> None:
        """Take what both clocks showed at one moment, in seconds; in the order of time."""
        self._stamps.append(stamp)
        self._monotonic.append(monotonic)

    def monotonic(self, stamp: float) -> float | None:
        """Return the monotonic time of a stamp; None for one after the newest pair."""
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
        """Drop all pairs."""
        self._stamps.clear()
        self._monotonic.clear()
