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

"""What calibration found, and the choice of a pair, in tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator

from dual_cnn_ros.bundle import Bundle, Certificate
from dual_cnn_ros.calibration.findings import CalibrationFindings
from dual_cnn_ros.calibration.guarantee import units_needed
from dual_cnn_ros.calibration.operating_points import promise
from dual_cnn_ros.calibration.pairs import PairingFindings
from dual_cnn_ros.cascade.scores import SCORES
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
            f'{point.criteria[0].threshold:.4f}',
            percent(point.accuracy),
            percent(point.deferral_rate),
            millions(point.macs),
            percent(test.operating_points[point.name].accuracy if test else None),
        )
        for point in bundle.operating_points
    ]
    head = ('operating point', 'threshold', measure, 'deferred', 'MACs', 'test')
    yield from ['', *text_table([head, *points]), '']
    yield from (f'{point.name}: {point.use}' for point in bundle.operating_points)
    yield f'\nThe bundle uses {rule.score} >= {rule.threshold:.4f}, {rule.post_check}' + (
        f': {" and ".join(findings.chosen)} chosen on the images to fit on.\n'
        if findings.chosen
        else ', as asked for.\n'
    )
    yield (
        f'{measure.capitalize()} of each score where {percent(rule.deferral_rate)} are deferred, '
        'or just less:'
    )
    scores = [
        (check, *(percent(p.accuracy) for p in findings.at_equal_cost if p.post_check == check))
        for check in POST_CHECKS
    ]
    yield from [*text_table([('post-check', *SCORES), *scores]), '']
    if findings.sought:
        yield from _uncertified(bundle, findings.sought)
    first, second = (stage.cpu_seconds or 0 for stage in bundle.stages)
    if first > second:
        yield (
            f'WARNING: the first CNN takes {milli(first, "s")}, more than the second with '
            f'{milli(second, "s")}, so that asking it first saves little: swap the two.'
        )
    elif first + rule.deferral_rate * second > second:
        yield (
            f'WARNING: with {percent(rule.deferral_rate, 0)} deferred, both CNNs together take '
            'more CPU time than the second one alone. Train the first one on such images, or be '
            'content with less (--accuracy).'
        )
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


def _images(images: int, units: int) -> str:
    return f'{images} images' if images == units else f'{images} frames of {units} scenes'


def _uncertified(bundle: Bundle, sought: Certificate) -> Iterator[str]:
    """Yield what could not be certified, and how many images or scenes it takes at least."""
    certified = [point for point in bundle.operating_points if point.certificate]
    failed = [point.name for point in certified if point.criteria[0].threshold == ALWAYS_DEFER]
    if certified and not failed:
        return
    needed = units_needed(sought.alpha, sought.delta)
    yield (
        f'{", ".join(failed) or "NOTHING IS CERTIFIED"}: no threshold was shown to keep the '
        f'promise ({promise(sought)})'
        + (', so every image is deferred' if failed else '')
        + f'. It takes {needed} independent images or scenes at least; there were {sought.images}.'
    )


def pairing_report(data: str, findings: PairingFindings) -> Iterator[str]:
    """Yield what `pair` prints."""
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
            percent(row.deferral_rate, 1),
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
