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

"""The rendered drive: determined by its seed, true labels, exact and near repeats."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
import math

import numpy as np
import pytest

from dual_cnn_ros.synthetic import drive as drives
from dual_cnn_ros.synthetic.drive import Drive, FRONT, REAR, Shot
from dual_cnn_ros.synthetic.sign_faces import LABELS
from dual_cnn_ros.synthetic.world import PinholeCamera, SUFFICIENT_SIZE

SECONDS, RATE = 16.0, 5.0
TIMES = [i / RATE for i in range(int(SECONDS * RATE))]


@pytest.fixture(scope='module')
def drive() -> Drive:
    return Drive(seed=4, seconds=SECONDS)


@pytest.fixture(scope='module')
def front(drive: Drive) -> list[Shot]:
    return list(drive.shots(FRONT, TIMES))


@pytest.fixture(scope='module')
def rear(drive: Drive) -> list[Shot]:
    return list(drive.shots(REAR, TIMES[::2]))


def both_waiting(drive: Drive, a: Shot, b: Shot) -> bool:
    wait = drive.state(a.time).wait
    return wait is not None and wait == drive.state(b.time).wait


def difference(a: Shot, b: Shot) -> float:
    return float(np.abs(a.image.astype(float) - b.image).mean())


def test_robot_slows_down_waits_and_drives_on(drive: Drive) -> None:
    states = drive.states
    waits = {state.wait for state in states} - {None}
    assert len(waits) >= 2
    for wait in waits:
        standing = [state for state in states if state.wait == wait]
        assert {state.speed for state in standing} == {0}
        assert len({(state.x, state.z, state.yaw) for state in standing}) == 1
        before = [state.speed for state in states if state.time < standing[0].time][-50:]
        assert before == sorted(before, reverse=True)
    assert states[-1].z > drives.LEG
    assert max(state.speed for state in states) == pytest.approx(drives.SPEED, abs=0.01)
    for a, b in pairwise(states):
        assert 0 <= b.z - a.z <= drives.SPEED * drives.STEP * 1.001
        assert abs(b.x - a.x) <= drives.SPEED * drives.STEP


def test_robot_keeps_clear_of_signs_and_walls(drive: Drive) -> None:
    signs = [panel for panel in drive.panels if panel.label is not None]
    for state in drive.states:
        assert abs(state.x) < drive.world.width / 2 - 0.3
        assert min(math.hypot(sign.x - state.x, sign.z - state.z) for sign in signs) > 0.5


def test_every_sign_comes_before_one_comes_again() -> None:
    signs = [panel for panel in Drive(seed=9, seconds=60).panels if panel.label is not None]
    for facing in (True, False):
        labels = [sign.label for sign in signs if (math.cos(sign.yaw) > 0) == facing]
        assert len(labels) > 12
        assert len(set(labels[:12])) == 12


@pytest.mark.parametrize('camera', [FRONT, REAR])
def test_seed_determines_every_pixel_whatever_the_length(
    drive: Drive, camera: PinholeCamera
) -> None:
    times = [0.4, 7.7, 12.1]
    longer = Drive(seed=4, seconds=30).shots(camera, times)
    other = Drive(seed=5, seconds=SECONDS).shots(camera, times)
    for shot, same, different in zip(drive.shots(camera, times), longer, other):
        assert shot.image.tobytes() == same.image.tobytes()
        assert shot.label == same.label
        assert shot.image.tobytes() != different.image.tobytes()


def test_front_frames_repeat_exactly_only_while_the_robot_waits(
    drive: Drive, front: list[Shot]
) -> None:
    repeats = [(a, b) for a, b in pairwise(front) if np.array_equal(a.image, b.image)]
    assert len(repeats) / len(front) >= 0.2
    for a, b in repeats:
        assert both_waiting(drive, a, b)
        assert a.label == b.label


def test_rear_frames_of_a_wait_repeat_nearly_but_never_exactly(
    drive: Drive, rear: list[Shot]
) -> None:
    waiting = [(a, b) for a, b in pairwise(rear) if both_waiting(drive, a, b)]
    assert len(waiting) >= 5
    assert all(0 < difference(a, b) < 6 for a, b in waiting)


def test_passer_by_interrupts_the_repeats_of_a_wait(drive: Drive) -> None:
    wait = next(leg for leg in drive.people if leg in drive.stopped)
    times = [drive.stopped[wait] + seconds for seconds in (0.2, 1.4, 1.4, 2.2)]
    before, during, again, after = (shot.image for shot in drive.shots(FRONT, times))
    assert not np.array_equal(before, during)
    assert not np.array_equal(during, again), 'noise, as long as something moves'
    assert np.array_equal(before, after)


def test_labels_name_a_sign_that_is_near_and_faces_the_camera(
    drive: Drive, front: list[Shot], rear: list[Shot]
) -> None:
    counts = Counter(shot.label for shot in front + rear)
    assert set(counts) <= {*LABELS, None}
    assert len(set(counts) - {'none', None}) >= 3
    assert 0 < counts[None] / counts.total() < 0.4
    assert 0.05 < counts['none'] / counts.total() < 0.7
    for shots, camera, ahead in ((front, FRONT, 1), (rear, REAR, -1)):
        for shot in shots:
            z = drive.state(shot.time).z
            large = {
                panel.label
                for panel in drive.panels
                if (panel.z - z) * ahead > 0
                and math.cos(panel.yaw) * ahead > 0
                and camera.focal * panel.height / ((panel.z - z) * ahead)
                > 0.8 * SUFFICIENT_SIZE * camera.height
            }
            assert shot.label in {'none', None, *large}
