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
Draw twelve signs that a mobile robot meets, and render camera views of them as an image folder.

`ros2 run dual_cnn_ros signs OUT` writes OUT/<label>/<number>.jpg. Each picture is a whole
camera frame stretched to a square, which is what the classifier node makes of a camera topic: the
sign may be anywhere in it, small or large. Nothing here is a photograph. Do not mirror the
pictures in training: turn_left would become turn_right.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import cache
import math
from pathlib import Path
import sys

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.synthetic import world
from dual_cnn_ros.synthetic.world import Camera, Image, Panel, Pose, View, World
from dual_cnn_ros.tools.cli import run_cli

NONE = 'none'
"""The label of a view in which no sign is visible at a sufficient size."""

Point = tuple[float, float]
Colour = tuple[int, int, int]

WHITE: Colour = (245, 245, 245)
BLACK: Colour = (25, 25, 25)
RED: Colour = (40, 30, 200)
BLUE: Colour = (180, 90, 20)
GREEN: Colour = (70, 140, 20)
YELLOW: Colour = (20, 195, 245)

FACE = 192
"""Side in pixels of the picture on a sign in the world: what the nearest view needs."""
CAMERA = Camera(160, 120)
"""The camera of the data set."""


# Drawing ---------------------------------------------------------------------------------------


class _Canvas:
    """A square in which x and y run from -1 to 1 (y down), with an outline that cuts it out."""

    FACTOR = 4
    SHIFT = 8

    def __init__(self, size: int) -> None:
        self.size = size
        self.side = size * self.FACTOR
        self.colour = np.zeros((self.side, self.side, 3), np.uint8)
        self.mask = np.zeros((self.side, self.side), np.uint8)

    def _fixed(self, points: list[Point]) -> npt.NDArray[np.int32]:
        pixels = (np.array(points) + 1) * (self.side - 1) / 2
        return np.round(pixels * (1 << self.SHIFT)).astype(np.int32)

    def outline(self, points: list[Point], colour: Colour) -> None:
        """Cut the sign's shape and paint all of it."""
        self.colour[:] = colour
        cv2.fillPoly(self.mask, [self._fixed(points)], 255, cv2.LINE_AA, self.SHIFT)

    def polygon(self, points: list[Point], colour: Colour) -> None:
        cv2.fillPoly(self.colour, [self._fixed(points)], colour, cv2.LINE_AA, self.SHIFT)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        self.polygon(_regular(64, radius, x, y), colour)

    def stroke(self, points: list[Point], width: float, colour: Colour) -> None:
        """Draw a line with round ends."""
        thickness = max(1, round(width * self.side / 2))
        cv2.polylines(
            self.colour, [self._fixed(points)], False, colour, thickness, cv2.LINE_AA, self.SHIFT
        )

    def finish(self) -> Image:
        """Return (size, size, 4) BGRA."""
        bgra = np.dstack([self.colour, self.mask])
        return np.asarray(cv2.resize(bgra, (self.size,) * 2, interpolation=cv2.INTER_AREA))


def _regular(
    corners: int, radius: float, x: float = 0, y: float = 0, turn: float = 0
) -> list[Point]:
    angles = [turn + 2 * math.pi * i / corners for i in range(corners)]
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]


def _arc(x: float, y: float, radius: float, start: float, end: float) -> list[Point]:
    """Return an arc; angles in degrees, clockwise on the screen, 0 to the right."""
    angles = np.radians(np.linspace(start, end, 24))
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]


def _rounded(reach: float, radius: float) -> list[Point]:
    inner = reach - radius
    return [
        *_arc(inner, inner, radius, 0, 90),
        *_arc(-inner, inner, radius, 90, 180),
        *_arc(-inner, -inner, radius, 180, 270),
        *_arc(inner, -inner, radius, 270, 360),
    ]


def _triangle(radius: float, *, down: bool = False) -> list[Point]:
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


def _disc_with_arrow(c: _Canvas, shaft: list[Point], head: list[Point]) -> None:
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
    steps: list[Point] = [(-0.5, 0.56)]
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


