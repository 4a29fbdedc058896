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

What is given as an argument takes precedence over params_file; an argument that is left out sets
nothing. Everything else that the node can be told belongs in a params_file.
"""

from __future__ import annotations

from pathlib import Path

from launch import Action, LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    OpaqueFunction,
    SetEnvironmentVariable,
    SetLaunchConfiguration,
    Shutdown,
)
from launch.conditions import IfCondition
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.utilities import prefix_namespace
import yaml

from dual_cnn_ros.playback.large_images import large_image_profile

# Those of the arguments that are parameters of the node: type, and what they are.
PARAMETERS = {
    'bundle': (
        str,
        'Model bundle: the name of one that comes with the package, or a path, with a slash in '
        'it, of a folder with a bundle.yaml.',
    ),
    'image_topics': (list[str], 'Image topics, one for each camera, as a,b or [a, b].'),
    'camera_names': (list[str], 'Names of the cameras in the outputs, as a,b or [a, b].'),
    'image_transport': (str, 'raw or compressed.'),
    'operating_point': (str, 'Name of a trade-off of the bundle.'),
    'threshold': (float, 'An answer is accepted when its score is at least this.'),
    'governor': (str, 'Budget that chooses the operating point: deferral_rate, power or energy.'),
    'governor_target': (float, 'The budget: a share of the frames, watts, or joules.'),
    'providers': (list[str], 'What may run the CNNs, of tensorrt,cuda,cpu in order.'),
    'memory_file': (str, 'File of the memory.'),
    'memory_persist': (bool, 'Keep the memory in memory_file over restarts.'),
    'use_sim_time': (bool, 'Take the time from /clock.'),
    'autostart': (bool, 'Configure and activate at start.'),
}
BOOLEANS = ['true', 'false', 'True', 'False']
NODE = 'dual_cnn'


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'params_file',
                default_value='',
                description='Parameters of the node; a copy of config/classifier.yaml is a good '
                'start. Empty: the defaults.',
            ),
            DeclareLaunchArgument(
                'namespace',
                default_value='',
                description='Namespace of the node, and of image topics without a leading slash.',
            ),
            *(
                DeclareLaunchArgument(
                    name,
                    default_value='',
                    description=f'{description} Empty: as in params_file, or else the default.',
                    choices=['', *BOOLEANS] if kind is bool else None,
                )
                for name, (kind, description) in PARAMETERS.items()
            ),
            DeclareLaunchArgument(
                'respawn',
                default_value='false',
                choices=BOOLEANS,
                description='Start the node again, after two seconds, whenever it ends.',
            ),
            DeclareLaunchArgument(
                'on_exit_shutdown',
                default_value='false',
                choices=BOOLEANS,
                description='End the launch with the node, and with code 1 where the node failed. '
                'Not together with respawn.',
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
                choices=BOOLEANS,
                description='Give Fast DDS shared memory for raw images of over 500 KiB, in all '
                'that this launch starts from here on; the driver of the camera needs it too.',
            ),
            SetEnvironmentVariable(
                *large_image_profile(), condition=IfCondition(LaunchConfiguration('large_images'))
            ),
            OpaqueFunction(function=_node),
        ]
    )


def _node(context: LaunchContext) -> list[Action]:
    respawns, ends_launch = (
        LaunchConfiguration(name).perform(context).lower() == 'true'
        for name in ('respawn', 'on_exit_shutdown')
    )
    given: dict[str, ParameterValue] = {}
    for name, (kind, _) in PARAMETERS.items():
        if text := LaunchConfiguration(name).perform(context).strip():
            value = _words(name, text) if kind == list[str] else LaunchConfiguration(name)
            given[name] = ParameterValue(value, value_type=kind)
    parameters: list[object] = [given] if given else []
    if text := LaunchConfiguration('params_file').perform(context):
        # Launch would only warn, and the node would run with its defaults.
        file = Path(text).expanduser()
        if not file.is_file():
            raise FileNotFoundError(f'params_file: there is no file {file}')
        parameters.insert(0, str(file))
    # Without the name of the node, the level would be that of all of ROS.
    namespace = prefix_namespace(
        context.launch_configurations.get('ros_namespace'),
        LaunchConfiguration('namespace').perform(context),
    )
    loggers = ''.join(f'{word}.' for word in (namespace or '').split('/') if word)
    level = LaunchConfiguration('log_level').perform(context)
    return [
        # For robot.launch.py, whose nodes are in the same namespace.
        SetLaunchConfiguration('loggers', loggers),
        LifecycleNode(
            package='dual_cnn_ros',
            executable='classifier',
            name=NODE,
            namespace=LaunchConfiguration('namespace'),
            output='screen',
            ros_arguments=['--log-level', f'{loggers}{NODE}:={level}'],
            parameters=parameters,
            respawn=respawns,
            respawn_delay=2.0,
            on_exit=_end if ends_launch and not respawns else None,
        ),
    ]


def _end(event: ProcessExited, context: LaunchContext) -> list[Shutdown]:
    if context.is_shutdown:
        # A second shutdown would be an error of launch.
        return []
    if event.returncode:
        # Nothing else gives the launch another exit code than 0.
        raise RuntimeError(f'{event.process_name} ended with code {event.returncode}')
    return [Shutdown(reason=f'{event.process_name} has ended')]


def _words(name: str, text: str) -> list[str]:
    """Return the words that are listed as a,b or as a YAML list."""
    try:
        words = yaml.safe_load(text if text.startswith('[') else f'[{text}]')
    except yaml.YAMLError:
        words = None
    if not words or not all(isinstance(word, str) for word in words):
        raise ValueError(f'{name} must be a list like a,b or [a, b], not {text}')
    return words
