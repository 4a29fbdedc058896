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

"""A robot's drive past signs: the corridor of a seed, the way, and what two cameras see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
import math
import zlib

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.frame import Image
from dual_cnn_ros.synthetic.exposure import expose, Exposure
from dual_cnn_ros.synthetic.sign_faces import sign_panel, SIGNS
from dual_cnn_ros.synthetic.textures import passer_by, poster, random_section
from dual_cnn_ros.synthetic.world import Panel, PinholeCamera, Pose, World

# Metres from one sign to the next.
LEG = 3.2
# Different sections of corridor; a long drive passes them again.
PLACES = 16
# Seconds; the corridor ends there.
LONGEST = 600
# Metres between the robot and the sign at which it waits.
STOP_BEFORE = 1.15
# Metres per second on the way and past a sign, metres per second squared.
SPEED, CRAWL, ACCELERATION = 1.0, 0.6, 0.9
# Height of both cameras, metres.
EYE = 0.8
# Seconds of exposure, for motion blur.
SHUTTER = 1 / 50
# Seconds between computed states of the robot.
STEP = 0.01

FRONT = PinholeCamera(128, 96)
REAR = PinholeCamera(320, 240)


@dataclass(frozen=True)
class RobotState:
    """
    State of the robot at a time.

    Attributes
    ----------
    time
        Seconds since the start.
    x, z, yaw
        Metres and radians.
    speed, turning
        Metres and radians per second.
    wait
        Number of the stop at which it waits, None while it drives.

    """

    time: float
    x: float
    z: float
    yaw: float
    speed: float
    turning: float
    wait: int | None


@dataclass(frozen=True)
class Shot:
    """
    A frame of one camera.

    Attributes
    ----------
    time
        Seconds since the start.
    image
        uint8 (H, W, 3) BGR.
    label
        The true one; None in doubt.

    """

    time: float
    image: Image
    label: str | None


class Drive:
    """
    The world of a seed, the robot's way through it, and what its two cameras see.

    Parameters
    ----------
    seed
        A seed determines every pixel; a longer drive begins like a shorter one.
    seconds
        Length of the drive, at most LONGEST.

    Attributes
    ----------
    world, panels
        The corridor and what stands in it.
    states
        Of the robot, STEP seconds apart.
    stopped
        When a wait begins, seconds since the start, by its number.
    people
        Who crosses during a wait, and in which direction, by the number of the wait.

    """

    def __init__(self, seed: int, seconds: float) -> None:
        self.seed, self.seconds = seed, seconds
        legs = int(seconds * SPEED / LEG) + 5
        self.world = World(
            [random_section(self._random('place', i)) for i in range(PLACES)],
            [LEG * (2 * i + 1.4) for i in range(int(LONGEST * SPEED / LEG))],
            float(self._random('width').uniform(3.4, 4.2)),
        )
        randoms = [self._random('leg', leg) for leg in range(legs)]
        self._side = [float(rng.choice([-1.0, 1.0])) for rng in randoms]
        self._stops = [rng.random() < 0.7 for rng in randoms]
        self._waits = [rng.uniform(2.5, 4.5) for rng in randoms]
        front = _order(self._random('front signs'), legs)
        rear = _order(self._random('rear signs'), legs)
        self.panels: list[Panel] = []
        for leg, rng in enumerate(randoms):
            self.panels += self._leg(rng, leg, front[leg], rear[leg])
        self.people = {
            leg: (passer_by(rng), float(rng.choice([-1.0, 1.0])))
            for leg, rng in enumerate(randoms)
            if leg % 3 == 1
        }
        self.states = self._drive()
        self.stopped = {s.wait: s.time for s in reversed(self.states) if s.wait is not None}

    def _random(self, purpose: str, index: int = 0) -> np.random.Generator:
        """Return a generator for one purpose, so that a longer drive begins like a shorter one."""
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode()), index])

    def _leg(self, rng: np.random.Generator, leg: int, front: str, rear: str) -> list[Panel]:
        """Return the panels along a leg: two signs back to back, and some clutter."""
        z, half = self._sign_z(leg), self.world.width / 2
        x, y = self._side[leg] * rng.uniform(0.4, 0.6), rng.uniform(0.75, 1.15)
        turned = rng.normal(0, 0.12)
        sign = sign_panel(rng, front, x, z, yaw=turned)
        behind = sign_panel(rng, rear, x, z + 0.02, yaw=math.pi + turned)
        found = [replace(panel, y=y) for panel in (sign, behind)]
        for _ in range(int(rng.integers(0, 3))):
            size = rng.uniform(0.3, 0.7)
            at_wall = float(rng.choice([-1.0, 1.0])) * (half - rng.uniform(0.05, 0.4))
            face, y, ahead = poster(rng), rng.uniform(0.6, 1.8), z + rng.uniform(0, LEG)
            found.append(Panel(face, at_wall, y, ahead, size, size, yaw=rng.normal(0, 0.3)))
        if rng.random() < 0.4:
            # A lookalike, at the wall that the robot is not near.
            at_wall = math.copysign(half - 0.3, x)
            found.append(sign_panel(rng, None, at_wall, z + rng.uniform(0.5, 1.5)))
        return found

    @staticmethod
    def _sign_z(leg: int) -> float:
        return LEG * (leg + 1)

    def _way(self, z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return x at places z along the corridor: towards each sign, then round it."""
        knots = [(0.0, 0.0)]
        for leg, side in enumerate(self._side):
            knots.append((self._sign_z(leg) - STOP_BEFORE, 0.22 * side))
            knots.append((self._sign_z(leg) + 0.1, -0.42 * side))
        at, x = np.array(knots).T
        index = np.clip(np.searchsorted(at, z, side='right') - 1, 0, len(at) - 2)
        share = np.clip((z - at[index]) / (at[index + 1] - at[index]), 0, 1)
        smooth = share * share * (3 - 2 * share)
        return x[index] + (x[index + 1] - x[index]) * smooth

    def _drive(self) -> list[RobotState]:
        """Return the states of the robot, STEP seconds apart."""
        z, speed, leg, waited = 0.0, 0.0, 0, 0.0
        along, speeds, waits = [], [], []
        for _ in range(round(self.seconds / STEP) + 2):
            stop_at = self._sign_z(leg) - STOP_BEFORE
            waiting = self._stops[leg] and z >= stop_at - 1e-3
            if waiting:
                speed, waited = 0.0, waited + STEP
                if waited >= self._waits[leg]:
                    waiting, leg, waited = False, leg + 1, 0.0
            elif z >= stop_at and not self._stops[leg]:
                leg += 1
            along.append(z)
            speeds.append(speed)
            waits.append(leg if waiting else None)
            if not waiting:
                passing = leg > 0 and z < self._sign_z(leg - 1) + 0.3
                limit = CRAWL if passing else SPEED
                if self._stops[leg]:
                    # Without a least speed the robot would approach the stop for ever.
                    limit = min(limit, math.sqrt(2 * ACCELERATION * max(stop_at - z, 1e-4)))
                step = ACCELERATION * STEP
                speed += float(np.clip(limit - speed, -3 * step, step))
                z += speed * STEP
        positions = np.array(along)
        x = self._way(positions)
        slope = (self._way(positions + 1e-3) - self._way(positions - 1e-3)) / 2e-3
        yaw = np.arctan(slope)
        turning = np.gradient(yaw, STEP)
        return [
            RobotState(i * STEP, *state)
            for i, state in enumerate(
                zip(x.tolist(), along, yaw.tolist(), speeds, turning.tolist(), waits)
            )
        ]

    def state(self, time: float) -> RobotState:
        """Return the state at a time, seconds since the start."""
        return self.states[min(round(time / STEP), len(self.states) - 1)]

    def _passing(self, state: RobotState) -> list[Panel]:
        """Return the person who crosses in front of the robot during some of its waits."""
        if state.wait is None or state.wait not in self.people:
            return []
        face, direction = self.people[state.wait]
        share = (state.time - self.stopped[state.wait] - 0.8) / 1.2
        if not 0 <= share <= 1:
            return []
        x = direction * (2 * share - 1) * 1.3 + state.x
        return [Panel(face, x, 0.85, state.z + 0.75, 0.5, 1.7)]

    def shots(self, camera: PinholeCamera, times: list[float]) -> Iterator[Shot]:
        """
        Yield what a camera sees.

        Parameters
        ----------
        camera
            FRONT or REAR.
        times
            Seconds since the start.

        """
        front = camera is FRONT
        name = 'front' if front else 'rear'
        light = self._random(f'{name} light').uniform(0.9, 1.1, 3)
        phase = 1.0 if front else 2.0
        nearby = LEG * 3
        for index, time in enumerate(times):
            state = self.state(time)
            passing = self._passing(state)
            still = state.wait is not None and state.speed == 0 and not passing
            rng = self._random(f'{name} shot', index)
            shake = 0.0 if state.speed == 0 else 0.004
            pitch, roll = 0.03 + rng.normal(0, shake), rng.normal(0, shake)
            yaw = state.yaw + (0.0 if front else math.pi)
            pose = Pose(state.x, EYE, state.z, yaw, pitch, roll)
            near = [p for p in self.panels if abs(p.z - state.z) < nearby]
            view = self.world.view(camera, pose, near + passing)
            turned = state.turning * SHUTTER * camera.focal
            jolt = state.speed * SHUTTER * camera.focal * 0.2
            drift = 1 + 0.12 * math.sin(state.z / 3.1 + phase)
            gain = tuple(float(g) * drift for g in light)
            exposure = Exposure(
                gain=(gain[0], gain[1], gain[2]),
                ramp=(0.1 * math.sin(state.z / 5), 0.05),
                blur=(turned + jolt * 0.3, jolt),
                noise=(0.0 if still else 0.7) if front else 3.0,
            )
            # A sign becomes visible over several frames; with labels for all of them, the same
            # doubt would count many times in an evaluation.
            label = view.label if view.certain else None
            yield Shot(time, expose(view.image, exposure, rng), label)


def _order(rng: np.random.Generator, count: int) -> list[str]:
    """Return labels in random order, each of SIGNS once before one comes again."""
    rounds = [rng.permutation(SIGNS) for _ in range(count // len(SIGNS) + 1)]
    return [str(label) for label in np.concatenate(rounds)[:count]]
