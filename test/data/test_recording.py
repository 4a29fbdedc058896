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
from contextlib import suppress
from functools import cache
from pathlib import Path
import re
import shutil
import sqlite3
import struct
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from hypothesis import given
from hypothesis import strategies as st
import lz4.frame
import numpy as np
import pytest
from rosbag_profiles import LATCHED
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
import yaml

try:
    from backports import zstd
except ImportError:
    from compression import zstd

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


def test_of_two_types_on_one_topic_the_usual_one_counts(tmp_path: Path) -> None:
    store = recording.typestore()
    with Writer(tmp_path / 'bag', version=8) as writer:
        for kind, count in ((STRING, 1), ('std_msgs/msg/Bool', 2)):
            connection = writer.add_connection('/words', kind, typestore=store)
            for _ in range(count):
                writer.write(connection, START, b'\0\1\0\0\1\0\0\0\0')
    with Recording(tmp_path / 'bag') as opened:
        topic = opened.topics['/words']
        assert (topic.type, topic.count) == ('std_msgs/msg/Bool', 2)
        assert len(list(opened.messages())) == 2
        assert opened.problems == [
            f'/words: 1 messages of {STRING} are left out; it has 2 of std_msgs/msg/Bool'
        ]


def test_one_file_can_be_named_instead_of_the_folder(bag: Path) -> None:
    [file] = (p for p in bag.iterdir() if p.suffix in ('.db3', '.mcap'))
    with Recording(file) as opened, Recording(bag) as whole:
        assert list(opened.messages()) == list(whole.messages())
        assert len(list(opened.messages())) == 30


def test_an_empty_recording_has_nothing(tmp_path: Path, storage: str) -> None:
    with Recorder(tmp_path / 'bag', storage=storage):
        pass
    with Recording(tmp_path / 'bag') as opened:
        assert (opened.topics, opened.image_topics) == ({}, [])
        assert (opened.start, opened.duration) == (0, 0)
        assert list(opened.messages()) == []


# What is wrong with the files ---------------------------------------------------------------


def split(path: Path, storage: str, parts: int = 2, count: int = 10) -> list[Path]:
    """Write a recording of several files, and return them."""
    messages, files = list(drive(count * parts)), []
    for part in range(parts):
        with Recorder(path / f'{part}', storage=storage) as recorder:
            for message in messages[3 * count * part : 3 * count * (part + 1)]:
                recorder.write(*message)
        (written,) = recording.recording_files(path / f'{part}')
        files.append(written.rename(path / f'drive_{part}{written.suffix}'))
        metadata = (path / f'{part}' / 'metadata.yaml').read_text()
        (path / 'metadata.yaml').write_text(metadata.replace(written.name, files[-1].name))
        shutil.rmtree(path / f'{part}')
    return files


@pytest.mark.parametrize('spoil', ['last file only', 'no messages', 'late', 'not yaml', 'none'])
def test_what_is_in_the_files_counts(tmp_path: Path, storage: str, spoil: str) -> None:
    """Older recorders wrote the last file's start and count, or none where they were killed."""
    split(tmp_path, storage)
    file = tmp_path / 'metadata.yaml'
    content = yaml.safe_load(file.read_text())
    information = content['rosbag2_bagfile_information']
    if spoil == 'no messages':
        information['message_count'] = 0
        information['topics_with_message_count'] = []
    elif spoil == 'late':
        information['starting_time']['nanoseconds_since_epoch'] = START + 10**12
    file.write_text(yaml.safe_dump(content))
    if spoil == 'not yaml':
        file.write_text('{')
    elif spoil == 'none':
        file.unlink()
    with Recording(tmp_path) as opened:
        assert [m.time for m in opened.messages()] == [time for _, _, time, _ in drive(20)]
        assert (opened.start, opened.topics['/front/image_raw'].count) == (START, 20)
        assert opened.duration == pytest.approx(1.9, abs=1e-6)
        assert len(opened.problems) == (spoil in ('not yaml', 'none'))


def test_a_file_that_is_missing_is_named_and_the_others_are_read(
    tmp_path: Path, storage: str
) -> None:
    files = split(tmp_path, storage)
    files[1].unlink()
    with Recording(tmp_path) as opened:
        assert len(list(opened.messages())) == 30
        assert opened.problems == [f'{files[1].name} is missing']


def test_copies_beside_a_recording_are_not_read_twice(tmp_path: Path, storage: str) -> None:
    (file,) = split(tmp_path, storage, parts=1)
    other = split(tmp_path / 'other', {'mcap': 'sqlite3', 'sqlite3': 'mcap'}[storage], parts=1)[0]
    (tmp_path / f'._{file.name}').write_bytes(b'what macOS keeps of a file')
    file.with_name(f'{file.name}.zstd').write_bytes(zstd.compress(file.read_bytes()))
    converted = other.rename(tmp_path / other.name)
    shutil.rmtree(tmp_path / 'other')
    for _ in range(2):
        with Recording(tmp_path) as opened:
            assert len(list(opened.messages())) == 30
            left_out = f'{converted.name} is left out: the recording is of {file.suffix} files'
            assert left_out in opened.problems
        # Without the copy that ros2 bag play made.
        file.unlink(missing_ok=True)
        (tmp_path / 'metadata.yaml').write_text(
            (tmp_path / 'metadata.yaml').read_text().replace(file.name, f'{file.name}.zstd')
        )


