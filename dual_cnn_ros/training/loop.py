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
Train one CNN on labelled images, from nothing or from weights: the whole loop, data to bundle.

All images lie as one uint8 tensor on the device and are augmented there batch by batch, so that a
GPU never waits for Python. A part of the split (--validation) is never trained on: it shows the
progress here, and `calibrate` finds thresholds on it. The last epoch's weights are kept, never the
best epoch's, because a choice by the validation images would make their accuracy look too good.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from torch import nn, Tensor
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.transforms.v2 import Normalize
from tqdm import tqdm

from dual_cnn_ros.cascade.frame import COLOURS
from dual_cnn_ros.data.dataset import Dataset, LabelledImages, load_dataset, read_names, Reduction
from dual_cnn_ros.data.problems import say_problems
from dual_cnn_ros.heap import keep_freed_blocks
from dual_cnn_ros.inference import networks
from dual_cnn_ros.training.augment import augment, make_mixing
from dual_cnn_ros.training.checkpoint import Checkpoint, EpochRecord, Stateful, TrainingError
from dual_cnn_ros.training.export import TrainedStage, TrainingMetrics, write_stages
from dual_cnn_ros.training.joint import build_member, JointCascade, JointObjective
from dual_cnn_ros.training.objective import make_objective, shrink, Teacher
from dual_cnn_ros.training.options import TrainingOptions
from dual_cnn_ros.training.pretrained import initialise

SECONDS_BETWEEN_LINES = 30


