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

"""Stamps to monotonic times."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
import pytest

from dual_cnn_ros.energy.clocks import Clocks


@given(
    stamps=st.lists(st.floats(0, 10), min_size=2, max_size=30),
    speed=st.floats(0.1, 10),
    share=st.floats(0, 1),
)
def test_clocks_follow_any_constant_speed(stamps: list[float], speed: float, share: float) -> None:
    clocks = Clocks()
    for stamp in sorted(stamps):
        clocks.add(stamp, 500 + stamp * speed)
    stamp = min(stamps) + share * (max(stamps) - min(stamps))
    assert clocks.monotonic(min(stamp, max(stamps))) == pytest.approx(500 + stamp * speed)


def test_clocks_wait_for_the_future() -> None:
    clocks = Clocks()
    assert clocks.monotonic(1.0) is None
    clocks.add(1.0, 100.0)
    clocks.add(1.0, 100.1)
    assert clocks.monotonic(1.1) is None
    assert clocks.monotonic(1.0) == 100.1
    assert clocks.monotonic(0.5) == 99.5
    clocks.forget()
    assert clocks.monotonic(1.0) is None
