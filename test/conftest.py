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

"""Settings of every test: ROS traffic of its own, messages that check their fields, patience."""

from __future__ import annotations

from contextlib import suppress
import os
from pathlib import Path
import re
import signal
import socket

from hypothesis import settings
import pytest

# Before the first import of rclpy. Two runs at once on one machine do not hear each other, nor a
# demo, whose domain is 87: a name can be bound once, and is free again when its process ends.
claim = socket.socket(socket.AF_UNIX)
for offset in range(80):
    domain = 1 + (os.getpid() + offset) % 80
    with suppress(OSError):
        claim.bind(f'\0dual_cnn_ros.test.{domain}')
        break
os.environ['ROS_DOMAIN_ID'] = str(domain)
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
if os.environ.get('ROS_DISTRO') == 'humble':
    os.environ['ROS_LOCALHOST_ONLY'] = '1'
os.environ['ROS_PYTHON_CHECK_FIELDS'] = '1'

# What a script starts in the background ignores this signal, and so do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no error of the code.
settings.register_profile('any machine', deadline=None)
settings.load_profile('any machine')

# To find its own, launch_testing imports every module. One that skips itself, for want of torch
# say, then takes all others along. So only those are shown to it that are for it.
with suppress(ImportError):
    from launch_testing.pytest import hooks

    find = hooks.find_launch_test_entrypoint
    hooks.find_launch_test_entrypoint = lambda path: (
        find(path) if Path(path).stem == 'test_launch' else None
    )

# By what is asked for: of which modules nothing would run.
NEEDS_MUCH = {
    expression: re.compile(rf'^pytestmark = .*mark\.({marks})\b', re.MULTILINE)
    for expression, marks in {'not ros': 'ros', 'not ros and not slow': 'ros|slow'}.items()
}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out modules of which nothing would run, since to import one takes torch or ROS."""
    needs_much = NEEDS_MUCH.get(config.getoption('markexpr'))
    if needs_much and collection_path.suffix == '.py':
        return True if needs_much.search(collection_path.read_text(encoding='utf-8')) else None
    return None
