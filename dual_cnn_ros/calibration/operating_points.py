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
from dual_cnn_ros.calibration.guarantee import CertifiedThresholds
from dual_cnn_ros.calibration.rules import CandidateRule
from dual_cnn_ros.calibration.thresholds import ThresholdPoint
from dual_cnn_ros.cascade.settings import Criterion

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
    at: ThresholdPoint
    certificate: Certificate | None = None
    also: tuple[str, ...] = ()

    @property
    def full_use(self) -> str:
        return f'{self.use} Also: {", ".join(self.also)}.' if self.also else self.use


def operating_points(
    rule: CandidateRule,
    macs: Sequence[int],
    best_single: float | None,
    certified: Sequence[CertifiedThresholds] = (),
    accuracy: float | None = None,
    measure: str = MEASURES[0],
) -> tuple[OperatingPoint, ...]:
    """
    Return at most MOST_POINTS operating points of one score and post-check, cheapest first.

    Parameters
    ----------
    rule
        On the images to certify with.
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
    No point is dominated, but for certified ones: of the thresholds that a certificate is for, the
    loosest is taken that no uncertified point dominates, and the loosest of all where there is
    none. Points that come to the same become one, which tells the names of the others. Where there
    are too many, those go of which the next is nearest in meaning.

    """
    plain = _uncertified(rule, best_single, accuracy, measure)
    promised = [_certified(rule, entry, plain) for entry in certified]
    points: dict[tuple[float, float], _Named] = {}
    for point in promised + plain:
        outcome = point.at.deferral_rate, point.at.accuracy
        points[outcome] = _merge(points[outcome], point) if outcome in points else point
    cheapest_first = [points[outcome] for outcome in sorted(list(points)[:MOST_POINTS])]
    return tuple(
        OperatingPoint(
            point.name,
            (Criterion(rule.score, point.at.threshold),),
            rule.post_check,
            point.full_use,
            round(point.at.accuracy, 5),
            round(point.at.deferral_rate, 5),
            expected_macs(macs, point.at.deferral_rate),
            point.certificate,
        )
        for point in cheapest_first
    )


def expected_macs(macs: Sequence[int], deferral_rate: float) -> int:
    """Return the mean MACs of an image, of those of both stages."""
    return round(macs[0] + deferral_rate * macs[1])


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
    curve = rule.curve()
    best = curve.most_accurate()
    points = [
        _Named('most_accurate', f'When {measure} matters most: no threshold had more.', best)
    ]
    if accuracy is not None:
        use = f'The cheapest of at least the {measure} asked for, {accuracy:.2%}.'
        points.append(_Named('stated_accuracy', use, curve.reaching(accuracy)))
    if best_single is not None and best_single <= best.accuracy:
        use = 'The cheapest that is as accurate as the best CNN alone.'
        points.append(_Named('matches_best_cnn', use, curve.reaching(best_single)))
    cheapest = curve.reaching(curve.pareto().accuracy[-1])
    points.append(_Named('cheapest', 'When cost matters most: nothing is cheaper.', cheapest))
    for name, loss, words in WITHIN:
        use = f'The cheapest that gives away at most {words} of the highest {measure}.'
        points.append(_Named(name, use, curve.reaching(best.accuracy - loss)))
    return points


def _certified(rule: CandidateRule, entry: CertifiedThresholds, plain: Sequence[_Named]) -> _Named:
    points = [rule.at(threshold) for threshold in entry.thresholds]
    at = next((p for p in points if not any(other.at.dominates(p) for other in plain)), points[0])
    use = f'When a promise is needed: {promise(entry.certificate)}.'
    return _Named(CERTIFIED[entry.certificate.method], use, at, entry.certificate)


def _merge(point: _Named, other: _Named) -> _Named:
    if not other.certificate:
        return replace(point, also=(*point.also, other.name))
    # Certificates hold for all tighter thresholds of the grid, so that the tighter has both.
    at = replace(point.at, threshold=max(point.at.threshold, other.at.threshold))
    return replace(point, use=f'{point.use} {other.use}', at=at)
