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

"""Two robots in one graph: everything of each is in its namespace, diagnostics too."""

from __future__ import annotations

from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import PushRosNamespace

from dual_cnn_ros.share import share_directory

CASCADE = str(share_directory() / 'launch' / 'cascade.launch.py')


def generate_launch_description() -> LaunchDescription:
    """Start the classifier of each robot; its camera is /r1/front/image_raw, and so on."""
    return LaunchDescription(
        [
            GroupAction(
                [
                    PushRosNamespace(robot),
                    IncludeLaunchDescription(
                        PythonLaunchDescriptionSource(CASCADE),
                        launch_arguments={'image_topics': 'front/image_raw'}.items(),
                    ),
                ]
            )
            for robot in ('r1', 'r2')
        ]
    )
