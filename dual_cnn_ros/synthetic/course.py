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

"""The rosbag2 recording of a rendered drive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from dual_cnn_ros.cascade.frame import Image
from dual_cnn_ros.data import recording
from dual_cnn_ros.data.recording import recorded_header, recorded_types, Recorder
from dual_cnn_ros.messages.images import to_image_msg
from dual_cnn_ros.synthetic.drive import Drive, FRONT, REAR, Shot
from dual_cnn_ros.synthetic.world import PinholeCamera

# What the recording says of itself, in its README.txt.
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
# Nanoseconds at which every drive begins: 1 January 2026, 00:00 UTC.
EPOCH = 1_767_225_600_000_000_000
JPEG_QUALITY = 75


@dataclass(frozen=True)
class _Mounted:
    """A camera on the robot: its topic, and the nanoseconds between a stamp and the arrival."""

    name: str
    camera: PinholeCamera
    topic: str
    latency: int


_FRONT = _Mounted('front', FRONT, '/front/image_raw', 8_000_000)
_REAR = _Mounted('rear', REAR, '/rear/image_raw/compressed', 15_000_000)


@dataclass(frozen=True)
class CourseSummary:
    """
    What a recording holds.

    Attributes
    ----------
    frames
        Of each camera.
    repeats
        Frames of the front camera that equal the one before byte for byte.

    """

    frames: int
    repeats: int


def write_course(
    out: Path, *, seed: int, seconds: float, rate: float, storage: str
) -> CourseSummary:
    """
    Render a drive and write it as a rosbag2 recording.

    Parameters
    ----------
    out
        Folder of the recording. It must not exist yet, and is removed after any exception.
    seed
        Another seed gives another drive.
    seconds
        Length of the drive.
    rate
        Frames per second of each camera.
    storage
        One of dual_cnn_ros.data.recording.STORAGES.

    Raises
    ------
    RecordingError
        Where out exists or cannot be written.
    ValueError
        Where the drive is too short for a single frame.

    """
    frames = int(seconds * rate)
    if frames < 1:
        raise ValueError(
            f'{seconds:g} seconds at a rate of {rate:g} have no frame: raise --seconds or --rate'
        )
    drive = Drive(seed, seconds)
    command = f'course OUT --seed {seed} --seconds {seconds:g} --rate {rate:g} --storage {storage}'
    notes = {
        'origin': 'RENDERED by the course tool of dual_cnn_ros: no camera, no robot',
        'command': command,
    }
    front_times = [i / rate for i in range(frames)]
    rear_times = [t + 0.4 / rate for t in front_times]
    repeats, previous = 0, b''
    with Recorder(out, storage=storage, notes=notes) as recorder:
        pairs = zip(drive.shots(FRONT, front_times), drive.shots(REAR, rear_times))
        for front, rear in tqdm(pairs, total=frames, unit='frame', disable=None):
            _write_shot(recorder, _FRONT, front)
            _write_shot(recorder, _REAR, rear)
            pixels = front.image.tobytes()
            repeats += pixels == previous
            previous = pixels
        readme = f'This recording is RENDERED, by: {command}\n\n{DESCRIPTION}\n'
        (out / 'README.txt').write_text(readme, encoding='utf-8')
    return CourseSummary(frames, repeats)


def _write_shot(recorder: Recorder, mounted: _Mounted, shot: Shot) -> None:
    """Write an image with its camera_info, and its label where there is no doubt."""
    stamp = EPOCH + round(shot.time * 1e9)
    header = recorded_header(stamp, f'{mounted.name}_camera')
    received = stamp + mounted.latency
    if mounted is _FRONT:
        message_type = recording.IMAGE
        message = to_image_msg(shot.image[..., ::-1], header, 'rgb8', recorded_types(message_type))
    else:
        message_type = recording.COMPRESSED_IMAGE
        message = _jpeg(header, shot.image)
    recorder.write(mounted.topic, message_type, received, message)
    info = _camera_info(header, mounted.camera)
    recorder.write(f'/{mounted.name}/camera_info', 'sensor_msgs/msg/CameraInfo', received, info)
    if shot.label is not None:
        result = recorded_types('vision_msgs/msg/ObjectHypothesis')(shot.label, 1.0)
        label = recorded_types(recording.CLASSIFICATION)(header, [result])
        recorder.write(f'/{mounted.name}/ground_truth', recording.CLASSIFICATION, received, label)


def _jpeg(header: Any, image: Image) -> Any:
    flags = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    _, data = cv2.imencode('.jpg', image, flags)
    # The format is written as ROS's own compressed transport writes it.
    return recorded_types(recording.COMPRESSED_IMAGE)(
        header, 'bgr8; jpeg compressed bgr8', data.reshape(-1)
    )


def _camera_info(header: Any, camera: PinholeCamera) -> Any:
    focal, u, v = camera.focal, (camera.width - 1) / 2, (camera.height - 1) / 2
    return recorded_types('sensor_msgs/msg/CameraInfo')(
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
        recorded_types('sensor_msgs/msg/RegionOfInterest')(0, 0, 0, 0, False),
    )
