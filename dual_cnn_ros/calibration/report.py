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

"""What calibration found, and the choice of a cascade, in tables and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from dual_cnn_ros.bundle import Bundle, Certificate
from dual_cnn_ros.calibration.candidates import COSTS
from dual_cnn_ros.calibration.choice import ChoiceFindings
from dual_cnn_ros.calibration.findings import CalibrationFindings
from dual_cnn_ros.calibration.guarantee import units_needed
from dual_cnn_ros.calibration.operating_points import promise
from dual_cnn_ros.cascade.costs import expected_cost
from dual_cnn_ros.cascade.settings import ALWAYS_DEFER, POST_CHECKS
from dual_cnn_ros.tables import interval_text, milli, millions, percent, text_table


def calibration_report(bundle: Bundle, findings: CalibrationFindings) -> Iterator[str]:
    """Yield what `calibrate` prints."""
    measure, rule, test = findings.measure, findings.rule, findings.test
    yield f'bundle {bundle.name}: ' + ' then '.join(stage.title for stage in bundle.stages)
    fit = _images(findings.fit_images, findings.fit_units)
    if findings.certification_units:
        certification = _images(findings.certification_images, findings.certification_units)
        yield f'{fit} to fit on, {certification} for thresholds and certificates\n'
    else:
        yield f'{fit}, too few to part: all of them to fit on, and none to certify on\n'
    stages = [
        (
            name,
            percent(stage.accuracy),
            f'{stage.temperature:.3f}',
            # How sure a CNN is says nothing of how often it agrees with itself.
            *(
                percent(None if measure == 'agreement' and stage.accuracy == 1 else when.error)
                for when in (stage.before, stage.after)
            ),
            milli(spec.cpu_seconds, 's'),
        )
        for spec, (name, stage) in zip(bundle.stages, findings.calibration.items())
    ]
    head = ('CNN', measure, 'temperature', 'ECE before', 'after', 'CPU')
    yield from text_table([head, *stages])
    points = [
        (
            point.name,
            _thresholds(criterion.threshold for criterion in point.criteria),
            percent(point.accuracy),
            _shares(point.deferral_rates or ()),
            millions(point.macs),
            percent(test.operating_points[point.name].accuracy if test else None),
        )
        for point in bundle.operating_points
    ]
    head = ('operating point', 'threshold', measure, 'deferred', 'MACs', 'test')
    if bundle.operating_points:
        yield from ['', *text_table([head, *points]), '']
        yield from (f'{point.name}: {point.use}' for point in bundle.operating_points)
        yield from _rule(findings)
    if findings.sought:
        yield from _uncertified(bundle, findings.sought)
    yield from _dear(bundle, rule.outcome.deferral_rates)
    if findings.memory and findings.memory.warning:
        yield findings.memory.warning
    if test:
        judged = {**test.stages, 'cascade': test.cascade}
        yield (
            f'Test, {test.images} images of {test.source}'
            + (f', split {test.split}' if test.split else '')
            + ': '
            + ', '.join(
                f'{name} {percent(own.accuracy)} {interval_text(own.interval)}'
                for name, own in judged.items()
            )
            + '; in brackets 95 % intervals.'
        )


def _rule(findings: CalibrationFindings) -> Iterator[str]:
    """Yield the rule of a bundle of several stages, and what others come to at its cost."""
    rule, (title, factor, unit) = findings.rule, COSTS[findings.cost]
    yield (
        f'\nThe bundle uses {rule.score} >= {_thresholds(rule.outcome.thresholds)}, '
        f'{rule.post_check}'
    ) + (
        f': {" and ".join(findings.chosen)} chosen on the images to fit on.\n'
        if findings.chosen
        else ', as asked for.\n'
    )
    yield (
        f'{findings.measure.capitalize()} of each score at the {title} of this rule, '
        f'{factor * rule.outcome.cost:.3g} {unit}, or less:'
    )
    found = {(p.post_check, p.score): p.outcome.accuracy for p in findings.at_equal_cost}
    names = dict.fromkeys(point.score for point in findings.at_equal_cost)
    scores = [
        (check, *(percent(found.get((check, name))) for name in names)) for check in POST_CHECKS
    ]
    yield from [*text_table([('post-check', *names), *scores]), '']


def _dear(bundle: Bundle, deferral_rates: Sequence[float]) -> Iterator[str]:
    """Yield a warning where the stages do not save what they could."""
    stages = bundle.stages
    costs = [stage.cpu_seconds or 0.0 for stage in stages]
    for early, later in combinations(range(len(stages)), 2):
        if costs[early] > costs[later]:
            yield (
                f'WARNING: CNN {stages[early].name} takes {milli(costs[early], "s")}, more than '
                f'CNN {stages[later].name} with {milli(costs[later], "s")}, so that asking it '
                'before saves little: swap the two.'
            )
            return
    if expected_cost(costs, deferral_rates) > costs[-1]:
        yield (
            f'WARNING: with {_shares(deferral_rates, 0)} deferred, the CNNs together take more '
            f'CPU time than the {stages[-1].name} one alone. Train the earlier ones on such '
            'images, or be content with less (--accuracy).'
        )


def _thresholds(thresholds: Iterable[float]) -> str:
    return ', '.join(f'{threshold:.4f}' for threshold in thresholds)


def _shares(shares: Sequence[float], digits: int = 2) -> str:
    return ', '.join(percent(share, digits) for share in shares) or '-'


def _images(images: int, units: int) -> str:
    return f'{images} images' if images == units else f'{images} frames of {units} scenes'


def _uncertified(bundle: Bundle, sought: Certificate) -> Iterator[str]:
    """Yield what could not be certified, and how many images or scenes it takes at least."""
    certified = [point for point in bundle.operating_points if point.certificate]
    failed = [
        point.name
        for point in certified
        if all(criterion.threshold == ALWAYS_DEFER for criterion in point.criteria)
    ]
    if certified and not failed:
        return
    needed = units_needed(sought.alpha, sought.delta)
    yield (
        f'{", ".join(failed) or "NOTHING IS CERTIFIED"}: no threshold was shown to keep the '
        f'promise ({promise(sought)})'
        + (', so every image is deferred' if failed else '')
        + f'. It takes {needed} independent images or scenes at least; there were {sought.images}.'
    )


def choice_report(data: str, findings: ChoiceFindings) -> Iterator[str]:
    """Yield what `choose` prints."""
    members = findings.members
    yield (
        f'{findings.images:,} validation images of {data} to choose with; complementarity in % of '
        'them\n'
    )
    numbers = [str(i) for i in range(1, len(members) + 1)]
    cnns = [
        (
            f'{number} {member.name}',
            percent(member.accuracy),
            millions(member.macs),
            milli(member.cpu_seconds, 's'),
            *('-' if other == number else f'{100 * v:.2f}' for other, v in zip(numbers, own)),
        )
        for number, member, own in zip(numbers, members, findings.complementarity)
    ]
    yield from [*text_table([('CNN', 'accuracy', 'MACs', 'CPU', *numbers), *cnns]), '']
    advice = findings.recommendation
    roles = [
        ('best single CNN', advice.single),
        ('most complementary', advice.complementary),
        ('recommended', advice.winner),
    ]
    shown = [*advice.pareto, *(row for _, row in roles if row not in advice.pareto)]
    rows = [
        (
            row.title,
            row.post_check or '-',
            percent(row.accuracy),
            _shares(row.deferral_rates, 1),
            millions(row.macs),
            milli(row.cpu_seconds, 's'),
            ', '.join(
                [
                    *(role for role, other in roles if other == row),
                    *([] if row in advice.pareto else ['dominated']),
                ]
            ),
        )
        for row in sorted(shown, key=lambda row: float(getattr(row, findings.cost)))
    ]
    head = ('expected', 'post-check', 'accuracy', 'deferred', 'MACs', 'CPU', '')
    yield 'What no cheaper one is as accurate as, and what is worth knowing besides:'
    yield from [*text_table([head, *rows]), '', *findings.reasons]
