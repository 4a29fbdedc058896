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

"""What a training minimises: cross-entropy, a teacher's answers, or a gatekeeper's loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import Normalize

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.cascade.frame import COLOURS
from dual_cnn_ros.inference import InferenceError, load_model
from dual_cnn_ros.training.checkpoint import TrainingError
from dual_cnn_ros.training.options import TrainingOptions

# From logits (N, K), targets (N,) or (N, K), and the images (N, C, H, W) in 0 to 1, to the loss.
Objective = Callable[[Tensor, Tensor, Tensor], Tensor]


class Teacher:
    """
    A trained CNN that answers what the student sees.

    Parameters
    ----------
    name
        Bundle of one stage, by name or path.
    classes, colour
        Of the student; the teacher's must be the same.
    device
        A name of DEVICES.

    Raises
    ------
    TrainingError
        The teacher cannot be run, or knows other classes or channels.

    """

    def __init__(self, name: str, colour: str, device: str) -> None:
        bundle = Bundle.open(name)
        (stage, *others) = bundle.stages
        if others or stage.input.colour != colour:
            raise TrainingError(
                f'--teacher {bundle.path} must have one stage whose input is {colour}; it has '
                f'{len(bundle.stages)}, and the first takes {stage.input.colour}'
            )
        self.path, self.labels, self.temperature = bundle.path, bundle.labels, stage.temperature
        self.size = stage.input.height, stage.input.width
        self._normalise = Normalize(stage.input.mean, stage.input.std)
        channels = len(COLOURS[colour])
        providers = ('cpu',) if device == 'cpu' else ('cuda', 'cpu')
        try:
            self._model = load_model(
                stage.source, len(bundle.labels), channels, providers=providers, threads=0
            )
        except InferenceError as error:
            raise TrainingError(f'--teacher {bundle.path}: {error}') from error

    def __call__(self, images: Tensor) -> Tensor:
        """Return logits (N, K), at its temperature, of images (N, C, H, W) in 0 to 1."""
        pixels = self._normalise(shrink(images, self.size))
        logits = self._model(pixels.contiguous().cpu().numpy())
        return torch.from_numpy(logits).to(images.device) / self.temperature


def make_objective(options: TrainingOptions, teacher: Teacher | None) -> Objective:
    """Return what the options ask for; TrainingError where two of them exclude each other."""
    if options.gatekeeper is not None:
        mixing = options.augmentation.mixup or options.augmentation.cutmix
        if teacher is not None or mixing:
            raise TrainingError(
                '--gatekeeper asks which images are answered rightly, so it goes with neither '
                '--teacher nor --mixup nor --cutmix'
            )
        return partial(gatekeeper_loss, share=options.gatekeeper)
    if teacher is not None:
        return partial(
            distillation_loss,
            teacher=teacher,
            weight=options.teacher_weight,
            temperature=options.teacher_temperature,
            label_smoothing=options.label_smoothing,
        )
    return lambda logits, targets, images: functional.cross_entropy(
        logits, targets, label_smoothing=options.label_smoothing
    )


def distillation_loss(
    logits: Tensor,
    targets: Tensor,
    images: Tensor,
    *,
    teacher: Callable[[Tensor], Tensor],
    weight: float,
    temperature: float,
    label_smoothing: float,
) -> Tensor:
    """
    Return a mean of cross-entropy and Kullback-Leibler divergence from the teacher's answers.

    The teacher sees the very same changed images, which is what makes distillation work.

    References
    ----------
    Hinton et al. 2015, "Distilling the knowledge in a neural network"; Beyer et al. 2022,
    "Knowledge distillation: A good teacher is patient and consistent".

    """
    taught = functional.log_softmax(teacher(images) / temperature, 1)
    learned = functional.log_softmax(logits / temperature, 1)
    divergence = functional.kl_div(learned, taught, reduction='batchmean', log_target=True)
    labelled = functional.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    # Gradients of the divergence fall with the square of the temperature.
    return weight * temperature**2 * divergence + (1 - weight) * labelled


def gatekeeper_loss(logits: Tensor, targets: Tensor, images: Tensor, *, share: float) -> Tensor:
    """
    Return share * mean(right * cross-entropy) + (1 - share) * mean(wrong * KL(p || uniform)).

    References
    ----------
    Rabanser et al. 2025, "Gatekeeper: Improving model cascades through confidence tuning",
    arXiv 2502.19335.

    """
    log_p = functional.log_softmax(logits, 1)
    right = logits.argmax(1) == targets
    sure = functional.nll_loss(log_p, targets, reduction='none')
    # KL(p || uniform) = ln K - H(p).
    unsure = (log_p.exp() * log_p).sum(1) + torch.tensor(float(logits.shape[1])).log()
    return torch.where(right, share * sure, (1 - share) * unsure).mean()


def shrink(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return images (N, C, H, W) averaged down to a size, height and width."""
    if images.shape[-2:] == size:
        return images
    return functional.interpolate(images, size, mode='bilinear', antialias=True)
