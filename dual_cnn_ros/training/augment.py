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
Random changes of training images, drawn for each image of a batch, on the batch's device.

torchvision's transforms draw one set of numbers for a whole batch, which would change all of its
images alike; only MixUp and CutMix, which are meant for batches, come from there.
"""

from __future__ import annotations

from collections.abc import Callable
import math

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

from dual_cnn_ros.training.options import Augmentation

Mixing = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def augment(images: Tensor, size: tuple[int, int], options: Augmentation) -> Tensor:
    """
    Change each image at random, with numbers of torch's global generator.

    Parameters
    ----------
    images
        uint8 (N, C, H, W).
    size
        Height and width of the result.
    options
        What to change, and by how much.

    Returns
    -------
    Tensor
        float32 (N, C, *size), of values in 0 to 1.

    """
    pixels = images.float() / 255
    if images.shape[-2:] != size or options.moves:
        pixels = _warp(pixels, size, options)
    if options.light:
        pixels = _relight(pixels, options.light)
    if options.saturate:
        grey = pixels.mean(1, keepdim=True)
        factor = 1 + _uniform(pixels, -options.saturate, options.saturate)
        pixels = grey + (pixels - grey) * factor
    if options.noise:
        pixels = pixels + _uniform(pixels, 0, options.noise) * torch.randn_like(pixels)
    pixels = pixels.clamp(0, 1)
    return _erase(pixels, options.erase) if options.erase else pixels


def make_mixing(options: Augmentation, classes: int) -> Mixing:
    """
    Return what mixes the images of a batch: mixup, cutmix, one of them at random, or nothing.

    Parameters
    ----------
    options
        Of which `mixup` and `cutmix` count.
    classes
        Number of classes.

    Returns
    -------
    Mixing
        From images (N, C, H, W) and labels (N,) to images and class probabilities (N, classes);
        it returns its arguments where nothing is to be mixed.

    References
    ----------
    Zhang et al. 2018, "mixup: Beyond empirical risk minimization"; Yun et al. 2019, "CutMix:
    Regularization strategy to train strong classifiers with localizable features".

    """
    methods = [
        method(alpha=float(alpha), num_classes=classes)
        for method, alpha in ((v2.MixUp, options.mixup), (v2.CutMix, options.cutmix))
        if alpha
    ]
    mixing: Mixing = v2.RandomChoice(methods or [v2.Identity()])
    return mixing


def _uniform(like: Tensor, low: float, high: float, channels: int = 1) -> Tensor:
    """Return a random number for each image, or each channel of each, (N, channels, 1, 1)."""
    return torch.empty(len(like), channels, 1, 1, device=like.device).uniform_(low, high)


def _warp(pixels: Tensor, size: tuple[int, int], options: Augmentation) -> Tensor:
    """Crop, stretch, shift, turn and mirror each image, reflected at its borders."""

    def uniform(low: float, high: float) -> Tensor:
        return _uniform(pixels, low, high).flatten()

    height, width = size
    area = uniform(options.zoom, 1)
    ratio = torch.exp(uniform(-1, 1) * math.log(options.stretch if options.zoom < 1 else 1))
    across, down = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    right = uniform(-1, 1) * (1 - across + 2 * options.shift)
    below = uniform(-1, 1) * (1 - down + 2 * options.shift)
    if pixels.shape[-2:] == size and options.zoom == 1 and not options.rotate:
        # Whole pixels, because interpolation blurs, and the images of use are sharp.
        right = torch.round(right * width / 2) * 2 / width
        below = torch.round(below * height / 2) * 2 / height
    angle = uniform(-1, 1) * math.radians(options.rotate)
    mirror = torch.where(uniform(0, 1) < (0.5 if options.flip else 0), -1.0, 1.0)
    # affine_grid counts in half sides, so that a rotation has to know the ratio of the sides.
    cos, sin, aspect = angle.cos(), angle.sin(), width / height
    rows = (
        torch.stack((mirror * across * cos, -down * sin / aspect, right), 1),
        torch.stack((mirror * across * sin * aspect, down * cos, below), 1),
    )
    shape = [*pixels.shape[:2], height, width]
    grid = functional.affine_grid(torch.stack(rows, 1), shape, align_corners=False)
    return functional.grid_sample(pixels, grid, padding_mode='reflection', align_corners=False)


def _relight(pixels: Tensor, change: float) -> Tensor:
    """Change brightness and contrast of each image, and half as much the gain of each channel."""
    gain = _uniform(pixels, -change / 2, change / 2, pixels.shape[1])
    pixels = pixels * (1 + _uniform(pixels, -change, change) + gain)
    middle = pixels.mean((1, 2, 3), keepdim=True)
    return middle + (pixels - middle) * (1 + _uniform(pixels, -change, change))


def _erase(pixels: Tensor, probability: float) -> Tensor:
    """Overwrite a rectangle of some images with noise (Zhong et al. 2020)."""
    sides = (torch.linspace(0, 1, side, device=pixels.device) for side in pixels.shape[-2:])
    rows, columns = torch.meshgrid(*sides, indexing='ij')
    ratio, area = torch.exp(_uniform(pixels, -1, 1)), _uniform(pixels, 0.02, 0.2)
    inside = ((rows - _uniform(pixels, 0, 1)).abs() < (area * ratio).sqrt() / 2) & (
        (columns - _uniform(pixels, 0, 1)).abs() < (area / ratio).sqrt() / 2
    )
    chosen = _uniform(pixels, 0, 1) < probability
    return torch.where(inside & chosen, torch.rand_like(pixels), pixels)
