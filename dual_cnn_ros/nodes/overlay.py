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

"""The frame with the decision written on it, coloured by who answered."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from dual_cnn_ros.cascade.decision import Decision, MEMORY
from dual_cnn_ros.cascade.frame import Image, twice_if_lone
from dual_cnn_ros.typeface import draw_text, text_width

# BGR, distinct to colour-blind eyes too (after Okabe and Ito): green for the memory, then blue,
# orange, purple and vermilion for the stages.
SOURCE_COLOURS = ((115, 158, 0), (178, 114, 0), (0, 159, 230), (167, 121, 204), (0, 94, 213))
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
MIN_WIDTH = 320


def source_colour(decision: Decision, stages: Sequence[str]) -> tuple[int, int, int]:
    """Return the BGR colour of a decision's source: the memory, each stage, the deepest alike."""
    sources = ('memory', *stages)
    return SOURCE_COLOURS[min(sources.index(decision.source), len(SOURCE_COLOURS) - 1)]


def draw_overlay(
    image: Image,
    decision: Decision,
    label: str,
    stages: Sequence[str],
    lines: Sequence[str] = (),
    with_text: bool = True,
) -> Image:
    """
    Return a copy of the frame with the decision drawn on it.

    Parameters
    ----------
    image
        uint8, (H, W, 3) BGR or (H, W) grey.
    decision, label
        What was decided, and the name of that class.
    stages
        The names of the cascade's stages, in order.
    lines
        More text, written at the bottom.
    with_text
        If False, the colours alone say who answered.

    Returns
    -------
    numpy.ndarray
        uint8, (H, W, 3) BGR, C-contiguous, enlarged where it would be less than 320 wide.

    Raises
    ------
    NoTypefaceError
        If text cannot be drawn on this machine.

    """
    drawn = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image.copy()
    if drawn.shape[1] < MIN_WIDTH:
        height = max(1, round(drawn.shape[0] * MIN_WIDTH / drawn.shape[1]))
        size = MIN_WIDTH, min(height, 4 * MIN_WIDTH)
        drawn = cv2.resize(twice_if_lone(drawn), size, interpolation=cv2.INTER_NEAREST)
    drawn = np.ascontiguousarray(drawn)
    height, width = drawn.shape[:2]
    scale = width / 640
    edge = max(2, round(8 * scale))
    bar = round(44 * scale)
    shade = source_colour(decision, stages)
    cv2.rectangle(drawn, (0, 0), (width, bar), shade, -1)
    cv2.rectangle(drawn, (0, 0), (width - 1, height - 1), shade, edge)
    if not with_text:
        return drawn
    baseline = round(bar * 0.77)
    small, line_height = round(26 * scale), round(32 * scale)
    draw_text(
        drawn, f'{label} {decision.score:.2f}', (2 * edge, baseline), round(32 * scale), WHITE
    )
    who = decision.source
    if decision.source == MEMORY and decision.distance is not None:
        who += f' {decision.distance:.2f}'
    right = width - 2 * edge - text_width(who, small)
    draw_text(drawn, who, (right, baseline), small, WHITE)
    outline = BLACK, max(1, round(2 * scale))
    for i, line in enumerate(reversed(lines)):
        at = 2 * edge, height - 2 * edge - i * line_height
        draw_text(drawn, line, at, small, WHITE, outline)
    return drawn


def watts_line(value: float) -> str:
    """Return the line about the power, in watts."""
    return f'{_short(value)} W'


def joules_line(value: float) -> str:
    """Return the line about the energy of a frame, in joules."""
    amount = f'{_short(value)} J' if abs(value) >= 1 else f'{_short(value * 1e3)} mJ'
    return f'{amount} per frame'


def _short(value: float) -> str:
    size = abs(value)
    return f'{value:.{0 if size >= 100 else 1 if size >= 10 else 2}f}'
