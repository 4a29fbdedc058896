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

"""The README tells the truth about parameters, files and commands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import re

import pytest
import yaml

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.nodes.classifier_parameters import ClassifierParameters
from dual_cnn_ros.nodes.parameter import declared_parameters
from dual_cnn_ros.tools.train import LIBRARIES

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / 'README.md'

pytestmark = pytest.mark.skipif(not README.is_file(), reason='a README is only in a checkout')


def test_parameters_can_be_set_in_the_order_of_the_commands() -> None:
    values = ClassifierParameters()
    scenes = Bundle.open(values.bundle)
    commands = re.findall(
        r'^ros2 param set /dual_cnn (\S+) (\S+)', README.read_text(), re.MULTILINE
    )
    assert 'operating_point' in dict(commands)
    for name, text in commands:
        value = yaml.safe_load(text)
        declared_parameters(ClassifierParameters)[name].check(name, value)
        values = replace(values, **{name: value})
        values.settings(scenes)


def test_what_train_needs_is_named() -> None:
    assert f'`pip install {" ".join(LIBRARIES)}`' in README.read_text()


def test_the_energy_node_is_told_which_bundle_was_measured() -> None:
    blocks = re.findall(r'```sh\n(.*?)```', README.read_text(), re.DOTALL)
    block = next(one for one in blocks if '/energy_monitor baseline bundle' in one)
    measured = re.findall(r'measure (\S+) --large', block)
    told = block.partition('/energy_monitor baseline bundle')[0]
    assert measured and re.findall(r'/energy_monitor bundle (\S+)', told) == measured


def test_every_file_that_is_linked_exists() -> None:
    links = re.findall(r'\]\((?!http)([^)#]+)\)', README.read_text())
    assert links and not [link for link in links if not (ROOT / link).exists()]
