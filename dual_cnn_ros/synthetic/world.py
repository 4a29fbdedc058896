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
A rendered world for robots: a corridor with flat panels in it, seen through a pinhole camera.

The signs data set and the course are two ways of looking at this one world, so a network trained
on the first works on the second. Metres; x to the right, y up, z along the corridor. Everything
random comes from the generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
import math

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

TILE = 256
"""Side of a surface texture in pixels."""
SPAN = 3.0
"""Metres that one texture covers; also the height of an indoor ceiling."""
LEVELS = 4
"""Ever more blurred copies of a texture: distant surfaces read these, which avoids aliasing."""
SUFFICIENT_SIZE = 0.22
"""A sign counts as visible from this size on: sqrt(projected area) as a share of frame height."""
SUFFICIENT_SHARE = 0.6
"""A sign counts as visible when this share of its face is inside the frame and not covered."""
DOUBTFUL_SIZE, DOUBTFUL_SHARE = 0.14, 0.3
"""From these on, a sign that does not count could still be recognised by a good classifier."""
HORIZON = np.array([235, 220, 205], np.float32)
ZENITH = np.array([215, 165, 120], np.float32)
"""Colours of the sky, BGR."""
NEAR = 0.15
"""Nothing nearer to the camera than this many metres is drawn."""


def as_image(pixels: npt.ArrayLike) -> Image:
    """Return what OpenCV's loose types hide: an array of uint8."""
    return np.asarray(pixels, dtype=np.uint8)


def as_floats(values: npt.ArrayLike) -> Floats:
    """Return what OpenCV's loose types hide: an array of float32."""
    return np.asarray(values, dtype=np.float32)


