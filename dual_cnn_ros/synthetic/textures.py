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
Random textures of the rendered world: floors, walls and ceilings, posters, people.

Everything random comes from the generator that is passed in. Colours are BGR.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.frame import Image

FloatImage = npt.NDArray[np.float32]

# Side of a surface texture in pixels.
TEXTURE_SIDE = 256
# Metres that one texture covers; also the height of an indoor ceiling.
SPAN = 3.0

# Colours of posters and shapes, chosen to be mistaken for those of signs.
_VIVID = (
    (40, 30, 200),
    (190, 90, 20),
    (60, 140, 30),
    (20, 190, 240),
    (240, 240, 240),
    (30, 30, 30),
    (20, 110, 230),
    (130, 60, 120),
)


@dataclass(frozen=True)
class CorridorSection:
    """
    A stretch of corridor with its own surfaces.

    Attributes
    ----------
    surfaces
        Textures of the floor, the left wall, the right wall and the ceiling, uint8
        (TEXTURE_SIDE, TEXTURE_SIDE, 3) BGR.
    wall_height
        Metres; below SPAN the walls are hedges or fences under the open sky.
    light
        Gain of each BGR channel.

    """

    surfaces: tuple[Image, Image, Image, Image]
    wall_height: float
    light: tuple[float, float, float]


def smooth_noise(
    rng: np.random.Generator, *, coarse: int, octaves: int, side: int = TEXTURE_SIDE
) -> FloatImage:
    """
    Return smooth noise, float32 (side, side), with a standard deviation of 1.

    Parameters
    ----------
    rng
        Source of randomness.
    coarse
        Cells along a side of the coarsest octave; each further octave has twice as many, at half
        the amplitude.
    octaves
        How many are added up.
    side
        Pixels.

    """
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        cells = coarse << octave
        layer = rng.standard_normal((cells, cells), dtype=np.float32)
        total += cv2.resize(layer, (side, side), interpolation=cv2.INTER_CUBIC) / (1 << octave)
    return total / np.float32(max(float(total.std()), 1e-6))


def _colour(rng: np.random.Generator, saturation: float, low: int, high: int) -> FloatImage:
    """Return a random BGR colour of a brightness between low and high."""
    hue = rng.uniform(0, 180)
    pixel = np.array([[[hue, 255 * rng.uniform(0, saturation), rng.uniform(low, high)]]], np.uint8)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0].astype(np.float32)


def _textured(
    rng: np.random.Generator, colour: FloatImage, strength: float, coarse: int, octaves: int = 4
) -> FloatImage:
    grain = smooth_noise(rng, coarse=coarse, octaves=octaves)[..., None]
    return (colour + grain * strength).astype(np.float32)


def _grid(
    rng: np.random.Generator, canvas: FloatImage, step_x: int, step_y: int, offset: bool
) -> None:
    """Draw joints, and give every tile or brick its own brightness."""
    joint = tuple(float(c) for c in canvas.mean(axis=(0, 1)) * rng.uniform(0.5, 1.3))
    for row, y in enumerate(range(0, TEXTURE_SIDE, step_y)):
        shift = step_x // 2 if offset and row % 2 else 0
        for x in range(-shift, TEXTURE_SIDE, step_x):
            canvas[y : y + step_y, max(x, 0) : max(x + step_x, 0)] += rng.normal(0, 6)
            cv2.line(canvas, (x, y), (x, y + step_y), joint, 2)
        cv2.line(canvas, (0, y), (TEXTURE_SIDE, y), joint, 2)


def _finish(canvas: FloatImage) -> Image:
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _hedge(rng: np.random.Generator) -> Image:
    base = np.array([40, 95, 60], np.float32) * rng.uniform(0.7, 1.3)
    bushes = _textured(rng, base, 26, 16, 4)
    return _finish(bushes + smooth_noise(rng, coarse=64, octaves=2)[..., None] * 14)


def _wall(rng: np.random.Generator) -> Image:
    """Return an indoor wall of paint, bricks, tiles or panels, with doors, windows and posters."""
    canvas = _textured(rng, _colour(rng, 0.45, 90, 235), rng.uniform(1, 6), 4)
    covering = rng.integers(4)
    if covering == 1:
        _grid(rng, canvas, int(rng.integers(20, 40)), int(rng.integers(10, 20)), offset=True)
    elif covering == 2:
        side = int(rng.integers(24, 64))
        _grid(rng, canvas, side, side, offset=False)
    elif covering == 3:
        _grid(rng, canvas, int(rng.integers(60, 128)), TEXTURE_SIDE, offset=False)
    skirting = int(rng.integers(4, 20))
    canvas[TEXTURE_SIDE - skirting :] = _colour(rng, 0.3, 40, 160)
    if rng.random() < 0.4:
        rail = int(rng.integers(140, 200))
        canvas[rail : rail + int(rng.integers(4, 60))] = _colour(rng, 0.6, 60, 220)
    for _ in range(int(rng.integers(0, 4))):
        _fixture(rng, canvas)
    return _finish(canvas)


