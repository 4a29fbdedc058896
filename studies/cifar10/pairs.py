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

from dual_cnn_ros.bundle import read_bundle
from dual_cnn_ros.calibration.pairs import PairingFindings
from dual_cnn_ros.records import from_plain


def pairs(recommendation: Path) -> list[str]:
    """Return lines of a name and the bundles of the first and the second CNN."""
    found = from_plain(PairingFindings, json.loads(recommendation.read_text(encoding='utf-8')))
    advice = found.recommendation
    chosen: dict[tuple[str, str], str] = {}
    for name, row in (
        ('complementary', advice.complementary),
        ('cheapest', advice.cheapest),
        ('most_accurate', advice.most_accurate),
    ):
        if row is not None and row.second:
            chosen.setdefault((row.first, row.second), name)
    return [
        f'{name} {found.bundles[first]} {found.bundles[second]}'
        for (first, second), name in chosen.items()
    ]


def largest(bundles: list[Path]) -> str:
    """Return the name of the bundle, of one stage each, of most MACs."""
    return max(map(read_bundle, bundles), key=lambda bundle: bundle.stages[0].macs).name


if __name__ == '__main__':
    if sys.argv[1] == '--largest':
        print(largest([Path(argument) for argument in sys.argv[2:]]))
    else:
        print('\n'.join(pairs(Path(sys.argv[1]))))
