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

"""calibrate: from one-stage bundles and images to a bundle, and to what it is worth."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_pool import LABELS, make_blotches, make_trained

from dual_cnn_ros.bundle import Bundle, read_bundle, write_bundle
from dual_cnn_ros.calibration import guarantee, procedure
from dual_cnn_ros.calibration.findings import CalibrationFindings
from dual_cnn_ros.calibration.guarantee import certified_steps
from dual_cnn_ros.calibration.predictions import Predictions
from dual_cnn_ros.calibration.rules import CandidateRule
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.scores import SCORES
from dual_cnn_ros.cascade.settings import ALWAYS_DEFER, POST_CHECKS, Rule, Settings
from dual_cnn_ros.records import from_plain
from dual_cnn_ros.tools import calibrate


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Return a folder of images, test images, and CNNs of which the cheaper sees the centre."""
    root = tmp_path_factory.mktemp('calibrate')
    make_blotches(root / 'images', 80, 0)
    make_blotches(root / 'test', 20, 1)
    for name, crop, macs in (('a', 0.5, 10), ('b', 1.0, 90), ('strong', 1.0, 900)):
        path = make_trained(root, name, 20.0, images=240, macs=macs)
        bundle = read_bundle(path)
        stage = replace(bundle.stages[0], input=replace(bundle.stages[0].input, crop=crop))
        write_bundle(replace(bundle, stages=(stage,)))
        (path / 'metrics.json').write_text(json.dumps({'parameters': macs, 'curve': []}))
    return root


def run(folder: Path, out: Path, *options: str) -> int:
    stages = [str(folder / name) for name in 'ab']
    arguments = [str(folder / 'images'), *stages, '--name', 'colours', '--out', str(out)]
    return calibrate.main([*arguments, *options])


@pytest.fixture(scope='module')
def made(folder: Path) -> Path:
    """Return the folder of a bundle, with a generous certificate."""
    out = folder / 'bundle'
    assert (
        run(folder, out, '--test', str(folder / 'test'), '--alpha', '0.1', '--delta', '0.1') == 0
    )
    return out


def findings_of(bundle: Path) -> CalibrationFindings:
    return from_plain(CalibrationFindings, json.loads((bundle / 'metrics.json').read_text()))


def outcome(bundle: Bundle, rule: Rule, images: Path) -> tuple[float, list[float]]:
    """Return the accuracy and the deferral rates of the cascade itself."""
    cascade = bundle.cascade('onnxruntime', ('cpu',))
    cascade.settings = Settings(rule, memory=False)
    names = [stage.name for stage in bundle.stages]
    found = [
        (bundle.labels[decision.label] == file.parent.name, names.index(decision.source))
        for file in sorted(images.glob('*/*.png'))
        for decision in [cascade.classify(Frame(cv2.imread(str(file))))]
    ]
    right, passed = np.array(found).T
    return right.mean(), [np.mean(passed > stage) for stage in range(len(names) - 1)]


def test_the_bundle_does_what_its_metrics_say(folder: Path, made: Path) -> None:
    bundle, test = read_bundle(made), findings_of(made).test
    assert (bundle.labels, test.images, test.source) == (LABELS, 60, 'test')
    judged = [(bundle.rule, test.cascade)]
    for point in bundle.operating_points:
        judged.append((point.rule, test.operating_points[point.name]))
        assert (test.operating_points[point.name].loss is None) == (point.certificate is None)
    for rule, stated in judged:
        accuracy, rates = outcome(bundle, rule, folder / 'test')
        assert stated.accuracy == pytest.approx(accuracy, abs=1e-5)
        assert stated.deferral_rates == pytest.approx(rates, abs=1e-5)
        assert stated.macs == pytest.approx(10 + 90 * rates[0], abs=1)
        assert stated.interval[0] < stated.accuracy < stated.interval[1]
    for stage in bundle.stages:
        single = bundle.alone(stage)
        alone = outcome(single, single.rule, folder / 'test')[0]
        assert test.stages[stage.name].accuracy == pytest.approx(alone, abs=1e-5)
    certificates = [p.certificate for p in bundle.operating_points if p.certificate]
    assert {(c.alpha, c.delta, c.images) for c in certificates} == {
        (0.1, 0.1, findings_of(made).certification_images)
    }
    assert test.stages['first'].accuracy < test.stages['second'].accuracy < test.any_right


