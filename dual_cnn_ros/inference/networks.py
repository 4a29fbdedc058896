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
Small CNNs for small images, each rebuilt from one string; the only module that defines networks.

A name is ``<family>[_x<width>][-s<stride>]``, for example ``resnet20`` or ``vgg9_gap_x0_5-s2``, or
``efficientnet_lite0`` to ``4``, or the name of a classification model of torchvision, which is
taken as it is. The width multiplies the numbers of channels (``0_5`` is 0.5). The stride is that
of the stem: 1 for inputs of about 32 pixels, 2 for 48 to 128, 4 for more. An EfficientNet-Lite
may end early: ``efficientnet_lite0-stage5`` classifies after the fifth of its seven stages.

References
----------
resnet20: He et al. 2016, "Deep residual learning for image recognition", section 4.2, with a 1x1
convolution where a shortcut changes shape. vgg16_gap: Simonyan and Zisserman 2015, "Very deep
convolutional networks", with batch normalisation, and global average pooling in place of the large
linear layers; vgg9_gap is the same with half of the layers. efficientnet_lite: Tan and Le 2019,
"EfficientNet: Rethinking model scaling for convolutional neural networks", with the changes that
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite describes: no
squeeze-and-excitation, ReLU6, and a stem and a head that do not grow with the width.

"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import copy
import math
import re
from typing import cast

import torch
from torch import nn, Tensor
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.flop_counter import FlopCounterMode

NAME = re.compile(
    r'(?P<family>[a-z0-9]+(?:_[a-wy-z][a-z0-9]*)?)'
    r'(?:_x(?P<width>\d+(?:_\d+)?))?(?:-s(?P<stride>[124]))?'
)


EFFICIENTNET = re.compile(r'(?P<whole>efficientnet_lite[0-4])(?:-stage(?P<stage>[1-7]))?')


def build(name: str, classes: int, channels: int = 3) -> nn.Module:
    """
    Return an untrained network: float32 (N, channels, H, W) in, logits (N, classes) out.

    Parameters
    ----------
    name
        As the module describes.
    classes
        Number of logits.
    channels
        3, or 1 for grey images (not for torchvision's models).

    Raises
    ------
    ValueError
        For an unknown name, and for a torchvision model on grey images.

    """
    match = NAME.fullmatch(name)
    if lite := EFFICIENTNET.fullmatch(name):
        width, depth = EFFICIENTNETS[lite['whole']]
        network = _efficientnet_lite(width, depth, lite['stage'], channels, classes)
    elif match is None or match['family'] not in FAMILIES:
        return _torchvision(name, classes, channels)
    else:
        width = float((match['width'] or '1').replace('_', '.'))
        network = FAMILIES[match['family']](width, int(match['stride'] or 1), channels, classes)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
    return network


