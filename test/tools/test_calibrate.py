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

"""pair and calibrate from end to end, on CNNs that answer by the colour of an image."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path

import cv2
import pytest
from tiny_pool import LABELS, make_pictures, make_trained

from dual_cnn_ros.bundle import Bundle, read_bundle
from dual_cnn_ros.calibration.findings import CalibrationFindings
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.data.dataset import is_validation
from dual_cnn_ros.records import from_plain
from dual_cnn_ros.tools import calibrate, pair

IMAGES = 40


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with images to calibrate on, test images, and three trained CNNs."""
    root = tmp_path_factory.mktemp('calibrate')
    make_pictures(root / 'images', IMAGES)
    make_pictures(root / 'test', 10, seed=1)
    for name, gain, macs in (('small', 2.0, 5), ('large', 20.0, 50), ('other', 9.0, 20)):
        make_trained(root, name, gain, macs=macs, images=3 * IMAGES)
    return root


def run(root: Path, out: Path, *options: str) -> int:
    stages = [str(root / name) + '/' for name in ('small', 'large')]
    arguments = [str(root / 'images'), *stages, '--name', 'colours', '--out', str(out)]
    return calibrate.main([*arguments, *options])


def test_a_bundle_is_made_with_the_evidence_beside_it(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'bundle'
    assert run(root, out, '--test', str(root / 'test'), '--alpha', '0.2') == 0
    bundle = read_bundle(out)
    assert (bundle.name, bundle.labels) == ('colours', LABELS)
    assert [stage.name for stage in bundle.stages] == ['first', 'second']
    assert [stage.macs for stage in bundle.stages] == [5, 50]
    assert all(stage.training and stage.cpu_seconds for stage in bundle.stages)
    assert 1 <= len(bundle.operating_points) <= 8
    assert all(point.use for point in bundle.operating_points)
    certified = [point for point in bundle.operating_points if point.certificate]
    assert certified and certified[0].certificate.alpha == 0.2

    found = from_plain(CalibrationFindings, json.loads((out / 'metrics.json').read_text()))
    names = [f'{label}/{n:02}.png' for label in LABELS for n in range(IMAGES)]
    validation = [name for name in names if is_validation(name, 0.5, 3)]
    assert found.fit_images + found.certification_images == len(validation)
    assert found.test is not None and found.test.images == 30
    assert set(found.test.operating_points) == set(bundle.rules)

    # What was judged is what the bundle does.
    cascade = bundle.cascade()
    cascade.settings = replace(cascade.settings, memory=False)
    images = sorted((root / 'test').glob('*/*.png'))
    decisions = [cascade.classify(Frame(cv2.imread(str(file)))) for file in images]
    right = [LABELS[d.label] == file.parent.name for d, file in zip(decisions, images)]
    assert found.test.cascade.accuracy == pytest.approx(sum(right) / 30, abs=1e-4)
    deferred = sum(decision.source == 'second' for decision in decisions) / 30
    assert found.test.cascade.deferral_rate == pytest.approx(deferred, abs=1e-4)

    printed = capsys.readouterr().out
    assert 'bundle colours: tiny then tiny' in printed and 'Test, 30 images of test' in printed
    assert all(point.name in printed for point in bundle.operating_points)
    assert cv2.imread(str(out / 'reliability.png')) is not None


def test_options_decide_the_rule_and_the_reference(root: Path, tmp_path: Path) -> None:
    options = ('--score', 'entropy', '--post-check', 'average', '--accuracy', '0.5')
    reference = ('--reference', f'{root / "other"}/', '--alpha', '0.3')
    assert run(root, tmp_path / 'bundle', *options, *reference) == 0
    bundle = Bundle.open(f'{tmp_path / "bundle"}/')
    assert bundle.rule.criteria[0].score == 'entropy' and bundle.post_check == 'average'
    references = {p.certificate.reference for p in bundle.operating_points if p.certificate}
    assert references <= {'other'}


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (('--test', 'images'), 'is what the CNNs were trained on, not a test'),
        (('--exclude', 'nowhere.txt'), 'nowhere.txt'),
        (('--reference', 'nowhere/'), 'bundle.yaml: not found'),
        (('--fit', '0.999999'), 'images'),
    ],
)
def test_what_cannot_be_calibrated_is_named_and_leaves_nothing(
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(root)
    assert run(root, tmp_path / 'bundle', *options) == 1
    errors = capsys.readouterr().err
    assert errors.startswith('calibrate: ') and words in errors
    assert not (tmp_path / 'bundle').exists()


def test_pair_recommends_and_writes_what_it_found(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = [f'{root / name}/' for name in ('small', 'large', 'other')]
    options = ('--out', str(tmp_path / 'pair'), '--cost', 'macs')
    assert pair.main([str(root / 'images'), *pool, *options]) == 0
    printed = capsys.readouterr().out
    assert 'best single CNN' in printed and 'complementarity in %' in printed
    assert cv2.imread(str(tmp_path / 'pair' / 'complementarity.png')) is not None
    assert pair.main([str(root / 'images'), pool[0], *options]) == 1
    assert 'one CNN has nothing to complement' in capsys.readouterr().err
