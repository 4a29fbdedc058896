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

"""Tables of text, and the numbers in them: what every command prints its results with."""

from __future__ import annotations

from collections.abc import Sequence
import re

_NUMBER = re.compile(r'[-+(\[]?\d.*|-?|nan|inf')


def text_table(rows: Sequence[Sequence[str]], total: bool = False) -> list[str]:
    """
    Return rows as aligned lines.

    The first column is set to the left; of the others those that hold numbers to the right.

    Parameters
    ----------
    rows
        Cells of equal number; the first row is the head, and a line is ruled below it. A cell
        that is empty or '-' fits a column of numbers.
    total
        Whether the last row holds totals: a line is ruled above it.

    """
    aligned = [_align(column, left=i == 0) for i, column in enumerate(zip(*rows))]
    lines = ['  '.join(row).rstrip() for row in zip(*aligned)]
    rule = '-' * max(map(len, lines))
    body = [*lines[1:-1], rule, lines[-1]] if total else lines[1:]
    return [lines[0], rule, *body]


def _align(column: Sequence[str], left: bool) -> list[str]:
    width = max(map(len, column))
    if left or not all(_NUMBER.fullmatch(cell) for cell in column[1:]):
        return [cell.ljust(width) for cell in column]
    return [cell.rjust(width) for cell in column]


def percent(share: float | None, digits: int = 2) -> str:
    """Return a share in percent, '-' for none."""
    return '-' if share is None else f'{share:.{digits}%}'


def interval_text(interval: Sequence[float] | None) -> str:
    """Return an interval of shares in percent, '-' for none."""
    return '-' if interval is None else f'[{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]'


def milli(value: float | None, unit: str) -> str:
    """Return a value in thousandths of a unit, with four significant digits; '-' for none."""
    # %g alone would write 10 s as 1e+04 ms.
    return '-' if value is None else f'{float(f"{1e3 * value:.4g}"):g} m{unit}'


def millions(value: float | None) -> str:
    """Return a count, such as MACs, in millions; '-' for none."""
    return '-' if value is None else f'{value / 1e6:.2f} M'
