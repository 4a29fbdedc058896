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

"""measure, on a board whose joules are known: what it prints, writes, and refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import re
import sys
from typing import Any

import pytest
from simulated_machine import BUSY, IDLE, Machine, spent
import sysfs_fixtures as fixtures
from tiny_bundle import make_bundle

from dual_cnn_ros.bundle import read_bundle
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.data import power_trace
from dual_cnn_ros.evaluation import measurement
from dual_cnn_ros.power import ina3221
from dual_cnn_ros.tools import measure

SLOW = 0.05
CHIP = 'bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1'


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.fixture
def orin(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the sysfs of an Orin Nano that draws what the machine does; a frame is its work."""
    files = {f'sys/{CHIP}/in1_input': 5000, 'sys/firmware/devicetree/base/model': 'A board\0'}
    root = fixtures.build(tmp_path, fixtures.ORIN_NANO | files)
    machine.changed = lambda: (root / CHIP / 'curr1_input').write_text(
        f'{200 * machine.watts:.0f}\n'
    )
    machine.changed()
    monkeypatch.setattr(ina3221, 'time', machine)

    def frame(image: Any) -> Frame:
        machine.work(SLOW)
        return Frame(image)

    monkeypatch.setattr(measurement, 'Frame', frame)
    return root


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / 'bundle')


def command(*arguments: object) -> int:
    return measure.main([str(argument) for argument in arguments])


@pytest.mark.slow
def test_table_baseline_and_trace(
    orin: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = make_bundle(tmp_path / 'large', name='wide')
    trace = tmp_path / 'trace.csv'
    before = read_bundle(bundle)
    options = ('--sysfs-root', orin, '--trace', trace, '--frame', 64, 48)
    assert command(bundle, '--large', f'{large}@second', *options) == 0
    out = capsys.readouterr().out
    assert out.startswith('A board; ina3221: the board measures itself')
    rows = {words[0]: words[1:] for words in map(str.split, out.splitlines()) if words}
    for name in ('memory', 'first', 'second', 'both', 'wide@second'):
        count, rate, above, error, bias, gross = (float(w) for w in rows[name] if w != 'mJ')
        assert count == pytest.approx(10 / SLOW, abs=2)
        assert rate == pytest.approx(1 / SLOW, rel=0.01)
        assert above == pytest.approx(1e3 * spent(seconds=SLOW), rel=0.01)
        assert gross == pytest.approx(1e3 * BUSY * SLOW, rel=0.01)
        assert 0 <= error < 1 and bias == pytest.approx(0.0125 * above, rel=0.01)
    after = read_bundle(bundle)
    baseline = after.baseline
    assert baseline is not None
    assert baseline.joules == pytest.approx(spent(seconds=SLOW), rel=0.01)
    assert baseline.idle_watts == pytest.approx(IDLE, rel=0.01)
    expected = ('wide@second', 'ina3221', 'module', 'A board')
    assert (baseline.name, baseline.source, baseline.scope, baseline.machine) == expected
    assert '64 x 48 frame' in baseline.conditions
    # Nothing else of the bundle changes.
    assert replace(after, baseline=None) == before
    # What was read plays as a trace, and holds the same energy.
    played = power_trace.open_power_trace(trace)
    assert 'Measured by measure on A board' in played.reason
    assert (played.members, played.scope) == (('VDD_IN',), 'module')
    watts = [float(w) for w in re.findall(r',VDD_IN,([\d.]+)', trace.read_text())]
    assert min(watts) == pytest.approx(IDLE) and max(watts) == pytest.approx(BUSY)


def test_noise_leaves_the_bundle_as_it_was(
    orin: Path, bundle: Path, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.changed = lambda: (orin / CHIP / 'curr1_input').write_text(
        f'{200 * machine.watts + 90_000 + machine.rng.gauss(0, 20_000):.0f}\n'
    )
    before = (bundle / 'bundle.yaml').read_bytes()
    assert command(bundle, '--sysfs-root', orin, '--large', f'{bundle}@second') == 1
    said = capsys.readouterr()
    assert 'tiny@second: refused' in said.out and 'within the noise' in said.out
    assert 'tiny@second has no figure above idle; the bundle keeps what it had' in said.err
    assert (bundle / 'bundle.yaml').read_bytes() == before


def test_large_cnn_is_a_single_one(
    orin: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(bundle, '--sysfs-root', orin, '--large', bundle) == 1
    assert 'name one CNN' in capsys.readouterr().err
    assert command(bundle, '--sysfs-root', orin, '--large', f'second={bundle}@second') == 1
    assert "the bundle is called 'second' too; put NAME= before it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ('board', 'source', 'said'),
    [
        (fixtures.NONE, 'auto', 'ina3221: no INA3221'),
        (fixtures.BOARDS['unknown'][0], 'ina3221', 'has no total to measure'),
    ],
)
def test_without_a_sensor_it_says_what_it_looked_for(
    board: Any, source: str, said: str, bundle: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setitem(sys.modules, 'pynvml', None)
    root = fixtures.build(tmp_path, board)
    assert command(bundle, '--sysfs-root', root, '--source', source) == 1
    assert said in capsys.readouterr().err


def test_too_short_a_loop_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match='2'):
        command('x', '--seconds', 5)
    assert 'must be at least 10, not 5' in capsys.readouterr().err
