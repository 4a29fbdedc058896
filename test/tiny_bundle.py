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
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, TensorProto

from dual_cnn_ros.bundle import (
    Bundle,
    ModelFile,
    sha256,
    StageSpec,
    TrainingRecord,
    write_bundle,
)
from dual_cnn_ros.cascade.frame import COLOURS, Image, Preprocessing
from dual_cnn_ros.cascade.settings import Criterion, Rule

LABELS = ('red', 'green', 'blue')
STAGES = ('first', 'second', 'third', 'fourth')


def make_bundle(
    folder: Path,
    labels: Sequence[str] = LABELS,
    size: int = 16,
    gains: Sequence[float] = (2.0, 20.0),
    rule: Rule | None = None,
    name: str = 'tiny',
    channels: str = 'rgb',
    logits: int | None = None,
    training: TrainingRecord | None = None,
    **fields: Any,
) -> Path:
    """
    Write a bundle to a folder and return it.

    Parameters
    ----------
    folder, name
        Where to write it, and the name of the bundle.
    labels
        Any number; the fourth and later ones are never the answer.
    size
        Height and width of the CNNs' input.
    gains
        One for each stage.
    rule
        With one criterion for each stage but the last.
    channels
        The order of the colours, a name of COLOURS.
    logits
        Number of the models' outputs, if not one for each label.
    training
        The record of every stage.
    fields
        Other fields of Bundle.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rule = rule or Rule((Criterion(),) * (len(gains) - 1))
    count = len(COLOURS[channels])
    preprocessing = Preprocessing(size, size, channels, None, (0.5,) * count, (0.25,) * count)
    stages = []
    for stage, gain, criterion in zip(STAGES, gains, (*rule.criteria, None)):
        path = folder / f'{stage}.onnx'
        save_model(path, logits or len(labels), size, gain, count)
        file = ModelFile(path, sha256(path))
        stages.append(
            StageSpec(
                stage,
                preprocessing,
                {'onnx': file},
                macs=3 * len(labels),
                criterion=criterion,
                training=training,
            )
        )
    fields = {'description': 'Answers by the mean colour.', **fields}
    write_bundle(
        Bundle(folder, name, tuple(labels), tuple(stages), post_check=rule.post_check, **fields)
    )
    return folder


def save_model(
    path: Path, classes: int, size: int, gain: float, channels: int = 3, last: str = 'Identity'
) -> None:
    """
    Write an ONNX model whose logits are gain * (mean of each channel), then very low ones.

    Parameters
    ----------
    path, classes, size, gain, channels
        The file, the number of logits, the side of the input, the factor, the input's channels.
    last
        The ONNX operator that the logits go through at the end.
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

    Frames have different textures, and so different fingerprints, wherever an argument differs.

    Parameters
    ----------
    label, height, width, seed
        The answer, the size in pixels, and the seed of the texture.
    sure
        Whether the first stage is sure of it (98 %) or not (52 %) at the default gains.
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
