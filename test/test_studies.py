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

"""The study runs from a folder of pictures to its tables and charts, on a few toy pictures."""

from __future__ import annotations

import json
import os
from pathlib import Path
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import cv2
import pytest
from tiny_bundle import LABELS, picture

pytest.importorskip('torch')

ROOT = Path(__file__).resolve().parents[1]
STUDY = ROOT / 'studies/cifar10'


def write_pictures(folder: Path, count: int, seed: int) -> None:
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        for i in range(count):
            cv2.imwrite(
                str(folder / label / f'{i:03}.png'),
                picture(label, sure=i % 3 != 0, seed=seed + i, height=32, width=32),
            )


def test_study_of_toy_pictures(tmp_path: Path) -> None:
    write_pictures(tmp_path / 'train', 60, 0)
    write_pictures(tmp_path / 'test', 8, 1000)
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
    systems = {
        system['name']
        for system in json.loads((out / 'evaluate/evaluate.json').read_text())['systems']
    }
    assert {
        'complementary: max_probability, none',
        'complementary: deferral, average',
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
    findings = json.loads((STUDY / 'results/evaluate.json').read_text())
    for key in ('systems', 'results'):
        name = 'name' if key == 'systems' else 'system'
        findings[key] += [
            {**found, name: f'resnet{number}'}
            for number in range(20)
            for found in findings[key]
            if found[name] == 'vgg9_gap'
        ]
    (tmp_path / 'evaluate.json').write_text(json.dumps(findings))
    subprocess.run(
        [sys.executable, str(STUDY / 'chart.py'), str(tmp_path / 'evaluate.json'), str(tmp_path)],
        check=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )
    assert 'resnet19' in (tmp_path / 'once.svg').read_text()
