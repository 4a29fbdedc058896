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

"""EvaluationFindings in a file, and what changed from one file to another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import shutil
import tarfile
from typing import Any

from evaluated import run
import pytest

from dual_cnn_ros.evaluation import evaluation
from dual_cnn_ros.evaluation.comparison import compare_findings
from dual_cnn_ros.evaluation.findings import (
    EnergyResult,
    EvaluationFindings,
    read_evaluation,
    Timing,
    write_evaluation,
)


@pytest.fixture(scope='module')
def findings(
    bundle: Path, images: Path, tmp_path_factory: pytest.TempPathFactory
) -> EvaluationFindings:
    """Return findings to change."""
    out = tmp_path_factory.mktemp('findings')
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(evaluation, 'make_page', lambda *arguments: '')
        return run(images, out, bundle, f'{bundle}@second', repeat=(0.0, 1.0))


def with_figures(
    findings: EvaluationFindings,
    accuracy: float = 0.5,
    macs: float = 100.0,
    deferral_rate: float = 0.5,
    cpu: float = 0.2,
    joules: float = 0.2,
) -> EvaluationFindings:
    """Return findings with these figures in all results."""
    changes = {'accuracy': accuracy, 'macs': macs, 'deferral_rate': deferral_rate}
    measured = {'timing': Timing(cpu), 'energy': EnergyResult(1, 1.0, 1.0, joules)}
    results = (replace(result, **changes, **measured) for result in findings.results)
    return replace(findings, results=tuple(results))


def test_what_is_written_is_read_back(findings: EvaluationFindings, tmp_path: Path) -> None:
    file = tmp_path / 'evaluate.json'
    odd = replace(findings.data, bad={'a [1,\n 2]  {x}.png': 'no "image"'})
    write_evaluation(replace(findings, data=odd), file)
    assert read_evaluation(file) == replace(findings, data=odd)


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('{', 'evaluate.json is no JSON file'),
        ('[]', 'evaluate.json is of format None, not 4; run evaluate once more'),
        ('{"format": 2}', 'evaluate.json is of format 2, not 4'),
        ('{"format": 4}', 'evaluate.json: the field data is missing'),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / 'evaluate.json').write_text(text)
    with pytest.raises(ValueError, match=said):
        read_evaluation(tmp_path / 'evaluate.json')


@pytest.mark.parametrize(
    ('after', 'options', 'worse'),
    [
        ({}, {}, ''),
        ({'accuracy': 0.8, 'macs': 50.0, 'deferral_rate': 0.1}, {}, ''),
        ({'accuracy': 0.496}, {}, ''),
        (
            {'accuracy': 0.494},
            {},
            'accuracy went from 0.5 to 0.494, beyond the tolerance of 0.005',
        ),
        ({'accuracy': 0.494}, {'accuracy_tolerance': 0.01}, ''),
        ({'macs': 104.0}, {}, ''),
        ({'macs': 106.0}, {}, 'MACs went from 100 to 106, beyond the tolerance of 0.05'),
        ({'macs': 106.0}, {'cost_tolerance': 0.1}, ''),
        ({'deferral_rate': 0.54}, {}, ''),
        ({'deferral_rate': 0.56}, {}, 'deferral rate went from 0.5 to 0.56'),
        ({'cpu': 0.4, 'joules': 0.4}, {}, ''),
        ({'cpu': 0.4}, {'measured': ['cpu']}, 'CPU seconds went from 0.2 to 0.4'),
        ({'joules': 0.4}, {'measured': ['joules']}, 'joules above idle went from 0.2 to 0.4'),
        ({'cpu': 0.1, 'joules': 0.1}, {'measured': ['cpu', 'joules']}, ''),
    ],
)
def test_worse_is_what_is_beyond_the_tolerance(
    findings: EvaluationFindings, after: dict[str, float], options: dict[str, Any], worse: str
) -> None:
    given = {'accuracy_tolerance': 0.005, 'cost_tolerance': 0.05, **options}
    found = compare_findings(with_figures(findings), with_figures(findings, **after), **given)
    assert len(found.worse) == (len(findings.results) if worse else 0)
    assert all(worse in line for line in found.worse)
    assert len(found.table) == 2 + len(findings.results) + 1


def test_the_table_has_the_change_of_every_figure(findings: EvaluationFindings) -> None:
    better = with_figures(findings, 0.625, 150.0, 0.25, 0.1, 0.3)
    table, worse = compare_findings(with_figures(findings), better, 0.005, 1.0)
    figures = ['+12.50', '+50.00%', '-25.00', '-50.00%', '+50.00%']
    assert table[2].split() == ['tiny', 'off', 'd=0', *figures] and not worse


def test_what_cannot_be_compared_is_said(findings: EvaluationFindings) -> None:
    fewer = replace(findings, results=tuple(r for r in findings.results if r.system == 'tiny'))
    for before, after, said in (
        (findings, fewer, 'the second report has no result of tiny@second, memory off, d=0;'),
        (fewer, findings, 'the first report has no result of tiny@second'),
        (findings, replace(findings, seed=9), 'not of the same seed'),
        (findings, replace(findings, labels=('red',)), 'not of the same labels'),
        (findings, findings, 'no joules above idle were measured in both'),
    ):
        with pytest.raises(ValueError, match=said):
            compare_findings(before, after, 0, 0, ['joules'])


def test_only_the_same_images_and_labels_are_compared(
    bundle: Path, images: Path, tmp_path: Path, no_page: None
) -> None:
    def digest_of(data: Path) -> str:
        return run(data, tmp_path / 'out', bundle, memory=False, timed=0).data.digest

    for name in ('moved', 'relabelled', 'changed'):
        shutil.copytree(images, tmp_path / name)
    with tarfile.open(tmp_path / 'packed.tar', 'w') as tar:
        for file in sorted(images.rglob('*.png'), reverse=True):
            tar.add(file, f'{file.parent.name}/{file.name}')
    (tmp_path / 'relabelled/red/00.png').rename(tmp_path / 'relabelled/blue/00.png')
    shutil.copy(images / 'red/00.png', tmp_path / 'changed/red/06.png')
    expected = digest_of(images)
    assert digest_of(tmp_path / 'moved') == digest_of(tmp_path / 'packed.tar') == expected
    assert expected not in (digest_of(tmp_path / 'relabelled'), digest_of(tmp_path / 'changed'))
