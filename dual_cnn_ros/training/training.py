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
Train a small CNN on labelled pictures, and export it: the tool train, once torch is there.

All pictures live in one uint8 tensor on the device and are augmented there in batches, so that a
GPU never waits for Python. A part of the split (--holdout) is never trained on: it shows the
progress here, and `calibrate` finds the threshold on it. The last epoch's weights are kept, never
the best epoch's, because choosing by the held-out part would make it look better than it is.
"""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager
import copy
import dataclasses
from dataclasses import dataclass
import hashlib
import io
import json
import math
from pathlib import Path
import platform
import sys
import time
from typing import Any
import warnings

import cv2
import numpy as np
from safetensors.torch import save as save_tensors
import torch
from torch import nn, Tensor
from torch.nn import functional
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from dual_cnn_ros.cascade.frame import COLOURS, Preprocessing
from dual_cnn_ros.data.dataset import (
    Dataset,
    LabelledImages,
    load_dataset,
    read_names,
    Reduction,
)
from dual_cnn_ros.files import write_atomically
from dual_cnn_ros.inference import networks

# The means and standard deviations of ImageNet, which fit photographs in general.
MEAN = {'rgb': (0.485, 0.456, 0.406), 'bgr': (0.406, 0.456, 0.485), 'grey': (0.449,)}
STD = {'rgb': (0.229, 0.224, 0.225), 'bgr': (0.225, 0.224, 0.229), 'grey': (0.226,)}
# What may differ between the runs of one training without changing what it computes.
FREE = ('data', 'exclude', 'labels', 'out', 'name', 'device', 'step', 'restart')


class TrainError(ValueError):
    """The training cannot go on; the message says what to change."""


@dataclass(frozen=True)
class Augmentation:
    """
    What happens to a training picture; `--help` says what each number is.

    mixup, cutmix: the parameter of the beta distribution that the shares come from.
    """

    flip: bool
    zoom: float
    stretch: float
    shift: float
    rotate: float
    light: float
    saturate: float
    noise: float
    erase: float
    mixup: float
    cutmix: float


def augment(
    images: Tensor,
    size: tuple[int, int],
    how: Augmentation,
    mean: Tensor,
    std: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Return the normalised float32 (N, C, *size) of uint8 images (N, C, H, W)."""
    count, device = len(images), images.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        values = torch.rand((count, *shape), generator=random, device=device)
        return values * (high - low) + low

    pixels = images.float() / 255
    if images.shape[-2:] != size or how.flip or how.zoom < 1 or how.shift or how.rotate:
        area = uniform(how.zoom, 1)
        ratio = torch.exp(uniform(-1, 1) * math.log(how.stretch if how.zoom < 1 else 1))
        width = (area * ratio).sqrt().clamp(max=1)
        height = (area / ratio).sqrt().clamp(max=1)
        across = uniform(-1, 1) * (1 - width + 2 * how.shift)
        down = uniform(-1, 1) * (1 - height + 2 * how.shift)
        if images.shape[-2:] == size and how.zoom == 1 and not how.rotate:
            # Whole pixels, because interpolation blurs, which the pictures of use are not.
            across = torch.round(across * size[1] / 2) * 2 / size[1]
            down = torch.round(down * size[0] / 2) * 2 / size[0]
        angle = uniform(-1, 1) * math.radians(how.rotate)
        cos, sin = angle.cos(), angle.sin()
        mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0) if how.flip else 1.0
        # Angles are kept in pixels, while affine_grid counts in half sides.
        aspect = size[1] / size[0]
        affine = torch.stack(
            (
                torch.stack((mirror * width * cos, -height * sin / aspect, across), 1),
                torch.stack((mirror * width * sin * aspect, height * cos, down), 1),
            ),
            1,
        )
        grid = functional.affine_grid(affine, [count, images.shape[1], *size], align_corners=False)
        pixels = functional.grid_sample(
            pixels, grid, padding_mode='reflection', align_corners=False
        )
    if how.light:
        change = how.light
        pixels = pixels * (
            1
            + uniform(-change, change, 1, 1, 1)
            + uniform(-change / 2, change / 2, images.shape[1], 1, 1)
        )
        middle = pixels.mean((1, 2, 3), keepdim=True)
        pixels = middle + (pixels - middle) * (1 + uniform(-change, change, 1, 1, 1))
    if how.saturate:
        grey = pixels.mean(1, keepdim=True)
        pixels = grey + (pixels - grey) * (1 + uniform(-how.saturate, how.saturate, 1, 1, 1))
    if how.noise:
        pixels = pixels + uniform(0, how.noise, 1, 1, 1) * torch.randn(
            pixels.shape, generator=random, device=device
        )
    pixels = (pixels.clamp(0, 1) - mean) / std
    if how.erase:
        ratio, area = torch.exp(uniform(-1, 1, 1, 1)), uniform(0.02, 0.2, 1, 1)
        rows, columns = (torch.linspace(0, 1, side, device=device) for side in size)
        inside = ((rows[:, None] - uniform(0, 1, 1, 1)).abs() < (area * ratio).sqrt() / 2) & (
            (columns - uniform(0, 1, 1, 1)).abs() < (area / ratio).sqrt() / 2
        )
        inside &= uniform(0, 1, 1, 1) < how.erase
        fill = torch.randn(pixels.shape, generator=random, device=device)
        pixels = torch.where(inside[:, None], fill, pixels)
    return pixels