def test_stages_come_over_whole(folder: Path, made: Path) -> None:
    for stage, name in zip(read_bundle(made).stages, 'ab'):
        (trained,) = read_bundle(folder / name).stages
        copy = stage.files['onnx'].path
        assert copy == made / f'{stage.name}.onnx'
        assert copy.read_bytes() == trained.files['onnx'].path.read_bytes()
        assert (stage.input, stage.macs, stage.training) == (
            trained.input,
            trained.macs,
            trained.training,
        )
        assert stage.cpu_seconds > 0 and stage.temperature != 1
    findings = findings_of(made)
    assert findings.training == {'first': {'parameters': 10}, 'second': {'parameters': 90}}


def test_metrics_hold_every_rule(made: Path) -> None:
    bundle, findings = read_bundle(made), findings_of(made)
    rule, (criterion,) = findings.rule, bundle.rule.criteria
    assert (rule.score, rule.outcome.thresholds, rule.post_check) == (
        criterion.score,
        (criterion.threshold,),
        bundle.post_check,
    )
    combinations = [(score, check) for score in SCORES for check in POST_CHECKS]
    assert [(at.score, at.post_check) for at in findings.at_equal_cost] == combinations
    for at in findings.at_equal_cost:
        assert at.outcome.cost <= rule.outcome.cost
    assert rule in findings.at_equal_cost
    for stage, found in zip(bundle.stages, findings.calibration.values()):
        assert found.temperature == stage.temperature
        assert sum(entry.count for entry in found.after.bins) == findings.certification_images
    lines = (made / 'metrics.json').read_text().splitlines()
    assert len(lines) < 1000 and max(map(len, lines)) > 100, 'a list of numbers is a line'


def test_the_report_is_tables_and_a_diagram(folder: Path, tmp_path, capsys) -> None:
    options = ['--report', str(tmp_path / 'report'), '--test', str(folder / 'test')]
    assert run(folder, tmp_path / 'x', *options) == 0
    printed = capsys.readouterr().out
    bundle, findings = read_bundle(tmp_path / 'x'), findings_of(tmp_path / 'x')
    first = findings.calibration['first']
    for words in (
        'bundle colours: tiny then tiny',
        f'{first.temperature:.3f}',
        f'{first.after.error:.2%}',
        f'The bundle uses {findings.rule.score} >= {findings.rule.outcome.thresholds[0]:.4f}',
        'Test, 60 images of test: first ',
        *(f'\n{point.name}: {point.use}' for point in bundle.operating_points),
        *(f'{at.outcome.accuracy:.2%}' for at in findings.at_equal_cost),
    ):
        assert words in printed
    assert cv2.imread(str(tmp_path / 'report' / 'reliability.png')) is not None
    assert not (tmp_path / 'x' / 'reliability.png').exists()


@pytest.mark.parametrize('check', POST_CHECKS)
def test_what_cannot_be_shown_is_not_claimed(folder: Path, tmp_path, capsys, check) -> None:
    """Some sixty images cannot show a loss of less than one percent."""
    assert run(folder, tmp_path / 'x', '--post-check', check, '--score', 'entropy') == 0
    bundle = read_bundle(tmp_path / 'x')
    assert bundle.rule.criteria[0].score == 'entropy' and bundle.post_check == check
    certified = [point for point in bundle.operating_points if point.certificate]
    assert {point.criteria[0].threshold for point in certified} <= {ALWAYS_DEFER}
    printed = capsys.readouterr().out
    assert ('NOTHING IS CERTIFIED' in printed) == (not certified)
    assert (
        'no threshold was shown to keep the promise (loses at most 1 % of accuracy against '
    ) in printed
    assert (
        'It takes 302 independent images or scenes at least; there were '
        f'{findings_of(tmp_path / "x").certification_images}.'
    ) in printed
    assert f'{check}, as asked for.' in printed and 'chosen on' not in printed
    assert findings_of(tmp_path / 'x').test is None


def test_what_was_not_asked_for_is_said_to_be_chosen(folder: Path, tmp_path, capsys) -> None:
    assert run(folder, tmp_path / 'x', '--post-check', 'average') == 0
    assert ', average: score chosen on the images to fit on.' in capsys.readouterr().out