def fuse(network: nn.Module) -> nn.Module:
    """Return a copy for evaluation, with the batch norms folded into the convolutions."""
    network = copy.deepcopy(network).eval()
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, ConvNorm):
                setattr(module, name, child.fused())
    return network


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module, shape: Sequence[int]) -> int:
    """
    Return the multiply-accumulate operations of convolutions and matrix products, for one image.

    Parameters
    ----------
    network
        On the CPU, in evaluation mode.
    shape
        Of the image, (C, H, W).

    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, *shape))
    return counter.get_total_flops() // 2


class SameConv2d(nn.Conv2d):
    """
    A convolution whose output has ceil(side / stride) pixels, padded as TensorFlow does.

    Where an odd number of pixels is missing, the right and lower borders get one more. Weights
    that were trained with TensorFlow want it so.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, ceil(H / stride), ceil(W / stride))."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        down, across = (
            max(0, (math.ceil(side / stride) - 1) * stride + kernel - side) for side in x.shape[2:]
        )
        if down % 2 or across % 2:
            borders = across // 2, across - across // 2, down // 2, down - down // 2
            x, down, across = nn.functional.pad(x, borders), 0, 0
        padding = down // 2, across // 2
        return nn.functional.conv2d(
            x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


class ConvNorm(nn.Sequential):
    """A padded convolution without bias, batch norm, and an activation."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            activation(),
        )

    @property
    def norm(self) -> nn.BatchNorm2d:
        """The batch norm."""
        return cast(nn.BatchNorm2d, self[1])

    def fused(self) -> nn.Sequential:
        """Return the same function of evaluation mode without the norm."""
        return nn.Sequential(fuse_conv_bn_eval(cast(nn.Conv2d, self[0]), self.norm), self[2])


class Residual(nn.Module):
    """relu(branch(x) + shortcut(x)), with a branch of two 3x3 convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        last = ConvNorm(outputs, outputs, activation=nn.Identity)
        # The block begins as its shortcut, which trains better (Goyal et al. 2017).
        nn.init.zeros_(last.norm.weight)
        self.branch = nn.Sequential(ConvNorm(inputs, outputs, 3, stride), last)
        self.shortcut = (
            nn.Identity()
            if inputs == outputs and stride == 1
            else ConvNorm(inputs, outputs, 1, stride, activation=nn.Identity)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        return nn.functional.relu(self.branch(x) + self.shortcut(x))


class LiteConvNorm(ConvNorm):
    """A convolution of an EfficientNet-Lite, its batch norm, and an activation."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        activation: Callable[[], nn.Module] = nn.ReLU6,
        groups: int = 1,
    ) -> None:
        nn.Sequential.__init__(
            self,
            SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
            activation(),
        )


class InvertedResidual(nn.Sequential):
    """Widen, filter each channel for itself, narrow; with a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, widen: int) -> None:
        wide = inputs * widen
        super().__init__(
            *([LiteConvNorm(inputs, wide)] if widen > 1 else []),
            LiteConvNorm(wide, wide, kernel, stride, groups=wide),
            LiteConvNorm(wide, outputs, activation=nn.Identity),
        )
        self.has_shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, ceil(H / stride), ceil(W / stride))."""
        return x + super().forward(x) if self.has_shortcut else super().forward(x)


class Head(nn.Linear):
    """Global average pooling and one linear layer: (N, inputs, H, W) to (N, classes)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, classes)."""
        return super().forward(x.mean((2, 3)))


def _stem(channels: int, outputs: int, stride: int) -> list[nn.Module]:
    """Return one 3x3 convolution, or two of stride 2 where stride is 4."""
    if stride == 4:
        return [ConvNorm(channels, outputs, 3, 2), ConvNorm(outputs, outputs, 3, 2)]
    return [ConvNorm(channels, outputs, 3, stride)]


def _scaled(channels: int, width: float) -> int:
    """Return channels * width as a multiple of 8, at least 8."""
    return max(8, int(channels * width / 8 + 0.5) * 8)


def _resnet20(width: float, stride: int, channels: int, classes: int) -> nn.Module:
    widths = [_scaled(base, width) for base in (16, 32, 64)]
    layers = _stem(channels, widths[0], stride)
    inputs = widths[0]
    for stage, outputs in enumerate(widths):
        for unit in range(3):
            layers.append(Residual(inputs, outputs, 2 if stage and not unit else 1))
            inputs = outputs
    return nn.Sequential(*layers, Head(inputs, classes))


def _vgg(stages: Sequence[Sequence[int]]) -> Family:
    def make(width: float, stride: int, channels: int, classes: int) -> nn.Module:
        inputs = _scaled(stages[0][0], width)
        layers = _stem(channels, inputs, stride)
        for stage, bases in enumerate(stages):
            if stage:
                layers.append(nn.MaxPool2d(2))
            for base in bases if stage else bases[1:]:
                outputs = _scaled(base, width)
                layers.append(ConvNorm(inputs, outputs))
                inputs = outputs
        return nn.Sequential(*layers, Head(inputs, classes))

    return make


def _efficientnet_lite(
    width: float, depth: float, last_stage: str | None, channels: int, classes: int
) -> nn.Module:
    layers: list[nn.Module] = [LiteConvNorm(channels, 32, 3, 2)]
    inputs = 32
    # Repetitions, kernel, stride, widening and outputs of each stage; the first and the last are
    # not repeated more often in the deeper ones.
    stages = (
        *((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80)),
        *((3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
    )
    for repetitions, kernel, stride, widen, base in stages[: int(last_stage or 7)]:
        outputs = _scaled(base, width)
        for unit in range(math.ceil(repetitions * depth) if repetitions > 1 else 1):
            layers.append(InvertedResidual(inputs, outputs, kernel, 1 if unit else stride, widen))
            inputs = outputs
    if last_stage is None:
        layers.append(LiteConvNorm(inputs, 1280))
        inputs = 1280
    return nn.Sequential(*layers, Head(inputs, classes))


def _torchvision(name: str, classes: int, channels: int) -> nn.Module:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise ValueError(
            f'unknown network {name!r}: no classification model of torchvision, and not '
            f'<family>[_x<width>][-s1|-s2|-s4] with a family of {", ".join(FAMILIES)}'
        )
    if channels != 3:
        raise ValueError(f'{name} takes colour images only; choose another network for grey')
    # The two Inceptions would return a second output while training, and take long to initialise.
    extra = (
        {'aux_logits': False, 'init_weights': False}
        if name in ('googlenet', 'inception_v3')
        else {}
    )
    network: nn.Module = models.get_model(name, weights=None, num_classes=classes, **extra)
    return network


# Width and depth in multiples of the smallest.
EFFICIENTNETS = {
    'efficientnet_lite0': (1.0, 1.0),
    'efficientnet_lite1': (1.0, 1.1),
    'efficientnet_lite2': (1.1, 1.2),
    'efficientnet_lite3': (1.2, 1.4),
    'efficientnet_lite4': (1.4, 1.8),
}
# From width, stride of the stem, channels of the image and number of classes.
Family = Callable[[float, int, int, int], nn.Module]
FAMILIES: dict[str, Family] = {
    'resnet20': _resnet20,
    'vgg9_gap': _vgg(((32, 32), (64, 64), (128, 128), (128, 128))),
    'vgg16_gap': _vgg(((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)),
}
