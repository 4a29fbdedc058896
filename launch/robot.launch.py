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
the parameters of all three nodes.
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
    share = share_directory()
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'params_file',
                default_value=str(share / 'config' / 'robot.yaml'),
                description='Parameters of all nodes; a copy of the default one is a good start.',
            ),
            # It declares the other arguments.
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(share / 'launch' / 'cascade.launch.py'))
            ),
            OpaqueFunction(function=_monitors),
        ]
    )


def _monitors(context: LaunchContext) -> list[Node]:
    file = Path(LaunchConfiguration('params_file').perform(context)).expanduser()
    given: dict[str, dict[str, ParameterValue]] = {'power': {}, 'energy': {}}
    if LaunchConfiguration('use_sim_time').perform(context):
        for parameters in given.values():
            parameters['use_sim_time'] = ParameterValue(
                LaunchConfiguration('use_sim_time'), value_type=bool
            )
    # The energy node compares with what the classifier's bundle holds.
    if LaunchConfiguration('bundle').perform(context):
        given['energy']['bundle'] = ParameterValue(LaunchConfiguration('bundle'), value_type=str)
    return [
        Node(
            package='dual_cnn_ros',
            executable=executable,
            name=f'{executable}_monitor',
            namespace=LaunchConfiguration('namespace'),
            output='screen',
            ros_arguments=['--log-level', LaunchConfiguration('log_level')],
            parameters=[str(file), parameters],
        )
        for executable, parameters in given.items()
    ]
