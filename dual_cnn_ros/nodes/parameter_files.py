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

"""Which of the parameter files on a command line say nothing to a node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
import re
from typing import Any

import yaml

from dual_cnn_ros.files import read_text


def unused_files(arguments: Sequence[str], node: str) -> Iterator[str]:
    """
    Yield a sentence for each parameter file without a section for a node; ROS is silent.

    Parameters
    ----------
    arguments
        Of the command line.
    node
        Full name of the node, with its namespace.

    """
    for option, path in pairwise(arguments):
        if option == '--params-file':
            sections = list(_sections(yaml.safe_load(read_text(Path(path)))))
            if not any(_fits(section, node) for section in sections):
                names = ', '.join(sections) or 'no node'
                yield f'{path} sets nothing: it is for {names}, not for {node} or /**'


def _sections(content: Any, above: str = '') -> Iterator[str]:
    """Yield the names of nodes that have parameters; namespaces may be nested mappings."""
    for key, value in content.items() if isinstance(content, dict) else ():
        if key == 'ros__parameters':
            yield above or '/'
        else:
            yield from _sections(value, f'{above}/{str(key).strip("/")}')


def _fits(section: str, node: str) -> bool:
    """Return whether a name with wildcards is that of a node: * is one word, ** any number."""
    words = section.strip('/').split('/')
    pattern = ''.join(
        {'*': '/[^/]+', '**': '(/[^/]+)*'}.get(word, f'/{re.escape(word)}') for word in words
    )
    return re.fullmatch(pattern, node) is not None
