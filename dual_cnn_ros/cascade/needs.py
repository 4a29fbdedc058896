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

"""The least of a frame that has to be decoded."""

from __future__ import annotations

import math
from typing import NamedTuple

from dual_cnn_ros.cascade.fingerprints import ENOUGH
from dual_cnn_ros.cascade.frame import halvings, Preprocessing
from dual_cnn_ros.cascade.region import Region, WHOLE


class Needs(NamedTuple):
    """
    Which pixels a cascade reads.

    Attributes
    ----------
    inputs
        Of its stages.
    fingerprint
        The key of its memory, a name of FINGERPRINTS; None without a memory.
    region
        The part of a frame that is looked at.

    """

    inputs: tuple[Preprocessing, ...]
    fingerprint: str | None = None
    region: Region = WHOLE

    def halvings(self, rows: int, columns: int) -> int:
        """
        Return how often a frame of rows x columns can be halved before anything is missed.

        No more often than both sides stay whole numbers: what a row more or less at one edge does
        to all others would be seen.
        """
        if self.fingerprint is not None and self.fingerprint not in ENOUGH:
            return 0
        _, _, width, height = self.region
        size = max(1, int(rows * height)), max(1, int(columns * width))
        counts = [stage.halvings(*size) for stage in self.inputs]
        if self.fingerprint is not None:
            counts.append(halvings(*size, *ENOUGH[self.fingerprint]))
        whole = math.gcd(rows, columns)
        return min(*counts, (whole & -whole).bit_length() - 1)

    @property
    def is_grey(self) -> bool:
        """Whether nothing reads colours, so that the key need not, either."""
        is_grey = all(stage.colour == 'grey' for stage in self.inputs)
        return is_grey and self.fingerprint != 'dhash'
