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

"""The picture with the decision written on it, coloured by who answered."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.cascade.frame import Image

# BGR, distinct to colour-blind eyes too (after Okabe and Ito): green, blue, then orange and
# purple.
COLOURS = ((115, 158, 0), (178, 114, 0), (0, 159, 230), (167, 121, 204))
WIDTH = 320


def colour(decision: Decision, stages: Sequence[str]) -> tuple[int, int, int]:
    """Return the BGR colour of a decision's source: memory, first, second, any deeper stage."""
    sources = ('memory', *stages)
    return COLOURS[min(sources.index(decision.source), len(COLOURS) - 1)]


def draw(
    image: Image, decision: Decision, label: str, stages: Sequence[str], lines: Sequence[str] = ()
) -> Image:
    """
    Return a copy of the frame, uint8 (H, W, 3) BGR and at least 320 wide, with the decision on it.

    stages: the names of the cascade's stages in order. lines: more text, drawn at the bottom.
    """
    picture = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image.copy()
    if picture.shape[1] < WIDTH:
        height = max(1, round(picture.shape[0] * WIDTH / picture.shape[1]))
        picture = cv2.resize(
            picture, (WIDTH, min(height, 4 * WIDTH)), interpolation=cv2.INTER_NEAREST
        )
    scale = picture.shape[1] / 640
    edge = max(2, round(8 * scale))
    bar = round(44 * scale)
    shade = colour(decision, stages)
    cv2.rectangle(picture, (0, 0), (picture.shape[1], bar), shade, -1)
    cv2.rectangle(picture, (0, 0), (picture.shape[1] - 1, picture.shape[0] - 1), shade, edge)
    _write(picture, f'{label} {decision.score:.2f}', (2 * edge, round(bar * 0.72)), 1.1 * scale)
    _write(
        picture,
        decision.source,
        (picture.shape[1] - 2 * edge, round(bar * 0.72)),
        0.9 * scale,
        right=True,
    )
    for i, line in enumerate(reversed(lines)):
        bottom = picture.shape[0] - 2 * edge - round(i * 30 * scale)
        _write(picture, line, (2 * edge, bottom), 0.8 * scale, outline=True)
    return np.ascontiguousarray(picture)


def watts(value: float) -> str:
    """Return the line about the power, in watts."""
    return f'{_short(value)} W'


def joules(value: float) -> str:
    """Return the line about the energy of a frame, in joules."""
    amount = f'{_short(value)} J' if abs(value) >= 1 else f'{_short(value * 1e3)} mJ'
    return f'{amount} per frame'


def _short(value: float) -> str:
    size = abs(value)
    return f'{value:.{0 if size >= 100 else 1 if size >= 10 else 2}f}'


def _write(
    picture: Image,
    text: str,
    at: tuple[int, int],
    size: float,
    right: bool = False,
    outline: bool = False,
) -> None:
    font, thickness = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(2 * size))
    if right:
        at = (at[0] - cv2.getTextSize(text, font, size, thickness)[0][0], at[1])
    if outline:
        cv2.putText(picture, text, at, font, size, (0, 0, 0), 3 * thickness, cv2.LINE_AA)
    cv2.putText(picture, text, at, font, size, (255, 255, 255), thickness, cv2.LINE_AA)
