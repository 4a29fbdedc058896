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
What a training is told to do, each option declared once: its default, its limits and its text.

This module works without torch, so that the command line does too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
import math
from pathlib import Path
from typing import Any

from dual_cnn_ros.cascade.frame import COLOURS, Preprocessing

DEVICES = ('auto', 'cpu', 'cuda')
# Means and deviations of ImageNet's red, green and blue, which fit photographs in general.
MEAN = {'rgb': (0.485, 0.456, 0.406), 'bgr': (0.406, 0.456, 0.485), 'grey': (0.449,)}
STD = {'rgb': (0.229, 0.224, 0.225), 'bgr': (0.225, 0.224, 0.229), 'grey': (0.226,)}
# What the weights of the EfficientNet-Lites were trained with.
LITE_MEAN, LITE_STD = 127 / 255, 128 / 255
# Defaults of a training that begins with trained weights.
FINE_TUNING: dict[str, Any] = {
    'input': (128, 128),
    'epochs': 6,
    'batch_size': 32,
    'optimizer': 'adamw',
    'lr': 5e-4,
    'weight_decay': 0.02,
}


def _option(default: Any, text: str, low: float = 0, high: float = math.inf, **extra: Any) -> Any:
    """Return a dataclass field with the help and the limits of its command-line option."""
    return field(default=default, metadata={'help': text, 'limits': (low, high), **extra})


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training images; each image gets random numbers of its own."""

    flip: bool = _option(True, 'mirror half of the images; not for signs or text')
    zoom: float = _option(0.5, 'smallest area of a random crop; 1 for none', 0.05, 1)
    stretch: float = _option(1.33, 'largest ratio of the sides of a random crop', 1, 3)
    shift: float = _option(0.0, 'largest shift, fraction of the side', 0, 0.5)
    rotate: float = _option(0.0, 'largest rotation, degrees', 0, 180)
    light: float = _option(
        0.2,
        'largest relative change of brightness and of contrast, and half of it of each channel',
        0,
        0.9,
    )
    saturate: float = _option(0.2, 'largest relative change of saturation', 0, 1)
    noise: float = _option(0.0, 'largest deviation of noise on values in 0 to 1', 0, 0.5)
    erase: float = _option(0.0, 'probability that a rectangle is overwritten', 0, 1)
    mixup: float = _option(0.0, 'parameter of mixup; 0 for none', 0, 10)
    cutmix: float = _option(
        0.0, 'parameter of cutmix; 0 for none; beside mixup, a batch gets one of them', 0, 10
    )

    @property
    def moves(self) -> bool:
        """Whether the pixels of an image change their places."""
        return bool(self.flip or self.zoom < 1 or self.shift or self.rotate)


@dataclass(frozen=True)
class TrainingOptions:
    """What to train, on which images, and how."""

    data: Path  # folder or tar of labelled images
    model: str  # a name for `networks.build`
    out: Path  # the bundle is written to out/name
    name: str
    start: str | None = None  # weights to begin with: see `pretrained.initial_weights`
    split: str | None = _option(None, 'the one to train on; the default is the only one, or train')
    validation: float = _option(
        0.1,
        'fraction of the split that is never trained on, chosen by a hash of seed, class and file '
        'name; `calibrate` uses exactly this part',
        0,
        0.9,
    )
    exclude: Path | None = _option(  # noqa: RUF009 - a field
        None, 'file of names to leave out, one <class>/<image> a line'
    )
    labels: tuple[str, ...] | None = _option(
        None, 'the classes that the data must have', metavar='LABEL'
    )
    input: tuple[int, int] = _option((64, 64), 'size of the input, pixels (%(default)s)')
    store: tuple[int, int] | None = _option(
        None,
        'size at which training images are kept; one that is larger than the default, the input '
        'divided by --crop, leaves detail to random crops',
    )
    crop: float | None = _option(
        None,
        "use the centre that has the input's shape and covers this fraction of the side that "
        'limits it; by default the whole image is stretched',
        0.1,
        1,
    )
    colour: str = _option('rgb', 'order of the channels', choices=tuple(COLOURS))
    mean: tuple[float, ...] | None = _option(
        None, "of each channel, of values in 0 to 1; ImageNet's by default"
    )
    std: tuple[float, ...] | None = _option(
        None, "of each channel, of values in 0 to 1; ImageNet's by default"
    )
    epochs: int = _option(60, 'passes over the data', 1)
    batch_size: int = _option(128, 'images of a step', 2)
    lr: float = _option(0.2, 'highest learning rate of the one cycle; about 0.003 for AdamW')
    lr_ratio: float = _option(
        1.0,
        'learning rate of the first layer in that of the last; between them it rises by equal '
        'factors',
        1e-6,
        1,
    )
    freeze_norms: bool = _option(
        False, 'leave the statistics of the batch norms as they are in the weights of --from'
    )
    weight_decay: float = _option(5e-4, 'of convolutions and linear layers; about 0.05 for AdamW')
    label_smoothing: float = _option(0.1, 'part of each target, spread over all classes', 0, 0.9)
    ema: float = _option(
        1.0, 'epochs that the moving average of the weights covers, about; 0 for no average'
    )
    teacher: tuple[str, ...] | None = _option(
        None,
        'bundles, by name or path, whose mean answer to the same changed images is learned beside '
        'the labels',
        metavar='BUNDLE',
    )
    teacher_weight: float = _option(0.9, 'part of the loss that is its answers', 0, 1)
    teacher_temperature: float = _option(
        2.0, 'by which its logits, and those that learn from it, are divided', 0.1, 100
    )
    joint: tuple[str, ...] | None = _option(
        None,
        'CNNs that are asked after this one, networks or bundles of one stage: all are trained '
        'together with selectors that say when to stop, and make one bundle',
        metavar='NET',
    )
    price: float = _option(
        0.2,
        'with --joint, what the cost of asking all CNNs counts against the log-likelihood of the '
        'label, in nats: the higher, the sooner it stops',
    )
    optimizer: str = _option(
        'sgd', 'SGD with a Nesterov momentum of 0.9, or AdamW', choices=('sgd', 'adamw')
    )
    seed: int = _option(0, 'of all random numbers, and of the choice of the validation images')
    device: str = _option('auto', 'where to train', choices=DEVICES)
    amp: bool = _option(True, 'compute in mixed precision, with bfloat16, on a GPU')
    restart: bool = _option(False, 'forget an earlier checkpoint')
    augmentation: Augmentation = field(default_factory=Augmentation)

    @property
    def preprocessing(self) -> Preprocessing:
        """What the network wants of a frame; ValueError where mean or std does not fit colour."""
        mean, std = MEAN[self.colour], STD[self.colour]
        if self.model.startswith('efficientnet_lite'):
            mean, std = (LITE_MEAN,) * self.channels, (LITE_STD,) * self.channels
        return Preprocessing(
            *self.input, self.colour, self.crop, self.mean or mean, self.std or std
        )

    @property
    def channels(self) -> int:
        """Number of channels of the network's input."""
        return len(COLOURS[self.colour])

    def stored_size(self, view: tuple[int, int]) -> tuple[int, int]:
        """
        Return height and width at which training images are kept, with the margin around a crop.

        Parameters
        ----------
        view
            Height and width of an augmented image.

        """
        height, width = view
        scale = self.crop or 1
        return self.store or (round(height / scale), round(width / scale))
