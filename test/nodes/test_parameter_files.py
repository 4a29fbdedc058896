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

"""The generated files of parameters: as the nodes declare them, and taken by the nodes."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys
from typing import Any

import pytest
import yaml

from dual_cnn_ros.nodes.classifier_parameters import ClassifierParameters
from dual_cnn_ros.nodes.energy_parameters import EnergyParameters
from dual_cnn_ros.nodes.parameter import declared_parameters
from dual_cnn_ros.nodes.power_parameters import PowerParameters

ROOT = Path(__file__).resolve().parents[2]
NODES = {
    'classifier': ('dual_cnn', ClassifierParameters),
    'energy': ('energy_monitor', EnergyParameters),
    'power': ('power_monitor', PowerParameters),
}


def test_no_generated_file_is_stale() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / 'bootstrap' / 'write_parameters.py'), '--check'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_a_file_for_all_nodes_sets_two_of_them_only_where_they_mean_the_same() -> None:
    defaults: dict[str, Any] = {}
    for _, kind in NODES.values():
        for name, parameter in declared_parameters(kind).items():
            assert defaults.setdefault(name, parameter.default) == parameter.default


@pytest.mark.ros
@pytest.mark.parametrize('node', NODES)
def test_node_starts_with_its_file(node: str, tmp_path: Path) -> None:
    from node_fixtures import Client, NodeProcess
    from tiny_bundle import make_bundle

    # What this machine draws is not the test's to read.
    changed = {
        'classifier': {'bundle': str(make_bundle(tmp_path / 'tiny'))},
        'power': {'sysfs_root': str(tmp_path)},
    }.get(node, {})
    name, kind = NODES[node]
    content = yaml.safe_load((ROOT / 'config' / f'{node}.yaml').read_text(encoding='utf-8'))
    # Any name and namespace of the node will do.
    expected = {**content['/**']['ros__parameters'], **changed}
    assert list(expected) == list(declared_parameters(kind))
    client = Client(name)
    with NodeProcess(tmp_path / 'node', node, expected) as process:
        assert client.get(*expected) == list(expected.values())
        assert process.interrupt() == 0, process.log
        assert 'ERROR' not in process.log and 'Traceback' not in process.log
    client.close()
