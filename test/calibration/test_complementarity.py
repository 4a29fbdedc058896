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

"""The paper's formula, by hand and by sets."""

from __future__ import annotations

from hypothesis import given, strategies
import numpy as np
import pytest

from dual_cnn_ros.calibration.complementarity import complementarity


def test_three_cnns_by_hand() -> None:
    marks = (
        '1111110000',  # alone against the second: 3 (0 to 2), against the third: 2
        '0001111100',  # alone against the first: 2
        '0111101110',  # alone against the first: 3
    )
    right = np.array([[mark == '1' for mark in row] for row in marks])
    assert complementarity(right) == pytest.approx(
        np.array([[0, 0.4, 0.4], [0.4, 0, 0.2], [0.4, 0.2, 0]])
    )


@given(strategies.lists(strategies.tuples(*[strategies.booleans()] * 2), min_size=1))
def test_it_is_the_formula_of_the_paper(marks: list[tuple[bool, bool]]) -> None:
    one, other = ({i for i, mark in enumerate(marks) if mark[m]} for m in (0, 1))
    by_sets = (len(one | other) - len(one & other) - abs(len(one) - len(other))) / len(marks)
    found = complementarity(np.array(marks, dtype=bool).T)
    assert found == pytest.approx(np.array([[0, by_sets], [by_sets, 0]]))
