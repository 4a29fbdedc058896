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

"""Operating points: few, named, none dominated, and certified ones keep their promise."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from dual_cnn_ros.bundle import Certificate, MOST_POINTS
from dual_cnn_ros.calibration.guarantee import CertifiedPath
from dual_cnn_ros.calibration.operating_points import operating_points, promise
from dual_cnn_ros.calibration.rules import CandidateRule
from dual_cnn_ros.cascade.settings import ALWAYS_DEFER

MACS = (100, 1000)
LOSS = Certificate(0.01, 0.05, 'betting', 100, 'always asking second')
HARM = Certificate(0.01, 0.05, 'binomial', 100, 'always asking second')


def rule_of(scores: list[float], first: list[bool], final: list[bool]) -> CandidateRule:
    own, *right = map(np.array, (scores, first, final))
    return CandidateRule('entropy', 'none', (own,), tuple(right), MACS)


def noisy(count: int, seed: int = 0) -> CandidateRule:
    """Return a rule whose second stage is better where the first one is unsure."""
    random = np.random.default_rng(seed)
    scores = random.random(count)
    return rule_of(scores, random.random(count) < scores, random.random(count) < 0.8)


def certified(certificate: Certificate, *thresholds: float, down_to: float = 0.0) -> CertifiedPath:
    """Return what certifies a path of thresholds for two stages, from always deferring on."""
    path = sorted({*thresholds, ALWAYS_DEFER}, reverse=True)
    return CertifiedPath(certificate, tuple((t,) for t in path if t >= down_to))


grids = st.lists(st.floats(0, 1), max_size=5, unique=True).map(sorted)


ends = st.tuples(st.floats(0, 1), st.floats(0, 1))


@given(st.integers(1, 60), st.integers(0, 99), st.floats(0, 1), grids, ends, st.booleans())
def test_points_are_few_differ_and_are_not_dominated(
    count: int, seed: int, single: float, grid: list, ends: tuple[float, float], stated: bool
) -> None:
    rule = noisy(count, seed)
    promised = [
        certified(certificate, *grid, down_to=end) for certificate, end in zip((LOSS, HARM), ends)
    ]
    accuracy = rule.outcomes().most_accurate().accuracy / 2 if stated else None
    points = operating_points(rule, MACS, single, promised, accuracy)
    assert 1 <= len(points) <= MOST_POINTS and len({p.name for p in points}) == len(points)
    assert all(p.use and p.post_check == 'none' for p in points)
    outcomes = {(p.accuracy, p.deferral_rates) for p in points}
    assert len(outcomes) == len(points), 'what comes to the same is one point'
    for point, dearer in pairwise(points):
        assert point.macs <= dearer.macs
    for point in points:
        at = rule.at([c.threshold for c in point.criteria])
        assert (point.accuracy, *point.deferral_rates) == (
            pytest.approx(at.accuracy, abs=1e-5),
            pytest.approx(at.deferral_rates[0], abs=1e-5),
        )
        assert point.macs == pytest.approx(100 + 1000 * at.deferral_rates[0], abs=1)
        others = [rule.at([p.criteria[0].threshold]) for p in points if p.certificate is None]
        is_dominated = any(other.dominates(at) for other in others)
        if point.certificate is None:
            assert not is_dominated
        else:
            (entry,) = (e for e in promised if e.certificate == point.certificate)
            for kept in promised:
                if promise(kept.certificate) in point.use:
                    assert point.criteria[0].threshold >= kept.path[-1][0]
            if is_dominated:
                assert at.deferral_rates == rule.at(entry.path[-1]).deferral_rates


def test_each_point_is_the_cheapest_that_does_what_its_name_says() -> None:
    rule = noisy(5000)
    outcomes = rule.outcomes()
    best = outcomes.most_accurate()
    points = {p.name: p for p in operating_points(rule, MACS, 0.8, accuracy=0.7)}
    accuracies = {
        'most_accurate': best.accuracy,
        'matches_best_cnn': 0.8,
        'within_half_point': best.accuracy - 0.005,
        'within_one_point': best.accuracy - 0.01,
        'within_two_points': best.accuracy - 0.02,
        'stated_accuracy': 0.7,
    }
    assert set(points) == {'cheapest', *accuracies}
    for name, accuracy in accuracies.items():
        assert (points[name].criteria[0].threshold,) == outcomes.reaching(accuracy).thresholds
    assert points['cheapest'].deferral_rates == (0,)
    assert 'matches_best_cnn' not in {p.name for p in operating_points(rule, MACS, 0.99)}
    with pytest.raises(ValueError, match='no threshold reaches'):
        operating_points(rule, MACS, 0.8, accuracy=0.999)


# The first stage is right where it is surer than 0.45, the second one always but at 0.85.
STEPS = rule_of(
    [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05],
    [True] * 5 + [False] * 5,
    [True, False] + [True] * 8,
)


@pytest.mark.parametrize(
    ('thresholds', 'taken'),
    [
        # 0.45 is all that is wanted, 0.25 cheaper and less accurate: neither is dominated.
        ((0.25, 0.45, 0.75), 0.25),
        # At 0.65 as much is right as at 0.45, for more; at 0.85 less is, for still more.
        ((0.65, 0.85), 0.65),
        ((0.85,), 0.85),
    ],
)
def test_the_loosest_certified_threshold_that_is_not_dominated_is_taken(
    thresholds: tuple[float, ...], taken: float
) -> None:
    points = operating_points(STEPS, MACS, 1.0, [certified(LOSS, *thresholds)])
    (point,) = (p for p in points if p.certificate)
    assert point.name == 'certified' and point.criteria[0].threshold == taken
    assert promise(LOSS) in point.use


def test_what_comes_to_the_same_is_one_point_with_all_promises() -> None:
    path = 0.43, 0.47
    both = [certified(LOSS, *path), certified(HARM, *path, down_to=0.45)]
    points = operating_points(STEPS, MACS, 1.0, both)
    assert [p.name for p in points] == ['cheapest', 'certified']
    certain = points[-1]
    assert certain.criteria[0].threshold == 0.47, 'the tighter one, which keeps both promises'
    assert certain.certificate == LOSS
    assert promise(LOSS) in certain.use and promise(HARM) in certain.use
    assert certain.use.endswith(
        'Also: most_accurate, matches_best_cnn, within_half_point, within_one_point, '
        'within_two_points.'
    )
    path = 0.45, 0.55
    promised = [certified(LOSS, *path), certified(HARM, *path, down_to=0.5)]
    apart = operating_points(STEPS, MACS, 1.0, promised)
    assert [p.name for p in apart] == ['cheapest', 'certified', 'certified_harm']
