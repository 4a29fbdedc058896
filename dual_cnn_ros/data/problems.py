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

"""What is wrong with data that can be used all the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import sys

MOST_NAMED = 10


def say_problems(path: Path | str, problems: Sequence[str]) -> None:
    """Print what is wrong with the data at a path, or left out of them, to the error output."""
    for problem in problems[:MOST_NAMED]:
        print(f'{path}: {problem}', file=sys.stderr)
    if len(problems) > MOST_NAMED:
        print(f'{path}: ... and {len(problems) - MOST_NAMED} more like these', file=sys.stderr)
