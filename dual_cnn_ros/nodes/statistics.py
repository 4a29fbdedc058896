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

"""Counts and rates of the classifier, for its diagnostics."""

from __future__ import annotations

from collections import Counter, deque
from threading import Lock
import time
from typing import NamedTuple

import numpy as np

RECENT = 500
COUNTS = ('received', 'classified', 'dropped', 'skipped', 'bad', 'lost')
LOG_SECONDS = 5.0


class Newest(NamedTuple):
    """
    What became of the newest frames.

    Attributes
    ----------
    classified, bad
        Frames of the newest time between two summaries in which any was answered or failed.
    lost
        Frames lost on the way since the summary before the last one.
    reason
        Why the last bad frame was not classified.

    """

    classified: int = 0
    bad: int = 0
    lost: int = 0
    reason: str = ''


class Statistics:
    """
    Counts the frames of one camera since the node was activated; threads may share it.

    Attributes
    ----------
    newest
        What became of the newest frames, as of the last summary.
    rate
        Frames received in a second between the last two summaries.

    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._recent: deque[tuple[str, float]] = deque(maxlen=RECENT)
        self._last_received = self._rated = time.monotonic()
        self._rated_frames = self._lost = 0
        self._is_held = False
        self._before: Counter[str] = Counter()
        self._reason = self._logged_reason = ''
        self._logged = -LOG_SECONDS
        self.newest, self.rate = Newest(), 0.0

    @property
    def has_received(self) -> bool:
        """Whether a frame came."""
        return self._counts['received'] > 0

    def took(self, missed: int) -> None:
        """Count a frame that was taken, and those missed since the one before."""
        with self._lock:
            # What was lost on the way is missed, too, and counted already.
            lost = min(missed, self._lost)
            self._lost -= lost
            self._counts['received'] += 1 + missed - lost
            self._counts['skipped' if self._is_held else 'dropped'] += missed - lost
            self._is_held = False
            self._last_received = time.monotonic()

    def lost(self, frames: int) -> None:
        """Count frames that were lost on the way."""
        with self._lock:
            self._counts['lost'] += frames
            self._lost += frames

    def hold(self) -> None:
        """Note that no frame is wanted at the moment: that none is taken is no silence."""
        with self._lock:
            self._is_held = True
            self._last_received = time.monotonic()

    def failed(self, reason: str) -> bool:
        """Count a frame as bad; return True if the log shall say why: once, not too often."""
        now = time.monotonic()
        with self._lock:
            self._counts['bad'] += 1
            self._reason = reason
            if reason == self._logged_reason or now - self._logged < LOG_SECONDS:
                return False
            self._logged_reason, self._logged = reason, now
            return True

    def answered(self, source: str, seconds: float) -> None:
        """Count a frame as classified, by the memory or a stage, in so many seconds."""
        with self._lock:
            self._counts['classified'] += 1
            self._recent.append((source, seconds))
            self._logged_reason = ''

    def silence(self) -> float:
        """Return the seconds since the last frame, or since the start if none came."""
        with self._lock:
            return time.monotonic() - self._last_received

    def summary(self, sources: tuple[str, ...]) -> dict[str, object]:
        """
        Return what the diagnostics say of the camera.

        Parameters
        ----------
        sources
            Whose shares are wanted: the memory and the stages.

        Returns
        -------
        dict
            Counts of frames; `rate_hz`, received since the last summary; and of the last 500
            classified frames the `share` of each source and the `latency_p50_ms` and
            `latency_p95_ms`, empty where there were none.

        """
        with self._lock:
            counts, recent = self._counts.copy(), list(self._recent)
            new, self._before = counts - self._before, counts
            # Frames that were not wanted become known with the next one that is taken.
            if (frames := counts['received'] - self._rated_frames) or not self._is_held:
                now = time.monotonic()
                self.rate = round(frames / max(now - self._rated, 1e-3), 2)
                self._rated, self._rated_frames = now, counts['received']
            finished = new if new['classified'] or new['bad'] else self.newest._asdict()
            self.newest = Newest(
                finished['classified'], finished['bad'], new['lost'], self._reason
            )
        answers = Counter(source for source, _ in recent)
        latencies = [1e3 * latency for _, latency in recent]
        p50, p95 = np.percentile(latencies, (50, 95)).round(3).tolist() if latencies else ('', '')
        return {
            **{name: counts[name] for name in COUNTS},
            'rate_hz': self.rate,
            **{f'share.{name}': round(answers[name] / max(1, len(recent)), 4) for name in sources},
            'latency_p50_ms': p50,
            'latency_p95_ms': p95,
        }
