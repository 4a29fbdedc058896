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

"""From a node class to a process: start, spin, end, and the exit code."""

from __future__ import annotations

from collections.abc import Callable
from traceback import format_exc
from typing import TypeVar

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.logging import get_logger
from rclpy.node import Node

NodeType = TypeVar('NodeType', bound=Node)
THROTTLE_SECONDS = 5.0


def run_node(
    make: Callable[[], NodeType],
    args: list[str] | None = None,
    start: Callable[[NodeType], bool] = lambda node: True,
) -> int:
    """
    Spin a node until it is interrupted or the context is shut down.

    What a callback raises is logged, and the node goes on.

    Parameters
    ----------
    make
        Creates the node. A ValueError or ParameterException that it raises is logged as a bad
        parameter.
    args
        Of the command line, with those of ROS.
    start
        Called once before the node spins; returns False if the node cannot work.

    Returns
    -------
    int
        The exit code: 1 after a bad parameter or a failed start, else 0.

    """
    rclpy.init(args=args)
    node = None
    try:
        try:
            node = make()
        except (ValueError, ParameterException) as error:
            get_logger(make.__name__).fatal(str(error))
            return 1
        if not start(node):
            return 1
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while rclpy.ok():
            _spin(node, executor)
    except KeyboardInterrupt:
        pass
    except Exception:
        # A signal ends the context under the hands of whatever runs, which is no error.
        if rclpy.ok():
            raise
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _spin(node: Node, executor: SingleThreadedExecutor) -> None:
    """Spin until the context ends or a callback raises, which any client can bring about."""
    try:
        executor.spin()
    except Exception as error:
        # An executor that fails to take a message lets no callback of that group run any more.
        if not rclpy.ok() or not all(
            service.callback_group.can_execute(service) for service in node.services
        ):
            raise
        # Humble and Jazzy raise RCLError for a lifecycle transition that the state does not allow,
        # and its text says all.
        known = isinstance(error, rclpy_implementation.RCLError)
        node.get_logger().error(
            str(error) if known else format_exc(), throttle_duration_sec=THROTTLE_SECONDS
        )
