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

"""The library: what it offers, what it loads, and its example."""

from __future__ import annotations

from pathlib import Path
import re
import subprocess
import sys
from textwrap import dedent

import cv2
import pytest
from tiny_bundle import picture

import dual_cnn_ros

README = Path(__file__).resolve().parents[1] / 'README.md'


def examples() -> list[str]:
    """Return the example of the docstring, and those of the README of a checkout."""
    _, _, rest = (dual_cnn_ros.__doc__ or '').partition('::\n\n')
    code = dedent(rest.partition('\n\nImporting')[0])
    text = README.read_text() if README.is_file() else ''
    blocks = re.findall(r'```python\n(.*?)```', text, re.DOTALL)
    return [code, *(block for block in blocks if 'from dual_cnn_ros import' in block)]


@pytest.mark.parametrize('code', examples())
def test_the_example_runs(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / 'image.jpg'), picture('red'))
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    answered, energy = capsys.readouterr().out.splitlines()
    assert re.search(r'answered by (first|second)$', answered)
    assert re.match(r'None .*sensor|\d', energy)


def test_each_name_is_imported_when_it_is_first_used() -> None:
    code = (
        'import sys, dual_cnn_ros\n'
        'assert not {"numpy", "cv2", "yaml"} & set(sys.modules)\n'
        'from dual_cnn_ros import Frame\n'
        'assert "cv2" in sys.modules and "yaml" not in sys.modules\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_the_names_are_classes_and_there_are_no_others() -> None:
    assert all(isinstance(getattr(dual_cnn_ros, name), type) for name in dual_cnn_ros.__all__)
    with pytest.raises(AttributeError, match="'dual_cnn_ros' has no attribute 'Fram'"):
        dual_cnn_ros.Fram  # noqa: B018
