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

"""Trained CNNs to choose from, and the images that are new to all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
import json
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from tqdm import tqdm

from dual_cnn_ros.bundle import Bundle, StageSpec, TrainingRecord
from dual_cnn_ros.cascade.frame import COLOURS
from dual_cnn_ros.data.image_folder import ImageFolder
from dual_cnn_ros.inference import InferenceError, load_model, Model

WARM_UP = 5
# Title, factor and unit of what a cascade may have least of.
COSTS = {
    'cpu_seconds': ('CPU time', 1e3, 'ms of CPU time'),
    'macs': ('MACs', 1e-6, 'million MACs'),
}


@dataclass(frozen=True)
class Candidate:
    """
    A CNN that may become a stage of a new bundle.

    Attributes
    ----------
    name
        Name of the bundle that it comes from, or its path where several bundles have that name;
        of several stages, with that of the stage.
    path
        The bundle's folder.
    labels
        Names of the classes, by index.
    stage
        The CNN.

    """

    name: str
    path: Path
    labels: tuple[str, ...]
    stage: StageSpec

    @property
    def training(self) -> TrainingRecord:
        """The images it was trained on; ValueError where nobody knows."""
        if self.stage.training is None:
            raise ValueError(
                f'{self.path}: stages[0].training is missing, so that nobody knows which images '
                'are new to this CNN; train it with the train tool, or add the record'
            )
        return self.stage.training

    def training_metrics(self) -> dict[str, Any]:
        """
        Return what `train` wrote to metrics.json, but for its epochs; {} without the file.

        ValueError names the file where it is no JSON.
        """
        file = self.path / 'metrics.json'
        if not file.is_file():
            return {}
        try:
            metrics = json.loads(file.read_text(encoding='utf-8'))
        except ValueError as error:
            raise ValueError(
                f'{file} is no JSON file: {error}; remove it or train again'
            ) from error
        return {key: value for key, value in metrics.items() if key != 'curve'}

    def load(self) -> Model:
        """Return the CNN as it runs on a robot's CPU; ValueError where it cannot be run."""
        channels = len(COLOURS[self.stage.input.colour])
        backend = 'onnxruntime' if 'onnx' in self.stage.files else 'auto'
        try:
            return load_model(self.stage.source, len(self.labels), channels, backend, ('cpu',))
        except InferenceError as error:
            raise ValueError(f'{self.name}: {error}') from error


def read_candidates(names: Sequence[str]) -> tuple[Candidate, ...]:
    """
    Read all stages of bundles, each bundle given by its path or its name.

    Raises
    ------
    ValueError
        A bundle is given twice.

    """
    bundles = [Bundle.open(name) for name in names]
    paths = [bundle.path.resolve() for bundle in bundles]
    titles = [bundle.name for bundle in bundles]
    found = []
    for name, bundle, path in zip(names, bundles, paths):
        if paths.count(path) > 1:
            raise ValueError(f'{bundle.path} is given twice')
        title = bundle.name if titles.count(bundle.name) == 1 else name
        for stage in bundle.stages:
            of_stage = f'{title}@{stage.name}' if len(bundle.stages) > 1 else title
            found.append(Candidate(of_stage, path, bundle.labels, replace(stage, criterion=None)))
    return tuple(found)


@dataclass(frozen=True)
class ImageSelection:
    """
    Which images of a folder or a tar to classify.

    Attributes
    ----------
    data
        The folder or the tar.
    split
        Name of the split; None where the data has no splits.
    share, seed
        The share of the split to classify, which `is_validation` chooses by the seed.
    exclude
        Names of images to leave out.

    """

    data: Path
    split: str | None
    share: float = 1.0
    seed: int = 0
    exclude: frozenset[str] = frozenset()


def select_validation_images(
    candidates: Sequence[Candidate], data: Path, exclude: frozenset[str] = frozenset()
) -> ImageSelection:
    """
    Return the images that `train` kept from all candidates.

    Raises
    ------
    ValueError
        Candidates do not say what they were trained on, or differ in classes, split, number of
        images, validation share or seed, so that no part is new to all; or no image was kept.

    """
    first = candidates[0]
    for other in candidates[1:]:
        if other.labels != first.labels:
            raise ValueError(f'{other.name} was trained on other classes than {first.name}')
        for field in ('split', 'images', 'validation', 'seed'):
            mine, its = (getattr(member.training, field) for member in (first, other))
            if mine != its:
                raise ValueError(
                    f'{other.name} and {first.name} differ in training.{field}, {its} and {mine}, '
                    'so that no validation image is sure to be new to both'
                )
    training = first.training
    if not training.validation:
        raise ValueError(
            f'{first.name} was trained on all images; train it again with a --validation above 0'
        )
    return ImageSelection(data, training.split, training.validation, training.seed, exclude)


def select_test_images(
    trained_on: ImageSelection | None, data: Path, split: str | None
) -> ImageSelection:
    """
    Return the images of a split, 'test' where there are several and none is named.

    Parameters
    ----------
    trained_on
        What the candidates were trained on; None where that is not at hand.
    data, split
        The test images.

    Raises
    ------
    ValueError
        The candidates were trained on that split.

    """
    test = ImageFolder(data)
    split = test.choose_split(split, 'test')
    if trained_on is None:
        return ImageSelection(data, split)
    known = ImageFolder(trained_on.data)
    if test.identity() == known.identity() and split == known.choose_split(
        trained_on.split, 'train'
    ):
        raise ValueError(
            f'{data}: {f"split {split!r} of it" if split else "it"} is what the CNNs were trained '
            'on, not a test; name other images with --test, or another split of them with '
            '--test-split'
        )
    return ImageSelection(data, split, exclude=trained_on.exclude)


def measure_cpu_seconds(candidates: Sequence[Candidate], rounds: int = 100) -> tuple[float, ...]:
    """
    Return the median CPU seconds of one image for each CNN: batch 1, one thread, this machine.

    Every round asks each CNN once, so that whatever else the machine does meets all alike. What a
    CNN costs does not depend on the image, so these are random; preparing them is not counted.
    """
    random = np.random.default_rng(0)
    runs = []
    for candidate in candidates:
        wanted = candidate.stage.input
        pixels = random.integers(0, 256, (wanted.height, wanted.width, 3), np.uint8)
        runs.append((candidate.load(), wanted.blob(pixels)))
    taken = np.empty((WARM_UP + rounds, len(runs)))
    for row in tqdm(taken, desc='CPU seconds', unit='round', disable=None):
        for i, (model, blob) in enumerate(runs):
            start = process_time()
            model(blob)
            row[i] = process_time() - start
    return tuple(float(seconds) for seconds in np.median(taken[WARM_UP:], axis=0))
