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

"""Nothing leaves the robot: what a node and a tool do on the network and in the user's home."""

from __future__ import annotations

from collections.abc import Sequence
import os
from pathlib import Path
import re
import shutil
import signal
import subprocess
import sys
import time

import cv2
import pytest
from tiny_bundle import make_bundle, picture

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
STRACE = shutil.which('strace')
# The lowest port of DDS; name servers and the web are below it.
FIRST_DDS_PORT = 7400
TELEMETRY = '.cache/Microsoft'


def start(folder: Path, command: Sequence[str], **environment: str) -> subprocess.Popen[bytes]:
    """Start a Python module with a new home, under strace where it is installed."""
    home = folder / 'home'
    home.mkdir()
    trace = [STRACE, '-f', '-qq', '-e', 'trace=network', '-o', str(folder / 'trace')]
    return subprocess.Popen(
        [*(trace if STRACE else []), sys.executable, '-m', *command],
        cwd=ROOT,
        env={
            **{name: text for name, text in os.environ.items() if 'TELEMETRY' not in name},
            'HOME': str(home),
            'ROS_LOG_DIR': str(folder / 'log'),
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def sent_elsewhere(folder: Path) -> list[str]:
    """Return what was sent or connected to, over the internet protocols, apart from DDS."""
    if not STRACE:
        return []
    found = []
    for line in (folder / 'trace').read_text(errors='replace').splitlines():
        ports = [int(port) for port in re.findall(r'sin6?_port=htons\((\d+)\)', line)]
        is_call = re.search(r'\b(connect|send\w+)\(', line)
        if ('SOCK_STREAM' in line and 'AF_INET' in line) or (
            is_call and any(port < FIRST_DDS_PORT for port in ports)
        ):
            found.append(line)
    return found


def evaluate(folder: Path, **environment: str) -> None:
    """Run a tool that classifies an image with ONNX Runtime."""
    bundle = make_bundle(folder / 'bundle')
    for label in ('red', 'blue'):
        (folder / 'data' / label).mkdir(parents=True)
        cv2.imwrite(str(folder / 'data' / label / 'a.png'), picture(label))
    options = ['--backend', 'onnxruntime', '--sysfs-root', '/none', '--out', str(folder / 'out')]
    command = ['dual_cnn_ros.tools.evaluate', str(folder / 'data'), str(bundle), *options]
    process = start(folder, command, **environment)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output.decode()


def test_a_tool_sends_and_keeps_nothing(tmp_path: Path) -> None:
    evaluate(tmp_path)
    assert sent_elsewhere(tmp_path) == []
    assert not (tmp_path / 'home' / TELEMETRY).exists()


def test_usage_data_would_be_noticed(tmp_path: Path) -> None:
    evaluate(tmp_path, ORT_DISABLE_TELEMETRY='0')
    if not (tmp_path / 'home' / TELEMETRY).exists():
        pytest.skip('this build of ONNX Runtime keeps no usage data')


@pytest.mark.ros
def test_a_node_speaks_dds_only(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / 'bundle')
    node = ['dual_cnn_ros.nodes.start', 'classifier', '--ros-args', '-p', f'bundle:={bundle}']
    process = start(tmp_path, node)
    assert process.stdout is not None
    for line in process.stdout:
        if b'classifying' in line:
            break
    time.sleep(2.0)  # a message is on its way by then, of DDS or of anything else
    subprocess.run(['pkill', '-INT', '-P', str(process.pid)], check=False)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert sent_elsewhere(tmp_path) == []
    if STRACE:
        assert 'AF_INET' in (tmp_path / 'trace').read_text(errors='replace')
    assert not (tmp_path / 'home' / TELEMETRY).exists()
