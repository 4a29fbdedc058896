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

"""Image folders, videos and cameras in the shape of a recording, so that all play alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
import sys
import time
from typing import Any

import cv2
import numpy as np

from dual_cnn_ros.data.cameras import CAMERA
from dual_cnn_ros.data.image_file import (
    decode_image,
    IMAGE_SUFFIXES,
    orientation,
    picture_format,
)
from dual_cnn_ros.data.image_folder import ImageFolder
from dual_cnn_ros.data.problems import say_problems
from dual_cnn_ros.data.recording import (
    COMPRESSED_IMAGE,
    IMAGE,
    Message,
    NANOSECONDS,
    recorded_header,
    recorded_types,
    Recording,
    RecordingError,
    serialized,
    Topic,
)
from dual_cnn_ros.messages.images import to_image_msg

FORMATS = ('jpeg', 'png')
"""What a compressed message may hold."""

MakeMessage = Callable[[Any], Any]


class ImageStream:
    """
    One camera topic whose messages are made while they are read, offered as a Recording does.

    Parameters
    ----------
    path
        The folder, the file or the camera, to be named in output.
    kind
        IMAGE or COMPRESSED_IMAGE.
    count
        The number of frames, 0 where it is unknown.
    seconds
        Its length, None where it is unknown.
    frames
        Returns an iterator over the frames: seconds since the start, and what makes the message
        of the frame, given its header.

    Attributes
    ----------
    labels
        Time stamp in nanoseconds to label, where the folder of an image says so.
    problems
        None, for there is no recording.

    """

    def __init__(
        self,
        path: str,
        kind: str,
        count: int,
        seconds: float | None,
        frames: Callable[[], Iterator[tuple[float, MakeMessage]]],
    ) -> None:
        self.path = path
        self.start = time.time_ns()
        self.duration = seconds or 0.0
        self.labels: dict[int, str] = {}
        self.problems: list[str] = []
        topic = f'/{CAMERA}/image' + ('/compressed' if kind == COMPRESSED_IMAGE else '_raw')
        self.topics = {topic: Topic(topic, kind, count, False)}
        self.image_topics = [topic]
        self._kind, self._frames = kind, frames

    def stamp(self, seconds: float) -> int:
        """Return the time stamp, in nanoseconds, of a frame so many seconds after the start."""
        return self.start + round(seconds * NANOSECONDS)

    def messages(
        self,
        topics: Iterable[str] | None = None,
        *,
        start: float = 0.0,
        duration: float | None = None,
    ) -> Iterator[Message]:
        """Yield the frames as serialized messages, stamped when each is due."""
        del topics  # there is only one
        for seconds, make_message in self._frames():
            if seconds < start:
                continue
            if duration is not None and seconds > start + duration:
                return
            stamp = self.stamp(seconds)
            message = make_message(recorded_header(stamp, CAMERA))
            yield Message(self.image_topics[0], self._kind, stamp, serialized(message, self._kind))


MessageSource = Recording | ImageStream
"""What can be played: both have path, topics, image_topics, start, duration and messages."""


def stream_folder(folder: Path, fps: float, most: int | None = None) -> ImageStream:
    """
    Return the images of a folder; subfolders are their labels.

    Parameters
    ----------
    folder
        With images at one depth.
    fps
        Images in a second.
    most
        Draw so many at random, the same each time, and say how many are left out; None for all, in
        the order of their names.

    Raises
    ------
    RecordingError
        If there are none, or there is no such folder.

    """
    if not folder.is_dir():
        raise RecordingError(f'there is no folder {folder}')
    images = ImageFolder(folder)
    there = images.files
    say_problems(folder, images.problems)
    if not there:
        raise RecordingError(f'{folder} holds no images ({", ".join(IMAGE_SUFFIXES)})')
    files: Sequence[str] = there
    if most is not None:
        files = [there[i] for i in np.random.default_rng(0).permutation(len(there))[:most]]
        left = len(there) - len(files)
        print(f'{folder}: {len(files)} images, drawn at random; {left} are left out')

    def frames() -> Iterator[tuple[float, MakeMessage]]:
        for i, (file, data) in enumerate(images.read(files)):
            kind, encoded = picture_format(data), np.frombuffer(data, np.uint8)
            # Receivers of a message ignore EXIF data, and judge a camera's sample depth by more
            # than one image, so these are made upright and of 8 bits here.
            if kind not in FORMATS or orientation(data) != 1 or _is_deep_png(data):
                image = decode_image(data)
                if image is None:
                    print(f'{folder / file} is no image; left out', file=sys.stderr)
                    continue
                kind, encoded = 'png', cv2.imencode('.png', image)[1].reshape(-1)
            yield i / fps, partial(recorded_types(COMPRESSED_IMAGE), format=kind, data=encoded)

    stream = ImageStream(str(folder), COMPRESSED_IMAGE, len(files), len(files) / fps, frames)
    stream.labels = {
        stream.stamp(i / fps): file.split('/')[-2] for i, file in enumerate(files) if '/' in file
    }
    return stream


def _is_deep_png(data: bytes) -> bool:
    return picture_format(data) == 'png' and data[24:25] == b'\x10'


def stream_video(file: str | int, seconds: float | None = None) -> ImageStream:
    """
    Return the frames of a video file or, given a number, of a camera for so many seconds.

    Raises
    ------
    RecordingError
        If OpenCV cannot open it.

    """
    is_live = isinstance(file, int)
    name = f'camera {file}' if is_live else str(file)
    capture = cv2.VideoCapture(file)
    if not capture.isOpened():
        raise RecordingError(f'{name} cannot be opened by OpenCV')
    fps = capture.get(cv2.CAP_PROP_FPS) or 30.0
    count = 0 if is_live else max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    to_raw = partial(to_image_msg, encoding='bgr8', message_class=recorded_types(IMAGE))

    def frames() -> Iterator[tuple[float, MakeMessage]]:
        begun, first, last = time.monotonic(), None, -1 / fps
        while seconds is None or not is_live or time.monotonic() - begun < seconds:
            is_there, image = capture.read()
            if not is_there:
                return
            if is_live:
                last = time.monotonic() - begun
            else:
                # Its own time, since the rate need not be constant; some formats have none.
                shown = capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
                first = shown if first is None else first
                last = shown - first if shown - first > last else last + 1 / fps
            yield last, partial(to_raw, image)

    return ImageStream(name, IMAGE, count, seconds if is_live else count / fps, frames)
