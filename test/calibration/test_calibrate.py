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

"""calibrate: temperatures, rules against the cascade's own code, and a bundle of two CNNs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
import json
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip('torch', reason='calibrate is tested on CNNs that torch trains')

from dual_cnn_ros import bundle as bundles
from dual_cnn_ros.calibration import calibrate, rules
from dual_cnn_ros.calibration.guarantee import certified_threshold
from dual_cnn_ros.calibration.predictions import fit_and_rest
from dual_cnn_ros.calibration.thresholds import ALWAYS_DEFER, curve
from dual_cnn_ros.cascade.cascade import Cascade, post_check, Stage
from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.scores import confidence, DEFERRAL, SCORE_NAMES, SCORES, softmax
from dual_cnn_ros.cascade.settings import POST_CHECKS, Settings
from dual_cnn_ros.evaluation import metrics as judge
from dual_cnn_ros.evaluation.metrics import reliability
from dual_cnn_ros.tools import train

RANDOM = np.random.default_rng(5)


def drawn(n: int, classes: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Return logits, and labels drawn from the softmax of the logits over `sharpness`."""
    z = RANDOM.normal(size=(n, classes)) * 3
    p = softmax(z)
    labels = np.array([RANDOM.choice(classes, p=row / row.sum()) for row in p.astype(float)])
    return (z * sharpness).astype(np.float32), labels


