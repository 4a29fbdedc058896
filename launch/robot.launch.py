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

"""
The classifier, the power that the robot draws, and the energy that each decision costs.

The cameras are the robot's own. The arguments are those of cascade.launch.py; params_file holds
the parameters of all three nodes. The launch ends with the classifier unless on_exit_shutdown is
false.
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from dual_cnn_ros.share import share_directory


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the nodes."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'params_file',
                default_value='',
                description='Parameters of all nodes; a copy of config/robot.yaml is a good '
                'start. Empty: the defaults.',
            ),
            DeclareLaunchArgument(
                'on_exit_shutdown',
                default_value='true',
                description='End the launch with the classifier, and with code 1 where that '
                'failed. Without effect where respawn is true.',
            ),
            # It declares the other arguments.
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(
                    str(share_directory() / 'launch' / 'cascade.launch.py')
                )
            ),
            OpaqueFunction(function=_monitors),
        ]
    )


def _monitors(context: LaunchContext) -> list[Node]:
    def parameters(*names: tuple[str, type]) -> list[object]:
        file = LaunchConfiguration('params_file').perform(context)
        given = {
            name: ParameterValue(LaunchConfiguration(name), value_type=kind)
            for name, kind in names
            if LaunchConfiguration(name).perform(context)
        }
        # That there is such a file, cascade.launch.py has checked.
        return [*([str(Path(file).expanduser())] if file else []), *([given] if given else [])]

    nodes = {
        'power': parameters(('use_sim_time', bool)),
        # It compares with what the classifier's bundle holds.
        'energy': parameters(('use_sim_time', bool), ('bundle', str)),
    }
    return [
        Node(
            package='dual_cnn_ros',
            executable=executable,
            name=f'{executable}_monitor',
            namespace=LaunchConfiguration('namespace'),
            output='screen',
            ros_arguments=[
                '--log-level',
                [
                    LaunchConfiguration('loggers'),
                    f'{executable}_monitor:=',
                    LaunchConfiguration('log_level'),
                ],
            ],
            parameters=given,
        )
        for executable, given in nodes.items()
    ]
