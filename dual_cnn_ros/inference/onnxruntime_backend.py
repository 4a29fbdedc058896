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

"""
Run ONNX models with ONNX Runtime: by TensorRT, by CUDA, or on the CPU.

On a CPU it is several times faster than eager torch at batch 1. TensorRT builds an engine for each
model and GPU, which takes minutes the first time; it is kept in the user's cache folder.

References
----------
https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html, for the options.

"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from dual_cnn_ros.inference import InferenceError, Model, ModelSource

FORMATS = ('onnx',)
NAMES = {
    'tensorrt': 'TensorrtExecutionProvider',
    'cuda': 'CUDAExecutionProvider',
    'cpu': 'CPUExecutionProvider',
}

# Some of its builds send usage data to their maker unless told not to.
onnxruntime.disable_telemetry_events()


def load(
    source: ModelSource, classes: int, channels: int, providers: tuple[str, ...], threads: int
) -> Model:
    """Load the ONNX file; the parameters are those of `load_model`."""
    path = source.files['onnx']
    here = onnxruntime.get_available_providers()
    usable = [name for name in providers if NAMES[name] in here]
    if not usable:
        raise InferenceError(
            f'this onnxruntime has none of {", ".join(providers)}, only {", ".join(here)}; '
            'install onnxruntime-gpu, or add cpu to the providers'
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that spin while they wait for the next frame use more energy than the CNN itself.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    chosen = [
        (NAMES[name], tensorrt_options(source) if name == 'tensorrt' else {}) for name in usable
    ]
    try:
        session: Any = onnxruntime.InferenceSession(str(path), options, providers=chosen)
    except Exception as error:  # its exceptions share no public base class
        raise InferenceError(f'{path} is no ONNX model that can be run here: {error}') from error
    if len(session.get_inputs()) != 1 or len(session.get_outputs()) != 1:
        raise InferenceError(f'{path} must have one input (the image) and one output (the logits)')
    # One that does not start is left out, and the CPU stands in for whatever is missing.
    used = next((name for name in usable if NAMES[name] in session.get_providers()), 'cpu')
    if used not in providers:
        raise InferenceError(
            f'none of {", ".join(usable)} could be used for {path}; see the log above, or add cpu '
            'to the providers'
        )
    image = session.get_inputs()[0]
    # Many a converter writes a model for one image at a time.
    takes_one = image.shape[:1] == [1]

    def run(blob: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if takes_one and len(blob) > 1:
            return np.concatenate([run(blob[i : i + 1]) for i in range(len(blob))])
        logits = session.run(None, {image.name: blob})[0]
        return np.asarray(logits, dtype=np.float32).reshape(len(blob), -1)

    return Model(run, f'onnxruntime {used}')


def tensorrt_options(source: ModelSource) -> dict[str, str]:
    """
    Return the options of TensorRT: float16, int8 where the model has it, engines that are kept.

    Where no engine is kept yet, a line says that one is built now.
    """
    path = source.files['onnx']
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    folder = cache_folder() / 'tensorrt' / digest[:16]
    if not any(folder.glob('*.engine')):
        print(
            f'TensorRT builds an engine for {path}, which takes minutes; it is kept in {folder}',
            file=sys.stderr,
            flush=True,
        )
    folder.mkdir(parents=True, exist_ok=True)
    return {
        'trt_fp16_enable': '1',
        'trt_int8_enable': '1' if source.is_int8 else '0',
        'trt_engine_cache_enable': '1',
        'trt_engine_cache_path': str(folder),
        'trt_timing_cache_enable': '1',
        'trt_timing_cache_path': str(folder),
    }


def cache_folder() -> Path:
    """Return the package's folder in the user's cache."""
    home = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(home, 'dual_cnn_ros')
