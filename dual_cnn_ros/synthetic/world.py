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

The signs data set and the course show this one world, so a network trained on the first works on
the second. Lengths are metres; x points to the right, y up, z along the corridor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
import math

import cv2
import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.frame import Image
from dual_cnn_ros.synthetic.textures import CorridorSection, FloatImage, SPAN, TEXTURE_SIDE

# Ever more blurred copies of a texture: distant surfaces read these, which avoids aliasing.
LEVELS = 4
# A sign counts as visible from this size on, sqrt(projected area) / frame height, and when this
# share of its face is inside the frame and not covered.
SUFFICIENT_SIZE, SUFFICIENT_SHARE = 0.22, 0.6
# From these on, a good classifier could still recognise a sign that does not count.
DOUBTFUL_SIZE, DOUBTFUL_SHARE = 0.14, 0.3
# Colours of the sky, BGR.
HORIZON = np.array([235, 220, 205], np.float32)
ZENITH = np.array([215, 165, 120], np.float32)
# Metres; what is nearer to the camera is not drawn.
NEAR = 0.15


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
class PinholeCamera:
    """
    A pinhole camera.

    Attributes
    ----------
    width, height
        Of the frame, pixels.
    field_of_view
        Horizontal, radians.
    rays
        Direction of every pixel, float32 (3, height * width).

    """

    width: int
    height: int
    field_of_view: float = math.radians(70)
    rays: FloatImage = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compute the rays."""
        u, v = np.meshgrid(np.arange(self.width), np.arange(self.height))
        x = (u - (self.width - 1) / 2) / self.focal
        y = ((self.height - 1) / 2 - v) / self.focal
        rays = np.stack([x, y, np.ones_like(x)]).reshape(3, -1).astype(np.float32)
        object.__setattr__(self, 'rays', rays)

    @property
    def focal(self) -> float:
        """Return the focal length in pixels."""
        return self.width / 2 / math.tan(self.field_of_view / 2)

    def project(self, pose: Pose, points: npt.NDArray[np.float64]) -> FloatImage | None:
        """Return the pixels (N, 2) of world points (N, 3), None if one is not in front."""
        local = (points - (pose.x, pose.y, pose.z)) @ pose.rotation()
        if local[:, 2].min() < NEAR:
            return None
        u = (self.width - 1) / 2 + self.focal * local[:, 0] / local[:, 2]
        v = (self.height - 1) / 2 - self.focal * local[:, 1] / local[:, 2]
        return np.stack([u, v], axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Panel:
    """
    A flat image standing in the world: a sign, a poster, a passer-by.

    Attributes
    ----------
    face
        uint8 (N, N, 4) BGRA.
    x, y, z
        Its centre, metres.
    width, height
        Metres.
    label
        What a classifier should call it, None for clutter.
    yaw
        Radians; at 0 it faces a robot that drives along z, at pi one that looks back.
    pole
        Whether it stands on a pole.

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
        """Return the corners, (4, 3): top left, top right, bottom right, bottom left."""
        across = np.array([math.cos(self.yaw), 0.0, -math.sin(self.yaw)]) * self.width / 2
        up = np.array([0.0, self.height / 2, 0.0])
        centre = np.array([self.x, self.y, self.z])
        top, bottom = centre + up, centre - up
        return np.stack([top - across, top + across, bottom + across, bottom - across])

    def faces(self, pose: Pose) -> bool:
        """Return whether the camera is in front of the panel."""
        normal = (-math.sin(self.yaw), -math.cos(self.yaw))
        return (pose.x - self.x) * normal[0] + (pose.z - self.z) * normal[1] > 0


@dataclass(frozen=True)
class View:
    """
    What a camera sees.

    Attributes
    ----------
    image
        uint8 (H, W, 3) BGR.
    label
        Of the largest sign that counts as visible, 'none' without one.
    certain
        False where another answer would do too: a sign is almost large enough, or partly covered
        or cut off.

    """

    image: Image
    label: str
    certain: bool


