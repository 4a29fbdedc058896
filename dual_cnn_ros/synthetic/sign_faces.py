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

from collections.abc import Callable
from functools import cache
import math

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


class _Canvas:
    """A square in which x and y run from -1 to 1 (y down), with an outline that cuts it out."""

    FACTOR = 4
    SHIFT = 8

    def __init__(self, size: int) -> None:
        self.size = size
        self.side = size * self.FACTOR
        self.colour = np.zeros((self.side, self.side, 3), np.uint8)
        self.mask = np.zeros((self.side, self.side), np.uint8)

    def _fixed(self, points: list[_Point]) -> npt.NDArray[np.int32]:
        pixels = (np.array(points) + 1) * (self.side - 1) / 2
        return np.round(pixels * (1 << self.SHIFT)).astype(np.int32)

    def outline(self, points: list[_Point], colour: _Colour) -> None:
        """Cut the sign's shape and paint all of it."""
        self.colour[:] = colour
        cv2.fillPoly(self.mask, [self._fixed(points)], 255, cv2.LINE_AA, self.SHIFT)

    def polygon(self, points: list[_Point], colour: _Colour) -> None:
        cv2.fillPoly(self.colour, [self._fixed(points)], colour, cv2.LINE_AA, self.SHIFT)

    def disc(self, x: float, y: float, radius: float, colour: _Colour) -> None:
        self.polygon(_regular(64, radius, x, y), colour)

    def stroke(self, points: list[_Point], width: float, colour: _Colour) -> None:
        """Draw a line with round ends."""
        thickness = max(1, round(width * self.side / 2))
        cv2.polylines(
            self.colour, [self._fixed(points)], False, colour, thickness, cv2.LINE_AA, self.SHIFT
        )

    def finish(self) -> Image:
        """Return uint8 (size, size, 4) BGRA."""
        bgra = np.dstack([self.colour, self.mask])
        return cv2.resize(bgra, (self.size,) * 2, interpolation=cv2.INTER_AREA)


def _regular(
    corners: int, radius: float, x: float = 0, y: float = 0, turn: float = 0
) -> list[_Point]:
    angles = [turn + 2 * math.pi * i / corners for i in range(corners)]
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]


def _arc(x: float, y: float, radius: float, start: float, end: float) -> list[_Point]:
    """Return an arc; angles in degrees, clockwise on the screen, 0 to the right."""
    angles = np.radians(np.linspace(start, end, 24))
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]


def _rounded(reach: float, radius: float) -> list[_Point]:
    inner = reach - radius
    return [
        *_arc(inner, inner, radius, 0, 90),
        *_arc(-inner, inner, radius, 90, 180),
        *_arc(-inner, -inner, radius, 180, 270),
        *_arc(inner, -inner, radius, 270, 360),
    ]


def _triangle(radius: float, *, down: bool = False) -> list[_Point]:
    centre = -0.22 if down else 0.22
    return _regular(3, radius, 0, centre, math.pi / 2 if down else -math.pi / 2)


def _stop(c: _Canvas) -> None:
    c.outline(_regular(8, 1.0, turn=math.pi / 8), WHITE)
    c.polygon(_regular(8, 0.92, turn=math.pi / 8), RED)
    top, low, pen = -0.24, 0.24, 0.11
    c.stroke(
        [*_arc(-0.56, -0.12, 0.12, -20, -270), *_arc(-0.56, 0.12, 0.12, -90, 160)], pen, WHITE
    )
    c.stroke([(-0.34, top), (-0.06, top)], pen, WHITE)
    c.stroke([(-0.2, top), (-0.2, low)], pen, WHITE)
    c.stroke(
        [*_arc(0.19, -0.11, 0.13, 180, 360), *_arc(0.19, 0.11, 0.13, 0, 180), (0.06, -0.11)],
        pen,
        WHITE,
    )
    bow = _arc(0.57, -0.11, 0.13, -90, 90)
    c.stroke([(0.48, low), (0.48, top), *bow, (0.48, 0.02)], pen, WHITE)


def _no_entry(c: _Canvas) -> None:
    c.outline(_regular(64, 1.0), WHITE)
    c.disc(0, 0, 0.94, RED)
    c.polygon([(-0.68, -0.18), (0.68, -0.18), (0.68, 0.18), (-0.68, 0.18)], WHITE)


