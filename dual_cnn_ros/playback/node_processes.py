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

"""Nodes of this package in processes of their own, and how they are ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
import signal
import subprocess
import sys

END_SECONDS = 10.0


class NodeError(OSError):
    """A node that is needed ended, or does not answer; the message says which."""


class NodeProcesses(dict[str, 'subprocess.Popen[bytes]']):
    """Running nodes by name."""

    @property
    def have_ended(self) -> bool:
        """Whether one of them has."""
        return any(process.poll() is not None for process in self.values())

    def check(self) -> None:
        """Raise NodeError where one of them has ended."""
        for name, process in self.items():
            if process.poll() is not None:
                raise NodeError(
                    f'the {name} node ended with code {process.returncode}; '
                    'the lines above say why'
                )


@contextmanager
def run_nodes(nodes: Mapping[str, Sequence[str]]) -> Iterator[NodeProcesses]:
    """Run nodes with ROS arguments for the time of a block, then end them as Ctrl-C would."""
    processes = NodeProcesses()
    try:
        for name, arguments in nodes.items():
            command = [sys.executable, '-m', 'dual_cnn_ros.nodes.start', name, '--ros-args']
            # Ctrl-C in the terminal is for the caller, which has yet to ask them something.
            processes[name] = subprocess.Popen(
                [*command, '--log-level', 'warn', *arguments], start_new_session=True
            )
        yield processes
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in processes.values():
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
