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

"""Backends: which one is chosen, what they say when they cannot, and that they agree."""

from __future__ import annotations

from pathlib import Path
import sys
from typing import Any

import numpy as np
import pytest
from tiny_bundle import save_model

from dual_cnn_ros.cascade.frame import Preprocessing
from dual_cnn_ros.cascade.scores import softmax
from dual_cnn_ros.inference import BACKENDS, DEVICES, InferenceError, load_model, ModelSource

# torch deprecates its own TorchScript, which robots with older ones still use.
pytestmark = pytest.mark.filterwarnings('error', 'ignore:.*torch.jit')

CLASSES, SIZE = 7, 32


@pytest.fixture
def torch() -> Any:
    """Return torch, or skip where it is not installed."""
    return pytest.importorskip('torch', reason='torch is not installed')


@pytest.fixture
def tiny(tmp_path: Path) -> ModelSource:
    """Return an ONNX model of three classes for 16 x 16 pixels."""
    save_model(tmp_path / 'tiny.onnx', classes=3, size=16, gain=2.0)
    return ModelSource({'onnx': tmp_path / 'tiny.onnx'})


def blob(channels: int = 3, size: int = SIZE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1, channels, size, size)).astype(np.float32)


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Make modules look as if they were not installed."""
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    for backend in BACKENDS.values():
        monkeypatch.delitem(sys.modules, backend, raising=False)


def network(torch: Any, name: str, channels: int = 3) -> Any:
    """Return a network whose every weight and statistic differs from its default."""
    from dual_cnn_ros.inference import networks

    torch.manual_seed(5)
    module = networks.build(name, CLASSES, channels).eval()
    for tensor in module.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5)
    return module


# Which backend -----------------------------------------------------------------------------------


def test_auto_takes_the_first_backend_that_can(tiny: ModelSource) -> None:
    name, model = load_model(tiny, 3, 3)
    assert name == next(iter(BACKENDS)) == 'onnxruntime'
    image = blob(size=16)
    logits = model(image)
    assert logits.dtype == np.float32 and logits.shape == (3,)
    np.testing.assert_allclose(logits, 2 * image[0].mean(axis=(1, 2)), atol=1e-5)


def test_auto_falls_back_where_the_first_is_missing(
    torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save_file

    save_file(network(torch, 'resnet20').state_dict(), tmp_path / 'net.safetensors')
    save_model(tmp_path / 'net.onnx', classes=CLASSES, size=SIZE, gain=1.0)
    source = ModelSource(
        {'onnx': tmp_path / 'net.onnx', 'safetensors': tmp_path / 'net.safetensors'}, 'resnet20'
    )
    assert load_model(source, CLASSES, 3)[0] == 'onnxruntime'
    without(monkeypatch, 'onnxruntime')
    assert load_model(source, CLASSES, 3)[0] == 'torch'


def test_each_missing_library_is_named_with_its_cure(
    tiny: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, 'onnxruntime', 'torch')
    with pytest.raises(InferenceError) as caught:
        load_model(tiny, 3, 3)
    for library in ('onnxruntime', 'torch'):
        assert f'{library}: ' in str(caught.value)
        assert f'pip install {library}"' in str(caught.value)


def test_a_library_that_a_backend_needs_besides_is_named(
    torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, 'safetensors')
    source = ModelSource({'safetensors': tmp_path / 'net.safetensors'}, 'resnet20')
    with pytest.raises(InferenceError, match='pip install safetensors"'):
        load_model(source, 3, 3, 'torch')


def test_a_backend_that_is_asked_for_is_the_only_one_tried(
    tiny: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, 'onnxruntime')
    with pytest.raises(InferenceError) as caught:
        load_model(tiny, 3, 3, 'onnxruntime')
    assert 'torch' not in str(caught.value)


def test_a_format_that_a_backend_cannot_read_is_said_to_be_so(
    torch: Any, tiny: ModelSource
) -> None:
    with pytest.raises(
        InferenceError,
        match='torch: it reads torchscript, safetensors, torchvision, and the bundle has onnx',
    ):
        load_model(tiny, 3, 3, 'torch')
    with pytest.raises(
        InferenceError, match='onnxruntime: it reads onnx, and the bundle has torchvision'
    ):
        load_model(ModelSource({}, torchvision='ResNet18_Weights.DEFAULT'), 3, 3, 'onnxruntime')


def test_every_reason_is_given_where_no_backend_can(torch: Any, tmp_path: Path) -> None:
    (tmp_path / 'net.onnx').write_bytes(b'no model')
    with pytest.raises(InferenceError) as caught:
        load_model(ModelSource({'onnx': tmp_path / 'net.onnx'}), 3, 3)
    assert 'onnxruntime: ' in str(caught.value) and '; torch: ' in str(caught.value)


# Where it runs -----------------------------------------------------------------------------------


def test_devices_without_a_gpu(tiny: ModelSource, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: ['CPUExecutionProvider'])
    results = [
        load_model(tiny, 3, 3, 'onnxruntime', device)[1](blob(size=16))
        for device in DEVICES
        if device != 'cuda'
    ]
    np.testing.assert_array_equal(results[0], results[1])
    with pytest.raises(
        InferenceError, match='no CUDA; install onnxruntime-gpu, or set device to cpu'
    ):
        load_model(tiny, 3, 3, 'onnxruntime', 'cuda')


def test_a_gpu_that_onnxruntime_lists_but_cannot_use_is_no_silent_cpu(
    tiny: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    if 'CUDAExecutionProvider' in onnxruntime.get_available_providers():
        pytest.skip('this onnxruntime has CUDA')
    monkeypatch.setattr(
        onnxruntime,
        'get_available_providers',
        lambda: ['CUDAExecutionProvider', 'CPUExecutionProvider'],
    )
    with (
        pytest.warns(UserWarning, match='CUDAExecutionProvider'),
        pytest.raises(InferenceError, match='CUDA could not be used for .*tiny.onnx'),
    ):
        load_model(tiny, 3, 3, 'onnxruntime', 'cuda')


def test_torch_without_a_gpu(torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import save_file

    save_file(network(torch, 'resnet20').state_dict(), tmp_path / 'net.safetensors')
    source = ModelSource({'safetensors': tmp_path / 'net.safetensors'}, 'resnet20')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    results = [
        load_model(source, CLASSES, 3, 'torch', device)[1](blob()) for device in ('auto', 'cpu')
    ]
    np.testing.assert_array_equal(results[0], results[1])
    with pytest.raises(InferenceError, match='finds no CUDA device; set device to cpu'):
        load_model(source, CLASSES, 3, 'torch', 'cuda')


@pytest.mark.parametrize('threads', [0, 1, 2])
def test_threads_do_not_change_the_answer(tiny: ModelSource, threads: int) -> None:
    expected = load_model(tiny, 3, 3)[1](blob(size=16))
    np.testing.assert_allclose(
        load_model(tiny, 3, 3, threads=threads)[1](blob(size=16)), expected, atol=1e-6
    )


def test_torch_uses_as_many_threads_as_it_is_told(torch: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(network(torch, 'resnet20').state_dict(), tmp_path / 'net.safetensors')
    source = ModelSource({'safetensors': tmp_path / 'net.safetensors'}, 'resnet20')
    before = torch.get_num_threads()
    try:
        for threads in (2, 1, 0):
            load_model(source, CLASSES, 3, 'torch', threads=threads)
            assert torch.get_num_threads() == max(threads, 1)  # 0 leaves it
    finally:
        torch.set_num_threads(before)


# Agreement ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(('name', 'channels'), [('repvgg_tiny', 3), ('vgg9_gap', 1)])
def test_formats_and_backends_agree(torch: Any, tmp_path: Path, name: str, channels: int) -> None:
    pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript', reason='torch exports ONNX with onnxscript')
    from safetensors.torch import save_file

    from dual_cnn_ros.training.training import to_onnx

    module = network(torch, name, channels)
    (tmp_path / 'net.onnx').write_bytes(
        to_onnx(
            module,
            Preprocessing(
                SIZE,
                SIZE,
                'rgb' if channels == 3 else 'grey',
                None,
                (0.5,) * channels,
                (0.25,) * channels,
            ),
        )
    )
    save_file(module.state_dict(), tmp_path / 'net.safetensors')
    torch.jit.trace(module, torch.zeros(1, channels, SIZE, SIZE)).save(
        str(tmp_path / 'net.torchscript')
    )

    with torch.inference_mode():
        expected = module(torch.from_numpy(blob(channels)))[0].numpy()
    assert np.ptp(expected) > 0.1  # a net that says something
    for kind, backend in (
        ('onnx', 'onnxruntime'),
        ('safetensors', 'torch'),
        ('torchscript', 'torch'),
    ):
        source = ModelSource({kind: tmp_path / f'net.{kind}'}, name)
        logits = load_model(source, CLASSES, channels, backend, 'cpu')[1](blob(channels))
        assert logits.dtype == np.float32 and logits.shape == (CLASSES,)
        np.testing.assert_allclose(softmax(logits), softmax(expected), atol=1e-4, err_msg=kind)


def test_a_module_that_works_in_place_does_not_spoil_the_shared_input(
    torch: Any, tmp_path: Path
) -> None:
    module = torch.jit.script(
        torch.nn.Sequential(
            torch.nn.ReLU(inplace=True), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
        )
    )
    module.save(str(tmp_path / 'net.torchscript'))
    model = load_model(
        ModelSource({'torchscript': tmp_path / 'net.torchscript'}), 3, 3, 'torch', 'cpu'
    )[1]
    image = blob()
    model(image)
    np.testing.assert_array_equal(image, blob())


# Wrong files -------------------------------------------------------------------------------------


@pytest.mark.parametrize('content', [b'', b'no model', bytes(1000)])
def test_what_is_no_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'net.onnx'
    path.write_bytes(content)
    with pytest.raises(InferenceError, match='net.onnx is no ONNX model that can be run here'):
        load_model(ModelSource({'onnx': path}), 3, 3, 'onnxruntime')


def test_an_onnx_with_two_outputs_is_refused(tmp_path: Path, tiny: ModelSource) -> None:
    import onnx

    model = onnx.load(tiny.files['onnx'])
    model.graph.output.append(
        onnx.helper.make_tensor_value_info('mean', onnx.TensorProto.FLOAT, ['n', 3])
    )
    onnx.save(model, tmp_path / 'two.onnx')
    with pytest.raises(InferenceError, match=r'two\.onnx must have one input'):
        load_model(ModelSource({'onnx': tmp_path / 'two.onnx'}), 3, 3, 'onnxruntime')


@pytest.mark.parametrize(
    ('kind', 'message'),
    [
        ('safetensors', 'net.safetensors is no safetensors file'),
        ('torchscript', 'net.torchscript is no TorchScript model'),
    ],
)
@pytest.mark.parametrize('content', [b'', b'no model', bytes(1000)])
def test_what_is_no_torch_model_is_refused(
    torch: Any, tmp_path: Path, content: bytes, kind: str, message: str
) -> None:
    path = tmp_path / f'net.{kind}'
    path.write_bytes(content)
    with pytest.raises(InferenceError, match=message):
        load_model(ModelSource({kind: path}, 'resnet20'), 3, 3, 'torch')


@pytest.mark.parametrize(
    ('architecture', 'classes', 'channels', 'message'),
    [
        (None, CLASSES, 3, 'net.safetensors needs the field "architecture" beside it'),
        ('resnet21', CLASSES, 3, 'does not fit architecture resnet21'),
        ('resnet32', CLASSES, 3, 'does not fit architecture resnet32'),
        ('resnet20', CLASSES + 1, 3, 'does not fit architecture resnet20 with 8 classes'),
        ('resnet20', CLASSES, 1, 'and 1 channels'),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    torch: Any, tmp_path: Path, architecture: str | None, classes: int, channels: int, message: str
) -> None:
    from safetensors.torch import save_file

    save_file(network(torch, 'resnet20').state_dict(), tmp_path / 'net.safetensors')
    source = ModelSource({'safetensors': tmp_path / 'net.safetensors'}, architecture)
    with pytest.raises(InferenceError, match=message):
        load_model(source, classes, channels, 'torch')


@pytest.mark.parametrize('name', ['ResNet18_Weights.NONE', 'Nothing_Weights.DEFAULT', 'resnet18'])
def test_weights_that_torchvision_does_not_have_are_refused(torch: Any, name: str) -> None:
    pytest.importorskip('torchvision')
    with pytest.raises(InferenceError, match='torchvision has no weights named'):
        load_model(ModelSource({}, torchvision=name), 1000, 3, 'torch')


def test_weights_that_cannot_be_downloaded_say_what_to_do(
    torch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = pytest.importorskip('torchvision').models

    def offline(*_: Any, **__: Any) -> None:
        raise OSError('name resolution failed')

    monkeypatch.setattr(models, 'get_model', offline)
    with pytest.raises(InferenceError, match='name resolution failed.*export the model to ONNX'):
        load_model(ModelSource({}, torchvision='ResNet18_Weights.IMAGENET1K_V1'), 1000, 3, 'torch')
