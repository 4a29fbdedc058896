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

"""The studies run to their tables and charts, on a few toy images, and say what is stored."""

from __future__ import annotations

from dataclasses import replace
import os
from pathlib import Path
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import cv2
import pytest
from tiny_pool import make_blotches, make_trained

from dual_cnn_ros.bundle import read_bundle, write_bundle
from dual_cnn_ros.evaluation.findings import EnergyResult, read_evaluation, write_evaluation

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
STUDY = ROOT / 'studies/cifar10'
PYTHON = sys.executable


def study(script: str, *arguments: str | Path, folder: Path = STUDY) -> str:
    """Run a script of a study; return what it prints."""
    command = [folder / script] if script.endswith('.sh') else [PYTHON, folder / script]
    return subprocess.run(
        [*command, *arguments],
        env={**os.environ, 'PYTHON': PYTHON, 'PYTHONPATH': str(ROOT), 'TIMED': '20'},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def test_comparison_of_toy_cnns(tmp_path: Path) -> None:
    make_blotches(tmp_path / 'images' / 'test', 60, 0)
    for name, crop, macs in (('small', 0.4, 10), ('medium', 0.7, 30), ('big', 1.0, 90)):
        bundle = read_bundle(make_trained(tmp_path / 'pool', name, 20.0, macs=macs))
        (stage,) = bundle.stages
        stage = replace(stage, input=replace(stage.input, crop=crop))
        write_bundle(replace(bundle, stages=(stage,)))
    out = tmp_path / 'out'
    study('compare.sh', tmp_path / 'pool', tmp_path / 'images', out)
    systems = {system.name for system in read_evaluation(out / 'evaluate/evaluate.json').systems}
    assert {'small', 'medium', 'big', 'complementary_pair_none', 'ours_65_of_best'} <= systems
    *once, twice = (out / 'table.md').read_text().strip().split('\n\n')
    assert len(once) == 2, 'at equal MACs, and at equal CPU time'
    for name in ('small', 'best single CNN, as chosen', 'LEANets', 'ours, certified'):
        assert all(f'\n| {name} | ' in table for table in once)
    rows = twice.splitlines()
    assert {line.split(' | ')[0].strip('| ') for line in rows[2:]} == systems
    assert {len(line.split(' | ')) for line in rows} == {14}
    for name in ('macs', 'cpu_seconds'):
        assert ElementTree.parse(out / f'{name}.svg').getroot().tag.endswith('svg')
        assert '\nLEANets, ' in study('halvings.py', out / f'{name}.json')
    # Of the CPU times of toys nothing is known.
    assert 'medium → big' in study('halvings.py', out / 'macs.json')
    cnns = [tmp_path / 'pool' / name for name in ('small', 'medium', 'big')]
    printed = study('learned.py', tmp_path / 'images', 'test', *cnns)
    assert printed.count('thresholds on the selector') == 10


def test_joules_are_shown_where_a_sensor_was(tmp_path: Path) -> None:
    stored = [STUDY / f'results/{name}.json' for name in ('macs', 'evaluate')]
    found = read_evaluation(stored[1])
    energy = EnergyResult(images=9, seconds=1.0, coverage=1.0, joules=0.0123)
    first, *rest = found.results
    measured = replace(found, results=(replace(first, energy=energy), *rest))
    write_evaluation(measured, tmp_path / 'evaluate.json')
    tables = study('table.py', stored[0], tmp_path / 'evaluate.json')
    head, _, row, *_ = tables.split('\n\n')[-1].splitlines()
    assert head.endswith('| mJ |') and row.endswith('| 12.30 |')


def test_published_models_become_bundles(tmp_path: Path) -> None:
    published = (STUDY / 'published.py').read_text()
    make_trained(tmp_path, 'own', logits=10, size=32, colour='rgb')
    models = tmp_path / 'models'
    models.mkdir()
    names = [line.split("'")[1] for line in published.splitlines() if line.startswith("    '")]
    assert len(names) == 8 and 'resnet56_c' in names
    for name in names:
        shutil.copy(tmp_path / 'own' / 'first.onnx', models / f'{name}.onnx')
    printed = study('published.py', models, tmp_path / 'pool')
    assert printed.count('million MACs') == 8


@pytest.mark.skipif(shutil.which('nvidia-smi') is not None, reason='this machine has a GPU')
def test_without_a_gpu_nothing_is_trained_for_one(tmp_path: Path) -> None:
    script = [STUDY / 'gpu.sh', tmp_path / 'train', tmp_path / 'out']
    environment = {**os.environ, 'PYTHON': PYTHON, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(script, env=environment, capture_output=True, text=True)
    assert done.returncode and 'measure: NVML does not start' in done.stderr
    assert not (tmp_path / 'out/pool').exists()


def test_tables_are_those_of_the_readme() -> None:
    results = STUDY / 'results'
    stored = [results / f'{name}.json' for name in ('macs', 'cpu_seconds', 'evaluate')]
    tables = study('table.py', *stored)
    readme = (STUDY / 'README.md').read_text()
    assert all(table in readme for table in tables.strip().split('\n\n'))


def test_the_governor_keeps_its_budget_in_the_plotted_run(tmp_path: Path) -> None:
    printed = study('run.py', tmp_path / 'run.png', folder=ROOT / 'studies/governor')
    assert cv2.imread(str(tmp_path / 'run.png')) is not None
    assert len(printed.splitlines()) == 3
    assert printed.strip() in (ROOT / 'docs/results.md').read_text()