def train(options: TrainingOptions) -> TrainingMetrics:
    """
    Train a network, or several together, and write a bundle of as many stages.

    A checkpoint beside the bundle holds the last finished epoch. All random numbers of an epoch
    come from the seed and the epoch's number, so that a training that was killed and started again
    ends as one that was not (on a GPU up to the order of its sums).

    Parameters
    ----------
    options
        What to train, on which images, and how.

    Returns
    -------
    TrainingMetrics
        What ``metrics.json`` in the bundle says.

    Raises
    ------
    TrainingError
        If the network, the device or a checkpoint does not fit the options, or the loss diverges.
    PretrainedError
        If the weights to begin with cannot be had.
    DataError
        If the data cannot be used.

    """
    keep_freed_blocks((2 << 30) - 1)
    # What may be wrong with the options is found before the data are read, which may take minutes.
    _check_network(options)
    normalise = Normalize(options.preprocessing.mean, options.preprocessing.std)
    device = _find_device(options.device)
    if options.joint and options.teacher:
        raise TrainingError('--joint learns from labels only; leave --teacher out')
    teacher = Teacher(options.teacher, options.colour, options.device) if options.teacher else None
    objective = make_objective(options, teacher)
    # Teacher and student look at the same image, each at its own size.
    height, width = options.input
    if teacher:
        height, width = max(height, teacher.size[0]), max(width, teacher.size[1])
    view = height, width
    data = _load(options, view)
    if teacher and teacher.labels != data.classes:
        raise TrainingError(
            f'--teacher {" ".join(options.teacher or ())} knows other classes than '
            f'{options.data} has: {", ".join(teacher.labels)}'
        )
    images, labels = _to_device(data.training, options.colour, device)
    validation = _to_device(data.validation, options.colour, device)
    batch_size = min(options.batch_size, len(images))
    steps = len(images) // batch_size

    torch.manual_seed(options.seed)
    network = networks.build(options.model, len(data.classes), options.channels)
    origin = ''
    if options.start and (source := initialise(network, options.start).origin):
        origin = f'fine-tuned from {source}'
    members = [(network, options.model, origin)]
    parts: dict[str, Stateful] = {}
    if options.joint:
        members += [build_member(n, len(data.classes), options.channels) for n in options.joint]
        shape = options.channels, *options.input
        costs = [networks.count_macs(networks.fuse(each), shape) for each, _, _ in members]
        network = JointCascade([each for each, _, _ in members], costs)
        objective = parts['objective'] = JointObjective(network.spent, options.price).to(device)
    # The order of the pixels in which convolutions of one channel each are fast.
    network = network.to(device).to(memory_format=torch.channels_last)
    # With its buffers, because batch norms need the statistics of the averaged weights.
    average = AveragedModel(network, use_buffers=True)
    optimizer = _make_optimizer(network, options)
    mix = make_mixing(options.augmentation, len(data.classes))

    options.out.mkdir(parents=True, exist_ok=True)
    checkpoint = Checkpoint(
        options.out / f'{options.name}.checkpoint.pt',
        options,
        data,
        {'network': network, 'average': average, 'optimizer': optimizer, **parts},
    )
    if options.restart:
        checkpoint.path.unlink(missing_ok=True)
    curve = checkpoint.restore(device)
    if curve:
        print(f'{options.name}: going on after epoch {len(curve)}')
    if len(curve) > options.epochs:
        raise TrainingError(
            f'{checkpoint.path} has {len(curve)} epochs already; use a larger --epochs, or '
            '--restart to begin anew'
        )
    # It is computed anew from where the training is, so that epochs may be added.
    schedule = OneCycleLR(
        optimizer,
        [group['lr_share'] * options.lr for group in optimizer.param_groups],
        options.epochs * steps,
        pct_start=0.15,
        cycle_momentum=False,
        last_epoch=len(curve) * steps - 1,
    )
    with tqdm(
        desc=options.name,
        total=options.epochs * steps,
        initial=len(curve) * steps,
        unit='batch',
        disable=None,
    ) as bar:
        for epoch in range(len(curve), options.epochs):
            started = said = time.monotonic()
            torch.manual_seed(_epoch_seed(options.seed, epoch))
            network.train()
            if options.freeze_norms:
                _freeze_norms(network)
            order = torch.randperm(len(images), device=device)[: steps * batch_size]
            loss_sum = torch.zeros((), device=device)
            for step, batch in enumerate(order.split(batch_size), epoch * steps):
                changed = augment(images[batch], view, options.augmentation)
                changed, targets = mix(changed, labels[batch])
                pixels = normalise(shrink(changed, options.input))
                pixels = pixels.contiguous(memory_format=torch.channels_last)
                with torch.autocast('cuda', torch.bfloat16, options.amp and device.type == 'cuda'):
                    logits = network(pixels)
                loss = objective(logits.float(), targets, changed)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                # A young average would hold too much of the untrained weights otherwise.
                decay = min(1 - 1 / max(1, options.ema * steps), step / (10 + step))
                average.multi_avg_fn = get_ema_multi_avg_fn(decay)
                average.update_parameters(network)
                lr = float(schedule.get_last_lr()[-1])
                schedule.step()
                loss_sum += loss.detach()
                bar.update()
                if bar.disable and time.monotonic() - said > SECONDS_BETWEEN_LINES:
                    said = time.monotonic()
                    _say_progress(options, epoch, step % steps, steps, batch_size, said - started)
            mean_loss = float(loss_sum) / steps
            if not math.isfinite(mean_loss):
                raise TrainingError(
                    f'the loss of epoch {epoch + 1} is {mean_loss}; use a lower --lr'
                    + (', or --no-amp' if options.amp and device.type == 'cuda' else '')
                )
            accuracy, validation_loss = validate(average, normalise, *validation)
            seconds = round(time.monotonic() - started, 3)
            curve.append(EpochRecord(epoch + 1, lr, mean_loss, accuracy, validation_loss, seconds))
            checkpoint.save(curve)
            _report(bar, curve[-1], options)
    trained = average.module.cpu().to(memory_format=torch.contiguous_format).eval()
    stages = [TrainedStage(trained, options.model, origin)]
    if isinstance(trained, JointCascade):
        stages = [
            TrainedStage(own, architecture, source, trained.selector(place))
            for place, (own, (_, architecture, source)) in enumerate(zip(trained.members, members))
        ]
    return write_stages(options, data, stages, curve, device)


