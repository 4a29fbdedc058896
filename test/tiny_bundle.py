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
A tiny bundle of two CNNs that answer by the mean colour of a frame, and frames to steer them.

The logit of 'red', 'green' and 'blue' is the mean of that channel times the stage's gain, so the
first stage (of low gain) is unsure of a weakly tinted frame and the second one is sure of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, TensorProto

from dual_cnn_ros import bundle as bundles
from dual_cnn_ros.cascade.deferral import Deferral
from dual_cnn_ros.cascade.frame import Image, Preprocessing
from dual_cnn_ros.cascade.settings import Settings
from dual_cnn_ros.inference import ModelSource

LABELS = ('red', 'green', 'blue')
STAGES = ('first', 'second', 'third', 'fourth')
SETTINGS = Settings()


def make_bundle(
    folder: Path,
    labels: Sequence[str] = LABELS,
    size: int = 16,
    gains: Sequence[float] = (2.0, 20.0),
    settings: Settings = SETTINGS,
    name: str = 'tiny',
    deferral: Deferral | None = None,
    **fields: object,
) -> Path:
    """
    Write a bundle to a folder and return it.

    labels: any number; the fourth and later ones are never the answer. size: of the CNNs' input.
    gains: one for each stage. settings: needs one threshold for each stage but the last. deferral:
    of the first stage. fields: more fields of Bundle, such as operating_points.
    """
    folder.mkdir(parents=True, exist_ok=True)
    preprocessing = Preprocessing(size, size, 'rgb', None, (0.5,) * 3, (0.25,) * 3)
    stages = []
    for stage, gain in zip(STAGES, gains):
        path = folder / f'{stage}.onnx'
        save_model(path, len(labels), size, gain)
        stages.append(
            bundles.StageSpec(
                stage,
                ModelSource({'onnx': path}),
                {'onnx': bundles.sha256(path)},
                preprocessing,
                multiply_adds=3 * len(labels),
                deferral=None if stages else deferral,
            )
        )
    bundles.write(
        bundles.Bundle(
            folder,
            name,
            'Answers by the mean colour.',
            tuple(labels),
            tuple(stages),
            settings,
            **fields,
        )
    )  # type: ignore[arg-type]
    return folder


def save_model(
    path: Path, classes: int, size: int, gain: float, channels: int = 3, last: str = 'Identity'
) -> None:
    """
    Write an ONNX model whose logits are gain * (mean of each channel), then very low ones.

    last: the operator that they go through at the end.
    """
    weights = gain * np.eye(channels, classes, dtype=np.float32)
    bias = np.where(np.arange(classes) < 3, 0, -100).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node('GlobalAveragePool', ['image'], ['pooled']),
            helper.make_node('Flatten', ['pooled'], ['mean']),
            helper.make_node('Gemm', ['mean', 'weights', 'bias'], ['sums']),
            helper.make_node(last, ['sums'], ['logits']),
        ],
        'tiny',
        [helper.make_tensor_value_info('image', TensorProto.FLOAT, ['n', channels, size, size])],
        [helper.make_tensor_value_info('logits', TensorProto.FLOAT, ['n', classes])],
        [_tensor('weights', weights), _tensor('bias', bias)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def picture(
    label: str, sure: bool = True, height: int = 48, width: int = 64, seed: int = 0
) -> Image:
    """
    Return a frame, uint8 (height, width, 3) BGR, whose answer is 'red', 'green' or 'blue'.

    sure: whether the first stage is sure of it (98 %) or not (52 %) at the default gains. Frames
    have different textures, and so different fingerprints, wherever an argument differs.
    """
    strong, weak = (200, 50) if sure else (140, 115)
    tint = np.array([strong if label == channel else weak for channel in reversed(LABELS)])
    blocks = np.random.default_rng((LABELS.index(label), sure, seed)).integers(
        -40, 41, size=(6, 8)
    )
    rows, columns = np.arange(height) * 6 // height, np.arange(width) * 8 // width
    texture = blocks[rows][:, columns, np.newaxis]
    return np.ascontiguousarray((tint + texture).astype(np.uint8))


def _tensor(name: str, values: npt.NDArray[np.float32]) -> onnx.TensorProto:
    return helper.make_tensor(name, TensorProto.FLOAT, values.shape, values.ravel())
