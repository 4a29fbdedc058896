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

"""One CNN behind one small interface, whatever library runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt

# From a float32 blob (1, C, H, W) to float32 logits (K,).
Model = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]

# In the order of preference. Each module has FORMATS, the model formats it reads in its own order
# of preference, and load(source, classes, channels, device, threads) -> Model, which raises
# InferenceError.
# A new backend is a module with these two and a line here.
BACKENDS = {
    'onnxruntime': 'dual_cnn_ros.inference.onnxruntime_backend',
    'torch': 'dual_cnn_ros.inference.torch_backend',
}
DEVICES = ('auto', 'cpu', 'cuda')


class InferenceError(RuntimeError):
    """A model cannot be run here; the message says why and what to install or change."""


@dataclass(frozen=True)
class ModelSource:
    """
    Where a CNN's weights are.

    files: format ('onnx', 'torchscript', 'safetensors') to path. architecture: the network that
    safetensors belong to, a name of `networks` or of torchvision. torchvision: name of weights
    that torchvision itself provides ('ResNet18_Weights.IMAGENET1K_V1'), in place of files.
    """

    files: Mapping[str, Path]
    architecture: str | None = None
    torchvision: str | None = None

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats it can be had in."""
        return (*self.files, *(('torchvision',) if self.torchvision else ()))


def load_model(
    source: ModelSource,
    classes: int,
    channels: int,
    backend: str = 'auto',
    device: str = 'auto',
    threads: int = 1,
) -> tuple[str, Model]:
    """
    Return the name of the backend used and the model, ready to run.

    classes, channels: of the logits and of the image, for formats that hold weights only.
    backend: a name of BACKENDS, or 'auto' for the first that can run it. device: one of DEVICES,
    'auto' for the GPU where the backend can use one. threads: CPU threads of one inference, 0 for
    the library's own choice. InferenceError where no backend can, with the reason of each.
    """
    reasons = []
    for name in BACKENDS if backend == 'auto' else (backend,):
        try:
            module = import_module(BACKENDS[name])
            if not set(module.FORMATS) & set(source.formats):
                raise InferenceError(
                    f'it reads {", ".join(module.FORMATS)}, and the bundle has '
                    f'{", ".join(source.formats)}'
                )
            return name, module.load(source, classes, channels, device, threads)
        except ImportError as error:
            missing = (error.name or name).partition('.')[0]
            reasons.append(
                f'{name}: {error}; install it with "pip install {missing}"'
                ' (on a Jetson: the wheel that NVIDIA builds for your JetPack)'
            )
        except InferenceError as error:
            reasons.append(f'{name}: {error}')
    raise InferenceError('; '.join(reasons))
