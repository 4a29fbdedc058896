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

"""What of a frame has to be decoded, so that nothing that reads it misses anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dual_cnn_ros.cascade.frame import Frame, Preprocessing
from dual_cnn_ros.cascade.needs import Needs


def stage(side: int, crop: float | None = None, colour: str = 'rgb') -> Preprocessing:
    channels = 1 if colour == 'grey' else 3
    return Preprocessing(side, side, colour, crop, (0.5,) * channels, (0.5,) * channels)


@pytest.mark.parametrize(
    ('needs', 'size', 'halvings'),
    [
        # 640 x 480 halved twice is 160 x 120.
        (Needs((stage(64),)), (480, 640), 2),
        (Needs((stage(120),)), (480, 640), 2),
        (Needs((stage(121),)), (480, 640), 1),
        # The one that needs most counts.
        (Needs((stage(32), stage(64), stage(32))), (480, 640), 2),
        # A tenth of the rows is needed alone.
        (Needs((stage(32, crop=0.1),)), (480, 640), 0),
        (Needs((stage(24),), region=(0.4, 0.4, 0.1, 0.1)), (480, 640), 1),
        # Thumbnails are made of 48 x 64 pixels at the least.
        (Needs((stage(8),), 'thumbnail'), (480, 640), 3),
        (Needs((stage(8),), 'thumbnail'), (376, 640), 2),
        # A side that would become odd.
        (Needs((stage(8),)), (484, 640), 2),
        (Needs((stage(8),)), (481, 640), 0),
        (Needs((stage(8),), 'dhash'), (480, 640), 0),
        (Needs((stage(8),), 'invariants'), (480, 640), 0),
        # Smaller than what is needed.
        (Needs((stage(64),), 'thumbnail'), (20, 20), 0),
        (Needs((stage(64),), region=(0.0, 0.0, 0.001, 0.001)), (20, 20), 0),
    ],
)
def test_halvings(needs: Needs, size: tuple[int, int], halvings: int) -> None:
    assert needs.halvings(*size) == halvings


@pytest.mark.parametrize(
    ('colours', 'key', 'is_grey'),
    [
        (('grey', 'grey'), None, True),
        (('grey',), 'thumbnail', True),
        (('grey',), 'invariants', True),
        (('grey',), 'dhash', False),
        (('grey', 'bgr'), None, False),
    ],
)
def test_grey_is_enough_where_nothing_reads_colours(
    colours: tuple[str, ...], key: Any, is_grey: bool
) -> None:
    inputs = tuple(stage(8, colour=colour) for colour in colours)
    assert Needs(inputs, key).is_grey == is_grey


def test_an_input_has_as_many_pixels_of_its_own_from_the_smaller_frame() -> None:
    whole = np.zeros((480, 640, 3), np.uint8)
    for side in (30, 60, 100, 240):
        for crop in (None, 0.4, 0.875):
            halvings = Needs((stage(side, crop),)).halvings(480, 640)
            smaller = whole[:: 2**halvings, :: 2**halvings]
            assert Frame(smaller).reduced(side, side, crop).shape == (side, side, 3)
            assert Needs((stage(side, crop),)).halvings(*smaller.shape[:2]) == 0
