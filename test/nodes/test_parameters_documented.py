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

"""The parameter files document every parameter as the nodes declare it; the nodes take them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
import signal
import subprocess
import sys
from typing import Any

from node_fixtures import Client, PATIENCE
import pytest
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python
from tiny_bundle import make_bundle
import yaml

import dual_cnn_ros
from dual_cnn_ros.nodes.parameter import Parameter
from dual_cnn_ros.share import share_directory

CONFIG = share_directory() / 'config'
NODES = {'classifier': 'dual_cnn', 'energy': 'energy_monitor', 'power': 'power_monitor'}


def declared(node: str) -> dict[str, Parameter]:
    parameters = import_module(f'dual_cnn_ros.nodes.{node}').PARAMETERS
    assert isinstance(parameters, dict)
    return parameters


def values(file: str) -> dict[str, Any]:
    content = yaml.safe_load((CONFIG / f'{file}.yaml').read_text())
    # Any name and namespace of the node will do.
    assert list(content) == ['/**'] and list(content['/**']) == ['ros__parameters']
    parameters = content['/**']['ros__parameters']
    assert isinstance(parameters, dict)
    return parameters


def comments(file: str) -> dict[str, tuple[str, str]]:
    """Return of each parameter the heading that it is under, and the comment just above it."""
    found = {}
    heading, comment = '', ''
    for line in map(str.strip, (CONFIG / f'{file}.yaml').read_text().splitlines()):
        if line.startswith('#'):
            comment = f'{comment} {line[1:].strip()}'.strip()
        elif line:
            found[line.partition(':')[0]] = heading, comment
            comment = ''
        elif comment:
            heading, comment = comment, ''
    return found


def in_words(parameter: Parameter) -> str:
    text = parameter.description
    if parameter.choices:
        text += f' One of: {", ".join(parameter.choices)}.'
    if parameter.range:
        text += f' From {parameter.range[0]:.12g} to {parameter.range[1]:.12g}.'
    return text


def test_every_node_has_a_file_and_one_is_for_all() -> None:
    assert sorted(path.stem for path in CONFIG.glob('*.yaml')) == sorted([*NODES, 'robot'])


@pytest.mark.parametrize('node', NODES)
def test_file_holds_the_defaults(node: str) -> None:
    defaults = {name: parameter.default for name, parameter in declared(node).items()}
    assert values(node) == defaults
    # An integer where the node declares a float would be refused.
    assert {name: type(value) for name, value in values(node).items()} == {
        name: type(default) for name, default in defaults.items()
    }


@pytest.mark.parametrize('node', NODES)
def test_file_says_what_the_node_says(node: str) -> None:
    documented = comments(node)
    for name, parameter in declared(node).items():
        heading, comment = documented[name]
        assert comment == in_words(parameter), name
        assert heading == f'Each of these {parameter.when}.', name


def test_a_file_for_all_nodes_sets_two_of_them_only_where_they_mean_the_same() -> None:
    found: dict[str, Parameter] = {}
    for node in NODES:
        for name, parameter in declared(node).items():
            if name in found:
                assert name == 'bundle' and parameter.default == found[name].default
            found[name] = parameter


def test_file_for_all_nodes_agrees_with_theirs() -> None:
    documented = comments('robot')
    nodes = []
    for name, value in values('robot').items():
        node = next(node for node in NODES if name in declared(node))
        assert value == values(node)[name]
        heading, comment = documented[name]
        assert comment == comments(node)[name][1]
        assert heading == f'Parameters of the node {NODES[node]}.'
        nodes.append(node)
    assert set(nodes) == set(NODES)


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.close()


@pytest.mark.parametrize('node', NODES)
def test_node_starts_with_its_file(node: str, client: Client, tmp_path: Path) -> None:
    changed = {}
    if node == 'classifier':
        changed['bundle'] = str(make_bundle(tmp_path / 'tiny'))
    if node == 'power':
        changed['sysfs_root'] = str(tmp_path)  # what this machine draws is not the test's to read
    process = subprocess.Popen(
        [
            sys.executable,
            '-m',
            f'dual_cnn_ros.nodes.{node}',
            '--ros-args',
            '--params-file',
            str(CONFIG / f'{node}.yaml'),
            *(word for item in changed.items() for word in ('-p', ':='.join(item))),
        ],
        cwd=Path(dual_cnn_ros.__file__).parents[1],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        client.wait_until(
            f'{node} starts', lambda: NODES[node] in client.node.get_node_names(), 2 * PATIENCE
        )
        expected = {**values(node), **changed}
        response = client.call(
            GetParameters,
            f'/{NODES[node]}/get_parameters',
            GetParameters.Request(names=list(expected)),
        )
        taken = map(parameter_value_to_python, response.values)
        assert dict(zip(expected, taken)) == expected
        process.send_signal(signal.SIGINT)
        log = process.communicate(timeout=PATIENCE)[1]
        assert process.returncode == 0, log
        assert 'ERROR' not in log and 'Traceback' not in log
    finally:
        process.kill()
