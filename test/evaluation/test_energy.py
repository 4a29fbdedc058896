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
from typing import Any

from evaluated import result_of, run, write_recording
import pytest
from simulated_machine import BUSY, failing, IDLE, Machine
import sysfs_fixtures

from dual_cnn_ros.cascade.cascade import Cascade
from dual_cnn_ros.evaluation import energy
from dual_cnn_ros.evaluation.summary import summary

pytestmark = pytest.mark.usefixtures('no_page')


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a machine that takes 0.05 s for whatever is played."""
    machine = Machine(monkeypatch)
    play_all = energy.play_all

    def work(cascade: Cascade, images: Any) -> None:
        play_all(cascade, images)
        machine.work(0.05)

    monkeypatch.setattr(energy, 'play_all', work)
    return machine


@pytest.mark.parametrize('is_broken', [False, True])
def test_joules_are_those_of_each_image(
    bundle: Path,
    tmp_path: Path,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    is_broken: bool,
) -> None:
    sensor = failing(machine, lambda seconds: is_broken)
    monkeypatch.setattr(energy, 'discover', lambda source, root: sensor)
    bag = write_recording(tmp_path / 'bag')
    findings = run(bag, tmp_path / 'out', bundle, memory=False, repeat=(0.5,), energy_seconds=10)
    found = result_of(findings, 'tiny', 'off', 'd=0.5').energy
    # Of 24 frames one is damaged, and the 23 others are played with half of them, once more.
    assert found is not None and found.images == pytest.approx(200 * (23 + 12), rel=0.01)
    if is_broken:
        assert found.joules is None is found.gross_joules and found.idle_watts is None
        assert 'covered' in found.refused
    else:
        assert found.joules == pytest.approx((BUSY - IDLE) * 0.05 / 35, rel=0.01)
        assert found.gross_joules == pytest.approx(BUSY * 0.05 / 35, rel=0.01)
        assert found.idle_watts == pytest.approx(IDLE) and not found.refused
    text = summary(findings)
    assert 'energy per image by fake (module)' in text and 'above idle' in text


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
