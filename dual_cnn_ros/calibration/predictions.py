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

"""What trained CNNs answer to the pictures of a data set, kept on disk, and what asking costs."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import hashlib
from io import BytesIO
import json
import os
from pathlib import Path
import sys
from time import process_time
from typing import Any, NamedTuple
import zipfile

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dual_cnn_ros.cascade.frame import COLOURS, Preprocessing
from dual_cnn_ros.data.dataset import is_validation, LabelledImages, load_dataset, Reduction
from dual_cnn_ros.data.image_folder import ImageFolder
from dual_cnn_ros.files import write_atomically
from dual_cnn_ros.inference import InferenceError, load_model, Model, ModelSource

WARM_UP = 5


class Trained(NamedTuple):
    """What `train` wrote about one CNN, where, and under which name."""

    folder: Path
    metrics: Mapping[str, Any]
    name: str

    @property
    def input(self) -> Preprocessing:
        """What it wants of a frame."""
        fields = self.metrics['preprocessing']
        return Preprocessing(
            fields['height'],
            fields['width'],
            fields['colour'],
            fields['crop'],
            tuple(fields['mean']),
            tuple(fields['std']),
        )

    @property
    def reduction(self) -> Reduction:
        """How pictures are read for it."""
        want = self.input
        return Reduction(want.height, want.width, want.crop, want.colour == 'grey')

    def file(self, kind: str) -> Path:
        """Return the path of its weights."""
        return self.folder / self.metrics['files'][kind]['path']

    def load(self) -> Model:
        """Return the CNN as it runs on a robot's CPU; ValueError where it cannot be run."""
        try:
            return load_model(
                ModelSource({'onnx': self.file('onnx')}),
                len(self.metrics['labels']),
                len(COLOURS[self.input.colour]),
                backend='onnxruntime',
                device='cpu',
            )[1]
        except InferenceError as error:
            raise ValueError(f'{self.name}: {error}') from error


@dataclass(frozen=True)
class Predictions:
    """Logits float32 (N, K) and true labels int64 (N,) of N pictures named '<class>/<file>'."""

    logits: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    names: tuple[str, ...]


def read_trained(file: Path) -> Trained:
    """Return a metrics file of `train`; ValueError where it is none."""
    try:
        metrics = json.loads(file.read_text(encoding='utf-8'))
        trained = Trained(file.parent, metrics, file.stem)
        for kind in ('onnx', 'safetensors'):
            if not trained.file(kind).is_file():
                raise ValueError(f'{trained.file(kind)} is missing beside it')
        missing = {'labels', 'multiply_adds', 'pictures', 'preprocessing'} - metrics.keys() | {
            'holdout',
            'seed',
            'split',
        } - metrics['arguments'].keys()
        if missing:
            raise ValueError(f'it lacks {", ".join(sorted(missing))}')
        return trained
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{file} is no metrics file written by train: {error}') from error


def predict(
    trained: Sequence[Trained],
    data: Path,
    *,
    split: str | None,
    held_out: bool,
    exclude: Collection[str] = (),
    cache: bool = True,
) -> list[Predictions]:
    """
    Return what each CNN answers to the same pictures, asked one at a time as on a robot.

    held_out: True for the part that `train` held out, False for the whole split. split, exclude:
    as in load_dataset. cache: keep the answers beside each metrics file, and take those that are
    there for the same weights and pictures; a damaged file is replaced with a warning. Pictures
    are read once for each way of reducing them. ValueError names the CNN that was trained on other
    classes, on another split, or with another --holdout or --seed, so that no part is new to all,
    or cannot be run.
    """
    arguments, labels = _common(trained, held_out)
    holdout, seed = (arguments['holdout'], arguments['seed']) if held_out else (0.0, 0)
    pictures = [ImageFolder(data).identity(), split, holdout, seed, sorted(exclude), labels]
    files = [_cache_file(member, pictures) for member in trained]
    answers = [_read(file, len(labels)) if cache else None for file in files]
    missing = [i for i, answer in enumerate(answers) if answer is None]
    for reduction in dict.fromkeys(trained[i].reduction for i in missing):
        read = load_dataset(
            data,
            training=None if held_out else reduction,
            validation=reduction if held_out else None,
            split=split,
            fraction=holdout,
            seed=seed,
            labels=labels,
            exclude=exclude,
        )
        for skipped in read.skipped:
            print(f'skipped, corrupt: {skipped}', file=sys.stderr)
        part = read.validation if held_out else read.training
        if not part.names:
            raise ValueError(
                f'{data}: none of its pictures was held out; use those that '
                f'{trained[0].name} was trained on, with a --holdout above 0'
            )
        for i in missing:
            if trained[i].reduction == reduction:
                answers[i] = answer = _ask(trained[i], part)
                if cache:
                    _write(files[i], answer)
    return [answer for answer in answers if answer is not None]


