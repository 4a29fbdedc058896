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

"""Frames with or without true labels, read one after another: pictures, or a recording's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
import csv
from decimal import Decimal, InvalidOperation
from functools import partial
import hashlib
from pathlib import Path, PurePosixPath
import struct
import sys
from typing import NamedTuple

from dual_cnn_ros.cascade.frame import Image
from dual_cnn_ros.data import dataset
from dual_cnn_ros.data.dataset import DatasetError
from dual_cnn_ros.data.recording import Message, Recording
from dual_cnn_ros.messages import images

NANOSECONDS = 10**9
CAMERA = 'camera'


class Item(NamedTuple):
    """
    One frame that is still encoded.

    number: its place among all frames. name: for people. label: the true one, None where unknown.
    unit: number of the picture, or of the stretch of a recording, that bootstrap draws as one.
    time: when it was received, stamp: of its header, both in nanoseconds. frame_id: of its header.
    camera: its name. data: the frame as it is encoded. decode: gives the picture as the node sees
    it, and raises ImageError where there is none.
    """

    number: int
    name: str
    label: str | None
    unit: int
    time: int
    stamp: int
    frame_id: str
    camera: str
    data: bytes
    decode: Callable[[], Image]


class Pictures:
    """
    A folder or a tar of pictures, <split>/<class>/<file> or <class>/<file>, else without labels.

    split: which, where there are several; 'test' unless named. exclude: names to leave out, as in
    dataset.load. Raises DatasetError where there are no pictures or no such split.
    """

    kind = 'pictures'
    cameras = (CAMERA,)

    def __init__(
        self, path: Path, split: str | None = None, exclude: Collection[str] = ()
    ) -> None:
        self.path = path
        self.problems: list[str] = []
        found = [PurePosixPath(name) for name in dataset.pictures(path)]
        if not found:
            raise DatasetError(f'{path} holds no pictures ({", ".join(dataset.SUFFIXES)})')
        splits = sorted({name.parts[0] for name in found if len(name.parts) == 3})
        if split is None and len(splits) > 1:
            split = 'test'
        if split is not None and split not in splits:
            raise DatasetError(
                f'{path} has no split {split!r}; '
                f'choose of {", ".join(splits) or "none: it is one by itself"}'
            )
        names = [name for name in found if split is None or name.parts[0] == split]
        names = [
            name
            for name in names
            if str(name) not in exclude and '/'.join(name.parts[-2:]) not in exclude
        ]
        self.excluded = len(found) - len(names)
        self._names = {str(name): i for i, name in enumerate(names)}
        self._labels = [name.parts[-2] if len(name.parts) > 1 else None for name in names]
        self.count = len(names)

    def identity(self) -> str:
        """Return a digest of what is there, by names, sizes and times."""
        return hashlib.sha256(
            repr([dataset.identity(self.path), list(self._names)]).encode()
        ).hexdigest()

    def items(self, wanted: Collection[int] | None = None) -> Iterator[Item]:
        """Yield pictures, sorted in a folder and as they lie in a tar."""
        names = {name: i for name, i in self._names.items() if wanted is None or i in wanted}
        for name, data in dataset.contents(self.path, names):
            i = names[name]
            # As if they came ten times a second, for whoever wants time stamps.
            stamp = (i + 1) * NANOSECONDS // 10
            yield Item(
                i,
                name,
                self._labels[i],
                i,
                stamp,
                stamp,
                CAMERA,
                CAMERA,
                data,
                partial(_picture, data),
            )


class Frames:
    """
    The image topics of a recording, which stays open until it is closed.

    labels: a CSV file, see read_labels; without one, Classifications on <camera>/ground_truth
    label the image of the same header. block: seconds of a recording that bootstrap draws as one.
    topics: image topics, None for all `originals`. Raises ValueError for a recording without
    images and for topics that have none.
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
        self._topics = sorted(topics) if topics else originals(self._recording.image_topics)
        self._block = block
        if not self._topics:
            there = ', '.join(f'{t.name} ({t.type})' for t in self._recording.topics.values())
            raise DatasetError(f'{path} has no images: it holds {there or "nothing"}')
        if strange := set(self._topics) - set(self._recording.image_topics):
            raise DatasetError(
                f'{path} has no images on {", ".join(sorted(strange))}; it has on '
                f'{", ".join(self._recording.image_topics) or "no topic"}'
            )
        self.problems: list[str] = []
        self._cameras = name_cameras(self._topics)
        self.count = sum(self._recording.topics[topic].count for topic in self._topics)
        self._labels = (
            read_labels(labels, self.problems)
            if labels
            else {
                (topic, f'@{stamp}'): label
                for (topic, stamp), label in ground_truth(
                    self._recording, self._topics, self.problems
                ).items()
            }
        )
        self._labels_file = labels
        self._is_checked = False

    @property
    def cameras(self) -> list[str]:
        """Return the names of the cameras."""
        return list(self._cameras.values())

    def identity(self) -> str:
        """Return a digest of what is there, by names, sizes and times, and of the labels."""
        files = sorted(self.path.iterdir()) if self.path.is_dir() else [self.path]
        states = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        labels = self._labels_file.read_bytes() if self._labels_file else b''
        return hashlib.sha256(repr([states, self._topics]).encode() + labels).hexdigest()

    def items(self, wanted: Collection[int] | None = None) -> Iterator[Item]:
        """Yield frames in the order of their receive times."""
        counts: Counter[str] = Counter()
        unused = set(self._labels)
        for index, message in enumerate(self._recording.messages(self._topics)):
            number, counts[message.topic] = counts[message.topic], counts[message.topic] + 1
            if wanted is not None and index not in wanted:
                continue
            stamp, frame_id = header(message)
            keys = [
                key
                for key in (
                    ('', str(index)),
                    (message.topic, str(number)),
                    ('', f'@{stamp}'),
                    (message.topic, f'@{stamp}'),
                )
                if key in self._labels
            ]
            unused.difference_update(keys)
            label = self._labels[keys[0]] if keys else None
            yield Item(
                index,
                f'{message.topic} {stamp / NANOSECONDS:.3f}',
                label,
                int((message.time - self._recording.start) / NANOSECONDS / self._block),
                message.time,
                stamp,
                frame_id,
                self._cameras[message.topic],
                message.data,
                message.image,
            )
        if wanted is None and unused and not self._is_checked:
            self._is_checked = True
            for topic, key in sorted(unused):
                frame = f'time stamp {key[1:]} ns' if key.startswith('@') else f'frame {key}'
                self.problems.append(
                    f'{self._labels[topic, key]!r}: there is no {frame}'
                    f'{" of " if topic else ""}{topic}'
                )