@dataclass(frozen=True)
class Pose:
    """Where a camera is (metres) and looks (radians; yaw 0 along z, positive to the right)."""

    x: float
    y: float
    z: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    def rotation(self) -> npt.NDArray[np.float64]:
        """Return the (3, 3) matrix that turns camera directions into world directions."""
        (sy, cy), (sp, cp), (sr, cr) = (
            (math.sin(angle), math.cos(angle)) for angle in (self.yaw, self.pitch, self.roll)
        )
        yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
        roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        return np.asarray(yaw @ pitch @ roll)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: frame size in pixels and horizontal field of view in radians."""

    width: int
    height: int
    field_of_view: float = math.radians(70)
    rays: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Precompute the direction of every pixel, (3, H * W)."""
        u, v = np.meshgrid(np.arange(self.width), np.arange(self.height))
        x = (u - (self.width - 1) / 2) / self.focal
        y = ((self.height - 1) / 2 - v) / self.focal
        rays = np.stack([x, y, np.ones_like(x)]).reshape(3, -1).astype(np.float32)
        object.__setattr__(self, 'rays', rays)

    @property
    def focal(self) -> float:
        """Return the focal length in pixels."""
        return self.width / 2 / math.tan(self.field_of_view / 2)

    def project(self, pose: Pose, points: npt.NDArray[np.float64]) -> Floats | None:
        """Return the (N, 2) pixels of (N, 3) world points, None if one is not in front."""
        local = (points - (pose.x, pose.y, pose.z)) @ pose.rotation()
        if local[:, 2].min() < NEAR:
            return None
        u = (self.width - 1) / 2 + self.focal * local[:, 0] / local[:, 2]
        v = (self.height - 1) / 2 - self.focal * local[:, 1] / local[:, 2]
        return np.stack([u, v], axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Panel:
    """
    A flat picture standing in the world: a sign, a poster, a passer-by.

    face: (N, N, 4) BGRA. x, y, z: its centre; width, height: metres. label: what a classifier
    should say of it, None for clutter. yaw: 0 faces a robot that drives along z, pi one that looks
    back. pole: it stands on one.
    """

    face: Image
    x: float
    y: float
    z: float
    width: float
    height: float
    label: str | None = None
    yaw: float = 0.0
    pole: bool = False

    def corners(self) -> npt.NDArray[np.float64]:
        """Return the (4, 3) corners: top left, top right, bottom right, bottom left."""
        across = np.array([math.cos(self.yaw), 0.0, -math.sin(self.yaw)]) * self.width / 2
        up = np.array([0.0, self.height / 2, 0.0])
        centre = np.array([self.x, self.y, self.z])
        return np.stack(
            [
                centre - across + up,
                centre + across + up,
                centre + across - up,
                centre - across - up,
            ]
        )

    def faces(self, pose: Pose) -> bool:
        """Tell whether the front of the panel is towards the camera."""
        normal = (-math.sin(self.yaw), -math.cos(self.yaw))
        return (pose.x - self.x) * normal[0] + (pose.z - self.z) * normal[1] > 0


@dataclass(frozen=True)
class Section:
    """
    A stretch of corridor with its own surfaces, each (TILE, TILE, 3) BGR.

    wall_height below SPAN means a hedge or fence under the open sky. light: gain per BGR channel.
    """

    floor: Image
    left: Image
    right: Image
    ceiling: Image
    wall_height: float
    light: tuple[float, float, float]


@dataclass(frozen=True)
class View:
    """
    What a camera sees: the (H, W, 3) BGR image and its true label, 'none' without a sign.

    certain: False where a sign that does not count, for its size or what is visible of it, might
    as well be called seen.
    """

    image: Image
    label: str
    certain: bool


class World:
    """
    A straight corridor of sections, and panels standing in it.

    A new stretch begins at each boundary (metres along z); where there are more stretches than
    sections (at most 120), the sections come again. width is the distance between the walls.
    """

    def __init__(
        self, sections: Sequence[Section], boundaries: Sequence[float], width: float
    ) -> None:
        self.boundaries = np.asarray(boundaries, dtype=np.float32)
        self.width = width
        self.wall_height = np.array([s.wall_height for s in sections], dtype=np.float32)
        self.light = np.array([s.light for s in sections], dtype=np.float32)
        # One row of tiles per section: cv2.remap takes at most 32,767 pixels either way.
        self.atlas = np.concatenate(
            [
                np.concatenate(
                    [
                        level
                        for texture in (s.floor, s.left, s.right, s.ceiling)
                        for level in _levels(texture)
                    ],
                    axis=1,
                )
                for s in sections
            ]
        )

    def view(self, camera: Camera, pose: Pose, panels: Sequence[Panel]) -> View:
        """Render what the camera sees from a pose, and say what a classifier should answer."""
        image = self._surroundings(camera, pose).astype(np.float32)
        visible: list[tuple[float, float, Floats, str]] = []

        def distance(panel: Panel) -> float:
            return math.hypot(panel.x - pose.x, panel.z - pose.z)

        for panel in sorted(panels, key=distance, reverse=True):
            quad = camera.project(pose, panel.corners())
            if quad is None:
                continue
            if panel.pole:
                self._draw_pole(image, camera, pose, panel)
            box = _bounds(quad, camera)
            if box is None:
                continue
            colour, alpha = _project_face(panel, quad, panel.faces(pose), box)
            image[box] += alpha[..., None] * (colour * self._light_at(panel.z) - image[box])
            for _, _, other, _ in visible:
                other[box] *= 1 - alpha
            if panel.label is not None and panel.faces(pose):
                covers = np.zeros(image.shape[:2], np.float32)
                covers[box] = alpha
                area = float(cv2.contourArea(quad))
                full = area * float(panel.face[..., 3].mean()) / 255
                visible.append((area, full, covers, panel.label))
        label, certain = 'none', True
        for area, full, alpha, name in sorted(visible, key=lambda entry: entry[0]):
            size, share = math.sqrt(area) / camera.height, float(alpha.sum()) / max(full, 1e-6)
            if size >= SUFFICIENT_SIZE and share >= SUFFICIENT_SHARE:
                label, certain = name, True
            elif size >= DOUBTFUL_SIZE and share >= DOUBTFUL_SHARE:
                certain = False
        return View(as_image(np.clip(image, 0, 255)), label, certain)

    def _light_at(self, z: float) -> Floats:
        index = int(np.searchsorted(self.boundaries, z)) % len(self.light)
        lamp: Floats = self.light[index] * np.float32(_lamps(z))
        return lamp

    def _surroundings(self, camera: Camera, pose: Pose) -> Image:
        """Cast one ray per pixel to floor, walls, ceiling or sky."""
        dx, dy, dz = pose.rotation().astype(np.float32) @ camera.rays
        # A direction of exactly 0 never hits; a tiny one hits far away, which looks the same.
        dx[np.abs(dx) < 1e-6] = 1e-6
        dy[np.abs(dy) < 1e-6] = 1e-6
        half, here = np.float32(self.width / 2), np.array([pose.x, pose.y, pose.z], np.float32)
        to_side = (np.copysign(half, dx) - here[0]) / dx
        to_level = (np.where(dy > 0, np.float32(SPAN), np.float32(0)) - here[1]) / dy
        is_wall = to_side < to_level
        depth = np.minimum(to_side, to_level)
        x, y, z = here[0] + depth * dx, here[1] + depth * dy, here[2] + depth * dz
        section = np.searchsorted(self.boundaries, z) % len(self.light)
        surface = np.where(is_wall, np.where(dx > 0, 2, 1), np.where(dy > 0, 3, 0))
        level = np.clip(np.log2(np.maximum(depth * 160 / camera.width, 1) / 1.5), 0, LEVELS - 1)
        column = surface * LEVELS + level.astype(np.int64)
        scale = np.float32(TILE / SPAN)
        along = z * scale % TILE
        up = np.clip((SPAN - y) * scale, 0, TILE - 1)
        across = (x + 100 * SPAN) * scale % TILE
        tile_u = np.where(is_wall, along, across)
        tile_v = np.where(is_wall, up, along)
        map_u = (column * TILE + np.clip(tile_u, 0, TILE - 1)).astype(np.float32)
        map_v = (section * TILE + np.clip(tile_v, 0, TILE - 1)).astype(np.float32)
        shape = (camera.height, camera.width)
        colour = (
            cv2.remap(
                self.atlas,
                map_u.reshape(shape),
                map_v.reshape(shape),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            .reshape(-1, 3)
            .astype(np.float32)
        )
        colour *= self.light[section] * _lamps(z)[:, None]
        haze = np.exp(-depth / 14)[:, None]
        colour = colour * haze + np.float32(150) * (1 - haze) * self.light[section]
        height = self.wall_height[section]
        sky = (height < SPAN) & ((is_wall & (y > height)) | (~is_wall & (dy > 0)))
        elevation = np.clip(dy[sky] / np.hypot(dx[sky], dz[sky]), 0, 1)[:, None]
        colour[sky] = HORIZON + (ZENITH - HORIZON) * elevation
        return as_image(np.clip(colour, 0, 255).reshape(*shape, 3))

    def _draw_pole(self, image: Floats, camera: Camera, pose: Pose, panel: Panel) -> None:
        base, top = np.array([panel.x, 0, panel.z]), np.array([panel.x, panel.y, panel.z])
        reach = np.array([math.cos(panel.yaw), 0, -math.sin(panel.yaw)]) * 0.03
        corners = np.stack([top - reach, top + reach, base + reach, base - reach])
        quad = camera.project(pose, corners)
        if quad is not None:
            fixed = np.round(np.clip(quad, -4000, 4000) * 16).astype(np.int32)
            grey = tuple(float(c) for c in 95 * self._light_at(panel.z))
            cv2.fillPoly(image, [fixed], grey, cv2.LINE_AA, 4)


def _lamps(z: npt.ArrayLike) -> Floats:
    """Return the brightness along the corridor: lamps every four metres."""
    return np.asarray(1 + 0.12 * np.cos(np.asarray(z) * (math.pi / 2)), dtype=np.float32)


def _levels(texture: Image) -> list[Image]:
    levels = [texture]
    for level in range(1, LEVELS):
        small = cv2.resize(texture, (TILE >> level, TILE >> level), interpolation=cv2.INTER_AREA)
        levels.append(as_image(cv2.resize(small, (TILE, TILE), interpolation=cv2.INTER_LINEAR)))
    return levels


def _bounds(quad: Floats, camera: Camera) -> tuple[slice, slice] | None:
    """Return the rows and columns of the frame that a projected panel touches, None if none."""
    limits = np.array([camera.width, camera.height])
    low = np.clip(np.floor(quad.min(axis=0)) - 1, 0, limits).astype(int)
    high = np.clip(np.ceil(quad.max(axis=0)) + 2, 0, limits).astype(int)
    if (high <= low).any():
        return None
    return slice(low[1], high[1]), slice(low[0], high[0])


def _project_face(
    panel: Panel, quad: Floats, front: bool, box: tuple[slice, slice]
) -> tuple[Floats, Floats]:
    """Return the panel's colour (h, w, 3) and opacity (h, w) within a box of the frame."""
    face = panel.face
    extent = float(np.ptp(quad, axis=0).max())
    # Halving to the nearest larger size: warpPerspective alone would skip pixels.
    while face.shape[0] > 16 and face.shape[0] >= 2 * extent:
        half = face.shape[0] // 2
        face = as_image(cv2.resize(face, (half, half), interpolation=cv2.INTER_AREA))
    side, (rows, columns) = face.shape[0], box
    source = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32) - np.float32(0.5)
    matrix = cv2.getPerspectiveTransform(
        source, quad - np.array([columns.start, rows.start], np.float32)
    )
    warped = cv2.warpPerspective(
        face,
        matrix,
        (columns.stop - columns.start, rows.stop - rows.start),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(128, 128, 128, 0),
    ).astype(np.float32)
    alpha = as_floats(warped[..., 3] / 255)
    colour = warped[..., :3] if front else np.full_like(warped[..., :3], 120)
    return colour, alpha


# Surfaces --------------------------------------------------------------------------------------


def noise(rng: np.random.Generator, *, coarse: int, octaves: int, side: int = TILE) -> Floats:
    """Return (side, side) smooth noise of mean 0 and standard deviation 1."""
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        cells = coarse << octave
        layer = rng.standard_normal((cells, cells), dtype=np.float32)
        total += cv2.resize(layer, (side, side), interpolation=cv2.INTER_CUBIC) / (1 << octave)
    return as_floats(total / max(float(total.std()), 1e-6))


def _colour(rng: np.random.Generator, saturation: float, low: int, high: int) -> Floats:
    """Return a random BGR colour of a brightness between low and high."""
    hue = rng.uniform(0, 180)
    pixel = np.array([[[hue, 255 * rng.uniform(0, saturation), rng.uniform(low, high)]]], np.uint8)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0].astype(np.float32)


