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

"""The commands that render and construct: options, output, exit codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dual_cnn_ros.data.recording import Recording
from dual_cnn_ros.share import share_directory
from dual_cnn_ros.tools import course, signs, simulate_power

COURSE = share_directory() / 'config' / 'recordings' / 'course'
Main = Callable[[Sequence[str]], int]


def test_signs_writes_an_image_folder(tmp_path: Path) -> None:
    assert signs.main([str(tmp_path), '--per-class', '1', '--size', '8', '--first', '7']) == 0
    assert (tmp_path / 'none' / '00007.jpg').exists()


def test_course_writes_a_recording_and_counts_its_frames(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'out'
    assert course.main([str(out), '--seconds', '1', '--rate', '2', '--storage', 'mcap']) == 0
    assert f'{out}: RENDERED, 1 s, 2 + 2 frames, 0 of the front' in capsys.readouterr().out
    with Recording(out) as recording:
        assert recording.topics['/front/image_raw'].count == 2


def test_simulate_power_writes_the_shipped_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / 'power.csv'
    assert simulate_power.main([str(COURSE), '--bundle', 'signs', '--out', str(file)]) == 0
    assert 'CONSTRUCTED, 809 readings, 500 decisions' in capsys.readouterr().out
    # Another machine's arithmetic may decide a frame or two otherwise.
    written, shipped = (path.read_text().splitlines() for path in (file, COURSE / 'power.csv'))
    assert len(written) == len(shipped)
    assert sum(a == b for a, b in zip(written, shipped)) > 0.97 * len(shipped)


def test_help_says_that_everything_is_rendered(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match='0'):
        course.main(['--help'])
    assert 'Everything in it is RENDERED' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('main', 'option'),
    [(signs.main, '--size=4'), (signs.main, '--quality=101'), (course.main, '--seconds=601')],
)
def test_impossible_option_is_refused(main: Main, option: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match='2'):
        main([str(tmp_path / 'out'), option])
    assert not (tmp_path / 'out').exists()


def test_a_trace_is_a_csv(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match='2'):
        simulate_power.main([str(COURSE), '--bundle=signs', '--out=trace.txt'])
    assert '--out: the name must end in .csv, not trace.txt' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('main', 'arguments', 'said'),
    [
        (signs.main, [f'{__file__}/out'], __file__),
        (course.main, [str(COURSE), '--seconds', '1'], str(COURSE)),
        (simulate_power.main, ['nowhere', '--bundle=signs', '--out=x.csv'], 'at nowhere'),
        (simulate_power.main, [str(COURSE), '--bundle=./none', '--out=x.csv'], 'yaml: not found'),
    ],
)
def test_what_is_missing_is_named(
    main: Main, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert said in capsys.readouterr().err
