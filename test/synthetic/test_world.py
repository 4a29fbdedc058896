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

"""What counts as a visible sign in the rendered world."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dual_cnn_ros.synthetic import world
from dual_cnn_ros.synthetic.textures import random_section
from dual_cnn_ros.synthetic.world import Panel, PinholeCamera, Pose, View, World

CAMERA = PinholeCamera(160, 120)
AHEAD = Pose(0, 1.0, 0)


@pytest.fixture(scope='module')
def place() -> World:
    rng = np.random.default_rng(3)
    return World([random_section(rng) for _ in range(3)], [2.0, 5.0], 4.0)


def board(
    z: float = 2.0,
    *,
    x: float = 0.0,
    side: float = 1.0,
    yaw: float = 0.0,
    label: str | None = 'sign',
    colour: tuple[int, int, int] = (0, 0, 250),
) -> Panel:
    face = np.full((64, 64, 4), 255, np.uint8)
    face[..., :3] = colour
    return Panel(face, x, 1.0, z, side, side, label, yaw)


def look(place: World, *panels: Panel, pose: Pose = AHEAD) -> View:
    return place.view(CAMERA, pose, panels)


def test_a_sign_right_ahead_is_seen_where_the_pinhole_model_puts_it(place: World) -> None:
    view = look(place, board(z=2.0, side=1.0))
    assert view.label == 'sign'
    rows, columns = np.nonzero((view.image[..., 2] > 150) & (view.image[..., 0] < 60))
    expected = CAMERA.focal * 1.0 / 2.0
    assert np.ptp(columns) + 1 == pytest.approx(expected, abs=3)
    assert np.ptp(rows) + 1 == pytest.approx(expected, abs=3)
    assert columns.mean() == pytest.approx((CAMERA.width - 1) / 2, abs=1)


@pytest.mark.parametrize(
    ('size', 'label', 'certain'),
    [
        (world.DOUBTFUL_SIZE * 0.95, 'none', True),
        (world.DOUBTFUL_SIZE * 1.05, 'none', False),
        (world.SUFFICIENT_SIZE * 0.95, 'none', False),
        (world.SUFFICIENT_SIZE * 1.05, 'sign', True),
    ],
)
def test_a_sign_counts_from_a_sufficient_size_on_and_leaves_a_doubt_below_it(
    place: World, size: float, label: str, certain: bool
) -> None:
    view = look(place, board(z=CAMERA.focal / (size * CAMERA.height)))
    assert (view.label, view.certain) == (label, certain)


@pytest.mark.parametrize(
    ('x', 'label', 'certain'),
    [(1.0, 'sign', True), (1.45, 'none', False), (1.9, 'none', True), (3.0, 'none', True)],
)
def test_a_sign_that_leaves_the_frame_stops_counting_after_a_doubt(
    place: World, x: float, label: str, certain: bool
) -> None:
    view = look(place, board(x=x))
    assert (view.label, view.certain) == (label, certain)


def test_a_doubtful_sign_matters_only_where_it_is_the_larger(place: World) -> None:
    clear, far = board(z=2.0, x=0.3), board(z=6.0, x=-1.5, label='far')
    assert look(place, far).certain is False
    assert look(place, clear, far).certain is True
    cut = board(z=1.0, x=-0.85, side=0.9, label='cut')
    view = look(place, clear, cut)
    assert (view.label, view.certain) == ('sign', False)


def test_the_back_of_a_sign_is_no_sign_and_shows_no_colour(place: World) -> None:
    view = look(place, board(yaw=math.pi))
    assert view.label == 'none'
    assert not ((view.image[..., 2] > 150) & (view.image[..., 0] < 60)).any()


@pytest.mark.parametrize(('x', 'label'), [(0.0, 'none'), (0.2, 'none'), (0.45, 'sign')])
def test_a_covered_sign_stops_counting(place: World, x: float, label: str) -> None:
    cover = board(z=1.0, x=x, side=0.5, label=None, colour=(90, 90, 90))
    assert look(place, board(z=2.0), cover).label == label
    assert look(place, cover, board(z=2.0)).label == label, 'whatever the order they are given in'


def test_of_two_signs_the_larger_in_view_counts(place: World) -> None:
    near, far = board(z=1.6, x=-0.6, label='near'), board(z=2.4, x=0.9, label='far')
    assert look(place, near, far).label == 'near'
    assert look(place, far).label == 'far'


def test_what_is_behind_or_at_the_camera_is_not_drawn(place: World) -> None:
    empty = look(place).image
    for z in (-2.0, 0.0, world.NEAR / 2):
        view = look(place, board(z=z))
        assert view.label == 'none'
        assert np.array_equal(view.image, empty)


def test_sections_come_again_when_there_are_more_stretches_than_sections() -> None:
    rng = np.random.default_rng(0)
    sections = [random_section(rng) for _ in range(2)]
    short, long = World(sections, [5.0], 4.0), World(sections, [5.0, 500.0, 1000.0], 4.0)
    near, again = Pose(0, 1, 4.0), Pose(0, 1, 4.0 + 4 * 249)
    assert np.array_equal(short.view(CAMERA, near, []).image, long.view(CAMERA, near, []).image)
    assert long.view(CAMERA, again, []).image.std() > 5


def test_straight_up_and_down_can_be_looked_at(place: World) -> None:
    for pitch in (-math.pi / 2, math.pi / 2):
        image = look(place, pose=Pose(0, 1.0, 1.0, pitch=pitch)).image
        assert image.shape == (120, 160, 3)
