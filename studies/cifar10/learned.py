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
Selectors of one cascade: learned.py IMAGES SPLIT CNN CNN ... [--joint BUNDLE].

Prints the variance of REINFORCE's gradient with and without a baseline, beside the exact gradient,
and what selectors come to for each price, beside thresholds of the same cost: chosen on one half
of the images, judged on the other, mean of five halvings. IMAGES must be new to all CNNs. With
--joint, a bundle that `train --joint` made is judged on the same images, as it is and with
thresholds on its selectors' scores.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from study import Halving, HALVINGS, PRICES

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.calibration.candidates import Candidate, ImageSelection, read_candidates
from dual_cnn_ros.calibration.policy_gradient import (
    exact_gradient,
    rewards,
    sampled_gradient,
    selector_scores,
)
from dual_cnn_ros.calibration.predictions import predict, Predictions
from dual_cnn_ros.cascade.selector import Selector

DRAWS = 200


def variances(halving: Halving, price: float) -> str:
    """Return the mean variance of REINFORCE's gradient beside the square of the exact one."""
    order = tuple(range(len(halving.pool)))
    truth, probabilities = halving.choosing.labels, halving.probabilities[0]
    worth = rewards(probabilities, truth, halving.costs, price)
    selectors = halving.learn(order, 'none', price, slice(None))
    stopping = np.stack(selector_scores(selectors, probabilities), axis=1)
    mean, gradient = exact_gradient(stopping, worth)
    random = np.random.default_rng(0)
    found = []
    for baseline in (0.0, mean):
        drawn = [sampled_gradient(stopping, worth, random, baseline)[1] for _ in range(DRAWS)]
        # Of an image, as the mean over all is what moves the selectors.
        found.append(np.var(drawn, axis=0).mean() * len(truth) ** 2)
    exact = np.square(gradient).mean() * len(truth) ** 2
    return (
        f'price {price}: variance {found[0]:.4f} without, {found[1]:.4f} with a baseline of '
        f'{mean:.3f}; square of the exact gradient {exact:.4f}'
    )


def compared(halving: Halving, selectors: Sequence[Selector]) -> list[float]:
    """
    Return what selectors come to, thresholds, and thresholds on the selectors: accuracy, cost.

    Thresholds cost the same on the half to choose with; all is judged on the other half.
    """
    order = tuple(range(len(halving.pool)))
    half = (0.5,) * len(selectors)
    chosen, judged = (halving.learned(part, order, 'none', selectors) for part in (0, 1))
    plain, other = (halving.rule(part, order, 'max_probability', 'none') for part in (0, 1))
    cost = chosen.at(half).cost
    same = plain.outcomes().costing_at_most(cost).thresholds
    scored = chosen.outcomes().costing_at_most(cost).thresholds
    outcomes = (judged.at(half), other.at(same), judged.at(scored))
    return [value for o in outcomes for value in (100 * o.accuracy, o.cost / 1e6)]


def sweep(halvings: Sequence[Halving]) -> None:
    """Print what selectors of each price come to."""
    order = tuple(range(len(halvings[0].pool)))
    for price in PRICES:
        rows = [compared(h, h.learn(order, 'none', price, slice(None))) for h in halvings]
        print(f'price {price}: ' + _text(rows))


def _text(rows: Sequence[Sequence[float]]) -> str:
    names = ('selector', 'thresholds', 'thresholds on the selector')
    means = np.mean(rows, axis=0).reshape(-1, 2)
    return ', '.join(
        f'{name} {accuracy:.2f} % for {cost:.1f} M'
        for name, (accuracy, cost) in zip(names, means.tolist())
    )


def joint(name: str, selection: ImageSelection) -> None:
    """Print what a bundle of `train --joint` comes to, without and with thresholds."""
    pool = read_candidates([name])
    everything = predict(pool, selection)
    selectors = [stage.selector for stage in Bundle.open(name).stages if stage.selector]
    rows = [compared(halving, selectors) for halving in halve(pool, everything, is_scaled=False)]
    singles = ', '.join(f'{100 * own.mean():.2f} %' for own in everything.right)
    print(f'{Path(name).name}: its CNNs alone {singles}; {_text(rows)}')


def halve(
    pool: Sequence[Candidate], everything: Predictions, is_scaled: bool = True
) -> list[Halving]:
    """Return the halvings, at the CNNs' MACs."""
    macs = [float(member.stage.macs) for member in pool]
    return [Halving(pool, everything, n, macs, is_scaled) for n in range(HALVINGS)]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('images', type=Path)
    parser.add_argument('split')
    parser.add_argument('cnns', nargs='+')
    parser.add_argument('--joint', nargs='*', default=[])
    options = parser.parse_args()
    selection = ImageSelection(options.images, options.split)
    pool = read_candidates(options.cnns)
    halvings = halve(pool, predict(pool, selection))
    for price in (0.1, 0.2, 0.5):
        print(variances(halvings[0], price))
    sweep(halvings)
    for name in options.joint:
        joint(name, selection)


if __name__ == '__main__':
    main()
