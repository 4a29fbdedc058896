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

"""calibrate: temperatures, rules against brute force, and a bundle of two CNNs trained here."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

pytest.importorskip('torch', reason='calibrate is tested on CNNs that torch trains')

from dual_cnn_ros import bundle as bundles
from dual_cnn_ros.cascade.cascade import Cascade
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.scores import SCORES, softmax
from dual_cnn_ros.tools import calibrate, train

RANDOM = np.random.default_rng(5)


def drawn(n: int, classes: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Return logits, and labels drawn from the softmax of the logits over `sharpness`."""
    z = RANDOM.normal(size=(n, classes)) * 3
    p = softmax(z)
    labels = np.array([RANDOM.choice(classes, p=row / row.sum()) for row in p.astype(float)])
    return (z * sharpness).astype(np.float32), labels


@pytest.mark.parametrize('sharpness', [0.5, 1.0, 3.0])
def test_temperature_undoes_a_scaling_of_the_logits(sharpness: float) -> None:
    logits, labels = drawn(4000, 5, sharpness)
    found = calibrate.temperature(logits, labels)
    assert found == pytest.approx(sharpness, rel=0.1)
    before = calibrate.expected_calibration_error(softmax(logits), labels)
    after = calibrate.expected_calibration_error(softmax(logits, found), labels)
    assert after < 0.03 and (after < before or sharpness == 1.0)


def test_calibration_error_of_a_known_case() -> None:
    p = np.array([[0.9, 0.1]] * 10, np.float32)
    labels = np.array([0] * 6 + [1] * 4)
    assert calibrate.expected_calibration_error(p, labels) == pytest.approx(0.3, abs=1e-6)


def test_rules_reach_what_the_cascade_itself_reaches() -> None:
    truth = RANDOM.integers(0, 3, 200)
    p = []
    for strength in (1.5, 2.0):
        z = RANDOM.normal(size=(200, 3))
        z[np.arange(200), truth] += strength
        p.append(softmax(z))
    found = calibrate.rules(p[0], p[1], truth)
    assert len(found) == 9
    assert [rule.accuracy for rule in found] == sorted((r.accuracy for r in found), reverse=True)
    for rule in found:
        right, asked = calibrate.evaluate(p[0], p[1], truth, rule)
        assert right.mean() == pytest.approx(rule.accuracy)
        assert asked.mean() == pytest.approx(rule.second_share)
        for threshold in np.linspace(0.01, 0.99, 50):
            other = rule._replace(threshold=float(threshold))
            assert calibrate.evaluate(p[0], p[1], truth, other)[0].mean() <= rule.accuracy + 1e-12
        assert SCORES[rule.score](p[0]).shape == (200,)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Return pictures, test pictures, and the folder of two CNNs trained on the former."""
    root = tmp_path_factory.mktemp('calibrate')
    random = np.random.default_rng(0)
    for split, count in (('pictures', 40), ('test', 10)):
        for channel, label in enumerate(('blue', 'green', 'red')):
            (root / split / label).mkdir(parents=True)
            for number in range(count):
                image = random.integers(0, 150, (20, 28, 3), np.uint8)
                image[..., channel] += 60
                cv2.imwrite(str(root / split / label / f'{split}{number}.png'), image)
    for name, model in (('a', 'vgg9_gap_x0_25-s2'), ('b', 'resnet20_x0_25-s2')):
        assert train.main([
            str(root / 'pictures'), '--model', model, '--input', '16', '--batch-size', '16',
            '--lr', '0.05', '--light', '0', '--saturate', '0', '--holdout', '0.4', '--epochs',
            '2', '--out', str(root / 'models'), '--name', name]) == 0
    return root


def test_makes_a_bundle_that_answers_as_the_metrics_say(folders) -> None:
    out = folders / 'bundle'
    assert calibrate.main([
        str(folders / 'pictures'), '--models', str(folders / 'models' / 'a.json'),
        str(folders / 'models' / 'b.json'), '--test', str(folders / 'test'), '--name', 'colours',
        '--out', str(out)]) == 0
    metrics = json.loads((out / 'metrics.json').read_text())
    bundle = bundles.read(out)
    assert bundle.labels == ('blue', 'green', 'red') and len(bundle.operating_points) == 9
    cascade = Cascade(bundle.load('onnxruntime'), bundle.settings)
    right, asked, count = 0, 0, 0
    for label in bundle.labels:
        for file in (folders / 'test' / label).iterdir():
            decision = cascade.classify(Frame(cv2.imread(str(file))))
            right += bundle.labels[decision.label] == label
            asked += 'second' in decision.scores
            count += 1
    assert metrics['test']['pictures'] == count == 30
    assert metrics['test']['pair']['accuracy'] == pytest.approx(right / count, abs=1e-4)
    assert metrics['test']['pair']['second_share'] == pytest.approx(asked / count, abs=1e-4)


def test_models_that_share_no_new_picture_are_refused(folders, tmp_path, capsys) -> None:
    other = json.loads((folders / 'models' / 'b.json').read_text())
    other['arguments']['seed'] = 7
    (folders / 'models' / 'c.json').write_text(json.dumps(other))
    assert calibrate.main([
        str(folders / 'pictures'), '--models', str(folders / 'models' / 'a.json'),
        str(folders / 'models' / 'c.json'), '--name', 'x', '--out', str(tmp_path / 'x')]) == 1
    assert '--seed' in capsys.readouterr().err
    assert not (tmp_path / 'x').exists()


def test_a_file_that_is_no_metrics_file_is_named(tmp_path, capsys) -> None:
    (tmp_path / 'a.json').write_text('{}')
    assert calibrate.main([str(tmp_path), '--models', str(tmp_path / 'a.json'),
                           str(tmp_path / 'a.json'), '--name', 'x', '--out', str(tmp_path)]) == 1
    assert 'a.json is no metrics file' in capsys.readouterr().err
