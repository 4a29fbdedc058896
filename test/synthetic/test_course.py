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

"""The recording of a rendered drive, the shipped one too."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from dual_cnn_ros.data.recording import Recording
from dual_cnn_ros.share import share_directory
from dual_cnn_ros.synthetic import course
from dual_cnn_ros.synthetic.course import write_course
from dual_cnn_ros.synthetic.drive import Drive, FRONT, REAR
from dual_cnn_ros.synthetic.sign_faces import LABELS

SECONDS, RATE, FRAMES = 9, 2, 18
PIXELS = 128 * 96 * 3


def write(path: Path, seconds: float = SECONDS, rate: float = RATE) -> course.CourseSummary:
    return write_course(path, seed=2, seconds=seconds, rate=rate, storage='sqlite3')


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('course') / 'bag'
    summary = write(path)
    with Recording(path) as recording:
        front = [message.data for message in recording.messages(['/front/image_raw'])]
    # Without the headers, which differ.
    repeats = sum(a[-PIXELS:] == b[-PIXELS:] for a, b in pairwise(front))
    assert repeats
    assert summary == course.CourseSummary(FRAMES, repeats)
    return path


@pytest.mark.parametrize('name', ['front', 'rear'])
def test_recording_holds_what_the_drive_showed(bag: Path, name: str) -> None:
    topic, camera, offset = {
        'front': ('/front/image_raw', FRONT, 0.0),
        'rear': ('/rear/image_raw/compressed', REAR, 0.4 / RATE),
    }[name]
    times = [i / RATE + offset for i in range(FRAMES)]
    shots = list(Drive(seed=2, seconds=SECONDS).shots(camera, times))
    with Recording(bag) as recording:
        assert recording.image_topics == ['/front/image_raw', '/rear/image_raw/compressed']
        messages = list(recording.messages([topic]))
        infos = [m.decode() for m in recording.messages([f'/{name}/camera_info'])]
        labels = [m.decode() for m in recording.messages([f'/{name}/ground_truth'])]
    headers = []
    for shot, message, info in zip(shots, messages, infos, strict=True):
        # The JPEG of the rear camera differs a little.
        difference = np.abs(message.image().astype(float) - shot.image).mean()
        assert difference == 0 if camera is FRONT else 0 < difference < 8
        header = message.decode().header
        assert header == info.header
        assert header.frame_id == f'{name}_camera'
        stamp = header.stamp.sec * 10**9 + header.stamp.nanosec
        assert stamp == course.EPOCH + round(shot.time * 1e9)
        assert 0 < message.time - stamp < 50_000_000
        assert (info.height, info.width) == (camera.height, camera.width)
        assert info.k[0] == pytest.approx(camera.focal)
        headers.append(header)
    assert [(label.header, label.results[0].class_id) for label in labels] == [
        (header, shot.label) for header, shot in zip(headers, shots) if shot.label is not None
    ]


def test_messages_are_in_order_and_say_that_they_are_rendered(bag: Path) -> None:
    with Recording(bag) as recording:
        times = [message.time for message in recording.messages()]
        assert times == sorted(times)
        assert 'RENDERED' in recording.notes['origin']
        command = recording.notes['command']
    assert command == 'course OUT --seed 2 --seconds 9 --rate 2 --storage sqlite3'
    assert f'RENDERED, by: {command}' in (bag / 'README.txt').read_text()


def test_drive_without_a_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='raise --seconds or --rate'):
        write(tmp_path / 'out', seconds=1, rate=0.5)
    assert not (tmp_path / 'out').exists()


def test_shipped_recording_is_small_whole_and_shows_every_sign() -> None:
    path = share_directory() / 'config' / 'recordings' / 'course'
    assert sum(file.stat().st_size for file in path.iterdir()) <= 10_000_000
    with Recording(path) as recording:
        assert 'RENDERED' in recording.notes['origin']
        assert [recording.topics[name].count for name in recording.image_topics] == [250, 250]
        front = [m.image().tobytes() for m in recording.messages(['/front/image_raw'])]
        truths = ['/front/ground_truth', '/rear/ground_truth']
        labels = {m.decode().results[0].class_id for m in recording.messages(truths)}
    assert labels == set(LABELS)
    assert sum(a == b for a, b in pairwise(front)) >= 50
