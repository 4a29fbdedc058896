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

"""Figures of results, drawn with matplotlib in colours that colour-blind eyes tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from typing import Any, Literal

from matplotlib import __version__, __version_info__, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
import numpy as np
import numpy.typing as npt

from dual_cnn_ros.calibration.reliability import Reliability

if __version_info__ < (3, 7):  # Ubuntu 22.04 has 3.5, which cannot put a legend outside
    raise ImportError(
        f'figures need matplotlib 3.7 or newer, and this is {__version__}; '
        'update it with "pip install --upgrade \'matplotlib>=3.7\'"'
    )

# Okabe and Ito, "Color Universal Design" (2008), and four more.
PALETTE = (
    *('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9'),
    *('#6b4c9a', '#555555', '#8c6d31', '#a51c30'),
)
INK = '#333333'

Form = Literal['disc', 'ring', 'square', 'diamond', 'line', 'dashed']
# Names of classes may hold a $; text stays text; ids do not differ from run to run.
_STYLE: dict[Any, Any] = {
    'text.parse_math': False,
    'svg.fonttype': 'none',
    'svg.hashsalt': 'dual_cnn_ros',
}
_MARKERS = {'disc': 'o', 'ring': 'o', 'square': 's', 'diamond': 'D'}


@dataclass(frozen=True)
class LegendEntry:
    """A line of a legend."""

    text: str
    colour: str
    form: Form


@dataclass(frozen=True)
class Point:
    """A mark in a chart: accuracy, with its interval if it has one, at a cost."""

    cost: float
    accuracy: float
    colour: str
    form: Form = 'disc'
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Line:
    """A line in a chart through accuracies at costs."""

    costs: Sequence[float]
    accuracies: Sequence[float]
    colour: str
    form: Form = 'line'


@rc_context(_STYLE)
def accuracy_chart(
    points: Sequence[Point],
    lines: Sequence[Line],
    legend: Sequence[LegendEntry],
    x_label: str,
    size: tuple[float, float] = (5.7, 4.3),
) -> Figure:
    """Return a chart of accuracy in percent over a cost; size: width and height in inches."""
    figure, (axes,) = _figure(size)
    for line in lines:
        style = _style(line.colour, line.form)
        axes.plot(line.costs, 100 * np.asarray(line.accuracies), **style)
    for point in points:
        y, colour = 100 * point.accuracy, point.colour
        axes.plot(point.cost, y, **_style(colour, point.form))
        if point.interval is not None:
            low, high = (100 * edge for edge in point.interval)
            reach = [[y - low], [high - y]]
            axes.errorbar(point.cost, y, reach, color=colour, capsize=3, linewidth=1)
    axes.set_xlabel(x_label)
    axes.set_ylabel('accuracy, %')
    axes.grid(color='#dddddd')
    axes.set_axisbelow(True)
    marks = [Line2D([], [], **_style(entry.colour, entry.form)) for entry in legend]
    drawn = figure.legend(
        marks,
        ['.'] * len(marks),
        loc='outside lower center',
        ncols=2,
        frameon=False,
        fontsize='small',
    )
    # Not given above, as some versions leave out a name that begins with _.
    for text, entry in zip(drawn.get_texts(), legend):
        text.set_text(entry.text)
    return figure


@rc_context(_STYLE)
def reliability_diagrams(diagrams: Mapping[str, Reliability], columns: int = 4) -> Figure:
    """
    Return one diagram for each title: the accuracy of answers over their confidence.

    A dot for each bin, larger for more answers; on the diagonal, confidence is what it promises.
    """
    columns = min(columns, len(diagrams))
    rows = -(-len(diagrams) // columns)
    figure, grid = _figure((2.8 * columns, 2.9 * rows), rows, columns)
    for axes, (title, diagram) in zip(grid, diagrams.items()):
        bins, count = diagram.bins, sum(b.count for b in diagram.bins)
        x = [100 * b.confidence for b in bins]
        axes.plot([0, 100], [0, 100], color='#888888', linestyle='--', linewidth=1)
        axes.vlines(x, x, [100 * b.accuracy for b in bins], color='#aaaaaa', linewidth=1.5)
        areas = [10 + 150 * b.count / count for b in bins]
        axes.scatter(
            x, [100 * b.accuracy for b in bins], areas, color=INK, zorder=3, clip_on=False
        )
        axes.set(xlim=(0, 100), ylim=(0, 100), aspect='equal')
        axes.set_xlabel('confidence, %')
        axes.set_ylabel('accuracy, %')
        axes.set_title(title, fontsize='medium')
    for axes in grid[len(diagrams) :]:
        axes.set_visible(False)
    return figure


@rc_context(_STYLE)
def heat_map(
    values: npt.ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str = '',
    marked: tuple[int, int] | None = None,
    texts: Sequence[Sequence[str]] | None = None,
    labels: tuple[str, str] = ('', ''),
) -> Figure:
    """
    Return a table of numbers on cells that darken with them.

    Parameters
    ----------
    values
        (R, C), 0 or more; NaN leaves a cell grey.
    rows, columns
        Their R and C names.
    title
        Of the figure.
    marked
        Row and column of a cell to frame.
    texts
        What to write into the cells; None for the values with one decimal.
    labels
        What the rows and the columns are.

    """
    table = np.ma.masked_invalid(np.asarray(values, np.float64))
    # A cell is 0.55 by 0.4 inches, and a letter of a name at most 0.1.
    width = 1.0 + 0.55 * len(columns) + 0.1 * max(map(len, rows))
    height = 1.0 + 0.4 * len(rows) + 0.1 * max(map(len, columns))
    figure, (axes,) = _figure((width, height))
    axes.set_facecolor('#e1e1e1')
    highest = float(table.max()) if table.count() else 0.0
    # Small values are told apart better on the scale of their roots.
    norm = PowerNorm(0.5, 0, highest or 1.0)
    axes.pcolormesh(table, cmap='Blues', norm=norm, edgecolors='white', linewidth=1)
    for i, j in np.argwhere(~np.ma.getmaskarray(table)):
        value = table[i, j]
        text = texts[i][j] if texts is not None else f'{value:.1f}'
        colour = 'white' if norm(value) > 0.6 else INK
        axes.text(j + 0.5, i + 0.5, text, ha='center', va='center', color=colour, fontsize='small')
    if marked is not None:
        i, j = marked
        corners = [(j, i), (j + 1, i), (j + 1, i + 1), (j, i + 1), (j, i)]
        axes.plot(*zip(*corners), color=PALETTE[1], linewidth=2.5, clip_on=False)
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=90)
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position('top')
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.set_ylabel(labels[0])
    axes.set_xlabel(labels[1])
    figure.suptitle(title, fontsize='medium', wrap=True)
    return figure


@rc_context(_STYLE)
def stacked_bars(
    names: Sequence[str],
    parts: Mapping[str, Sequence[float]],
    colours: Sequence[str],
    x_label: str,
) -> Figure:
    """
    Return horizontal bars.

    Parameters
    ----------
    names
        Of the N bars, from the top.
    parts
        Title of a part to its length in each bar, (N,).
    colours
        One for each part.
    x_label
        What the lengths are.

    """
    figure, (axes,) = _figure((5.7, 1.2 + 0.28 * len(names)))
    left = np.zeros(len(names))
    bars: list[Any] = []
    for lengths, colour in zip(parts.values(), colours):
        bars.append(axes.barh(range(len(names)), lengths, left=left, color=colour, height=0.7))
        left += np.asarray(lengths)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(x_label)
    axes.grid(axis='x', color='#dddddd')
    axes.set_axisbelow(True)
    figure.legend(
        bars,
        list(parts),
        loc='outside upper center',
        ncols=len(parts),
        frameon=False,
        fontsize='small',
    )
    return figure


@rc_context(_STYLE)
def svg(figure: Figure) -> str:
    """Return a figure as an SVG element, the same for the same figure, with its text as text."""
    file = StringIO()
    nothing: dict[str, Any] = dict.fromkeys(('Creator', 'Date', 'Format', 'Type'))
    figure.savefig(file, format='svg', metadata=nothing)
    text = file.getvalue()
    return text[text.index('<svg ') :]


@rc_context(_STYLE)
def png(figure: Figure) -> bytes:
    """Return a figure as the content of a PNG file."""
    file = BytesIO()
    figure.savefig(file, format='png')
    return file.getvalue()


def _figure(
    size: tuple[float, float], rows: int = 1, columns: int = 1
) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(size, layout='constrained')
    grid = figure.subplots(rows, columns, squeeze=False)
    return figure, list(grid.flat)


def _style(colour: str, form: Form) -> dict[str, Any]:
    if form in ('line', 'dashed'):
        return {'color': colour, 'linestyle': '-' if form == 'line' else '--', 'linewidth': 1.6}
    return {
        'color': colour,
        'marker': _MARKERS[form],
        # A disc is seen within the open mark of the same place.
        'markerfacecolor': colour if form == 'disc' else 'none',
        'markersize': 6 if form == 'disc' else 11,
        'linestyle': 'none',
    }
