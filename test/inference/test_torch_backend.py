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
"""The torch backend: its three formats agree, and each says what is wrong with it."""

from __future__ import annotations

from pathlib import Path
import sys
from typing import Any

import numpy as np
import pytest
from tiny_bundle import save_model

from dual_cnn_ros.inference import (
    BACKENDS,
    InferenceError,
    load_model,
    ModelSource,
    PROVIDERS,
)

torch = pytest.importorskip('torch')
save_file = pytest.importorskip('safetensors.torch').save_file
models = pytest.importorskip('torchvision').models

# torch deprecates its own TorchScript, which robots with older ones still use.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings('ignore:.*torch.jit')]

CLASSES, SIZE = 7, 32


def network(name: str, channels: int = 3) -> Any:
    """Return a network whose every weight and statistic differs from its default."""
    from dual_cnn_ros.inference import networks

    torch.manual_seed(5)
    module = networks.build(name, CLASSES, channels).eval()
    for tensor in module.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5)
    return module


def blob(channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1, channels, SIZE, SIZE)).astype(np.float32)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Return the safetensors of a resnet20."""
    save_file(network('resnet20').state_dict(), tmp_path / 'net.safetensors')
    return tmp_path / 'net.safetensors'


@pytest.mark.parametrize(('name', 'channels'), [('resnet20', 3), ('vgg9_gap', 1)])
def test_formats_answer_as_the_network(tmp_path: Path, name: str, channels: int) -> None:
    module = network(name, channels)
    save_file(module.state_dict(), tmp_path / 'net.safetensors')
    trace = torch.jit.trace(module, torch.zeros(1, channels, SIZE, SIZE))
    trace.save(str(tmp_path / 'net.torchscript'))
    with torch.inference_mode():
        expected = module(torch.from_numpy(blob(channels))).numpy()
    assert np.ptp(expected) > 0.1  # a net that says something
    for kind in ('safetensors', 'torchscript'):
        source = ModelSource({kind: tmp_path / f'net.{kind}'}, name)
        logits = load_model(source, CLASSES, channels, 'torch', ('cpu',))(blob(channels))
        assert logits.dtype == np.float32 and logits.shape == (1, CLASSES)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-3, err_msg=kind)


def test_auto_falls_back_on_torch_where_onnxruntime_is_missing(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = weights.with_name('net.onnx')
    save_model(onnx, classes=CLASSES, size=SIZE, gain=1.0)
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    monkeypatch.delitem(sys.modules, BACKENDS['onnxruntime'], raising=False)
    source = ModelSource({'onnx': onnx, 'safetensors': weights}, 'resnet20')
    assert load_model(source, CLASSES, 3).runs_on == 'torch cpu'
    with pytest.raises(InferenceError, match='onnxruntime: .*; torch: it reads torchscript, safe'):
        load_model(ModelSource({'onnx': onnx}), CLASSES, 3)


def test_a_library_that_the_backend_needs_besides_is_named(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'safetensors', None)
    with pytest.raises(InferenceError, match='pip install safetensors'):
        load_model(ModelSource({'safetensors': weights}, 'resnet20'), CLASSES, 3, 'torch')


def test_torch_without_a_gpu(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ModelSource({'safetensors': weights}, 'resnet20')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    one, other = (load_model(source, CLASSES, 3, 'torch', p) for p in (PROVIDERS, ('cpu',)))
    assert one.runs_on == 'torch cpu'
    np.testing.assert_array_equal(one(blob()), other(blob()))
    with pytest.raises(InferenceError, match='has none of tensorrt, cuda, only cpu; add cpu'):
        load_model(source, CLASSES, 3, 'torch', ('tensorrt', 'cuda'))


def test_torch_uses_as_many_threads_as_it_is_told(weights: Path) -> None:
    source = ModelSource({'safetensors': weights}, 'resnet20')
    before = torch.get_num_threads()
    try:
        for threads in (2, 1, 0):
            load_model(source, CLASSES, 3, 'torch', threads=threads)
            assert torch.get_num_threads() == max(threads, 1)  # 0 leaves it
    finally:
        torch.set_num_threads(before)


def test_a_module_that_works_in_place_does_not_spoil_the_shared_input(tmp_path: Path) -> None:
    layers = torch.nn.ReLU(inplace=True), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    torch.jit.script(torch.nn.Sequential(*layers)).save(str(tmp_path / 'net.torchscript'))
    source = ModelSource({'torchscript': tmp_path / 'net.torchscript'})
    model = load_model(source, 3, 3, 'torch', ('cpu',))
    image = blob()
    model(image)
    np.testing.assert_array_equal(image, blob())


@pytest.mark.parametrize(('kind', 'called'), [('safetensors', 'file'), ('torchscript', 'model')])
@pytest.mark.parametrize('content', [b'', b'no model', bytes(1000)])
def test_what_is_no_model_is_refused(
    tmp_path: Path, content: bytes, kind: str, called: str
) -> None:
    path = tmp_path / f'net.{kind}'
    path.write_bytes(content)
    with pytest.raises(InferenceError, match=rf'(?i)net\.{kind} is no {kind} {called}'):
        load_model(ModelSource({kind: path}, 'resnet20'), 3, 3, 'torch')


@pytest.mark.parametrize(
    ('architecture', 'classes', 'channels', 'message'),
    [
        (None, CLASSES, 3, r'net\.safetensors needs the field "architecture" beside it'),
        ('resnet21', CLASSES, 3, 'does not fit architecture resnet21'),
        ('vgg9_gap', CLASSES, 3, 'does not fit architecture vgg9_gap'),
        ('resnet20', CLASSES + 1, 3, 'does not fit architecture resnet20 with 8 classes'),
        ('resnet20', CLASSES, 1, 'and 1 channels'),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    weights: Path, architecture: str | None, classes: int, channels: int, message: str
) -> None:
    with pytest.raises(InferenceError, match=message):
        load_model(ModelSource({'safetensors': weights}, architecture), classes, channels, 'torch')


@pytest.mark.parametrize('name', ['ResNet18_Weights.NONE', 'Nothing_Weights.DEFAULT', 'resnet18'])
def test_weights_that_torchvision_does_not_have_are_refused(name: str) -> None:
    with pytest.raises(InferenceError, match='torchvision has no weights named'):
        load_model(ModelSource({}, torchvision=name), 1000, 3, 'torch')


def test_a_download_that_was_changed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    (tmp_path / 'checkpoints' / 'resnet18-f37072fd.pth').write_bytes(b'other weights')
    with pytest.raises(InferenceError, match=r'resnet18-f37072fd\.pth is not what torchvision'):
        load_model(ModelSource({}, torchvision='ResNet18_Weights.IMAGENET1K_V1'), 1000, 3, 'torch')


def test_weights_that_cannot_be_downloaded_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise OSError('name resolution failed')

    monkeypatch.setattr(models, 'get_model', offline)
    with pytest.raises(InferenceError, match='name resolution failed.*export the model to ONNX'):
        load_model(ModelSource({}, torchvision='ResNet18_Weights.IMAGENET1K_V1'), 1000, 3, 'torch')