def loss(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    z = logits / temperature
    return float((np.logaddexp.reduce(z, axis=1) - z[np.arange(len(z)), labels]).mean())


@pytest.mark.parametrize('sharpness', [0.1, 0.5, 1.0, 3.0, 10.0])
def test_temperature_undoes_a_scaling_of_the_logits(sharpness: float) -> None:
    logits, labels = drawn(4000, 5, sharpness)
    found = rules.temperature(logits, labels)
    assert found == pytest.approx(sharpness, rel=0.1)
    logits = logits.astype(np.float64)
    for other in (0.5, 0.99, 1.01, 2.0):
        assert loss(logits, labels, found) < loss(logits, labels, found * other)
    before, after = (
        reliability(p.max(axis=1), p.argmax(axis=1) == labels)[0]
        for p in (softmax(logits), softmax(logits, found))
    )
    assert after < 0.03 and (after < before or sharpness == 1.0)


def test_temperature_of_answers_that_are_all_right_or_all_wrong_is_at_its_limit() -> None:
    logits = RANDOM.normal(size=(50, 4)).astype(np.float32)
    assert rules.temperature(logits, logits.argmax(axis=1)) == pytest.approx(np.exp(-3), rel=0.01)
    assert rules.temperature(logits, logits.argmin(axis=1)) == pytest.approx(np.exp(3), rel=0.01)


def pair(n: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the probabilities of two CNNs, the second one better, and what is true."""
    truth = RANDOM.integers(0, classes, n)
    p = []
    for strength in (1.5, 2.0):
        z = RANDOM.normal(size=(n, classes))
        z[np.arange(n), truth] += strength
        p.append(softmax(z))
    return p[0], p[1], truth


def answer(first: np.ndarray, second: np.ndarray, score: str, rule: str) -> int:
    measure = confidence(score)
    return post_check(
        [
            Decision(p, int(p.argmax()), float(measure(p)), name, name)
            for name, p in (('first', first), ('second', second))
        ],
        rule,
        measure,
    ).label


@pytest.mark.parametrize('classes', [2, 3, 10, 137])
@pytest.mark.parametrize('ties', [False, True])
def test_answers_are_those_of_the_cascade(classes: int, ties: bool) -> None:
    first, second, _ = pair(1200, classes)  # more than one portion of rows
    if ties:
        first, second = (np.round(p * 4).astype(np.float32) / 4 for p in (first, second))
        second[::3] = first[::3, ::-1]
    found = rules.final_labels(first, second, {name: SCORES[name](first) for name in SCORES})
    assert set(found) == set(product(SCORES, POST_CHECKS))
    for (score, rule), labels in found.items():
        assert labels.tolist() == [answer(a, b, score, rule) for a, b in zip(first, second)]


def outcome(
    first: np.ndarray, second: np.ndarray, truth: np.ndarray, settings: Settings, learned: Any
) -> tuple[float, float]:
    """Return the accuracy and the second share of the cascade itself."""
    blank = Frame(np.zeros((8, 8), np.uint8))
    right, asked = 0, 0
    for one, other, wanted in zip(first, second, truth):
        decision = Cascade(
            [Stage('first', lambda _, p=one: p, learned), Stage('second', lambda _, p=other: p)],
            replace(settings, memory=False),
        ).classify(blank)
        right += decision.label == wanted
        asked += decision.source == 'second'
    return right / len(truth), asked / len(truth)


def test_combinations_come_to_what_the_cascade_comes_to() -> None:
    first, second, truth = pair(200)
    scores = dict(zip((p.tobytes() for p in first), RANDOM.random(200)))
    found = rules.combinations(first, second, truth, np.array(list(scores.values())))
    assert [(c.score, c.post_check) for c in found] == list(product(SCORE_NAMES, POST_CHECKS))
    for combination in found:
        best = combination.curve().most_accurate()
        assert combination.at(best.threshold) == pytest.approx(best)
        for threshold in (best.threshold, 0.3, 0.8, ALWAYS_DEFER):
            at = combination.at(threshold)
            assert at[1:] == outcome(
                first,
                second,
                truth,
                Settings(combination.score, (threshold,), combination.post_check),
                lambda p: scores[p.tobytes()],
            )
            assert at.accuracy <= best.accuracy


def test_a_certain_first_stage_is_not_accepted_where_the_second_is_always_asked() -> None:
    certain = np.array([1, 0], np.float32)
    stages = [Stage(name, lambda _: certain) for name in ('first', 'second')]
    for threshold, source in ((1.0, 'first'), (ALWAYS_DEFER, 'second')):
        cascade = Cascade(stages, Settings(thresholds=(threshold,), memory=False))
        assert cascade.classify(Frame(np.zeros((8, 8), np.uint8))).source == source


def test_choice_is_the_most_accurate_or_the_cheapest_that_is_accurate_enough() -> None:
    found = rules.combinations(*pair(300))
    best = rules.choose(found)
    highest = max(c.curve().most_accurate().accuracy for c in found)
    assert best.curve().most_accurate().accuracy == highest
    cheapest = rules.choose(found, highest - 0.05)
    assert cheapest.curve().reaching(highest - 0.05).second_share == min(
        c.curve().reaching(highest - 0.05).second_share
        for c in found
        if c.curve().most_accurate().accuracy >= highest - 0.05
    )
    assert rules.choose(found, 0.9999) is best


def test_thresholds_in_the_metrics_are_of_the_rules_beside_them() -> None:
    scores = np.array([1.0, 0.9 + 2e-9, 0.9 + 1e-9, 0.9, 0.1, 0.0])
    first, final = np.arange(6) % 2 == 0, np.arange(6) % 3 == 0
    columns = json.loads(calibrate._json(calibrate._columns(curve(scores, first, final))))
    assert len(columns['threshold']) == 7
    for threshold, accuracy, share in zip(*columns.values()):
        accepted = scores >= threshold
        assert accuracy == pytest.approx(np.where(accepted, first, final).mean(), abs=1e-5)
        assert share == pytest.approx(1 - accepted.mean(), abs=1e-5)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Return pictures, test pictures, and the folder of two CNNs trained on the former."""
    root = tmp_path_factory.mktemp('calibrate')
    random = np.random.default_rng(0)
    for split, count in (('pictures', 40), ('test', 10)):
        for channel, label in enumerate(('blue', 'green', 'red')):
            (root / split / label).mkdir(parents=True)
            for number in range(count):
                image = random.integers(0, 150, (20, 28, 3), np.uint8)
                image[..., channel] += 60
                cv2.imwrite(str(root / split / label / f'{split}{number}.png'), image)
    for name, model in (('a', 'vgg9_gap_x0_25-s2'), ('b', 'resnet20_x0_25-s2')):
        assert (
            train.main(
                [
                    str(root / 'pictures'),
                    '--model',
                    model,
                    '--input',
                    '16',
                    '--batch-size',
                    '16',
                    '--lr',
                    '0.05',
                    '--light',
                    '0',
                    '--saturate',
                    '0',
                    '--holdout',
                    '0.4',
                    '--epochs',
                    '2',
                    '--out',
                    str(root / 'models'),
                    '--name',
                    name,
                ]
            )
            == 0
        )
    return root


def run(folders, out, *more: str) -> int:
    return calibrate.main(
        [
            str(folders / 'pictures'),
            '--models',
            str(folders / 'models' / 'a.json'),
            str(folders / 'models' / 'b.json'),
            '--name',
            'colours',
            '--out',
            str(out),
            *more,
        ]
    )


@pytest.fixture(scope='module')
def made(folders):
    """Return the folder of a bundle, with a generous certificate."""
    out = folders / 'bundle'
    assert (
        run(folders, out, '--test', str(folders / 'test'), '--alpha', '0.3', '--delta', '0.1') == 0
    )
    return out


def metrics_of(out) -> dict[str, Any]:
    return json.loads((out / 'metrics.json').read_text())


def test_makes_a_bundle_that_answers_as_the_metrics_say(folders, made) -> None:
    metrics, bundle = metrics_of(made), bundles.read(made)
    assert bundle.labels == ('blue', 'green', 'red')
    assert metrics['test']['pictures'] == 30
    stages = bundle.load('onnxruntime')
    pictures = [
        (i, Frame(cv2.imread(str(file))))
        for i, label in enumerate(bundle.labels)
        for file in (folders / 'test' / label).iterdir()
    ]
    truth = np.array([i for i, _ in pictures])
    first, second = ([stage.classify(frame) for _, frame in pictures] for stage in stages)
    for name, settings in {'': bundle.settings, **bundle.points}.items():
        accuracy, asked = outcome(first, second, truth, settings, bundle.stages[0].deferral)
        stated = metrics['test']['operating_points'][name] if name else metrics['test']['pair']
        assert stated['accuracy'] == pytest.approx(accuracy, abs=1e-4)
        assert stated['second_share'] == pytest.approx(asked, abs=1e-4)


def test_operating_points_cover_every_combination_and_have_names(made) -> None:
    bundle, metrics = bundles.read(made), metrics_of(made)
    points = {point['name']: point for point in bundle.operating_points}
    assert {f'{score}, {check}' for score, check in product(SCORE_NAMES, POST_CHECKS)} | {
        'most_accurate',
        'within_half_point',
        'within_one_point',
        'within_two_points',
        'certified',
        'certified_harm',
    } <= set(points)
    own = points[f'{bundle.settings.score}, {bundle.settings.post_check}']
    assert {**own, 'name': 'most_accurate'} == points['most_accurate']
    assert bundle.settings == bundle.points['most_accurate']
    first, second = (stage.multiply_adds for stage in bundle.stages)
    for point in points.values():
        assert point['multiply_adds'] == pytest.approx(
            first + point['second_share'] * second, rel=1e-3
        )
    for name, give in (('within_half_point', 0.005), ('within_two_points', 0.02)):
        assert points[name]['accuracy'] >= points['most_accurate']['accuracy'] - give - 1e-4
        assert points[name]['second_share'] <= points['most_accurate']['second_share']
    for found in metrics['curves']:
        best = points[f'{found["score"]}, {found["post_check"]}']
        curve = list(zip(*found['curve'].values()))
        assert [
            pytest.approx(best[key], abs=1e-4) for key in ('threshold', 'accuracy', 'second_share')
        ] in [list(row) for row in curve]
        assert set(zip(*found['pareto'].values())) <= set(curve)
        assert len(curve) <= 200


def test_pareto_points_of_the_chosen_combination_have_names(made) -> None:
    bundle = bundles.read(made)
    settings = bundle.settings
    pareto = next(
        c['pareto']
        for c in metrics_of(made)['curves']
        if (c['score'], c['post_check']) == (settings.score, settings.post_check)
    )
    efficient = set(zip(*pareto.values()))
    points = [p for p in bundle.operating_points if p['name'].startswith('asks_')]
    assert 1 <= len(points) <= 10
    for point in points:
        share = float(point['name'].removeprefix('asks_').removesuffix('_percent'))
        assert share == pytest.approx(100 * point['second_share'], abs=0.5)
        assert bundle.points[point['name']] == replace(settings, thresholds=(point['threshold'],))
        assert any(
            row
            == pytest.approx(
                (point['threshold'], point['accuracy'], point['second_share']), abs=1e-4
            )
            for row in efficient
        )
    best = next(p for p in bundle.operating_points if p['name'] == 'most_accurate')
    assert {**points[0], 'name': 'most_accurate'} == best


def test_pareto_points_spread_and_differ_in_name() -> None:
    scores = np.sort(RANDOM.random(4000))[::-1]
    for gain in (np.linspace(-0.3, 0.5, 4000), np.linspace(-9, 0.3, 4000)):
        final = RANDOM.random(4000) < 0.5 + np.clip(gain, -0.5, 0.5)
        own = rules.Combination('entropy', 'none', scores, RANDOM.random(4000) < 0.5, final)
        points = calibrate._pareto(own, [100, 1000])
        names = [point['name'] for point in points]
        assert 1 < len(set(names)) == len(names) <= 10
        for point, after in pairwise(points):
            assert point['accuracy'] >= after['accuracy']
            assert point['second_share'] > after['second_share']
            assert point['multiply_adds'] == pytest.approx(
                100 + 1000 * point['second_share'], abs=1
            )
            assert point['accuracy'] == pytest.approx(
                own.at(point['threshold']).accuracy, abs=1e-4
            )
        highest, lowest = own.curve().most_accurate(), own.curve().pareto()
        assert points[0]['threshold'] == highest.threshold
        assert points[-1]['threshold'] == lowest.thresholds[-1]


def test_pareto_points_of_a_strong_first_cnn_are_told_apart_by_decimals() -> None:
    scores = np.linspace(1, 0.5, 4000)
    first = np.ones(4000, bool)
    first[-40:] = False  # the least sure ones are wrong, and the second CNN knows them
    own = rules.Combination('entropy', 'none', scores, first, np.ones(4000, bool))
    points = calibrate._pareto(own, [100, 1000])
    assert len({point['name'] for point in points}) == len(points) == 10
    assert points[0]['name'] == 'asks_1.0_percent' and points[-1]['name'] == 'asks_0.0_percent'


def test_an_interval_of_what_was_always_right_still_has_a_length(folders, made) -> None:
    test = metrics_of(made)['test']
    for name in ('first', 'second', 'pair'):
        lower, upper = test[name]['interval']
        assert lower < upper and lower <= test[name]['accuracy'] <= upper
    lower, upper = judge.interval(np.ones(120, bool))
    assert (lower, upper) == (pytest.approx(0.9697, abs=1e-4), 1.0)  # Clopper and Pearson
    assert judge.interval(np.ones(9, bool)) is None


def test_scores_are_compared_where_they_cost_the_same(made) -> None:
    metrics = metrics_of(made)
    rule, count = metrics['rule'], metrics['pictures']['certification']
    compared = metrics['at_equal_cost']
    assert {check: set(scores) for check, scores in compared.items()} == {
        check: set(SCORE_NAMES) for check in POST_CHECKS
    }
    own = compared[rule['post_check']][rule['score']]
    assert (own['accuracy'], own['second_share']) == pytest.approx(
        (rule['accuracy'], rule['second_share']), abs=1e-5
    )
    # So few pictures are certified on that no curve is thinned.
    assert count < 200
    for found in metrics['curves']:
        curve_of = found['curve']
        at = compared[found['post_check']][found['score']]
        allowed = [
            i for i, s in enumerate(curve_of['second_share']) if s <= rule['second_share'] + 1e-5
        ]
        nearest = max(allowed, key=lambda i: curve_of['second_share'][i])
        assert at == {key: curve_of[key][nearest] for key in ('accuracy', 'second_share')}


def reference_of(check: str) -> str:
    return {
        'none': 'always asking second',
        'more_confident': 'always asking both, post-check more_confident',
        'average': 'always asking both, post-check average',
    }[check]


@pytest.mark.parametrize('check', POST_CHECKS)
def test_certificate_and_report_name_what_is_compared_with(
    folders, tmp_path, capsys, monkeypatch, check
) -> None:
    seen: list[np.ndarray] = []

    def spy(scores: Any, first: Any, final: Any, grid: Any, **rest: Any) -> Any:
        assert rest['reference_right'] is None
        seen.append(final)
        return certified_threshold(scores, first, final, grid, **rest)

    monkeypatch.setattr(calibrate, 'certified_threshold', spy)
    assert run(folders, tmp_path / 'x', '--post-check', check) == 0
    assert capsys.readouterr().out.count(f'against {reference_of(check)}.') == 2
    bundle = bundles.read(tmp_path / 'x')
    certified = [point for point in bundle.operating_points if 'certificate' in point]
    for point, final in zip(certified, seen):
        assert point['certificate']['reference'] == reference_of(check)
        # It always asks, so it is what it is compared with.
        assert point['threshold'] == ALWAYS_DEFER and point['post_check'] == check
        assert point['accuracy'] == pytest.approx(final.mean(), abs=1e-4)


def test_certificates_say_what_was_shown_on_how_many_pictures(made) -> None:
    metrics = metrics_of(made)
    certified = {
        point['name']: point
        for point in bundles.read(made).operating_points
        if 'certificate' in point
    }
    assert {name: point['certificate'] for name, point in certified.items()} == {
        name: {
            'alpha': 0.3,
            'delta': 0.1,
            'method': method,
            'pictures': metrics['pictures']['certification'],
            'reference': reference_of(bundles.read(made).settings.post_check),
        }
        for name, method in (('certified', 'betting'), ('certified_harm', 'binomial'))
    }
    for name in certified:
        assert 'loss' in metrics['test']['operating_points'][name]


def test_what_cannot_be_shown_is_not_claimed(folders, tmp_path, capsys) -> None:
    """Some twenty pictures cannot show a loss of less than one percent."""
    assert run(folders, tmp_path / 'x') == 0
    bundle = bundles.read(tmp_path / 'x')
    for name in ('certified', 'certified_harm'):
        assert bundle.points[name].thresholds == (ALWAYS_DEFER,)
        assert next(p for p in bundle.operating_points if p['name'] == name)['second_share'] == 1
    assert capsys.readouterr().out.count('is always asked') == 2
    assert 'test' not in metrics_of(tmp_path / 'x')


def test_strong_model_that_is_not_matched_leaves_nothing_certified(
    folders, tmp_path, capsys
) -> None:
    assert run(folders, tmp_path / 'x', '--reference', str(folders / 'models' / 'b.json')) == 0
    assert not any(
        'certificate' in point for point in bundles.read(tmp_path / 'x').operating_points
    )
    assert 'No threshold could be certified' in capsys.readouterr().out


def test_strong_model_is_named_in_the_certificate(folders, tmp_path) -> None:
    assert (
        run(
            folders,
            tmp_path / 'x',
            '--alpha',
            '0.5',
            '--reference',
            str(folders / 'models' / 'b.json'),
        )
        == 0
    )
    assert {
        point['certificate']['reference']
        for point in bundles.read(tmp_path / 'x').operating_points
        if 'certificate' in point
    } == {'b'}


def test_what_is_certified_depends_on_the_fit_pictures_and_the_order_on_names_alone(
    folders, made, tmp_path, monkeypatch
) -> None:
    """Labels of certification pictures may not reach the grid, the combination or the order."""
    seen: list[Any] = []

    def spy(scores: Any, first: Any, final: Any, grid: Any, **rest: Any) -> Any:
        seen.append((scores.copy(), grid.copy(), first.copy()))
        return certified_threshold(scores, first, final, grid, **rest)

    monkeypatch.setattr(calibrate, 'certified_threshold', spy)
    assert run(folders, tmp_path / 'x') == 0
    predict = calibrate.predict

    def mislabelled(*arguments: Any, **more: Any) -> Any:
        outputs = predict(*arguments, **more)
        _, rest = fit_and_rest(outputs[0].names, 0.5, 0)
        for output in outputs:
            output.labels[rest] = (output.labels[rest] + 1) % 3
        return outputs

    monkeypatch.setattr(calibrate, 'predict', mislabelled)
    assert run(folders, tmp_path / 'y') == 0
    (scores, grid, right), (others, grid_too, wrong) = seen[0], seen[-1]
    assert scores.tolist() == others.tolist() and grid.tolist() == grid_too.tolist()
    assert right.tolist() != wrong.tolist()
    x, y = (bundles.read(tmp_path / name) for name in 'xy')
    assert [(s.temperature, s.deferral) for s in x.stages] == [
        (s.temperature, s.deferral) for s in y.stages
    ]
    assert (x.settings.score, x.settings.post_check) == (y.settings.score, y.settings.post_check)


def test_pictures_that_were_trained_on_are_no_test(folders, tmp_path, capsys) -> None:
    assert run(folders, tmp_path / 'x', '--test', str(folders / 'pictures')) == 1
    assert 'is what the CNNs were trained on, not a test' in capsys.readouterr().err
    # The same, where they are one split of several; the usual one is that for tests.
    data = tmp_path / 'data'
    data.mkdir()
    for split, folder in (('train', 'pictures'), ('test', 'test')):
        (data / split).symlink_to(folders / folder)
    arguments = [
        str(data),
        '--models',
        *(str(folders / 'models' / f'{name}.json') for name in 'ab'),
        '--name',
        'colours',
        '--test',
        str(data),
        '--out',
        str(tmp_path / 'y'),
    ]
    assert calibrate.main([*arguments, '--test-split', 'train']) == 1
    assert "split 'train' of it is what the CNNs were trained on" in capsys.readouterr().err
    assert not (tmp_path / 'y').exists()
    assert calibrate.main(arguments) == 0
    test = metrics_of(tmp_path / 'y')['test']
    assert (test['source'], test['split'], test['pictures']) == ('data', 'test', 30)
    assert 'Test, 30 pictures of data, split test: ' in capsys.readouterr().out


def test_test_pictures_that_cannot_be_read_leave_the_bundle_as_it_was(
    folders, tmp_path, capsys
) -> None:
    assert run(folders, tmp_path / 'x') == 0
    before = {file.name: file.read_bytes() for file in (tmp_path / 'x').iterdir()}
    assert set(before) >= {'bundle.yaml', 'metrics.json', 'first.onnx', 'reliability.png'}
    capsys.readouterr()
    for out in ('x', 'y'):
        assert (
            run(
                folders,
                tmp_path / out,
                '--description',
                'another',
                '--score',
                'entropy',
                '--test',
                str(tmp_path / 'nowhere'),
            )
            == 1
        )
        assert 'nowhere' in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in (tmp_path / 'x').iterdir()} == before
    assert not (tmp_path / 'y').exists()


def test_score_and_post_check_can_be_given_beforehand(folders, tmp_path) -> None:
    assert run(folders, tmp_path / 'x', '--score', 'deferral', '--post-check', 'average') == 0
    settings = bundles.read(tmp_path / 'x').settings
    assert (settings.score, settings.post_check) == (DEFERRAL, 'average')


def test_stated_accuracy_is_reached_as_cheaply_as_can_be(folders, made, tmp_path, capsys) -> None:
    assert run(folders, tmp_path / 'x', '--accuracy', '0.5') == 0
    bundle = bundles.read(tmp_path / 'x')
    point = next(p for p in bundle.operating_points if p['name'] == 'stated_accuracy')
    assert point['accuracy'] >= 0.5
    assert bundle.points['stated_accuracy'] == bundle.settings
    cheapest = next(p for p in bundles.read(made).operating_points if p['name'] == 'most_accurate')
    assert point['second_share'] <= cheapest['second_share']
    capsys.readouterr()
    highest = metrics_of(made)['rule']['accuracy']
    if highest < 0.999:
        assert run(folders, tmp_path / 'y', '--accuracy', '0.999') == 1
        assert 'no threshold reaches an accuracy of 0.999' in capsys.readouterr().err
        assert not (tmp_path / 'y').exists()


def test_report_is_a_table_and_a_picture(folders, tmp_path, capsys) -> None:
    assert run(folders, tmp_path / 'x', '--report', str(tmp_path / 'report')) == 0
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines()]
    stages = {row[0]: row for row in rows if row and row[0] in ('first', 'second')}
    metrics = metrics_of(tmp_path / 'x')
    for name, stage in metrics['calibration'].items():
        assert stages[name][2] == f'{stage["temperature"]:.3f}'
        assert stages[name][3] == f'{stage["before"]["error"]:.2%}'
        assert (
            sum(entry['frames'] for entry in stage['after']['bins'])
            == metrics['pictures']['certification']
        )
    assert sum(row[0] == 'most_accurate' for row in rows if row) == 1
    for check, scores in metrics['at_equal_cost'].items():
        row = ' '.join(
            [check, *(f'{scores[name]["accuracy"]:.2%}' for name in SCORE_NAMES)]
        ).split()
        assert rows.count(row) == 1
    picture = cv2.imread(str(tmp_path / 'report' / 'reliability.png'))
    assert picture is not None and len(np.unique(picture)) > 10
    assert not (tmp_path / 'x' / 'reliability.png').exists()


