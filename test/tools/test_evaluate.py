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

"""evaluate's command line: options, what is printed, and exit codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from tiny_bundle import LABELS, make_bundle, picture

from dual_cnn_ros.evaluation import evaluation
from dual_cnn_ros.evaluation.findings import read_evaluation, write_evaluation
from dual_cnn_ros.tools import evaluate


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Return the command line of a small run."""
    bundle = make_bundle(tmp_path / 'bundle')
    for i, label in enumerate(LABELS):
        (tmp_path / 'data' / label).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / 'data' / label / 'a.png'), picture(label, seed=i))
    out = ['--out', str(tmp_path / 'out'), '--sysfs-root', '/none', '--no-memory']
    return [str(tmp_path / 'data'), str(bundle), f'again={bundle}', *out]


@pytest.mark.slow
def test_a_run_and_a_comparison(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, after = tmp_path / 'out/evaluate.json', tmp_path / 'after.json'
    assert evaluate.main([*command, '--repeat', '0', '1', '--fingerprint', 'dhash']) == 0
    out = capsys.readouterr().out
    assert 'd=1: 6 frames, 6 with a known label' in out
    # A table of accuracies and one of costs a protocol, and the CNNs alone besides.
    assert len([line for line in out.splitlines() if line.startswith('again ')]) == 4
    assert 'the best single CNN, tiny@' in out
    assert out.endswith(f'report: {file} and {file.with_suffix(".html")}\n')
    findings = read_evaluation(file)
    assert findings.seed == 0 and {result.memory for result in findings.results} == {'off'}
    worse = tuple(replace(result, macs=1.06 * result.macs) for result in findings.results)
    write_evaluation(replace(findings, results=worse), after)
    compare = ['--compare', str(file), str(after)]
    assert evaluate.main(compare) == 1
    assert 'WORSE tiny, memory off, d=0: MACs went from' in capsys.readouterr().out
    assert evaluate.main([*compare, '--cost-tolerance', '0.1']) == 0
    assert evaluate.main([*compare, '--joules']) == 2
    assert 'no joules above idle were measured' in capsys.readouterr().err
    assert evaluate.main(['--compare', str(file), str(tmp_path / 'no.json')]) == 2


def test_errors_and_interruptions_are_a_line(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([*command, '--reference', 'x']) == 1
    assert "evaluate: --reference 'x' is none of the systems" in capsys.readouterr().err

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, 'evaluate', interrupt)
    assert evaluate.main(command) == 130
    assert 'the same command goes on from here' in capsys.readouterr().err


def test_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match='2'):
        evaluate.main(['--out', 'x'])
    assert 'needs DATA and one SYSTEM or more, or --compare' in capsys.readouterr().err
    with pytest.raises(SystemExit, match='2'):
        evaluate.main(['images', 'scenes', '--out', 'x', '--seed=-1'])
    assert 'argument --seed: must be at least 0, not -1' in capsys.readouterr().err
