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
Read and write rosbag2 recordings without ROS: sqlite3 and mcap, zstd-compressed or not.

Messages stay serialized (CDR) until they are decoded, so a replay is cheap and loses nothing.
rosbags is imported where it is used: a tool that is given no recording works without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache, cached_property
import heapq
from operator import itemgetter
from pathlib import Path
import shutil
import struct
from typing import Any, Literal, TYPE_CHECKING

import yaml

from dual_cnn_ros.cascade.frame import Image
from dual_cnn_ros.data import DataError
from dual_cnn_ros.data.recording_file import (
    COMPRESSED_SUFFIX,
    decompress_message,
    open_file,
    RecordingFile,
    SUFFIXES,
)
from dual_cnn_ros.data.unclosed import UnclosedError
from dual_cnn_ros.files import read_text
from dual_cnn_ros.messages.images import (
    DepthImageError,
    from_compressed_msg,
    from_image_msg,
    ImageError,
    SampleDepth,
)

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

NANOSECONDS = 10**9
IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
CLASSIFICATION = 'vision_msgs/msg/Classification'
IMAGE_TYPES = (IMAGE, COMPRESSED_IMAGE)
STORAGES = ('sqlite3', 'mcap')

METADATA_VERSION: Literal[8] = 8
"""The last metadata version that Humble reads; Jazzy and Kilted read it too."""

METADATA = 'metadata.yaml'
END_OF_TIME = 2**63 - 1

_VISION_MESSAGES = {
    'vision_msgs/msg/ObjectHypothesis': 'string class_id\nfloat64 score\n',
    CLASSIFICATION: 'std_msgs/Header header\nvision_msgs/ObjectHypothesis[] results\n',
}


class RecordingError(DataError):
    """A recording that cannot be read or written; the message names it and says what to do."""


@cache
def typestore() -> Typestore:
    """Return the message types of ROS 2, with those of vision_msgs that label a recording."""
    from rosbags.typesys import get_types_from_msg, get_typestore, Stores

    store = get_typestore(Stores.LATEST)
    for name, definition in _VISION_MESSAGES.items():
        store.register(get_types_from_msg(definition, name))
    return store


def recorded_types(kind: str) -> Any:
    """
    Return the class that rosbags has for a message type, for example std_msgs/msg/Header.

    It serves as `MessageTypes`: what the messages room builds with it, a Recorder writes.

    Raises
    ------
    RecordingError
        If the type is none of ROS 2's common ones.

    """
    try:
        return typestore().types[kind]
    except KeyError as error:
        raise RecordingError(f'the message type {kind} is not known to rosbags') from error


def recorded_header(stamp: int, frame_id: str) -> Any:
    """Return a std_msgs/msg/Header of `recorded_types`; stamp in nanoseconds."""
    time = recorded_types('builtin_interfaces/msg/Time')(*divmod(stamp, NANOSECONDS))
    return recorded_types('std_msgs/msg/Header')(time, frame_id)


def serialized(message: Any, kind: str) -> bytes:
    """Return the CDR bytes of a message of `recorded_types`."""
    return bytes(typestore().serialize_cdr(message, kind))


@dataclass(frozen=True)
class Topic:
    """
    A topic of a recording.

    Attributes
    ----------
    type
        Of its messages, for example sensor_msgs/msg/Image.
    count
        The number of its messages.
    latched
        Whether it was offered to late subscribers too (transient local).

    """

    name: str
    type: str
    count: int
    latched: bool


@dataclass(frozen=True)
class Message:
    """
    One recorded message.

    Attributes
    ----------
    type
        For example sensor_msgs/msg/Image.
    time
        When it was received, nanoseconds.
    data
        Its serialized (CDR) bytes.

    """

    topic: str
    type: str
    time: int
    data: bytes

    def decode(self) -> Any:
        """
        Return the message as an object with the fields of its type.

        Raises
        ------
        RecordingError
            If the bytes are damaged, or the type is none of ROS 2's common ones.

        """
        try:
            return typestore().deserialize_cdr(self.data, self.type)
        except Exception as error:  # whatever rosbags raises on bytes that are not the type's
            raise RecordingError(
                f'a message of {self.topic} ({self.type}) cannot be decoded: {error}'
            ) from error

    def image(self, depth: SampleDepth | None = None) -> Image:
        """
        Return the image of a message of one of IMAGE_TYPES, as the classifier node sees it.

        Parameters
        ----------
        depth
            What is known of the samples of this topic; None to judge by this image alone.

        Raises
        ------
        ImageError
            If the message is damaged or holds no image.

        """
        try:
            content = self.decode()
        except RecordingError as error:
            raise ImageError(str(error)) from error
        is_compressed = self.type == COMPRESSED_IMAGE
        return (from_compressed_msg if is_compressed else from_image_msg)(content, depth)

    def image_header(self) -> tuple[int, str]:
        """Return stamp [ns] and frame_id of an image, read without decoding the image itself."""
        try:
            order = '<' if self.data[1] else '>'
            seconds, fraction, length = struct.unpack_from(f'{order}iII', self.data, 4)
        except (struct.error, IndexError):
            return self.time, ''
        text = self.data[16 : 16 + length].rstrip(b'\0')
        return seconds * NANOSECONDS + fraction, text.decode(errors='replace')


