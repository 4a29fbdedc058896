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
    count = sum(limit.admits(rate, number / camera) for number in range(10 * camera))
    assert abs(count - admitted) <= 1


def test_silence_is_not_made_up_for() -> None:
    limit = RateLimit()
    assert limit.admits(10.0, 0.0) and limit.admits(10.0, 100.0)
    assert not limit.admits(10.0, 100.05)
