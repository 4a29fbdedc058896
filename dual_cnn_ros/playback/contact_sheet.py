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

"""The contact sheet: overlays of a session side by side, as one would show a colleague."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from dual_cnn_ros.cascade.frame import Image, twice_if_lone
from dual_cnn_ros.nodes.overlay import SOURCE_COLOURS
from dual_cnn_ros.playback.decision_listener import DecisionListener, FrameKey
from dual_cnn_ros.playback.node_processes import NodeError
from dual_cnn_ros.typeface import draw_text, text_width

TILES = 24
# Of a tile; it is as wide as its images are, within limits.
HEIGHT, WIDTHS = 240, (160, 426)
COLUMNS = 6
GAP, HEAD, FOOT = 8, 56, 32
PAPER, BACKGROUND, INK = (250,) * 3, (200,) * 3, (40,) * 3
WHITE, WRONG = (255,) * 3, (60, 60, 220)


def check_format(file: Path) -> None:
    """Raise ValueError where no image can be written to a file of this name."""
    if not cv2.haveImageWriter(str(file)):
        raise ValueError(f'--out {file}: the name must end in .png or .jpg')


def write_contact_sheet(
    file: Path,
    heard: DecisionListener,
    labels: Mapping[FrameKey, str],
    stages: Sequence[str],
    note: str = '',
) -> int:
    """
    Write the contact sheet of a session, with overlays spread over its time.

    Parameters
    ----------
    file
        A .png or .jpg; its folder is made.
    heard
        Holds the overlays and decisions.
    labels
        True labels, as far as they are known.
    stages
        Names of the stages, in order.
    note
        Written at the bottom.

    Returns
    -------
    int
        Number of frames on it.

    Raises
    ------
    NodeError
        There is no overlay of a frame with a decision.
    OSError
        The file cannot be written.

    """
    keys = sorted(heard.overlays.keys() & heard.decisions.keys(), key=lambda key: key[1])
    if not keys:
        raise NodeError('the classifier node drew no overlay of any frame')
    chosen = [keys[i] for i in np.unique(np.linspace(0, len(keys) - 1, TILES).astype(int))]
    overlays = [heard.overlays[key] for key in chosen]
    wrong = [
        labels[key] if labels.get(key, answer) != answer else None
        for key in chosen
        for answer in [heard.decisions[key].label]
    ]
    sheet = contact_sheet(overlays, wrong, stages, note)
    file.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(file), sheet):
        raise OSError(f'{file} cannot be written; choose another file with --out')
    return len(chosen)


def contact_sheet(
    overlays: Sequence[bytes],
    wrong: Sequence[str | None],
    stages: Sequence[str],
    note: str = '',
) -> Image:
    """
    Return images in a grid under a legend of the sources' colours, uint8 (H, W, 3) BGR.

    Parameters
    ----------
    overlays
        Encoded images.
    wrong
        For each, the true label where the answer is wrong, which is written on it; else None.
    stages
        Names of the stages, in order.
    note
        Written at the bottom.

    """
    images = [
        np.asarray(cv2.imdecode(np.frombuffer(overlay, np.uint8), cv2.IMREAD_COLOR), np.uint8)
        for overlay in overlays
    ]
    ratio = float(np.median([image.shape[1] / image.shape[0] for image in images]))
    wide = int(np.clip(round(HEIGHT * ratio), *WIDTHS))
    rows = -(-len(images) // COLUMNS)
    width = COLUMNS * (wide + GAP) + GAP
    height = HEAD + rows * (HEIGHT + GAP) + GAP + (FOOT if note else 0)
    sheet = np.full((height, width, 3), PAPER, dtype=np.uint8)
    left = GAP
    for name, shade in zip(('memory', *stages), SOURCE_COLOURS):
        cv2.rectangle(sheet, (left, 16), (left + 28, 44), shade, -1)
        left += 40
        draw_text(sheet, name, (left, 39), 24, INK)
        left += text_width(name, 24) + 40
    for i, (image, truth) in enumerate(zip(images, wrong)):
        tile = _fit(image, wide)
        if truth is not None:
            at = (12, HEIGHT - 14)
            draw_text(tile, f'is: {truth}', at, 22, WRONG, outline=(WHITE, 3))
        top = HEAD + GAP + (i // COLUMNS) * (HEIGHT + GAP)
        left = GAP + (i % COLUMNS) * (wide + GAP)
        sheet[top : top + HEIGHT, left : left + wide] = tile
    if note:
        draw_text(sheet, note, (GAP, height - 12), 18, INK)
    return sheet


def _fit(image: Image, wide: int) -> Image:
    """Return an image as large as a tile so wide lets it be, on grey."""
    scale = min(wide / image.shape[1], HEIGHT / image.shape[0])
    width, height = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
    tile = np.full((HEIGHT, wide, 3), BACKGROUND, dtype=np.uint8)
    top, left = (HEIGHT - height) // 2, (wide - width) // 2
    tile[top : top + height, left : left + width] = cv2.resize(
        twice_if_lone(image), (width, height), interpolation=cv2.INTER_AREA
    )
    return tile
