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

"""The overlay: the frame in the colour of who answered, and what is written on it."""

from __future__ import annotations

import numpy as np
import pytest

from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.nodes.overlay import draw_overlay, joules_line, source_colour, watts_line

STAGES = ('first', 'second')


def decided(source: str = 'second') -> Decision:
    return Decision(np.array([0.3, 0.7], np.float32), 1, 0.7, source, 'first')


@pytest.mark.parametrize(
    ('height', 'width'),
    [(480, 640), (48, 64), (1, 1), (1, 2000), (2000, 1), (3, 320), (1080, 1920)],
)
@pytest.mark.parametrize('channels', [1, 3])
def test_overlay_draws_on_frames_of_any_shape(channels: int, height: int, width: int) -> None:
    image = np.full((height, width, 3) if channels == 3 else (height, width), 90, dtype=np.uint8)
    before = image.copy()
    drawn = draw_overlay(image, decided(), 'green', STAGES, ('a line', 'another'))
    assert drawn.dtype == np.uint8 and drawn.ndim == 3 and drawn.flags.c_contiguous
    assert drawn.shape[1] >= 320
    if width >= 320:
        assert drawn.shape == (height, width, 3)
    assert (drawn != 90).any()
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize('source', ['memory', *STAGES])
def test_overlay_is_framed_in_the_colour_of_the_source(source: str) -> None:
    decision = decided(source)
    drawn = draw_overlay(np.zeros((240, 320, 3), np.uint8), decision, 'red', STAGES)
    for corner in (drawn[0, 0], drawn[0, -1], drawn[-1, 0], drawn[-1, -1]):
        assert tuple(corner) == source_colour(decision, STAGES)


def test_sources_have_different_colours() -> None:
    stages = ('first', 'second', 'third', 'fourth', 'fifth')
    colours = [source_colour(decided(source), stages) for source in ('memory', *stages)]
    assert len(set(colours)) == 5
    assert colours[5] == colours[4]  # beyond that, not that of the memory


def test_lines_are_drawn_at_the_bottom() -> None:
    image = np.full((240, 320, 3), 90, dtype=np.uint8)
    plain = draw_overlay(image, decided(), 'green', STAGES)
    changed = np.flatnonzero(
        (draw_overlay(image, decided(), 'green', STAGES, ('text',)) != plain).any(axis=(1, 2))
    )
    assert changed.size and changed.min() > 200


@pytest.mark.parametrize(
    ('line', 'text'),
    [
        (watts_line(1234.4), '1234 W'),
        (watts_line(22.29344), '22.3 W'),
        (watts_line(5.25), '5.25 W'),
        (watts_line(0.0), '0.00 W'),
        (watts_line(-0.5), '-0.50 W'),
        (watts_line(float('nan')), 'nan W'),
        (joules_line(12_345.6), '12346 J per frame'),
        (joules_line(1.5), '1.50 J per frame'),
        (joules_line(1.0), '1.00 J per frame'),
        (joules_line(0.5), '500 mJ per frame'),
        (joules_line(0.0123), '12.3 mJ per frame'),
        (joules_line(0.00045), '0.45 mJ per frame'),
    ],
)
def test_watts_and_joules_are_written_as_people_write_them(line: str, text: str) -> None:
    assert line == text


def test_a_label_in_any_script_is_drawn_however_long() -> None:
    image = np.full((240, 320, 3), 90, dtype=np.uint8)
    drawn = draw_overlay(image, decided(), 'Straße 標識 ' + 'x' * 500, STAGES)
    assert (drawn[:22] == 255).any()


def test_without_text_the_colours_are_left() -> None:
    image = np.full((240, 320, 3), 90, dtype=np.uint8)
    drawn = draw_overlay(image, decided(), 'green', STAGES, ('text',), with_text=False)
    shade = source_colour(decided(), STAGES)
    np.testing.assert_array_equal(drawn[:20], np.broadcast_to(shade, (20, 320, 3)))
    assert (drawn[30:230, 10:310] == 90).all()
