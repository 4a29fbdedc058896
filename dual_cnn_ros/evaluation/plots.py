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

"""Pictures of results, drawn with OpenCV, because a robot has no plotting library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.frame import Image

PAPER, INK, DEEP, MARK = (255, 255, 255), (40, 40, 40), (110, 50, 8), (40, 110, 240)
FONT, SCALE, GAP = cv2.FONT_HERSHEY_SIMPLEX, 0.5, 12
CELL = (56, 36)  # width, height


def heat_map(
    values: npt.ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    marked: tuple[int, int] | None = None,
) -> Image:
    """
    Return a table of numbers on cells that darken with them, uint8 (H, W, 3) BGR.

    values: (R, C), 0 or more, written with one decimal; NaN leaves a cell grey. rows, columns:
    their names, the latter written upwards. marked: the row and the column of a cell to frame.
    """
    table = np.asarray(values, dtype=np.float64)
    highest = np.nanmax(table, initial=0) or 1.0
    left, top = GAP + max(map(_width, rows)) + GAP, 3 * GAP + max(map(_width, columns)) + GAP
    width = left + table.shape[1] * CELL[0] + GAP
    picture = np.full(
        (top + table.shape[0] * CELL[1] + GAP, max(width, _width(title) + 2 * GAP), 3),
        PAPER,
        np.uint8,
    )
    _write(picture, title, (GAP, 2 * GAP))
    for i, name in enumerate(rows):
        _write(picture, name, (left - GAP - _width(name), top + i * CELL[1] + CELL[1] // 2 + 5))
    # OpenCV writes from left to right only.
    turned = np.full((table.shape[1] * CELL[0], top, 3), PAPER, np.uint8)
    for j, name in enumerate(columns):
        _write(turned, name, (GAP, j * CELL[0] + CELL[0] // 2 + 5))
    upright = cv2.rotate(turned, cv2.ROTATE_90_COUNTERCLOCKWISE)[3 * GAP :]
    picture[3 * GAP : top, left : left + upright.shape[1]] = upright
    for (i, j), value in np.ndenumerate(table):
        corner = (left + j * CELL[0], top + i * CELL[1])
        end = (corner[0] + CELL[0] - 2, corner[1] + CELL[1] - 2)
        if np.isnan(value):
            cv2.rectangle(picture, corner, end, (225,) * 3, -1)
            continue
        depth = value / highest
        shade = [(1 - depth) * light + depth * dark for light, dark in zip(PAPER, DEEP)]
        cv2.rectangle(picture, corner, end, shade, -1)
        text = f'{value:.1f}'
        _write(
            picture,
            text,
            (corner[0] + (CELL[0] - _width(text)) // 2, corner[1] + 23),
            PAPER if depth > 0.5 else INK,
        )
    if marked is not None:
        corner = (left + marked[1] * CELL[0], top + marked[0] * CELL[1])
        cv2.rectangle(picture, corner, (corner[0] + CELL[0] - 2, corner[1] + CELL[1] - 2), MARK, 3)
    return picture


def reliability(bins: Sequence[Mapping[str, float]], title: str, side: int = 300) -> Image:
    """
    Return the accuracy of answers over their confidence, uint8 (H, W, 3) BGR.

    bins: as judge.reliability has them. A dot for each, the larger the more frames it holds; on
    the line, confidence is what it promises to be.
    """
    left, top = 5 * GAP, 3 * GAP
    picture = np.full((top + side + 4 * GAP, left + side + 2 * GAP, 3), PAPER, np.uint8)

    def place(confidence: float, accuracy: float) -> tuple[int, int]:
        return left + round(confidence * side), top + round((1 - accuracy) * side)

    _write(picture, title, (GAP, 2 * GAP))
    cv2.rectangle(picture, place(0, 1), place(1, 0), INK, 1)
    for tick in (0.0, 0.5, 1.0):
        name = f'{tick:.1f}'
        x, y = place(tick, tick)
        _write(picture, name, (left - GAP // 2 - _width(name), y + 5))
        _write(picture, name, (x - _width(name) // 2, top + side + GAP + 5))
    _write(
        picture,
        'confidence',
        (left + (side - _width('confidence')) // 2, top + side + 3 * GAP - 2),
    )
    cv2.line(picture, place(0, 0), place(1, 1), (170,) * 3, 1, cv2.LINE_AA)
    frames = sum(entry['frames'] for entry in bins)
    for entry in bins:
        x, y = place(entry['confidence'], entry['accuracy'])
        cv2.line(picture, (x, y), place(entry['confidence'], entry['confidence']), MARK, 2)
        radius = 3 + round(12 * (entry['frames'] / frames) ** 0.5)
        cv2.circle(picture, (x, y), radius, DEEP, -1, cv2.LINE_AA)
    return picture


def _width(text: str) -> int:
    return int(cv2.getTextSize(text, FONT, SCALE, 1)[0][0])


def _write(
    picture: Image, text: str, at: tuple[int, int], colour: tuple[int, int, int] = INK
) -> None:
    cv2.putText(picture, text, at, FONT, SCALE, colour, 1, cv2.LINE_AA)
