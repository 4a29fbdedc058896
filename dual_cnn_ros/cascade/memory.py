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

"""The memory of one camera: what was decided about past frames, for frames that resemble them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
import math
from random import Random
from threading import Lock
import time
from typing import NamedTuple

from dual_cnn_ros.cascade.audit import Audit, AuditRecord
from dual_cnn_ros.cascade.decision import Decision, MEMORY
from dual_cnn_ros.cascade.fingerprints import FINGERPRINTS
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.memory_file import CameraSnapshot, Remembered
from dual_cnn_ros.cascade.settings import MemorySettings
from dual_cnn_ros.cascade.thumbnails import Thumbnail, ThumbnailIndex

# A frame that differs by at most so many times what is allowed is no hit, but tells something.
NEAR = 1.25
# A CNN that is surer than this may well be so without reason, and no scale would make its answers
# doubtful.
SUREST = 0.999
# Where nothing repeats, every sixteenth frame is looked up at the least.
MOST_PACE = 16


class Recollection(NamedTuple):
    """
    What the memory knows of a frame.

    Attributes
    ----------
    answer
        The decision about the frame; None where the stages have to be asked.
    key
        The fingerprint of the frame; None if the memory did not look, or the frame has none.
    thumbnail
        The key as it is compared; None for fingerprints that are exact.
    entry
        What resembles the frame, or nearly does.
    distance
        The difference from it as a share of what is allowed; above 1 for what is near.
    is_audit
        Whether the stages are asked though the entry resembles the frame.

    """

    answer: Decision | None = None
    key: bytes | None = None
    thumbnail: Thumbnail | None = None
    entry: Entry | None = None
    distance: float | None = None
    is_audit: bool = False


@dataclass(eq=False)
class Entry:
    """
    A remembered frame.

    Attributes
    ----------
    key
        Its fingerprint.
    decision
        What was decided about it, when, and how sure that is.
    place
        Its place in the index, where there is one.
    used
        Number of the look-up that used it last.

    """

    key: bytes
    remembered: Remembered
    place: int = 0
    used: int = 0


class Memory:
    """
    Decisions about past frames of one camera, the least recently used out first.

    A frame resembles a remembered one if their fingerprints are equal or, with thumbnails, if no
    cell differs by more than the remembered decision allows: the surer it is, the more. A frame is
    always compared with one that was computed, never with one that was itself a hit, because
    small differences would add up.

    An entry is contested where the stages contradict each other or an audit contradicts it: what
    resembles it is computed, until so many answers in a row agree as prove it right.

    It may be used by several threads at once.

    Parameters
    ----------
    settings
        Its fingerprint does not change.
    clock
        Returns monotonic seconds.
    seed
        Of the audits; None for another one each time.

    Attributes
    ----------
    changes
        How often frames were remembered or forgotten: what is saved need not be saved again while
        it stays the same.

    Notes
    -----
    A share of the hits is audited. What an audit finds moves the scale of what is allowed for each
    unit of the margin, and so does a frame that nearly resembled an entry: its answer is known in
    any case.

    """

    def __init__(
        self,
        settings: MemorySettings,
        clock: Callable[[], float] = time.monotonic,
        seed: int | None = None,
    ) -> None:
        self._settings, self._clock = settings, clock
        self._fingerprint = FINGERPRINTS[settings.fingerprint]
        self._random = Random(seed)
        # By key, in the order of use; with thumbnails also by what resembles them.
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._index: ThumbnailIndex[Entry] | None = None
        if settings.fingerprint == 'thumbnail':
            self._index = ThumbnailIndex()
        self._audit = self._new_audit()
        self._lock = Lock()
        self._looks = self._misses = self._skip = self.changes = 0
        self._pace = 1

    def _new_audit(self) -> Audit:
        settings = self._settings
        return Audit(settings.audit, settings.error, settings.scale, self._random)

    def __len__(self) -> int:
        """Return the number of frames remembered."""
        return len(self._entries)

    @property
    def scale(self) -> float:
        """The factor on what is allowed for each unit of the margin; see Audit."""
        return self._audit.scale

    def record(self) -> AuditRecord:
        """Return how right the hits have been since the settings changed."""
        with self._lock:
            return self._audit.record()

    def configure(self, settings: MemorySettings) -> None:
        """Change all settings but the fingerprint; what no longer fits is forgotten."""
        with self._lock:
            before, self._settings = self._settings, settings
            if settings.rule != before.rule:
                self._audit = self._new_audit()
                for entry in self._entries.values():
                    self._tolerate(entry)
            self._shrink(settings.capacity)

    def recall(
        self, frame: Frame, still_stands: Callable[[Decision], bool] = lambda decision: True
    ) -> Recollection:
        """
        Return what is known of a frame; where no answer is, `remember` wants to know it.

        Parameters
        ----------
        frame
            The frame.
        still_stands
            Whether a decision is good enough by now; one that is not is forgotten.

        """
        start = time.perf_counter()
        if self._skip > 0:
            self._skip -= 1
            return Recollection()
        key = frame.once(self._fingerprint)
        if key is None:
            return Recollection()
        with self._lock:
            self._looks += 1
            thumbnail = self._thumbnail(key)
            entry, distance = self._find(key, thumbnail)
            recollection = Recollection(None, key, thumbnail, entry, distance)
            if entry is None or distance > 1:
                self._missed()
                return recollection
            self._entries.move_to_end(entry.key)
            entry.used = self._looks
            self._misses, self._pace = 0, 1
            if not still_stands(entry.remembered.decision):
                self._forget(entry)
                return Recollection(None, key, thumbnail)
            if self._is_contested(entry) or self._audit.hit():
                return recollection._replace(is_audit=True)
            found = entry.remembered
            answer = replace(
                found.decision,
                source=MEMORY,
                scores={},
                seconds={MEMORY: time.perf_counter() - start},
                threshold=None,
                distance=distance,
                age=self._clock() - found.since,
            )
            return recollection._replace(answer=answer)

    def _missed(self) -> None:
        self._misses += 1
        if 0 < self._settings.patience <= self._misses:
            self._misses, self._pace = 0, min(MOST_PACE, 2 * self._pace)
        self._skip = self._pace - 1

    def _thumbnail(self, key: bytes) -> Thumbnail | None:
        return None if self._index is None else Thumbnail(key)

    def _find(self, key: bytes, thumbnail: Thumbnail | None) -> tuple[Entry | None, float]:
        """Return the entry that resembles a key, or else one that is near, and its distance."""
        entry = self._entries.get(key)
        if entry is not None and not self._is_expired(entry):
            return entry, 0.0
        if self._index is None or thumbnail is None or not self._entries:
            return None, 0.0
        scale, settings = self._audit.scale, self._settings
        most, brightness = settings.difference, settings.brightness
        # The last used entry is the likeliest, and needs no search.
        last = next(reversed(self._entries.values()))
        found = [(last, self._index.difference(last.place, thumbnail, brightness))]
        if found[0][1] > min(most, scale * self._tolerance(last)):
            found = self._index.search(thumbnail, NEAR * scale, NEAR * most, brightness)
            found.sort(key=lambda pair: -pair[0].used)
        near, nearest = None, 0.0
        for entry, difference in found:
            if self._is_expired(entry):
                continue
            # Without a tolerance, only what does not differ resembles it.
            allowed = min(most, scale * self._tolerance(entry)) or math.ulp(0.0)
            if difference <= allowed:
                return entry, difference / allowed
            if near is None:
                near, nearest = entry, difference / allowed
        return near, nearest

    def _is_expired(self, entry: Entry) -> bool:
        """Return whether an entry is too old, in which case it is forgotten."""
        oldest = self._settings.max_age
        if not oldest or self._clock() - entry.remembered.since <= oldest:
            return False
        self._forget(entry)
        return True

    def _is_contested(self, entry: Entry) -> bool:
        return entry.remembered.is_contested and self._settings.audit > 0

    def _tolerance(self, entry: Entry) -> float:
        """Return by how many grey levels the margin lets a cell differ, at a scale of 1."""
        if self._is_contested(entry):  # and so computed anyway
            return math.inf
        margin = min(entry.remembered.margin, SUREST)
        return self._settings.difference_per_margin * math.atanh(margin)

    def _tolerate(self, entry: Entry) -> None:
        if self._index is not None:
            self._index.tolerate(entry.place, self._tolerance(entry))

    def remember(self, recollection: Recollection, decision: Decision) -> None:
        """Keep what the stages decided about a frame that `recall` had no answer for."""
        entry = recollection.entry
        if recollection.key is None:
            return
        with self._lock:
            if entry is not None and self._entries.get(entry.key) is not entry:
                entry = None  # forgotten meanwhile
            remembered = Remembered.of(decision, self._clock())
            if entry is not None and recollection.is_audit:
                if _asks_less(decision, entry.remembered.decision):
                    return
                if self._agrees(entry, decision):
                    return
                self._forget(entry)
                remembered = remembered._replace(is_contested=True)
            elif entry is not None:
                self._learn_from_near(entry, recollection.distance or 0.0, decision)
            self._add(recollection.key, recollection.thumbnail, remembered)

    def _agrees(self, entry: Entry, decision: Decision) -> bool:
        """Return whether an audit confirms an entry, and draw the conclusions for later hits."""
        before = entry.remembered
        agrees = decision.label == before.decision.label
        if not self._is_contested(entry):
            self._audit.audited(agrees)
        elif agrees:
            agreements = before.agreements + 1
            entry.remembered = before._replace(
                # Of the surest of many frames, the margin would be chance.
                margin=min(before.margin, decision.margin),
                agreements=agreements,
                is_contested=agreements < self._audit.proof,
            )
            self._tolerate(entry)
            self.changes += 1
        return agrees

    def _learn_from_near(self, entry: Entry, distance: float, decision: Decision) -> None:
        """Learn from a frame that an entry nearly resembles."""
        before = entry.remembered
        if self._is_contested(entry):
            return
        margins = before.margin + decision.margin
        if decision.label == before.decision.label:
            self._audit.learn(agrees=True)
        # On the way from one frame to the other, the answer changes where the margin is used up.
        # What is wrong is a change before the distance at which the memory answers.
        elif margins == 0 or distance * before.margin / margins <= 1:
            self._audit.learn(agrees=False)

    def _add(self, key: bytes, thumbnail: Thumbnail | None, remembered: Remembered) -> None:
        if (old := self._entries.get(key)) is not None:
            self._forget(old)
        self._shrink(self._settings.capacity - 1)
        entry = self._entries[key] = Entry(key, remembered, used=self._looks)
        if self._index is not None and thumbnail is not None:
            entry.place = self._index.add(entry, thumbnail, self._tolerance(entry))
        self.changes += 1

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.key]
        self.changes += 1
        if self._index is not None:
            moved = self._index.remove(entry.place)
            if moved is not None:
                moved.place = entry.place

    def _shrink(self, size: int) -> None:
        while len(self._entries) > size:
            self._forget(next(iter(self._entries.values())))

    def clear(self) -> int:
        """Forget everything; return how many frames that were."""
        with self._lock:
            count = len(self._entries)
            for entry in list(self._entries.values()):
                self._forget(entry)
            self._misses, self._pace, self._skip = 0, 1, 0
            return count

    def snapshot(self) -> CameraSnapshot:
        """Return what is remembered now, in the order of use."""
        with self._lock:
            return CameraSnapshot(
                [(entry.key, entry.remembered) for entry in self._entries.values()],
                self._audit.scale,
            )

    def restore(self, snapshot: CameraSnapshot) -> None:
        """Replace the content by that of a snapshot; ValueError where it has other keys."""
        kept = snapshot.entries[-self._settings.capacity :]
        thumbnails = [self._thumbnail(key) for key, _ in kept]
        self.clear()
        with self._lock:
            self._audit = self._new_audit()
            self._audit.scale = min(self._settings.scale, snapshot.scale)
            for (key, remembered), thumbnail in zip(kept, thumbnails):
                self._looks += 1
                self._add(key, thumbnail, remembered)


def _asks_less(decision: Decision, before: Decision) -> bool:
    """Return whether a cheaper rule gave an answer, which says nothing of one of more stages."""
    is_other = decision.operating_point != before.operating_point
    return is_other and len(decision.scores) < len(before.scores)
