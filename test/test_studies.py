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

"""The study runs from a folder of images to its tables and charts, on a few toy images."""

from __future__ import annotations

from dataclasses import replace
import os
from pathlib import Path
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import cv2
import pytest
from tiny_bundle import LABELS, picture

from dual_cnn_ros.evaluation.findings import read_evaluation, write_evaluation

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
STUDY = ROOT / 'studies/cifar10'
ONE = 'vgg9_gap'


def write_images(folder: Path, count: int, seed: int) -> None:
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        for i in range(count):
            cv2.imwrite(
                str(folder / label / f'{i:03}.png'),
                picture(label, sure=i % 3 != 0, seed=seed + i, height=32, width=32),
            )


@pytest.mark.slow
def test_study_of_toy_images(tmp_path: Path) -> None:
    pytest.importorskip('torch')
    write_images(tmp_path / 'train', 60, 0)
    write_images(tmp_path / 'test', 8, 1000)
    done = subprocess.run(
        [
            STUDY / 'run.sh',
            tmp_path / 'train',
            tmp_path / 'test',
            tmp_path / 'out',
            'vgg9_gap_x0_25-s4:2',
            'resnet20_x0_25-s4:1',
        ],
        env={**os.environ, 'PYTHON': sys.executable, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    out = tmp_path / 'out'
    singles = {'vgg9_gap_x0_25-s4', 'resnet20_x0_25-s4'}
    systems = {system.name for system in read_evaluation(out / 'evaluate/evaluate.json').systems}
    assert {
        'complementary: max_probability, none',
        'complementary: max_probability, average',
        'complementary: certified',
        *singles,
    } <= systems
    once, twice = (out / 'table.md').read_text().strip().split('\n\n')
    assert {line.split(' | ')[0].strip('| ') for line in once.splitlines()[2:]} == systems
    cells = {len(line.split(' | ')) for line in twice.splitlines() if not line.startswith('|-')}
    assert cells == {9}
    for name in ('once.svg', 'twice.svg'):
        assert ElementTree.parse(out / name).getroot().tag.endswith('svg')


def test_charts_hold_a_pool_of_any_size(tmp_path: Path) -> None:
    findings = read_evaluation(STUDY / 'results/evaluate.json')
    numbers = range(20)
    more = replace(
        findings,
        systems=(
            *findings.systems,
            *(
                replace(s, name=f'resnet{i}')
                for s in findings.systems
                if s.name == ONE
                for i in numbers
            ),
        ),
        results=(
            *findings.results,
            *(
                replace(r, system=f'resnet{i}')
                for r in findings.results
                if r.system == ONE
                for i in numbers
            ),
        ),
    )
    write_evaluation(more, tmp_path / 'evaluate.json')
    subprocess.run(
        [sys.executable, str(STUDY / 'chart.py'), str(tmp_path / 'evaluate.json'), str(tmp_path)],
        check=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )
    assert 'resnet19' in (tmp_path / 'once.svg').read_text()


def test_tables_are_those_of_the_readme() -> None:
    done = subprocess.run(
        [
            sys.executable,
            STUDY / 'table.py',
            STUDY / 'results/evaluate.json',
            STUDY / 'results/recommendation.json',
        ],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    readme = (STUDY / 'README.md').read_text()
    assert all(table in readme for table in done.stdout.strip().split('\n\n'))