Source = Pictures | Frames


def open_source(
    path: Path,
    *,
    split: str | None = None,
    exclude: Collection[str] = (),
    labels: Path | None = None,
    block: float = 2.0,
    topics: Collection[str] | None = None,
) -> Source:
    """Return the pictures or the recording at a path; see there."""
    if (path / 'metadata.yaml').is_file() or path.suffix in ('.db3', '.mcap'):
        return Frames(path, labels, block, topics)
    if labels is not None or topics:
        raise DatasetError(
            f'{path} is no rosbag2 recording, and --labels and --topics are for '
            'those; the labels of pictures are the names of their folders'
        )
    return Pictures(path, split, exclude)


def camera_of(topic: str) -> str:
    """Return the namespace of an image topic, without slashes around it."""
    return topic.removesuffix('/compressed').strip('/').rpartition('/')[0] or CAMERA


def originals(topics: Collection[str]) -> list[str]:
    """Return the image topics without compressed copies of others of them, which it names."""
    copies = {
        topic
        for topic in topics
        if topic.endswith('/compressed') and topic.removesuffix('/compressed') in topics
    }
    for topic in sorted(copies):
        print(
            f'left out: {topic}, the same pictures as {topic.removesuffix("/compressed")}',
            file=sys.stderr,
        )
    return [topic for topic in topics if topic not in copies]


