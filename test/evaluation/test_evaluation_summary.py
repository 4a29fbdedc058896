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

"""The finding in a sentence, and the tables behind it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evaluated import run
import pytest

from dual_cnn_ros.evaluation.findings import Difference, EvaluationFindings
from dual_cnn_ros.evaluation.summary import accuracy_table, cost_table, finding, saving, summary
from dual_cnn_ros.evaluation.systems import with_singles


@pytest.fixture
def findings(bundle: Path, images: Path, tmp_path: Path) -> EvaluationFindings:
    """Return what a cascade and its CNNs come to, by themselves and with a memory."""
    systems = with_singles([str(bundle)])
    return run(images, tmp_path / 'out', *systems, repeat=(0.0, 1.0), audit=0.0)


def test_single_cnns_are_added_where_there_is_none(bundle: Path) -> None:
    path = bundle.resolve()
    assert with_singles([str(bundle)]) == [str(bundle), f'{path}@first', f'{path}@second']
    given = [str(bundle), f'{bundle}@second']
    assert with_singles(given) == given


def test_all_is_compared_with_the_single_cnn_that_is_right_most_often(
    findings: EvaluationFindings,
) -> None:
    accuracies = {
        r.system: (r.accuracy, -r.macs) for r in findings.of_protocol('d=0') if '@' in r.system
    }
    assert findings.reference == max(accuracies, key=lambda name: accuracies[name])
    assert finding(findings, 'd=0').startswith('tiny is not shown to be less right than the best')
    assert '; with memory thumbnail, for ' in finding(findings, 'd=1')
    assert finding(findings, 'd=1') in summary(findings)


@pytest.mark.parametrize(
    ('interval', 'words'),
    [
        ((-0.01, 0.01), 'is as right as the best single CNN'),
        ((-0.02, 0.01), 'is not shown to be less right than the best single CNN'),
        ((0.001, 0.02), 'is more right than the best single CNN'),
        ((-0.02, -0.001), 'is less right than the best single CNN'),
        (None, 'is compared with the best single CNN'),
    ],
)
def test_the_interval_decides_what_is_said(
    findings: EvaluationFindings, interval: tuple[float, float] | None, words: str
) -> None:
    results = tuple(
        replace(r, difference=Difference('x', -0.005, interval, 2, 1)) if r.system == 'tiny' else r
        for r in findings.results
    )
    text = finding(replace(findings, results=results), 'd=0')
    assert words in text and '-0.50 points' in text


def test_a_system_alone_is_not_compared(bundle: Path, images: Path, tmp_path: Path) -> None:
    findings = run(images, tmp_path / 'out', bundle, memory=False)
    assert finding(findings, 'd=0') == 'tiny alone: there is nothing to compare it with.'


@pytest.mark.parametrize(
    ('value', 'baseline', 'text'),
    [
        *((1.0, 2.0, '-50 %'), (2.0, 1.0, '+100 %'), (1.0, 1.0, '+0 %')),
        *((None, 1.0, '-'), (1.0, None, '-'), (1.0, 0.0, '-')),
    ],
)
def test_savings_are_changes_from_the_baseline(
    value: float | None, baseline: float | None, text: str
) -> None:
    assert saving(value, baseline) == text


def test_a_memory_that_is_often_wrong_is_warned_of(findings: EvaluationFindings) -> None:
    assert 'WARNING' not in summary(findings)
    results = tuple(
        replace(r, remembered=replace(r.remembered, wrong=0.03)) if r.remembered else r
        for r in findings.results
    )
    text = summary(replace(findings, results=results))
    assert 'WARNING: 3.00% of what the memory thumbnail answered is wrong. Set memory_dif' in text


def test_every_row_of_a_table_is_full(findings: EvaluationFindings) -> None:
    for table in (accuracy_table(findings, 'd=1'), cost_table(findings, 'd=1')):
        assert len({len(row) for row in table}) == 1
        assert all(cell for row in table for cell in row)
        (reference,) = [row for row in table if '(reference)' in row[0]]
        assert reference[0].startswith(findings.reference) and '-' in reference
