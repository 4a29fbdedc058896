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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.opencv import explain, pip_install

Run = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]

# In order of preference. A new backend is a line here and a module with two names:
# FORMATS, the model formats that it reads, in its own order of preference; and
# load(source, classes, channels, providers, threads) -> Model, which raises InferenceError.
BACKENDS = {
    'onnxruntime': 'dual_cnn_ros.inference.onnxruntime_backend',
    'torch': 'dual_cnn_ros.inference.torch_backend',
}
# What may run a CNN, the fastest first.
PROVIDERS = ('tensorrt', 'cuda', 'cpu')


class InferenceError(RuntimeError):
    """A model cannot be run here; the message says why and what to install or change."""


@dataclass(frozen=True)
class Model:
    """
    A CNN that is loaded.

    Attributes
    ----------
    run
        Maps a float32 blob (N, C, H, W) to float32 logits (N, K).
    runs_on
        The backend and the provider, for people.

    """

    run: Run
    runs_on: str

    def __call__(self, blob: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the logits of images; see run."""
        return self.run(blob)


@dataclass(frozen=True)
class ModelSource:
    """
    Where the weights of a CNN are.

    Attributes
    ----------
    files
        Path of the model in each format: 'onnx', 'torchscript' or 'safetensors'.
    architecture
        The network that safetensors are the weights of: a name for `networks.build`.
    torchvision
        In place of files, weights that torchvision downloads, such as
        'ResNet18_Weights.IMAGENET1K_V1'.
    is_int8
        Whether the ONNX model has weights and activations of 8 bits.

    """

    files: Mapping[str, Path]
    architecture: str | None = None
    torchvision: str | None = None
    is_int8: bool = False

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that the weights are available in."""
        return (*self.files, *(('torchvision',) if self.torchvision else ()))


def load_model(
    source: ModelSource,
    classes: int,
    channels: int,
    backend: str = 'auto',
    providers: Sequence[str] = PROVIDERS,
    threads: int = 1,
) -> Model:
    """
    Load a CNN with the first backend that can run it.

    Parameters
    ----------
    source
        The weights.
    classes, channels
        Numbers of logits and of image channels, for formats that hold weights only.
    backend
        A name of BACKENDS, or 'auto' to try all in their order.
    providers
        Names of PROVIDERS, in order of preference; the first that is there runs the CNN.
    threads
        CPU threads of one inference; 0 for the library's own choice.

    Raises
    ------
    InferenceError
        If no backend can run it, with the reason of each.

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
            model: Model = module.load(source, classes, channels, tuple(providers), threads)
            return model
        except ModuleNotFoundError as error:
            missing = (error.name or name).partition('.')[0]
            reasons.append(
                f'{name}: {error}; install it with "{pip_install(missing)}"'
                ' (on a Jetson: the wheel that NVIDIA builds for your JetPack)'
            )
        except ImportError as error:
            reasons.append(f'{name}: {explain(error)}')
        except InferenceError as error:
            reasons.append(f'{name}: {error}')
    raise InferenceError('; '.join(reasons))
