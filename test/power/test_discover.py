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

"""Which sensor is chosen, and which rails it takes in later."""

from __future__ import annotations

from pathlib import Path
import shutil
import sys

import pytest
import sysfs_fixtures as fixtures

from dual_cnn_ros.power.discover import discover, rediscover
from dual_cnn_ros.power.reading import NoSensorError


@pytest.mark.parametrize(
    ('files', 'source', 'reason'),
    [
        (fixtures.ORIN_NANO | fixtures.RAPL, 'ina3221', 'itself: ina3221 1-0040'),
        (fixtures.RAPL, 'rapl', 'no INA3221'),
        (fixtures.NONE, 'nvml', 'no RAPL'),
    ],
)
def test_auto_prefers_the_board_and_says_what_it_passed_over(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: fixtures.Files,
    source: str,
    reason: str,
) -> None:
    monkeypatch.setitem(sys.modules, 'pynvml', fixtures.fake_nvml({0: 1000}, {0: 1}))
    sensor = discover('auto', fixtures.rapl_root(tmp_path, files))
    assert sensor.source == source and reason in sensor.reason


@pytest.mark.parametrize('board', [fixtures.THOR, fixtures.BOARDS['TX2'][0]])
def test_a_sensor_grows_by_chips_and_never_shrinks(tmp_path: Path, board: fixtures.Files) -> None:
    root = fixtures.build(tmp_path, board)
    chips = sorted((root / 'bus/i2c/drivers').glob('*/*'))
    late, away = chips[-1], tmp_path / 'away'
    whole = discover('auto', root)
    late.rename(away)
    sensor = discover('auto', root)
    assert rediscover(sensor, root) is None
    # A chip that comes in the place of another would give another total.
    chips[0].rename(tmp_path / 'gone')
    away.rename(late)
    assert rediscover(sensor, root) is None and rediscover(whole, root) is None
    (tmp_path / 'gone').rename(chips[0])
    more = rediscover(sensor, root)
    assert more is not None
    assert (more.rails, more.members, more.scope) == (whole.rails, whole.members, whole.scope)
    assert rediscover(more, root) is None
    shutil.rmtree(root / 'bus')
    assert rediscover(more, root) is None


def test_rails_of_one_name_are_still_the_same_channels(tmp_path: Path) -> None:
    rails = [('VDD_A', 5000, 1), ('VDD_B', 5000, 1), ('VDD_C', 5000, 1)]
    root = fixtures.build(tmp_path, fixtures.hwmon_chip('1-0040', rails, 1))
    sensor = discover('auto', root)
    fixtures.build(tmp_path, fixtures.hwmon_chip('1-0041', rails, 2))
    more = rediscover(sensor, root)
    assert more is not None and len(more.rails) == 6 and 'VDD_A@1-0040' in more.rails


def test_a_better_source_replaces_no_other(tmp_path: Path) -> None:
    root = fixtures.rapl_root(tmp_path, fixtures.RAPL)
    sensor = discover('rapl', root)
    fixtures.build(tmp_path, fixtures.ORIN_NANO)
    assert rediscover(sensor, root) is None


@pytest.mark.parametrize(
    ('source', 'missing'),
    [
        ('auto', 'INA3221.*RAPL.*nvidia-ml-py'),
        ('ina3221', 'INA3221'),
        ('rapl', 'RAPL'),
        ('nvml', 'nvidia-ml-py'),
    ],
)
def test_a_machine_without_a_sensor_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, 'pynvml', None)
    with pytest.raises(NoSensorError, match=missing):
        discover(source, fixtures.build(tmp_path, fixtures.NONE))
