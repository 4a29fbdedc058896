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

"""The memory's audit of itself: hits that are computed anyway, and what follows from them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import lru_cache
import math
from random import Random

CONFIDENCE = 0.95
# Where chance alone would so seldom make so many of the recent hits wrong, it was not chance.
SIGNIFICANCE = 0.001
RECENT = 10_000
LEAST_SCALE = 1 / 64
# A disagreement takes 30 % off the scale. An agreement gives back so much that the scale rests
# where the accepted share of what is found out disagrees: log(1 / 0.7) is 0.357.
SHRINK, GROW = 0.7, 0.35


@dataclass(frozen=True)
class AuditRecord:
    """
    How right the memory has been since its rule changed last.

    Attributes
    ----------
    hits
        Frames that resembled a remembered one, contested ones left out.
    audits, contradictions
        Hits that were computed anyway, decided at random; those where the answer was another one.
    scale
        The factor on what frames may differ for each unit of the margin, in [1/64, 1].
    bound
        With 95 % confidence no larger share of the hits is wrong.
    recent_bound
        The same of the last 10,000 hits.
    is_trusted
        Whether the memory answers at all: it has not been wrong too often lately.

    """

    hits: int
    audits: int
    contradictions: int
    scale: float
    bound: float
    recent_bound: float
    is_trusted: bool


class Audit:
    """
    Decides which hits are audited, how much hits may differ, and whether the memory answers.

    While the recent hits are wrong too often to be explained by chance, the memory is not trusted:
    every hit is audited, until so many in a row agree that the accepted share holds again.

    Parameters
    ----------
    share
        Of the hits that are audited.
    error
        The share of wrong hits that is accepted.
    most
        The largest scale.
    random
        Decides.

    Attributes
    ----------
    scale
        The factor on what hits may differ for each unit of the margin.
    is_trusted
        Whether the memory answers.

    """

    def __init__(self, share: float, error: float, most: float, random: Random) -> None:
        self._share, self._error, self._most, self._random = share, error, most, random
        self.scale = most
        self.is_trusted = True
        self._hits = self._audits = self._contradictions = self._clean = 0
        # Of the recent audits the number of the hit, and whether it was wrong.
        self._recent: deque[tuple[int, bool]] = deque()

    @property
    def proof(self) -> int:
        """So many agreements in a row show that the accepted share of wrong answers holds."""
        return clean_run(self._error)

    def hit(self) -> bool:
        """Count a hit; return True if it shall be computed anyway."""
        self._hits += 1
        while self._recent and self._recent[0][0] <= self._hits - RECENT:
            self._recent.popleft()
        return not self.is_trusted or self._random.random() < self._share

    def audited(self, agrees: bool) -> None:
        """Count what an audit of the last hit found."""
        self._audits += 1
        self._contradictions += not agrees
        self._recent.append((self._hits, not agrees))
        self.learn(agrees)
        self._clean = self._clean + 1 if agrees else 0
        if not self.is_trusted:
            if self._clean >= self.proof:
                self.is_trusted = True
                self._recent.clear()
        elif not agrees:
            wrong = sum(is_wrong for _, is_wrong in self._recent)
            chance = 1 - binomial_cdf(wrong - 1, len(self._recent), self._error)
            self.is_trusted = chance > SIGNIFICANCE

    def learn(self, agrees: bool) -> None:
        """Move the scale by what became known of two frames that resemble each other."""
        if agrees:
            self.scale = min(self._most, self.scale * (1 + GROW * self._error))
        else:
            self.scale = max(LEAST_SCALE, SHRINK * self.scale)

    def record(self) -> AuditRecord:
        """Return how right the memory has been."""
        wrong = sum(is_wrong for _, is_wrong in self._recent)
        return AuditRecord(
            self._hits,
            self._audits,
            self._contradictions,
            self.scale,
            upper_bound(self._contradictions, self._audits),
            upper_bound(wrong, len(self._recent)),
            self.is_trusted,
        )


def clean_run(error: float) -> int:
    """Return how many clean audits bound the share of wrong hits by `error`: 299 for 0.01."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-error))


@lru_cache(maxsize=256)
def upper_bound(wrong: int, audits: int) -> float:
    """
    Return the one-sided upper bound, with 95 % confidence, of a share, by Clopper and Pearson.

    Parameters
    ----------
    wrong, audits
        That were found, and among how many; without any, the bound is 1.

    """
    low, high = 0.0, 1.0
    if wrong >= audits:
        return high
    while high - low > 1e-6:
        middle = (low + high) / 2
        if binomial_cdf(wrong, audits, middle) > 1 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def binomial_cdf(most: int, count: int, p: float) -> float:
    """Return the probability of at most so many of `count` events that have probability p."""
    log_odds, term = math.log(p) - math.log1p(-p), count * math.log1p(-p)
    total = 0.0
    for i in range(most + 1):
        total += math.exp(term)
        term += math.log((count - i) / (i + 1)) + log_odds if i < count else -math.inf
    return min(1.0, total)