def mix(
    pixels: Tensor,
    targets: Tensor,
    how: Augmentation,
    random: torch.Generator,
    numbers: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Mix the batch with itself in another order: mixup (Zhang 2018) or cutmix (Yun 2019)."""
    methods = [name for name in ('mixup', 'cutmix') if getattr(how, name)]
    if not methods:
        return pixels, targets
    method = methods[numbers.integers(len(methods))]
    share = float(numbers.beta(getattr(how, method), getattr(how, method)))
    order = torch.randperm(len(pixels), generator=random, device=pixels.device)
    if method == 'mixup':
        pixels = pixels.lerp(pixels[order], 1 - share)
    else:
        height, width = pixels.shape[-2:]
        box = math.sqrt(1 - share)
        top, left = numbers.uniform(-box / 2, 1 - box / 2, 2)
        rows = slice(max(0, round(top * height)), max(0, round((top + box) * height)))
        columns = slice(max(0, round(left * width)), max(0, round((left + box) * width)))
        other = pixels[order]
        share = 1 - other[:, 0, rows, columns][0].numel() / (height * width)
        pixels[..., rows, columns] = other[..., rows, columns]
    return pixels, targets.lerp(targets[order], 1 - share)


def one_cycle(progress: float, warm_up: float = 0.15) -> float:
    """Return the learning rate, of the highest, at progress in [0, 1] (Smith and Topin 2018)."""
    if progress < warm_up:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * progress / warm_up)) / 2
    return (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up))) / 2


class Training:
    """
    The state of one training, which a checkpoint holds, and one epoch of it.

    All random numbers of an epoch come from the seed and the epoch's number, so that a training
    that was cut off goes on as if it had not been (on a GPU, up to the order of its sums).
    """

    def __init__(
        self,
        network: nn.Module,
        data: Dataset,
        preprocessing: Preprocessing,
        arguments: argparse.Namespace,
        device: torch.device,
    ) -> None:
        self.arguments = arguments
        self.device = device
        self.how = Augmentation(
            **{
                field.name: getattr(arguments, field.name)
                for field in dataclasses.fields(Augmentation)
            }
        )
        self.size = (preprocessing.height, preprocessing.width)
        self.mean = torch.tensor(preprocessing.mean, device=device).view(1, -1, 1, 1)
        self.std = torch.tensor(preprocessing.std, device=device).view(1, -1, 1, 1)
        colour = preprocessing.colour
        self.images, self.labels = _on(device, data.training, colour)
        self.held_images, self.held_labels = _on(device, data.validation, colour)
        classes, smoothing = len(data.classes), arguments.label_smoothing
        self.targets = torch.eye(classes, device=device) * (1 - smoothing) + smoothing / classes
        self.batch = min(arguments.batch_size, len(self.images))
        self.steps = len(self.images) // self.batch

        # Faster on a GPU's tensor cores; on a CPU torch 2.15 writes past its buffers with it when
        # it differentiates some of these networks (RepVGG).
        self.layout = torch.channels_last if device.type == 'cuda' else torch.contiguous_format
        self.network = network.to(device).to(memory_format=self.layout)
        self.average = copy.deepcopy(self.network)
        self.optimizer = _optimizer(self.network, arguments)
        self.kind = _amp(arguments.amp, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.kind is torch.float16)
        self.random = torch.Generator(device)
        self.forward = self._faster(arguments.step)
        self.curve: list[dict[str, float]] = []

    def run_epoch(self, bar: tqdm[Any]) -> None:
        """Train on every picture once, but for an incomplete last batch, and add to the curve."""
        arguments, epoch, started = self.arguments, len(self.curve), time.monotonic()
        numbers = np.random.default_rng((arguments.seed, epoch))
        torch.manual_seed(int(numbers.integers(2**62)))
        self.random.manual_seed(int(numbers.integers(2**62)))
        order = torch.randperm(len(self.images), generator=self.random, device=self.device)
        current, averaged = _floats(self.network), _floats(self.average)
        total = torch.zeros((), device=self.device)
        self.network.train()
        for number, batch in enumerate(order[: self.steps * self.batch].split(self.batch)):
            step = epoch * self.steps + number
            rate = arguments.lr * one_cycle(step / (arguments.epochs * self.steps))
            for group in self.optimizer.param_groups:
                group['lr'] = rate
            pixels = augment(
                self.images[batch], self.size, self.how, self.mean, self.std, self.random
            )
            pixels, targets = mix(
                pixels, self.targets[self.labels[batch]], self.how, self.random, numbers
            )
            with self._autocast():
                logits = self.forward(pixels.contiguous(memory_format=self.layout))
            loss = functional.cross_entropy(logits.float(), targets)
            self.optimizer.zero_grad()
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            # A young average would hold too much of the untrained weights otherwise.
            decay = min(1 - 1 / max(1, arguments.ema * self.steps), step / (10 + step))
            with torch.no_grad():
                get_ema_multi_avg_fn(decay)(averaged, current, step)
            total += loss.detach()
            bar.update()
        mean_loss = float(total) / self.steps
        if not math.isfinite(mean_loss):
            raise TrainError(
                f'the loss of epoch {epoch + 1} is {mean_loss}; use a lower --lr, or --amp off'
            )
        entry = {'epoch': epoch + 1, 'lr': rate, 'loss': mean_loss}
        if len(self.held_images):
            entry['held_out_accuracy'], entry['held_out_loss'] = self.evaluate()
        entry['seconds'] = round(time.monotonic() - started, 3)
        self.curve.append(entry)

    def evaluate(self) -> tuple[float, float]:
        """Return accuracy and mean cross-entropy in nats of the held-out part."""
        self.average.eval()
        right, loss = 0, 0.0
        with torch.inference_mode():
            for images, labels in zip(self.held_images.split(512), self.held_labels.split(512)):
                pixels = (images.float() / 255 - self.mean) / self.std
                logits = self.average(pixels.contiguous(memory_format=self.layout))
                right += int((logits.argmax(1) == labels).sum())
                loss += float(functional.cross_entropy(logits, labels, reduction='sum'))
        return right / len(self.held_images), loss / len(self.held_images)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds: tensors, numbers and strings only."""
        return {
            'network': self.network.state_dict(),
            'average': self.average.state_dict(),
            'optimizer': self.optimizer.state_dict(),
            'scaler': self.scaler.state_dict(),
            'curve': self.curve,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.network.load_state_dict(state['network'])
        self.average.load_state_dict(state['average'])
        self.optimizer.load_state_dict(state['optimizer'])
        if state['scaler']:
            self.scaler.load_state_dict(state['scaler'])
        self.curve = list(state['curve'])

    def _autocast(self) -> AbstractContextManager[Any]:
        # A graph is captured once, so it cannot use casts of weights that are cached for one step.
        return torch.autocast(
            self.device.type, self.kind, self.kind is not None, cache_enabled=False
        )

    def _faster(self, step: str) -> Any:
        """Return the network's training forward with less launching of kernels from Python."""
        if step == 'auto':
            step = 'graph' if self.device.type == 'cuda' else 'eager'
        if step == 'compile':
            mode = 'reduce-overhead' if self.device.type == 'cuda' else None
            return torch.compile(self.network, mode=mode)
        if step == 'eager':
            return self.network
        if self.device.type != 'cuda':
            raise TrainError('--step graph needs a GPU')
        sample = torch.zeros((self.batch, self.images.shape[1], *self.size), device=self.device)
        sample = sample.contiguous(memory_format=self.layout)
        before = copy.deepcopy(self.network.state_dict())
        self.network.train()
        with self._autocast():
            graphed = torch.cuda.make_graphed_callables(self.network, (sample,))
        # Capturing ran the network, and moved the averages of its batch norms.
        self.network.load_state_dict(before)
        return graphed


def _on(device: torch.device, part: LabelledImages, colour: str) -> tuple[Tensor, Tensor]:
    """Return the images as (N, C, H, W) in the CNN's channel order, and the labels."""
    images = torch.from_numpy(part.images).to(device)
    images = images.unsqueeze(1) if colour == 'grey' else images.permute(0, 3, 1, 2)
    ordered = images[:, list(COLOURS[colour])].contiguous()
    return ordered, torch.from_numpy(part.labels).to(device)


def _floats(network: nn.Module) -> list[Tensor]:
    return [value for value in network.state_dict().values() if value.is_floating_point()]


def _optimizer(network: nn.Module, arguments: argparse.Namespace) -> torch.optim.Optimizer:
    # Decay pulls weights to zero, which means nothing for a norm's scale or for a bias.
    parameters = list(network.parameters())
    groups = [
        {'params': [p for p in parameters if p.ndim > 1], 'weight_decay': arguments.weight_decay},
        {'params': [p for p in parameters if p.ndim <= 1], 'weight_decay': 0.0},
    ]
    if arguments.optimizer == 'adamw':
        return torch.optim.AdamW(groups, lr=arguments.lr)
    return torch.optim.SGD(groups, lr=arguments.lr, momentum=0.9, nesterov=True)


def _amp(choice: str, device: torch.device) -> torch.dtype | None:
    if choice == 'auto':
        choice = (
            'off'
            if device.type == 'cpu'
            else ('bf16' if torch.cuda.is_bf16_supported() else 'fp16')
        )
    if choice == 'fp16' and device.type == 'cpu':
        raise TrainError('--amp fp16 needs a GPU')
    return {'off': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}[choice]


def to_onnx(network: nn.Module, preprocessing: Preprocessing) -> bytes:
    """
    Return the network as one ONNX model, weights inside.

    Input `image`, float32 (N, C, height, width); output `logits`, float32 (N, classes). Opset 18
    with IR version 8, which onnxruntime reads from 1.14 on.
    """
    import onnx

    shape = (len(COLOURS[preprocessing.colour]), preprocessing.height, preprocessing.width)
    # Two, because an exporter takes a size of one for a constant.
    sample = torch.zeros(2, *shape)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        program = torch.onnx.export(
            networks.fuse(network).cpu(),
            (sample,),
            dynamo=True,
            opset_version=18,
            verbose=False,
            input_names=['image'],
            output_names=['logits'],
            dynamic_shapes=({0: torch.export.Dim('batch')},),
        )
    assert program is not None  # only where it writes a file itself
    model = program.model_proto
    model.ir_version = 8
    # The exporter's notes name source files of this machine, and weigh as much as a small CNN.
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    for node in model.graph.node:
        del node.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def resume(training: Training, path: Path, identity: dict[str, Any]) -> None:
    """Restore the checkpoint where there is one; TrainError where it is another training's."""
    if not path.exists():
        return
    hint = 'use another --name or --out, or --restart to begin anew'
    try:
        checkpoint = torch.load(path, map_location=training.device, weights_only=True)
        different = [
            key
            for key in {**identity, **checkpoint['identity']}
            if identity.get(key) != checkpoint['identity'].get(key)
        ]
    except Exception as error:  # damaged bytes lead the unpickler to any of a dozen
        raise TrainError(f'{path} is no readable checkpoint ({error}); {hint}') from error
    if different:
        changes = ', '.join(
            f'{key} {checkpoint["identity"].get(key)!r} -> {identity.get(key)!r}'
            for key in sorted(different)
        )
        raise TrainError(f'{path} belongs to a training with other settings ({changes}); {hint}')
    training.restore(checkpoint)


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Load, train, export; return the metrics that were written."""
    name, folder = arguments.name or arguments.model, arguments.out
    colour, crop = arguments.colour, arguments.crop
    height, width = arguments.input
    preprocessing = Preprocessing(
        height,
        width,
        colour,
        crop,
        tuple(arguments.mean or MEAN[colour]),
        tuple(arguments.std or STD[colour]),
    )
    # Before the data, because reading may take minutes and a wrong name should not.
    _try(networks.build(arguments.model, 2, len(COLOURS[colour])), arguments)
    if arguments.device == 'cuda' and not torch.cuda.is_available():
        raise TrainError('this torch finds no GPU; use --device cpu')
    gpu = arguments.device != 'cpu' and torch.cuda.is_available()
    device = torch.device('cuda' if gpu else 'cpu')
    torch.backends.cudnn.benchmark = True

    scale = 1 if crop is None else 1 / crop
    rows, columns = arguments.store or (round(height * scale), round(width * scale))
    data = load_dataset(
        arguments.data,
        split=arguments.split,
        fraction=arguments.holdout,
        training=Reduction(rows, columns, None if crop is None else 1.0, colour == 'grey'),
        validation=Reduction(height, width, crop, colour == 'grey'),
        seed=arguments.seed,
        labels=arguments.labels,
        exclude=read_names(arguments.exclude) if arguments.exclude else (),
    )
    for skipped in data.skipped:
        print(f'skipped, corrupt: {skipped}', file=sys.stderr)
    torch.manual_seed(arguments.seed)
    network = networks.build(arguments.model, len(data.classes), len(COLOURS[colour]))
    training = Training(network, data, preprocessing, arguments, device)
    given = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in vars(arguments).items()
        if key not in FREE
    }
    identity = {**given, 'pictures': _digest(data)}

    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / f'{name}.checkpoint.pt'
    if arguments.restart:
        checkpoint.unlink(missing_ok=True)
    resume(training, checkpoint, identity)
    if training.curve:
        print(f'{checkpoint}: going on after epoch {len(training.curve)}')
    with tqdm(
        total=arguments.epochs * training.steps,
        desc=name,
        unit='batch',
        disable=None,
        initial=len(training.curve) * training.steps,
    ) as bar:
        while len(training.curve) < arguments.epochs:
            training.run_epoch(bar)
            buffer = io.BytesIO()
            torch.save({'identity': identity, **training.state()}, buffer)
            write_atomically(checkpoint, buffer.getvalue())
            entry = training.curve[-1]
            line = ', '.join(
                f'{key} {entry[key]:.4f}' for key in ('loss', 'held_out_accuracy') if key in entry
            )
            bar.set_postfix_str(f'epoch {entry["epoch"]}, {line}')
            if bar.disable and entry['epoch'] % max(1, arguments.epochs // 20) == 0:
                print(f'{name}: epoch {entry["epoch"]}/{arguments.epochs}, {line}', flush=True)

    final = training.average.cpu().eval()
    tensors = {key: value.contiguous() for key, value in final.state_dict().items()}
    files = {'onnx': to_onnx(final, preprocessing), 'safetensors': save_tensors(tensors)}
    deployed = networks.fuse(final)
    last = training.curve[-1]
    metrics = {
        'architecture': arguments.model,
        'labels': list(data.classes),
        'preprocessing': dataclasses.asdict(preprocessing),
        'parameters': networks.count_parameters(deployed),
        'multiply_adds': networks.count_multiply_adds(
            deployed, (len(COLOURS[colour]), height, width)
        ),
        'files': {
            kind: {
                'path': f'{name}.{kind}',
                'bytes': len(content),
                'sha256': hashlib.sha256(content).hexdigest(),
            }
            for kind, content in files.items()
        },
        'pictures': {
            'source': arguments.data.name,
            'training': len(data.training.names),
            'held_out': len(data.validation.names),
            'excluded': data.excluded,
            'skipped': list(data.skipped),
        },
        'held_out_accuracy': last.get('held_out_accuracy'),
        'held_out_loss': last.get('held_out_loss'),
        'arguments': given,
        'curve': training.curve,
        # Of all epochs, whichever run they were in.
        'seconds': round(sum(entry['seconds'] for entry in training.curve), 1),
        'device': torch.cuda.get_device_name() if device.type == 'cuda' else platform.machine(),
        'versions': {
            'python': platform.python_version(),
            'torch': torch.__version__,
            'numpy': np.__version__,
            'opencv': cv2.__version__,
        },
    }
    for kind, content in files.items():
        write_atomically(folder / f'{name}.{kind}', content)
    write_atomically(folder / f'{name}.json', (json.dumps(metrics, indent=1) + '\n').encode())
    return metrics


def _try(network: nn.Module, arguments: argparse.Namespace) -> None:
    """Raise TrainError where the network cannot take a batch of the input's size."""
    height, width = arguments.input
    try:
        with torch.no_grad():
            network(torch.zeros(2, len(COLOURS[arguments.colour]), height, width))
    except Exception as error:  # layers raise many kinds on shapes that they cannot take
        reason = str(error).partition('\n')[0]
        raise TrainError(
            f'--model {arguments.model} does not work with --input {height}x{width} '
            f'({reason}): use another size, or another model'
        ) from error


def _digest(data: Dataset) -> str:
    digest = hashlib.sha256(repr((data.classes, data.training.names)).encode())
    digest.update(data.training.images.data)
    return digest.hexdigest()


def _size(text: str) -> tuple[int, int]:
    sides = [int(side) for side in text.split('x')]
    if len(sides) > 2 or min(sides) < 1:
        raise ValueError(text)
    return sides[0], sides[-1]


def _number(low: float, high: float = math.inf, kind: type[float] = float) -> Any:
    def number(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f'{text} is not in {low:g} to {high:g}')
        return value

    return number


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(
        prog='train',
        description='Train a small CNN on labelled pictures; write weights, ONNX '
        'and metrics to DIR/NAME.safetensors, .onnx and .json. Run the same command again after a '
        'kill: it goes on from the last finished epoch.',
    )
    top.add_argument(
        'data',
        type=Path,
        metavar='DATA',
        help='folder or tar with <split>/<class>/<picture>, or '
        '<class>/<picture>, being one split by itself',
    )
    top.add_argument(
        '--model',
        required=True,
        metavar='NETWORK',
        help='<family>[_x<width>][-s<stride>] with a '
        f'family of {", ".join(networks.FAMILIES)}; width such as 0_5; stride of the stem 1 for '
        'about 32 pixels, 2 for 48 to 128, 4 for more; or a classification model of torchvision',
    )
    top.add_argument(
        '--out', type=Path, required=True, metavar='DIR', help='folder of the results'
    )
    top.add_argument('--name', help='of the files written; NETWORK where not given')

    group = top.add_argument_group('data')
    group.add_argument(
        '--split', help='the one to train on; where not given, the only one, or train'
    )
    group.add_argument(
        '--holdout',
        type=_number(0, 0.9),
        default=0.1,
        metavar='FRACTION',
        help='of the split '
        'that is never trained on, chosen by a hash of seed, class and file name; calibrate with '
        'the same FRACTION and SEED uses exactly this part (%(default)s)',
    )
    group.add_argument(
        '--exclude',
        type=Path,
        metavar='FILE',
        help='names to leave out, one <class>/<picture> per line',
    )
    group.add_argument(
        '--labels', nargs='+', metavar='LABEL', help='the classes that the data must have'
    )
    group.add_argument(
        '--input',
        type=_size,
        default='64',
        metavar='SIDE|HxW',
        help='size of the input, pixels (%(default)s)',
    )
    group.add_argument(
        '--store',
        type=_size,
        metavar='SIDE|HxW',
        help='size at which training pictures are '
        'kept; a larger one than the input (divided by --crop), which is taken where not given, '
        'leaves detail to random crops',
    )
    group.add_argument(
        '--crop',
        type=_number(0.1, 1),
        metavar='FRACTION',
        help='use the centre that has the '
        "input's shape and covers this fraction of the side that limits it; where not given, the "
        'whole picture is stretched',
    )
    group.add_argument(
        '--colour', choices=tuple(COLOURS), default='rgb', help='order of channels (%(default)s)'
    )
    for statistic in ('mean', 'std'):
        group.add_argument(
            f'--{statistic}',
            type=float,
            nargs='+',
            metavar='VALUE',
            help="of each channel, of values in 0 to 1; ImageNet's where not given",
        )

    group = top.add_argument_group('training')
    for name, kind, metavar, default, text in (
        ('epochs', _number(1, kind=int), 'N', 60, 'passes over the data'),
        ('batch-size', _number(2, kind=int), 'N', 128, 'pictures per step'),
        (
            'lr',
            _number(0),
            'RATE',
            0.2,
            'highest learning rate of the one cycle; about 0.003 for AdamW',
        ),
        (
            'weight-decay',
            _number(0),
            'RATE',
            5e-4,
            'of convolutions and linear layers; about 0.05 for AdamW',
        ),
        (
            'label-smoothing',
            _number(0, 0.9),
            'PART',
            0.1,
            'of each target, spread over all classes',
        ),
        (
            'ema',
            _number(0),
            'EPOCHS',
            1.0,
            'that the moving average of the weights covers, about; 0 for no average',
        ),
        ('seed', _number(0, kind=int), 'N', 0, 'of everything random'),
    ):
        group.add_argument(
            f'--{name}', type=kind, default=default, metavar=metavar, help=f'{text} (%(default)s)'
        )
    group.add_argument(
        '--optimizer',
        choices=('sgd', 'adamw'),
        default='sgd',
        help='SGD with a Nesterov momentum of 0.9, or AdamW (%(default)s)',
    )

    group = top.add_argument_group('augmentation')
    group.add_argument(
        '--flip',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='mirror half of the pictures; not for signs or text',
    )
    for name, low, high, default, text in (
        ('zoom', 0.05, 1, 0.5, 'smallest area of a random crop; 1 for none'),
        ('stretch', 1, 3, 1.33, 'largest ratio of the sides of a random crop'),
        ('shift', 0, 0.5, 0.0, 'largest shift, fraction of the side'),
        ('rotate', 0, 180, 0.0, 'largest rotation, degrees'),
        (
            'light',
            0,
            0.9,
            0.2,
            'largest relative change of brightness and of contrast, and half of it of each colour',
        ),
        ('saturate', 0, 1, 0.2, 'largest relative change of saturation'),
        ('noise', 0, 0.5, 0.0, 'largest standard deviation of noise on values in 0 to 1'),
        ('erase', 0, 1, 0.0, 'probability that a rectangle is overwritten'),
        ('mixup', 0, 10, 0.0, 'parameter of mixup; 0 for none'),
        (
            'cutmix',
            0,
            10,
            0.0,
            'parameter of cutmix; 0 for none; beside mixup, each batch gets one of them',
        ),
    ):
        group.add_argument(
            f'--{name}',
            type=_number(low, high),
            default=default,
            metavar='X',
            help=f'{text} (%(default)s)',
        )

    group = top.add_argument_group('machine')
    group.add_argument(
        '--device', choices=('auto', 'cpu', 'cuda'), default='auto', help='(%(default)s)'
    )
    group.add_argument(
        '--amp',
        choices=('auto', 'bf16', 'fp16', 'off'),
        default='auto',
        help='mixed precision; auto is off on a CPU (%(default)s)',
    )
    group.add_argument(
        '--step',
        choices=('auto', 'eager', 'graph', 'compile'),
        default='auto',
        help='how a step '
        'runs: graph replays CUDA graphs and is what auto means on a GPU, compile uses '
        'torch.compile, which needs a minute first (%(default)s)',
    )
    group.add_argument('--restart', action='store_true', help='forget an earlier checkpoint')
    return top
