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

"""Every tool ends with a line and an exit code, never with a traceback."""

from __future__ import annotations

from typing import Any

import pytest

from dual_cnn_ros.opencv import pip_install
from dual_cnn_ros.tools.cli import make_parser, number, run_cli


@pytest.mark.parametrize(
    ('raised', 'code', 'line'),
    [
        (None, 0, ''),
        (ValueError('x.json has no stages'), 1, 'x.json has no stages'),
        (FileNotFoundError(2, 'No such file', 'x'), 1, "[Errno 2] No such file: 'x'"),
        (ImportError('torch is broken'), 1, 'torch is broken'),
        (
            ModuleNotFoundError('no rosbags', name='rosbags.rosbag2'),
            1,
            f'no rosbags; install it with "{pip_install("rosbags")}"',
        ),
        (KeyboardInterrupt(), 130, 'interrupted'),
    ],
)
def test_what_went_wrong_is_said_in_a_line(
    raised: BaseException | None, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        if raised:
            raise raised

    assert run_cli('pair', work) == code
    assert capsys.readouterr() == ('', f'pair: {line}\n' if line else '')


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run_cli('pair', lambda: 1 // 0)


@pytest.mark.parametrize(
    ('limits', 'good', 'bad', 'expected'),
    [
        ({'low': 0, 'high': 0.9}, ['0', '0.9'], ['-1', '1', 'nan', 'x'], 'between 0 and 0.9'),
        ({'low': 1, 'kind': int}, ['1', '70'], ['0', '1.5'], 'at least 1'),
        ({'low': 0, 'exclusive': True}, ['0.1'], ['0', 'inf'], 'greater than 0'),
        ({'low': 0, 'high': 1, 'exclusive': True}, ['0.5'], ['0', '1'], 'excluded'),
    ],
)
def test_a_number_outside_its_limits_is_refused_with_them(
    limits: dict[str, Any],
    good: list[str],
    bad: list[str],
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parser = make_parser('pair', 'As it is.\n  Laid out.')
    parser.add_argument('--x', type=number(**limits))
    assert 'As it is.\n  Laid out.' in parser.format_help()
    for text in good:
        assert parser.parse_args(['--x', text]).x == float(text)
    for text in bad:
        with pytest.raises(SystemExit, match='2'):
            parser.parse_args([f'--x={text}'])
        said = capsys.readouterr().err
        assert '--x: must be ' in said and f'{expected}, not {text}' in said
