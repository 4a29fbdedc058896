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
Where the classes of ROS messages come from.

Whoever builds a message is handed a callable from its type's full name to its class, so that
nodes build the installed ROS messages, and tools without ROS those of rosbags, by the same code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

MessageTypes = Callable[[str], Any]
"""From a full name such as 'sensor_msgs/msg/Image' to the class of that message."""


@cache
def installed(kind: str) -> Any:
    """
    Return the class of a message that is installed with ROS; these are the nodes' MessageTypes.

    Raises
    ------
    ImportError
        Where this machine has no such message; names the package that is missing.

    """
    package, _, name = kind.partition('/msg/')
    try:
        return getattr(import_module(f'{package}.msg'), name)
    except (ImportError, TypeError, ValueError):
        reason = f'the ROS package {package} is missing'
    except AttributeError:
        reason = f'the ROS package {package} has no message {name}'
    raise ImportError(f'messages of type {kind!r} are not installed here: {reason}')