class World:
    """
    A straight corridor.

    Parameters
    ----------
    sections
        What the stretches look like, at most 120.
    boundaries
        Where a new stretch begins, metres along z. Where there are more stretches than sections,
        the sections come again.
    width
        Metres from wall to wall.

    """

    def __init__(
        self, sections: Sequence[CorridorSection], boundaries: Sequence[float], width: float
    ) -> None:
        self.boundaries = np.asarray(boundaries, dtype=np.float32)
        self.width = width
        self.wall_height = np.array([s.wall_height for s in sections], dtype=np.float32)
        self.light = np.array([s.light for s in sections], dtype=np.float32)
        # One row of tiles per section: cv2.remap takes at most 32,767 pixels either way.
        self.atlas = np.vstack(
            [
                np.hstack([level for texture in s.surfaces for level in _levels(texture)])
                for s in sections
            ]
        )

    def view(self, camera: PinholeCamera, pose: Pose, panels: Sequence[Panel]) -> View:
        """Return what the camera sees of the corridor and the panels, and the true label."""
        image = self._surroundings(camera, pose).astype(np.float32)
        visible: list[tuple[float, float, FloatImage, str]] = []

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
        return View(np.clip(image, 0, 255).astype(np.uint8), label, certain)

    def _light_at(self, z: float) -> FloatImage:
        index = int(np.searchsorted(self.boundaries, z)) % len(self.light)
        return np.asarray(self.light[index] * np.float32(_lamps(z)))

    def _surroundings(self, camera: PinholeCamera, pose: Pose) -> Image:
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
        scale = np.float32(TEXTURE_SIDE / SPAN)
        along = z * scale % TEXTURE_SIDE
        up = np.clip((SPAN - y) * scale, 0, TEXTURE_SIDE - 1)
        across = (x + 100 * SPAN) * scale % TEXTURE_SIDE
        tile_u = np.where(is_wall, along, across)
        tile_v = np.where(is_wall, up, along)
        map_u = column * TEXTURE_SIDE + np.clip(tile_u, 0, TEXTURE_SIDE - 1)
        map_v = section * TEXTURE_SIDE + np.clip(tile_v, 0, TEXTURE_SIDE - 1)
        shape = (camera.height, camera.width)
        at_u, at_v = (each.astype(np.float32).reshape(shape) for each in (map_u, map_v))
        sampled = cv2.remap(
            self.atlas, at_u, at_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        colour = sampled.reshape(-1, 3).astype(np.float32)
        colour *= self.light[section] * _lamps(z)[:, None]
        haze = np.exp(-depth / 14)[:, None]
        colour = colour * haze + np.float32(150) * (1 - haze) * self.light[section]
        height = self.wall_height[section]
        sky = (height < SPAN) & ((is_wall & (y > height)) | (~is_wall & (dy > 0)))
        elevation = np.clip(dy[sky] / np.hypot(dx[sky], dz[sky]), 0, 1)[:, None]
        colour[sky] = HORIZON + (ZENITH - HORIZON) * elevation
        return np.clip(colour, 0, 255).reshape(*shape, 3).astype(np.uint8)

    def _draw_pole(
        self, image: FloatImage, camera: PinholeCamera, pose: Pose, panel: Panel
    ) -> None:
        pole = replace(panel, y=panel.y / 2, width=0.06, height=panel.y)
        quad = camera.project(pose, pole.corners())
        if quad is not None:
            fixed = np.round(np.clip(quad, -4000, 4000) * 16).astype(np.int32)
            grey = tuple(float(c) for c in 95 * self._light_at(panel.z))
            cv2.fillPoly(image, [fixed], grey, cv2.LINE_AA, 4)


def _lamps(z: npt.ArrayLike) -> FloatImage:
    """Return the brightness along the corridor: lamps every four metres."""
    return np.asarray(1 + 0.12 * np.cos(np.asarray(z) * (math.pi / 2)), dtype=np.float32)


def _levels(texture: Image) -> list[Image]:
    levels = [texture]
    for level in range(1, LEVELS):
        side = TEXTURE_SIDE >> level
        small = cv2.resize(texture, (side, side), interpolation=cv2.INTER_AREA)
        levels.append(cv2.resize(small, (TEXTURE_SIDE,) * 2, interpolation=cv2.INTER_LINEAR))
    return levels


def _bounds(quad: FloatImage, camera: PinholeCamera) -> tuple[slice, slice] | None:
    """Return the rows and columns of the frame that a projected panel touches, None if none."""
    limits = np.array([camera.width, camera.height])
    low = np.clip(np.floor(quad.min(axis=0)) - 1, 0, limits).astype(int)
    high = np.clip(np.ceil(quad.max(axis=0)) + 2, 0, limits).astype(int)
    if (high <= low).any():
        return None
    return slice(low[1], high[1]), slice(low[0], high[0])


def _project_face(
    panel: Panel, quad: FloatImage, front: bool, box: tuple[slice, slice]
) -> tuple[FloatImage, FloatImage]:
    """Return the panel's colour (h, w, 3) and opacity (h, w) within a box of the frame."""
    face = panel.face
    extent = float(np.ptp(quad, axis=0).max())
    # Halving to the nearest larger size: warpPerspective alone would skip pixels.
    while face.shape[0] > 16 and face.shape[0] >= 2 * extent:
        half = face.shape[0] // 2
        face = cv2.resize(face, (half, half), interpolation=cv2.INTER_AREA)
    side, (rows, columns) = face.shape[0], box
    source = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32) - np.float32(0.5)
    matrix = cv2.getPerspectiveTransform(
        source, quad - np.array([columns.start, rows.start], np.float32)
    )
    size = (columns.stop - columns.start, rows.stop - rows.start)
    warped = cv2.warpPerspective(face, matrix, size, borderValue=(128, 128, 128, 0))
    warped = warped.astype(np.float32)
    alpha = warped[..., 3] / np.float32(255)
    colour = warped[..., :3] if front else np.full_like(warped[..., :3], 120)
    return colour, alpha
