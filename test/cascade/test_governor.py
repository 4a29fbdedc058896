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

"""The governor in simulation: scenes that change, a sensor that lags, lies and is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import math

import numpy as np
import pytest

from dual_cnn_ros.cascade.governor import Budget, Governor, ScalePoint
from dual_cnn_ros.cascade.settings import Criterion, Rule

NAMES = ('floor', 'low', 'middle', 'high', 'top')
COSTS = (1.0, 1.8, 2.3, 3.2, 4.2)
RATES = (0.05, 0.15, 0.3, 0.45, 0.6)
SCALE = tuple(
    ScalePoint(Rule((Criterion('entropy', 0.5 + place / 10),), 'none', name), cost, rate)
    for place, (name, cost, rate) in enumerate(zip(NAMES, COSTS, RATES))
)
FRAMES, READINGS = 30, 10


@dataclass
class Board:
    """
    A board whose power is that of its idling and that of the frames, a second later and noisy.

    Attributes
    ----------
    idle, per_cost
        Watts at rest, and for each unit of cost, at 30 frames a second.
    difficulty
        By how much more frames cost than the operating points say, by time.
    seed
        Of all noise.
    lost
        Between which seconds no reading comes.

    """

    idle: float
    per_cost: float
    difficulty: Callable[[float], float] = lambda time: 1.0
    seed: int = 0
    lost: tuple[float, float] = (math.inf, math.inf)

    def drive(self, governor: Governor, seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the watts and the place of the rule on the scale, of every frame."""
        random = np.random.default_rng(self.seed)
        watts, places = [], []
        for number in range(round(seconds * FRAMES)):
            time = number / FRAMES
            places.append(NAMES.index(governor.rule().name))
            cost = COSTS[places[-1]] * self.difficulty(time) * (1 + 0.2 * random.standard_normal())
            watts.append(self.idle + self.per_cost * cost)
            if number % (FRAMES // READINGS) == 0 and not self.lost[0] <= time < self.lost[1]:
                before = watts[max(0, number - 40) : max(1, number - 29)]
                governor.read(float(np.mean(before)) * (1 + 0.05 * random.standard_normal()), time)
        return np.array(watts), np.array(places)

    def reachable(self, share: float, worst: float, best: float) -> float:
        """Return watts between what the floor and the top need, at two difficulties."""
        low = self.idle + self.per_cost * COSTS[0] * worst
        high = self.idle + self.per_cost * COSTS[-1] * best
        assert low < high
        return low + share * (high - low)


def second(values: np.ndarray, start: float, end: float) -> np.ndarray:
    return values[round(start * FRAMES) : round(end * FRAMES)]


@pytest.mark.parametrize('step', [1.6, 0.6])
@pytest.mark.parametrize(('idle', 'per_cost'), [(0.0, 1.0), (1.0, 1.0), (3.0, 0.5), (5.0, 0.3)])
def test_watts_are_kept_within_3_percent_from_20_s_after_a_step(
    idle: float, per_cost: float, step: float
) -> None:
    for seed, share in ((0, 0.3), (1, 0.5), (2, 0.8)):
        board = Board(idle, per_cost, lambda time: step if time >= 40 else 1.0, seed)
        target = board.reachable(share, max(1, step), min(1, step))
        governor = Governor(SCALE, Budget('power', target), 0.0)
        watts, _ = board.drive(governor, 80)
        for start in (20, 60):
            assert second(watts, start, start + 20).mean() == pytest.approx(target, rel=0.03)
        # No oscillation: what the noise of the sensor moves is all that moves.
        means = second(watts, 60, 80).reshape(-1, 2 * FRAMES).mean(axis=1)
        assert means.std() < 0.06 * target
        state = governor.state(80.0)
        assert state.fault == '' and state.measured == pytest.approx(target, rel=0.05)


@pytest.mark.parametrize('rate', [10, 30])
@pytest.mark.parametrize('step', [1.5, 0.7])
@pytest.mark.parametrize('target', [0.1, 0.2, 0.4])
def test_the_share_of_deferred_frames_is_kept_whatever_the_scene(
    target: float, step: float, rate: int
) -> None:
    random = np.random.default_rng(0)
    governor = Governor(SCALE, Budget('deferral_rate', target), 0.0)
    asked = []
    for number in range(rate * 120):
        time = number / rate
        hard = RATES[NAMES.index(governor.rule().name)] * (step if time >= 40 else 1.0)
        asked.append(random.random() < hard)
        governor.saw(asked[-1], time)
    after = asked[60 * rate :]
    # A frame more or less, and what the demand may be off at either end.
    assert np.mean(after) == pytest.approx(target, rel=0.03, abs=12 / len(after))
    assert governor.state(120.0).fault == ''


def test_joules_last_until_the_time_and_no_longer() -> None:
    for target in (400.0, 470.0):
        board = Board(2.0, 0.6, lambda time: 0.7 if 30 < time < 60 else 1.0)
        governor = Governor(SCALE, Budget('energy', target, 120.0), 0.0)
        watts, _ = board.drive(governor, 120)
        assert watts.sum() / FRAMES == pytest.approx(target, rel=0.02)
        assert governor.state(119.9).left == pytest.approx(0, abs=0.02 * target)
    assert 'the time of the budget is over' in governor.state(120.0).fault
    before = governor.state(120.0).position
    governor.read(0.0, 121.0)
    assert governor.state(121.0).position == before, 'after it, the operating point is held'


def test_a_share_below_that_of_the_floor_is_said() -> None:
    random = np.random.default_rng(0)
    governor = Governor(SCALE[2:], Budget('deferral_rate', 0.1), 0.0)
    for number in range(900):
        place = NAMES.index(governor.rule().name)
        governor.saw(random.random() < RATES[place], number / FRAMES)
    assert place == 2 and 'cannot be met' in governor.state(30.0).fault


@pytest.mark.parametrize(
    ('kind', 'target', 'until'), [('power', 0.5, math.inf), ('energy', 5.0, 30.0)]
)
def test_the_floor_is_never_passed_and_what_cannot_be_met_is_said(
    kind: str, target: float, until: float
) -> None:
    governor = Governor(SCALE[1:], Budget(kind, target, until), 0.0, position=2.0)
    _, places = Board(3.0, 0.5).drive(governor, 25)
    assert places.min() == 1, 'the floor'
    assert (second(places, 15, 25) == 1).all()
    assert 'the budget cannot be met: it takes less than low, the floor' in (
        governor.state(25.0).fault
    )


def test_more_than_enough_is_no_fault_and_does_not_wind_up() -> None:
    board = Board(3.0, 0.5, lambda time: 1.0 if time < 60 else 3.0)
    governor = Governor(SCALE, Budget('power', 6.0), 0.0)
    watts, places = board.drive(governor, 100)
    assert (second(places, 30, 60) == 4).all() and second(watts, 30, 60).mean() < 5.5
    assert second(watts, 80, 100).mean() == pytest.approx(6.0, rel=0.03)
    assert governor.state(100.0).fault == ''


def test_without_readings_the_point_is_held_and_the_loss_is_said() -> None:
    board = Board(3.0, 0.5, lambda time: 1.0 if time < 40 else 1.3, lost=(30.0, 60.0))
    governor = Governor(SCALE, Budget('power', 4.3), 0.0)
    governor.read(math.nan, 0.0)
    watts, places = board.drive(governor, 31)
    held = governor.state(31.0).position
    assert 0.5 < held < 4 and governor.state(31.0).fault == ''
    assert 'no power reading for 5 s' in governor.state(35.0).fault
    assert governor.state(35.0).position == held
    governor = Governor(SCALE, Budget('power', 4.3), 0.0)
    watts, places = board.drive(governor, 100)
    during = second(places, 32, 60)
    assert during.max() - during.min() <= 1, 'frames alternate between the same two'
    assert second(watts, 80, 100).mean() == pytest.approx(4.3, rel=0.03)


def test_joules_of_a_gap_are_counted() -> None:
    governor = Governor(SCALE, Budget('energy', 100.0, 1000.0), 0.0)
    for time, watts in ((0.0, 2.0), (1.0, 2.0), (11.0, 4.0)):
        governor.read(watts, time)
    assert governor.state(11.0).left == pytest.approx(100 - 2 - 30)


@pytest.mark.parametrize('position', [0.0, 0.25, 1.5, 2.0, 3.9, 4.0])
def test_frames_alternate_so_that_their_mean_is_the_position(position: float) -> None:
    governor = Governor(SCALE, Budget('power', 1.0), 0.0, position)
    places = [NAMES.index(governor.rule().name) for _ in range(400)]
    assert np.mean(places) == pytest.approx(position, abs=1e-6)
    assert set(places) == {math.floor(position + 1e-9), math.ceil(position - 1e-9)}
    state = governor.state(0.0)
    assert state.position == pytest.approx(position)
    assert set(state.points) == {NAMES[place] for place in set(places)}


def test_one_point_is_nothing_to_choose_from() -> None:
    with pytest.raises(ValueError, match='two operating points'):
        Governor(SCALE[:1], Budget('power', 1.0), 0.0)
