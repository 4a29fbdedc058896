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
Drawings of twelve signs that a mobile robot meets, and of some that only look like one of them.

None of them is a photograph.
"""

from __future__ import annotations

from functools import cache
import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.frame import Image
from dual_cnn_ros.synthetic.textures import FloatImage, smooth_noise
from dual_cnn_ros.synthetic.world import Panel

_Point = tuple[float, float]
_Colour = tuple[int, int, int]

# The label of a view in which no sign is visible at a sufficient size.
NONE = 'none'

WHITE: _Colour = (245, 245, 245)
BLACK: _Colour = (25, 25, 25)
RED: _Colour = (40, 30, 200)
BLUE: _Colour = (180, 90, 20)
GREEN: _Colour = (70, 140, 20)
YELLOW: _Colour = (20, 195, 245)

# Side in pixels of the face of a sign in the world: what the nearest view needs.
FACE = 192

# A sign is drawn this many times larger than asked for, and then reduced.
_OVERSAMPLING = 4
# Fractional bits of the coordinates that OpenCV is given.
_FRACTION_BITS = 8


class _Shape(NamedTuple):
    """
    A part of a drawing, on a square in which x and y run from -1 to 1 (y down).

    Attributes
    ----------
    points
        Corners of a polygon, or points along a line.
    colour
        BGR.
    width
        Of a line with round ends; 0 for a filled polygon.

    """

    points: list[_Point]
    colour: _Colour
    width: float = 0.0


def _arc(x: float, y: float, radius: float, start: float, end: float) -> list[_Point]:
    """Return an arc; angles in degrees, clockwise on the screen, 0 to the right."""
    angles = np.radians(np.linspace(start, end, 24))
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]


def _regular(
    corners: int, radius: float, x: float = 0, y: float = 0, turn: float = 0
) -> list[_Point]:
    angles = [turn + 2 * math.pi * i / corners for i in range(corners)]
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]


def _box(left: float, top: float, right: float, bottom: float) -> list[_Point]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _triangle(radius: float, colour: _Colour, *, down: bool = False) -> _Shape:
    centre = -0.22 if down else 0.22
    return _Shape(_regular(3, radius, 0, centre, math.pi / 2 if down else -math.pi / 2), colour)


def _disc(x: float, y: float, radius: float, colour: _Colour) -> _Shape:
    return _Shape(_regular(64, radius, x, y), colour)


def _rounded(reach: float, radius: float, colour: _Colour) -> _Shape:
    """Return a square with rounded corners."""
    inner = reach - radius
    corners = ((inner, inner), (-inner, inner), (-inner, -inner), (inner, -inner))
    arcs = [_arc(x, y, radius, 90 * i, 90 * i + 90) for i, (x, y) in enumerate(corners)]
    return _Shape([point for arc in arcs for point in arc], colour)


def _plate(colour: _Colour) -> list[_Shape]:
    return [_rounded(0.94, 0.2, WHITE), _rounded(0.85, 0.14, colour)]


def _arrow(shaft: list[_Point], head: list[_Point]) -> list[_Shape]:
    blue_disc = [_disc(0, 0, 1.0, WHITE), _disc(0, 0, 0.94, BLUE)]
    return [*blue_disc, _Shape(shaft, WHITE, 0.22), _Shape(head, WHITE)]


def _turn(side: int) -> list[_Shape]:
    """Return the arrow to the left for -1, to the right for 1."""
    bend = [(-0.3 * side, 0.55), (-0.3 * side, -0.05), (-0.18 * side, -0.2), (0.1 * side, -0.2)]
    return _arrow(bend, [(0.68 * side, -0.2), (0.1 * side, -0.6), (0.1 * side, 0.2)])


_RED_RING = [_disc(0, 0, 1.0, RED), _disc(0, 0, 0.74, WHITE)]
_RED_TRIANGLE = [_triangle(1.2, RED), _triangle(0.86, WHITE)]
_YELLOW_TRIANGLE = [_triangle(1.2, BLACK), _triangle(1.02, YELLOW)]

# The first shape of each is the outline that cuts it out.
_SIGNS: dict[str, list[_Shape]] = {
    'ahead': _arrow([(0, 0.6), (0, -0.2)], [(0, -0.75), (0.42, -0.15), (-0.42, -0.15)]),
    'charging': [
        *_plate(GREEN),
        _Shape(
            [(0.12, -0.7), (-0.4, 0.12), (-0.04, 0.12), (-0.14, 0.7), (0.4, -0.16), (0.04, -0.16)],
            WHITE,
        ),
    ],
    # A cabin with one arrow up and one down.
    'elevator': [
        *_plate(BLUE),
        _Shape(_box(-0.58, -0.25, 0.58, 0.7), WHITE),
        _Shape(_box(-0.04, -0.13, 0.04, 0.7), BLUE),
        _Shape([(-0.3, -0.74), (-0.04, -0.36), (-0.56, -0.36)], WHITE),
        _Shape([(0.3, -0.36), (0.04, -0.74), (0.56, -0.74)], WHITE),
    ],
    'give_way': [_triangle(1.12, RED, down=True), _triangle(0.66, WHITE, down=True)],
    'no_entry': [
        _disc(0, 0, 1.0, WHITE),
        _disc(0, 0, 0.94, RED),
        _Shape(_box(-0.68, -0.18, 0.68, 0.18), WHITE),
    ],
    # Somebody walking.
    'people': [
        *_RED_TRIANGLE,
        _disc(0.02, -0.22, 0.1, BLACK),
        _Shape([(0, -0.02), (-0.02, 0.24)], BLACK, 0.16),
        _Shape([(-0.02, 0.24), (0.2, 0.54)], BLACK, 0.1),
        _Shape([(-0.02, 0.24), (-0.24, 0.54)], BLACK, 0.1),
        _Shape([(-0.22, 0.16), (0, -0.04), (0.22, 0.14)], BLACK, 0.08),
    ],
    # Walking speed: a 5.
    'slow': [
        *_RED_RING,
        _Shape(
            [(0.24, -0.42), (-0.18, -0.42), (-0.22, -0.04), *_arc(0.0, 0.18, 0.27, -130, 140)],
            BLACK,
            0.16,
        ),
    ],
    'stairs': [
        *_YELLOW_TRIANGLE,
        _Shape(
            [(-0.5, 0.56)]
            + [
                (-0.5 + 0.25 * (step + side), 0.56 - 0.2 * (step + 1))
                for step in range(4)
                for side in (0, 1)
            ]
            + [(0.5, 0.56)],
            BLACK,
        ),
    ],
    # The letters S, T, O and P.
    'stop': [
        _Shape(_regular(8, 1.0, turn=math.pi / 8), WHITE),
        _Shape(_regular(8, 0.92, turn=math.pi / 8), RED),
        *(
            _Shape(line, WHITE, 0.11)
            for line in (
                [*_arc(-0.56, -0.12, 0.12, -20, -270), *_arc(-0.56, 0.12, 0.12, -90, 160)],
                [(-0.34, -0.24), (-0.06, -0.24)],
                [(-0.2, -0.24), (-0.2, 0.24)],
                _arc(0.19, -0.11, 0.13, 180, 360)
                + _arc(0.19, 0.11, 0.13, 0, 180)
                + [(0.06, -0.11)],
                [(0.48, 0.24), (0.48, -0.24), *_arc(0.57, -0.11, 0.13, -90, 90), (0.48, 0.02)],
            )
        ),
    ],
    'turn_left': _turn(-1),
    'turn_right': _turn(1),
    # Somebody slipping.
    'wet_floor': [
        *_YELLOW_TRIANGLE,
        _disc(-0.2, -0.22, 0.11, BLACK),
        _Shape([(-0.12, -0.04), (0.1, 0.26)], BLACK, 0.16),
        _Shape([(0.1, 0.26), (0.46, 0.2)], BLACK, 0.1),
        _Shape([(0.1, 0.26), (0.2, 0.5)], BLACK, 0.1),
        _Shape([(-0.14, -0.02), (0.18, -0.08)], BLACK, 0.08),
        _Shape([(-0.14, 0.0), (-0.28, 0.28)], BLACK, 0.08),
        _Shape([(-0.5, 0.56), (0.5, 0.56)], BLACK, 0.07),
    ],
}
_LOOKALIKES: dict[str, list[_Shape]] = {
    'danger': [
        *_YELLOW_TRIANGLE,
        _Shape([(0, -0.35), (0, 0.2)], BLACK, 0.16),
        _disc(0, 0.46, 0.1, BLACK),
    ],
    'caution': [
        *_RED_TRIANGLE,
        _Shape([(0, -0.25), (0, 0.2)], BLACK, 0.14),
        _disc(0, 0.42, 0.09, BLACK),
    ],
    'limit': [*_RED_RING, _Shape([(-0.24, -0.42), (0.26, -0.42), (-0.06, 0.45)], BLACK, 0.16)],
    'closed': _RED_RING,
    'back': _arrow([(0, -0.6), (0, 0.2)], [(0, 0.75), (0.42, 0.15), (-0.42, 0.15)]),
    'both_ways': [
        *_arrow([(-0.3, 0), (0.3, 0)], [(0.75, 0), (0.25, -0.4), (0.25, 0.4)]),
        _Shape([(-0.75, 0), (-0.25, -0.4), (-0.25, 0.4)], WHITE),
    ],
    'first_aid': [
        *_plate(GREEN),
        _Shape(_box(-0.18, -0.6, 0.18, 0.6), WHITE),
        _Shape(_box(-0.6, -0.18, 0.6, 0.18), WHITE),
    ],
    'parking': [
        *_plate(BLUE),
        _Shape(
            [(-0.2, 0.6), (-0.2, -0.5), *_arc(0.1, -0.2, 0.3, -90, 90), (-0.2, 0.1)], WHITE, 0.2
        ),
    ],
}
SIGNS = tuple(_SIGNS)
# Signs that are none of the twelve but look like one.
LOOKALIKES = tuple(_LOOKALIKES)
# All labels of the data set, in the order of its folders.
LABELS = tuple(sorted((*SIGNS, NONE)))


def draw_sign(name: str, size: int) -> Image:
    """
    Return a sign, clean and seen from the front.

    Parameters
    ----------
    name
        One of SIGNS or of LOOKALIKES.
    size
        Side, pixels.

    Returns
    -------
    Image
        uint8 (size, size, 4) BGRA, transparent outside its outline.

    """
    side = size * _OVERSAMPLING
    outline, *shapes = (_SIGNS | _LOOKALIKES)[name]
    image = np.full((side, side, 3), outline.colour, np.uint8)
    mask = np.zeros((side, side), np.uint8)

    def fixed(points: list[_Point]) -> list[npt.NDArray[np.int32]]:
        pixels = (np.array(points) + 1) * (side - 1) / 2
        return [np.round(pixels * (1 << _FRACTION_BITS)).astype(np.int32)]

    cv2.fillPoly(mask, fixed(outline.points), 255, cv2.LINE_AA, _FRACTION_BITS)
    for points, colour, width in shapes:
        if width:
            pen = max(1, round(width * side / 2))
            cv2.polylines(image, fixed(points), False, colour, pen, cv2.LINE_AA, _FRACTION_BITS)
        else:
            cv2.fillPoly(image, fixed(points), colour, cv2.LINE_AA, _FRACTION_BITS)
    bgra = np.dstack([image, mask])
    return cv2.resize(bgra, (size, size), interpolation=cv2.INTER_AREA)


@cache
def _clean_face(name: str) -> FloatImage:
    return draw_sign(name, FACE).astype(np.float32)


def sign_panel(
    rng: np.random.Generator, label: str | None, x: float, z: float, *, yaw: float = 0.0
) -> Panel:
    """Return a sign of random size and age that stands at x, z; for None one of LOOKALIKES."""
    side = rng.uniform(0.55, 0.8)
    name = LOOKALIKES[rng.integers(len(LOOKALIKES))] if label is None else label
    face = _clean_face(name)
    colour, opacity = face[..., :3], face[..., 3]
    grey = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)
    pale = rng.uniform(0, 0.35)
    colour = cv2.addWeighted(colour, 1 - pale, cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), pale, 0)
    colour *= np.float32(rng.uniform(0.7, 1.08))
    spots = smooth_noise(rng, coarse=4, octaves=3, side=FACE // 6) - np.float32(
        rng.uniform(0.6, 3)
    )
    dirt = cv2.resize(np.clip(spots, 0, 1), (FACE, FACE))[..., None]
    colour += dirt * (np.array([70, 85, 95], np.float32) - colour)
    aged = np.dstack([np.clip(colour, 0, 255), opacity]).astype(np.uint8)
    y, has_pole = rng.uniform(0.7, 1.6), rng.random() < 0.7
    return Panel(aged, x, y, z, side, side, label, yaw, has_pole)