def _give_way(c: _Canvas) -> None:
    c.outline(_triangle(1.12, down=True), RED)
    c.polygon(_triangle(0.66, down=True), WHITE)


def _slow(c: _Canvas) -> None:
    """Draw walking speed: 5 in a red ring."""
    c.outline(_regular(64, 1.0), RED)
    c.disc(0, 0, 0.74, WHITE)
    c.stroke(
        [(0.24, -0.42), (-0.18, -0.42), (-0.22, -0.04), *_arc(0.0, 0.18, 0.27, -130, 140)],
        0.16,
        BLACK,
    )


def _disc_with_arrow(c: _Canvas, shaft: list[_Point], head: list[_Point]) -> None:
    c.outline(_regular(64, 1.0), WHITE)
    c.disc(0, 0, 0.94, BLUE)
    c.stroke(shaft, 0.22, WHITE)
    c.polygon(head, WHITE)


def _ahead(c: _Canvas) -> None:
    _disc_with_arrow(c, [(0, 0.6), (0, -0.2)], [(0, -0.75), (0.42, -0.15), (-0.42, -0.15)])


def _turn(c: _Canvas, side: int) -> None:
    bend = [(-0.3 * side, 0.55), (-0.3 * side, -0.05), (-0.18 * side, -0.2), (0.1 * side, -0.2)]
    _disc_with_arrow(c, bend, [(0.68 * side, -0.2), (0.1 * side, -0.6), (0.1 * side, 0.2)])


def _turn_left(c: _Canvas) -> None:
    _turn(c, -1)


def _turn_right(c: _Canvas) -> None:
    _turn(c, 1)


def _people(c: _Canvas) -> None:
    """Draw somebody walking, in a white triangle with a red border."""
    c.outline(_triangle(1.2), RED)
    c.polygon(_triangle(0.86), WHITE)
    c.disc(0.02, -0.22, 0.1, BLACK)
    c.stroke([(0, -0.02), (-0.02, 0.24)], 0.16, BLACK)
    c.stroke([(-0.02, 0.24), (0.2, 0.54)], 0.1, BLACK)
    c.stroke([(-0.02, 0.24), (-0.24, 0.54)], 0.1, BLACK)
    c.stroke([(-0.22, 0.16), (0, -0.04), (0.22, 0.14)], 0.08, BLACK)


def _warning(c: _Canvas) -> None:
    c.outline(_triangle(1.2), BLACK)
    c.polygon(_triangle(1.02), YELLOW)


def _stairs(c: _Canvas) -> None:
    _warning(c)
    steps: list[_Point] = [(-0.5, 0.56)]
    for i in range(4):
        top = 0.56 - 0.2 * (i + 1)
        steps += [(-0.5 + 0.25 * i, top), (-0.25 + 0.25 * i, top)]
    c.polygon([*steps, (0.5, 0.56)], BLACK)


def _wet_floor(c: _Canvas) -> None:
    """Draw somebody slipping."""
    _warning(c)
    c.disc(-0.2, -0.22, 0.11, BLACK)
    c.stroke([(-0.12, -0.04), (0.1, 0.26)], 0.16, BLACK)
    c.stroke([(0.1, 0.26), (0.46, 0.2)], 0.1, BLACK)
    c.stroke([(0.1, 0.26), (0.2, 0.5)], 0.1, BLACK)
    c.stroke([(-0.14, -0.02), (0.18, -0.08)], 0.08, BLACK)
    c.stroke([(-0.14, 0.0), (-0.28, 0.28)], 0.08, BLACK)
    c.stroke([(-0.5, 0.56), (0.5, 0.56)], 0.07, BLACK)


def _charging(c: _Canvas) -> None:
    """Draw a white flash on green."""
    c.outline(_rounded(0.94, 0.2), WHITE)
    c.polygon(_rounded(0.85, 0.14), GREEN)
    c.polygon(
        [(0.12, -0.7), (-0.4, 0.12), (-0.04, 0.12), (-0.14, 0.7), (0.4, -0.16), (0.04, -0.16)],
        WHITE,
    )


