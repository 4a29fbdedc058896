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

"""Picture folders, videos and cameras in the shape of a recording, so that all play alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
import time
from typing import Any

import cv2
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from dual_cnn_ros.data.dataset import decode_picture, SUFFIXES
from dual_cnn_ros.data.labelled import CAMERA
from dual_cnn_ros.data.recording import COMPRESSED_IMAGE, IMAGE, Message, RecordingError, Topic
from dual_cnn_ros.messages import images

EXIF_AT = 4096  # bytes from the start within which a file says that it has EXIF data

# Seconds since the start of the frame, and what is on it: a picture, or an encoded file.
Frames = Iterator[tuple[float, Any]]


class FrameSource:
    """
    One camera topic whose messages are made while they are read; see Recording.

    labels: time stamp in nanoseconds to label, where the folder of a picture says so. seconds: how
    long it lasts, None where nobody knows.
    """

    def __init__(
        self, path: str, kind: str, count: int, seconds: float | None, frames: Callable[[], Frames]
    ) -> None:
        """Keep how the frames are made; nothing is read yet."""
        self.path = path
        self.start = time.time_ns()
        self.duration = seconds or 0.0
        self.labels: dict[int, str] = {}
        topic = f'/{CAMERA}/image' + ('/compressed' if kind == COMPRESSED_IMAGE else '_raw')
        self.topics = {topic: Topic(topic, kind, count, False)}
        self.image_topics = [topic]
        self._kind, self._frames = kind, frames

    def messages(
        self,
        topics: Iterable[str] | None = None,
        *,
        start: float = 0.0,
        duration: float | None = None,
    ) -> Iterator[Message]:
        """Return the frames as serialized messages, stamped when each is due."""
        del topics  # there is only one
        for seconds, content in self._frames():
            if seconds < start:
                continue
            if duration is not None and seconds > start + duration:
                return
            stamp = self.start + round(seconds * 1e9)
            header = Header(frame_id=CAMERA)
            header.stamp.sec, header.stamp.nanosec = divmod(stamp, 10**9)
            message = (
                CompressedImage(header=header, format=content[0], data=content[1])
                if self._kind == COMPRESSED_IMAGE
                else images.to_image_msg(content, header, 'bgr8', Image)
            )
            yield Message(self.image_topics[0], self._kind, stamp, serialize_message(message))


def from_folder(folder: Path, fps: float) -> FrameSource:
    """Return the pictures of a folder in the order of their names; subfolders are their labels."""
    files = sorted(p for p in folder.rglob('*') if p.suffix.lower() in SUFFIXES)
    if not files:
        raise RecordingError(f'{folder} holds no pictures ({", ".join(SUFFIXES)})')

    def frames() -> Frames:
        for i, file in enumerate(files):
            data = file.read_bytes()
            kind = {'.png': 'png', '.jpg': 'jpeg', '.jpeg': 'jpeg'}.get(file.suffix.lower())
            # What is stored on its side goes out upright: a message says nothing of that.
            if kind is None or b'Exif' in data[:EXIF_AT]:
                picture = decode_picture(data)
                if picture is None:
                    print(f'{file} is no picture; left out')
                    continue
                kind, data = 'png', cv2.imencode('.png', picture)[1].tobytes()
            yield i / fps, (kind, data)

    source = FrameSource(str(folder), COMPRESSED_IMAGE, len(files), len(files) / fps, frames)
    source.labels = {
        source.start + round(i / fps * 1e9): file.parent.name
        for i, file in enumerate(files)
        if file.parent != folder
    }
    return source


def from_video(file: str | int, seconds: float | None = None) -> FrameSource:
    """Return the frames of a video file or, given a number, of a camera for so many seconds."""
    capture = cv2.VideoCapture(file)
    if not capture.isOpened():
        what = f'camera {file}' if isinstance(file, int) else f'video {file}'
        raise RecordingError(f'{what} cannot be opened by OpenCV')
    live = isinstance(file, int)
    fps = capture.get(cv2.CAP_PROP_FPS) or 30.0
    count = 0 if live else max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def frames() -> Frames:
        begun, i = time.monotonic(), 0
        while seconds is None or not live or time.monotonic() - begun < seconds:
            there, picture = capture.read()
            if not there:
                return
            yield (time.monotonic() - begun if live else i / fps), picture
            i += 1

    return FrameSource(
        f'camera {file}' if live else str(file),
        IMAGE,
        count,
        seconds if live else count / fps,
        frames,
    )
