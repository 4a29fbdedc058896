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

"""Write trained networks as a bundle: ONNX, safetensors, bundle.yaml, metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
import platform
from typing import Any
import warnings

import cv2
import numpy as np
from safetensors.torch import save as to_safetensors
import torch
from torch import nn

from dual_cnn_ros.bundle import (
    Bundle,
    ModelFile,
    sha256,
    STAGES,
    StageSpec,
    TrainingRecord,
    write_bundle,
)
from dual_cnn_ros.cascade.selector import Selector
from dual_cnn_ros.cascade.settings import Criterion, SELECTOR
from dual_cnn_ros.data.dataset import Dataset
from dual_cnn_ros.files import write_atomically, write_json
from dual_cnn_ros.inference import networks
from dual_cnn_ros.records import to_plain
from dual_cnn_ros.training.checkpoint import EpochRecord
from dual_cnn_ros.training.options import TrainingOptions

# A robot's ONNX Runtime may be years old: of Ubuntu 22.04's NumPy, pip finds none after 1.12.
OPSET = 15
# Options that metrics.json leaves out: whoever gets the bundle need not know the folders and the
# set-up of the machine that it comes from.
PRIVATE = ('data', 'out', 'exclude', 'device', 'restart')


@dataclass(frozen=True)
class TrainingMetrics:
    """
    The result and the circumstances of a training: the content of metrics.json.

    Attributes
    ----------
    parameters, macs
        Of the network as it is deployed, with its batch norms folded.
    validation_accuracy, validation_loss
        Of the last epoch; None where no image was kept for validation.
    training_images, validation_images
        Numbers of images.
    excluded
        Number of images that were left out on demand.
    skipped
        Names of the images that could not be decoded.
    seconds
        Of all epochs, whichever run they were in.
    device
        The GPU, or the machine's kind of CPU.
    versions
        Of Python and the libraries.
    options
        As they were given, but for those of PRIVATE.
    curve
        The epochs.

    """

    parameters: int
    macs: int
    validation_accuracy: float | None
    validation_loss: float | None
    training_images: int
    validation_images: int
    excluded: int
    skipped: tuple[str, ...]
    seconds: float
    device: str
    versions: Mapping[str, str]
    options: TrainingOptions
    curve: tuple[EpochRecord, ...]


@dataclass(frozen=True, eq=False)
class TrainedStage:
    """
    A network that was trained.

    Attributes
    ----------
    network
        On the CPU, in evaluation mode.
    architecture
        A name for `networks.build`.
    origin
        See StageSpec.
    selector
        Trained with it, if one was.

    """

    network: nn.Module
    architecture: str
    origin: str = ''
    selector: Selector | None = None


def write_stages(
    options: TrainingOptions,
    data: Dataset,
    stages: Sequence[TrainedStage],
    curve: Sequence[EpochRecord],
    device: torch.device,
) -> TrainingMetrics:
    """
    Write the bundle ``options.out / options.name`` and return its metrics.

    Parameters
    ----------
    options
        What was trained.
    data
        The images it was trained on.
    stages
        What came of it, in the order in which they are asked.
    curve
        All epochs.
    device
        Where it was trained.

    """
    folder, last, preprocessing = options.out / options.name, curve[-1], options.preprocessing
    shape = options.channels, *options.input
    folder.mkdir(parents=True, exist_ok=True)
    deployed = [networks.fuse(stage.network.eval()) for stage in stages]
    macs = [networks.count_macs(network, shape) for network in deployed]
    metrics = TrainingMetrics(
        sum(map(networks.count_parameters, deployed)),
        sum(macs),
        last.validation_accuracy,
        last.validation_loss,
        len(data.training.names),
        len(data.validation.names),
        data.excluded,
        data.skipped,
        round(sum(record.seconds for record in curve), 1),
        torch.cuda.get_device_name() if device.type == 'cuda' else platform.machine(),
        {
            'python': platform.python_version(),
            'torch': torch.__version__,
            'numpy': np.__version__,
            'opencv': cv2.__version__,
        },
        options,
        tuple(curve),
    )
    plain = to_plain(metrics)
    plain['options'] = {k: v for k, v in plain['options'].items() if k not in PRIVATE}
    write_json(folder / 'metrics.json', plain)
    images = len(data.training.names) + len(data.validation.names)
    record = TrainingRecord(
        options.data.name,
        options.split,
        images + data.excluded + len(data.skipped),
        options.validation,
        options.seed,
        last.validation_accuracy,
    )
    specs = [
        StageSpec(
            name,
            preprocessing,
            write_models(folder, stage.network, shape, name),
            architecture=stage.architecture,
            macs=own,
            criterion=Criterion(SELECTOR, 0.5) if stage.selector else None,
            selector=stage.selector,
            training=record,
            origin=stage.origin,
        )
        for name, stage, own in zip(STAGES, stages, macs)
    ]
    check = 'none' if len(specs) > 1 else Bundle.post_check
    write_bundle(Bundle(folder, options.name, data.classes, tuple(specs), post_check=check))
    return metrics


def write_models(
    folder: Path, network: nn.Module, shape: tuple[int, int, int], name: str = STAGES[0]
) -> dict[str, ModelFile]:
    """
    Write a network as ONNX and as safetensors into a folder.

    Parameters
    ----------
    folder
        It need not exist.
    network
        On the CPU, in evaluation mode.
    shape
        Of an image, (C, H, W).
    name
        Of its stage, and so of the files.

    """
    tensors = {key: value.contiguous() for key, value in network.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for kind, content in (
        ('onnx', to_onnx(networks.fuse(network), shape)),
        ('safetensors', to_safetensors(tensors)),
    ):
        path = folder / f'{name}.{kind}'
        write_atomically(path, content)
        files[kind] = ModelFile(path, sha256(path))
    return files


def to_onnx(network: nn.Module, shape: tuple[int, int, int]) -> bytes:
    """
    Return a network as one ONNX model with its weights inside.

    Parameters
    ----------
    network
        On the CPU, in evaluation mode, its batch norms folded (see `networks.fuse`).
    shape
        Of an image, (C, H, W).

    Returns
    -------
    bytes
        Input ``image``, float32 (N, C, H, W); output ``logits``, float32 (N, classes). Opset OPSET
        with IR version 8, which ONNX Runtime reads from 1.10 on; opset 18, for 1.14, where the
        network has an operator that OPSET cannot express.

    """
    import onnx

    # Two images, because the exporter takes a size of one for a constant.
    sample = torch.zeros(2, *shape)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        program = torch.onnx.export(
            network,
            (sample,),
            dynamo=True,
            opset_version=18,
            verbose=False,
            input_names=['image'],
            output_names=['logits'],
            dynamic_shapes=({0: torch.export.Dim('batch')},),
        )
    assert program is not None  # only where it writes a file itself
    model = _lowered(program.model_proto)
    model.ir_version = 8
    # The exporter's notes name source files of this machine, and weigh as much as a small CNN.
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    for node in model.graph.node:
        del node.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def _lowered(model: Any) -> Any:
    """Return a model in OPSET, or as it is if that is impossible."""
    from onnx import version_converter

    for node in model.graph.node:
        # New in opset 18, and at its default.
        for attribute in [each for each in node.attribute if each.name == 'noop_with_empty_axes']:
            node.attribute.remove(attribute)
    try:
        return version_converter.convert_version(model, OPSET)
    except RuntimeError:
        return model
