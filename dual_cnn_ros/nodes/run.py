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

"""From a node class to a process: arguments, start, spin, end, and the exit code."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
import os
import signal
import sys
from threading import Thread
from traceback import format_exc
from types import FrameType
from typing import Any, TypeVar

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from dual_cnn_ros.heap import keep_freed_blocks
from dual_cnn_ros.nodes.parameter import declared_parameters
from dual_cnn_ros.nodes.parameter_files import unused_files
from dual_cnn_ros.nodes.start import SIGNALS

NodeType = TypeVar('NodeType', bound=Node)
THROTTLE_SECONDS = 5.0
# So many signals end the process wherever it is: whoever sends a third one insists.
_INSISTENT = 3
_SIGNALLED = b's'


def run_node(
    name: str,
    make: Callable[[], NodeType],
    parameters: type[Any],
    arguments: list[str],
    start: Callable[[NodeType], bool] = lambda node: True,
) -> int:
    """
    Spin a node until it is interrupted or the context is shut down.

    What a callback raises is logged, and the node goes on.

    Parameters
    ----------
    name
        The default name of the node.
    make
        Creates the node. A ValueError or ParameterException that it raises is logged as a bad
        parameter.
    parameters
        The dataclass that declares its parameters, for --help.
    arguments
        Of the command line: --help, or those of ROS.
    start
        Called once before the node spins; returns False if the node cannot work.

    Returns
    -------
    int
        The exit code: 1 after a bad parameter or a failed start, 2 where ROS does not understand
        its arguments, else 0.

    """
    keep_freed_blocks()
    # rclpy expects the program before its arguments.
    words = [name, *arguments]
    executors: list[SingleThreadedExecutor] = []
    with _signals_that_do_not_raise(executors) as received:
        try:
            _parser(name, parameters).parse_args(remove_ros_args(words)[1:])
            rclpy.init(args=words)
        except Exception as error:  # of several types, as the distributions have it
            print(f'{name}: {_first_line(error)}', file=sys.stderr)
            return 2
        node = None
        try:
            if received or (node := _make(name, make)) is None:
                return 0 if received or not rclpy.ok() else 1
            for problem in unused_files(arguments, node.get_fully_qualified_name()):
                node.get_logger().warning(problem)
            if not start(node):
                return 1 if rclpy.ok() else 0
            executor = SingleThreadedExecutor()
            executor.add_node(node)
            executors.append(executor)
            while rclpy.ok():
                _spin(node, executor)
        except Exception:
            # A signal ends the context under the hands of whatever runs, which is no error.
            if rclpy.ok():
                raise
        finally:
            if node is not None:
                node.destroy_node()
            _shut_down()
    return 0


def _parser(name: str, parameters: type[Any]) -> argparse.ArgumentParser:
    rows = [
        f'  {each}: {declared.default!r}'
        for each, declared in declared_parameters(parameters).items()
    ]
    return argparse.ArgumentParser(
        prog=name,
        usage=f'{name} [-h] [--ros-args -p NAME:=VALUE --params-file FILE -r OLD:=NEW ...]',
        description='Runs the node. Its parameters and their defaults, explained in docs/nodes.md '
        'and by ros2 param describe:\n\n' + '\n'.join(rows),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _make(name: str, make: Callable[[], NodeType]) -> NodeType | None:
    try:
        return make()
    except (ValueError, ParameterException) as error:
        if rclpy.ok():
            get_logger(_logger_name(name)).fatal(str(error))
        return None


def _logger_name(name: str) -> str:
    """Return the name by which a node that could not be made would have logged."""
    try:
        bare = Node(name, start_parameter_services=False, enable_rosout=False)
    except Exception:  # what is wrong with the arguments has been said
        return name
    full_name: str = bare.get_logger().name
    bare.destroy_node()
    return full_name


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), repr(error))


@contextmanager
def _signals_that_do_not_raise(executors: list[SingleThreadedExecutor]) -> Iterator[list[int]]:
    """
    Let signals end the context and wake the executors, and no more; yield what was received.

    A KeyboardInterrupt would come in the middle of whatever runs, and a second one in the middle
    of the cleaning up after the first. rclpy ends the context, too, but an executor that is just
    about to wait does not hear of it.
    """
    received: list[int] = []
    reader, writer = os.pipe()
    complain = sys.unraisablehook

    def end() -> None:
        if os.read(reader, 1) == _SIGNALLED:
            _shut_down()
            for executor in executors:
                executor.wake()

    # A thread that is there already, since a handler may come while a lock of Python's is held.
    ending = Thread(target=end, daemon=True)
    ending.start()

    def receive(number: int, _: FrameType | None) -> None:
        received.append(number)
        # What rclpy cannot make any more complains where it is deleted.
        sys.unraisablehook = lambda _: None
        os.write(writer, _SIGNALLED)
        if len(received) >= _INSISTENT:
            os._exit(128 + signal.SIGINT)

    before = {number: signal.signal(number, receive) for number in SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = complain
        os.write(writer, b'e')
        ending.join()
        os.close(reader)
        os.close(writer)


def _shut_down() -> None:
    """End the context, which rclpy may do at the same moment in a thread of its own."""
    with suppress(rclpy_implementation.RCLError):
        rclpy.try_shutdown()


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
