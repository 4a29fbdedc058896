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

"""The energy meter: windows of a program on a sensor whose watts the test sets."""

from __future__ import annotations

import doctest
import time

import pytest

from dual_cnn_ros.energy import meter as meter_module
from dual_cnn_ros.energy.meter import EnergyMeter, EnergyWindow
from dual_cnn_ros.power import sampler as sampler_module
from dual_cnn_ros.power.reading import NoSensorError, Reading, Sensor
from dual_cnn_ros.power.sampler import Sampler


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read a hundred times a second, and take only seconds without a reading for a gap."""
    monkeypatch.setattr(sampler_module, 'ANSWER_SECONDS', 2.0)
    monkeypatch.setattr(
        meter_module, 'Sampler', lambda sensor, period, deliver: Sampler(sensor, 0.01, deliver)
    )


class Load:
    """A rail that draws 5 W, by its power or by its counter; or that cannot be read."""

    rails = ('in',)

    def __init__(self, counts: bool = False) -> None:
        self.counts = counts
        self.error = ''
        self.reads = 0

    def read(self) -> list[Reading]:
        self.reads += 1
        now = time.monotonic()
        if self.error:
            return [Reading('in', now, error=self.error)]
        if self.counts:
            return [Reading('in', now, joules=5.0 * now)]
        return [Reading('in', now, watts=5.0)]


def sensor(load: Load, total: bool = True) -> Sensor:
    return Sensor('fake', 'a test', (load,), load.rails if total else (), 'module')


def measured(meter: EnergyMeter, name: str, seconds: float) -> EnergyWindow:
    meter.begin_window(name)
    time.sleep(seconds)
    return meter.end_window(name)


@pytest.mark.parametrize('counts', [False, True])
def test_joules_of_windows_long_and_short(counts: bool) -> None:
    with EnergyMeter(sensor(Load(counts)), period=1.0) as meter:
        long, short = measured(meter, 'long', 1.2), measured(meter, 'short', 0.001)
    for window in (long, short):
        assert window.joules == pytest.approx(5.0 * window.seconds)
        assert window.coverage == pytest.approx(1.0) and window.reason == ''
        assert (window.source, window.scope) == ('fake', 'module')
    assert (long.name, short.name) == ('long', 'short')
    assert long.seconds >= 1.2 and long.standard_error == pytest.approx(0.0, abs=1e-6)
    # A single millisecond says nothing of how the power varies.
    assert short.standard_error is None


def test_windows_overlap_and_one_name_may_be_used_again() -> None:
    with EnergyMeter(sensor(Load()), period=1.0) as meter:
        meter.begin_window('outer')
        inner = [measured(meter, 'inner', 0.05) for _ in range(2)]
        outer = meter.end_window('outer')
    joules = [window.joules or 0.0 for window in inner]
    assert outer.joules is not None and outer.joules >= sum(joules) > 0


def test_names_of_windows_must_fit() -> None:
    with EnergyMeter(sensor(Load()), period=1.0) as meter:
        with pytest.raises(ValueError, match="no window 'a' is open, but none"):
            meter.end_window('a')
        meter.begin_window('a')
        with pytest.raises(ValueError, match="window 'a' is open already"):
            meter.begin_window('a')
        with pytest.raises(ValueError, match="no window 'b' is open, but 'a'"):
            meter.end_window('b')
        meter.end_window('a')


def test_it_reads_from_the_first_window_until_it_is_closed() -> None:
    load = Load()
    meter = EnergyMeter(sensor(load), period=1.0)
    assert load.reads == 0
    meter.begin_window('dropped')
    meter.close()
    assert load.reads > 0
    reads = load.reads
    time.sleep(0.05)
    assert load.reads <= reads + 1
    with pytest.raises(ValueError, match='no window'):
        meter.end_window('dropped')
    assert measured(meter, 'again', 0.0).joules is not None
    meter.close()


def test_a_sensor_that_fails_gives_no_joules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter_module, 'ANSWER_SECONDS', -2.0)
    load = Load()
    load.error = 'EIO'
    with EnergyMeter(sensor(load), period=1.0) as meter:
        window = measured(meter, 'a', 0.05)
    assert window.joules is None and window.standard_error is None and window.coverage == 0
    assert window.reason == 'readings cover 0% of the window, less than 95%: in: EIO'


def nothing_found() -> Sensor:
    raise NoSensorError('no rails')


@pytest.mark.parametrize(
    ('found', 'source', 'reason'),
    [
        (None, '', 'no power sensor: no rails'),
        (sensor(Load(), total=False), 'fake', 'the sensor has no total: a test'),
    ],
)
def test_without_a_total_a_window_has_its_seconds_and_a_reason(
    monkeypatch: pytest.MonkeyPatch, found: Sensor | None, source: str, reason: str
) -> None:
    monkeypatch.setattr(meter_module, 'discover', nothing_found)
    with EnergyMeter(found) as meter:
        window = measured(meter, 'a', 0.0)
    assert window.seconds > 0 and window.joules is None and window.coverage == 0
    assert (window.source, window.reason) == (source, reason)


def test_the_example_of_its_docstring() -> None:
    assert doctest.testmod(meter_module).failed == 0
