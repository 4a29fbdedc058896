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

import numpy as np

RECENT = 500


class Statistics:
    """Counts the frames of each camera since the node was activated; threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._started = time.monotonic()
        self._counts: dict[str, Counter[str]] = {}
        self._seen: dict[str, float] = {}
        self._recent: dict[str, deque[tuple[str, float]]] = {}
        self._tick: dict[str, tuple[float, int]] = {}

    def count(self, camera: str, what: str) -> None:
        """Count a frame as 'received', 'dropped', 'bad' or 'classified'."""
        with self._lock:
            self._counts.setdefault(camera, Counter())[what] += 1
            if what == 'received':
                self._seen[camera] = time.monotonic()

    def answered(self, camera: str, source: str, seconds: float) -> None:
        """Count a frame as classified, by the memory or a stage, in so many seconds."""
        self.count(camera, 'classified')
        with self._lock:
            self._recent.setdefault(camera, deque(maxlen=RECENT)).append((source, seconds))

    def silence(self, camera: str) -> float:
        """Return the seconds since a camera's last frame, or since the start if none came."""
        with self._lock:
            return time.monotonic() - self._seen.get(camera, self._started)

    def summary(self, camera: str, sources: tuple[str, ...]) -> dict[str, object]:
        """
        Return what the diagnostics say of a camera.

        Parameters
        ----------
        camera
            Its name.
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
            counts = Counter(self._counts.get(camera, ()))
            recent = list(self._recent.get(camera, ()))
            now = time.monotonic()
            before, already = self._tick.get(camera, (self._started, 0))
            self._tick[camera] = now, counts['received']
        values: dict[str, object] = {
            name: counts[name] for name in ('received', 'classified', 'dropped', 'bad')
        }
        values['rate_hz'] = round((counts['received'] - already) / max(now - before, 1e-3), 2)
        for source in sources:
            share = sum(s == source for s, _ in recent) / len(recent) if recent else 0.0
            values[f'share.{source}'] = round(share, 4)
        latencies = [seconds for _, seconds in recent]
        for percent in (50, 95):
            values[f'latency_p{percent}_ms'] = (
                round(1e3 * float(np.percentile(latencies, percent)), 3) if latencies else ''
            )
        return values
