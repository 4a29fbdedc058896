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
Write what follows from the parameters that the nodes declare: config/*.yaml and docs/nodes.md.

Usage: write_parameters.py [--check]. With --check nothing is written, and the exit code is 1 where
a file is not what it would be. `make parameters` runs it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
import re
import sys
from textwrap import wrap
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
# From wherever it is run.
sys.path.insert(0, str(ROOT))

from dual_cnn_ros.nodes.classifier_parameters import ClassifierParameters  # noqa: E402
from dual_cnn_ros.nodes.energy_parameters import EnergyParameters  # noqa: E402
from dual_cnn_ros.nodes.parameter import (  # noqa: E402
    AT_ONCE,
    declared_parameters,
    NEVER,
    ON_NEXT_FRAME,
    Parameter,
    WHILE_INACTIVE,
    WHILE_UNCONFIGURED,
)
from dual_cnn_ros.nodes.power_parameters import PowerParameters  # noqa: E402

DOCUMENT = ROOT / 'docs' / 'nodes.md'
WIDTH = 95
CHANGES = {
    AT_ONCE: 'at once',
    ON_NEXT_FRAME: 'on the next frame',
    WHILE_INACTIVE: 'while inactive',
    WHILE_UNCONFIGURED: 'while unconfigured',
    NEVER: 'at start only',
}


@dataclass(frozen=True)
class DocumentedNode:
    """A node, its parameters, and what its file says of its start and at its end."""

    executable: str
    name: str
    parameters: dict[str, Parameter]
    start: str
    end: str = ''


NODES = (
    DocumentedNode(
        'classifier',
        'dual_cnn',
        declared_parameters(ClassifierParameters),
        'launch with params_file:=COPY, or ros2 run with --params-file COPY.',
        """
    # Two that ROS 2 itself provides, left out here:
    #
    # The time comes from /clock, as when a recording is replayed.
    # use_sim_time: true
    #
    # A subscription to images is reliable where all publishers are, else best effort. This
    # decides it; the topic is the resolved one, with its leading slash.
    # qos_overrides:
    #   /image:
    #     subscription:
    #       reliability: reliable
""",
    ),
    DocumentedNode(
        'power',
        'power_monitor',
        declared_parameters(PowerParameters),
        'run the node with --ros-args --params-file COPY.',
    ),
    DocumentedNode(
        'energy',
        'energy_monitor',
        declared_parameters(EnergyParameters),
        'run the node with --ros-args --params-file COPY.',
    ),
)
ROBOT = (
    'The parameters that most robots set, of all nodes of robot.launch.py. To change some, copy '
    'this file and launch with params_file:=COPY. The others are in classifier.yaml, power.yaml '
    'and energy.yaml and can be added to the copy; what is left out has its default.'
)


def generated_files() -> dict[Path, str]:
    """Return the text of every generated file."""
    files = {ROOT / 'config' / f'{node.executable}.yaml': node_yaml(node) for node in NODES}
    files[ROOT / 'config' / 'robot.yaml'] = robot_yaml()
    document = DOCUMENT.read_text(encoding='utf-8')
    for node in NODES:
        # The markers stay, and are what is sought the next time.
        begin, end = f'<!-- parameters of {node.executable} -->', '<!-- generated until here -->'
        pattern = re.compile(f'({re.escape(begin)}\n).*?({re.escape(end)})', re.DOTALL)
        document, count = pattern.subn(
            lambda found, node=node: f'{found[1]}{table(node)}{found[2]}',  # type: ignore[misc]
            document,
        )
        if count != 1:
            raise SystemExit(f'{DOCUMENT}: {begin} and {end} must be there once')
    files[DOCUMENT] = document
    return files


def node_yaml(node: DocumentedNode) -> str:
    """Return the parameter file of one node, every parameter with its default."""
    head = comment(
        f'The parameters of the {node.executable}{"" if node.end else " node"}, each with its '
        f'default: a parameter may be left out. To change some, copy this file and {node.start} '
        f'While the node runs: ros2 param set /{node.name} NAME VALUE.'
    )
    by_change = groupby(node.parameters.items(), key=lambda item: item[1].when)
    sections = [
        section(f'Each of these {when}.', dict(parameters)) for when, parameters in by_change
    ]
    return head + HEADING + '\n'.join(sections) + node.end


def robot_yaml() -> str:
    """Return the parameter file of all nodes, with what most robots set."""
    sections = [
        section(
            f'Parameters of the node {node.name}.',
            {name: each for name, each in node.parameters.items() if each.is_common},
        )
        for node in NODES
    ]
    return comment(ROBOT) + HEADING + '\n'.join(sections)


HEADING = '\n/**:\n  ros__parameters:\n'


def section(title: str, parameters: dict[str, Parameter]) -> str:
    """Return parameters under a title, as lines of YAML."""
    entries = [
        f'{comment(describe(parameter), 4)}    {name}: {scalar(parameter.default)}\n'
        for name, parameter in parameters.items()
    ]
    return '\n'.join([comment(title, 4), *entries])


def describe(parameter: Parameter) -> str:
    """Return what a parameter means and may be."""
    text = parameter.description
    if parameter.choices:
        text += f' One of: {", ".join(parameter.choices)}.'
    if parameter.range:
        text += f' From {parameter.range[0]:.12g} to {parameter.range[1]:.12g}.'
    return text


def comment(text: str, indent: int = 0) -> str:
    """Return lines of YAML that are comments."""
    start = ' ' * indent + '# '
    lines = wrap(text, WIDTH, initial_indent=start, subsequent_indent=start)
    return ''.join(f'{line}\n' for line in lines)


def scalar(value: Any) -> str:
    """Return a value as YAML on one line; an empty string stays visible."""
    plain = list(value) if isinstance(value, tuple) else value
    text: str = yaml.safe_dump(plain, default_flow_style=True, width=1000)
    return text.removesuffix('\n').removesuffix('\n...')


def table(node: DocumentedNode) -> str:
    """Return the parameters of a node as a table of Markdown."""

    def rows() -> Iterator[str]:
        yield '| Parameter | Default | Meaning | Can change |\n|---|---|---|---|\n'
        for name, parameter in node.parameters.items():
            meaning = describe(parameter).replace('|', '\\|').replace('<', '\\<')
            meaning = meaning.replace('**', '`**`')
            yield (
                f'| `{name}` | `{scalar(parameter.default)}` | {meaning} '
                f'| {CHANGES[parameter.when]} |\n'
            )

    return ''.join(rows())


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().splitlines()[0])
    parser.add_argument('--check', action='store_true', help='only say which file is stale')
    check = parser.parse_args().check
    stale = [
        (path, text)
        for path, text in generated_files().items()
        if not path.is_file() or path.read_text(encoding='utf-8') != text
    ]
    for path, text in stale:
        if check:
            print(f'{path.relative_to(ROOT)} is not what the nodes declare: run make parameters')
        else:
            path.write_text(text, encoding='utf-8')
    return 1 if check and stale else 0


if __name__ == '__main__':
    sys.exit(main())
