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

"""The classifier under a lifecycle manager, here launch itself: it starts when it is told to."""

from __future__ import annotations

from launch import LaunchDescription
from launch.actions import EmitEvent, RegisterEventHandler
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from lifecycle_msgs.msg import Transition


def generate_launch_description() -> LaunchDescription:
    """Start the node unconfigured, configure it, and activate it once that is done."""
    node = LifecycleNode(
        package='dual_cnn_ros',
        executable='classifier',
        name='dual_cnn',
        namespace='',
        output='screen',
        # Without this it would do both by itself.
        parameters=[{'autostart': False}],
    )

    def change(transition: int) -> EmitEvent:
        return EmitEvent(
            event=ChangeState(
                lifecycle_node_matcher=matches_action(node), transition_id=transition
            )
        )

    return LaunchDescription(
        [
            node,
            RegisterEventHandler(
                OnProcessStart(
                    target_action=node, on_start=[change(Transition.TRANSITION_CONFIGURE)]
                )
            ),
            RegisterEventHandler(
                OnStateTransition(
                    target_lifecycle_node=node,
                    start_state='configuring',
                    goal_state='inactive',
                    entities=[change(Transition.TRANSITION_ACTIVATE)],
                )
            ),
        ]
    )