def validate(
    network: nn.Module, normalise: nn.Module, images: Tensor, labels: Tensor
) -> tuple[float | None, float | None]:
    """
    Return accuracy and mean cross-entropy in nats, or None twice where there are no images.

    Parameters
    ----------
    network
        It is left in evaluation mode.
    normalise
        From values in 0 to 1 to the network's input.
    images, labels
        uint8 (N, C, H, W), and the classes, int64 (N,).

    """
    if not len(images):
        return None, None
    network.eval()
    correct, loss = 0, 0.0
    with torch.inference_mode():
        for batch, targets in zip(images.split(128), labels.split(128)):
            pixels = normalise(batch.float() / 255)
            logits = network(pixels.contiguous(memory_format=torch.channels_last))
            correct += int((logits.argmax(1) == targets).sum())
            loss += float(cross_entropy(logits, targets, reduction='sum'))
    return correct / len(images), loss / len(images)


def _say_progress(
    options: TrainingOptions, epoch: int, step: int, steps: int, batch: int, seconds: float
) -> None:
    """Print how far an epoch is, where there is no terminal for a bar."""
    print(
        f'{options.name}: epoch {epoch + 1}/{options.epochs}, {(step + 1) / steps:.0%} of it, '
        f'{(step + 1) * batch / seconds:.0f} images/s',
        flush=True,
    )


def _report(bar: tqdm[Any], record: EpochRecord, options: TrainingOptions) -> None:
    """Print what an epoch reached: beside the bar, or on about 20 lines without a terminal."""
    text = f'epoch {record.epoch}/{options.epochs}, loss {record.loss:.4f}'
    if record.validation_accuracy is not None:
        text += f', validation accuracy {record.validation_accuracy:.2%}'
    bar.set_postfix_str(text)
    if bar.disable and record.epoch % max(1, options.epochs // 20) == 0:
        print(f'{options.name}: {text}', flush=True)


def _check_network(options: TrainingOptions) -> None:
    """Raise TrainingError where the network cannot take a batch of the input's size."""
    network = networks.build(options.model, 2, options.channels)
    height, width = options.input
    try:
        with torch.no_grad():
            network(torch.zeros(2, options.channels, height, width))
    except Exception as error:  # layers raise many kinds on shapes that they cannot take
        reason = str(error).partition('\n')[0]
        raise TrainingError(
            f'--model {options.model} does not work with --input {height}x{width} '
            f'({reason}): use another size, or another model'
        ) from error


def _find_device(name: str) -> torch.device:
    gpu = torch.cuda.is_available()
    if name == 'cuda' and not gpu:
        raise TrainingError('this torch finds no GPU; use --device cpu')
    return torch.device('cuda' if gpu and name != 'cpu' else 'cpu')


def _load(options: TrainingOptions, view: tuple[int, int]) -> Dataset:
    is_grey = options.colour == 'grey'
    whole = None if options.crop is None else 1.0
    data = load_dataset(
        options.data,
        split=options.split,
        fraction=options.validation,
        training=Reduction(*options.stored_size(view), whole, is_grey),
        validation=Reduction(*options.input, options.crop, is_grey),
        seed=options.seed,
        labels=options.labels,
        exclude=read_names(options.exclude) if options.exclude else (),
    )
    say_problems(options.data, data.problems)
    return data


def _to_device(part: LabelledImages, colour: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the images, uint8 (N, C, H, W) in the network's order of channels, and the labels."""
    images = torch.from_numpy(part.images).to(device)
    planes = images.unsqueeze(1) if colour == 'grey' else images.permute(0, 3, 1, 2)
    labels = torch.from_numpy(part.labels).to(device)
    return planes[:, list(COLOURS[colour])].contiguous(), labels


def _make_optimizer(network: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    parameters = list(network.parameters())
    last = max(1, len(parameters) - 1)
    groups = [
        {
            'params': [parameter],
            'lr_share': options.lr_ratio ** (1 - i / last),
            # Norms and biases get none: a scale or an offset near zero is no simpler function.
            'weight_decay': options.weight_decay if parameter.ndim > 1 else 0.0,
        }
        for i, parameter in enumerate(parameters)
    ]
    if options.optimizer == 'adamw':
        return torch.optim.AdamW(groups, lr=options.lr)
    return torch.optim.SGD(groups, lr=options.lr, momentum=0.9, nesterov=True)


def _freeze_norms(network: nn.Module) -> None:
    """Have batch norms use and keep the statistics that they have."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
