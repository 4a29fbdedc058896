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

"""What a training minimises: cross-entropy, and the distance from a teacher's answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import Normalize

from dual_cnn_ros.calibration.candidates import read_candidates
from dual_cnn_ros.cascade.frame import COLOURS
from dual_cnn_ros.inference import InferenceError, load_model
from dual_cnn_ros.training.checkpoint import TrainingError
from dual_cnn_ros.training.options import TrainingOptions

# From logits (N, K), targets (N,) or (N, K), and the images (N, C, H, W) in 0 to 1, to the loss.
Objective = Callable[[Tensor, Tensor, Tensor], Tensor]


class Teacher:
    """
    Trained CNNs that answer what the student sees, all of them together.

    Parameters
    ----------
    names
        Bundles, by name or path; every stage of each is asked.
    colour
        Of the student's input; the teachers' must be the same.
    device
        A name of DEVICES.

    Raises
    ------
    TrainingError
        A teacher cannot be run, or sees other channels.
    ValueError
        There is no such bundle.

    """

    def __init__(self, names: Sequence[str], colour: str, device: str) -> None:
        members = read_candidates(names)
        self.labels = members[0].labels
        providers = ('cpu',) if device == 'cpu' else ('cuda', 'cpu')
        self._members = []
        for member in members:
            wanted = member.stage.input
            if wanted.colour != colour or member.labels != self.labels:
                raise TrainingError(
                    f'--teacher {member.path}: {member.name} takes {wanted.colour} images of '
                    f'{", ".join(member.labels)}; it must be {colour} and the same classes for all'
                )
            try:
                model = load_model(
                    member.stage.source,
                    len(self.labels),
                    len(COLOURS[colour]),
                    providers=providers,
                    threads=0,
                )
            except InferenceError as error:
                raise TrainingError(f'--teacher {member.path}: {error}') from error
            self._members.append(
                (model, wanted, Normalize(wanted.mean, wanted.std), member.stage.temperature)
            )

    @property
    def size(self) -> tuple[int, int]:
        """The largest height and width that one of them takes."""
        heights, widths = zip(*((w.height, w.width) for _, w, _, _ in self._members))
        return max(heights), max(widths)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the log of the mean probabilities, (N, K), of images (N, C, H, W) in 0 to 1."""
        answers = []
        for model, wanted, normalise, temperature in self._members:
            pixels = normalise(shrink(images, (wanted.height, wanted.width)))
            logits = torch.from_numpy(model(pixels.contiguous().cpu().numpy()))
            answers.append((logits / temperature).softmax(1))
        return torch.stack(answers).mean(0).clamp(1e-6).log().to(images.device)


def make_objective(options: TrainingOptions, teacher: Teacher | None) -> Objective:
    """Return what the options ask for, but for a joint training, see `joint`."""
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


def shrink(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return images (N, C, H, W) averaged down to a size, height and width."""
    if images.shape[-2:] == size:
        return images
    return functional.interpolate(images, size, mode='bilinear', antialias=True)
