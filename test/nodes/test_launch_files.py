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

"""The launch files as far as they can be read where launch is not installed."""

import ast
from pathlib import Path

import pytest

LAUNCH_FILES = sorted((Path(__file__).resolve().parents[2] / 'launch').rglob('*.py'))


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)
def test_launch_file_is_one(path: Path) -> None:
    # Only files with this ending are offered by ros2 launch.
    assert path.name.endswith('.launch.py')
    body = ast.parse(path.read_text(), feature_version=(3, 10)).body
    functions = [node for node in body if isinstance(node, ast.FunctionDef)]
    assert [
        function.args.args
        for function in functions
        if function.name == 'generate_launch_description'
    ] == [[]]
