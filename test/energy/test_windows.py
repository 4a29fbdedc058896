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

"""Windows of readings and decisions: what is shared, what is refused, what is skipped."""

from __future__ import annotations

import pytest

from dual_cnn_ros.energy.windows import DecisionEvent, DecisionWindows
from dual_cnn_ros.power.reading import Reading


def test_a_decision_across_an_edge_is_shared() -> None:
    windows = DecisionWindows(1.0, 0.1)
    done = [w for n in range(15) for w in windows.add(Reading('total', n * 0.1, watts=1.0))]
    assert windows.add_decision(DecisionEvent(1.05, 'first', {'first': 0.2}))
    done += [w for n in range(15, 31) for w in windows.add(Reading('total', n * 0.1, watts=1.0))]
    assert [window.busy.get('first', 0.0) for window in done] == pytest.approx([0.15, 0.05])
    assert [len(window.decisions) for window in done] == [0, 1]
    assert [window.energy.joules for window in done] == pytest.approx([1.0, 1.0])


def test_too_early_and_too_late_decisions_are_refused() -> None:
    windows = DecisionWindows(1.0, 0.1)
    assert not windows.add_decision(DecisionEvent(0.0, 'first', {}))
    for n in range(100, 131):
        windows.add(Reading('total', n * 0.1, watts=1.0))
    assert not windows.add_decision(DecisionEvent(9.9, 'first', {}))
    assert not windows.add_decision(DecisionEvent(11.9, 'first', {}))
    assert windows.add_decision(DecisionEvent(12.1, 'first', {}))


def test_a_long_silence_opens_no_windows() -> None:
    windows = DecisionWindows(1.0, 0.1)
    for n in range(10):
        windows.add(Reading('total', n * 0.1, watts=1.0))
    done = windows.add(Reading('total', 1e6, watts=1.0))
    assert len(done) == 1 and all(window.energy.coverage < 0.999 for window in done)
    assert windows.skipped == 1e6 - 1
    assert windows.add_decision(DecisionEvent(1e6, 'first', {}))
