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

"""The bundles that ship: sizes, evidence, and backends that agree."""

from __future__ import annotations

from itertools import pairwise
import json
from pathlib import Path

import numpy as np
import pytest

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.calibration.findings import CalibrationFindings
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.records import from_plain

ROOT = Path(__file__).resolve().parents[1]
BYTES = {'scenes': 8e6, 'signs': 4e6}


@pytest.fixture(params=BYTES)
def bundle(request: pytest.FixtureRequest) -> Bundle:
    return Bundle.open(request.param)


def test_models_are_small_and_different(bundle: Bundle) -> None:
    files = [file.path for stage in bundle.stages for file in stage.files.values()]
    assert sum(path.stat().st_size for path in files) <= BYTES[bundle.name]
    first, second = bundle.stages
    assert first.architecture != second.architecture
    formats = {'onnx'} if first.precision == 'int8' else {'onnx', 'safetensors'}
    assert set(first.files) == set(second.files) == formats


def test_evidence_is_of_these_models_and_the_cascade_beats_both(bundle: Bundle) -> None:
    metrics = json.loads((bundle.path / 'metrics.json').read_text())
    findings = from_plain(CalibrationFindings, metrics)
    (criterion,) = bundle.rule.criteria
    assert (findings.rule.score, findings.rule.outcome.thresholds, findings.rule.post_check) == (
        criterion.score,
        (criterion.threshold,),
        bundle.post_check,
    )
    assert findings.test is not None
    assert findings.test.cascade.accuracy > max(
        findings.test.stages[stage.name].accuracy for stage in bundle.stages
    )
    for stage in bundle.stages:
        assert stage.training is not None and stage.training.validation == 0.15
        assert findings.training[stage.name]['options']['model'] == stage.architecture
    assert set(findings.test.operating_points) == set(bundle.rules)


def test_operating_points_say_when_to_choose_them_and_none_is_dominated(bundle: Bundle) -> None:
    points = bundle.operating_points
    assert all(point.use and point.post_check == bundle.post_check for point in points)
    assert all(
        cheap.macs < dear.macs and cheap.accuracy < dear.accuracy
        for cheap, dear in pairwise([point for point in points if not point.certificate])
    )
    if points:
        certificates = {point.name: point.certificate for point in points if point.certificate}
        assert {name: c.method for name, c in certificates.items()} == {
            'certified': 'betting',
            'certified_harm': 'binomial',
        }


def test_weights_that_are_not_ours_alone_say_where_they_come_from(bundle: Bundle) -> None:
    for stage in bundle.stages:
        if stage.architecture.startswith('efficientnet'):
            assert 'Google, Apache-2.0' in stage.origin
            assert f'config/bundles/{bundle.name}' in (ROOT / 'NOTICE').read_text()
        else:
            assert stage.origin == ''


@pytest.mark.slow
def test_backends_agree() -> None:
    pytest.importorskip('torch', reason='one of the two backends')
    bundle = Bundle.open('signs')
    random = np.random.default_rng(3)
    stages = list(zip(bundle.load('onnxruntime', ('cpu',)), bundle.load('torch', ('cpu',))))
    for i in range(20):
        # Blobs of colour of many sizes, so that the classes differ.
        coarse = random.integers(0, 256, (3 + i, 4 + i, 3), dtype=np.uint8)
        frame = Frame(np.ascontiguousarray(coarse.repeat(12, axis=0).repeat(12, axis=1)))
        for one, other in stages:
            assert np.abs(one.predict(frame) - other.predict(frame)).max() < 1e-4