def _textured(
    rng: np.random.Generator, colour: Floats, strength: float, coarse: int, octaves: int = 4
) -> Floats:
    grain = noise(rng, coarse=coarse, octaves=octaves)[..., None]
    return np.asarray(colour + grain * strength, dtype=np.float32)


def _grid(
    rng: np.random.Generator, canvas: Floats, step_x: int, step_y: int, offset: bool
) -> None:
    """Draw joints, and give every tile or brick its own brightness."""
    joint = tuple(float(c) for c in canvas.mean(axis=(0, 1)) * rng.uniform(0.5, 1.3))
    for row, y in enumerate(range(0, TILE, step_y)):
        shift = step_x // 2 if offset and row % 2 else 0
        for x in range(-shift, TILE, step_x):
            canvas[y : y + step_y, max(x, 0) : max(x + step_x, 0)] += rng.normal(0, 6)
            cv2.line(canvas, (x, y), (x, y + step_y), joint, 2)
        cv2.line(canvas, (0, y), (TILE, y), joint, 2)


def _finish(canvas: Floats) -> Image:
    return as_image(np.clip(canvas, 0, 255))


def foliage(rng: np.random.Generator) -> Image:
    """Return a hedge."""
    base = np.array([40, 95, 60], np.float32) * rng.uniform(0.7, 1.3)
    bushes = _textured(rng, base, 26, 16, 4)
    return _finish(bushes + noise(rng, coarse=64, octaves=2)[..., None] * 14)


