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

import json
from pathlib import Path

import cv2
import numpy as np
from tiny_bundle import save_model

from dual_cnn_ros.cascade.frame import COLOURS

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


def make_trained(
    folder: Path,
    name: str,
    gain: float = 2.0,
    size: int = 16,
    logits: int = 3,
    multiply_adds: int = 9,
    labels: tuple[str, ...] = LABELS,
    colour: str = 'bgr',
    pictures: int = 30,
    **arguments: object,
) -> Path:
    """Write a CNN with its metrics, and return the file of the latter; arguments: of `train`."""
    folder.mkdir(parents=True, exist_ok=True)
    channels = len(COLOURS[colour])
    save_model(folder / f'{name}.onnx', logits, size, gain, channels)
    (folder / f'{name}.safetensors').write_bytes(b'')
    file = folder / f'{name}.json'
    file.write_text(
        json.dumps(
            {
                'architecture': 'tiny',
                'labels': list(labels),
                'multiply_adds': multiply_adds,
                'preprocessing': {
                    'height': size,
                    'width': size,
                    'colour': colour,
                    'crop': None,
                    'mean': [0.5] * channels,
                    'std': [0.25] * channels,
                },
                'files': {kind: {'path': f'{name}.{kind}'} for kind in ('onnx', 'safetensors')},
                'pictures': {'training': pictures, 'held_out': 0, 'excluded': 0, 'skipped': []},
                'arguments': {'split': None, 'holdout': 0.5, 'seed': 3, **arguments},
            }
        )
    )
    return file
