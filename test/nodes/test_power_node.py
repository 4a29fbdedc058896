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

"""The power node over DDS, on the sysfs trees of boards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
import os
from pathlib import Path
import shutil
import statistics
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from node_fixtures import assert_refused, by_name, Client, running
import pytest
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Float64
import sysfs_fixtures as fixtures

from dual_cnn_ros.nodes.power import PowerNode

pytestmark = [pytest.mark.ros, pytest.mark.slow]

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Watcher(Client):
    """Hears what a power node publishes."""

    def __init__(self) -> None:
        super().__init__('power_monitor')
        self.power: list[float] = []
        self.rails: list[DiagnosticArray] = []
        self.hear(Float64, 'power_monitor/power', lambda m: self.power.append(m.data), 100)
        self.hear(DiagnosticArray, 'power_monitor/rails', self.rails.append, 100)

    def next(self, count: int = 1, skip: int = 2) -> dict[str, dict[str, str]]:
        """Return the last of the next readings, leaving out those that may be on their way."""
        self.rails.clear()
        self.wait_until('readings', lambda: len(self.rails) >= count + skip)
        del self.rails[:skip]
        return by_name(self.rails[-1])

    def until(self, what: str, condition: Callable[[Any], Any]) -> dict[str, dict[str, str]]:
        """Return the first readings that meet a condition."""
        self.rails.clear()
        self.wait_until(what, lambda: any(condition(by_name(m)) for m in list(self.rails)))
        return next(rails for m in self.rails if condition(rails := by_name(m)))


@pytest.fixture(scope='module')
def watcher() -> Iterator[Watcher]:
    watcher = Watcher()
    yield watcher
    watcher.close()


power = partial(running, 'power')


def test_readings_of_an_agx_orin(tmp_path: Path, watcher: Watcher) -> None:
    root = fixtures.build(tmp_path, fixtures.agx_orin())
    # A stopped simulation's clock stops neither readings nor diagnostics.
    with power(tmp_path / 'node', sysfs_root=str(root), use_sim_time=True):
        rails = watcher.next()
        scopes = {rail: values['scope'] for rail, values in rails.items()}
        in_total = dict.fromkeys(('VDD_GPU_SOC', 'VDD_CPU_CV', 'VIN_SYS_5V0', 'total'), 'module')
        assert scopes == {**in_total, 'VDDQ_VDD2_1V8AO': ''}
        gpu, total = rails['VDD_GPU_SOC'], rails['total']
        assert (gpu['volts'], gpu['amps'], gpu['watts']) == ('19.688', '0.16', '3.15008')
        assert gpu['message'] == '3.150 W' and gpu['hardware_id'] == 'ina3221'
        assert float(total['watts']) == pytest.approx(22.29344)
        assert float(total['period']) == 0.1
        assert watcher.power[-1] == pytest.approx(22.29344)
        status = watcher.wait_for_status('power', OK, '22.293 W')
        values = {pair.key: pair.value for pair in status.values}
        assert values['scope'] == 'module' and 'ina3221 1-0041' in values['reason']


def test_stamps_are_those_of_the_readings(tmp_path: Path, watcher: Watcher) -> None:
    root = fixtures.build(tmp_path, fixtures.ORIN_NANO)
    with power(tmp_path / 'node', sysfs_root=str(root)):
        watcher.next(10)
        # Both clocks tell the same age, whenever the message came. The median, since this
        # process may be interrupted between the two.
        differences = []
        for message in watcher.rails:
            stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
            monotonic = float(by_name(message)['total']['monotonic'])
            differences.append((time.time() - stamp) - (time.monotonic() - monotonic))
        assert statistics.median(differences) == pytest.approx(0.0, abs=0.02)


def test_live_parameters_and_limits(tmp_path: Path, watcher: Watcher) -> None:
    root = fixtures.build(tmp_path, fixtures.agx_orin())
    with power(tmp_path / 'node', sysfs_root=str(root)):
        watcher.next()
        assert watcher.set('max_power_w', 20.0).successful
        watcher.wait_for_status('power', ERROR, '22.293 W is over max_power_w 20')
        assert watcher.set('rails', ['VDD_CPU_CV']).successful
        watcher.until('one rail', lambda rails: list(rails) == ['VDD_CPU_CV', 'total'])
        assert float(watcher.next()['total']['watts']) == pytest.approx(22.29344)
        assert watcher.set('rate_hz', 50.0).successful
        watcher.until('the new rate', lambda rails: rails['total']['period'] == '0.02')
        for name, value in BAD:
            result = watcher.set(name, value)
            assert not result.successful and result.reason, (name, value)
        # Nothing of what was refused has changed anything.
        assert watcher.next()['total']['period'] == '0.02'


BAD: list[tuple[str, Any]] = [
    ('recording', 'trace.csv'),
    ('rate_hz', 0.05),
    ('rails', ['VDD_IN', 'VDD_NONE']),
    ('rails', ['VDD_IN', 'VDD_IN']),
]


@pytest.mark.parametrize(
    ('parameters', 'words'),
    [
        *(({name: value}, name) for name, value in BAD),
        ({'source': 'recording'}, 'recording must be a path'),
        ({'source': 'recording', 'recording': '/none.csv'}, 'recording: .*/none.csv'),
        ({'source': 'recording', 'recording': '~no_such_user/rails.csv'}, 'recording: .*no home'),
    ],
)
def test_a_node_with_a_bad_parameter_is_not_made(
    tmp_path: Path, parameters: dict[str, Any], words: str
) -> None:
    root = fixtures.build(tmp_path, fixtures.ORIN_NANO)
    assert_refused(PowerNode, {'sysfs_root': str(root), **parameters}, words)


def test_a_counter_that_stands_is_broken(tmp_path: Path, watcher: Watcher) -> None:
    root = fixtures.rapl_root(tmp_path, fixtures.RAPL)
    with power(tmp_path / 'node', sysfs_root=str(root)):
        watcher.wait_for_status('power', ERROR, 'the energy counter has stood at')
        watcher.power.clear()
        total = watcher.next()['total']
        assert (total['watts'], total['joules']) == ('', '') and 'has stood' in total['error']
        assert watcher.power == []


def test_no_source_is_said_once_and_found_later(tmp_path: Path, watcher: Watcher) -> None:
    root = fixtures.build(tmp_path, fixtures.NONE)
    watcher.power.clear()
    watcher.rails.clear()
    parameters = {'sysfs_root': str(root), 'source': 'ina3221'}
    with power(tmp_path / 'node', **parameters) as node:
        watcher.wait_for_status('power', WARN, 'no power source: no INA3221')
        watcher.wait_for_status('power', WARN)
        assert watcher.power == [] and watcher.rails == []
        fixtures.build(tmp_path, fixtures.ORIN_NANO)
        assert float(watcher.next()['total']['watts']) == pytest.approx(5.088384)
        assert node.log.count('no power source') == 1


def test_a_chip_whose_driver_binds_later_joins_the_total(tmp_path: Path, watcher: Watcher) -> None:
    files = fixtures.BOARDS['AGX Xavier L4T 35'][0]
    late = {name: content for name, content in files.items() if '/1-0041/' in name}
    root = fixtures.build(tmp_path, {n: c for n, c in files.items() if n not in late})
    with power(tmp_path / 'node', sysfs_root=str(root)) as node:
        # Without a chip of the sum there is no total.
        assert 'total' not in watcher.next()
        # Its label cannot be read at first: that search has to wait, the readings do not.
        label = next(tmp_path / name for name in late if name.endswith('/in1_label'))
        label.parent.mkdir(parents=True)
        os.mkfifo(label)
        fixtures.build(tmp_path, {n: c for n, c in late.items() if tmp_path / n != label})
        watcher.next(70)
        assert list(by_name(watcher.rails[-1])) == ['GPU', 'CPU', 'SOC']
        watcher.wait_for_status('power', OK)
        aside = label.with_name('aside')
        aside.write_text(f'{late[str(label.relative_to(tmp_path))]}\n')
        # Lets the search go, with nothing to read; does not wait for one that never began.
        descriptor = os.open(label, os.O_RDWR)
        aside.replace(label)
        os.close(descriptor)
        rails = watcher.until('the total', lambda rails: 'total' in rails)
        assert float(rails['total']['watts']) == pytest.approx(6.0)
        assert 'more rails were found' in node.log
        # What goes away again makes the total missing, not another one.
        shutil.move(root / 'bus/i2c/drivers', tmp_path / 'away')
        watcher.until('all are gone', lambda rails: rails['total']['error'])
        watcher.power.clear()
        watcher.next()
        assert watcher.power == []
        watcher.wait_for_status('power', ERROR, 'reads failed')


def test_a_recording_beside_a_replay_keeps_to_its_clock(tmp_path: Path, watcher: Watcher) -> None:
    """At five times the speed, no reading of ten a second is left out or comes early."""
    path = tmp_path / 'trace.csv'
    path.write_text(
        '# by hand\ntime,rail,watts,scope\n'
        + ''.join(f'{1000 + n / 10},A,{n},m\n' for n in range(-50, 51))
    )
    clock = watcher.node.create_publisher(Clock, '/clock', 10)
    try:
        with power(tmp_path / 'node', source='recording', recording=str(path), use_sim_time=True):
            watcher.wait_until('the clock is heard', clock.get_subscription_count)
            # The clock stands still.
            status = watcher.wait_for_status('power', WARN, 'no readings for')
            reason = next(pair.value for pair in status.values if pair.key == 'reason')
            assert reason == 'recorded earlier: trace.csv. by hand'
            watcher.rails.clear()
            watcher.power.clear()
            ticks = iter(range(10**6))

            def tick() -> None:
                # The first message of a clock may be late by half a second on a busy machine.
                now = 999.0 + 0.1 * next(ticks)
                message = Clock()
                message.clock.sec, message.clock.nanosec = int(now), int(now % 1 * 1e9)
                clock.publish(message)

            watcher.wait_until('the end', lambda: 50.0 in watcher.power, 60.0, tick, every=0.02)
            watcher.wait_until(
                'the end of the rails', lambda: by_name(watcher.rails[-1])['A']['watts'] == '50.0'
            )
            watts = [round(value) for value in watcher.power]
            assert watts == list(range(watts[0], 51)) and -11 <= watts[0] < 40
            for message in list(watcher.rails):
                rail = by_name(message)['A']
                stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
                assert stamp == pytest.approx(1000 + float(rail['watts']) / 10, abs=1e-5)
                assert float(by_name(message)['total']['period']) == pytest.approx(0.1)
                assert rail['hardware_id'] == 'recording'
    finally:
        watcher.node.destroy_publisher(clock)
