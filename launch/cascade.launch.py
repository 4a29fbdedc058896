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
The classifier on the cameras of a robot.

What is given as an argument takes precedence over params_file, which takes precedence over the
defaults of the node. Everything else that the node can be told belongs in a params_file.
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue
import yaml

from dual_cnn_ros.playback.large_images import large_image_profile
from dual_cnn_ros.share import share_directory

# Those of the arguments that are parameters of the node, with their types.
PARAMETERS = {'image_topics': list[str], 'bundle': str, 'use_sim_time': bool, 'autostart': bool}
BOOLEANS = ['', 'true', 'false', 'True', 'False']


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'params_file',
                default_value=str(share_directory() / 'config' / 'classifier.yaml'),
                description='Parameters of the node; a copy of the default one is a good start.',
            ),
            DeclareLaunchArgument(
                'image_topics',
                default_value='',
                description='Image topics, one for each camera, as a,b or [a, b]; those ending in '
                '/compressed are compressed images. Empty: as in params_file.',
            ),
            DeclareLaunchArgument(
                'namespace',
                default_value='',
                description='Namespace of the node, and of image topics without a leading slash.',
            ),
            DeclareLaunchArgument(
                'bundle',
                default_value='',
                description='Model bundle: the name of one that comes with the package, or a '
                'path, with a slash in it, of a folder with a bundle.yaml. Empty: as in '
                'params_file.',
            ),
            DeclareLaunchArgument(
                'use_sim_time',
                default_value='',
                choices=BOOLEANS,
                description='Take the time from /clock. Empty: as in params_file.',
            ),
            DeclareLaunchArgument(
                'autostart',
                default_value='',
                choices=BOOLEANS,
                description='Configure and activate at start. Empty: as in params_file.',
            ),
            DeclareLaunchArgument(
                'log_level',
                default_value='info',
                choices=['debug', 'info', 'warn', 'error', 'fatal'],
                description='The least severe messages that the node logs.',
            ),
            DeclareLaunchArgument(
                'large_images',
                default_value='false',
                choices=BOOLEANS[1:],
                description='Give Fast DDS shared memory for raw images of over 500 KiB, in all '
                'that this launch starts from here on; the driver of the camera needs it too.',
            ),
            SetEnvironmentVariable(
                *large_image_profile(), condition=IfCondition(LaunchConfiguration('large_images'))
            ),
            OpaqueFunction(function=_node),
        ]
    )


def _node(context: LaunchContext) -> list[LifecycleNode]:
    # Launch would only warn, and the node would run with its defaults.
    file = Path(LaunchConfiguration('params_file').perform(context)).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f'params_file: there is no file {file}')
    given: dict[str, ParameterValue] = {}
    for name, kind in PARAMETERS.items():
        if text := LaunchConfiguration(name).perform(context).strip():
            value = _topics(text) if name == 'image_topics' else LaunchConfiguration(name)
            given[name] = ParameterValue(value, value_type=kind)
    return [
        LifecycleNode(
            package='dual_cnn_ros',
            executable='classifier',
            name='dual_cnn',
            namespace=LaunchConfiguration('namespace'),
            output='screen',
            ros_arguments=['--log-level', LaunchConfiguration('log_level')],
            parameters=[str(file), given],
        )
    ]


def _topics(text: str) -> list[str]:
    """Return the topics that are listed as a,b or as a YAML list."""
    try:
        topics = yaml.safe_load(text if text.startswith('[') else f'[{text}]')
    except yaml.YAMLError:
        topics = None
    if not topics or not all(isinstance(topic, str) for topic in topics):
        raise ValueError(f'image_topics must be a list of topics like a,b or [a, b], not {text}')
    return topics
