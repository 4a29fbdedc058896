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

"""Frames with or without true labels, one after another: images, a recording, or a video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
import hashlib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from dual_cnn_ros.cascade.frame import Image
from dual_cnn_ros.data import DataError
from dual_cnn_ros.data.cameras import CAMERA, name_cameras, without_copies
from dual_cnn_ros.data.image_file import decode_image, IMAGE_SUFFIXES
from dual_cnn_ros.data.image_folder import ImageFolder
from dual_cnn_ros.data.recording import NANOSECONDS, Recording, recording_files
from dual_cnn_ros.data.true_labels import read_labels, recorded_labels
from dual_cnn_ros.messages.images import ImageError, SampleDepth

VIDEO_SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm', '.wmv')


class LabelledFrame(NamedTuple):
    """
    One frame that is still encoded.

    Attributes
    ----------
    number
        Its place among all frames.
    name
        For people.
    label
        The true one, None where unknown.
    cluster
        Frames of one cluster resemble each other, and the bootstrap draws them together: the image
        itself, or a stretch of the recording.
    time, stamp
        When it was received, and what its header says; nanoseconds.
    frame_id
        Of its header.
    camera
        Its name.
    data
        The frame as it is encoded.
    image
        Decodes it, as the classifier node does; raises ImageError where there is no image.

    """

    number: int
    name: str
    label: str | None
    cluster: int
    time: int
    stamp: int
    frame_id: str
    camera: str
    data: bytes
    image: Callable[[], Image]


class ImageFrames:
    """
    The image files of a folder or a tar, <split>/<class>/<file> or <class>/<file>, or unlabelled.

    Frames come sorted from a folder, and as they lie in a tar.

    Parameters
    ----------
    path
        The folder or the tar.
    split
        Which, where there are several; 'test' unless named.
    exclude
        Names to leave out, as in load_dataset.

    Attributes
    ----------
    kind
        'images'.
    count
        The number of frames.
    cameras
        Their names.
    warnings
        What is left out of the folder, one text each.
    problems
        What is wrong with labels, one text each: none.

    Raises
    ------
    DataError
        If there are no images or no such split.

    """

    kind = 'images'
    cameras = (CAMERA,)
    problems: Sequence[str] = ()

    def __init__(
        self, path: Path, split: str | None = None, exclude: Collection[str] = ()
    ) -> None:
        self.path = path
        self._folder = ImageFolder(path)
        if not self._folder.files:
            raise DataError(f'{path} holds no images ({", ".join(IMAGE_SUFFIXES)})')
        self._files = self._folder.select(self._folder.choose_split(split, 'test'), exclude)
        self.count = len(self._files)

    @property
    def warnings(self) -> list[str]:
        """See above."""
        return self._folder.problems

    def identity(self) -> str:
        """Return a digest of the files, by names, sizes and times."""
        return hashlib.sha256(repr([self._folder.identity(), self._files]).encode()).hexdigest()

    def frames(self, wanted: Collection[int] | None = None) -> Iterator[LabelledFrame]:
        """Yield all frames, or those of the wanted numbers."""
        numbers = {f: i for i, f in enumerate(self._files) if wanted is None or i in wanted}
        for file, data in self._folder.read(numbers):
            number = numbers[file]
            # As if they came ten times a second, for whoever wants time stamps.
            stamp = (number + 1) * NANOSECONDS // 10
            label = file.split('/')[-2] if '/' in file else None
            yield LabelledFrame(
                number,
                file,
                label,
                number,
                stamp,
                stamp,
                CAMERA,
                CAMERA,
                data,
                partial(_decode, data),
            )


class RecordedFrames:
    """
    The images of a recording, which stays open, in the order of their receive times.

    Parameters
    ----------
    path
        See Recording.
    labels
        A CSV file, see read_labels; without one, Classifications on <camera>/ground_truth label
        the image of the same header.
    block
        Seconds of the recording that are one cluster.
    topics
        Image topics, None for all but compressed copies of others.

    Attributes
    ----------
    kind
        'recording'.
    count
        The number of frames.
    cameras
        Their names.
    warnings
        What is wrong with the recording, one text each.
    problems
        What is wrong with labels, one text each.

    Raises
    ------
    DataError
        If the recording has no images, or none on these topics.

    """

    kind = 'recording'

    def __init__(
        self,
        path: Path,
        labels: Path | None = None,
        block: float = 2.0,
        topics: Collection[str] | None = None,
    ) -> None:
        self.path = path
        self._recording = Recording(path)
        there = self._recording.image_topics
        self._topics = sorted(topics) if topics else without_copies(there)
        self._block = block
        if not self._topics:
            held = ', '.join(f'{t.name} ({t.type})' for t in self._recording.topics.values())
            raise DataError(f'{path} has no images: it holds {held or "nothing"}')
        if strange := set(self._topics) - set(there):
            raise DataError(
                f'{path} has no images on {", ".join(sorted(strange))}; it has on '
                f'{", ".join(there) or "no topic"}'
            )
        self.warnings = self._recording.problems
        self.problems: list[str] = []
        self._camera_of = name_cameras(self._topics)
        self.cameras = tuple(self._camera_of.values())
        self.count = sum(self._recording.topics[topic].count for topic in self._topics)
        self._labels_file = labels
        if labels:
            self._labels = read_labels(labels, self.problems)
        else:
            recorded = recorded_labels(self._recording, self._topics, self.problems)
            self._labels = {
                (topic, f'@{stamp}'): name for (topic, stamp), name in recorded.items()
            }

    def identity(self) -> str:
        """Return a digest of the files, by names, sizes and times, and of the labels."""
        files = recording_files(self.path)
        states = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        labels = self._labels_file.read_bytes() if self._labels_file else b''
        return hashlib.sha256(repr([states, self._topics]).encode() + labels).hexdigest()

    def frames(self, wanted: Collection[int] | None = None) -> Iterator[LabelledFrame]:
        """Yield all frames, or those of the wanted numbers; labels of no frame are problems."""
        counts: Counter[str] = Counter()
        unused = set(self._labels)
        depths = {topic: SampleDepth() for topic in self._topics}
        for index, message in enumerate(self._recording.messages(self._topics)):
            topic = message.topic
            number, counts[topic] = counts[topic], counts[topic] + 1
            if wanted is not None and index not in wanted:
                continue
            stamp, frame_id = message.image_header()
            keys = ('', str(index)), (topic, str(number)), ('', f'@{stamp}'), (topic, f'@{stamp}')
            labels = {key: self._labels[key] for key in keys if key in self._labels}
            unused -= labels.keys()
            yield LabelledFrame(
                index,
                f'{topic} {stamp / NANOSECONDS:.3f}',
                next(iter(labels.values()), None),
                int((message.time - self._recording.start) / NANOSECONDS / self._block),
                message.time,
                stamp,
                frame_id,
                self._camera_of[topic],
                message.data,
                partial(message.image, depths[topic]),
            )
        for topic, depth in depths.items():
            warning = f'{topic}: {depth.warning}'
            if depth.warning and warning not in self.warnings:
                self.warnings.append(warning)
        if wanted is None:
            for topic, key in sorted(unused):
                frame = f'time stamp {key[1:]} ns' if key.startswith('@') else f'frame {key}'
                self.problems.append(
                    f'{self._labels.pop((topic, key))!r}: there is no {frame}'
                    f'{" of " if topic else ""}{topic}'
                )


class VideoFrames:
    """
    The frames of a video, which have no labels.

    Parameters
    ----------
    path
        A file that OpenCV can read.
    block
        Seconds of the video that are one cluster.

    Attributes
    ----------
    kind
        'video'.
    count
        The number of frames.
    cameras, warnings, problems
        As of images; there is nothing wrong.

    Raises
    ------
    DataError
        If OpenCV reads no frame of it.

    """

    kind = 'video'
    cameras = (CAMERA,)
    warnings: Sequence[str] = ()
    problems: Sequence[str] = ()

    def __init__(self, path: Path, block: float = 2.0) -> None:
        self.path = path
        capture = self._open()
        # What the file says of their number may be wrong.
        self.count = 0
        while capture.grab():
            self.count += 1
        if not self.count:
            raise DataError(f'{path} is no video that OpenCV can read')
        self._rate = capture.get(cv2.CAP_PROP_FPS) or 30.0
        self._block = block

    def _open(self) -> cv2.VideoCapture:
        return cv2.VideoCapture(str(self.path))

    def identity(self) -> str:
        """Return a digest of the file, by name, size and time."""
        state = self.path.stat()
        known = self.path.name, state.st_size, state.st_mtime_ns
        return hashlib.sha256(repr(known).encode()).hexdigest()

    def frames(self, wanted: Collection[int] | None = None) -> Iterator[LabelledFrame]:
        """Yield all frames, or those of the wanted numbers."""
        capture = self._open()
        for number in range(self.count):
            if not capture.grab():
                return
            if wanted is not None and number not in wanted:
                continue
            image = np.asarray(capture.retrieve()[1], np.uint8)
            stamp = round((number + 1) * NANOSECONDS / self._rate)
            yield LabelledFrame(
                number,
                f'frame {number}',
                None,
                int(number / self._rate / self._block),
                stamp,
                stamp,
                CAMERA,
                CAMERA,
                image.tobytes(),
                partial(np.array, image),
            )


FrameSource = ImageFrames | RecordedFrames | VideoFrames
"""What can be evaluated on."""


def open_frames(
    path: Path,
    *,
    split: str | None = None,
    exclude: Collection[str] = (),
    labels: Path | None = None,
    block: float = 2.0,
    topics: Collection[str] | None = None,
) -> FrameSource:
    """Return what is at a path; see ImageFrames, RecordedFrames and VideoFrames."""
    if recording_files(path):
        return RecordedFrames(path, labels, block, topics)
    if labels is not None or topics:
        raise DataError(
            f'{path} is no rosbag2 recording, and --labels and --topics are for '
            'those; the labels of image files are the names of their folders'
        )
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return VideoFrames(path, block)
    return ImageFrames(path, split, exclude)


def _decode(data: bytes) -> Image:
    image = decode_image(data)
    if image is None:
        raise ImageError(f'its {len(data)} bytes are damaged, or no image')
    return image