def name_cameras(topics: Collection[str]) -> dict[str, str]:
    """Return the camera of each image topic: its namespace, or all of it where that is shared."""
    spaces = Counter(map(camera_of, topics))
    return {
        topic: camera if spaces[camera] == 1 else topic.strip('/')
        for topic in topics
        for camera in [camera_of(topic)]
    }


def read_labels(path: Path, problems: list[str]) -> dict[tuple[str, str], str]:
    """
    Return the labels of a CSV file by topic ('' for any) and frame number or '@<nanoseconds>'.

    Its first line names the columns: `label`, and `frame` (counted from 0, over all images or,
    with a topic, over its own), or `stamp` (of the header: seconds with a decimal point, or
    nanoseconds); `topic` may be left out. Lines that say no such thing are named in problems.
    Raises DatasetError where the columns are not there.
    """
    found = {}
    with path.open(newline='', encoding='utf-8-sig') as file:
        rows = csv.DictReader(file, skipinitialspace=True)
        columns = set(rows.fieldnames or ())
        if 'label' not in columns or not columns & {'frame', 'stamp'}:
            raise DatasetError(
                f'{path}: the first line must name the columns label and frame or '
                f'stamp, and topic if there are several; it has '
                f'{", ".join(sorted(columns)) or "none"}'
            )
        for row in rows:
            try:
                key = (
                    str(int(row['frame']))
                    if row.get('frame')
                    else f'@{_nanoseconds(row["stamp"])}'
                )
                if not row['label']:
                    raise ValueError('no label')
                found[row.get('topic') or '', key] = row['label'].strip()
            except (ValueError, KeyError, TypeError, InvalidOperation) as error:
                problems.append(f'{path}, line {rows.line_num}: {error}')
    return found


def _nanoseconds(text: str) -> int:
    return int(Decimal(text) * NANOSECONDS) if '.' in text else int(text)


def ground_truth(
    recording: Recording, topics: Collection[str], problems: list[str]
) -> dict[tuple[str, int], str]:
    """
    Return the labels on <camera>/ground_truth by image topic and stamp of the header in ns.

    A Classification without a result labels nothing. What cannot be read is named in problems.
    """
    labelled: dict[str, list[str]] = {}
    for topic in topics:
        labelled.setdefault(f'/{camera_of(topic)}/ground_truth', []).append(topic)
    found = {}
    for message in recording.messages([name for name in labelled if name in recording.topics]):
        try:
            truth = message.decode()
        except ValueError as error:
            problems.append(f'{message.topic} at {message.time / NANOSECONDS:.3f}: {error}')
            continue
        stamp = truth.header.stamp.sec * NANOSECONDS + truth.header.stamp.nanosec
        if not stamp:
            problems.append(f'{message.topic} at {message.time / NANOSECONDS:.3f}: no time stamp')
        elif truth.results:
            found.update(
                {
                    (topic, stamp): str(truth.results[0].class_id)
                    for topic in labelled[message.topic]
                }
            )
    return found


def header(message: Message) -> tuple[int, str]:
    """Return stamp [ns] and frame_id of an image, which stand in front, whatever follows them."""
    try:
        order = '<' if message.data[1] else '>'
        seconds, fraction, length = struct.unpack_from(f'{order}iII', message.data, 4)
    except (struct.error, IndexError):
        return message.time, ''
    text = message.data[16 : 16 + length].rstrip(b'\0')
    return seconds * NANOSECONDS + fraction, text.decode(errors='replace')


def _picture(data: bytes) -> Image:
    picture = dataset.decode_picture(data)
    if picture is None:
        raise images.ImageError(f'its {len(data)} bytes are damaged or no picture')
    return picture
