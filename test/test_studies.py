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

from collections.abc import Sequence
from dataclasses import replace
import os
from pathlib import Path
import shutil
import subprocess
import sys
from typing import Any
import xml.etree.ElementTree as ElementTree

import cv2
import pytest
from tiny_bundle import LABELS, picture

from dual_cnn_ros.evaluation.findings import read_evaluation, write_evaluation

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
STUDY = ROOT / 'studies/cifar10'
PYTHON = sys.executable


def study(script: str, *arguments: str | Path) -> str:
    """Run a script of the study; return what it prints."""
    return subprocess.run(
        [STUDY / script, *arguments]
        if script == 'run.sh'
        else [PYTHON, STUDY / script, *arguments],
        env={**os.environ, 'PYTHON': PYTHON, 'PYTHONPATH': str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def test_study_of_toy_images(tmp_path: Path) -> None:
    pytest.importorskip('torch')
    for split, count in (('train', 60), ('test', 8)):
        for label in LABELS:
            folder = tmp_path / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                seed = i if split == 'train' else 1000 + i
                image = picture(label, sure=i % 3 != 0, seed=seed, height=32, width=32)
                cv2.imwrite(str(folder / f'{i:03}.png'), image)
    singles = {'vgg9_gap_x0_25-s4', 'resnet20_x0_25-s4'}
    epochs = [f'{name}:{count}' for name, count in zip(sorted(singles), (1, 2))]
    out = tmp_path / 'out'
    study('run.sh', tmp_path / 'train', tmp_path / 'test', out, *epochs)
    systems = {system.name for system in read_evaluation(out / 'evaluate/evaluate.json').systems}
    assert {
        'complementary: max_probability, none',
        'complementary: max_probability, average',
        *singles,
    } <= systems
    once, twice = (out / 'table.md').read_text().strip().split('\n\n')
    assert {line.split(' | ')[0].strip('| ') for line in once.splitlines()[2:]} == systems
    cells = {len(line.split(' | ')) for line in twice.splitlines() if not line.startswith('|-')}
    assert cells == {9}
    for name in ('once.svg', 'twice.svg'):
        assert ElementTree.parse(out / name).getroot().tag.endswith('svg')


@pytest.mark.skipif(shutil.which('nvidia-smi') is not None, reason='this machine has a GPU')
def test_without_a_gpu_nothing_is_trained_for_one(tmp_path: Path) -> None:
    script = [STUDY / 'gpu.sh', tmp_path / 'train', tmp_path / 'out']
    environment = {**os.environ, 'PYTHON': PYTHON, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(script, env=environment, capture_output=True, text=True)
    assert done.returncode and 'measure: NVML does not start' in done.stderr
    assert not (tmp_path / 'out/pool').exists()


def test_charts_hold_a_pool_of_any_size(tmp_path: Path) -> None:
    def with_copies(entries: Sequence[Any], field: str) -> tuple[Any, ...]:
        single = [entry for entry in entries if getattr(entry, field) == 'vgg9_gap']
        copies = (replace(e, **{field: f'resnet{i}'}) for e in single for i in range(20))
        return (*entries, *copies)

    findings = read_evaluation(STUDY / 'results/evaluate.json')
    more = replace(
        findings,
        systems=with_copies(findings.systems, 'name'),
        results=with_copies(findings.results, 'system'),
    )
    write_evaluation(more, tmp_path / 'evaluate.json')
    study('chart.py', tmp_path / 'evaluate.json', tmp_path)
    assert 'resnet19' in (tmp_path / 'once.svg').read_text()


def test_tables_are_those_of_the_readme() -> None:
    results = STUDY / 'results'
    tables = study('table.py', results / 'evaluate.json', results / 'recommendation.json')
    readme = (STUDY / 'README.md').read_text()
    assert all(table in readme for table in tables.strip().split('\n\n'))