class Recording:
    """
    A rosbag2 recording, open for reading: a folder, or one .db3 or .mcap file.

    A context manager. What is in the files counts: metadata.yaml is only asked for notes, and a
    recording whose recorder was killed, which has none, is read as far as it is whole.

    Attributes
    ----------
    topics
        By name. Where a topic has messages of several types, the one with most of them counts.
    problems
        What is wrong with the files and what is left out, one text each.
    start
        The time of the first message in nanoseconds, 0 without any.
    duration
        The seconds between the first and the last message.
    notes
        What the recorder wrote about the recording, empty for most.

    Raises
    ------
    RecordingError
        If there is no recording, or nothing of it can be read.

    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise RecordingError(f'there is no recording at {self.path}')
        self.problems: list[str] = []
        metadata = self._read_metadata()
        notes = metadata.get('custom_data')
        self.notes: dict[str, str] = notes if isinstance(notes, dict) else {}
        self._stack = ExitStack()
        self._files = self._open_files(metadata)
        self._note_damage()
        spans = [file.span for file in self._files.values() if file.span is not None]
        self.start = min((first for first, _ in spans), default=0)
        self.duration = (max((last for _, last in spans), default=0) - self.start) / 1e9
        self.topics = self._find_topics()

    def _read_metadata(self) -> dict[str, Any]:
        file = self.path / METADATA
        if not self.path.is_dir():
            return {}
        try:
            metadata = yaml.safe_load(read_text(file))['rosbag2_bagfile_information']
        except FileNotFoundError:
            self.problems.append(f'it has no {METADATA}: was its recorder killed?')
        except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
            self.problems.append(f'its {METADATA} cannot be read ({error}), and is not needed')
        else:
            if isinstance(metadata, dict):
                return metadata
        return {}

    def _open_files(self, metadata: Mapping[str, Any]) -> dict[Path, RecordingFile]:
        paths = recording_files(self.path)
        named = {Path(str(name)).name for name in metadata.get('relative_file_paths') or ()}
        if missing := sorted(named - {path.name for path in paths}):
            self.problems.append(f'{", ".join(missing)} is missing')
        kinds = Counter(map(_storage, paths))
        # Beside a recording there may be a copy of it in the other storage.
        kind = max(
            kinds, key=lambda kind: (any(kind in name for name in named), kinds[kind]), default=''
        )
        opened = {}
        for path in paths:
            if _storage(path) != kind:
                self.problems.append(f'{path.name} is left out: the recording is of {kind} files')
                continue
            try:
                opened[path] = self._stack.enter_context(open_file(path))
            except (UnclosedError, OSError) as error:
                self.problems.append(f'{path.name} cannot be read: {error}')
        if not opened:
            raise RecordingError(
                f'{self.path} cannot be read as a rosbag2 recording: '
                + ('; '.join(self.problems) or f'it has no file {" or ".join(SUFFIXES)}')
            )
        return opened

    def _find_topics(self) -> dict[str, Topic]:
        counts: dict[str, Counter[str]] = {}
        latched: set[str] = set()
        for file in self._files.values():
            latched |= file.latched
            for (name, kind), count in file.counts.items():
                counts.setdefault(name, Counter())[kind] += count
        topics = {}
        for name, kinds in counts.items():
            (kind, count), *others = kinds.most_common()
            topics[name] = Topic(name, kind, count, name in latched)
            for other, number in others:
                if number:
                    self.problems.append(
                        f'{name}: {number} messages of {other} are left out; it has {count} of '
                        f'{kind}'
                    )
        return topics

    @cached_property
    def image_topics(self) -> list[str]:
        """
        The names of the raw and compressed image topics that hold messages, sorted.

        Those of depth images are no camera's, and become problems.
        """
        found = []
        for topic in sorted(self.topics.values(), key=lambda topic: topic.name):
            if topic.type in IMAGE_TYPES and topic.count:
                try:
                    for message in self.messages([topic.name]):
                        message.image()
                        break
                except DepthImageError as error:
                    self.problems.append(f'{topic.name} is left out: {error}')
                    continue
                except (ImageError, RecordingError):
                    pass  # Another one may be better.
                found.append(topic.name)
        return found

    def messages(
        self,
        topics: Iterable[str] | None = None,
        *,
        start: float = 0.0,
        duration: float | None = None,
    ) -> Iterator[Message]:
        """
        Yield the messages of some topics, or of all of them, in order of time.

        Parameters
        ----------
        topics
            Their names, None for all.
        start
            Seconds after the first message of the recording.
        duration
            Seconds, None to the end of the recording.

        Raises
        ------
        RecordingError
            If a topic is not there, or nothing more can be read after damage.

        """
        wanted = set(self.topics if topics is None else topics)
        if unknown := sorted(wanted - self.topics.keys()):
            raise RecordingError(
                f'{self.path} has no topic {", ".join(unknown)}; it has '
                f'{", ".join(sorted(self.topics)) or "none at all"}'
            )
        kinds = {(name, self.topics[name].type) for name in wanted}
        begin = self.start + round(start * 1e9)
        end = END_OF_TIME if duration is None else begin + round(duration * 1e9)
        rows = heapq.merge(
            *(file.messages(kinds, begin, end) for file in self._files.values()),
            key=itemgetter(2),
        )
        while True:
            try:
                topic, kind, time, data = next(rows)
            except StopIteration:
                self._note_damage()
                return
            except Exception as error:  # sqlite, zstd and mcap each have their own
                raise RecordingError(f'{self.path} is damaged: {error}') from error
            try:
                data = decompress_message(data)
            except Exception as error:  # one that costs no other
                self.problems.append(
                    f'a message of {topic} at {time / NANOSECONDS:.3f} is damaged and left out: '
                    f'{error}'
                )
                continue
            yield Message(topic, kind, time, data)

    def _note_damage(self) -> None:
        """Add to the problems what became known of the files since they were opened."""
        for path, file in self._files.items():
            if file.problem and (problem := f'{path.name}: {file.problem}') not in self.problems:
                self.problems.append(problem)

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def __enter__(self) -> Recording:
        """Return the open recording."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        self.close()


