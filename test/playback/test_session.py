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

"""A session of frames and nodes."""

from __future__ import annotations

from node_fixtures import nobodys_domain
import pytest
import rclpy

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.data.recording import Recording, RecordingError
from dual_cnn_ros.playback.session import play_to_nodes
from dual_cnn_ros.share import share_directory

pytestmark = pytest.mark.ros


def test_ros_is_shut_down_where_the_source_cannot_be_played(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('ROS_DOMAIN_ID', str(nobodys_domain()))
    course = Recording(share_directory() / 'config' / 'recordings' / 'course')
    with pytest.raises(RecordingError, match='has no topic /nowhere'):
        play_to_nodes(course, {'/nowhere': 'front'}, Bundle.open('signs'), None, 1.0, None)
    assert not rclpy.ok()