def test_a_dear_first_cnn_is_warned_of(folder: Path, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(procedure, 'measure_cpu_seconds', lambda _: (0.002, 0.001))
    assert run(folder, tmp_path / 'x') == 0
    assert 'WARNING: CNN first takes 2 ms, more than CNN second with 1 ms' in (
        capsys.readouterr().out
    )


def test_a_cascade_that_saves_nothing_is_warned_of(
    folder: Path, tmp_path, capsys, monkeypatch
) -> None:
    for seconds, is_warned in (((0.0009, 0.001), True), ((0.00001, 0.001), False)):
        monkeypatch.setattr(procedure, 'measure_cpu_seconds', lambda _, s=seconds: s)
        assert run(folder, tmp_path / 'x', '--post-check', 'none') == 0
        (deferred,) = findings_of(tmp_path / 'x').rule.outcome.deferral_rates
        assert 0.1 < deferred < 0.99
        printed = capsys.readouterr().out
        assert ('WARNING: with ' in printed) == is_warned


def test_the_certificate_is_against_the_best_of_all_that_is_always_asked(
    folder: Path, tmp_path
) -> None:
    """The second CNN alone is better than both by average, which therefore loses something."""
    options = ['--post-check', 'average', '--delta', '0.5', '--test', str(folder / 'test')]
    assert run(folder, tmp_path / 'x', *options, '--alpha', '0.3') == 0
    bundle, test = read_bundle(tmp_path / 'x'), findings_of(tmp_path / 'x').test
    points = [point for point in bundle.operating_points if point.certificate]
    assert points
    for point in points:
        judged = test.operating_points[point.name]
        assert point.certificate.reference == 'second alone'
        best = test.stages['second'].accuracy
        assert judged.loss == pytest.approx(best - judged.accuracy, abs=1e-4)


def test_a_strong_cnn_is_named_in_the_certificate_or_nothing_is_certified(
    folder: Path, tmp_path, capsys
) -> None:
    reference = ['--reference', str(folder / 'strong'), '--alpha']
    assert run(folder, tmp_path / 'x', *reference, '0.3') == 0
    points = read_bundle(tmp_path / 'x').operating_points
    assert {p.certificate.reference for p in points if p.certificate} == {'strong'}
    capsys.readouterr()
    assert run(folder, tmp_path / 'y', *reference, '0.001') == 0
    assert not any(p.certificate for p in read_bundle(tmp_path / 'y').operating_points)
    assert 'NOTHING IS CERTIFIED' in capsys.readouterr().out


@pytest.mark.parametrize('stages', ['b', 'ab', 'acb', 'dacb'])
def test_any_number_of_stages_makes_a_bundle_that_does_what_it_says(
    folder: Path, tmp_path: Path, stages: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, crop in (('c', 0.75), ('d', 0.4)):
        if not (folder / name).exists():
            path = make_trained(folder, name, 20.0, images=240, macs=30)
            bundle = read_bundle(path)
            stage = replace(bundle.stages[0], input=replace(bundle.stages[0].input, crop=crop))
            write_bundle(replace(bundle, stages=(stage,)))
    test = ['--test', str(folder / 'test'), '--alpha', '0.3', '--delta', '0.3', '--cost', 'macs']
    names = [str(folder / name) for name in stages]
    out = tmp_path / 'x'
    arguments = [str(folder / 'images'), *names, *test, '--out', str(out)]
    assert calibrate.main([*arguments, '--score', 'difference', '--post-check', 'average']) == 0
    bundle, findings = read_bundle(out), findings_of(out)
    assert [stage.name for stage in bundle.stages] == list(procedure.STAGES[: len(stages)])
    judged = [(bundle.rule, findings.test.cascade)]
    judged += [(p.rule, findings.test.operating_points[p.name]) for p in bundle.operating_points]
    for rule, stated in judged:
        accuracy, rates = outcome(bundle, rule, folder / 'test')
        assert (stated.accuracy, *stated.deferral_rates) == pytest.approx(
            (accuracy, *rates), abs=1e-5
        )
        macs = [stage.macs for stage in bundle.stages]
        assert stated.macs == pytest.approx(macs[0] + np.dot(rates, macs[1:]), abs=1)
    costs = [point.macs for point in bundle.operating_points]
    assert costs == sorted(costs) and (len(costs) > 1) == (len(stages) > 1)
    assert any(point.certificate for point in bundle.operating_points) == (len(stages) > 1)
    printed = capsys.readouterr().out
    assert f'bundle x: {" then ".join(["tiny"] * len(stages))}' in printed
    assert ('operating point' in printed) == (len(stages) > 1)


@pytest.mark.parametrize('check', [None, 'average'])
def test_a_learned_score_is_stored_and_does_what_it_says(
    folder: Path, tmp_path: Path, check: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ['--score', 'selector', '--price', '0.1', '--test', str(folder / 'test')]
    options += ['--post-check', check] if check else []
    assert run(folder, tmp_path / 'x', *options) == 0
    bundle, findings = read_bundle(tmp_path / 'x'), findings_of(tmp_path / 'x')
    first, last = bundle.stages
    assert first.selector is not None and last.selector is None
    assert first.criterion.score == findings.rule.score == 'selector'
    judged = [(bundle.rule, findings.test.cascade)]
    judged += [(p.rule, findings.test.operating_points[p.name]) for p in bundle.operating_points]
    for rule, stated in judged:
        accuracy, rates = outcome(bundle, rule, folder / 'test')
        assert (stated.accuracy, *stated.deferral_rates) == pytest.approx(
            (accuracy, *rates), abs=1e-5
        )
    assert 'selector' in capsys.readouterr().out


def test_labels_of_certification_images_choose_no_rule_and_no_path(
    folder: Path, tmp_path, monkeypatch
) -> None:
    seen: list[Any] = []

    def spy(rule: CandidateRule, path: Any, *rest: Any) -> Any:
        seen.append((rule.scores[0].tolist(), path.tolist(), rule.right[0].tolist()))
        return certified_steps(rule, path, *rest)

    monkeypatch.setattr(guarantee, 'certified_steps', spy)
    assert run(folder, tmp_path / 'x') == 0
    divide = procedure.divide

    def mislabelled(*arguments: Any) -> tuple[Predictions, Predictions]:
        fit, rest = divide(*arguments)
        return fit, replace(rest, labels=(rest.labels + 1) % 3)

    monkeypatch.setattr(procedure, 'divide', mislabelled)
    assert run(folder, tmp_path / 'y') == 0
    (scores, path, right), (others, path_too, wrong) = seen[0], seen[-1]
    assert scores == others and path == path_too and right != wrong
    x, y = (read_bundle(tmp_path / name) for name in 'xy')
    assert [s.temperature for s in x.stages] == [s.temperature for s in y.stages]
    assert x.post_check == y.post_check
    assert x.rule.criteria[0].score == y.rule.criteria[0].score


def test_stated_accuracy_is_reached_as_cheaply_as_can_be(
    folder: Path, tmp_path, made, capsys
) -> None:
    assert run(folder, tmp_path / 'x', '--accuracy', '0.5') == 0
    bundle = read_bundle(tmp_path / 'x')
    best = findings_of(made).rule
    rule = findings_of(tmp_path / 'x').rule
    assert rule.outcome.accuracy >= 0.5
    assert rule.outcome.deferral_rates <= best.outcome.deferral_rates
    assert any(
        p.name == 'stated_accuracy' or 'stated_acc' in p.use for p in bundle.operating_points
    )
    assert run(folder, tmp_path / 'y', '--accuracy', '0.999') == 1
    assert 'no threshold reaches an accuracy of 0.999' in capsys.readouterr().err
    assert not (tmp_path / 'y').exists()


def test_what_cannot_be_used_is_named_before_anything_is_written(
    folder: Path, tmp_path, capsys
) -> None:
    for options, words in (
        (['--test', str(folder / 'images')], 'is what the CNNs were trained on, not a test'),
        (['--test', str(tmp_path / 'nowhere')], 'nowhere'),
        (['--fit', '0.0001'], 'leaves 0 to choose with'),
    ):
        assert run(folder, tmp_path / 'x', *options) == 1
        assert words in capsys.readouterr().err
        assert not (tmp_path / 'x').exists()
    before = (folder / 'a' / 'bundle.yaml').read_bytes()
    assert run(folder, folder / 'a') == 1
    assert 'holds one of the stages' in capsys.readouterr().err
    assert (folder / 'a' / 'bundle.yaml').read_bytes() == before