_DRAWINGS: dict[str, Callable[[_Canvas], None]] = {
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


_OTHERS = (_danger, _caution, _limit, _closed, _back, _both_ways, _first_aid, _parking)
"""Signs that are none of the twelve but look like one."""
SIGNS: tuple[str, ...] = tuple(_DRAWINGS)
LABELS: tuple[str, ...] = tuple(sorted((*SIGNS, NONE)))
"""All labels of the data set, in the order of its folders."""


def draw(label: str, size: int) -> Image:
    """
    Draw a sign, clean and seen from the front.

    Returns (size, size, 4) uint8 BGRA, transparent outside its outline.

    Raises ValueError for a label that is not in SIGNS.
    """
    if label not in _DRAWINGS:
        raise ValueError(f'no sign is called {label!r}; there are {", ".join(SIGNS)}')
    canvas = _Canvas(size)
    _DRAWINGS[label](canvas)
    return canvas.finish()


@cache
def _clean_face(drawing: Callable[[_Canvas], None]) -> npt.NDArray[np.float32]:
    canvas = _Canvas(FACE)
    drawing(canvas)
    return canvas.finish().astype(np.float32)


def sign_panel(
    rng: np.random.Generator, label: str | None, x: float, z: float, *, yaw: float = 0.0
) -> Panel:
    """Return a sign of some size and age that stands at x, z; None: one that only looks so."""
    side = float(rng.uniform(0.55, 0.8))
    drawing = _OTHERS[rng.integers(len(_OTHERS))] if label is None else _DRAWINGS[label]
    face = _clean_face(drawing)
    colour, opacity = face[..., :3], face[..., 3]
    grey = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)
    pale = rng.uniform(0, 0.35)
    faded = cv2.addWeighted(colour, 1 - pale, cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), pale, 0)
    colour = world.as_floats(faded)
    colour *= np.float32(rng.uniform(0.7, 1.08))
    spots = world.noise(rng, coarse=4, octaves=3, side=FACE // 6) - np.float32(rng.uniform(0.6, 3))
    dirt = cv2.resize(np.clip(spots, 0, 1), (FACE, FACE))[..., None]
    colour += dirt * (np.array([70, 85, 95], np.float32) - colour)
    return Panel(
        np.dstack([np.clip(colour, 0, 255), opacity]).astype(np.uint8),
        x,
        float(rng.uniform(0.7, 1.6)),
        z,
        side,
        side,
        label,
        yaw,
        pole=bool(rng.random() < 0.7),
    )


# Views -----------------------------------------------------------------------------------------


def random_world(rng: np.random.Generator) -> World:
    """Return two different stretches of corridor that meet somewhere behind the sign."""
    sections = [world.section(rng) for _ in range(2)]
    return World(sections, [float(rng.uniform(0, 6))], float(rng.uniform(2.6, 6)))


def view(rng: np.random.Generator, place: World, label: str) -> View:
    """
    Look at a sign (or at none) in a place, from wherever a robot may be, until the label is true.

    Returns the view as CAMERA delivers it, with motion blur, light and noise.
    """
    while True:
        pose, panels = _arrange(rng, place, label)
        seen = place.view(CAMERA, pose, panels)
        if seen.label == label:
            exposure = world.random_exposure(rng, CAMERA)
            return replace(seen, image=world.expose(seen.image, exposure, rng))


def _clutter(rng: np.random.Generator, half: float) -> list[Panel]:
    """Return what else stands about: posters, and sometimes another sign further away."""
    panels = []
    for _ in range(int(rng.integers(0, 4))):
        side = float(rng.uniform(0.3, 0.9))
        panels.append(
            Panel(
                world.distractor(rng),
                float(rng.uniform(-half, half)),
                float(rng.uniform(0.3, 2)),
                float(rng.uniform(-1, 8)),
                side,
                side * float(rng.uniform(0.6, 1.4)),
                yaw=rng.normal(0, 0.3),
            )
        )
    if rng.random() < 0.3:
        further = None if rng.random() < 0.5 else str(rng.choice(SIGNS))
        x, z = float(rng.uniform(-half, half)), float(rng.uniform(1, 7))
        panels.append(sign_panel(rng, further, x, z))
    return panels


def _arrange(rng: np.random.Generator, place: World, label: str) -> tuple[Pose, list[Panel]]:
    """
    Return a pose and what stands before it, likely but not certain to show the label.

    Of the views without a sign some have one that is too small, cut off, seen from behind, or none
    of the twelve.
    """
    half = place.width / 2
    panels = _clutter(rng, half)
    small, large = world.SUFFICIENT_SIZE, 1.0
    edge, turned, kind = 0.45, 0.0, 'sign'
    named: str | None = label
    if label == NONE:
        kind = str(
            rng.choice(['empty', 'small', 'cut', 'back', 'other'], p=[0.25, 0.25, 0.15, 0.1, 0.25])
        )
        small, large = (0.05, small) if kind == 'small' else (small, large)
        edge = 0.75 if kind == 'cut' else edge
        turned = math.pi if kind == 'back' else 0.0
        other = str(rng.choice(SIGNS))
        named = None if kind == 'other' else other
    x = float(rng.uniform(-half, half)) * 0.8
    sign = sign_panel(rng, named, x, 0.0, yaw=rng.normal(0, 0.4) + turned)
    if kind != 'empty':
        panels.append(sign)
        if rng.random() < 0.35:
            behind = sign_panel(
                rng, str(rng.choice(SIGNS)), x, 0.02 * math.cos(sign.yaw), yaw=sign.yaw + math.pi
            )
            panels.append(replace(behind, y=sign.y, pole=sign.pole))

    share = math.exp(rng.uniform(math.log(small), math.log(large)))
    distance = CAMERA.focal * sign.height / (share * CAMERA.height)
    aside = math.tan(rng.normal(0, 0.25)) * distance
    camera_x = float(np.clip(x - aside, 0.25 - half, half - 0.25))
    bearing = math.atan2(x - camera_x, distance)
    column = rng.uniform(-edge, edge) * CAMERA.width
    pose = Pose(
        camera_x,
        float(rng.uniform(0.4, 1.3)),
        -distance,
        yaw=bearing - math.atan2(column, CAMERA.focal),
        pitch=rng.normal(0, 0.04),
        roll=rng.normal(0, 0.04),
    )
    if rng.random() < 0.2:
        nearer = distance * float(rng.uniform(0.3, 0.8))
        panels.append(
            Panel(
                world.passer_by(rng),
                camera_x + (x - camera_x) * nearer / distance + rng.normal(0, 0.5),
                0.85,
                nearer - distance,
                0.55,
                1.7,
            )
        )
    return pose, panels


def write_views(
    out: Path,
    *,
    per_class: int,
    size: int,
    seed: int,
    first: int = 0,
    quality: int = 95,
    progress: bool = True,
) -> None:
    """
    Write an image folder with per_class views of each label, size x size pixels, as JPEG.

    Every place is seen once with each label, so that no background gives a class away. first: the
    number of the first place; several processes can share the work, or a data set grow.
    """
    for label in LABELS:
        (out / label).mkdir(parents=True, exist_ok=True)
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    for number in tqdm(range(first, first + per_class), unit='place', disable=not progress):
        place = random_world(np.random.default_rng([seed, number]))
        for index, label in enumerate(LABELS):
            rng = np.random.default_rng([seed, number, index])
            image = view(rng, place, label).image
            small = Frame(image).reduced(size, size)
            path = out / label / f'{number:05d}.jpg'
            if not cv2.imwrite(str(path), small, flags):
                raise OSError(f'{path} cannot be written')


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog='signs', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('out', type=Path, help='folder for <label>/<number>.jpg')
    parser.add_argument('--per-class', type=int, default=1000, help='views of each label (1000)')
    parser.add_argument('--size', type=int, default=64, help='side of the pictures in pixels (64)')
    parser.add_argument('--seed', type=int, default=0, help='another seed, other views (0)')
    parser.add_argument(
        '--first', type=int, default=0, help='number of the first view, to add to a data set (0)'
    )
    parser.add_argument('--quality', type=int, default=95, help='JPEG quality (95)')
    options = parser.parse_args(arguments)
    if options.per_class < 1 or options.size < 8 or min(options.seed, options.first) < 0:
        parser.error(
            '--per-class must be at least 1, --size at least 8, --seed and --first at least 0'
        )
    return run_cli(
        'signs',
        lambda: write_views(
            options.out,
            per_class=options.per_class,
            size=options.size,
            seed=options.seed,
            first=options.first,
            quality=options.quality,
        ),
    )


if __name__ == '__main__':
    sys.exit(main())