def test_a_recording_that_was_not_closed_is_read_as_far_as_it_is_whole(
    tmp_path: Path, storage: str
) -> None:
    """Of a recorder that was killed: no metadata, and the last file ends early."""
    files = split(tmp_path, storage, count=300)
    (tmp_path / 'metadata.yaml').unlink()
    whole = files[1].read_bytes()
    sizes = set()
    for share in (0.55, 0.8, 0.9):
        files[1].write_bytes(whole[: int(len(whole) * share)])
        with Recording(tmp_path) as opened:
            messages = list(opened.messages())
            assert messages[:900] == [
                recording.Message(topic, kind, time, serialized(content, kind))
                for topic, kind, time, content in drive(300)
            ]
            times = [message.time for message in messages]
            written = [time for _, _, time, _ in drive(600)]
            missing = set(written[: written.index(times[-1])]) - set(times)
            # What was on the page of SQLite that the end cuts through.
            assert times == sorted(times) and len(missing) < 40
            sizes.add(len(times))
            said = next(text for text in opened.problems if text.startswith(files[1].name))
            assert 'it was not closed: ' in said
    assert min(sizes) > 900


def mcap_record(kind: int, content: bytes) -> bytes:
    return struct.pack('<BQ', kind, len(content)) + content


def mcap_text(text: str) -> bytes:
    return struct.pack('<I', len(text)) + text.encode()


def mcap_message(number: int, time: int) -> bytes:
    head = struct.pack('<HIQQ', 1, number, time, time)
    return mcap_record(5, head + string(str(number)))


@pytest.mark.parametrize('compression', [None, '', 'zstd', 'lz4'])
def test_an_mcap_file_without_an_index_is_read_in_order(
    tmp_path: Path, compression: str | None
) -> None:
    """Records and chunks as https://mcap.dev/spec has them, from no library."""
    definitions = mcap_record(
        3, struct.pack('<H', 1) + mcap_text(STRING) + mcap_text('ros2msg') + mcap_text('')
    ) + mcap_record(
        4, struct.pack('<HH', 1, 1) + mcap_text('/words') + mcap_text('cdr') + mcap_text('')
    )
    content = definitions
    for number in range(400):
        # Every second one was written after the one that follows it.
        content += mcap_message(number, START + (number ^ 1))
    body = content
    if compression is not None:
        packed = {'': bytes, 'zstd': zstd.compress, 'lz4': lz4.frame.compress}[compression]
        records = packed(content)
        times = struct.pack('<QQQI', START, START + 400, len(content), 0)
        head = times + mcap_text(compression) + struct.pack('<Q', len(records))
        body = mcap_record(6, head + records)
    magic, end = b'\x89MCAP0\r\n', mcap_record(15, bytes(4)) + mcap_record(2, bytes(20))
    file = tmp_path / 'words.mcap'
    file.write_bytes(magic + body + end + magic)
    with Recording(file) as opened:
        assert [m.time for m in opened.messages()] == [START + n for n in range(400)]
        assert [m.data for m in opened.messages(start=3e-7)] == [
            string(str(number ^ 1)) for number in range(300, 400)
        ]
        assert opened.problems == []
    # A length of nonsense is no reason to ask for as much memory.
    file.write_bytes(magic + body + b'\x06' + b'\xff' * 7 + bytes(99))
    with Recording(file) as opened:
        assert len(list(opened.messages())) == 400
    for cut in (len(body) - 30, len(body) // 2):
        file.write_bytes(magic + body[:cut])
        with Recording(file) as opened:
            times = [m.time for m in opened.messages()]
            # Of one block of a compressor, all is there or nothing.
            assert times == sorted(times) and (len(times) > cut // 100 or compression)
            assert 'words.mcap: it was not closed: ' in opened.problems[0]


def test_what_sqlite_had_not_written_back_yet_is_read(tmp_path: Path) -> None:
    """Of a recorder that was killed while it wrote ahead."""
    with Writer(tmp_path / 'bag', version=9) as writer:
        connection = writer.add_connection('/words', STRING, typestore=recording.typestore())
        writer.write(connection, START, string('0'))
    (file,) = recording.recording_files(tmp_path / 'bag')
    database = sqlite3.connect(file)
    database.execute('PRAGMA journal_mode=WAL')
    with database:
        database.execute(
            'INSERT INTO messages(topic_id, timestamp, data) VALUES (1, ?, ?)',
            (START + 1, string('1')),
        )
    copy = tmp_path / 'copy'
    shutil.copytree(tmp_path / 'bag', copy)
    database.close()
    with Recording(copy) as opened:
        assert [m.data for m in opened.messages()] == [string('0'), string('1')]
        assert f'{file.name}: it was not closed: 2 messages are read' in opened.problems


def test_depth_images_are_no_cameras(tmp_path: Path) -> None:
    header = recorded_header(START, 'camera')
    depth = recorded_types(recording.IMAGE)(header, 1, 1, '16UC1', 0, 2, np.zeros(2, np.uint8))
    packed = recorded_types(recording.COMPRESSED_IMAGE)(
        header, '16UC1; compressedDepth png', np.zeros(20, np.uint8)
    )
    with Recorder(tmp_path / 'bag') as recorder:
        recorder.write('/depth/image', recording.IMAGE, START, depth)
        recorder.write('/depth/compressedDepth', recording.COMPRESSED_IMAGE, START, packed)
        recorder.write('/front/image', recording.IMAGE, START, image(START, 1))
    with Recording(tmp_path / 'bag') as opened:
        assert opened.image_topics == ['/front/image']
        assert [text.partition(' ')[0] for text in opened.problems] == [
            '/depth/compressedDepth',
            '/depth/image',
        ]
        assert all('is left out: ' in text and 'depth image' in text for text in opened.problems)


@cache
def written(storage: str) -> bytes:
    with TemporaryDirectory() as folder:
        write(Path(folder) / 'bag', storage, count=40)
        (file,) = recording.recording_files(Path(folder) / 'bag')
        return file.read_bytes()


@given(
    storage=st.sampled_from(recording.STORAGES),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.binary(max_size=50)), max_size=4),
    share=st.floats(0.3, 1) | st.just(1.0),
)
def test_whatever_becomes_of_a_file_it_is_read_or_refused(
    storage: str, changes: list[tuple[float, bytes]], share: float
) -> None:
    data = bytearray(written(storage))
    for place, content in changes:
        at = int(place * len(data))
        data[at : at + len(content)] = content
    with TemporaryDirectory() as folder:
        file = Path(folder) / f'x.{"mcap" if storage == "mcap" else "db3"}'
        file.write_bytes(data[: int(share * len(data))])
        with suppress(RecordingError), Recording(file) as opened:
            assert len(opened.image_topics) <= 2
            assert len(list(opened.messages())) <= 120


