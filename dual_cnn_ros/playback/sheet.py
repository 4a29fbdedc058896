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

"""The contact sheet: overlays of a run side by side, as one would show a colleague."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from dual_cnn_ros.cascade.frame import Image
from dual_cnn_ros.nodes.overlay import COLOURS

TILE = (320, 240)  # width, height
COLUMNS = 6
GAP, HEAD = 8, 56
PAPER, INK, WRONG = (250, 250, 250), (40, 40, 40), (60, 60, 220)


def contact_sheet(
    pictures: Sequence[bytes],
    truths: Sequence[str | None],
    answers: Sequence[str],
    stages: Sequence[str],
    note: str = '',
) -> Image:
    """
    Return the pictures in a grid, uint8 (H, W, 3) BGR, under a legend of the sources' colours.

    pictures: encoded overlays. truths: their true labels, or None; where an answer differs, the
    truth is written below it in red. stages: the names of the stages. note: written at the bottom.
    """
    rows = -(-len(pictures) // COLUMNS)
    width = COLUMNS * (TILE[0] + GAP) + GAP
    foot = 32 if note else 0
    height = HEAD + rows * (TILE[1] + GAP) + GAP + foot
    sheet = np.full((height, width, 3), PAPER, dtype=np.uint8)
    left = GAP
    for name, shade in zip(('memory', *stages), COLOURS):
        cv2.rectangle(sheet, (left, 16), (left + 28, 44), shade, -1)
        left += 40
        cv2.putText(sheet, name, (left, 38), cv2.FONT_HERSHEY_SIMPLEX, 0.8, INK, 2, cv2.LINE_AA)
        left += cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, 0.8, 2)[0][0] + 40
    for i, (encoded, truth, answer) in enumerate(zip(pictures, truths, answers)):
        tile = _fit(np.asarray(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)))
        if truth is not None and truth != answer:
            text, at = f'is: {truth}', (12, TILE[1] - 14)
            cv2.putText(tile, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255,) * 3, 6, cv2.LINE_AA)
            cv2.putText(tile, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.7, WRONG, 2, cv2.LINE_AA)
        top = HEAD + GAP + (i // COLUMNS) * (TILE[1] + GAP)
        left = GAP + (i % COLUMNS) * (TILE[0] + GAP)
        sheet[top : top + TILE[1], left : left + TILE[0]] = tile
    if note:
        cv2.putText(
            sheet, note, (GAP, height - 12), cv2.FONT_HERSHEY_SIMPLEX, 0.6, INK, 1, cv2.LINE_AA
        )
    return sheet


def _fit(picture: Image) -> Image:
    """Return the picture as large as the tile lets it be, on grey."""
    scale = min(TILE[0] / picture.shape[1], TILE[1] / picture.shape[0])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    tile = np.full((TILE[1], TILE[0], 3), 200, dtype=np.uint8)
    top, left = (TILE[1] - size[1]) // 2, (TILE[0] - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = small
    return tile
