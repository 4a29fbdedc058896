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

"""Render a robot's drive past signs and write it as a rosbag2 recording."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
import math
from pathlib import Path
import sys
from typing import Any
import zlib

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dual_cnn_ros.data import recording
from dual_cnn_ros.data.recording import Recorder, RecordingError
from dual_cnn_ros.synthetic import signs, world
from dual_cnn_ros.synthetic.world import Camera, Exposure, Image, Panel, Pose, World
from dual_cnn_ros.tools.cli import run_cli

DESCRIPTION = """\
Everything in it is RENDERED: no camera, no robot. The robot drives along a corridor, slows down at
every sign, stops before most, waits, and goes round it. Two cameras look on:

  /front/image_raw             raw, rgb8, 128 x 96. This camera averages all noise away while
                               nothing moves, so the frames of a wait repeat byte for byte, until
                               the robot or a passer-by moves.
  /rear/image_raw/compressed   JPEG, 320 x 240, looks back. Its noise never rests, so its frames
                               repeat nearly, never exactly.

and with each come camera_info and ground_truth: a Classification with the header of the image
it labels and one result, the sign that is visible at a sufficient size, else `none`. A frame in
which a sign is almost large enough, or partly covered or cut off, has no label: either answer
would do."""
"""What the recording says of itself."""
EPOCH = 1_767_225_600_000_000_000
"""Nanoseconds at which every drive begins: 1 January 2026, 00:00 UTC."""
LEG = 3.2
"""Metres from one sign to the next."""
PLACES = 16
"""Different stretches of corridor; a long drive comes by again."""
LONGEST = 600
"""Seconds."""
STOP_BEFORE = 1.15
"""Metres between the robot and the sign at which it waits."""
SPEED, CRAWL, ACCELERATION = 1.0, 0.6, 0.9
"""Metres per second on the way and past a sign, metres per second squared."""
EYE = 0.8
"""Height of both cameras in metres."""
SHUTTER = 1 / 50
"""Seconds of exposure, for motion blur."""
STEP = 0.01
"""Seconds between computed states of the robot."""
JPEG_QUALITY = 75

FRONT = Camera(128, 96)
REAR = Camera(320, 240)


@dataclass(frozen=True)
class State:
    """Where the robot is at a time (seconds), in metres and radians; wait: number of its stop."""

    time: float
    x: float
    z: float
    yaw: float
    speed: float
    turning: float
    wait: int | None


@dataclass(frozen=True)
class Shot:
    """A frame of one camera: seconds since the start, BGR image, true label, None in doubt."""

    time: float
    image: Image
    label: str | None


class Drive:
    """The world of a seed, the robot's way through it, and what its two cameras see."""

    def __init__(self, seed: int, seconds: float) -> None:
        self.seed, self.seconds = seed, seconds
        legs = int(seconds * SPEED / LEG) + 5
        self.world = World(
            [world.section(self._random('place', i)) for i in range(PLACES)],
            [LEG * (2 * i + 1.4) for i in range(int(LONGEST * SPEED / LEG))],
            float(self._random('width').uniform(3.4, 4.2)),
        )
        randoms = [self._random('leg', leg) for leg in range(legs)]
        self.side = [float(rng.choice([-1.0, 1.0])) for rng in randoms]
        self.stops = [bool(rng.random() < 0.7) for rng in randoms]
        self.waits = [float(rng.uniform(2.5, 4.5)) for rng in randoms]
        front = _order(self._random('front signs'), legs)
        rear = _order(self._random('rear signs'), legs)
        self.panels: list[Panel] = []
        for leg, rng in enumerate(randoms):
            self.panels += self._leg(rng, leg, front[leg], rear[leg])
        self.people = {
            leg: (world.passer_by(rng), float(rng.choice([-1.0, 1.0])))
            for leg, rng in enumerate(randoms)
            if leg % 3 == 1
        }
        self.states = self._drive()
        self.stopped: dict[int, float] = {}
        for state in self.states:
            if state.wait is not None:
                self.stopped.setdefault(state.wait, state.time)

    def _random(self, purpose: str, index: int = 0) -> np.random.Generator:
        """Return a generator of its own for each thing, so that a longer drive begins the same."""
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode()), index])

    def _leg(self, rng: np.random.Generator, leg: int, front: str, rear: str) -> list[Panel]:
        """Return what stands along a leg: two signs back to back, and some clutter."""
        z, half = self._sign_z(leg), self.world.width / 2
        x, y = self.side[leg] * float(rng.uniform(0.4, 0.6)), float(rng.uniform(0.75, 1.15))
        turned = float(rng.normal(0, 0.12))
        sign = signs.sign_panel(rng, front, x, z, yaw=turned)
        behind = signs.sign_panel(rng, rear, x, z + 0.02, yaw=math.pi + turned)
        found = [replace(panel, y=y) for panel in (sign, behind)]
        for _ in range(int(rng.integers(0, 3))):
            size = float(rng.uniform(0.3, 0.7))
            at_wall = float(rng.choice([-1.0, 1.0])) * (half - float(rng.uniform(0.05, 0.4)))
            found.append(
                Panel(
                    world.distractor(rng),
                    at_wall,
                    float(rng.uniform(0.6, 1.8)),
                    z + float(rng.uniform(0, LEG)),
                    size,
                    size,
                    yaw=float(rng.normal(0, 0.3)),
                )
            )
        if rng.random() < 0.4:
            # One that is none of the twelve, at the wall the robot is not near.
            at_wall = math.copysign(half - 0.3, x)
            found.append(signs.sign_panel(rng, None, at_wall, z + float(rng.uniform(0.5, 1.5))))
        return found

    @staticmethod
    def _sign_z(leg: int) -> float:
        return LEG * (leg + 1)

    def _way(self, z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return x along the corridor: towards each sign, then round it."""
        knots = [(0.0, 0.0)]
        for leg, side in enumerate(self.side):
            knots.append((self._sign_z(leg) - STOP_BEFORE, 0.22 * side))
            knots.append((self._sign_z(leg) + 0.1, -0.42 * side))
        at, x = np.array(knots).T
        index = np.clip(np.searchsorted(at, z, side='right') - 1, 0, len(at) - 2)
        share = np.clip((z - at[index]) / (at[index + 1] - at[index]), 0, 1)
        smooth = share * share * (3 - 2 * share)
        return np.asarray(x[index] + (x[index + 1] - x[index]) * smooth)

    def _drive(self) -> list[State]:
        """Integrate the drive in steps of STEP seconds."""
        z, speed, leg, waited = 0.0, 0.0, 0, 0.0
        along, speeds, waits = [], [], []
        for _ in range(round(self.seconds / STEP) + 2):
            stop_at = self._sign_z(leg) - STOP_BEFORE
            waiting = self.stops[leg] and z >= stop_at - 1e-3
            if waiting:
                speed, waited = 0.0, waited + STEP
                if waited >= self.waits[leg]:
                    waiting, leg, waited = False, leg + 1, 0.0
            elif z >= stop_at and not self.stops[leg]:
                leg += 1
            along.append(z)
            speeds.append(speed)
            waits.append(leg if waiting else None)
            if not waiting:
                passing = leg > 0 and z < self._sign_z(leg - 1) + 0.3
                limit = CRAWL if passing else SPEED
                if self.stops[leg]:
                    # The last millimetre: a square root alone would approach the stop for ever.
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
            State(
                i * STEP,
                float(x[i]),
                along[i],
                float(yaw[i]),
                speeds[i],
                float(turning[i]),
                waits[i],
            )
            for i in range(len(along))
        ]

    def state(self, time: float) -> State:
        """Return the state at a time in seconds."""
        return self.states[min(round(time / STEP), len(self.states) - 1)]

    def _passing(self, state: State) -> list[Panel]:
        """Return the person who crosses before the robot during some of its waits."""
        if state.wait is None or state.wait not in self.people:
            return []
        face, direction = self.people[state.wait]
        share = (state.time - self.stopped[state.wait] - 0.8) / 1.2
        if not 0 <= share <= 1:
            return []
        x = direction * (2 * share - 1) * 1.3 + state.x
        return [Panel(face, x, 0.85, state.z + 0.75, 0.5, 1.7)]

    def shots(self, camera: Camera, times: list[float]) -> Iterator[Shot]:
        """
        Yield what FRONT or REAR sees at each of the times.

        The same seed gives the same shots, whichever of the cameras is asked first.
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
            pose = Pose(
                state.x,
                EYE,
                state.z,
                state.yaw + (0.0 if front else math.pi),
                pitch=0.03 + float(rng.normal(0, shake)),
                roll=float(rng.normal(0, shake)),
            )
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
            # A data set has to draw the line somewhere; a drive crosses it frame by frame, and
            # would count the same doubt many times.
            label = view.label if view.certain else None
            yield Shot(time, world.expose(view.image, exposure, rng), label)


def _order(rng: np.random.Generator, count: int) -> list[str]:
    """Return labels so that every sign comes before one comes again."""
    rounds = [rng.permutation(signs.SIGNS) for _ in range(count // len(signs.SIGNS) + 1)]
    return [str(label) for label in np.concatenate(rounds)[:count]]


# Messages --------------------------------------------------------------------------------------


class _Messages:
    """Turns shots into ROS messages."""

    def __init__(self) -> None:
        self.types = recording.typestore().types

    def header(self, stamp: int, frame: str) -> Any:
        time = self.types['builtin_interfaces/msg/Time'](stamp // 10**9, stamp % 10**9)
        return self.types['std_msgs/msg/Header'](time, frame)

    def raw(self, header: Any, image: Image) -> Any:
        height, width = image.shape[:2]
        data = np.ascontiguousarray(image[..., ::-1]).reshape(-1)
        return self.types[recording.IMAGE](header, height, width, 'rgb8', 0, 3 * width, data)

    def jpeg(self, header: Any, image: Image) -> Any:
        done, data = cv2.imencode(
            '.jpg',
            image,
            [
                cv2.IMWRITE_JPEG_QUALITY,
                JPEG_QUALITY,
                cv2.IMWRITE_JPEG_OPTIMIZE,
                1,
            ],
        )
        if not done:
            raise RecordingError('this OpenCV cannot write JPEG')
        # The words that ROS's own compressed transport uses.
        form = 'bgr8; jpeg compressed bgr8'
        return self.types[recording.COMPRESSED_IMAGE](header, form, data.reshape(-1))

    def info(self, header: Any, camera: Camera) -> Any:
        focal, u, v = camera.focal, (camera.width - 1) / 2, (camera.height - 1) / 2
        return self.types['sensor_msgs/msg/CameraInfo'](
            header,
            camera.height,
            camera.width,
            'plumb_bob',
            np.zeros(5),
            np.array([focal, 0, u, 0, focal, v, 0, 0, 1.0]),
            np.eye(3).reshape(-1),
            np.array([focal, 0, u, 0, 0, focal, v, 0, 0, 0, 1, 0.0]),
            0,
            0,
            self.types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False),
        )

    def label(self, header: Any, label: str) -> Any:
        result = self.types['vision_msgs/msg/ObjectHypothesis'](label, 1.0)
        return self.types[recording.CLASSIFICATION](header, [result])


@dataclass(frozen=True)
class Summary:
    """What a recording holds: frames of both cameras, and exact repeats of the front camera's."""

    front: int
    rear: int
    repeats: int


def write_course(
    out: Path, *, seed: int, seconds: float, rate: float, storage: str, progress: bool = True
) -> Summary:
    """
    Render a drive and write it to out, which must not exist yet.

    rate: frames per second of each camera. Raises RecordingError where out cannot be written, and
    ValueError where not one frame is due. Whatever is raised, out is not left half written.
    """
    frames = int(seconds * rate)
    if frames < 1:
        raise ValueError(
            f'{seconds:g} seconds at a rate of {rate:g} have no frame: raise --seconds or --rate'
        )
    drive = Drive(seed, seconds)
    make = _Messages()
    notes = {
        'origin': 'RENDERED by the course tool of dual_cnn_ros: no camera, no robot',
        'seed': str(seed),
        'seconds': f'{seconds:g}',
        'rate': f'{rate:g}',
    }
    front_times = [i / rate for i in range(frames)]
    rear_times = [t + 0.4 / rate for t in front_times]
    repeats, previous = 0, b''
    with Recorder(out, storage=storage, notes=notes) as recorder:
        pairs = zip(drive.shots(FRONT, front_times), drive.shots(REAR, rear_times))
        for front, rear in tqdm(pairs, total=frames, unit='frame', disable=not progress):
            for name, camera, shot, latency in (
                ('front', FRONT, front, 8_000_000),
                ('rear', REAR, rear, 15_000_000),
            ):
                stamp = EPOCH + round(shot.time * 1e9)
                header = make.header(stamp, f'{name}_camera')
                received = stamp + latency
                if camera is FRONT:
                    image, kind = make.raw(header, shot.image), recording.IMAGE
                    topic = '/front/image_raw'
                    pixels = shot.image.tobytes()
                    repeats += pixels == previous
                    previous = pixels
                else:
                    image, kind = make.jpeg(header, shot.image), recording.COMPRESSED_IMAGE
                    topic = '/rear/image_raw/compressed'
                recorder.write(topic, kind, received, image)
                recorder.write(
                    f'/{name}/camera_info',
                    'sensor_msgs/msg/CameraInfo',
                    received,
                    make.info(header, camera),
                )
                if shot.label is not None:
                    recorder.write(
                        f'/{name}/ground_truth',
                        recording.CLASSIFICATION,
                        received,
                        make.label(header, shot.label),
                    )
        command = (
            f'course OUT --seed {seed} --seconds {seconds:g} --rate {rate:g} --storage {storage}'
        )
        readme = f'This recording is RENDERED, by: {command}\n\n{DESCRIPTION}\n'
        (out / 'README.txt').write_text(readme, encoding='utf-8')
    return Summary(frames, frames, repeats)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog='course',
        description=f'{__doc__}\n\n{DESCRIPTION}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('out', type=Path, help='folder of the recording, must not exist')
    parser.add_argument('--seed', type=int, default=0, help='another seed, another drive (0)')
    parser.add_argument('--seconds', type=float, default=50.0, help='length of the drive (50)')
    parser.add_argument(
        '--rate', type=float, default=5.0, help='frames per second of each camera (5)'
    )
    parser.add_argument(
        '--storage',
        choices=recording.STORAGES,
        default='sqlite3',
        help='sqlite3 plays everywhere; mcap is smaller, and an extra package in Humble (sqlite3)',
    )
    options = parser.parse_args(arguments)
    if options.seed < 0 or not 0 < options.rate <= 100 or not 1 <= options.seconds <= LONGEST:
        parser.error(f'--seed must not be negative, --rate in (0, 100], --seconds 1 to {LONGEST}')

    def work() -> None:
        summary = write_course(
            options.out,
            seed=options.seed,
            seconds=options.seconds,
            rate=options.rate,
            storage=options.storage,
        )
        size = sum(path.stat().st_size for path in options.out.iterdir())
        print(
            f'{options.out}: RENDERED, {options.seconds:g} s, {summary.front} + {summary.rear} '
            f'frames, {summary.repeats} of the front camera repeat exactly, {size / 1e6:.1f} MB'
        )

    return run_cli('course', work)


if __name__ == '__main__':
    sys.exit(main())