# What is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('spoil', 'words'),
    [
        (shutil.rmtree, 'no recording at {}'),
        (lambda bag: [path.unlink() for path in bag.iterdir()], 'it has no metadata.yaml'),
        (lambda bag: next(bag.glob('bag.*')).unlink(), '{} cannot be read.* is missing'),
        (lambda bag: next(bag.glob('bag.*')).write_text('x' * 999), '{} cannot be read.* bag\\.'),
        (lambda bag: next(bag.glob('bag.*')).write_text(''), '{} cannot be read.* bag\\.'),
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


def test_a_damaged_message_costs_no_other(tmp_path: Path) -> None:
    write(tmp_path / 'bag', 'sqlite3')
    with sqlite3.connect(next((tmp_path / 'bag').glob('*.db3'))) as database:
        damaged = b'\x28\xb5\x2f\xfd not zstd'
        database.execute('UPDATE messages SET data = ? WHERE id = 16', (damaged,))
    database.close()
    with Recording(tmp_path / 'bag') as opened:
        assert len(list(opened.messages())) == 29
        assert 'a message of /front/image_raw at 1700000000.500 is damaged' in opened.problems[0]


def test_damage_in_the_middle_is_told(tmp_path: Path, storage: str) -> None:
    write(tmp_path / 'bag', storage, 300)
    (file,) = recording.recording_files(tmp_path / 'bag')
    data = bytearray(file.read_bytes())
    begin, length = (70_000, 9_000) if storage == 'sqlite3' else (3_000, 200)
    data[begin : begin + length] = bytes(length)
    file.write_bytes(data)
    with Recording(tmp_path / 'bag') as opened:
        messages = list(opened.messages())
        assert len(messages) < 900 and messages == sorted(messages, key=lambda m: m.time)
        assert re.search('damaged', ' '.join(opened.problems))


def test_damage_that_shows_while_it_is_read_ends_nothing(tmp_path: Path) -> None:
    """The index of an mcap file is whole, and one of its chunks is not."""
    with Recorder(tmp_path / 'bag', storage='mcap') as recorder:
        for number in range(9):
            text = ''.join(map(chr, np.random.default_rng(number).integers(32, 127, 2_000_000)))
            recorder.write('/words', STRING, START + number, string(text))
    (file,) = recording.recording_files(tmp_path / 'bag')
    data = bytearray(file.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 5_000] = bytes(5_000)
    file.write_bytes(data)
    with Recording(tmp_path / 'bag') as opened:
        assert opened.topics['/words'].count == 9 and opened.problems == []
        times = [message.time - START for message in opened.messages()]
        assert times == sorted(set(times)) and times[0] == 0 and times[-1] == 8
        assert 'bag.mcap: it is damaged (' in opened.problems[0]


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
