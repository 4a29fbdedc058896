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

"""Run TorchScript, safetensors of a named architecture, or torchvision's weights with torch."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dual_cnn_ros.inference import InferenceError, Model, ModelSource

FORMATS = ('torchscript', 'safetensors', 'torchvision')


def load(
    source: ModelSource, classes: int, channels: int, providers: tuple[str, ...], threads: int
) -> Model:
    """
    Load the model; the parameters are those of `load_model`.

    torch has one number of threads for the whole process: it is set here unless threads is 0.
    """
    here = ('cuda', 'cpu') if torch.cuda.is_available() else ('cpu',)
    target = next((name for name in providers if name in here), None)
    if target is None:
        raise InferenceError(
            f'this torch has none of {", ".join(providers)}, only {", ".join(here)}; add cpu to '
            'the providers'
        )
    if threads:
        torch.set_num_threads(threads)
    module = _module(source, classes, channels).eval().to(target)
    for parameter in module.parameters():
        parameter.requires_grad_(False)

    def run(blob: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            # A copy: a module may work in place, and other stages share the blob.
            logits: Any = module(torch.tensor(blob, device=target))
            return logits.float().cpu().numpy().reshape(len(blob), -1)

    return Model(run, f'torch {target}')


def _module(source: ModelSource, classes: int, channels: int) -> Any:
    if 'torchscript' in source.files:
        path = source.files['torchscript']
        try:
            return torch.jit.load(str(path), map_location='cpu')
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f'{path} is no TorchScript model: {error}') from error
    if 'safetensors' in source.files:
        return _from_safetensors(source, classes, channels)
    return _from_torchvision(str(source.torchvision))


def _from_safetensors(source: ModelSource, classes: int, channels: int) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from dual_cnn_ros.inference import networks

    path = source.files['safetensors']
    if source.architecture is None:
        raise InferenceError(f'{path} needs the field "architecture" beside it')
    try:
        module = networks.build(source.architecture, classes, channels)
        module.load_state_dict(load_file(path))
    except SafetensorError as error:
        raise InferenceError(f'{path} is no safetensors file: {error}') from error
    except (RuntimeError, ValueError) as error:
        raise InferenceError(
            f'{path} does not fit architecture {source.architecture} with '
            f'{classes} classes and {channels} channels: {error}'
        ) from error
    return networks.fuse(module)


def _check_download(url: str) -> None:
    """Refuse a file of an earlier download that torchvision, which trusts it, did not publish."""
    file = Path(torch.hub.get_dir(), 'checkpoints', PurePosixPath(url).name)
    published = re.search(r'-([0-9a-f]{8,})\.', file.name)
    if published is None or not file.is_file():
        return
    if not hashlib.sha256(file.read_bytes()).hexdigest().startswith(published[1]):
        raise InferenceError(
            f'{file} is not what torchvision published; remove it to have it downloaded again'
        )


def _from_torchvision(name: str) -> Any:
    from torchvision import models

    try:
        weights = models.get_weight(name)
        _check_download(weights.url)
        return models.get_model(name.split('_Weights')[0].lower(), weights=weights)
    except (ValueError, AttributeError, KeyError) as error:
        raise InferenceError(f'torchvision has no weights named {name!r}: {error}') from error
    except OSError as error:
        raise InferenceError(
            f'the weights {name} could not be downloaded ({error}); fetch them '
            'once with a network, or export the model to ONNX'
        ) from error
