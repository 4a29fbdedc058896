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

"""The bundle that a training writes, and the ONNX of every kind of network."""

import json

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('torchvision')
onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxscript')
pytest.importorskip('onnxruntime')

from dual_cnn_ros.bundle import TrainingRecord  # noqa: E402 - needs all of these
from dual_cnn_ros.cascade.frame import Frame, Preprocessing  # noqa: E402
from dual_cnn_ros.data.dataset import is_validation  # noqa: E402
from dual_cnn_ros.inference import load_model, ModelSource, networks  # noqa: E402
from dual_cnn_ros.training.export import OPSET, to_onnx  # noqa: E402

pytestmark = pytest.mark.slow


def test_the_bundle_has_one_stage_with_the_record_of_its_training(trained):
    metrics, bundle = trained
    (stage,) = bundle.stages
    assert bundle.name == 'net'
    assert bundle.labels == ('blue', 'green', 'red')
    assert stage.architecture == 'vgg9_gap_x0_25-s2'
    imagenet = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    assert stage.input == Preprocessing(16, 16, 'rgb', None, *imagenet)
    assert stage.training == TrainingRecord(
        metrics.options.data.name, None, 121, 0.25, 0, metrics.validation_accuracy
    )
    folded = networks.fuse(networks.build(stage.architecture, 3))
    assert metrics.parameters == networks.count_parameters(folded)
    assert stage.macs == metrics.macs == networks.count_macs(folded, (3, 16, 16))
    names = [f'{label}/{number:02}.png' for label in bundle.labels for number in range(40)]
    assert metrics.validation_images == sum(is_validation(name, 0.25, 0) for name in names)
    assert metrics.training_images == 120 - metrics.validation_images


def test_the_metrics_on_disk_tell_nothing_of_the_machines_folders(trained):
    metrics, bundle = trained
    text = (bundle.path / 'metrics.json').read_text()
    content = json.loads(text)
    assert content['skipped'] == ['red/bad.jpg']
    assert content['curve'][0]['validation_accuracy'] == metrics.validation_accuracy
    assert content['options']['augmentation']['light'] == 0
    assert set(content['versions']) == {'python', 'torch', 'numpy', 'opencv'}
    assert str(bundle.path.parent) not in text and str(metrics.options.data) not in text


def test_onnx_and_safetensors_answer_alike(trained):
    _, bundle = trained
    frame = Frame(np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8))
    (one,), (other,) = (bundle.load(backend, ('cpu',)) for backend in ('onnxruntime', 'torch'))
    np.testing.assert_allclose(one.predict(frame), other.predict(frame), atol=1e-4)


@pytest.mark.parametrize(
    'name',
    ['resnet20-s2', 'vgg9_gap_x0_25-s4', 'efficientnet_lite0', 'resnet18', 'mobilenet_v3_small'],
)
def test_every_kind_of_network_exports_to_plain_onnx(name, tmp_path):
    network = networks.build(name, 5).eval()
    content = to_onnx(networks.fuse(network), (3, 32, 48))
    model = onnx.load_from_string(content)
    assert model.ir_version <= 8
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [('', OPSET)]
    assert not {'BatchNormalization', 'Identity'} & {node.op_type for node in model.graph.node}
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    del model.graph.initializer[:]
    assert b'.py' not in model.SerializeToString()  # no file of the machine that exported it
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param  # any number of images
    (tmp_path / 'net.onnx').write_bytes(content)
    images = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(images).numpy()
    runnable = load_model(ModelSource({'onnx': tmp_path / 'net.onnx'}), 5, 3)
    atol = 1e-4 * max(1, np.abs(expected).max())
    np.testing.assert_allclose(runnable(images.numpy()), expected, atol=atol)