def wall(rng: np.random.Generator) -> Image:
    """Return an indoor wall: paint, bricks, tiles or panels, with doors, windows and posters."""
    canvas = _textured(rng, _colour(rng, 0.45, 90, 235), rng.uniform(1, 6), 4)
    kind = rng.integers(4)
    if kind == 1:
        _grid(rng, canvas, int(rng.integers(20, 40)), int(rng.integers(10, 20)), offset=True)
    elif kind == 2:
        side = int(rng.integers(24, 64))
        _grid(rng, canvas, side, side, offset=False)
    elif kind == 3:
        _grid(rng, canvas, int(rng.integers(60, 128)), TILE, offset=False)
    skirting = int(rng.integers(4, 20))
    canvas[TILE - skirting :] = _colour(rng, 0.3, 40, 160)
    if rng.random() < 0.4:
        rail = int(rng.integers(140, 200))
        canvas[rail : rail + int(rng.integers(4, 60))] = _colour(rng, 0.6, 60, 220)
    for _ in range(int(rng.integers(0, 4))):
        _fixture(rng, canvas)
    return _finish(canvas)


def _fixture(rng: np.random.Generator, canvas: Floats) -> None:
    """Draw a door, a window or a poster."""
    left = int(rng.integers(0, TILE - 80))
    kind = rng.integers(3)
    if kind == 0:
        box = (left, 85, left + int(rng.integers(55, 80)), TILE)
    elif kind == 1:
        box = (left, 60, left + int(rng.integers(40, 110)), int(rng.integers(120, 160)))
    else:
        top = int(rng.integers(70, 140))
        box = (left, top, left + int(rng.integers(20, 55)), top + int(rng.integers(20, 70)))
    fill = tuple(float(c) for c in _colour(rng, 0.9 if kind == 2 else 0.4, 40, 250))
    frame = tuple(float(c) for c in _colour(rng, 0.3, 30, 200))
    cv2.rectangle(canvas, box[:2], box[2:], fill, cv2.FILLED)
    cv2.rectangle(canvas, box[:2], box[2:], frame, int(rng.integers(1, 5)))


