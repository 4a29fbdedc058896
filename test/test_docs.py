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

"""What the documents link to exists, and what they say to set can be set."""

from pathlib import Path
import re

import pytest

from dual_cnn_ros.bundle import Bundle

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/*.md'), *ROOT.glob('studies/*/*.md')])

pytestmark = pytest.mark.skipif(not DOCUMENTS, reason='documents are only in a checkout')


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_is_linked_exists(document: Path) -> None:
    prose = re.sub(r'```.*?```', '', document.read_text(encoding='utf-8'), flags=re.DOTALL)
    links = re.findall(r'\]\((?!http)([^)#]+)(?:#[^)]*)?\)', prose)
    assert not [link for link in links if not (document.parent / link).exists()]


def test_operating_points_that_documents_name_are_those_of_the_default_bundle() -> None:
    text = ''.join(document.read_text(encoding='utf-8') for document in DOCUMENTS)
    named = re.findall(r'ros2 param set /dual_cnn operating_point (\w+)', text)
    assert named and set(named) <= Bundle.open('scenes').rules.keys()
