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

"""Joules of an image, measured on machines whose joules are known, in simulated time."""

from __future__ import annotations

import pytest
from simulated_machine import failing, IDLE, IMAGE_SECONDS, Machine, noisy, sensor, spent

from dual_cnn_ros.energy import bench as bench_module
from dual_cnn_ros.energy.bench import Bench
from dual_cnn_ros.power.reading import Reading


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_known_joules_are_recovered_within_the_stated_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deviations = []
    for seed in range(10):
        machine = Machine(monkeypatch, seed)
        costs = Bench(noisy(machine, 0.2), 20.0).run(
            {
                'light': lambda machine=machine: machine.work(0.002, 5.0),
                'heavy': lambda machine=machine: machine.work(0.05, 9.0),
            }
        )
        for name, joules, seconds in (('light', 0.002, 0.002), ('heavy', 0.25, 0.05)):
            cost = costs[name]
            deviations.append((cost.joules - joules) / cost.standard_error)
            assert cost.joules == pytest.approx(joules, rel=0.1)
            assert cost.gross == pytest.approx(joules + IDLE * seconds, rel=0.03)
            assert cost.images == pytest.approx(20 / seconds, rel=0.01)
            assert cost.bias == pytest.approx(0.0125 * cost.joules)
    assert max(map(abs, deviations)) < 4
    assert sum(abs(deviation) < 2 for deviation in deviations) >= 16


def test_sensor_that_averages_does_not_smear_one_work_into_the_next(machine: Machine) -> None:
    """Like a GPU's power reading: the mean of the last second."""
    past: list[tuple[float, float]] = []

    def read() -> Reading:
        past.append((machine.now, machine.joules))
        before = next(one for one in past if one[0] >= machine.now - 1.0)
        seconds = machine.now - before[0]
        watts = (machine.joules - before[1]) / seconds if seconds else machine.watts
        return Reading('in', machine.now, watts=watts)

    costs = Bench(sensor(read), 10.0).run(
        {
            'little': lambda: machine.work(IMAGE_SECONDS, 4.5),
            'much': lambda: machine.work(0.1, 30.0),
        }
    )
    assert costs['little'].joules == pytest.approx(spent(4.5), rel=0.01)
    assert costs['much'].joules == pytest.approx(spent(30.0, 0.1), rel=0.01)


@pytest.mark.parametrize(('when', 'again'), [(5, 'idle before'), (20, 'image')])
def test_what_a_stall_left_uncovered_is_measured_again(
    machine: Machine, when: float, again: str
) -> None:
    begun: list[str] = []
    stalled = failing(machine, lambda t: when < t < when + 3)
    cost = Bench(stalled, 10.0, begun=begun.append).run({'image': machine.work})['image']
    assert cost.joules == pytest.approx(spent(), rel=0.01)
    expected = ['idle before', 'image', 'idle after']
    expected.insert(expected.index(again) + 1, f'{again} again')
    assert begun == expected


def test_slow_readings_reach_beyond_every_window(machine: Machine) -> None:
    cost = Bench(noisy(machine, 0.0), 60.0, period=2.0).run({'image': machine.work})['image']
    assert cost.energy.coverage == pytest.approx(1.0)
    assert [rest.coverage for rest in cost.idle.rests] == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize('first', [True, False])
def test_a_rest_that_could_not_be_read_is_no_idle_power(
    machine: Machine, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is what there is; counted as no watts at all it would halve the idle power."""
    monkeypatch.setattr(bench_module, '_ATTEMPTS', 1)
    broken = failing(machine, lambda t: t < 13 if first else t > 26)
    cost = Bench(broken, 10.0).run({'image': machine.work})['image']
    assert cost.idle.watts == pytest.approx(IDLE)
    assert cost.joules == pytest.approx(spent(), rel=0.01) and cost.standard_error is not None
