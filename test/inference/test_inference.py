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
"""Which backend runs a model, what is said where none can, and ONNX Runtime's own errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import sys

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

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')


@pytest.fixture
def tiny(tmp_path: Path) -> ModelSource:
    """Return an ONNX model of three classes for 16 x 16 pixels."""
    save_model(tmp_path / 'tiny.onnx', classes=3, size=16, gain=2.0)
    return ModelSource({'onnx': tmp_path / 'tiny.onnx'})


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype(np.float32)


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Make modules look as if they were not installed."""
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    for backend in BACKENDS.values():
        monkeypatch.delitem(sys.modules, backend, raising=False)


@pytest.mark.parametrize('threads', [0, 1, 2])
def test_auto_takes_the_first_backend_that_can(
    tiny: ModelSource, image: np.ndarray, threads: int
) -> None:
    model = load_model(tiny, 3, 3, threads=threads)
    assert next(iter(BACKENDS)) == 'onnxruntime' and model.runs_on == 'onnxruntime cpu'
    images = np.concatenate((image, -image))
    logits = model(images)
    assert logits.dtype == np.float32 and logits.shape == (2, 3)
    np.testing.assert_allclose(logits, 2 * images.mean(axis=(2, 3)), atol=1e-5)


def test_a_model_for_one_image_at_a_time_takes_several(
    tiny: ModelSource, image: np.ndarray
) -> None:
    images = np.concatenate((image, -image))
    expected = load_model(tiny, 3, 3)(images)
    model = onnx.load(tiny.files['onnx'])
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tiny.files['onnx'])
    np.testing.assert_array_equal(load_model(tiny, 3, 3)(images), expected)


def test_each_missing_library_is_named_with_its_cure(
    tiny: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, 'onnxruntime', 'torch')
    with pytest.raises(InferenceError) as caught:
        load_model(tiny, 3, 3)
    for library in ('onnxruntime', 'torch'):
        assert f'{library}: ' in str(caught.value)
        assert f'pip install {library}' in str(caught.value)
    with pytest.raises(InferenceError) as caught:
        load_model(tiny, 3, 3, 'onnxruntime')
    assert 'torch' not in str(caught.value), 'a backend that is asked for is the only one tried'


def test_a_format_that_the_backend_cannot_read_is_named() -> None:
    source = ModelSource({}, torchvision='ResNet18_Weights.DEFAULT')
    with pytest.raises(InferenceError, match='it reads onnx, and the bundle has torchvision'):
        load_model(source, 3, 3, 'onnxruntime')


