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
Make a bundle of two trained CNNs: temperatures, score, threshold, post-check, and the evidence.

The pictures that `train` held out are split once more, by a hash of their names. On one part
(fit) the temperatures and the learned score are fitted, and the score and the post-check are
chosen; `pair` chose the two CNNs on it too, where it was given the same --fit. On the other
(certification) the thresholds are found, the exact best of all that there are, and one is
certified: to lose at most ALPHA of accuracy against always asking both CNNs under the post-check
chosen (under 'none', which is always asking the second), or against the model named by
--reference, with a probability of at least 1 - DELTA over the draw of pictures.

That certificate holds for one pair of CNNs, one combination of score and post-check and one grid
of thresholds, which therefore come from the fit part alone. To certify several and then take the
cheapest would be to look at the same pictures several times. The other operating points are the
best on the certification pictures, which promises nothing. The pictures of --test are looked at
once, by the finished bundle.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
import json
import math
from pathlib import Path
import re
import shutil
import sys
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dual_cnn_ros import bundle as bundles
from dual_cnn_ros.bundle import Bundle, StageSpec
from dual_cnn_ros.calibration.guarantee import certified_threshold, declared_grid
from dual_cnn_ros.calibration.predictions import (
    add_fit,
    cpu_seconds,
    fit_and_rest,
    fraction,
    predict,
    Predictions,
    read_trained,
    Trained,
)
from dual_cnn_ros.calibration.rules import by_rows, choose, Combination, combinations, temperature
from dual_cnn_ros.calibration.thresholds import Curve, OperatingPoint
from dual_cnn_ros.cascade import deferral
from dual_cnn_ros.cascade.deferral import Deferral
from dual_cnn_ros.cascade.scores import SCORE_NAMES, softmax
from dual_cnn_ros.cascade.settings import POST_CHECKS, Settings
from dual_cnn_ros.data.dataset import read_names
from dual_cnn_ros.data.image_folder import ImageFolder
from dual_cnn_ros.evaluation import plots
from dual_cnn_ros.evaluation.metrics import interval, reliability
from dual_cnn_ros.evaluation.report import percent, span
from dual_cnn_ros.inference import ModelSource
from dual_cnn_ros.tools.cli import run_cli

NAMES = ('first', 'second')
CURVE_POINTS, PARETO_POINTS, NAMED_PARETO_POINTS = 200, 50, 10
# Names of the cheapest rules that give away so much of the highest accuracy.
WITHIN = {'within_half_point': 0.005, 'within_one_point': 0.01, 'within_two_points': 0.02}
# Names of certified rules, and the test behind each.
CERTIFIED = {'certified': 'betting', 'certified_harm': 'binomial'}
PROMISES = {'betting': 'loss of accuracy', 'binomial': 'share of pictures harmed'}

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Places = npt.NDArray[np.integer]


class Answers(NamedTuple):
    """
    What the stages answer to N pictures, in an order that depends on their names alone.

    first, second: (N, K) calibrated probabilities. truth: (N,). reference_right: (N,), whether
    the model that must not be missed is right, or None.
    """

    first: Floats
    second: Floats
    truth: npt.NDArray[np.int64]
    reference_right: Bools | None

    def __len__(self) -> int:
        return len(self.truth)


