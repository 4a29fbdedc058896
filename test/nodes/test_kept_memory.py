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

"""A memory that outlives its node, by real processes over DDS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from node_fixtures import Client, frame, NodeProcess
import pytest
from tiny_bundle import make_bundle

pytestmark = pytest.mark.ros
FRONT = '/front/image_raw'


@pytest.fixture
def parameters(tmp_path: Path) -> dict[str, Any]:
    return {
        'bundle': str(make_bundle(tmp_path / 'bundle')),
        'image_topics': [FRONT],
        'memory_persist': True,
        'memory_save_s': 1.0,
        'memory_file': str(tmp_path / 'kept' / 'memory.npz'),
    }


def remembered(client: Client) -> str:
    """Return how much the memory of the node holds."""
    return client.values('cascade')['memory']


def test_it_is_there_again_after_a_kill_a_signal_and_a_deactivation(
    tmp_path: Path, client: Client, parameters: dict[str, Any]
) -> None:
    file = Path(parameters['memory_file'])
    with NodeProcess(tmp_path, 'classifier', parameters) as node:
        camera = client.camera(FRONT)
        camera.ask(frame('red'))
        client.wait_until('a save', file.exists)
        # Killed, at the end of this block.
    parameters['memory_save_s'] = 3600.0
    with NodeProcess(tmp_path, 'classifier', parameters) as node:
        assert remembered(client) == '1 frames'
        client.camera(FRONT).ask(frame('green'))
        assert node.interrupt() == 0, node.log
        assert f'the memory of 1 frames is kept in {file}' in node.log
        assert 'Traceback' not in node.log
    with NodeProcess(tmp_path, 'classifier', parameters) as node:
        assert remembered(client) == '2 frames'
        client.camera(FRONT).ask(frame('blue'))
        saved = file.stat()
        assert client.transition('deactivate')
        assert file.stat() != saved
        assert not client.set('memory_file', str(tmp_path / 'other.npz')).successful
        assert client.transition('cleanup')
        assert client.set('memory_file', str(tmp_path / 'other.npz')).successful
        assert client.transition('configure')
        assert remembered(client) == '0 frames'
    with NodeProcess(tmp_path, 'classifier', parameters) as node:
        assert remembered(client) == '3 frames'


def test_a_second_node_of_one_file_is_refused(
    tmp_path: Path, client: Client, parameters: dict[str, Any]
) -> None:
    with NodeProcess(tmp_path / 'one', 'classifier', parameters):
        assert client.state() == 'active'
        for kept in (True, False):
            parameters['memory_persist'] = kept
            remap = ['--remap', '__ns:=/r2']
            with NodeProcess(tmp_path / 'two', 'classifier', parameters, remap) as other:
                words = f'{parameters["memory_file"]} is in use by /dual_cnn (process '
                if kept:
                    assert other.wait() == 1
                    assert words in other.log and 'cannot configure: memory_file: ' in other.log
                    continue
                robot = Client('r2/dual_cnn')
                response = robot.trigger('save_memory')
                robot.close()
                assert not response.success and words in response.message


def test_what_is_wrong_with_the_file_is_said(
    tmp_path: Path, client: Client, parameters: dict[str, Any]
) -> None:
    file = Path(parameters['memory_file'])
    file.parent.mkdir()
    file.write_text('a letter')
    with NodeProcess(tmp_path, 'classifier', parameters) as node:
        assert client.values('cascade')['memory_file'] == str(file)
        assert f'the memory begins empty: {file}: not a memory file' in node.log
        assert node.interrupt() == 0, node.log
    assert file.read_text() == 'a letter'
    parameters['memory_file'] = '/proc/no/memory.npz'
    with NodeProcess(tmp_path, 'classifier', parameters) as node:
        assert node.wait() == 1
        assert 'memory_file /proc/no/memory.npz cannot be written: No such file' in node.log
