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

"""How systems are measured: in which order images are played, and what is timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dual_cnn_ros.cascade.frame import Image

METHOD = """\
What is measured: every CNN runs once on every image, and on every turned image, by the code of the
node. Every frame then passes each system's real cascade, fingerprint and memory included, which is
given those answers instead of running the CNNs again. For a random sample of the images (--timed)
the CNNs do run again: all systems classify the image in turn, in an order drawn for each image,
and CPU seconds (of the process, one thread, from the decoded image to the answer) and latency are
measured. A source that answered none of the sample is timed on up to 20 other frames that it
answered, for CPU seconds only: a CNN with an empty memory, the memory after it has seen just that
frame. Where the machine has a power sensor with a total, each system also repeats each protocol on
some of these images, in a block of its own, with rests before and after all blocks: joules per
image above idle, and in all.

What is derived: the CPU seconds per image of a system are the median of each source, weighted by
its share of all frames; there are none where a source was not timed. Where a source answered in
the first pass, only frames of that pass count, because a machine is not as busy in one pass as in
another. The MACs of a frame are those of the CNNs that were asked about it, as the bundle states
them."""

_ROTATIONS = (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)


@dataclass(frozen=True)
class Protocol:
    """A share of the images is repeated after all of them, turned or as they are."""

    share: float
    turned: bool

    @property
    def name(self) -> str:
        """As shown: 'd=0.5 rotated'."""
        return f'd={self.share:g}' + (' rotated' if self.turned else '')


def make_protocols(shares: Sequence[float], rotate: bool) -> list[Protocol]:
    """Return a protocol for each share, and another with turned repeats if so wished."""
    return list(
        dict.fromkeys(
            Protocol(share, turned)
            for share in shares
            for turned in ((False, True) if rotate and share else (False,))
        )
    )


def turn(image: Image, seed: tuple[int, int]) -> Image:
    """Return the image turned by 90, 180 or 270 degrees or mirrored, whichever the seed draws."""
    drawn = int(np.random.default_rng(seed).integers(len(_ROTATIONS) + 1))
    is_rotation = drawn < len(_ROTATIONS)
    turned = cv2.rotate(image, _ROTATIONS[drawn]) if is_rotation else cv2.flip(image, 1)
    return np.asarray(turned, np.uint8)