def calibrate(options: argparse.Namespace) -> Bundle:
    """Write the bundle with its metrics and its picture, and return it."""
    trained = [read_trained(file) for file in (*options.models, *options.reference)]
    arguments = trained[0].metrics['arguments']
    exclude = read_names(options.exclude) if options.exclude else ()
    held = predict(trained, options.data, split=arguments['split'], held_out=True, exclude=exclude)
    test_split = _test_split(options, arguments['split'])
    # Before anything is written, lest pictures that cannot be read leave half a bundle.
    test = (
        predict(trained, options.test, split=test_split, held_out=False, exclude=exclude)
        if options.test
        else None
    )
    names = held[0].names
    fit, rest = fit_and_rest(names, options.fit, arguments['seed'])
    if len(fit) < 2 * deferral.FOLDS or not len(rest):
        raise ValueError(
            f'{len(names)} pictures held out, {len(fit)} of them to fit, are too '
            'few; train with a larger --holdout'
        )
    temperatures = tuple(round(temperature(o.logits[fit], o.labels[fit]), 4) for o in held[:2])
    on_fit, on_rest = (_answers(held, part, temperatures) for part in (fit, rest))

    gain = _gain(on_fit)
    learned = deferral.fit(on_fit.first, gain)
    chosen = choose(
        [
            offered
            for offered in combinations(
                on_fit.first, on_fit.second, on_fit.truth, _cross_fitted(on_fit.first, gain)
            )
            if options.score in (None, offered.score)
            and options.post_check in (None, offered.post_check)
        ],
        options.accuracy,
    )
    grid = declared_grid(_find(_combine(on_fit, learned), chosen).scores)
    found = _combine(on_rest, learned)
    own = _find(found, chosen)
    costs = [member.metrics['multiply_adds'] for member in trained[:2]]
    rule = (
        own.curve().most_accurate()
        if options.accuracy is None
        else own.curve().reaching(options.accuracy)
    )
    points = [
        *_best_of_each(found, costs),
        *_named(own, on_rest, options.accuracy, costs),
        *_certified(own, on_rest, grid, options, trained[2:], costs),
        *_pareto(own, costs),
    ]
    bundle = _write(
        options,
        trained[:2],
        temperatures,
        learned,
        Settings(score=own.score, thresholds=(rule.threshold,), post_check=own.post_check),
        points,
    )
    metrics: dict[str, Any] = {
        'bundle': bundle.name,
        'pictures': {'fit': len(fit), 'certification': len(rest)},
        'rule': {'score': own.score, 'post_check': own.post_check, **rule._asdict()},
        'calibration': _calibration(held, rest, temperatures),
        'at_equal_cost': _at_equal_cost(found, rule.second_share),
        'curves': [
            {
                'score': c.score,
                'post_check': c.post_check,
                'curve': _columns(c.curve().thinned(CURVE_POINTS)),
                'pareto': _columns(c.curve().pareto().thinned(PARETO_POINTS)),
            }
            for c in found
        ],
        'training': {
            name: {
                key: member.metrics[key]
                for key in (
                    'architecture',
                    'arguments',
                    'parameters',
                    'multiply_adds',
                    'pictures',
                    'device',
                    'versions',
                )
            }
            for name, member in zip(NAMES, trained)
        },
    }
    if test:
        everything = np.arange(len(test[0].names))
        metrics['test'] = {
            'source': options.test.name,
            'split': test_split,
            **_test(_answers(test, everything, temperatures), learned, bundle, costs),
        }
        for name, stage in _calibration(test, everything, temperatures).items():
            metrics['test'][name]['expected_calibration_error'] = stage['after']['error']
    (options.out / 'metrics.json').write_text(_json(metrics), encoding='utf-8')
    _draw(metrics['calibration'], options.report or options.out)
    print('\n'.join(_report(bundle, metrics)))
    return bundle


def _test_split(options: argparse.Namespace, trained_on: str | None) -> str | None:
    """Return the split to test on, None for the only one; ValueError where that was trained on."""
    if not options.test:
        return None
    test, data = ImageFolder(options.test), ImageFolder(options.data)
    split = test.choose_split(options.test_split, 'test')
    if test.identity() == data.identity() and split == data.choose_split(trained_on, 'train'):
        raise ValueError(
            f'{options.test}: {f"split {split!r} of it" if split else "it"} is what '
            'the CNNs were trained on, not a test; name other pictures with --test, '
            'or another split of them with --test-split'
        )
    return split


def _answers(
    outputs: Sequence[Predictions], which: Places, temperatures: Sequence[float]
) -> Answers:
    truth = outputs[0].labels[which]
    first, second = (
        by_rows(lambda z, t=t: softmax(z, t), o.logits[which])
        for o, t in zip(outputs, temperatures)
    )
    return Answers(
        first,
        second,
        truth,
        *([outputs[2].logits[which].argmax(axis=1) == truth] if len(outputs) > 2 else [None]),
    )


def _gain(answers: Answers) -> npt.NDArray[np.int64]:
    first, second = (p.argmax(axis=1) == answers.truth for p in (answers.first, answers.second))
    return second.astype(np.int64) - first


