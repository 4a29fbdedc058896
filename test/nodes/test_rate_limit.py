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

"""At most so many frames a second."""

import pytest

from dual_cnn_ros.nodes.rate_limit import RateLimit


@pytest.mark.parametrize(
    ('camera', 'rate', 'admitted'), [(30, 7.0, 70), (30, 40.0, 300), (5, 0.0, 50)]
)
def test_mean_rate_is_the_limit(camera: int, rate: float, admitted: int) -> None:
    limit = RateLimit()
    count = 0
    for number in range(10 * camera):
        if limit.wait(rate, number / camera) == 0:
            limit.took(rate, number / camera)
            count += 1
    assert abs(count - admitted) <= 1


def test_silence_is_not_made_up_for() -> None:
    limit = RateLimit()
    for now in 0.0, 100.0:
        assert limit.wait(10.0, now) == 0
        limit.took(10.0, now)
    assert limit.wait(10.0, 100.05) == pytest.approx(0.05)


def test_another_rate_counts_from_the_last_frame() -> None:
    limit = RateLimit()
    limit.took(0.001, 50.0)
    assert limit.wait(0.001, 50.1) == pytest.approx(999.9)
    assert limit.wait(10.0, 50.1) == pytest.approx(0.0)
    assert limit.wait(0.0, 50.0) == 0
