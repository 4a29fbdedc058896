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

"""Energy above idle: the difference, and when there is none."""

from __future__ import annotations

from dataclasses import replace
import math
import random

import pytest

from dual_cnn_ros.energy.idle import Idle, subtract_idle
from dual_cnn_ros.energy.integration import Energy, energy_of
from dual_cnn_ros.power.reading import Reading


def steady(watts: float, seconds: float, offset_watts: float | None = None) -> Energy:
    times = [n * 0.1 for n in range(round(seconds * 10) + 1)]
    readings = [Reading('total', t, watts=watts, offset_watts=offset_watts) for t in times]
    return energy_of(readings, 0.1)


def test_net_is_gross_less_idle() -> None:
    load = steady(9.0, 20.0, offset_watts=0.08)
    result = subtract_idle(load, Idle(steady(4.0, 10.0), steady(4.2, 10.0)))
    assert result.gross_joules == pytest.approx(180)
    assert result.idle_joules == pytest.approx(82)
    assert result.net_joules == pytest.approx(98)
    # Twice half the drift of 0.2 W, over 20 s; in the bias, the offset cancels, the gain does not.
    assert result.noise_joules == pytest.approx(4.0)
    assert result.bias_joules == pytest.approx(0.0125 * 98)


@pytest.mark.parametrize(
    ('load', 'before', 'after', 'offset', 'refused'),
    [
        (5.0, 4.0, 4.0, 0.0, False),
        (5.0, 4.0, 5.5, 0.0, True),  # the idle power moved by more than the difference
        (4.03, 4.0, 4.0, 0.08, True),  # 30 mW is less than one step of 40 mW
        (4.05, 4.0, 4.0, 0.08, False),
        (3.5, 4.0, 4.0, 0.08, False),  # less than idle is a result too
    ],
)
def test_it_is_refused_within_the_noise(
    load: float, before: float, after: float, offset: float, refused: bool
) -> None:
    idle = Idle(steady(before, 10.0), steady(after, 10.0))
    result = subtract_idle(steady(load, 20.0, offset_watts=offset), idle)
    assert (result.net_joules is None) is refused
    assert ('within the noise' in result.refused) is refused


def test_it_is_refused_where_the_idle_power_is_noisy() -> None:
    rng = random.Random(2)
    noisy = [Reading('total', n * 0.1, watts=4 + rng.gauss(0, 10)) for n in range(100)]
    idle = Idle(energy_of(noisy, 0.1))
    assert 'within the noise' in subtract_idle(steady(idle.watts + 0.1, 20.0), idle).refused


LOAD, REST, SHORT_REST = steady(9.0, 20.0), steady(4.0, 10.0), steady(4.0, 0.5)
FEW = 'too few to tell the standard error'


@pytest.mark.parametrize(
    ('load', 'idle', 'reason'),
    [
        (replace(LOAD, window_seconds=100.0), Idle(REST), 'only 20% of the window'),
        (LOAD, Idle(replace(REST, covered_seconds=0.0)), 'only 0% of the time without'),
        (LOAD, Idle(SHORT_REST), FEW),
        (LOAD, Idle(REST, SHORT_REST), FEW),
    ],
)
def test_it_is_refused_where_something_is_unknown(load: Energy, idle: Idle, reason: str) -> None:
    result = subtract_idle(load, idle)
    assert result.net_joules is None and reason in result.refused
    assert math.isnan(idle.standard_error_watts) is ('window' not in reason)


def test_a_load_that_varies_is_no_noise() -> None:
    """Two minutes of work in an hour: its mean is far above idle, and all of it was measured."""
    readings = [
        Reading('total', n * 0.1, watts=10.0 if 30_000 <= n < 31_200 else 5.0)
        for n in range(36_000)
    ]
    load = energy_of(readings, 0.1)
    assert load.standard_error_watts is not None
    assert 2 * load.standard_error_watts * load.covered_seconds > 600
    assert subtract_idle(load, Idle(steady(5.0, 30.0))).net_joules == pytest.approx(600.0)