def fit_and_rest(
    names: Sequence[str], share: float, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """
    Return where the held-out pictures to choose with are, and where those to certify on.

    names: of the pictures that `train` held out with this seed. share: to choose with. Both parts
    are in the order of a hash of the names. What is certified on the second part must have been
    chosen without it, from the pair on, so all tools have to part the pictures alike.
    """
    order = sorted(range(len(names)), key=lambda i: hashlib.sha256(names[i].encode()).digest())
    # Another seed than that of `train`, so that being held out says nothing about it.
    fit, rest = (
        [i for i in order if is_validation(names[i], share, seed + 1) == wanted]
        for wanted in (True, False)
    )
    return np.array(fit, np.int64), np.array(rest, np.int64)


def fraction(text: str) -> float:
    """Return a fraction given on a command line; it lies between 0 and 1."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f'must be between 0 and 1, not {text}')
    return value


def add_fit(parser: argparse.ArgumentParser) -> None:
    """Add the option of `fit_and_rest`, whose default is the same in all tools."""
    parser.add_argument(
        '--fit',
        type=fraction,
        default=0.5,
        metavar='SHARE',
        help='of the held-out pictures, to fit on and to choose with; the others '
        'are for calibrate to find and certify thresholds; pair and calibrate '
        'need the same (default %(default)s)',
    )


def cpu_seconds(trained: Sequence[Trained], rounds: int = 100) -> list[float]:
    """
    Return the median CPU seconds of one image for each CNN: batch 1, one thread, this machine.

    Every round asks each CNN once, so that whatever else the machine does meets all alike. What a
    CNN costs does not depend on the picture, so these are random; preparing them is not counted.
    """
    random = np.random.default_rng(0)
    runs = []
    for member in trained:
        want = member.input
        pixels = random.integers(0, 256, (want.height, want.width, 3), np.uint8)
        runs.append((member.load(), want.blob(pixels)))
    taken = np.empty((WARM_UP + rounds, len(runs)))
    for row in tqdm(taken, desc='CPU seconds', unit='round', disable=None):
        for i, (model, blob) in enumerate(runs):
            start = process_time()
            model(blob)
            row[i] = process_time() - start
    return [float(seconds) for seconds in np.median(taken[WARM_UP:], axis=0)]


def _common(trained: Sequence[Trained], held_out: bool) -> tuple[Mapping[str, Any], list[str]]:
    """Return the arguments and the labels that all share; see predict."""
    first = trained[0]
    for other in trained[1:]:
        if other.metrics['labels'] != first.metrics['labels']:
            raise ValueError(f'{other.name} was trained on other classes than {first.name}')
        for key in ('holdout', 'seed') if held_out else ():
            mine, its = (member.metrics['arguments'][key] for member in (first, other))
            if mine != its:
                raise ValueError(
                    f'{other.name} was trained with --{key} {its}, {first.name} with '
                    f'{mine}, so the pictures held out are not new to both'
                )
        mine, its = (_size(member) for member in (first, other))
        if held_out and mine != its:
            raise ValueError(
                f'{other.name} was trained on a split of {its} pictures, '
                f'{first.name} on one of {mine}, so the pictures held out are not '
                'new to both'
            )
    return first.metrics['arguments'], first.metrics['labels']


def _size(trained: Trained) -> int:
    """Return how many pictures its split had, used or not."""
    counts = trained.metrics['pictures']
    return sum(counts[key] for key in ('training', 'held_out', 'excluded')) + len(
        counts['skipped']
    )


def _ask(trained: Trained, part: LabelledImages) -> Predictions:
    model, want = trained.load(), trained.input

    def answer(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return model(want.blob(image))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        logits = np.array(
            list(
                tqdm(
                    pool.map(answer, part.images),
                    desc=trained.name,
                    unit='img',
                    total=len(part.images),
                    disable=None,
                )
            )
        )
    if logits.shape[1:] != (len(trained.metrics['labels']),):
        raise ValueError(
            f'{trained.name} gives {logits[0].size} logits for '
            f'{len(trained.metrics["labels"])} classes'
        )
    if not np.isfinite(logits).all():
        raise ValueError(f'{trained.name} answers a picture with a logit that is NaN or infinite')
    return Predictions(logits, part.labels, part.names)


def _cache_file(trained: Trained, pictures: Sequence[Any]) -> Path:
    weights = hashlib.sha256(trained.file('onnx').read_bytes()).hexdigest()
    key = json.dumps([weights, trained.metrics['preprocessing'], *pictures])
    digest = hashlib.sha256(key.encode()).hexdigest()
    return trained.folder / f'{trained.name}.{digest[:16]}.npz'


def _read(file: Path, classes: int) -> Predictions | None:
    if not file.exists():
        return None
    try:
        with np.load(file) as arrays:
            kept = Predictions(arrays['logits'], arrays['labels'], tuple(arrays['names'].tolist()))
        if kept.logits.shape == (len(kept.names), classes) and len(kept.labels) == len(kept.names):
            return kept
        error: Exception = ValueError('its arrays do not fit together')
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as caught:
        error = caught
    print(f'{file} is damaged ({error}); its pictures are classified again', file=sys.stderr)
    return None


def _write(file: Path, answer: Predictions) -> None:
    content = BytesIO()
    np.savez(content, logits=answer.logits, labels=answer.labels, names=np.array(answer.names))
    try:
        write_atomically(file, content.getvalue())
    except OSError as error:
        print(
            f'{file} cannot be written, so its pictures will be classified anew: {error}',
            file=sys.stderr,
        )