def test_files_are_readable_by_people(made) -> None:
    text = (made / 'metrics.json').read_text()
    assert json.loads(text)['curves'] and max(map(len, text.splitlines())) > 100
    assert text.count('\n') < 1000
    assert yaml.safe_load((made / 'bundle.yaml').read_text())['format'] == 1


def test_models_that_share_no_new_picture_are_refused(folders, tmp_path, capsys) -> None:
    other = json.loads((folders / 'models' / 'b.json').read_text())
    other['arguments']['seed'] = 7
    (folders / 'models' / 'c.json').write_text(json.dumps(other))
    assert (
        calibrate.main(
            [
                str(folders / 'pictures'),
                '--models',
                str(folders / 'models' / 'a.json'),
                str(folders / 'models' / 'c.json'),
                '--name',
                'x',
                '--out',
                str(tmp_path / 'x'),
            ]
        )
        == 1
    )
    assert '--seed' in capsys.readouterr().err
    assert not (tmp_path / 'x').exists()


def test_a_file_that_is_no_metrics_file_is_named(tmp_path, capsys) -> None:
    (tmp_path / 'a.json').write_text('{}')
    assert (
        calibrate.main(
            [
                str(tmp_path),
                '--models',
                str(tmp_path / 'a.json'),
                str(tmp_path / 'a.json'),
                '--name',
                'x',
                '--out',
                str(tmp_path),
            ]
        )
        == 1
    )
    assert 'a.json is no metrics file' in capsys.readouterr().err
