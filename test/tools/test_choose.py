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

"""choose: from a pool of one-stage bundles to advice."""

from __future__ import annotations

from collections.abc import Callable
import csv
from dataclasses import fields, replace
import json
from pathlib import Path
from typing import Any

import cv2
import pytest
from tiny_pool import make_pictures, make_trained

from dual_cnn_ros.calibration import choice
from dual_cnn_ros.calibration.choice import ChoiceFindings, Expectation
from dual_cnn_ros.records import from_plain
from dual_cnn_ros.tools import choose

Run = Callable[..., int]


@pytest.fixture(scope='module')
def pool(tmp_path_factory) -> list[Path]:
    root = tmp_path_factory.mktemp('choose')
    make_pictures(root / 'images')
    return [
        make_trained(root, name, gain, size, macs=cost)
        for name, gain, size, cost in (
            ('small', 1, 8, 10),
            ('odd', -2, 16, 30),
            ('big', 3, 16, 90),
        )
    ]


@pytest.fixture
def run(pool: list[Path]) -> Run:
    def choose_of_them(out: Path, *more: str) -> int:
        images = pool[0].parent / 'images'
        return choose.main([str(images), *map(str, pool), *more, '--out', str(out)])

    return choose_of_them


def findings_of(folder: Path) -> ChoiceFindings:
    return from_plain(ChoiceFindings, json.loads((folder / 'recommendation.json').read_text()))


def test_writes_a_table_a_picture_and_advice(pool, run: Run, tmp_path, capsys) -> None:
    assert run(tmp_path, '--cost', 'macs') == 0
    printed = capsys.readouterr().out
    findings = findings_of(tmp_path)
    assert findings.bundles == {path.name: path for path in pool}
    # 'odd' answers by the colour that is least, and so it is never right.
    winner = findings.recommendation.winner
    assert (winner.stages, winner.accuracy) == (('small',), 1)
    assert all(reason in printed for reason in findings.reasons)
    assert 'THE SINGLE CNN WINS' in printed
    front = next(row for row in printed.splitlines() if row.startswith('small ')).split()
    assert front[:3] == ['small', '-', '100.00%'] and 'best single CNN, recommended' in printed
    assert printed.startswith(f'{findings.images} validation images of images to choose with')
    assert ['1', 'small', '100.00%', '0.00', 'M'] in [
        row.split()[:5] for row in printed.splitlines()
    ]
    with (tmp_path / 'cascades.csv').open(newline='') as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [field.name for field in fields(Expectation)]
    # Three single CNNs; three pairs and one of three, with three post-checks and two aims each.
    assert len(rows) == 3 + 4 * 3 * 2
    assert rows[-1]['stages'] == 'small odd big' and len(rows[-1]['deferral_rates'].split()) == 2
    assert float(rows[0]['accuracy']) == findings.members[0].accuracy
    assert cv2.imread(str(tmp_path / 'complementarity.png')) is not None


@pytest.mark.parametrize(('part', 'changes'), [(0, True), (1, False)])
def test_images_to_certify_on_have_no_say(run: Run, tmp_path, monkeypatch, part, changes) -> None:
    """What is wrong on either part tells whether that part is looked at."""
    monkeypatch.setattr(choice, 'measure_cpu_seconds', lambda pool: (1.0, 2.0, 3.0))
    divide = choice.divide

    def mislabelled(*arguments: Any) -> Any:
        parts = list(divide(*arguments))
        parts[part] = replace(parts[part], labels=(parts[part].labels + 1) % 3)
        return parts

    written = []
    for name, divided in (('x', divide), ('y', mislabelled)):
        monkeypatch.setattr(choice, 'divide', divided)
        assert run(tmp_path / name) == 0
        files = ('cascades.csv', 'recommendation.json', 'complementarity.png')
        written.append([(tmp_path / name / file).read_bytes() for file in files])
    assert (written[0] != written[1]) == changes


@pytest.mark.parametrize(
    ('names', 'words'),
    [
        (['small', 'odd', '--fit', '0.001'], '--fit 0.001 leaves 0'),
        (['small', 'small'], 'small is given twice'),
        (['small'], 'two or more'),
    ],
)
def test_what_makes_no_pool_is_refused_and_named(
    pool: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    names: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(pool[0].parent)
    assert choose.main(['images', *names, '--out', str(tmp_path / 'out')]) == 1
    error = capsys.readouterr().err
    assert error.startswith('choose: ') and words in error
    assert not (tmp_path / 'out').exists()
