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

"""Reading and writing rosbag2 recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
import shutil
import sqlite3
import struct
from typing import Any, NoReturn

import numpy as np
import pytest
from rosbag_profiles import LATCHED
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
import yaml

from dual_cnn_ros.data import recording
from dual_cnn_ros.data.recording import (
    recorded_header,
    recorded_types,
    Recorder,
    Recording,
    RecordingError,
    serialized,
)
from dual_cnn_ros.messages.images import ImageError

START = 1_700_000_000_000_000_000
STRING = 'std_msgs/msg/String'


def image(stamp: int, value: int) -> Any:
    data = np.full(4 * 6 * 3, value % 256, np.uint8)
    header = recorded_header(stamp, 'camera')
    return recorded_types(recording.IMAGE)(header, 4, 6, 'rgb8', 0, 18, data)


def string(text: str) -> bytes:
    return serialized(recorded_types(STRING)(text), STRING)


def drive(count: int) -> Iterator[tuple[str, str, int, Any]]:
    """Yield topic, type, time and content of an image, a JPEG and a label, 0.1 s apart."""
    for i in range(count):
        stamp = START + i * 100_000_000
        header = recorded_header(stamp, 'camera')
        yield '/front/image_raw', recording.IMAGE, stamp, image(stamp, i)
        data = np.arange(i % 256, dtype=np.uint8)
        jpeg = recorded_types(recording.COMPRESSED_IMAGE)(header, 'jpeg', data)
        yield '/rear/image/compressed', recording.COMPRESSED_IMAGE, stamp + 1, jpeg
        result = recorded_types('vision_msgs/msg/ObjectHypothesis')(f'l{i}', 1.0)
        label = recorded_types(recording.CLASSIFICATION)(header, [result])
        yield '/front/ground_truth', recording.CLASSIFICATION, stamp + 2, label


def write(path: Path, storage: str, count: int = 10) -> None:
    with Recorder(path, storage=storage, notes={'origin': 'a test'}) as recorder:
        for message in drive(count):
            recorder.write(*message)


@pytest.fixture(params=recording.STORAGES)
def storage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bag(tmp_path: Path, storage: str) -> Path:
    write(tmp_path / 'bag', storage)
    return tmp_path / 'bag'


def test_what_is_written_is_read_back(bag: Path) -> None:
    with Recording(bag) as opened:
        assert {t.name: (t.type, t.count, t.latched) for t in opened.topics.values()} == {
            '/front/image_raw': (recording.IMAGE, 10, False),
            '/rear/image/compressed': (recording.COMPRESSED_IMAGE, 10, False),
            '/front/ground_truth': (recording.CLASSIFICATION, 10, False),
        }
        assert opened.image_topics == ['/front/image_raw', '/rear/image/compressed']
        assert opened.start == START
        assert opened.duration == pytest.approx(0.9 + 2e-9, abs=1e-12)
        assert opened.notes == {'origin': 'a test'}
        messages = list(opened.messages())
    assert [(m.topic, m.type, m.time, m.data) for m in messages] == [
        (topic, kind, time, serialized(content, kind)) for topic, kind, time, content in drive(10)
    ]
    assert messages[-1].decode().results[0].class_id == 'l9'


def test_topics_start_and_duration_choose_messages(bag: Path) -> None:
    with Recording(bag) as opened:

        def times(*topics: str, **window: float) -> list[int]:
            chosen = opened.messages(topics, **window)
            return [round((m.time - START) / 1e8) for m in chosen]

        assert times('/front/image_raw', start=0.3) == list(range(3, 10))
        assert times('/front/image_raw', start=0.3, duration=0.2) == [3, 4]
        assert times('/front/image_raw', start=5.0) == []
        assert times() == []
        both = [m.topic for m in opened.messages(['/front/image_raw', '/front/ground_truth'])]
        assert both == ['/front/image_raw', '/front/ground_truth'] * 10
        assert len(list(opened.messages())) == 30, 'and it can be read again'


def test_humble_can_read_the_metadata(bag: Path, storage: str) -> None:
    metadata = yaml.safe_load((bag / 'metadata.yaml').read_text())
    information = metadata['rosbag2_bagfile_information']
    # From version 9 on the QoS profiles are no longer the string that Humble parses.
    assert information['version'] == 8
    assert information['storage_identifier'] == storage
    for topic in information['topics_with_message_count']:
        assert isinstance(topic['topic_metadata']['offered_qos_profiles'], str)
    assert information['compression_mode'] == {'sqlite3': 'message', 'mcap': ''}[storage]
    assert [p.suffix for p in bag.iterdir() if p.suffix != '.yaml'] == [
        {'sqlite3': '.db3', 'mcap': '.mcap'}[storage]
    ]


def test_repeated_bytes_cost_little(tmp_path: Path, storage: str) -> None:
    with Recorder(tmp_path / 'bag', storage=storage) as recorder:
        for i in range(20):
            recorder.write('/words', STRING, START + i, string('x' * 30_000))
    assert sum(p.stat().st_size for p in (tmp_path / 'bag').iterdir()) < 60_000


@pytest.mark.parametrize(
    'mode', [CompressionMode.NONE, CompressionMode.FILE, CompressionMode.MESSAGE]
)
def test_every_compression_of_rosbag2_is_read(
    tmp_path: Path, storage: str, mode: CompressionMode
) -> None:
    with_mode = Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin[storage.upper()])
    with_mode.set_compression(mode, CompressionFormat.ZSTD)
    with with_mode as writer:
        connection = writer.add_connection(
            '/words', STRING, typestore=recording.typestore(), offered_qos_profiles=[LATCHED]
        )
        for i in range(3):
            writer.write(connection, START + i, string(str(i)))
    with Recording(tmp_path / 'bag') as opened:
        assert opened.topics['/words'].latched and opened.image_topics == []
        assert [m.data for m in opened.messages()] == [string(str(i)) for i in range(3)]


def test_two_recorders_on_one_topic_count_together(tmp_path: Path) -> None:
    store = recording.typestore()
    with Writer(tmp_path / 'bag', version=8) as writer:
        for kind in (STRING, 'std_msgs/msg/Bool'):
            connection = writer.add_connection('/words', kind, typestore=store)
            writer.write(connection, START, b'\0\1\0\0\1\0\0\0\0')
    with Recording(tmp_path / 'bag') as opened:
        assert opened.topics['/words'].count == 2


def test_one_file_can_be_named_instead_of_the_folder(bag: Path, storage: str) -> None:
    [file] = (p for p in bag.iterdir() if p.suffix in ('.db3', '.mcap'))
    with Recording(file) as opened:
        if storage == 'mcap':
            assert len(list(opened.messages())) == 30
        else:
            with pytest.raises(RecordingError, match=r'bag.db3 are compressed.*name the folder'):
                list(opened.messages())


def test_an_empty_recording_has_nothing(tmp_path: Path, storage: str) -> None:
    with Recorder(tmp_path / 'bag', storage=storage):
        pass
    with Recording(tmp_path / 'bag') as opened:
        assert (opened.topics, opened.image_topics) == ({}, [])
        assert (opened.start, opened.duration) == (0, 0)
        assert list(opened.messages()) == []


# What is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('spoil', 'words'),
    [
        (shutil.rmtree, 'no recording at {}'),
        (lambda bag: [path.unlink() for path in bag.iterdir()], 'it has no metadata.yaml'),
        (lambda bag: (bag / 'metadata.yaml').unlink(), 'run: ros2 bag reindex {}'),
        (lambda bag: (bag / 'metadata.yaml').write_text('{'), '{} cannot be read'),
        (lambda bag: next(bag.glob('bag.*')).unlink(), '{} cannot be read.*missing'),
    ],
)
def test_what_is_no_whole_recording_is_refused_with_a_hint(
    bag: Path, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(bag)
    with pytest.raises(RecordingError, match=words.format(bag)):
        Recording(bag)


def test_an_unknown_topic_is_refused_and_the_known_ones_named(bag: Path) -> None:
    with Recording(bag) as opened, pytest.raises(RecordingError, match='/up.*/front/image_raw'):
        list(opened.messages(['/up', '/front/image_raw']))


@pytest.mark.parametrize('share', [0.0, 0.5, 0.95])
def test_a_truncated_file_is_refused(tmp_path: Path, storage: str, share: float) -> None:
    write(tmp_path / 'bag', storage, count=300)
    file = next(p for p in (tmp_path / 'bag').iterdir() if p.suffix != '.yaml')
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    with (
        pytest.raises(RecordingError, match=f'{tmp_path}/bag'),
        Recording(tmp_path / 'bag') as opened,
    ):
        list(opened.messages())


def test_damage_in_the_middle_is_told_after_what_is_sound(tmp_path: Path) -> None:
    write(tmp_path / 'bag', 'sqlite3')
    database = sqlite3.connect(next((tmp_path / 'bag').glob('*.db3')))
    with database:
        database.execute('UPDATE messages SET data = ? WHERE id = 16', (b'not zstd',))
    database.close()
    with Recording(tmp_path / 'bag') as opened:
        messages = opened.messages()
        assert len([next(messages) for _ in range(15)]) == 15
        with pytest.raises(RecordingError, match='bag is damaged'):
            next(messages)


@pytest.mark.parametrize(
    ('kind', 'data'),
    [
        (STRING, b''),
        (STRING, b'\0\1\0\0\xff\xff\xff\xff'),
        ('robot_msgs/msg/Odd', b'\0\1\0\0'),
    ],
)
def test_a_message_that_cannot_be_decoded_is_named(kind: str, data: bytes) -> None:
    with pytest.raises(RecordingError, match=rf'/words \({kind}\) cannot be decoded'):
        recording.Message('/words', kind, START, data).decode()


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(RecordingError, match='robot_msgs/msg/Odd is not known'):
        recorded_types('robot_msgs/msg/Odd')


@pytest.mark.parametrize(
    ('data', 'expected'),
    [
        (serialized(image(START + 5, 1), recording.IMAGE), (START + 5, 'camera')),
        (b'\0\0\0\0' + struct.pack('>iII', 7, 5, 2) + b'c\0', (7_000_000_005, 'c')),
        (b'\0\1\0\0\0', (START, '')),
        (b'', (START, '')),
    ],
)
def test_the_header_of_an_image_is_read_from_its_bytes(
    data: bytes, expected: tuple[int, str]
) -> None:
    message = recording.Message('/image', recording.IMAGE, START, data)
    assert message.image_header() == expected


def test_the_image_of_a_message_is_decoded() -> None:
    data = serialized(image(START, 9), recording.IMAGE)
    pixels = recording.Message('/image', recording.IMAGE, START, data).image()
    assert pixels.shape == (4, 6, 3) and np.unique(pixels).tolist() == [9]
    for kind in recording.IMAGE_TYPES:
        with pytest.raises(ImageError):
            recording.Message('/image', kind, START, data[:40]).image()


def test_what_cannot_be_written_is_refused(bag: Path, storage: str) -> None:
    before = {p.name: p.read_bytes() for p in bag.iterdir()}
    with pytest.raises(RecordingError, match=f'{bag} cannot be written.*exists'):
        Recorder(bag, storage=storage)
    assert {p.name: p.read_bytes() for p in bag.iterdir()} == before
    below = bag / 'metadata.yaml' / 'bag'
    with pytest.raises(RecordingError, match=f'{below} cannot be written'):
        Recorder(below, storage=storage)
    with pytest.raises(RecordingError, match="sqlite3, mcap, not 'rosbag1'"):
        Recorder(bag, storage='rosbag1')


@pytest.mark.parametrize('when', ['amid', 'at its end'])
def test_a_recording_that_failed_is_removed(
    tmp_path: Path, storage: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError('no space')

    def record() -> None:
        with Recorder(tmp_path / 'bag', storage=storage) as recorder:
            recorder.write('/words', STRING, START, string('hello'))
            if when == 'amid':
                fail()
            monkeypatch.setattr(Path, 'write_text', fail)

    with pytest.raises(OSError, match='no space'):
        record()
    assert not list(tmp_path.iterdir())
