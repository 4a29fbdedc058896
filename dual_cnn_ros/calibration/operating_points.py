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

"""The rules of a bundle that are worth a name: none dominated, and each says when to choose it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dual_cnn_ros.bundle import Certificate, MEASURES, MOST_POINTS, OperatingPoint
from dual_cnn_ros.calibration.guarantee import CertifiedPath
from dual_cnn_ros.calibration.rules import CandidateRule
from dual_cnn_ros.calibration.thresholds import Outcome
from dual_cnn_ros.cascade.costs import expected_cost

WITHIN = (
    ('within_half_point', 0.005, 'half a percentage point'),
    ('within_one_point', 0.01, 'one percentage point'),
    ('within_two_points', 0.02, 'two percentage points'),
)
CERTIFIED = {'betting': 'certified', 'binomial': 'certified_harm'}


@dataclass(frozen=True)
class _Named:
    name: str
    use: str
    at: Outcome
    certificate: Certificate | None = None
    # Number of the step on the path that was tested.
    step: int = 0
    also: tuple[str, ...] = ()

    @property
    def full_use(self) -> str:
        return f'{self.use} Also: {", ".join(self.also)}.' if self.also else self.use


def operating_points(
    rule: CandidateRule,
    macs: Sequence[int],
    best_single: float | None,
    certified: Sequence[CertifiedPath] = (),
    accuracy: float | None = None,
    measure: str = MEASURES[0],
) -> tuple[OperatingPoint, ...]:
    """
    Return at most MOST_POINTS operating points of one score and post-check, cheapest first.

    Parameters
    ----------
    rule
        On the images to certify with, of two or more stages.
    macs
        Of each stage.
    best_single
        Accuracy of the best CNN alone, on the same images; None where that means nothing.
    certified
        What is certified for the rule.
    accuracy
        The accuracy that was asked for, if one was.
    measure
        What accuracy is here, a name of bundle.MEASURES.

    Notes
    -----
    No point is dominated, but for certified ones: of the vectors that a certificate is for, the
    cheapest is taken that no uncertified point dominates, and the last of the path where there is
    none. Points that come to the same become one, which tells the names of the others. Where there
    are too many, those go of which the next is nearest in meaning.

    """
    plain = _uncertified(rule, best_single, accuracy, measure)
    promised = [_certified(rule, entry, plain) for entry in certified]
    points: dict[tuple[float, float], _Named] = {}
    for point in promised + plain:
        outcome = point.at.cost, point.at.accuracy
        points[outcome] = _merge(points[outcome], point) if outcome in points else point
    cheapest_first = [points[outcome] for outcome in sorted(list(points)[:MOST_POINTS])]
    return tuple(
        OperatingPoint(
            point.name,
            rule.criteria(point.at.thresholds),
            rule.post_check,
            point.full_use,
            round(point.at.accuracy, 5),
            tuple(round(rate, 5) for rate in point.at.deferral_rates),
            round(expected_cost(macs, point.at.deferral_rates)),
            point.certificate,
        )
        for point in cheapest_first
    )


def promise(certificate: Certificate) -> str:
    """Return what a certificate promises, as a clause."""
    odds = f'with {100 - 100 * certificate.delta:g} % confidence'
    if certificate.measure == 'agreement':
        return (
            f'answers as {certificate.reference} in at least {100 - 100 * certificate.alpha:g} % '
            f'of frames like these, {odds}'
        )
    what = {
        'betting': f'loses at most {100 * certificate.alpha:g} % of accuracy',
        'binomial': f'gets at most {100 * certificate.alpha:g} % of images newly wrong',
    }[certificate.method]
    return f'{what} against {certificate.reference}, {odds}'


def _uncertified(
    rule: CandidateRule, best_single: float | None, accuracy: float | None, measure: str
) -> list[_Named]:
    """Return points of the Pareto front, those that matter most first."""
    outcomes = rule.outcomes()
    best = outcomes.most_accurate()
    points = [
        _Named('most_accurate', f'When {measure} matters most: no threshold had more.', best)
    ]
    if accuracy is not None:
        use = f'The cheapest of at least the {measure} asked for, {accuracy:.2%}.'
        points.append(_Named('stated_accuracy', use, outcomes.reaching(accuracy)))
    if best_single is not None and best_single <= best.accuracy:
        use = 'The cheapest that is as accurate as the best CNN alone.'
        points.append(_Named('matches_best_cnn', use, outcomes.reaching(best_single)))
    use = 'When cost matters most: nothing is cheaper.'
    points.append(_Named('cheapest', use, outcomes[0]))
    for name, loss, words in WITHIN:
        use = f'The cheapest that gives away at most {words} of the highest {measure}.'
        points.append(_Named(name, use, outcomes.reaching(best.accuracy - loss)))
    return points


def _certified(rule: CandidateRule, entry: CertifiedPath, plain: Sequence[_Named]) -> _Named:
    points = [rule.at(thresholds) for thresholds in entry.path]
    efficient = [p for p in points if not any(other.at.dominates(p) for other in plain)]
    at = min(efficient, key=lambda point: point.cost, default=points[-1])
    use = f'When a promise is needed: {promise(entry.certificate)}.'
    return _Named(
        CERTIFIED[entry.certificate.method], use, at, entry.certificate, points.index(at)
    )


def _merge(point: _Named, other: _Named) -> _Named:
    """Return one point for two of the same outcome, the first of which may be certified."""
    if not other.certificate:
        return replace(point, also=(*point.also, other.name))
    # Certificates hold for every step up to the last, so that the earlier one has both.
    first = min(point, other, key=lambda each: each.step)
    return replace(point, use=f'{point.use} {other.use}', at=first.at, step=first.step)
