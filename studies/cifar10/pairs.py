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

"""Print which pairs of pair's recommendation the study goes on with, or the largest model."""

import json
from pathlib import Path
import sys


def pairs(recommendation: Path) -> list[str]:
    """Return lines of a name and the metrics files of the first and the second CNN."""
    found = json.loads(recommendation.read_text(encoding='utf-8'))
    chosen: dict[tuple[str, str], str] = {}
    for name in ('complementary', 'cheapest', 'most_accurate'):
        row = found[name]
        if row is not None and row['second']:
            chosen.setdefault((row['first'], row['second']), name)
    return [
        f'{name} {found["files"][first]} {found["files"][second]}'
        for (first, second), name in chosen.items()
    ]


def largest(models: list[Path]) -> str:
    """Return the name of the model of most multiply-adds."""
    return max(
        models, key=lambda model: json.loads(model.read_text(encoding='utf-8'))['multiply_adds']
    ).stem


if __name__ == '__main__':
    if sys.argv[1] == '--largest':
        print(largest([Path(argument) for argument in sys.argv[2:]]))
    else:
        print('\n'.join(pairs(Path(sys.argv[1]))))
