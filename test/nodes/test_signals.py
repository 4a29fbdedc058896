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

"""Signals at any time, from the first import on: no traceback, code 0 or 130."""

from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
# What a process maps or has written tells how far it has come; the first imports cannot be seen.
STAGES: dict[str, Callable[[int, str], bool]] = {
    'imports': lambda pid, log: '/rclpy/' in Path(f'/proc/{pid}/maps').read_text(),
    'has begun': lambda pid, log: '[' in log,
}


@pytest.mark.parametrize(
    ('node', 'stage'),
    [
        *((node, 'imports') for node in ('classifier', 'power', 'energy')),
        # The energy node says nothing while it waits for readings.
        *((node, 'has begun') for node in ('classifier', 'power')),
    ],
)
@pytest.mark.parametrize('signals', [(signal.SIGINT,) * 2, (signal.SIGINT, signal.SIGTERM)])
def test_signals_end_a_node_calmly(
    tmp_path: Path, node: str, stage: str, signals: tuple[signal.Signals, ...]
) -> None:
    log = tmp_path / 'log'
    command = [sys.executable, '-m', 'dual_cnn_ros.nodes.start', node]
    with log.open('wb') as file:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=file, stderr=file, start_new_session=True
        )
    end = time.monotonic() + 30
    while not STAGES[stage](process.pid, log.read_text()):
        assert process.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.005)
    # To its whole group, as a terminal and a service manager do.
    for number in signals:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
    try:
        assert process.wait(30) in (0, 130), log.read_text()
    finally:
        process.kill()
    text = log.read_text()
    assert not any(word in text for word in ('Traceback', 'ignored')), text