def _fixture(rng: np.random.Generator, canvas: FloatImage) -> None:
    """Draw a door, a window or a poster."""
    left = int(rng.integers(0, TEXTURE_SIDE - 80))
    fixture = rng.integers(3)
    if fixture == 0:
        box = (left, 85, left + int(rng.integers(55, 80)), TEXTURE_SIDE)
    elif fixture == 1:
        box = (left, 60, left + int(rng.integers(40, 110)), int(rng.integers(120, 160)))
    else:
        top = int(rng.integers(70, 140))
        box = (left, top, left + int(rng.integers(20, 55)), top + int(rng.integers(20, 70)))
    fill = tuple(float(c) for c in _colour(rng, 0.9 if fixture == 2 else 0.4, 40, 250))
    frame = tuple(float(c) for c in _colour(rng, 0.3, 30, 200))
    cv2.rectangle(canvas, box[:2], box[2:], fill, cv2.FILLED)
    cv2.rectangle(canvas, box[:2], box[2:], frame, int(rng.integers(1, 5)))


def _ground(rng: np.random.Generator, outdoor: bool) -> Image:
    """Return a floor: carpet, tiles, planks; outdoors asphalt or paving."""
    if outdoor:
        canvas = _textured(rng, _colour(rng, 0.12, 80, 170), 9, 32, 3)
    else:
        canvas = _textured(rng, _colour(rng, 0.5, 50, 210), rng.uniform(1, 7), 8)
    covering = rng.integers(3)
    if covering == 1:
        side = int(rng.integers(32, 86))
        _grid(rng, canvas, side, side, offset=False)
    elif covering == 2:
        _grid(rng, canvas, int(rng.integers(12, 24)), int(rng.integers(80, 128)), offset=True)
    return _finish(canvas)


def _ceiling(rng: np.random.Generator) -> Image:
    """Return a ceiling of panels, some of them lamps."""
    canvas = _textured(rng, _colour(rng, 0.1, 150, 235), 2, 8)
    side = int(rng.choice([64, 85, 128]))
    _grid(rng, canvas, side, side, offset=False)
    cv2.rectangle(canvas, (110, 30), (150, 120), (255.0, 255.0, 255.0), cv2.FILLED)
    return _finish(canvas)


def random_section(rng: np.random.Generator) -> CorridorSection:
    """Return a random stretch of corridor, about every third one outdoors."""
    outdoor = rng.random() < 0.35
    warmth, gain = rng.normal(0, 0.06), rng.uniform(0.8, 1.1)
    if outdoor:
        hedge = rng.random() < 0.7
        left, right = (_hedge(rng) if hedge else _wall(rng) for _ in range(2))
    else:
        left = _wall(rng)
        right = left if rng.random() < 0.5 else _wall(rng)
    return CorridorSection(
        (_ground(rng, outdoor), left, right, _hedge(rng) if outdoor else _ceiling(rng)),
        wall_height=rng.uniform(1.0, 2.4) if outdoor else SPAN,
        light=(gain * (1 - warmth), gain, gain * (1 + warmth)),
    )


def poster(rng: np.random.Generator) -> Image:
    """Return a poster or shape that resembles a sign, uint8 (128, 128, 4) BGRA."""
    side = 128
    canvas = np.zeros((side, side, 4), np.uint8)

    def pick() -> tuple[int, int, int, int]:
        return (*_VIVID[rng.integers(len(_VIVID))], 255)

    shape = rng.integers(4)
    centre = (side // 2, side // 2)
    if shape == 0:
        cv2.circle(canvas, centre, 60, pick(), cv2.FILLED, cv2.LINE_AA)
        if rng.random() < 0.5:
            cv2.circle(canvas, centre, int(rng.integers(20, 50)), pick(), cv2.FILLED, cv2.LINE_AA)
    elif shape == 1:
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
    """Return a person, uint8 (128, 128, 4) BGRA, to be shown three times as high as wide."""
    canvas = np.zeros((128, 128, 4), np.uint8)

    def ink(low: int, high: int) -> tuple[float, ...]:
        return (*(float(c) for c in _colour(rng, 0.6, low, high)), 255.0)

    coat, trousers = ink(40, 220), ink(30, 120)
    cv2.rectangle(canvas, (34, 66), (58, 127), trousers, cv2.FILLED)
    cv2.rectangle(canvas, (70, 66), (94, 127), trousers, cv2.FILLED)
    cv2.ellipse(canvas, (64, 48), (48, 30), 0, 0, 360, coat, cv2.FILLED, cv2.LINE_AA)
    cv2.ellipse(canvas, (64, 11), (24, 10), 0, 0, 360, (120.0, 150.0, 190.0, 255.0), cv2.FILLED)
    return canvas
