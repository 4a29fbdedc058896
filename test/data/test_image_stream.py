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
"""Image folders and videos in the shape of a recording."""

from pathlib import Path
from unittest.mock import Mock

import cv2
from image_files import exif, jpeg, plain, put
import numpy as np
import pytest

from dual_cnn_ros.data.image_file import decode_image
from dual_cnn_ros.data.image_stream import stream_folder, stream_video
from dual_cnn_ros.data.recording import RecordingError


def test_a_folder_is_played_in_the_order_of_its_names(tmp_path: Path, capsys) -> None:
    bmp = cv2.imencode('.bmp', plain(1, 2, 3))[1].tobytes()
    webp = cv2.imencode('.webp', plain(3, 2, 1))[1].tobytes()
    deep = cv2.imencode('.png', plain(3, 2, 1).astype(np.uint16) * 300)[1].tobytes()
    data = {
        'red/0.jpg': jpeg(plain(10, 20, 30)),
        'red/1.jpg': exif(jpeg(plain(10, 20, 30, height=40, width=60))),
        'red/2.bmp': bmp,
        'red/3.bmp': b'broken',
        'red/4.jpg': webp,
        'red/5.png': deep,
        'top.jpg': b'x',
    }
    stream = stream_folder(put(tmp_path, data), 10.0)
    assert (stream.image_topics, stream.duration) == (['/camera/image/compressed'], 0.6)
    messages = list(stream.messages())
    assert [round((m.time - stream.start) / 1e8) for m in messages] == [0, 1, 2, 4, 5]
    assert {stream.labels.get(m.time) for m in messages} == {'red'}
    said = capsys.readouterr().err
    assert f'{tmp_path}/red/3.bmp is no image; left out' in said
    assert f'{tmp_path}: top.jpg is left out: ' in said
    # A file goes out as it is, but for one that a message cannot hold or that lies on its side.
    assert bytes(messages[0].decode().data) == data['red/0.jpg']
    assert [m.decode().format for m in messages] == ['jpeg', 'png', 'png', 'png', 'png']
    for message, name in zip(messages, (name for name in data if name != 'red/3.bmp')):
        np.testing.assert_array_equal(message.image(), decode_image(data[name]))
        assert message.image_header() == (message.time, 'camera')
    chosen = [m.time - stream.start for m in stream.messages(start=0.1, duration=0.1)]
    assert chosen == [100_000_000, 200_000_000]


def test_some_of_many_images_are_drawn_at_random_and_the_rest_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(40):
        (tmp_path / f'{number // 20}').mkdir(exist_ok=True)
        image = plain(5 * number, 0, 0, 8, 8)
        cv2.imwrite(str(tmp_path / f'{number // 20}/{number:02}.png'), image)
    draws = [stream_folder(tmp_path, 10.0, 15) for _ in range(2)]
    assert f'{tmp_path}: 15 images, drawn at random; 25 are left out' in capsys.readouterr().out
    shown = [[int(m.image()[0, 0, 0]) // 5 for m in stream.messages()] for stream in draws]
    assert shown[0] == shown[1] != sorted(shown[0]) and len(set(shown[0])) == 15
    assert set(draws[0].labels.values()) == {'0', '1'}
    assert [draws[0].labels[m.time] for m in draws[0].messages()] == [
        str(number // 20) for number in shown[0]
    ]
    whole = [int(m.image()[0, 0, 0]) // 5 for m in stream_folder(tmp_path, 10.0).messages()]
    assert whole == list(range(40))


def test_a_video_is_played_at_its_rate(tmp_path: Path) -> None:
    file = tmp_path / 'drive.avi'
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48))
    for number in range(10):
        writer.write(plain(20 * number, 0, 0, 48, 64))
    writer.release()
    stream = stream_video(str(file))
    assert (stream.topics['/camera/image_raw'].count, stream.duration) == (10, 1.0)
    messages = list(stream.messages())
    assert [round((m.time - stream.start) / 1e8) for m in messages] == list(range(10))
    np.testing.assert_allclose(messages[9].image(), plain(180, 0, 0, 48, 64), atol=6)


def test_a_video_keeps_its_time_stamps(tmp_path: Path) -> None:
    """The rate of a film of a phone is not constant."""
    file = tmp_path / 'film.mkv'
    writer = cv2.VideoWriter(
        str(file), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*'mp4v'), 10, (64, 48)
    )
    for number in range(6):
        writer.write(plain(40 * number, 0, 0, 48, 64))
    writer.release()
    # The time of a block of Matroska, in milliseconds, follows the number of its track.
    data, times = file.read_bytes(), [0, 100, 700, 800, 2000, 2100]
    for before, after in zip(range(100, 600, 100), times[1:]):
        old, new = (b'\x81' + time.to_bytes(2, 'big') for time in (before, after))
        assert data.count(old) == 1
        data = data.replace(old, new)
    file.write_bytes(data)
    stream = stream_video(str(file))
    assert [round((m.time - stream.start) / 1e6) for m in stream.messages()] == times


def test_a_camera_is_played_for_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [(True, plain(1, 2, 3))] * 3
    camera = Mock(**{'get.return_value': 0.0, 'read.side_effect': [*frames, (False, None)]})
    monkeypatch.setattr(cv2, 'VideoCapture', lambda _: camera)
    stream = stream_video(0, 1000.0)
    assert (stream.path, stream.duration) == ('camera 0', 1000.0)
    assert len(list(stream.messages())) == 3
    assert list(stream_video(0, 0.0).messages()) == []


def test_what_cannot_be_played_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match='holds no images'):
        stream_folder(tmp_path, 10)
    with pytest.raises(RecordingError, match='there is no folder .*nowhere'):
        stream_folder(tmp_path / 'nowhere', 10)
    (tmp_path / 'text.avi').write_text('no video')
    with pytest.raises(RecordingError, match='text.avi cannot be opened'):
        stream_video(str(tmp_path / 'text.avi'))
