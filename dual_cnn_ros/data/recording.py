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

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
import shutil
import struct
from typing import Any, Literal, TYPE_CHECKING

from dual_cnn_ros.cascade.frame import Image
from dual_cnn_ros.data import DataError
from dual_cnn_ros.messages.images import (
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

ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
"""How compressed data begins; serialized messages begin with a zero."""

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
    A rosbag2 recording, open for reading: a folder with metadata.yaml, or one .db3 or .mcap file.

    A context manager.

    Raises
    ------
    RecordingError
        If there is no recording, or a damaged one.

    """

    def __init__(self, path: Path | str) -> None:
        from rosbags.interfaces import ConnectionExtRosbag2, QosDurability
        from rosbags.rosbag2 import Reader

        self.path = Path(path)
        if not self.path.exists():
            raise RecordingError(f'there is no recording at {self.path}')
        if self.path.is_dir() and not (self.path / 'metadata.yaml').exists():
            raise RecordingError(f'{self.path} is no rosbag2 recording: {_missing(self.path)}')
        try:
            self._reader = Reader(self.path)
            self._reader.open()
        except Exception as error:  # rosbags raises many kinds on files that are not recordings
            raise RecordingError(
                f'{self.path} cannot be read as a rosbag2 recording: {error}'
            ) from error
        self.topics: dict[str, Topic] = {}
        for connection in self._reader.connections:
            earlier = self.topics.get(connection.topic)
            self.topics[connection.topic] = Topic(
                connection.topic,
                connection.msgtype,
                connection.msgcount + (earlier.count if earlier else 0),
                isinstance(connection.ext, ConnectionExtRosbag2)
                and any(
                    profile.durability == QosDurability.TRANSIENT_LOCAL
                    for profile in connection.ext.offered_qos_profiles
                ),
            )

    @property
    def start(self) -> int:
        """Return the time of the first message in nanoseconds, 0 without any."""
        return self._reader.start_time if self._reader.message_count else 0

    @property
    def duration(self) -> float:
        """Return the seconds between the first and the last message."""
        return max(0, self._reader.duration - 1) / 1e9

    @property
    def image_topics(self) -> list[str]:
        """Return the names of the raw and compressed image topics that hold messages, sorted."""
        return sorted(t.name for t in self.topics.values() if t.type in IMAGE_TYPES and t.count)

    @property
    def notes(self) -> Mapping[str, str]:
        """Return what the recorder wrote about the recording, empty for most."""
        metadata = getattr(self._reader.storage, 'metadata', None)
        return dict(metadata.custom or {}) if metadata else {}

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
            If a topic is not there, or the recording is damaged.

        """
        wanted = set(self.topics if topics is None else topics)
        if unknown := sorted(wanted - self.topics.keys()):
            raise RecordingError(
                f'{self.path} has no topic {", ".join(unknown)}; it has '
                f'{", ".join(sorted(self.topics)) or "none at all"}'
            )
        connections = [c for c in self._reader.connections if c.topic in wanted]
        begin = self.start + round(start * 1e9)
        end = None if duration is None else begin + round(duration * 1e9)
        if not connections:
            return
        try:
            for connection, time, data in self._reader.messages(connections, begin, end):
                if data[:4] == ZSTD_MAGIC:
                    raise RecordingError(
                        f'the messages of {self.path} are compressed, which only the '
                        'metadata.yaml beside it says: name the folder'
                    )
                yield Message(connection.topic, connection.msgtype, time, bytes(data))
        except RecordingError:
            raise
        except Exception as error:  # sqlite, zstd and mcap each have their own
            raise RecordingError(f'{self.path} is damaged: {error}') from error

    def close(self) -> None:
        """Close the files."""
        self._reader.close()

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


def _missing(folder: Path) -> str:
    files = sorted(p for pattern in ('*.db3', '*.mcap') for p in folder.glob(pattern))
    if not files:
        return 'it has no metadata.yaml'
    return (
        f'it has no metadata.yaml (was recording cut off?); name the file itself, {files[0]}, or '
        f'run: ros2 bag reindex {folder}'
    )
