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
Camera views of signs in the rendered world, and an image folder of them.

Each image is a whole camera frame stretched to a square, which is what the classifier node makes
of a camera topic: the sign may be anywhere in it, small or large.
"""

from __future__ import annotations

from dataclasses import replace
import math
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.synthetic.exposure import expose, random_exposure
from dual_cnn_ros.synthetic.sign_faces import LABELS, NONE, sign_panel, SIGNS
from dual_cnn_ros.synthetic.textures import passer_by, poster, random_section
from dual_cnn_ros.synthetic.world import Panel, PinholeCamera, Pose, SUFFICIENT_SIZE, View, World

# The camera of the data set.
VIEW_CAMERA = PinholeCamera(160, 120)


def random_world(rng: np.random.Generator) -> World:
    """Return a corridor whose look changes somewhere behind z = 0, where the sign stands."""
    sections = [random_section(rng) for _ in range(2)]
    return World(sections, [rng.uniform(0, 6)], rng.uniform(2.6, 6))


def render_view(rng: np.random.Generator, place: World, label: str) -> View:
    """
    Return a random view for which the label is true, as VIEW_CAMERA delivers it.

    Random arrangements are drawn until one shows what the label says.
    """
    while True:
        pose, panels = _arrange(rng, place, label)
        seen = place.view(VIEW_CAMERA, pose, panels)
        if seen.label == label:
            exposure = random_exposure(rng, VIEW_CAMERA.width)
            return replace(seen, image=expose(seen.image, exposure, rng))


def _clutter(rng: np.random.Generator, half: float) -> list[Panel]:
    """Return posters, and sometimes another sign further away."""
    panels = []
    for _ in range(int(rng.integers(0, 4))):
        side = rng.uniform(0.3, 0.9)
        face, x, y = poster(rng), rng.uniform(-half, half), rng.uniform(0.3, 2)
        z, height = rng.uniform(-1, 8), side * rng.uniform(0.6, 1.4)
        panels.append(Panel(face, x, y, z, side, height, yaw=rng.normal(0, 0.3)))
    if rng.random() < 0.3:
        further = None if rng.random() < 0.5 else str(rng.choice(SIGNS))
        x, z = rng.uniform(-half, half), rng.uniform(1, 7)
        panels.append(sign_panel(rng, further, x, z))
    return panels


def _arrange(rng: np.random.Generator, place: World, label: str) -> tuple[Pose, list[Panel]]:
    """
    Return a pose and what stands before it, likely but not certain to show the label.

    Some of the views without a sign have one that is too small, cut off, seen from behind, or none
    of the twelve.
    """
    half = place.width / 2
    panels = _clutter(rng, half)
    small, large = SUFFICIENT_SIZE, 1.0
    edge, turned, scene = 0.45, 0.0, 'sign'
    named: str | None = label
    if label == NONE:
        scenes = ['empty', 'small', 'cut', 'back', 'lookalike']
        scene = str(rng.choice(scenes, p=[0.25, 0.25, 0.15, 0.1, 0.25]))
        small, large = (0.05, small) if scene == 'small' else (small, large)
        edge = 0.75 if scene == 'cut' else edge
        turned = math.pi if scene == 'back' else 0.0
        some_sign = str(rng.choice(SIGNS))
        named = None if scene == 'lookalike' else some_sign
    x = rng.uniform(-half, half) * 0.8
    sign = sign_panel(rng, named, x, 0.0, yaw=rng.normal(0, 0.4) + turned)
    if scene != 'empty':
        panels.append(sign)
        if rng.random() < 0.35:
            other, z = str(rng.choice(SIGNS)), 0.02 * math.cos(sign.yaw)
            behind = sign_panel(rng, other, x, z, yaw=sign.yaw + math.pi)
            panels.append(replace(behind, y=sign.y, pole=sign.pole))

    share = math.exp(rng.uniform(math.log(small), math.log(large)))
    distance = VIEW_CAMERA.focal * sign.height / (share * VIEW_CAMERA.height)
    aside = math.tan(rng.normal(0, 0.25)) * distance
    camera_x = float(np.clip(x - aside, 0.25 - half, half - 0.25))
    bearing = math.atan2(x - camera_x, distance)
    column = rng.uniform(-edge, edge) * VIEW_CAMERA.width
    yaw = bearing - math.atan2(column, VIEW_CAMERA.focal)
    y, pitch, roll = rng.uniform(0.4, 1.3), rng.normal(0, 0.04), rng.normal(0, 0.04)
    if rng.random() < 0.2:
        nearer = distance * rng.uniform(0.3, 0.8)
        person = passer_by(rng)
        between = camera_x + (x - camera_x) * nearer / distance + rng.normal(0, 0.5)
        panels.append(Panel(person, between, 0.85, nearer - distance, 0.55, 1.7))
    return Pose(camera_x, y, -distance, yaw, pitch, roll), panels


def write_views(
    out: Path,
    *,
    per_class: int,
    size: int,
    seed: int,
    first: int = 0,
    quality: int = 95,
) -> None:
    """
    Write an image folder of views, <label>/<number>.jpg.

    Every place is seen once with each label, so that no background gives a class away.

    Parameters
    ----------
    out
        The folder.
    per_class
        Views of each label.
    size
        Side of an image, pixels.
    seed
        The same seed gives the same images, view by view.
    first
        Number of the first place, so that several processes can share the work, or a data set
        grow.
    quality
        Of JPEG.

    Raises
    ------
    OSError
        Where a folder or an image cannot be written.

    """
    for label in LABELS:
        (out / label).mkdir(parents=True, exist_ok=True)
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    for number in tqdm(range(first, first + per_class), unit='place', disable=None):
        place = random_world(np.random.default_rng([seed, number]))
        for index, label in enumerate(LABELS):
            rng = np.random.default_rng([seed, number, index])
            image = render_view(rng, place, label).image
            path = out / label / f'{number:05d}.jpg'
            if not cv2.imwrite(str(path), Frame(image).reduced(size, size), flags):
                raise OSError(f'{path} cannot be written')
