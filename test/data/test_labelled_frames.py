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
"""Frames with labels: of image files and of recordings, with labels of a topic or a CSV file."""

from __future__ import annotations

from pathlib import Path

import cv2
from image_files import plain, put, two_classes
import numpy as np
import pytest

from dual_cnn_ros.data import DataError
from dual_cnn_ros.data.labelled_frames import open_frames, RecordedFrames
from dual_cnn_ros.data.recording import (
    CLASSIFICATION,
    COMPRESSED_IMAGE,
    IMAGE,
    recorded_header,
    recorded_types,
    Recorder,
    Recording,
)
from dual_cnn_ros.messages.images import ImageError, to_image_msg

START = 1_700_000_000_000_000_000
RAW, COMPRESSED = '/front/image_raw', '/rear/image/compressed'


def write_recording(path: Path, *topics: str, labelled: bool = True) -> Path:
    """Write 12 frames a topic, half a second apart; the labels are their numbers."""
    with Recorder(path) as recorder:
        for i in range(12):
            stamp = START + i * 500_000_000
            received = stamp + 1_000_000
            header, image = recorded_header(stamp, 'lens'), plain(10 * i, 20, 30)
            png = cv2.imencode('.png', image)[1].ravel()
            for number, topic in enumerate(topics):
                kind = COMPRESSED_IMAGE if topic.endswith('/compressed') else IMAGE
                if kind == IMAGE:
                    message = to_image_msg(image, header, 'bgr8', recorded_types(kind))
                else:
                    message = recorded_types(kind)(header, 'png', png[:50] if i == 7 else png)
                recorder.write(topic, kind, received + number, message)
            hypothesis = recorded_types('vision_msgs/msg/ObjectHypothesis')(str(i), 1.0)
            label = recorded_types(CLASSIFICATION)(header, [hypothesis])
            for camera in ('front', 'rear') if labelled and i != 3 else ():
                recorder.write(f'/{camera}/ground_truth', CLASSIFICATION, received, label)
    return path


# Image files ---------------------------------------------------------------------------------


def test_frames_of_a_folder(tmp_path: Path) -> None:
    files = {**two_classes(2, 'train/'), **two_classes(1, 'test/'), 'test/wood/1.jpg': b''}
    put(tmp_path, {**files, 'test/top.jpg': b'x'})
    source = open_frames(tmp_path)
    assert (source.kind, source.count, source.cameras) == ('images', 3, ('camera',))
    frames = list(source.frames())
    assert [(f.number, f.cluster, f.label, f.name) for f in frames] == [
        (0, 0, 'brick', 'test/brick/0.jpg'),
        (1, 1, 'wood', 'test/wood/0.jpg'),
        (2, 2, 'wood', 'test/wood/1.jpg'),
    ]
    assert [f.stamp for f in frames] == [100_000_000, 200_000_000, 300_000_000]
    assert frames[0].image().shape == (12, 16, 3)
    with pytest.raises(ImageError, match='0 bytes are damaged, or no image'):
        frames[2].image()
    assert [f.number for f in source.frames({1})] == [1]
    assert [text.partition(':')[0] for text in source.warnings] == ['test/top.jpg is left out']
    assert open_frames(tmp_path, split='train').count == 4
    (unlabelled,) = open_frames(put(tmp_path / 'flat', {'0.jpg': b''})).frames()
    assert unlabelled.label is None
    assert open_frames(tmp_path, exclude=['wood/0.jpg']).identity() != source.identity()


def test_what_holds_no_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='holds no images'):
        open_frames(tmp_path)
    with pytest.raises(DataError, match='is no rosbag2 recording, and --labels and --topics'):
        open_frames(tmp_path, topics=[RAW])


# Recordings ----------------------------------------------------------------------------------