class Recorder:
    """
    Write a rosbag2 recording that Humble, Jazzy and Kilted play, compressed with zstd.

    A context manager; a recording that is left by an exception is removed, because it would not
    play, and would be in the way of the next one.

    Parameters
    ----------
    path
        Of the folder, which must not exist yet.
    storage
        'sqlite3' is part of every ROS 2 installation; 'mcap' is the default from Iron on, and a
        package of its own in Humble.
    notes
        Kept in the metadata as custom data.

    Raises
    ------
    RecordingError
        If it cannot be written.

    """

    def __init__(
        self,
        path: Path | str,
        *,
        storage: str = 'sqlite3',
        notes: Mapping[str, str] | None = None,
    ) -> None:
        from rosbags import rosbag2

        if storage not in STORAGES:
            raise RecordingError(f'storage must be one of {", ".join(STORAGES)}, not {storage!r}')
        self.path = Path(path)
        plugin = rosbag2.StoragePlugin[storage.upper()]
        # A whole compressed file would have to be unpacked beside itself to be played, which fails
        # where a package is installed read-only; single messages and mcap's chunks need not.
        modes = rosbag2.CompressionMode
        mode = modes.STORAGE if storage == 'mcap' else modes.MESSAGE
        try:
            self._writer = rosbag2.Writer(
                self.path, version=METADATA_VERSION, storage_plugin=plugin
            )
            self._writer.set_compression(mode, rosbag2.CompressionFormat.ZSTD)
            self._writer.open()
        except (rosbag2.WriterError, OSError) as error:
            raise RecordingError(f'{self.path} cannot be written: {error}') from error
        for key, value in (notes or {}).items():
            self._writer.set_custom_data(key, value)
        self._connections: dict[str, Any] = {}

    def write(self, topic: str, kind: str, time: int, message: Any) -> None:
        """
        Append a message.

        Parameters
        ----------
        topic
            Its name.
        kind
            The type of its messages, for example sensor_msgs/msg/Image.
        time
            When the message was received, nanoseconds.
        message
            Serialized bytes, or an object of `recorded_types(kind)`.

        """
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, kind, typestore=typestore()
            )
        if not isinstance(message, (bytes, memoryview)):
            message = serialized(message, kind)
        self._writer.write(self._connections[topic], time, bytes(message))

    def __enter__(self) -> Recorder:
        """Return the open recorder."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write index and metadata, or remove the folder after an exception."""
        with ExitStack() as unless_whole:
            unless_whole.callback(shutil.rmtree, self.path, ignore_errors=True)
            if kind is None:
                self._writer.close()
                unless_whole.pop_all()
            else:
                with suppress(Exception):
                    self._writer.abort()


def recording_files(path: Path) -> list[Path]:
    """Return the files of a recording at a path, none where there is no recording."""
    try:
        found = sorted(path.iterdir()) if path.is_dir() else [path]
    except OSError:
        return []
    # ros2 bag play leaves a file that it has decompressed beside the other one.
    return [
        file
        for file in found
        if _storage(file) in SUFFIXES
        and not (file.name.startswith('.') and path.is_dir())
        and not (file.suffix == COMPRESSED_SUFFIX and file.with_suffix('') in found)
    ]


def _storage(file: Path) -> str:
    """Return the suffix of a file, of what is compressed in it where it is."""
    return Path(file.name.removesuffix(COMPRESSED_SUFFIX)).suffix
