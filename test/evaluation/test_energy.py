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

"""Joules of an image where there is a power sensor, and why there are none where there is not."""

from __future__ import annotations

from pathlib import Path
import time
from typing import Any

from evaluated import result_of, run
import pytest
import sysfs_fixtures

from dual_cnn_ros.cascade.cascade import Cascade
from dual_cnn_ros.energy import bench
from dual_cnn_ros.evaluation import energy
from dual_cnn_ros.evaluation.summary import summary
from dual_cnn_ros.power.reading import Reading, Sensor


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch, no_page: None) -> None:
    monkeypatch.setattr(bench, '_SETTLE_SECONDS', 0.2)


class Rail:
    """A rail of 5 W, and of 8 W while the machine works."""

    rails = ('IN',)
    working = False
    broken = False

    def read(self) -> list[Reading]:
        if self.broken:
            return [Reading('IN', time.monotonic(), error='EIO')]
        return [Reading('IN', time.monotonic(), watts=8.0 if self.working else 5.0)]


@pytest.fixture
def rail(monkeypatch: pytest.MonkeyPatch) -> Rail:
    found = Rail()
    sensor = Sensor('fake', '', (found,), ('IN',), 'module')
    monkeypatch.setattr(energy, 'discover', lambda source, root: sensor)
    return found


def test_joules_are_those_of_each_image(
    bundle: Path, images: Path, tmp_path: Path, rail: Rail, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 3 W above idle, joules are three times the seconds of an image."""
    rest = bench._rest

    def work(cascade: Cascade, images: Any) -> None:
        rail.working = True
        time.sleep(0.05)

    def resting(seconds: float) -> tuple[int, float]:
        rail.working = False
        return rest(seconds)

    monkeypatch.setattr(bench, '_rest', resting)
    monkeypatch.setattr(energy, 'play_all', work)
    findings = run(images, tmp_path, bundle, memory=False, repeat=(0.5,), energy_seconds=2)
    found = result_of(findings, 'tiny', 'off', 'd=0.5').energy
    assert found is not None and found.images % 36 == 0 and not found.refused
    seconds = found.seconds / found.images
    assert found.joules == pytest.approx(3 * seconds, rel=0.03)
    assert found.gross_joules == pytest.approx(8 * seconds, rel=0.03)
    assert found.idle_watts == pytest.approx(5)
    assert 'energy per image by fake (module)' in summary(findings)
    assert 'above idle' in summary(findings)


def test_what_no_reading_covers_is_no_number(
    bundle: Path, images: Path, tmp_path: Path, rail: Rail, monkeypatch: pytest.MonkeyPatch
) -> None:
    rail.broken = True
    monkeypatch.setattr(bench, '_SETTLE_SECONDS', 0.0)
    found = result_of(
        run(images, tmp_path, bundle, memory=False, energy_seconds=0.3), 'tiny'
    ).energy
    assert found is not None and 'covered' in found.refused
    assert found.joules is None is found.gross_joules and found.idle_watts is None


@pytest.mark.parametrize(
    ('options', 'board', 'said'),
    [
        ({}, sysfs_fixtures.NONE, 'ina3221: no INA3221'),
        ({'energy_seconds': 0}, sysfs_fixtures.agx_orin(), 'no energy was measured'),
        ({'timed': 0}, sysfs_fixtures.agx_orin(), 'ina3221 is there, but no image of those to'),
    ],
)
def test_without_energy_it_says_why(
    bundle: Path, images: Path, tmp_path: Path, options: Any, board: Any, said: str
) -> None:
    root = sysfs_fixtures.build(tmp_path, board)
    findings = run(images, tmp_path / 'out', bundle, memory=False, sysfs_root=root, **options)
    assert result_of(findings, 'tiny').energy is None
    text = summary(findings)
    assert said in text and ' mJ' not in text
