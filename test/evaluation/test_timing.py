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

"""CPU seconds of an image, from those of the frames that were timed."""

from __future__ import annotations

import pytest

from dual_cnn_ros.evaluation.findings import SourceShare
from dual_cnn_ros.evaluation.player import AnswerLog
from dual_cnn_ros.evaluation.timing import summarise_times


def test_cpu_seconds_weigh_each_source_by_its_share() -> None:
    log = AnswerLog(
        sources=['first', 'second', 'first', 'first'],
        timed={0: (1.0, 9.0), 1: (5.0, 9.0), 2: (3.0, 9.0)},
    )
    shares = {'first': SourceShare(0.75), 'second': SourceShare(0.25)}
    assert summarise_times(log, shares, 4).cpu_seconds == pytest.approx(0.75 * 2 + 0.25 * 5)
    # What was timed in a later pass does not count for a source that was timed in the first.
    assert summarise_times(log, shares, 2).cpu_seconds == pytest.approx(0.75 * 1 + 0.25 * 5)
    # Without the costly source there is no mean, rather than one of the cheap source alone.
    del log.timed[1]
    assert log.untimed == ['second'] and summarise_times(log, shares, 4).cpu_seconds is None
    log.timed_alone['second'] = [4.0, 6.0, 5.0]
    timing = summarise_times(log, shares, 4)
    assert timing.cpu_seconds == pytest.approx(0.75 * 2 + 0.25 * 5)
    assert timing.latency_p50 == 9 and log.untimed == []
