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

"""What CNNs answer to labelled images, kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import hashlib
from io import BytesIO
import json
import os
from pathlib import Path
import sys
import zipfile

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dual_cnn_ros.calibration.candidates import Candidate, ImageSelection
from dual_cnn_ros.calibration.temperature import calibrated
from dual_cnn_ros.data.dataset import is_validation, LabelledImages, load_dataset, Reduction
from dual_cnn_ros.data.image_folder import ImageFolder
from dual_cnn_ros.data.problems import say_problems
from dual_cnn_ros.files import write_atomically

LEAST_IMAGES = 2
# Fewer show nothing, whatever is asked.
LEAST_SCENES = 8

Logits = npt.NDArray[np.float32]
Places = npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Predictions:
    """
    What M CNNs answer to the same N images.

    Attributes
    ----------
    names
        '<class>/<file>' of each image.
    labels
        int64 (N,), the true classes.
    logits
        float32 (N, K) of each CNN.
    blocks
        The scene that each frame of a video belongs to, by name; None where the images are
        independent of each other.

    """

    names: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    logits: tuple[Logits, ...]
    blocks: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def units(self) -> int:
        """Number of independent units: the images, or the scenes that they are of."""
        return len(set(self.blocks)) if self.blocks else len(self)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether CNN m is right on image n, (M, N)."""
        return np.array([z.argmax(axis=1) == self.labels for z in self.logits])

    def probabilities(self, temperatures: Sequence[float]) -> list[Logits]:
        """Return the calibrated probabilities (N, K) of the first CNNs, one a temperature."""
        return [calibrated(z, t) for z, t in zip(self.logits, temperatures)]

    def take(self, places: Places) -> Predictions:
        """Return some of the images, in the order of places."""
        return Predictions(
            tuple(self.names[i] for i in places),
            self.labels[places],
            tuple(z[places] for z in self.logits),
            tuple(self.blocks[i] for i in places) if self.blocks else None,
        )


def predict(candidates: Sequence[Candidate], selection: ImageSelection) -> Predictions:
    """
    Ask each CNN about the same images, one at a time as on a robot.

    The answers are kept in a file beside each bundle, and taken from there for the same weights
    and images; a damaged file is replaced, with a warning.

    Parameters
    ----------
    candidates
        With the same labels.
    selection
        Images are read once for each way of reducing them.

    Raises
    ------
    ValueError
        The images cannot be read, or there are none; or names the CNN that cannot be run, or
        whose logits are NaN, infinite or of another number than its labels.

    """
    images = [
        ImageFolder(selection.data).identity(),
        selection.split,
        selection.share,
        selection.seed,
        sorted(selection.exclude),
    ]
    files = [_cache_file(candidate, images) for candidate in candidates]
    count = len(candidates[0].labels)
    answers = [_read_cache(file, count) for file in files]
    missing = [i for i, answer in enumerate(answers) if answer is None]
    for reduction in dict.fromkeys(_reduction(candidates[i]) for i in missing):
        read = load_dataset(
            selection.data,
            validation=reduction,
            split=selection.split,
            fraction=selection.share,
            seed=selection.seed,
            labels=candidates[0].labels,
            exclude=selection.exclude,
        )
        say_problems(selection.data, read.problems)
        if not read.validation.names:
            raise ValueError(
                f'{selection.data}: none of its images is for validation; give the data that '
                f'{candidates[0].name} was trained on'
            )
        for i in missing:
            if _reduction(candidates[i]) == reduction:
                answers[i] = answer = _ask(candidates[i], read.validation)
                _write_cache(files[i], answer)
    found = [answer for answer in answers if answer is not None]
    return Predictions(found[0].names, found[0].labels, tuple(z for a in found for z in a.logits))


def divide(predictions: Predictions, share: float, seed: int) -> tuple[Predictions, Predictions]:
    """
    Part validation images into those to choose with, and those to certify on.

    What is certified on the second part must have been chosen without it, from the CNNs on, so all
    tools have to part the images alike. The frames of a scene stay together.

    Parameters
    ----------
    predictions
        Of all validation images.
    share
        Of the images, to choose with.
    seed
        That `train` chose the validation images by.

    Returns
    -------
    fit, certification
        In the order of a hash of the names, which no answer depends on. Both are all frames where
        there are fewer than LEAST_SCENES, of which nothing can be certified.

    Raises
    ------
    ValueError
        A part has fewer than LEAST_IMAGES.

    """
    if predictions.blocks and predictions.units < LEAST_SCENES:
        return predictions, predictions
    names = predictions.blocks or predictions.names
    order = sorted(range(len(names)), key=lambda i: hashlib.sha256(names[i].encode()).digest())
    # Another seed than that of `train`, so that being for validation says nothing about it.
    fit, rest = (
        [i for i in order if is_validation(names[i], share, seed + 1) == wanted]
        for wanted in (True, False)
    )
    if min(len(fit), len(rest)) < LEAST_IMAGES:
        raise ValueError(
            f'of {len(names)} images, --fit {share:g} leaves {len(fit)} to choose with and '
            f'{len(rest)} to certify on, and {LEAST_IMAGES} of each are needed; train with a '
            'larger --validation'
        )
    return predictions.take(np.array(fit)), predictions.take(np.array(rest))


def _reduction(candidate: Candidate) -> Reduction:
    wanted = candidate.stage.input
    return Reduction(wanted.height, wanted.width, wanted.crop, wanted.colour == 'grey')


def _ask(candidate: Candidate, images: LabelledImages) -> Predictions:
    model, wanted, name = candidate.load(), candidate.stage.input, candidate.name
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = pool.map(lambda image: model(wanted.blob(image))[0], images.images)
        total = len(images.images)
        logits = np.array(list(tqdm(answers, desc=name, unit='img', total=total, disable=None)))
    classes = len(candidate.labels)
    if logits.shape[1:] != (classes,):
        raise ValueError(f'{name} gives {logits[0].size} logits for {classes} classes')
    if not np.isfinite(logits).all():
        raise ValueError(f'{name} answers an image with a logit that is NaN or infinite')
    return Predictions(images.names, images.labels, (logits,))


def _cache_file(candidate: Candidate, images: Sequence[object]) -> Path:
    key = json.dumps([candidate.stage.identity, candidate.labels, *images])
    digest = hashlib.sha256(key.encode()).hexdigest()
    return candidate.path.with_name(f'{candidate.path.name}.{digest[:16]}.npz')


def _read_cache(file: Path, classes: int) -> Predictions | None:
    if not file.exists():
        return None
    try:
        with np.load(file) as arrays:
            logits, labels, names = (arrays[key] for key in ('logits', 'labels', 'names'))
        if logits.shape == (len(names), classes) and len(labels) == len(names):
            return Predictions(tuple(names.tolist()), labels, (logits,))
        error: Exception = ValueError('its arrays do not fit together')
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as caught:
        error = caught
    print(f'{file} is damaged ({error}); its images are classified again', file=sys.stderr)
    return None


def _write_cache(file: Path, answer: Predictions) -> None:
    content = BytesIO()
    np.savez(content, logits=answer.logits[0], labels=answer.labels, names=np.array(answer.names))
    try:
        write_atomically(file, content.getvalue())
    except OSError as error:
        print(
            f'{file} cannot be written, so its images will be classified again: {error}',
            file=sys.stderr,
        )