def test_onnxruntime_is_told_to_send_no_usage_data(
    tiny: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(onnxruntime, 'disable_telemetry_events', lambda: calls.append('off'))
    monkeypatch.delitem(sys.modules, BACKENDS['onnxruntime'], raising=False)
    load_model(tiny, 3, 3)
    assert calls == ['off']


def test_onnxruntime_without_a_gpu(
    tiny: ModelSource, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: ['CPUExecutionProvider'])
    one, other = (load_model(tiny, 3, 3, providers=names) for names in (PROVIDERS, ('cpu',)))
    np.testing.assert_array_equal(one(image), other(image))
    assert one.runs_on == other.runs_on == 'onnxruntime cpu'
    with pytest.raises(InferenceError, match='none of tensorrt, cuda, only CPUExec.* or add cpu'):
        load_model(tiny, 3, 3, 'onnxruntime', ('tensorrt', 'cuda'))


def test_a_gpu_that_onnxruntime_lists_but_cannot_use_is_no_silent_cpu(
    tiny: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    providers = ['CUDAExecutionProvider', 'CPUExecutionProvider']
    if providers[0] in onnxruntime.get_available_providers():
        pytest.skip('this onnxruntime has CUDA')
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: providers)
    with pytest.warns(UserWarning, match='CUDAExecutionProvider'):
        assert load_model(tiny, 3, 3, 'onnxruntime').runs_on == 'onnxruntime cpu'
    with (
        pytest.warns(UserWarning, match='CUDAExecutionProvider'),
        pytest.raises(InferenceError, match=r'none of cuda could be used for .*tiny\.onnx'),
    ):
        load_model(tiny, 3, 3, 'onnxruntime', ('cuda',))


class Machine:
    """Stands in for an ONNX Runtime with TensorRT and CUDA, which this machine has not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, broken: str = '') -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        listed = [f'{name}ExecutionProvider' for name in ('Tensorrt', 'CUDA', 'CPU')]
        session = onnxruntime.InferenceSession

        class Session:
            def __init__(inner, path: str, options: object, providers: list) -> None:  # noqa: N805
                self.asked = providers
                inner.real = session(path, options, providers=['CPUExecutionProvider'])

            def get_providers(inner) -> list[str]:  # noqa: N805
                return [name for name, _ in self.asked if name != broken]

            def __getattr__(inner, name: str) -> object:  # noqa: N805
                return getattr(inner.real, name)

        monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: listed)
        monkeypatch.setattr(onnxruntime, 'InferenceSession', Session)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


def test_tensorrt_comes_before_cuda_and_keeps_its_engines(
    tiny: ModelSource, image: np.ndarray, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    machine = Machine(monkeypatch)
    model = load_model(tiny, 3, 3)
    assert model.runs_on == 'onnxruntime tensorrt' and model(image).shape == (1, 3)
    (first, options), *rest = machine.asked
    assert [first, *(name for name, _ in rest)] == [
        f'{name}ExecutionProvider' for name in ('Tensorrt', 'CUDA', 'CPU')
    ]
    folder = Path(options['trt_engine_cache_path'])
    assert folder.is_dir() and folder.is_relative_to(cache / 'dual_cnn_ros')
    assert (options['trt_fp16_enable'], options['trt_int8_enable']) == ('1', '0')
    assert f'TensorRT builds an engine for {tiny.files["onnx"]}' in capsys.readouterr().err
    # With an engine in the cache there is nothing to wait for.
    (folder / 'x.engine').touch()
    load_model(replace(tiny, is_int8=True), 3, 3)
    assert machine.asked[0][1]['trt_int8_enable'] == '1' and capsys.readouterr().err == ''


@pytest.mark.parametrize(
    ('wanted', 'broken', 'used'),
    [
        (('cuda', 'cpu'), '', 'cuda'),
        (('cpu', 'cuda'), '', 'cpu'),
        (PROVIDERS, 'TensorrtExecutionProvider', 'cuda'),
    ],
)
def test_the_order_of_the_providers_decides(
    tiny: ModelSource, cache: Path, monkeypatch: pytest.MonkeyPatch, wanted, broken, used
) -> None:
    Machine(monkeypatch, broken)
    assert load_model(tiny, 3, 3, 'onnxruntime', wanted).runs_on == f'onnxruntime {used}'


@pytest.mark.parametrize('content', [b'', b'no model', bytes(1000)])
def test_what_is_no_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'net.onnx'
    path.write_bytes(content)
    with pytest.raises(InferenceError, match=r'net\.onnx is no ONNX model that can be run here'):
        load_model(ModelSource({'onnx': path}), 3, 3, 'onnxruntime')


def test_an_onnx_with_two_outputs_is_refused(tmp_path: Path, tiny: ModelSource) -> None:
    onnx = pytest.importorskip('onnx')
    model = onnx.load(tiny.files['onnx'])
    model.graph.output.append(
        onnx.helper.make_tensor_value_info('mean', onnx.TensorProto.FLOAT, ['n', 3])
    )
    onnx.save(model, tmp_path / 'two.onnx')
    with pytest.raises(InferenceError, match=r'two\.onnx must have one input'):
        load_model(ModelSource({'onnx': tmp_path / 'two.onnx'}), 3, 3, 'onnxruntime')
