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

"""Figures: what is drawn where, read from the figure itself."""

from __future__ import annotations

import cv2
from matplotlib.colors import to_hex
import numpy as np
import pytest

from dual_cnn_ros.calibration.reliability import Reliability, ReliabilityBin
from dual_cnn_ros.evaluation import plots
from dual_cnn_ros.evaluation.plots import LegendEntry, Line, PALETTE, Point


def test_chart_places_points_where_they_belong() -> None:
    figure = plots.accuracy_chart(
        [Point(1, 0.5, PALETTE[0], interval=(0.25, 0.75)), Point(2, 0.6, PALETTE[1], 'ring')],
        [Line([1, 2, 3], [0.5, 0.6, 0.7], PALETTE[2])],
        [LegendEntry('_a', PALETTE[0], 'disc'), LegendEntry('$b', PALETTE[2], 'line')],
        'MACs',
    )
    (axes,) = figure.axes
    marks = [line for line in axes.lines if line.get_marker() == 'o']
    assert [tuple(mark.get_xydata()[0]) for mark in marks] == [(1, 50), (2, 60)]
    assert [to_hex(mark.get_color()) for mark in marks] == list(PALETTE[:2])
    (bar,) = axes.containers
    (segment,) = bar.lines[2][0].get_segments()
    np.testing.assert_allclose(segment, [(1, 25), (1, 75)])
    assert [text.get_text() for text in figure.legends[0].texts] == ['_a', '$b']


def test_heat_map_writes_and_marks_its_cells() -> None:
    figure = plots.heat_map(
        [[0, 1.25], [np.nan, 10]], ['forêt', '$x$'], ['a', 'b'], marked=(1, 1), title='Pairs'
    )
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ['0.0', '1.2', '10.0']
    assert np.mean(axes.lines[0].get_xydata()[:4], axis=0).tolist() == [1.5, 1.5]
    image = cv2.imdecode(np.frombuffer(plots.png(figure), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None and image.shape[2] == 3
    assert '>forêt<' in plots.svg(figure) and '>$x$<' in plots.svg(figure)


@pytest.mark.parametrize(('count', 'shape'), [(1, (1, 1)), (4, (2, 2)), (5, (3, 2))])
def test_reliability_diagrams_stand_in_a_grid(count: int, shape: tuple[int, int]) -> None:
    bins = Reliability(0.1, (ReliabilityBin(0.3, 0.4, 1), ReliabilityBin(0.9, 0.8, 9)))
    figure = plots.reliability_diagrams({f'{i}': bins for i in range(count)}, columns=2)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == count and len(figure.axes) == shape[0] * shape[1]
    np.testing.assert_allclose(shown[0].collections[-1].get_offsets(), [(30, 40), (90, 80)])


def test_bars_are_stacked() -> None:
    figure = plots.stacked_bars(['x', 'y'], {'a': [1, 2], 'b': [3, 4]}, PALETTE, 'frames, %')
    bars = [(bar.get_x(), bar.get_width()) for bar in figure.axes[0].patches]
    assert bars == [(0, 1), (0, 2), (1, 3), (2, 4)]
