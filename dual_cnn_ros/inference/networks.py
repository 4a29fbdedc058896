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
Small CNNs for small images, each rebuilt from one string; the only module that holds networks.

A name is `<family>[_x<width>][-s<stride>]`, for example `resnet20` or `mobilenetv2_x0_5-s2`, or
the name of any torchvision classification model, taken as it is. width multiplies the channels
(`0_5` is 0.5). stride is that of the stem: 1 for about 32 pixels, 2 for 48 to 128, 4 for more.

Families: resnet20, resnet32, resnet44, resnet56 (He et al. 2016, section 4.2, with a 1x1
convolution where a shortcut changes shape); mobilenetv2 (Sandler et al. 2018); shufflenetv2 (Ma et
al. 2018); repvgg_tiny, repvgg_a0, repvgg_a2 (Ding et al. 2021; tiny is ours); vgg9_gap, vgg16_gap
(Simonyan and Zisserman 2015, with batch normalisation, and a global average in place of the large
linear layers; the nine layers are ours).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import copy
import re
from typing import Any

import torch
from torch import nn, Tensor
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

NAME = re.compile(
    r'(?P<family>[a-z0-9]+(?:_[a-wy-z][a-z0-9]*)?)'
    r'(?:_x(?P<width>\d+(?:_\d+)?))?(?:-s(?P<stride>[124]))?'
)


def build(name: str, classes: int, channels: int = 3) -> nn.Module:
    """
    Return the untrained network: float32 (N, channels, H, W) in, logits float32 (N, classes) out.

    channels: 3, or 1 for grey (not for torchvision's models). ValueError for an unknown name.
    """
    match = NAME.fullmatch(name)
    if match is None or match['family'] not in FAMILIES:
        return _torchvision(name, classes, channels)
    width = float((match['width'] or '1').replace('_', '.'))
    network = FAMILIES[match['family']](width, int(match['stride'] or 1), channels, classes)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
    for module in network.modules():
        if isinstance(module, Residual):
            module.start_as_identity()
    return network


def fuse(network: nn.Module) -> nn.Module:
    """Return an evaluation copy with batch norms and RepVGG branches folded into convolutions."""
    network = copy.deepcopy(network).eval()
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, ConvNorm | RepVgg):
                setattr(module, name, child.fused())
    return network


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_multiply_adds(network: nn.Module, shape: Sequence[int]) -> int:
    """Return what convolutions and linear layers multiply and add for one input, (C, H, W)."""
    total = 0

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += output.numel() * module.in_features

    hooks = [module.register_forward_hook(add) for module in network.modules()]
    training = network.training
    weight = next(network.parameters())
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, *shape, device=weight.device, dtype=weight.dtype))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return total


class ConvNorm(nn.Sequential):
    """A convolution that keeps the size (but for its stride), batch norm, and an activation."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            activation(),
        )

    def fused(self) -> nn.Sequential:
        """Return the same function of evaluation mode as a convolution and the activation."""
        return nn.Sequential(_folded(self), self[2])


class Residual(nn.Module):
    """activation(branch(x) + shortcut(x)); the branch ends in a ConvNorm."""

    def __init__(self, branch: nn.Sequential, shortcut: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        result: Tensor = self.activation(self.branch(x) + self.shortcut(x))
        return result

    def start_as_identity(self) -> None:
        """Zero the scale of the branch's last norm, which trains better (Goyal et al. 2017)."""
        last: Any = self.branch[-1]
        nn.init.zeros_(last[1].weight)


