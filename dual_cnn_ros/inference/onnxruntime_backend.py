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

"""Run ONNX models with ONNX Runtime, on a CPU several times faster than eager torch at batch 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from dual_cnn_ros.inference import InferenceError, Model, ModelSource

FORMATS = ('onnx',)

# Some of its builds send usage data to their maker unless told not to.
onnxruntime.disable_telemetry_events()


def load(source: ModelSource, classes: int, channels: int, device: str, threads: int) -> Model:
    """Load the ONNX file; the parameters are those of `load_model`."""
    gpu = 'CUDAExecutionProvider' in onnxruntime.get_available_providers()
    if device == 'cuda' and not gpu:
        raise InferenceError(
            'this onnxruntime has no CUDA; install onnxruntime-gpu, or set device to cpu'
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that spin while they wait for the next frame use more energy than the CNN itself.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    providers = ['CPUExecutionProvider']
    if gpu and device != 'cpu':
        providers.insert(0, 'CUDAExecutionProvider')
    path = source.files['onnx']
    try:
        session: Any = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its exceptions share no public base class
        raise InferenceError(f'{path} is no ONNX model that can be run here: {error}') from error
    if len(session.get_inputs()) != 1 or len(session.get_outputs()) != 1:
        raise InferenceError(f'{path} must have one input (the image) and one output (the logits)')
    if device == 'cuda' and 'CUDAExecutionProvider' not in session.get_providers():
        raise InferenceError(
            f'CUDA could not be used for {path}; see the log above, or set device to cpu'
        )
    image = session.get_inputs()[0]
    # Many a converter writes a model for one image at a time.
    takes_one = image.shape[:1] == [1]

    def run(blob: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if takes_one and len(blob) > 1:
            return np.concatenate([run(blob[i : i + 1]) for i in range(len(blob))])
        logits = session.run(None, {image.name: blob})[0]
        return np.asarray(logits, dtype=np.float32).reshape(len(blob), -1)

    return run
