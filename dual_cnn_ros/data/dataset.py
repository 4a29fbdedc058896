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

"""Labelled images decoded into arrays, in a training and a validation part."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import hashlib
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dual_cnn_ros.cascade.frame import Frame, Image
from dual_cnn_ros.data import DataError
from dual_cnn_ros.data.image_file import decode_image
from dual_cnn_ros.data.image_folder import image_name, ImageFolder
from dual_cnn_ros.files import composed, EncodingError, read_text


@dataclass(frozen=True)
class Reduction:
    """
    How images are cropped and scaled to one size, as `Frame.reduced` does it.

    Attributes
    ----------
    height, width
        Pixels.
    crop
        See Preprocessing.
    is_grey
        Whether colours are left out.

    """

    height: int
    width: int
    crop: float | None
    is_grey: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a reduced image."""
        return (self.height, self.width) if self.is_grey else (self.height, self.width, 3)

    def __call__(self, image: Image) -> Image:
        """Return the image as uint8 (H, W, 3) BGR or (H, W) grey."""
        pixels = Frame(image).reduced(self.height, self.width, self.crop)
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if self.is_grey else pixels


@dataclass(frozen=True)
class LabelledImages:
    """
    Images of one size with their labels, in the order of their names.

    Attributes
    ----------
    images
        uint8, (N, H, W, 3) BGR or (N, H, W) grey; `Preprocessing.blob` takes each as it is.
    labels
        int64 (N,), class indices.
    names
        '<class>/<file>' of each.

    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """
    One split of a folder or a tar.

    Attributes
    ----------
    classes
        Their names, sorted.
    training, validation
        The two parts; one that was not asked for is empty.
    skipped
        Names of images that could not be read or decoded.
    problems
        What was left out, the skipped images included, one text each.
    excluded
        How many images of the split were left out by name.

    """

    classes: tuple[str, ...]
    training: LabelledImages
    validation: LabelledImages
    skipped: tuple[str, ...]
    problems: tuple[str, ...]
    excluded: int


def is_validation(name: str, fraction: float, seed: int) -> bool:
    """Return whether the image '<class>/<file>' is for validation; the same on every machine."""
    digest = hashlib.sha256(f'{seed}:{name}'.encode()).digest()
    return int.from_bytes(digest[:8], 'big') < fraction * 2**64


def read_names(path: Path) -> frozenset[str]:
    """
    Return the lines of a text file, without blank ones and those that begin with #.

    Raises
    ------
    DataError
        If it is in another encoding than UTF-8.

    """
    try:
        text = read_text(path)
    except EncodingError as error:
        raise DataError(str(error)) from error
    lines = (composed(line.strip()) for line in text.splitlines())
    return frozenset(line for line in lines if line and not line.startswith('#'))


def load_dataset(
    path: Path,
    *,
    training: Reduction | None = None,
    validation: Reduction | None = None,
    split: str | None = None,
    fraction: float = 0.0,
    seed: int = 0,
    labels: Sequence[str] | None = None,
    exclude: Collection[str] = (),
) -> Dataset:
    """
    Read and decode one split of a folder or a tar (plain, gz, bz2 or xz).

    Parameters
    ----------
    path
        Holds `<split>/<class>/<file>`, or `<class>/<file>` and is then itself the split.
    training, validation
        How the images of either part are reduced; None to leave it unread.
    split
        'train' where there are several and none is named.
    fraction, seed
        The share of the images that is for validation, see is_validation.
    labels
        The classes that are expected, in any order.
    exclude
        Names `<class>/<file>` or `<split>/<class>/<file>` to leave out.

    Raises
    ------
    DataError
        For unreadable data, an unknown split, a class without an image (to train on), and classes
        that differ from those of another split or from the labels.

    """
    folder = ImageFolder(path)
    _require_layout(folder)
    split = folder.choose_split(split, 'train')
    classes = _classes(folder, split, labels)
    chosen = folder.select(split, exclude)
    kept_back = {file for file in chosen if is_validation(image_name(file), fraction, seed)}
    reductions = {file: validation if file in kept_back else training for file in chosen}
    wanted = {file: reduction for file, reduction in reductions.items() if reduction}

    def decode(item: tuple[str, bytes]) -> tuple[str, Image | None]:
        file, data = item
        image = decode_image(data)
        return file, None if image is None else wanted[file](image)

    read = folder.read(wanted)
    images: dict[str, Image] = {}
    with (
        ThreadPoolExecutor() as pool,
        tqdm(total=len(wanted), desc=f'reading {path.name}', unit='img', disable=None) as bar,
    ):
        # In portions, because map would take all of a large tar into memory at once.
        while portion := list(islice(read, 256)):
            decoded = pool.map(decode, portion)
            images.update({file: image for file, image in decoded if image is not None})
            bar.update(len(portion))

    skipped = sorted(wanted.keys() - images.keys())
    for file in skipped:
        folder.left_out.setdefault(file, 'it is damaged, or no image')
    training_part = _stack(images, images.keys() - kept_back, classes, training)
    validation_part = _stack(images, images.keys() & kept_back, classes, validation)
    if training and (missing := set(range(len(classes))) - {*training_part.labels.tolist()}):
        raise DataError(
            f'{path}: class {classes[min(missing)]!r} has no image to train on (skipped as '
            'corrupt, excluded or kept for validation); add images or remove the class'
        )
    excluded = len(folder.select(split)) - len(chosen)
    names = tuple(map(image_name, skipped))
    return Dataset(
        classes, training_part, validation_part, names, tuple(folder.problems), excluded
    )


def _stack(
    images: dict[str, Image],
    files: Collection[str],
    classes: Sequence[str],
    reduction: Reduction | None,
) -> LabelledImages:
    """Move the images of some files into one array, one by one, to need no memory for two."""
    files = sorted(files)
    stack = np.empty((len(files), *(reduction.shape if reduction else ())), np.uint8)
    for place, file in zip(stack, files):
        place[:] = images.pop(file)
    names = tuple(map(image_name, files))
    labels = [classes.index(name.split('/')[0]) for name in names]
    return LabelledImages(stack, np.array(labels, np.int64), names)


def _require_layout(folder: ImageFolder) -> None:
    if {file.count('/') for file in folder.files} not in ({1}, {2}):
        raise DataError(
            f'{folder.path}: expected images as <split>/<class>/<file> or <class>/<file>, found '
            f'{_first_few(folder.files) or "none"}'
        )


def _classes(
    folder: ImageFolder, split: str | None, labels: Sequence[str] | None
) -> tuple[str, ...]:
    """Return the classes of the split, sorted; DataError if they cannot be used."""
    depth = 1 if split is None else 2
    classes: dict[str | None, set[str]] = {}
    for name in sorted(folder.folders):
        parts = name.split('/')
        if len(parts) == depth:
            classes.setdefault(split and parts[0], set()).add(parts[-1])
    found = classes[split]
    for other, others in classes.items():
        _require_same(f'{folder.path}: split {other!r}', others, f'split {split!r}', found)
    if labels is not None:
        _require_same(str(folder.path), found, 'the given labels', set(map(composed, labels)))
    prefix = f'{split}/' if split else ''
    if empty := {prefix + label for label in found} - {f.rpartition('/')[0] for f in folder.files}:
        raise DataError(
            f'{folder.path}: class {min(empty)!r} is empty; add images to its folder or remove it'
        )
    if len(found) < 2:
        raise DataError(
            f'{folder.path}: a classifier needs two classes or more, found only '
            f'{_first_few(sorted(found))}'
        )
    return tuple(sorted(found))


def _require_same(where: str, found: set[str], reference: str, expected: set[str]) -> None:
    if found != expected:
        raise DataError(
            f'{where} has {len(found)} classes and {reference} {len(expected)}: '
            f'missing {_first_few(sorted(expected - found)) or "none"}, '
            f'unexpected {_first_few(sorted(found - expected)) or "none"}'
        )


def _first_few(names: Sequence[str]) -> str:
    return ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
