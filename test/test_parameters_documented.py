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

"""The parameter files document every parameter of the nodes as the nodes declare it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from dual_cnn_ros.nodes.parameter import Parameter
from dual_cnn_ros.share import share_directory

CONFIG = share_directory() / 'config'
NODES = ('classifier', 'energy', 'power')


def declared(node: str) -> dict[str, Parameter]:
    parameters = import_module(f'dual_cnn_ros.nodes.{node}').PARAMETERS
    assert isinstance(parameters, dict)
    return parameters


def file_of(node: str) -> Path:
    return CONFIG / f'{node}.yaml'


def values(node: str) -> dict[str, Any]:
    content = yaml.safe_load(file_of(node).read_text())
    # Any name and namespace of the node will do.
    assert list(content) == ['/**'] and list(content['/**']) == ['ros__parameters']
    parameters = content['/**']['ros__parameters']
    assert isinstance(parameters, dict)
    return parameters


def comments(node: str) -> dict[str, tuple[str, str]]:
    """Return of each parameter the heading that it is under, and the comment just above it."""
    found = {}
    heading, comment = '', ''
    for line in map(str.strip, file_of(node).read_text().splitlines()):
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


def test_every_node_has_a_file_and_every_file_a_node() -> None:
    assert sorted(path.stem for path in CONFIG.glob('*.yaml')) == list(NODES)


@pytest.mark.parametrize('node', NODES)
def test_file_holds_the_defaults(node: str) -> None:
    defaults = {name: parameter.default for name, parameter in declared(node).items()}
    assert values(node) == defaults
    # An integer where the node declares a float would be refused.
    assert {name: type(value) for name, value in values(node).items()} == {
        name: type(default) for name, default in defaults.items()}


@pytest.mark.parametrize('node', NODES)
def test_file_says_what_the_node_says(node: str) -> None:
    documented = comments(node)
    for name, parameter in declared(node).items():
        heading, comment = documented[name]
        assert comment == in_words(parameter), name
        assert heading == f'Each of these {parameter.when}.', name
