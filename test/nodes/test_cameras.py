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

"""How the cameras of the classifier are called."""

import pytest

from dual_cnn_ros.nodes.cameras import camera_name

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(
    ('topic', 'namespace', 'name'),
    [
        ('/front/image_raw', '/', 'front'),
        ('/front/image_raw/compressed', '/', 'front'),
        ('/robot/front/left/image', '/', 'robot/front/left'),
        ('/robot/front/image', '/robot', 'front'),
        ('/robot2/front/image', '/robot', 'robot2/front'),
        ('/image', '/', 'camera'),
        ('/robot/image', '/robot', 'camera'),
    ],
)
def test_a_camera_is_called_after_the_namespace_of_its_topic(
    topic: str, namespace: str, name: str
) -> None:
    assert camera_name(topic, namespace) == name
