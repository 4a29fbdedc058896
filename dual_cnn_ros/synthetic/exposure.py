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

"""What a camera makes of the light: exposure, motion blur and noise."""

from __future__ import annotations

from dataclasses import dataclass
import math

import cv2
import numpy as np

from dual_cnn_ros.cascade.frame import Image
from dual_cnn_ros.synthetic.textures import FloatImage


@dataclass(frozen=True)
class Exposure:
    """
    Everything that changes a frame between the world and the camera's driver.

    Attributes
    ----------
    gain
        Factor of each BGR channel.
    ramp
        Brightness added from one edge of the frame to the opposite one, (horizontal, vertical),
        as a fraction of the brightness in its middle.
    blur
        Motion during the exposure, (horizontal, vertical), pixels.
    noise
        Standard deviation, grey levels.

    """

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    ramp: tuple[float, float] = (0.0, 0.0)
    blur: tuple[float, float] = (0.0, 0.0)
    noise: float = 0.0


def random_exposure(rng: np.random.Generator, width: int) -> Exposure:
    """Return the exposure of some camera at some time of the day, for frames of this width."""
    gain, warmth = rng.uniform(0.35, 1.35), rng.normal(0, 0.08)
    speed = rng.exponential(0.015) * width
    angle = rng.normal(0, 0.5)
    return Exposure(
        gain=(gain * (1 - warmth), gain, gain * (1 + warmth)),
        ramp=(rng.normal(0, 0.2), rng.normal(0, 0.2)),
        blur=(speed * math.cos(angle), speed * math.sin(angle)),
        noise=rng.uniform(0.5, 12),
    )


def expose(image: Image, exposure: Exposure, rng: np.random.Generator) -> Image:
    """Return the uint8 (H, W, 3) BGR image as a real sensor would have delivered it."""
    result = image.astype(np.float32)
    height, width = image.shape[:2]
    length = max(abs(exposure.blur[0]), abs(exposure.blur[1]))
    if length > 0.5:
        kernel = _motion_kernel(exposure.blur)
        result = cv2.filter2D(result, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    across = np.linspace(-0.5, 0.5, width, dtype=np.float32) * exposure.ramp[0]
    down = np.linspace(-0.5, 0.5, height, dtype=np.float32) * exposure.ramp[1]
    light = np.float32(1) + across[None, :] + down[:, None]
    result *= light[..., None] * np.array(exposure.gain, np.float32)
    if exposure.noise > 0:
        result += rng.standard_normal(result.shape, dtype=np.float32) * np.float32(exposure.noise)
    return np.clip(result, 0, 255).astype(np.uint8)


def _motion_kernel(blur: tuple[float, float]) -> FloatImage:
    """Return a normalised line through the middle of an odd square."""
    reach = math.ceil(max(abs(blur[0]), abs(blur[1])) / 2)
    side = 2 * reach + 1
    kernel = np.zeros((side, side), np.float32)
    middle = np.array([reach, reach]) * 256
    offset = np.round(np.array(blur) / 2 * 256)
    start, end = (middle - offset).astype(int).tolist(), (middle + offset).astype(int).tolist()
    cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_AA, 8)
    return kernel / kernel.sum()
