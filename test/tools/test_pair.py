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

"""pair: from a pool of one-stage bundles to advice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import json
from pathlib import Path
from typing import Any

import cv2
import pytest
from tiny_pool import make_pictures, make_trained

from dual_cnn_ros.calibration import pairs, predictions
from dual_cnn_ros.calibration.pairs import PairingFindings
from dual_cnn_ros.records import from_plain
from dual_cnn_ros.tools import pair

Run = Callable[..., int]


@pytest.fixture(scope='module')
def pool(tmp_path_factory) -> list[Path]:
    root = tmp_path_factory.mktemp('pair')
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
    def pair_them(out: Path, *more: str) -> int:
        images = pool[0].parent / 'images'
        return pair.main([str(images), *map(str, pool), *more, '--out', str(out)])

    return pair_them


def findings_of(folder: Path) -> PairingFindings:
    return from_plain(PairingFindings, json.loads((folder / 'recommendation.json').read_text()))


def test_writes_a_table_a_picture_and_advice(pool, run: Run, tmp_path, capsys) -> None:
    assert run(tmp_path, '--cost', 'macs') == 0
    printed = capsys.readouterr().out
    findings = findings_of(tmp_path)
    assert findings.bundles == {path.name: path for path in pool}
    # 'odd' answers by the colour that is least, and so it is never right.
    winner = findings.recommendation.winner
    assert (winner.first, winner.second, winner.accuracy) == ('small', '', 1)
    assert all(reason in printed for reason in findings.reasons)
    assert 'THE SINGLE CNN WINS' in printed
    assert printed.startswith(f'{findings.images} validation images of images to choose with')
    assert ['1', 'small', '100.00%', '0.00', 'M'] in [
        row.split()[:5] for row in printed.splitlines()
    ]
    assert (tmp_path / 'pairs.csv').read_text().startswith('first,second,post_check,aim,accuracy')
    assert cv2.imread(str(tmp_path / 'complementarity.png')) is not None


def test_a_second_call_runs_no_cnn_for_its_answers(run: Run, tmp_path, monkeypatch) -> None:
    assert run(tmp_path) == 0
    monkeypatch.delattr(predictions, 'load_dataset')
    monkeypatch.delattr(predictions, '_ask')
    assert run(tmp_path) == 0


@pytest.mark.parametrize(('part', 'changes'), [(0, True), (1, False)])
def test_images_to_certify_on_have_no_say(run: Run, tmp_path, monkeypatch, part, changes) -> None:
    """What is wrong on either part tells whether that part is looked at."""
    monkeypatch.setattr(pairs, 'measure_cpu_seconds', lambda pool: (1.0, 2.0, 3.0))
    divide = pairs.divide

    def mislabelled(*arguments: Any) -> Any:
        parts = list(divide(*arguments))
        parts[part] = replace(parts[part], labels=(parts[part].labels + 1) % 3)
        return parts

    written = []
    for name, divided in (('x', divide), ('y', mislabelled)):
        monkeypatch.setattr(pairs, 'divide', divided)
        assert run(tmp_path / name) == 0
        files = ('pairs.csv', 'recommendation.json', 'complementarity.png')
        written.append([(tmp_path / name / file).read_bytes() for file in files])
    assert (written[0] != written[1]) == changes


def test_more_images_choose_where_it_is_told_so(run: Run, tmp_path) -> None:
    counts = []
    for share in ('0.5', '0.8'):
        assert run(tmp_path, '--fit', share) == 0
        counts.append(findings_of(tmp_path).images)
    assert counts[0] < counts[1]


@pytest.mark.parametrize(
    ('more', 'words'),
    [
        (['--fit', '0.001'], '--fit 0.001 leaves 0'),
        (['{0}'], 'small is given twice'),
        (['{other}'], 'other and small differ in training.seed, 8 and 3'),
    ],
)
def test_what_makes_no_pool_is_refused_and_named(
    pool, run: Run, tmp_path, capsys, more, words
) -> None:
    other = make_trained(tmp_path, 'other', seed=8)
    named = [option.format(pool[0], other=other) for option in more]
    assert run(tmp_path / 'out', *named) == 1
    error = capsys.readouterr().err
    assert error.startswith('pair: ') and words in error
    assert not (tmp_path / 'out').exists()


def test_one_cnn_is_no_pool(pool, tmp_path, capsys) -> None:
    assert pair.main([str(tmp_path), str(pool[0]), '--out', str(tmp_path / 'out')]) == 1
    assert 'two or more' in capsys.readouterr().err
