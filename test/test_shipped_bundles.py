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

import json

import numpy as np
import pytest

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.cascade.frame import Frame

BYTES = {'scenes': 8e6, 'signs': 4e6}


@pytest.fixture(params=BYTES)
def bundle(request: pytest.FixtureRequest) -> Bundle:
    return Bundle.open(request.param)


def test_models_are_small_and_different(bundle: Bundle) -> None:
    files = [file.path for stage in bundle.stages for file in stage.files.values()]
    assert sum(path.stat().st_size for path in files) <= BYTES[bundle.name]
    first, second = bundle.stages
    assert first.architecture != second.architecture
    assert set(first.files) == set(second.files) == {'onnx', 'safetensors'}


def test_evidence_is_of_these_models_and_the_pair_beats_both(bundle: Bundle) -> None:
    metrics = json.loads((bundle.path / 'metrics.json').read_text())
    test = metrics['test']
    # Of `signs`, the stages stand beside the cascade.
    judged = test.get('stages', test)
    best = max(judged[stage.name]['accuracy'] for stage in bundle.stages)
    assert test['cascade']['accuracy'] > best
    assert metrics['rule']['threshold'] == bundle.rule.criteria[0].threshold
    for stage in bundle.stages:
        assert metrics['training'][stage.name]['architecture'] == stage.architecture


@pytest.mark.slow
def test_backends_agree(bundle: Bundle) -> None:
    pytest.importorskip('torch', reason='one of the two backends')
    random = np.random.default_rng(3)
    stages = list(zip(bundle.load('onnxruntime', 'cpu'), bundle.load('torch', 'cpu')))
    for i in range(20):
        # Blobs of colour of many sizes, so that the classes differ.
        coarse = random.integers(0, 256, (3 + i, 4 + i, 3), dtype=np.uint8)
        frame = Frame(np.ascontiguousarray(coarse.repeat(12, axis=0).repeat(12, axis=1)))
        for one, other in stages:
            assert np.abs(one.predict(frame) - other.predict(frame)).max() < 1e-4
