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

import pytest

from dual_cnn_ros.messages.types import installed

pytestmark = pytest.mark.ros


def test_an_installed_message_is_found_by_its_full_name() -> None:
    from sensor_msgs.msg import Image

    assert installed('sensor_msgs/msg/Image') is Image


@pytest.mark.parametrize(
    ('kind', 'reason'),
    [
        ('nothing/msg/Image', 'the ROS package nothing is missing'),
        ('sensor_msgs/msg/Nothing', 'the ROS package sensor_msgs has no message Nothing'),
        ('sensor_msgs/Image', 'the ROS package sensor_msgs/Image is missing'),
        ('Image', 'the ROS package Image is missing'),
        ('', 'is missing'),
    ],
)
def test_a_message_that_is_not_installed_is_named(kind: str, reason: str) -> None:
    with pytest.raises(ImportError, match=f"type '{kind}' are not installed here: .*{reason}"):
        installed(kind)
