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
A tiny data set of coloured pictures, and CNNs as `train` leaves them that answer by the colour.

They are those of tiny_bundle, and want BGR, so that their classes are in the order of the names.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tiny_bundle import make_bundle

from dual_cnn_ros.bundle import read_bundle, TrainingRecord, write_bundle

LABELS = ('blue', 'green', 'red')


def make_pictures(folder: Path, count: int = 12, seed: int = 0) -> Path:
    """Write `count` tinted pictures of each class, 20 x 24 pixels, and return the folder."""
    random = np.random.default_rng(seed)
    for channel, label in enumerate(LABELS):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            image = random.integers(0, 150, (20, 24, 3), np.uint8)
            image[..., channel] += np.uint8(random.integers(20, 90))
            cv2.imwrite(str(folder / label / f'{number:02}.png'), image)
    return folder


def make_blotches(folder: Path, count: int, seed: int) -> None:
    """Write images of blotches in all colours, of which there is a little more of the label's."""
    random = np.random.default_rng(seed)
    for channel, label in enumerate(LABELS):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            image = random.integers(0, 200, (6, 6, 3))
            image[..., channel] += random.integers(0, 55)
            large = image.astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1)
            cv2.imwrite(str(folder / label / f'{number:03}.png'), large)


def make_trained(
    folder: Path,
    name: str,
    gain: float = 2.0,
    size: int = 16,
    logits: int = 3,
    macs: int = 9,
    labels: tuple[str, ...] = LABELS,
    colour: str = 'bgr',
    images: int = 30,
    **training: Any,
) -> Path:
    """
    Write a bundle of one stage as `train` does, and return its folder.

    `images` and `training` are fields of its TrainingRecord; see make_bundle for the others.
    """
    record = {'split': None, 'validation': 0.5, 'seed': 3, **training}
    bundle = read_bundle(
        make_bundle(
            folder / name,
            labels,
            size,
            gains=(gain,),
            name=name,
            channels=colour,
            logits=logits,
            training=TrainingRecord('pictures', images=images, **record),
        )
    )
    (stage,) = bundle.stages
    stage = replace(stage, macs=macs, architecture='tiny')
    write_bundle(replace(bundle, stages=(stage,)))
    return bundle.path
