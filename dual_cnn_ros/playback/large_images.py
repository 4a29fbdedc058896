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

"""Fast DDS with room for large images, for the processes that play them and the nodes."""

from __future__ import annotations

from importlib.metadata import version
import os

from dual_cnn_ros.share import share_directory

# Of Fast DDS 2 (Humble, Jazzy) and of Fast DDS 3, which warns where the first one is set.
VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
# That of Kilted, the first with Fast DDS 3.
_RCLPY_WITH_FAST_DDS_3 = 9


def large_image_profile() -> tuple[str, str]:
    """Return the environment variable that Fast DDS reads, and the file for it."""
    file = str(share_directory() / 'config' / 'fastdds_large_images.xml')
    major = int(version('rclpy').partition('.')[0])
    return VARIABLES[major >= _RCLPY_WITH_FAST_DDS_3], file


def make_room_for_large_images() -> None:
    """
    Let this process and those that it starts send large images through shared memory.

    To be called before rclpy.init. A profile that the user has named is kept.
    """
    if not any(os.environ.get(name) for name in VARIABLES):
        name, file = large_image_profile()
        os.environ[name] = file
