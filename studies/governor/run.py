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

"""
One simulated run of the governor: run.py OUT.png.

The operating points are those of the bundle `scenes`, at 30 frames a second, on a simulated board
that takes 3 W at rest and 40 W for each second of CPU time in a second. Its sensor is read ten
times a second, a second late, and 5 % noisy; it is lost for ten seconds. What a frame costs
changes with the scene, and the budget changes once.
"""

from __future__ import annotations

from pathlib import Path
import sys

from matplotlib.figure import Figure
import numpy as np

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.cascade.governor import Budget, Governor
from dual_cnn_ros.evaluation.plots import INK, PALETTE, png

FRAMES, READINGS, SECONDS = 30, 10, 180
IDLE, PER_BUSY_SECOND = 3.0, 40.0
LOST = 120, 130
# From which second on: how much more frames cost than the bundle says, and the budget in watts.
DIFFICULTY = ((0, 1.0), (40, 1.6), (80, 0.8), (124, 1.2))
BUDGET = ((0, 4.2), (100, 4.0))


def at(steps: tuple[tuple[int, float], ...], time: float) -> float:
    """Return the value of the last step that has begun."""
    return [value for start, value in steps if start <= time][-1]


def run() -> dict[str, np.ndarray]:
    """Return time, watts, readings, place on the scale, difficulty and budget of every frame."""
    random = np.random.default_rng(0)
    scale = Bundle.open('scenes').scale('cheapest')
    costs = {point.rule.name: point.cost for point in scale}
    governor = Governor(scale, Budget('power', at(BUDGET, 0)), 0.0)
    rows: list[tuple[float, ...]] = []
    for number in range(SECONDS * FRAMES):
        time = number / FRAMES
        if (target := at(BUDGET, time)) != governor.budget.target:
            governor = Governor(
                scale, Budget('power', target), time, governor.state(time).position
            )
        cost = costs[governor.rule().name] * (1 + 0.2 * random.standard_normal())
        watts = IDLE + PER_BUSY_SECOND * FRAMES * cost * at(DIFFICULTY, time)
        reading = np.nan
        if number % (FRAMES // READINGS) == 0 and not LOST[0] <= time < LOST[1]:
            late = [row[1] for row in rows[-40:-29]] or [watts]
            reading = float(np.mean(late)) * (1 + 0.05 * random.standard_normal())
            governor.read(reading, time)
        place = governor.state(time).position
        rows.append((time, watts, reading, place, at(DIFFICULTY, time), target))
    names = ('time', 'watts', 'reading', 'place', 'difficulty', 'target')
    return dict(zip(names, np.array(rows).T))


def draw(found: dict[str, np.ndarray]) -> Figure:
    """Return the figure: watts, place on the scale, difficulty."""
    figure = Figure(figsize=(8.5, 6.0), layout='constrained')
    watts, place, scene = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 1))
    time = found['time']
    watts.plot(time, found['reading'], '.', color='#bbbbbb', ms=2, label='readings, 1 s late')
    smooth = np.convolve(found['watts'], np.ones(60) / 60, 'same')
    watts.plot(time[30:-30], smooth[30:-30], color=PALETTE[0], label='power, mean of 2 s')
    watts.plot(time, found['target'], '--', color=PALETTE[1], label='budget')
    watts.set_ylabel('W')
    watts.legend(loc='lower right', ncols=3)
    place.plot(time, found['place'], color=INK)
    place.set_ylabel('place on the scale')
    scene.plot(time, found['difficulty'], color=PALETTE[2])
    scene.set_ylabel('scene')
    scene.set_xlabel('s')
    for axes in (watts, place, scene):
        axes.axvspan(*LOST, color='#eeeeee')
    return figure


def errors(found: dict[str, np.ndarray]) -> list[str]:
    """Return for each step how far the mean of the 20 s from 20 s after it is from the budget."""
    lines = []
    steps = sorted({start for start, _ in (*DIFFICULTY, *BUDGET)} | {LOST[1]})
    for start, end in zip(steps, [*steps[1:], SECONDS]):
        if end - start < 30 or start == LOST[0]:
            continue
        during = (found['time'] >= start + 20) & (found['time'] < min(start + 40, end))
        mean, target = found['watts'][during].mean(), found['target'][during].mean()
        lines.append(f'{start + 20} s: {mean:.3f} W of {target:.1f} W, {mean / target - 1:+.1%}')
    return lines


if __name__ == '__main__':
    result = run()
    Path(sys.argv[1]).write_bytes(png(draw(result)))
    print(*errors(result), sep='\n')