def _elevator(c: _Canvas) -> None:
    """Draw a cabin with one arrow up and one down, on blue."""
    c.outline(_rounded(0.94, 0.2), WHITE)
    c.polygon(_rounded(0.85, 0.14), BLUE)
    c.polygon([(-0.58, -0.25), (0.58, -0.25), (0.58, 0.7), (-0.58, 0.7)], WHITE)
    c.polygon([(-0.04, -0.13), (0.04, -0.13), (0.04, 0.7), (-0.04, 0.7)], BLUE)
    c.polygon([(-0.3, -0.74), (-0.04, -0.36), (-0.56, -0.36)], WHITE)
    c.polygon([(0.3, -0.36), (0.04, -0.74), (0.56, -0.74)], WHITE)


def _danger(c: _Canvas) -> None:
    _warning(c)
    c.stroke([(0, -0.35), (0, 0.2)], 0.16, BLACK)
    c.disc(0, 0.46, 0.1, BLACK)


def _caution(c: _Canvas) -> None:
    c.outline(_triangle(1.2), RED)
    c.polygon(_triangle(0.86), WHITE)
    c.stroke([(0, -0.25), (0, 0.2)], 0.14, BLACK)
    c.disc(0, 0.42, 0.09, BLACK)


def _limit(c: _Canvas) -> None:
    c.outline(_regular(64, 1.0), RED)
    c.disc(0, 0, 0.74, WHITE)
    c.stroke([(-0.24, -0.42), (0.26, -0.42), (-0.06, 0.45)], 0.16, BLACK)


def _closed(c: _Canvas) -> None:
    c.outline(_regular(64, 1.0), RED)
    c.disc(0, 0, 0.74, WHITE)


def _back(c: _Canvas) -> None:
    _disc_with_arrow(c, [(0, -0.6), (0, 0.2)], [(0, 0.75), (0.42, 0.15), (-0.42, 0.15)])


def _both_ways(c: _Canvas) -> None:
    _disc_with_arrow(c, [(-0.3, 0), (0.3, 0)], [(0.75, 0), (0.25, -0.4), (0.25, 0.4)])
    c.polygon([(-0.75, 0), (-0.25, -0.4), (-0.25, 0.4)], WHITE)


def _first_aid(c: _Canvas) -> None:
    c.outline(_rounded(0.94, 0.2), WHITE)
    c.polygon(_rounded(0.85, 0.14), GREEN)
    c.polygon([(-0.18, -0.6), (0.18, -0.6), (0.18, 0.6), (-0.18, 0.6)], WHITE)
    c.polygon([(-0.6, -0.18), (0.6, -0.18), (0.6, 0.18), (-0.6, 0.18)], WHITE)


def _parking(c: _Canvas) -> None:
    c.outline(_rounded(0.94, 0.2), WHITE)
    c.polygon(_rounded(0.85, 0.14), BLUE)
    c.stroke([(-0.2, 0.6), (-0.2, -0.5), *_arc(0.1, -0.2, 0.3, -90, 90), (-0.2, 0.1)], 0.2, WHITE)


_SIGNS: dict[str, Callable[[_Canvas], None]] = {
    'ahead': _ahead,
    'charging': _charging,
    'elevator': _elevator,
    'give_way': _give_way,
    'no_entry': _no_entry,
    'people': _people,
    'slow': _slow,
    'stairs': _stairs,
    'stop': _stop,
    'turn_left': _turn_left,
    'turn_right': _turn_right,
    'wet_floor': _wet_floor,
}
_LOOKALIKES: dict[str, Callable[[_Canvas], None]] = {
    'danger': _danger,
    'caution': _caution,
    'limit': _limit,
    'closed': _closed,
    'back': _back,
    'both_ways': _both_ways,
    'first_aid': _first_aid,
    'parking': _parking,
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
    canvas = _Canvas(size)
    (_SIGNS | _LOOKALIKES)[name](canvas)
    return canvas.finish()


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
    return Panel(
        np.dstack([np.clip(colour, 0, 255), opacity]).astype(np.uint8),
        x,
        rng.uniform(0.7, 1.6),
        z,
        side,
        side,
        label,
        yaw,
        pole=rng.random() < 0.7,
    )