def test_frames_of_a_recording(tmp_path: Path) -> None:
    source = open_frames(write_recording(tmp_path / 'bag', RAW, COMPRESSED), block=2.0)
    assert (source.kind, source.count, source.cameras) == ('recording', 24, ('front', 'rear'))
    frames = list(source.frames())
    assert [f.number for f in frames] == list(range(24))
    assert [f.camera for f in frames] == ['front', 'rear'] * 12
    assert [f.label for f in frames[::2]] == [None if i == 3 else str(i) for i in range(12)]
    assert [f.cluster for f in frames] == sorted([0] * 8 + [1] * 8 + [2] * 8)
    for i, frame in enumerate(frames):
        assert frame.stamp == START + i // 2 * 500_000_000
        assert frame.time == frame.stamp + 1_000_000 + i % 2
        assert frame.frame_id == 'lens'
        if i == 15:
            with pytest.raises(ImageError, match='damaged'):
                frame.image()
        else:
            np.testing.assert_array_equal(frame.image(), plain(10 * (i // 2), 20, 30))
    assert [f.number for f in source.frames({3, 15})] == [3, 15]
    assert source.problems == []
    assert source.identity() != RecordedFrames(source.path, topics=[RAW]).identity()


def test_samples_of_12_bits_are_told(tmp_path: Path) -> None:
    samples = np.linspace(0, 4095, 64).round().astype('<u2').view(np.uint8)
    with Recorder(tmp_path / 'bag') as recorder:
        for number in range(2):
            header = recorded_header(START + number, 'lens')
            image = recorded_types(IMAGE)(header, 8, 8, 'mono16', 0, 16, samples)
            recorder.write(RAW, IMAGE, START + number, image)
    source = open_frames(tmp_path / 'bag')
    assert [frame.image().max() for frame in source.frames()] == [255, 255]
    assert source.warnings == [
        f'{RAW}: its 16-bit samples seem to hold 12 bits, and are scaled by that'
    ]


@pytest.mark.parametrize(
    ('lines', 'labels', 'problems'),
    [
        ('frame,label\n0,a\n1,b\n2,c\n', {0: 'a', 1: 'b', 2: 'c'}, []),
        (f'frame, topic, label\n0, {RAW}, a\n11, {COMPRESSED}, b\n', {0: 'a', 23: 'b'}, []),
        (f'stamp,label\n{START},a\n{START / 1e9 + 0.5:.1f},b\n', dict(enumerate('aabb')), []),
        (f'topic,stamp,label\n{RAW},{START // 10**9}.500000000,a\n', {2: 'a'}, []),
        (
            'frame,stamp,label\nx,,a\n0,,\n2,,c\n,,d\n,1.x,e\n',
            {2: 'c'},
            [
                "labels.csv, line 2: 'x' is no number of a frame",
                'line 3: no label',
                'line 5: neither frame nor stamp',
                "line 6: '1.x' is no time stamp",
            ],
        ),
        # As a spreadsheet writes it, with a mark at its front.
        (
            f'\ufefftopic,frame,stamp,label\n{RAW},0,,a\n,99,,cat\n{RAW},,{START + 1},dog\n',
            {0: 'a'},
            ["'cat': there is no frame 99", f'there is no time stamp {START + 1} ns of {RAW}'],
        ),
    ],
)
def test_labels_of_a_csv_file(
    tmp_path: Path, lines: str, labels: dict[int, str], problems: list[str]
) -> None:
    path = write_recording(tmp_path / 'bag', RAW, COMPRESSED, labelled=False)
    file = tmp_path / 'labels.csv'
    file.write_text(lines)
    source = open_frames(path, labels=file)
    for found in (labels, labels):  # problems are told once
        assert {f.number: f.label for f in source.frames() if f.label} == found
    assert len(source.problems) == len(problems)
    assert all(part in text for part, text in zip(problems, source.problems))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'image,class\n1,red\n', 'must name the columns label and frame or stamp'),
        ('frame,label\n1,forêt\n'.encode('latin-1'), r'labels\.csv is not in UTF-8, but perhaps'),
        (b'frame,label\n1,' + bytes(200_000), r'labels\.csv is no text in UTF-8'),
        (b'frame,label\n1,"' + b'x' * 200_000, r'labels\.csv is no CSV file'),
    ],
)
def test_an_unusable_csv_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / 'labels.csv'
    file.write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_frames(write_recording(tmp_path / 'bag', RAW), labels=file)


def test_recorded_labels_that_cannot_be_used_are_problems(tmp_path: Path) -> None:
    path = write_recording(tmp_path / 'bag', '/front/image', labelled=False)
    label = recorded_types(CLASSIFICATION)
    contents = (b'\0\1\0\0', label(recorded_header(0, ''), []), label(recorded_header(5, ''), []))
    with Recorder(tmp_path / 'labels') as recorder:
        for content in contents:
            recorder.write('/front/ground_truth', CLASSIFICATION, START, content)
        with Recording(path) as images:
            for message in images.messages():
                recorder.write(message.topic, message.type, message.time, message.data)
    source = open_frames(tmp_path / 'labels')
    assert {frame.label for frame in source.frames()} == {None}
    undecoded, unstamped = source.problems
    assert 'cannot be decoded' in undecoded and 'no time stamp' in unstamped


def test_a_ground_truth_of_another_type_labels_nothing(tmp_path: Path) -> None:
    path = write_recording(tmp_path / 'bag', '/front/image', labelled=False)
    with Recorder(tmp_path / 'both') as recorder, Recording(path) as images:
        recorder.write('/front/ground_truth', 'nav_msgs/msg/Odometry', START, b'\0\1\0\0')
        for message in images.messages():
            recorder.write(message.topic, message.type, message.time, message.data)
    source = open_frames(tmp_path / 'both')
    assert {frame.label for frame in source.frames()} == {None} and not source.problems


@pytest.mark.parametrize(
    ('second', 'cameras', 'said'),
    [
        (f'{RAW}/compressed', ('front',), f'left out: {RAW}/compressed, the same images as'),
        ('/front/image_rect', ('front/image_raw', 'front/image_rect'), ''),
    ],
)
def test_two_topics_of_one_camera(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    second: str,
    cameras: tuple[str, ...],
    said: str,
) -> None:
    source = open_frames(write_recording(tmp_path / 'bag', RAW, second))
    assert source.cameras == cameras
    assert [f.label for f in source.frames()].count('11') == len(cameras)
    assert capsys.readouterr().err.startswith(said)
    assert open_frames(tmp_path / 'bag', topics=[RAW, second]).count == 24


def test_recordings_and_topics_without_images_are_refused(tmp_path: Path) -> None:
    write_recording(tmp_path / 'bag', RAW)
    with pytest.raises(DataError, match='no images on /front/ground_truth; it has on /front/imag'):
        open_frames(tmp_path / 'bag', topics=['/front/ground_truth'])
    write_recording(tmp_path / 'labels')
    with pytest.raises(DataError, match=r'has no images: it holds /front/ground_truth \(vision'):
        open_frames(tmp_path / 'labels')
