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
The executables of the nodes: python -m dual_cnn_ros.nodes.start classifier --ros-args ...

A node takes seconds to import what it needs. A signal in that time would end it with a traceback.
"""

from __future__ import annotations

from importlib import import_module
import os
import signal
import sys

from dual_cnn_ros.opencv import require_opencv

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def start(node: str, arguments: list[str]) -> int:
    """Run the node of a module of this room; a signal ends it at any time, without a word."""
    for number in SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))
    if node == 'classifier':  # the others do without it
        require_opencv()
    code = int(import_module(f'dual_cnn_ros.nodes.{node}').main(arguments))
    # The interpreter gives a signal back its default while it ends, which is to kill.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    return code


def classifier() -> int:
    """Run the classifier node."""
    return start('classifier', sys.argv[1:])


def power() -> int:
    """Run the power node."""
    return start('power', sys.argv[1:])


def energy() -> int:
    """Run the energy node."""
    return start('energy', sys.argv[1:])


if __name__ == '__main__':
    sys.exit(start(sys.argv[1], sys.argv[2:]))
