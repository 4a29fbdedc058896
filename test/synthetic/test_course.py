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

"""The rendered drive: seeded, labelled, with exact and near repeats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from dual_cnn_ros.data import recording
from dual_cnn_ros.data.recording import Recording
from dual_cnn_ros.share import share_directory
from dual_cnn_ros.synthetic import course, signs, world
from dual_cnn_ros.synthetic.world import Camera

SECONDS, RATE = 16.0, 5.0


@pytest.fixture(scope='module')
def drive() -> course.Drive:
    return course.Drive(seed=4, seconds=SECONDS)


@pytest.fixture(scope='module')
def front(drive: course.Drive) -> list[course.Shot]:
    return list(drive.shots(course.FRONT, [i / RATE for i in range(int(SECONDS * RATE))]))


@pytest.fixture(scope='module')
def rear(drive: course.Drive) -> list[course.Shot]:
    return list(drive.shots(course.REAR, [(i + 0.4) / RATE for i in range(int(SECONDS * RATE))]))


@pytest.fixture(scope='module', params=recording.STORAGES)
def bag(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('course') / str(request.param)
    options = ['--seed', '4', '--seconds', '6', '--rate', '4', '--storage', request.param]
    assert course.main([str(path), *options]) == 0
    return path


# The drive ----------------------------------------------------------------------------------


def test_the_robot_drives_slows_down_stops_waits_and_goes_on(drive: course.Drive) -> None:
    states = drive.states
    waits = {s.wait for s in states if s.wait is not None}
    assert len(waits) >= 2
    for wait in waits:
        standing = [s for s in states if s.wait == wait]
        assert all(s.speed == 0 for s in standing)
        assert len({(s.x, s.z, s.yaw) for s in standing}) == 1, 'at one place'
        before = [s.speed for s in states if s.time < standing[0].time][-50:]
        assert before == sorted(before, reverse=True), 'slows down'
    assert states[-1].z > course.LEG
    assert max(s.speed for s in states) == pytest.approx(course.SPEED, abs=0.01)
    for a, b in pairwise(states):
        assert 0 <= b.z - a.z <= course.SPEED * course.STEP * 1.001, 'continuous, never back'
        assert abs(b.x - a.x) <= course.SPEED * course.STEP


def test_the_robot_keeps_clear_of_signs_and_walls(drive: course.Drive) -> None:
    for state in drive.states:
        assert abs(state.x) < drive.world.width / 2 - 0.3
        for panel in drive.panels:
            if panel.label is not None:
                assert math.hypot(panel.x - state.x, panel.z - state.z) > 0.5


def test_every_sign_comes_before_one_comes_again() -> None:
    signed = [p for p in course.Drive(seed=9, seconds=60).panels if p.label is not None]
    for facing in (True, False):
        labels = [p.label for p in signed if (math.cos(p.yaw) > 0) == facing]
        assert len(labels) > 12
        assert len(set(labels[:12])) == 12


@pytest.mark.parametrize('camera', [course.FRONT, course.REAR])
def test_a_seed_determines_every_pixel(drive: course.Drive, camera: Camera) -> None:
    times = [0.4, 3.0, 7.7, 12.1]
    same = course.Drive(seed=4, seconds=SECONDS).shots(camera, times)
    other = course.Drive(seed=5, seconds=SECONDS).shots(camera, times)
    for shot, again, else_ in zip(drive.shots(camera, times), same, other):
        assert shot.image.tobytes() == again.image.tobytes()
        assert shot.label == again.label
        assert shot.image.tobytes() != else_.image.tobytes()


def test_a_longer_drive_begins_like_the_shorter() -> None:
    times = [0.6, 5.0, 9.0]
    short = course.Drive(seed=2, seconds=10).shots(course.FRONT, times)
    long = course.Drive(seed=2, seconds=30).shots(course.FRONT, times)
    for one, other in zip(short, long):
        assert one.image.tobytes() == other.image.tobytes()
        assert one.label == other.label


# What the cameras see -----------------------------------------------------------------------


def still(drive: course.Drive, a: course.Shot, b: course.Shot) -> bool:
    one, two = drive.state(a.time), drive.state(b.time)
    return one.wait is not None and one.wait == two.wait


def test_waiting_front_frames_repeat_exactly_for_a_fifth_of_the_drive_at_least(
    drive: course.Drive, front: list[course.Shot]
) -> None:
    repeats = [np.array_equal(a.image, b.image) for a, b in pairwise(front)]
    assert sum(repeats) / len(front) >= 0.2
    for (a, b), repeat in zip(pairwise(front), repeats):
        if repeat:
            assert still(drive, a, b), 'a frame repeats only where the robot waits'
            assert a.label == b.label


def test_rear_frames_never_repeat_exactly_but_nearly_while_waiting(
    drive: course.Drive, rear: list[course.Shot]
) -> None:
    waiting = [(a, b) for a, b in pairwise(rear) if still(drive, a, b)]
    assert len(waiting) >= 10
    for a, b in waiting:
        assert not np.array_equal(a.image, b.image)
        assert np.abs(a.image.astype(float) - b.image).mean() < 6


def test_frames_that_follow_each_other_are_more_alike_than_others(
    drive: course.Drive, front: list[course.Shot]
) -> None:
    moving = [s for s in front if drive.state(s.time).speed > 0]

    def difference(a: course.Shot, b: course.Shot) -> float:
        return float(np.abs(a.image.astype(float) - b.image).mean())

    near = np.mean([difference(a, b) for a, b in pairwise(moving)])
    far = np.mean([difference(a, b) for a, b in zip(moving, moving[len(moving) // 2 :])])
    assert near < 0.8 * far


def test_a_passer_by_breaks_the_repeats_of_a_wait_and_leaves_them_as_they_were(
    drive: course.Drive,
) -> None:
    wait = next(w for w in drive.people if any(s.wait == w for s in drive.states))
    begun = next(s.time for s in drive.states if s.wait == wait)
    before, during, after = drive.shots(course.FRONT, [begun + t for t in (0.2, 1.4, 2.2)])
    assert not np.array_equal(before.image, during.image)
    assert np.array_equal(before.image, after.image)


def test_labels_name_a_sign_that_is_near_and_faces_the_camera(
    drive: course.Drive, front: list[course.Shot], rear: list[course.Shot]
) -> None:
    counts = Counter(shot.label for shot in front + rear)
    assert set(counts) <= {*signs.LABELS, None}
    assert len(set(counts) - {'none', None}) >= 3
    assert 0 < counts[None] / len(front + rear) < 0.4, 'some are doubtful, most are not'
    assert 0.05 < counts['none'] / len(front + rear) < 0.7
    for shots, camera, ahead in ((front, course.FRONT, 1), (rear, course.REAR, -1)):
        for shot in shots:
            state = drive.state(shot.time)
            near = {
                p.label
                for p in drive.panels
                if (p.z - state.z) * ahead > 0
                and math.cos(p.yaw) * ahead > 0
                and camera.focal * p.height / ((p.z - state.z) * ahead)
                > 0.8 * (world.SUFFICIENT_SIZE * camera.height)
            }
            assert shot.label in ('none', None) or shot.label in near


# The recording ------------------------------------------------------------------------------


def test_the_recording_holds_what_the_drive_showed(bag: Path) -> None:
    drive = course.Drive(seed=4, seconds=6)
    times = [i / 4 for i in range(24)]
    shots = {
        'front': list(drive.shots(course.FRONT, times)),
        'rear': list(drive.shots(course.REAR, [t + 0.1 for t in times])),
    }
    labelled = {
        name: [shot for shot in seen if shot.label is not None] for name, seen in shots.items()
    }
    with Recording(bag) as opened:
        assert {t.name: t.count for t in opened.topics.values()} == {
            '/front/image_raw': 24,
            '/front/camera_info': 24,
            '/front/ground_truth': len(labelled['front']),
            '/rear/image_raw/compressed': 24,
            '/rear/camera_info': 24,
            '/rear/ground_truth': len(labelled['rear']),
        }
        assert opened.image_topics == ['/front/image_raw', '/rear/image_raw/compressed']
        decoded = {name: [m.decode() for m in opened.messages([name])] for name in opened.topics}
    for shot, image in zip(shots['front'], decoded['/front/image_raw']):
        assert (image.encoding, image.height, image.width, image.step) == ('rgb8', 96, 128, 384)
        assert np.array_equal(image.data.reshape(96, 128, 3)[..., ::-1], shot.image)
    for shot, image in zip(shots['rear'], decoded['/rear/image_raw/compressed']):
        assert 'jpeg' in image.format
        pixels = cv2.imdecode(image.data, cv2.IMREAD_COLOR)
        assert pixels is not None
        assert np.abs(pixels.astype(float) - shot.image).mean() < 8
    for name, images in (('front', '/front/image_raw'), ('rear', '/rear/image_raw/compressed')):
        by_time = {}
        for shot, image, info in zip(
            shots[name], decoded[images], decoded[f'/{name}/camera_info']
        ):
            assert image.header == info.header
            assert image.header.frame_id == f'{name}_camera'
            assert image.header.stamp.sec + image.header.stamp.nanosec / 1e9 == pytest.approx(
                course.EPOCH / 1e9 + shot.time, abs=1e-6
            )
            by_time[shot.time] = image.header
        for shot, label in zip(labelled[name], decoded[f'/{name}/ground_truth']):
            assert label.header == by_time[shot.time]
            [result] = label.results
            assert (result.class_id, result.score) == (shot.label, 1.0)
        camera = {'front': course.FRONT, 'rear': course.REAR}[name]
        assert (info.height, info.width) == (camera.height, camera.width)
        assert info.k[0] == pytest.approx(camera.focal)


def test_messages_are_received_in_order_and_after_they_were_stamped(bag: Path) -> None:
    with Recording(bag) as opened:
        messages = list(opened.messages())
    assert all(a.time <= b.time for a, b in pairwise(messages))
    for message in messages:
        stamp = message.decode().header.stamp
        assert 0 < message.time - (stamp.sec * 10**9 + stamp.nanosec) < 50_000_000


def test_the_recording_says_that_it_is_rendered(
    bag: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Recording(bag) as opened:
        assert 'RENDERED' in opened.notes['origin']
        assert opened.notes['seed'] == '4'
    readme = (bag / 'README.txt').read_text()
    assert 'RENDERED' in readme
    assert '--seed 4 --seconds 6 --rate 4' in readme
    with pytest.raises(SystemExit):
        course.main(['--help'])
    words = ' '.join(capsys.readouterr().out.split())
    assert 'RENDERED' in words
    assert 'repeat byte for byte' in words


def test_an_existing_folder_is_not_touched(bag: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {p.name: p.read_bytes() for p in bag.iterdir()}
    assert course.main([str(bag), '--seconds', '1']) == 1
    assert str(bag) in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in bag.iterdir()} == before


@pytest.mark.parametrize('storage', recording.STORAGES)
def test_an_interrupt_leaves_nothing_in_the_way_of_the_next_run(
    tmp_path: Path,
    storage: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = [str(tmp_path / 'out'), '--seconds', '1', '--storage', storage]
    shots = course.Drive.shots

    def interrupted(
        drive: course.Drive, camera: Camera, times: list[float]
    ) -> Iterator[course.Shot]:
        yield from shots(drive, camera, times[:2])
        raise KeyboardInterrupt

    with monkeypatch.context() as early:
        early.setattr(course.Drive, 'shots', interrupted)
        assert course.main(command) == 130
    assert capsys.readouterr().err.endswith('course: interrupted\n')
    assert not list(tmp_path.iterdir())
    assert course.main(command) == 0


def test_a_drive_without_a_frame_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert course.main([str(tmp_path / 'out'), '--seconds', '1', '--rate', '0.5']) == 1
    assert 'raise --seconds or --rate' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('options', [['--rate', '0'], ['--seconds', '0'], ['--seed', '-3']])
def test_impossible_options_are_refused(tmp_path: Path, options: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        course.main([str(tmp_path / 'out'), *options])
    assert stopped.value.code == 2
    assert not (tmp_path / 'out').exists()


def test_the_shipped_recording_is_small_whole_and_shows_every_sign() -> None:
    path = share_directory() / 'config' / 'recordings' / 'course'
    assert sum(p.stat().st_size for p in path.iterdir()) <= 10_000_000
    with Recording(path) as opened:
        assert 'RENDERED' in opened.notes['origin']
        assert opened.topics['/front/image_raw'].count == 250
        assert opened.topics['/rear/image_raw/compressed'].count == 250
        front = [m.decode().data.tobytes() for m in opened.messages(['/front/image_raw'])]
        labels = {
            m.decode().results[0].class_id
            for m in opened.messages(['/front/ground_truth', '/rear/ground_truth'])
        }
    assert labels == set(signs.LABELS)
    assert sum(a == b for a, b in pairwise(front)) >= 50