def ground(rng: np.random.Generator, outdoor: bool) -> Image:
    """Return a floor: carpet, tiles, planks; outdoors asphalt or paving."""
    if outdoor:
        canvas = _textured(rng, _colour(rng, 0.12, 80, 170), 9, 32, 3)
    else:
        canvas = _textured(rng, _colour(rng, 0.5, 50, 210), rng.uniform(1, 7), 8)
    kind = rng.integers(3)
    if kind == 1:
        side = int(rng.integers(32, 86))
        _grid(rng, canvas, side, side, offset=False)
    elif kind == 2:
        _grid(rng, canvas, int(rng.integers(12, 24)), int(rng.integers(80, 128)), offset=True)
    return _finish(canvas)


def ceiling(rng: np.random.Generator) -> Image:
    """Return a ceiling of panels, some of them lamps."""
    canvas = _textured(rng, _colour(rng, 0.1, 150, 235), 2, 8)
    side = int(rng.choice([64, 85, 128]))
    _grid(rng, canvas, side, side, offset=False)
    cv2.rectangle(canvas, (110, 30), (150, 120), (255.0, 255.0, 255.0), cv2.FILLED)
    return _finish(canvas)


def section(rng: np.random.Generator) -> Section:
    """Return a random stretch of corridor, every third one outdoors."""
    outdoor = rng.random() < 0.35
    warmth, gain = rng.normal(0, 0.06), rng.uniform(0.8, 1.1)
    if outdoor:
        hedge = rng.random() < 0.7
        sides = [foliage(rng) if hedge else wall(rng) for _ in range(2)]
    else:
        same = wall(rng)
        sides = [same, same if rng.random() < 0.5 else wall(rng)]
    return Section(
        floor=ground(rng, outdoor),
        left=sides[0],
        right=sides[1],
        ceiling=ceiling(rng) if not outdoor else foliage(rng),
        wall_height=float(rng.uniform(1.0, 2.4)) if outdoor else SPAN,
        light=(gain * (1 - warmth), gain, gain * (1 + warmth)),
    )


# Panels that are no signs ----------------------------------------------------------------------


