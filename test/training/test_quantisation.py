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

"""The int8 version of a trained CNN."""

from dataclasses import replace
import json

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('torchvision')
onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxscript')
pytest.importorskip('onnxruntime')

from dual_cnn_ros.bundle import read_bundle  # noqa: E402 - needs all of these
from dual_cnn_ros.data.dataset import is_validation  # noqa: E402
from dual_cnn_ros.tools import quantise as command  # noqa: E402
from dual_cnn_ros.training import quantisation  # noqa: E402
from dual_cnn_ros.training.loop import train  # noqa: E402
from dual_cnn_ros.training.quantisation import QuantisationOptions, quantise  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def good(quick, tmp_path_factory):
    """Return the bundle of a CNN that has learned the colours."""
    out = tmp_path_factory.mktemp('good')
    train(quick(out, epochs=5))
    return read_bundle(out / 'net')


@pytest.fixture
def options(good, colours, tmp_path):
    return QuantisationOptions(str(good.path), colours, tmp_path / 'small', 'small', images=20)


def test_the_int8_version_is_another_stage_that_answers_alike(good, colours, tmp_path, capsys):
    arguments = [str(good.path), str(colours), '--images', '20', '--out', str(tmp_path / 'small')]
    assert command.main(arguments) == 0
    printed = capsys.readouterr().out
    assert 'float32' in printed and 'int8 takes ' in printed
    (stage,), (before,) = read_bundle(tmp_path / 'small').stages, good.stages
    assert (stage.precision, stage.title) == ('int8', 'vgg9_gap_x0_25-s2 int8')
    assert [*stage.files] == ['onnx'] and stage.source.is_int8 and not before.source.is_int8
    model = onnx.load(stage.files['onnx'].path)
    kinds = {node.op_type for node in model.graph.node}
    assert {'QuantizeLinear', 'DequantizeLinear'} <= kinds
    assert [opset.version for opset in model.opset_import if not opset.domain] == [15]
    # Its accuracy is on the images that `train` kept, and so is known of it.
    names = [f'{label}/{n:02}.png' for label in good.labels for n in range(40)]
    kept = [name for name in names if is_validation(name, 0.25, 0)]
    assert f'compared on {len(kept)} others' in printed
    assert stage.training.validation_accuracy > 0.9


def test_ranges_are_found_on_images_that_are_not_for_validation(options, monkeypatch):
    read = []
    plain = quantisation._read

    def spy(source, numbers, *rest):
        read.append({f.name for f in source.frames(set(numbers))})
        return plain(source, numbers, *rest)

    monkeypatch.setattr(quantisation, '_read', spy)
    findings = quantise(options)
    fitted, compared = read
    assert len(fitted) == findings.fitted == 20
    assert not any(is_validation(name, 0.25, 0) for name in fitted)
    assert all(is_validation(name, 0.25, 0) for name in compared)
    assert findings.agreement > 0.9 and findings.after.size < findings.before.size


def test_images_without_labels_do_too(options, colours, tmp_path, capsys):
    flat = tmp_path / 'flat'
    flat.mkdir()
    for i, file in enumerate(sorted(colours.glob('*/*.png'))):
        (flat / f'{i:03}.png').write_bytes(file.read_bytes())
    (flat / 'bad.jpg').write_bytes((colours / 'red/bad.jpg').read_bytes())
    findings = quantise(replace(options, data=flat, images=60))
    assert 'bad.jpg is left out' in capsys.readouterr().err
    assert (findings.fitted, findings.compared) == (60, 61)
    assert findings.before.accuracy is findings.after.accuracy is None
    assert findings.agreement > 0.9


def test_tensorrt_gets_signed_activations_around_zero(options):
    quantise(replace(options, target='tensorrt'))
    model = onnx.load(options.out / 'first.onnx')
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    zeros = [
        tensors[node.input[2]] for node in model.graph.node if node.op_type == 'QuantizeLinear'
    ]
    assert zeros and all(zero.dtype == np.int8 and not zero.any() for zero in zeros)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'out': None}, 'holds the CNN itself'),
        ({'stage': 'signs'}, 'only a bundle of one stage with an ONNX model in float32'),
        ({'split': 'test'}, "no split 'test'"),
    ],
)
def test_what_cannot_be_quantised_is_refused(options, good, change, words):
    change = {key: good.path if value is None else value for key, value in change.items()}
    with pytest.raises(ValueError, match=words):
        quantise(replace(options, **change))
    before = json.loads((good.path / 'metrics.json').read_text())
    assert before and read_bundle(good.path).stages[0].precision == 'float32'


def test_an_int8_cnn_is_not_quantised_again(options, tmp_path):
    quantise(options)
    with pytest.raises(ValueError, match='in float32'):
        quantise(replace(options, stage=str(options.out), out=tmp_path / 'again'))
