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

"""The drawn signs: told apart, at any size."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from dual_cnn_ros.synthetic.sign_faces import (
    draw_sign,
    LABELS,
    LOOKALIKES,
    NONE,
    sign_panel,
    SIGNS,
)


def over_grey(face: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    alpha = face[..., 3:] / 255
    return np.asarray(face[..., :3] * alpha + 128 * (1 - alpha))


def test_labels_are_the_twelve_signs_and_none_in_the_order_of_folders() -> None:
    assert len(SIGNS) == 12
    assert list(LABELS) == sorted({*SIGNS, NONE})


@pytest.mark.parametrize('size', [24, 100])
@pytest.mark.parametrize('name', [*SIGNS, *LOOKALIKES])
def test_sign_can_be_drawn_at_any_size(name: str, size: int) -> None:
    face = draw_sign(name, size)
    assert (face.shape, face.dtype) == ((size, size, 4), np.uint8)
    assert face[size // 2, size // 2, 3] == 255
    assert face[0, 0, 3] < 255
    assert 0.4 < (face[..., 3] / 255).mean() < 0.95
    reference = cv2.resize(draw_sign(name, 256), (size, size), interpolation=cv2.INTER_AREA)
    assert np.abs(over_grey(face) - over_grey(reference)).mean() < 10


def test_every_sign_differs_from_every_other() -> None:
    drawn = {name: over_grey(draw_sign(name, 48)) for name in (*SIGNS, *LOOKALIKES)}
    for one, other in combinations(drawn, 2):
        assert np.abs(drawn[one] - drawn[other]).mean() > 3, (one, other)


def test_left_is_right_in_the_mirror() -> None:
    left, right = (over_grey(draw_sign(f'turn_{side}', 96)) for side in ('left', 'right'))
    assert np.abs(left[:, ::-1] - right).mean() < 2
    assert np.abs(left - right).mean() > 10


def test_panels_of_one_sign_differ_in_age_and_a_lookalike_has_no_label() -> None:
    new, old = (sign_panel(np.random.default_rng(n), 'stop', 1.0, 2.0) for n in range(2))
    assert (new.label, new.x, new.z) == ('stop', 1.0, 2.0)
    assert not np.array_equal(new.face, old.face)
    assert sign_panel(np.random.default_rng(0), None, 1.0, 2.0).label is None