def distractor(rng: np.random.Generator) -> Image:
    """Return a (128, 128, 4) BGRA poster or shape whose colours and outline recall a sign."""
    side = 128
    canvas = np.zeros((side, side, 4), np.uint8)
    vivid = [
        (40, 30, 200),
        (190, 90, 20),
        (60, 140, 30),
        (20, 190, 240),
        (240, 240, 240),
        (30, 30, 30),
        (20, 110, 230),
        (130, 60, 120),
    ]

    def pick() -> tuple[int, int, int, int]:
        b, g, r = vivid[int(rng.integers(len(vivid)))]
        return b, g, r, 255

    kind = rng.integers(4)
    centre = (side // 2, side // 2)
    if kind == 0:
        cv2.circle(canvas, centre, 60, pick(), cv2.FILLED, cv2.LINE_AA)
        if rng.random() < 0.5:
            cv2.circle(canvas, centre, int(rng.integers(20, 50)), pick(), cv2.FILLED, cv2.LINE_AA)
    elif kind == 1:
        tip = rng.random() < 0.5
        up, down = [[64, 6], [122, 118], [6, 118]], [[64, 122], [122, 10], [6, 10]]
        cv2.fillPoly(canvas, [np.array(up if tip else down, np.int32)], pick(), cv2.LINE_AA)
    else:
        cv2.rectangle(canvas, (6, 6), (121, 121), pick(), cv2.FILLED)
        for _ in range(int(rng.integers(0, 5))):
            a, b = rng.integers(10, 110, 2), rng.integers(10, 110, 2)
            cv2.rectangle(canvas, a.tolist(), b.tolist(), pick(), cv2.FILLED)
    for _ in range(int(rng.integers(0, 4))):
        y = int(rng.integers(30, 100))
        ink = pick()
        cv2.line(canvas, (int(rng.integers(20, 60)), y), (int(rng.integers(60, 108)), y), ink, 5)
    return canvas


def passer_by(rng: np.random.Generator) -> Image:
    """Return a (128, 128, 4) BGRA person, to be stretched to a third of its height in width."""
    canvas = np.zeros((128, 128, 4), np.uint8)

    def ink(low: int, high: int) -> tuple[float, ...]:
        return (*(float(c) for c in _colour(rng, 0.6, low, high)), 255.0)

    coat, trousers = ink(40, 220), ink(30, 120)
    cv2.rectangle(canvas, (34, 66), (58, 127), trousers, cv2.FILLED)
    cv2.rectangle(canvas, (70, 66), (94, 127), trousers, cv2.FILLED)
    cv2.ellipse(canvas, (64, 48), (48, 30), 0, 0, 360, coat, cv2.FILLED, cv2.LINE_AA)
    cv2.ellipse(canvas, (64, 11), (24, 10), 0, 0, 360, (120.0, 150.0, 190.0, 255.0), cv2.FILLED)
    return canvas


# Light and sensor ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exposure:
    """
    Everything between the world and the pixels of the driver.

    gain: per BGR channel. ramp: brightness added from one edge of the frame to the other, as
    (horizontal, vertical) share. blur: motion during the exposure in pixels, (horizontal,
    vertical). noise: standard deviation in grey levels.
    """

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    ramp: tuple[float, float] = (0.0, 0.0)
    blur: tuple[float, float] = (0.0, 0.0)
    noise: float = 0.0


def random_exposure(rng: np.random.Generator, camera: Camera) -> Exposure:
    """Return the exposure of some camera at some time of the day, in motion or not."""
    gain, warmth = rng.uniform(0.35, 1.35), rng.normal(0, 0.08)
    speed = rng.exponential(0.015) * camera.width
    angle = rng.normal(0, 0.5)
    return Exposure(
        gain=(gain * (1 - warmth), gain, gain * (1 + warmth)),
        ramp=(rng.normal(0, 0.2), rng.normal(0, 0.2)),
        blur=(speed * math.cos(angle), speed * math.sin(angle)),
        noise=rng.uniform(0.5, 12),
    )


def expose(image: Image, exposure: Exposure, rng: np.random.Generator) -> Image:
    """Return the (H, W, 3) image as a real sensor would have delivered it."""
    result = image.astype(np.float32)
    height, width = image.shape[:2]
    length = max(abs(exposure.blur[0]), abs(exposure.blur[1]))
    if length > 0.5:
        kernel = _motion_kernel(exposure.blur)
        result = as_floats(cv2.filter2D(result, -1, kernel, borderType=cv2.BORDER_REPLICATE))
    across = np.linspace(-0.5, 0.5, width, dtype=np.float32) * exposure.ramp[0]
    down = np.linspace(-0.5, 0.5, height, dtype=np.float32) * exposure.ramp[1]
    light = np.float32(1) + across[None, :] + down[:, None]
    result *= light[..., None] * np.array(exposure.gain, np.float32)
    if exposure.noise > 0:
        result += rng.standard_normal(result.shape, dtype=np.float32) * np.float32(exposure.noise)
    return as_image(np.clip(result, 0, 255))


def _motion_kernel(blur: tuple[float, float]) -> Floats:
    """Return a normalised line through the middle of an odd square."""
    reach = math.ceil(max(abs(blur[0]), abs(blur[1])) / 2)
    side = 2 * reach + 1
    kernel = np.zeros((side, side), np.float32)
    middle = np.array([reach, reach]) * 256
    offset = np.round(np.array(blur) / 2 * 256)
    start, end = (middle - offset).astype(int).tolist(), (middle + offset).astype(int).tolist()
    cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_AA, 8)
    return as_floats(kernel / kernel.sum())
