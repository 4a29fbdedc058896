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

"""What is kept of what the classifier publishes."""

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from tiny_bundle import picture

from dual_cnn_ros.messages.images import to_image_msg
from dual_cnn_ros.playback.decision_listener import DecisionListener

pytestmark = pytest.mark.ros


def test_overlays_of_a_day_take_no_more_room_than_those_of_a_minute() -> None:
    heard = DecisionListener()
    message = to_image_msg(picture('red'), Header(), 'bgr8', Image)
    for number in range(1000):
        message.header.stamp.sec = number
        heard.on_overlay('front', message)
    stamps = [stamp // 10**9 for _, stamp in heard.overlays]
    assert len(stamps) == 96 and heard.overlay_count == 1000
    assert min(stamps) < 100 and max(stamps) > 900 and 350 < np.mean(stamps) < 650
