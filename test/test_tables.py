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

"""Tables of text: aligned by what is in a column."""

from __future__ import annotations

import pytest

from dual_cnn_ros.tables import interval_text, milli, millions, percent, text_table


def test_numbers_stand_to_the_right_and_words_to_the_left() -> None:
    rows = [
        ['system', 'memory', 'accuracy', 'CPU'],
        ['a', 'off', '9.00%', '-'],
        ['longer', 'dhash', '10.00%', '1.5 ms'],
    ]
    assert text_table(rows) == [
        'system  memory  accuracy     CPU',
        '--------------------------------',
        'a       off        9.00%       -',
        'longer  dhash     10.00%  1.5 ms',
    ]
    assert text_table([*rows, ['all', '', '19.00%', '']], total=True)[-2:] == [
        '--------------------------------',
        'all               19.00%',
    ]


def test_the_first_column_names_the_rows_even_by_numbers() -> None:
    assert text_table([['n', 'x'], ['1', '2'], ['10', '20']])[2:] == ['1    2', '10  20']


def test_a_table_without_rows_is_its_head() -> None:
    assert text_table([['a', 'b']]) == ['a  b', '----']


@pytest.mark.parametrize(
    ('written', 'expected'),
    [
        (percent(0.12345), '12.35%'),
        (percent(0.12345, 1), '12.3%'),
        (percent(None), '-'),
        (interval_text((0.5, 0.612)), '[50.00, 61.20]'),
        (interval_text(None), '-'),
        (milli(0.0012345, 'J'), '1.234 mJ'),
        (milli(12.345, 's'), '12340 ms'),
        (milli(None, 's'), '-'),
        (millions(1_234_567), '1.23 M'),
        (millions(None), '-'),
    ],
)
def test_numbers(written: str, expected: str) -> None:
    assert written == expected