def _cross_fitted(first: Floats, gain: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the learned score of each picture, learned from the half that it is not in."""
    scores = np.empty(len(first))
    for half in (0, 1):
        here = np.arange(len(first)) % 2 == half
        scores[here] = deferral.fit(first[~here], gain[~here])(first[here])
    return scores


def _combine(answers: Answers, learned: Deferral) -> list[Combination]:
    return combinations(
        answers.first, answers.second, answers.truth, by_rows(learned, answers.first)
    )


def _find(found: Sequence[Combination], like: Combination) -> Combination:
    return next(c for c in found if (c.score, c.post_check) == (like.score, like.post_check))


def _point(name: str, of: Combination, at: OperatingPoint, costs: Sequence[int]) -> dict[str, Any]:
    return {
        'name': name,
        'score': of.score,
        'threshold': at.threshold,
        'post_check': of.post_check,
        'accuracy': round(at.accuracy, 4),
        'second_share': round(at.second_share, 4),
        'multiply_adds': round(costs[0] + at.second_share * costs[1]),
    }


def _best_of_each(found: Sequence[Combination], costs: Sequence[int]) -> list[dict[str, Any]]:
    """Return the most accurate rule of each score and post-check, the best one first."""
    best = [(c, c.curve().most_accurate()) for c in found]
    best.sort(key=lambda item: (-item[1].accuracy, item[1].second_share))
    return [_point(f'{c.score}, {c.post_check}', c, at, costs) for c, at in best]


def _named(
    own: Combination, answers: Answers, accuracy: float | None, costs: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """Give the rules of the chosen combination that nothing beats at its accuracy or its cost."""
    rules = own.curve()
    best = rules.most_accurate()
    better_cnn = max(
        float((p.argmax(axis=1) == answers.truth).mean()) for p in (answers.first, answers.second)
    )
    yield _point('most_accurate', own, best, costs)
    if accuracy is not None:
        yield _point('stated_accuracy', own, rules.reaching(accuracy), costs)
    if better_cnn <= best.accuracy:
        yield _point('matches_better_cnn', own, rules.reaching(better_cnn), costs)
    for name, loss in WITHIN.items():
        yield _point(name, own, rules.reaching(best.accuracy - loss), costs)


def _certified(
    own: Combination,
    answers: Answers,
    grid: npt.NDArray[np.float64],
    options: argparse.Namespace,
    reference: Sequence[Trained],
    costs: Sequence[int],
) -> Iterator[dict[str, Any]]:
    """Give the rules that are certified; against a model of its own there may be none."""
    against = (
        reference[0].name
        if reference
        else 'always asking second'
        if own.post_check == 'none'
        else f'always asking both, post-check {own.post_check}'
    )
    for name, method in CERTIFIED.items():
        threshold = float(
            certified_threshold(
                own.scores,
                own.first_right,
                own.final_right,
                grid,
                alpha=options.alpha,
                delta=options.delta,
                method=method,
                reference_right=answers.reference_right,
            )
        )
        if not math.isnan(threshold):
            yield _point(name, own, own.at(threshold), costs) | {
                'certificate': {
                    'alpha': options.alpha,
                    'delta': options.delta,
                    'method': method,
                    'pictures': len(answers),
                    'reference': against,
                }
            }


def _pareto(own: Combination, costs: Sequence[int]) -> list[dict[str, Any]]:
    """Return rules of the chosen combination along its Pareto points, named by what they ask."""
    points = own.curve().pareto().spread(NAMED_PARETO_POINTS)
    shares = 100 * points.second_share
    # As many decimals as tell them apart.
    names = next(
        names
        for digits in range(9)
        for names in [[f'asks_{share:.{digits}f}_percent' for share in shares]]
        if len(set(names)) == len(names)
    )
    return [
        _point(name, own, own.at(threshold), costs)
        for name, threshold in zip(names, points.thresholds.tolist())
    ]


def _at_equal_cost(found: Sequence[Combination], second_share: float) -> dict[str, dict[str, Any]]:
    """Return what each post-check and score come to where they ask as often, or just less."""
    result: dict[str, dict[str, Any]] = {check: {} for check in POST_CHECKS}
    for c in found:
        at = c.curve().asking_at_most(second_share)
        result[c.post_check][c.score] = {
            'accuracy': round(at.accuracy, 5),
            'second_share': round(at.second_share, 5),
        }
    return result


def _write(
    options: argparse.Namespace,
    pair: Sequence[Trained],
    temperatures: Sequence[float],
    learned: Deferral,
    settings: Settings,
    points: Sequence[Mapping[str, Any]],
) -> Bundle:
    measured = cpu_seconds(pair)
    options.out.mkdir(parents=True, exist_ok=True)
    stages = []
    for name, trained, t, seconds, score in zip(
        NAMES, pair, temperatures, measured, (learned, None)
    ):
        files = {}
        for kind in ('onnx', 'safetensors'):
            files[kind] = options.out / f'{name}.{kind}'
            shutil.copyfile(trained.file(kind), files[kind])
        stages.append(
            StageSpec(
                name,
                ModelSource(files, trained.metrics['architecture']),
                {kind: bundles.sha256(path) for kind, path in files.items()},
                trained.input,
                t,
                trained.metrics['multiply_adds'],
                round(seconds, 6),
                deferral=score,
            )
        )
    bundles.write(
        Bundle(
            options.out,
            options.name,
            options.description,
            tuple(pair[0].metrics['labels']),
            tuple(stages),
            settings,
            tuple(points),
        )
    )
    return bundles.read(options.out)


def _calibration(
    outputs: Sequence[Predictions], which: Places, temperatures: Sequence[float]
) -> dict[str, Any]:
    """Return of each stage its accuracy, and its calibration before and after the temperature."""
    result: dict[str, Any] = {}
    for name, o, t in zip(NAMES, outputs, temperatures):
        right = o.logits[which].argmax(axis=1) == o.labels[which]
        result[name] = {'accuracy': round(float(right.mean()), 4), 'temperature': t}
        for when, divisor in (('before', 1.0), ('after', t)):
            confidence = by_rows(lambda z, d=divisor: softmax(z, d).max(axis=1), o.logits[which])
            error, bins = reliability(confidence, right)
            result[name][when] = {
                'error': round(error, 4),
                'bins': [{key: round(value, 4) for key, value in entry.items()} for entry in bins],
            }
    return result


def _columns(curve: Curve) -> dict[str, list[float]]:
    # Thresholds to the last digit, because rounding may carry one past a score.
    return {
        'threshold': curve.thresholds.tolist(),
        'accuracy': curve.accuracy.round(5).tolist(),
        'second_share': curve.second_share.round(5).tolist(),
    }


def _test(
    answers: Answers, learned: Deferral, bundle: Bundle, costs: Sequence[int]
) -> dict[str, Any]:
    members = [p.argmax(axis=1) == answers.truth for p in (answers.first, answers.second)]
    found = {(c.score, c.post_check): c for c in _combine(answers, learned)}
    own = found[bundle.settings.score, bundle.settings.post_check]
    right, at = own.right(bundle.settings.thresholds[0]), own.at(bundle.settings.thresholds[0])
    only_first, only_second = members[0] & ~members[1], members[1] & ~members[0]
    wanted = own.final_right if answers.reference_right is None else answers.reference_right
    result: dict[str, Any] = {'pictures': len(answers)}
    for name, correct in zip(NAMES, members):
        result[name] = {'accuracy': round(float(correct.mean()), 4), 'interval': interval(correct)}
    result['pair'] = {
        'accuracy': round(at.accuracy, 4),
        'interval': interval(right),
        'second_share': round(at.second_share, 4),
        'multiply_adds': round(costs[0] + at.second_share * costs[1]),
    }
    result['operating_points'] = {
        point['name']: {
            'accuracy': round(at.accuracy, 4),
            'second_share': round(at.second_share, 4),
            **(
                {'loss': round(float(wanted.mean()) - at.accuracy, 4)}
                if 'certificate' in point
                else {}
            ),
        }
        for point in bundle.operating_points
        for at in [found[point['score'], point['post_check']].at(point['threshold'])]
    }
    result['complementarity'] = round(
        2 * min(int(only_first.sum()), int(only_second.sum())) / len(answers), 4
    )
    result['either_right'] = round(float((members[0] | members[1]).mean()), 4)
    return result


def _json(metrics: Mapping[str, Any]) -> str:
    """Return JSON to read and to compare by lines, a list of numbers taking one."""
    return (
        re.sub(
            r'\[([-+.\deE,\s]+)\]',
            lambda found: f'[{" ".join(found[1].split())}]',
            json.dumps(metrics, indent=1),
        )
        + '\n'
    )


def _draw(calibration: Mapping[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    picture = np.vstack(
        [
            np.hstack(
                [
                    plots.reliability(
                        stage[when]['bins'],
                        f'{name} CNN, {when}: ECE {percent(stage[when]["error"])}',
                    )
                    for when in ('before', 'after')
                ]
            )
            for name, stage in calibration.items()
        ]
    )
    file = folder / 'reliability.png'
    if not cv2.imwrite(str(file), picture):
        raise OSError(f'{file} cannot be written')


def _report(bundle: Bundle, metrics: Mapping[str, Any]) -> Iterator[str]:
    yield f'bundle {bundle.name}: ' + ' then '.join(
        stage.source.architecture or stage.name for stage in bundle.stages
    )
    yield (
        '{fit} pictures to fit on, {certification} for thresholds and certificates'.format(
            **metrics['pictures']
        )
    )
    yield ''
    yield from _table(
        [
            ['CNN', 'accuracy', 'temperature', 'ECE before', 'after'],
            *(
                [
                    name,
                    percent(stage['accuracy']),
                    f'{stage["temperature"]:.3f}',
                    percent(stage['before']['error']),
                    percent(stage['after']['error']),
                ]
                for name, stage in metrics['calibration'].items()
            ),
        ]
    )
    yield ''
    tested = metrics.get('test', {}).get('operating_points', {})
    yield from _table(
        [
            [
                'operating point',
                'score',
                'post-check',
                'threshold',
                'accuracy',
                'second asked',
                'multiply-adds',
                *(['test'] if tested else []),
            ],
            *(
                [
                    point['name'],
                    point['score'],
                    point['post_check'],
                    f'{point["threshold"]:.4f}',
                    percent(point['accuracy']),
                    percent(point['second_share']),
                    f'{point["multiply_adds"] / 1e6:.1f} M',
                    *([percent(tested[point['name']]['accuracy'])] if tested else []),
                ]
                for point in bundle.operating_points
            ),
        ]
    )
    yield ''
    rule = metrics['rule']
    yield (
        f'The bundle uses {rule["score"]} >= {rule["threshold"]:.4f}, {rule["post_check"]}: '
        'score and post-check chosen on the pictures to fit on.'
    )
    yield ''
    yield (
        f'Accuracy of each score where the second CNN is asked about '
        f'{percent(rule["second_share"])} of the pictures, as by that rule, or just less:'
    )
    yield from _table(
        [
            ['post-check', *SCORE_NAMES],
            *(
                [check, *(percent(scores[name]['accuracy']) for name in SCORE_NAMES)]
                for check, scores in metrics['at_equal_cost'].items()
            ),
        ]
    )
    yield ''
    promised = [point for point in bundle.operating_points if 'certificate' in point]
    for point in promised:
        certificate = point['certificate']
        yield (
            f'{point["name"]}: with {100 - 100 * certificate["delta"]:g}% confidence, '
            f'{PROMISES[certificate["method"]]} of at most {100 * certificate["alpha"]:g}% '
            f'against {certificate["reference"]}.'
        )
        if not point['threshold'] <= 1:
            yield (
                f'{point["name"]}: no threshold was shown to keep that, so the second CNN is '
                'always asked.'
            )
    if not promised:
        yield 'No threshold could be certified.'
    if 'test' in metrics:
        test = metrics['test']
        split = f', split {test["split"]}' if test['split'] else ''
        yield (
            f'Test, {test["pictures"]} pictures of {test["source"]}{split}: '
            + ', '.join(
                f'{name} {percent(test[name]["accuracy"])} {span(test[name]["interval"])}'
                for name in (*NAMES, 'pair')
            )
            + '; in brackets 95 % intervals.'
        )


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Align columns, to the right those that hold numbers."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    numeric = [any(map(str.isdigit, column[-1][:1])) for column in zip(*rows)]
    for number, row in enumerate(rows):
        yield '  '.join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric)
        ).rstrip()
        if not number:
            yield '-' * (sum(widths) + 2 * len(widths) - 2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='calibrate', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('data', type=Path, help='the folder or tar that both were trained on')
    parser.add_argument(
        '--models',
        type=Path,
        nargs=2,
        required=True,
        metavar=('FIRST', 'SECOND'),
        help='metrics files (.json) that train wrote, the cheaper CNN first',
    )
    parser.add_argument('--test', type=Path, help='folder or tar of test pictures')
    parser.add_argument('--test-split', help="its split, where it has several ('test')")
    parser.add_argument(
        '--exclude', type=Path, metavar='FILE', help='the names that train left out'
    )
    add_fit(parser)
    parser.add_argument(
        '--score', choices=SCORE_NAMES, help='instead of the best on those to fit on'
    )
    parser.add_argument(
        '--post-check', choices=POST_CHECKS, help='instead of the best on those to fit on'
    )
    parser.add_argument(
        '--accuracy',
        type=fraction,
        metavar='SHARE',
        help='use the cheapest rule that reaches this, not the most accurate one',
    )
    parser.add_argument(
        '--alpha',
        type=fraction,
        default=0.01,
        help='accuracy that a certified threshold may lose (default %(default)s)',
    )
    parser.add_argument(
        '--delta',
        type=fraction,
        default=0.05,
        help='probability that it loses more (default %(default)s)',
    )
    parser.add_argument(
        '--reference',
        type=Path,
        nargs=1,
        default=[],
        metavar='MODEL',
        help='metrics file of a strong CNN to certify against, in place of always asking both',
    )
    parser.add_argument('--name', required=True, help='of the bundle')
    parser.add_argument('--description', default='', help='of the bundle, one line')
    parser.add_argument('--out', type=Path, required=True, help='folder of the bundle')
    parser.add_argument(
        '--report',
        type=Path,
        metavar='DIR',
        help='folder of reliability.png, if not that of the bundle',
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    return run_cli('calibrate', lambda: calibrate(options))


if __name__ == '__main__':
    sys.exit(main())
