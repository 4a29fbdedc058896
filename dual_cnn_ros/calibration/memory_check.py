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

"""Whether the memory, at its defaults, answers rightly on the images that a bundle is made for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.cascade.cascade import ask
from dual_cnn_ros.cascade.decision import MEMORY
from dual_cnn_ros.cascade.frame import Frame, Image
from dual_cnn_ros.cascade.settings import MemorySettings


@dataclass(frozen=True)
class MemoryCheck:
    """
    What the memory did with some images, one after another.

    Attributes
    ----------
    images
        Their number.
    answered
        How many of them the memory answered.
    wrong
        Of how many of these the CNNs say otherwise.

    """

    images: int
    answered: int
    wrong: int

    @property
    def warning(self) -> str:
        """What to set where the memory is wrong too often, or ''."""
        if self.wrong <= max(1.0, MemorySettings.error * self.answered):
            return ''
        return (
            f'WARNING: the memory answered {self.answered} of {self.images} images, and '
            f'{self.wrong} of them otherwise than the CNNs do. '
            + memory_advice(self.wrong / self.answered)
        )


def memory_advice(wrong: float) -> str:
    """Return what to set where that share of the memory's answers is wrong."""
    if wrong > 10 * MemorySettings.error:
        return 'These images are too much alike for it: set memory to false.'
    return (
        f'Set memory_difference to less than {MemorySettings.difference:g}, or memory to false '
        'where every frame counts.'
    )


def check_memory(bundle: Bundle, images: Iterable[Image]) -> MemoryCheck:
    """Classify images with a memory, and compare what it answers with what the CNNs say."""
    remember = MemorySettings(audit=0.0, patience=0)
    cascade = bundle.cascade('auto', ('cpu',))
    cascade.settings = replace(cascade.settings, memory=True, remember=remember)
    count = answered = wrong = 0
    for image in images:
        count += 1
        decision = cascade.classify(Frame(image))
        if decision.source == MEMORY:
            answered += 1
            own = ask(cascade.stages, Frame(image), cascade.settings.rule)
            wrong += own.label != decision.label
    return MemoryCheck(count, answered, wrong)