class RepVgg(nn.Module):
    """The sum of a 3x3 and a 1x1 convolution and, where shapes agree, the input, each normed."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.wide = ConvNorm(inputs, outputs, 3, stride, activation=nn.Identity)
        self.point = ConvNorm(inputs, outputs, 1, stride, activation=nn.Identity)
        self.identity = nn.BatchNorm2d(inputs) if inputs == outputs and stride == 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        total: Tensor = self.wide(x) + self.point(x)
        if self.identity is not None:
            total = total + self.identity(x)
        return functional.relu(total)

    def fused(self) -> nn.Sequential:
        """Return the same function of evaluation mode as one 3x3 convolution and a ReLU."""
        convolution, point = _folded(self.wide), _folded(self.point)
        weight, bias = convolution.weight.data, convolution.bias.data
        weight[:, :, 1:2, 1:2] += point.weight.data
        bias += point.bias.data
        norm: Any = self.identity
        if norm is not None:
            scale = norm.weight.data / torch.sqrt(norm.running_var + norm.eps)
            weight[:, :, 1, 1] += torch.diag(scale)
            bias += norm.bias.data - norm.running_mean * scale
        return nn.Sequential(convolution, nn.ReLU())


class Shuffle(nn.Module):
    """ShuffleNetV2's unit: half of the channels pass, or all, worked on, where stride is 2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        self.passing: nn.Module = nn.Identity()
        if stride == 2:
            self.passing = nn.Sequential(
                ConvNorm(inputs, inputs, 3, 2, inputs, nn.Identity), ConvNorm(inputs, half, 1)
            )
        else:
            inputs = half
        self.split = stride == 1
        self.branch = nn.Sequential(
            ConvNorm(inputs, half, 1),
            ConvNorm(half, half, 3, stride, half, nn.Identity),
            ConvNorm(half, half, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        passing, worked = x.chunk(2, 1) if self.split else (x, x)
        halves = torch.cat((self.passing(passing), self.branch(worked)), 1)
        # Interleaves the halves, so that the next unit's passing half holds some of each.
        return halves.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)


class Head(nn.Linear):
    """One linear layer of the average over all places: (N, inputs, H, W) to (N, classes)."""

    def forward(self, x: Tensor) -> Tensor:
        """Average, then map."""
        return super().forward(x.mean((2, 3)))


def _folded(block: Any) -> Any:
    """Return a convolution that does what the block's first two parts do in evaluation mode."""
    return fuse_conv_bn_eval(block[0], block[1])


def _stem(
    channels: int, outputs: int, stride: int, activation: Callable[[], nn.Module] = nn.ReLU
) -> list[nn.Module]:
    """Return one 3x3 convolution, or two of stride 2 where stride is 4."""
    if stride == 4:
        return [
            ConvNorm(channels, outputs, 3, 2, activation=activation),
            ConvNorm(outputs, outputs, 3, 2, activation=activation),
        ]
    return [ConvNorm(channels, outputs, 3, stride, activation=activation)]


def _scaled(channels: int, width: float) -> int:
    """Return channels * width as a multiple of 8, at least 8."""
    return max(8, int(channels * width / 8 + 0.5) * 8)


def _resnet(depth: int) -> Family:
    def make(width: float, stride: int, channels: int, classes: int) -> nn.Module:
        widths = [_scaled(base, width) for base in (16, 32, 64)]
        layers = _stem(channels, widths[0], stride)
        inputs = widths[0]
        for stage, outputs in enumerate(widths):
            for unit in range((depth - 2) // 6):
                step = 2 if stage and not unit else 1
                branch = nn.Sequential(
                    ConvNorm(inputs, outputs, 3, step),
                    ConvNorm(outputs, outputs, activation=nn.Identity),
                )
                shortcut = (
                    nn.Identity()
                    if inputs == outputs and step == 1
                    else ConvNorm(inputs, outputs, 1, step, activation=nn.Identity)
                )
                layers.append(Residual(branch, shortcut, nn.ReLU()))
                inputs = outputs
        return nn.Sequential(*layers, Head(inputs, classes))

    return make


def _mobilenetv2(width: float, stride: int, channels: int, classes: int) -> nn.Module:
    inputs = _scaled(32, width)
    layers = _stem(channels, inputs, stride, nn.ReLU6)
    # Expansion, channels, units, stride. Two of the paper's five halvings are left to the stem.
    for expansion, base, units, first in (
        (1, 16, 1, 1),
        (6, 24, 2, 1),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        outputs = _scaled(base, width)
        for unit in range(units):
            step = first if unit == 0 else 1
            hidden = inputs * expansion
            branch = nn.Sequential(
                *([ConvNorm(inputs, hidden, 1, activation=nn.ReLU6)] if expansion > 1 else []),
                ConvNorm(hidden, hidden, 3, step, hidden, nn.ReLU6),
                ConvNorm(hidden, outputs, 1, activation=nn.Identity),
            )
            same = inputs == outputs and step == 1
            layers.append(Residual(branch, nn.Identity(), nn.Identity()) if same else branch)
            inputs = outputs
    last = _scaled(1280, width)
    return nn.Sequential(
        *layers, ConvNorm(inputs, last, 1, activation=nn.ReLU6), Head(last, classes)
    )


def _shufflenetv2(width: float, stride: int, channels: int, classes: int) -> nn.Module:
    table = {0.5: (48, 96, 192), 1.0: (116, 232, 464), 1.5: (176, 352, 704), 2.0: (244, 488, 976)}
    if width not in table:
        raise ValueError(
            'shufflenetv2 has the widths x0_5, x1_0, x1_5 and x2_0, '
            f'not x{str(width).replace(".", "_")}'
        )
    inputs = 24
    layers = _stem(channels, inputs, stride)
    for outputs, units in zip(table[width], (4, 8, 4)):
        layers += [
            Shuffle(inputs if unit == 0 else outputs, outputs, 2 if unit == 0 else 1)
            for unit in range(units)
        ]
        inputs = outputs
    return nn.Sequential(*layers, ConvNorm(inputs, 1024, 1), Head(1024, classes))


def _repvgg(stem: int, widths: Sequence[int], units: Sequence[int]) -> Family:
    def make(width: float, stride: int, channels: int, classes: int) -> nn.Module:
        inputs = _scaled(stem, width)
        layers: list[nn.Module] = [RepVgg(channels, inputs, min(stride, 2))]
        for stage, (base, count) in enumerate(zip(widths, units)):
            outputs = _scaled(base, width)
            for unit in range(count):
                # The stem halves once; with a stride of 4 the first stage halves again.
                step = 2 if unit == 0 and (stage or stride == 4) else 1
                layers.append(RepVgg(inputs, outputs, step))
                inputs = outputs
        return nn.Sequential(*layers, Head(inputs, classes))

    return make


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


Family = Callable[[float, int, int, int], nn.Module]
FAMILIES: dict[str, Family] = {
    'resnet20': _resnet(20),
    'resnet32': _resnet(32),
    'resnet44': _resnet(44),
    'resnet56': _resnet(56),
    'mobilenetv2': _mobilenetv2,
    'shufflenetv2': _shufflenetv2,
    'repvgg_tiny': _repvgg(16, (24, 48, 80, 160), (2, 2, 4, 1)),
    'repvgg_a0': _repvgg(48, (48, 96, 192, 1280), (2, 4, 14, 1)),
    'repvgg_a2': _repvgg(64, (96, 192, 384, 1408), (2, 4, 14, 1)),
    'vgg9_gap': _vgg(((32, 32), (64, 64), (128, 128), (128, 128))),
    'vgg16_gap': _vgg(((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)),
}
