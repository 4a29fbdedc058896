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

"""The contact sheet of a session."""

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')

from dual_cnn_ros.playback.contact_sheet import contact_sheet

pytestmark = pytest.mark.ros


def test_square_pictures_leave_no_border() -> None:
    tile = cv2.imencode('.png', np.full((50, 50, 3), 90, np.uint8))[1].tobytes()
    sheet = contact_sheet([tile] * 6, [None] * 6, ('first',))
    assert sheet.shape[1] == 6 * 248 + 8
    assert not (sheet[64:304] == 200).all(axis=2).any(), 'the grey of a border'


def test_sheet_has_a_tile_for_each_picture_and_marks_what_is_wrong() -> None:
    tile = cv2.imencode('.png', np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    right = contact_sheet([tile] * 7, [None] * 7, ('first', 'second'))
    wrong = contact_sheet([tile] * 7, [None] * 6 + ['b'], ('first', 'second'))
    assert right.shape == wrong.shape and right.shape[1] == 6 * 328 + 8
    rows, columns = np.nonzero((right != wrong).any(axis=2))
    assert rows.min() > right.shape[0] // 2 and columns.max() < 328  # the seventh: second row
