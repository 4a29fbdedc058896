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

"""pair: the paper's formula by hand, expectations by brute force, and advice either way."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import cv2
from hypothesis import given, strategies
import numpy as np
import pytest
from tiny_pool import make_pictures, make_trained

from dual_cnn_ros.calibration import pairs as pair
from dual_cnn_ros.calibration import predictions
from dual_cnn_ros.calibration.pairs import (
    complementarity,
    expect,
    Member,
    only_first,
    recommend,
    Row,
)
from dual_cnn_ros.calibration.predictions import fit_and_rest
from dual_cnn_ros.calibration.rules import temperature
from dual_cnn_ros.cascade.cascade import post_check
from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.cascade.scores import SCORES, softmax
from dual_cnn_ros.cascade.settings import POST_CHECKS
from dual_cnn_ros.evaluation.plots import CELL, heat_map, MARK


def test_complementarity_of_three_models_by_hand() -> None:
    right = np.array(
        [
            [int(mark) for mark in row]
            for row in (
                '1111110000',  # alone against the second: 3 (0 to 2), against the third: 2
                '0001111100',  # alone against the first: 2
                '0111101110',  # alone against the first: 3
            )
        ],
        dtype=bool,
    )
    assert only_first(right).tolist() == [[0, 3, 2], [2, 0, 1], [3, 3, 0]]
    assert complementarity(right) == pytest.approx(
        np.array([[0, 0.4, 0.4], [0.4, 0, 0.2], [0.4, 0.2, 0]])
    )


@given(strategies.lists(strategies.tuples(*[strategies.booleans()] * 2), min_size=1))
def test_complementarity_is_the_formula_of_the_paper(marks: list[tuple[bool, bool]]) -> None:
    one, other = ({i for i, mark in enumerate(marks) if mark[m]} for m in (0, 1))
    by_sets = (len(one | other) - len(one & other) - abs(len(one) - len(other))) / len(marks)
    found = complementarity(np.array(marks, dtype=bool).T)
    assert found == pytest.approx(np.array([[0, by_sets], [by_sets, 0]]))


def members(logits: list[np.ndarray], labels: np.ndarray, costs: list[float]) -> list[Member]:
    """Return the models 'a', 'b', ... of these multiply-adds, and as many CPU milliseconds."""
    return [
        Member(name, float((z.argmax(axis=1) == labels).mean()), cost, cost / 1000)
        for name, z, cost in zip('abcdefgh', logits, costs)
    ]


def drawn(count: int, strengths: list[float], seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return logits of models that know the labels more or less."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, count)
    logits = [random.normal(size=(count, 4)).astype(np.float32) for _ in strengths]
    for z, strength in zip(logits, strengths):
        z[np.arange(count), labels] += strength
    return logits, labels


def answer(
    first: np.ndarray, second: np.ndarray, check: str, threshold: float
) -> tuple[int, bool]:
    """Return the cascade's answer to one picture and whether the second was asked."""
    measure = SCORES['max_probability']
    decisions = [
        Decision(p, int(p.argmax()), float(measure(p)), name, name)
        for name, p in (('first', first), ('second', second))
    ]
    asked = decisions[0].score < threshold
    return post_check(decisions[: 1 + asked], check, measure).label, asked


@pytest.mark.parametrize('goal', [None, 0.6])
def test_expectations_are_those_of_half_the_pictures_judged_by_the_other(goal) -> None:
    logits, labels = drawn(40, [1.0, 1.6], seed=1)
    rows = expect(members(logits, labels, [2.0, 7.0]), logits, labels, goal)
    assert [row.title for row in rows[:2]] == ['a', 'b'] and len(rows) == 2 + 2 * 3 * 2
    best = logits[1].argmax(axis=1) == labels
    assert rows[1].accuracy == best.mean() > rows[0].accuracy

    for row in rows[2:]:
        order = (0, 1) if row.first == 'a' else (1, 0)
        hits, asked, differs = 0, 0, []
        for start in (0, 1):
            chosen, judging = np.arange(start, 40, 2), np.arange(1 - start, 40, 2)
            first, second = (
                softmax(logits[m], temperature(logits[m][chosen], labels[chosen])) for m in order
            )

            def outcome(n: int, t: float, p=first, q=second, check=row.post_check):
                label, second_asked = answer(p[n], q[n], check, t)
                return label == labels[n], second_asked

            scores = np.unique(first[chosen].max(axis=1).astype(float))
            candidates = [scores[0] / 2, *(scores[:-1] + scores[1:]) / 2, (scores[-1] + 1) / 2]
            tried = [np.mean([outcome(n, t) for n in chosen], axis=0) for t in candidates]
            enough = best[chosen].mean() if goal is None else goal
            most = max(accuracy for accuracy, _ in tried)
            limit = most if row.aim == 'accuracy' else min(enough, most)
            _, threshold = min(
                (share, t) for (accuracy, share), t in zip(tried, candidates) if accuracy >= limit
            )
            judged = [outcome(n, threshold) for n in judging]
            hits += sum(right for right, _ in judged)
            asked += sum(second_asked for _, second_asked in judged)
            differs += [int(right) - int(best[n]) for n, (right, _) in zip(judging, judged)]
        costs = {'a': 2.0, 'b': 7.0}
        assert row.accuracy == pytest.approx(hits / 40)
        assert row.second_share == pytest.approx(asked / 40)
        assert row.multiply_adds == pytest.approx(
            costs[row.first] + asked / 40 * costs[row.second]
        )
        assert row.cpu_seconds == pytest.approx(row.multiply_adds / 1000)
        assert row.gain == pytest.approx(np.mean(differs))
        margin = 1.96 * np.std(differs) / 40**0.5
        if not any(differs):
            # That nothing of 40 differed does not say that nothing ever does.
            margin = 0 if (row.first, row.second) == ('a', '') else 1 - 0.025 ** (1 / 40)
        assert row.margin == pytest.approx(margin)
        either = [z.argmax(axis=1) == labels for z in logits]
        assert row.either_right == pytest.approx((either[0] | either[1]).mean())
        assert row.complementarity == pytest.approx(complementarity(np.array(either))[0, 1])


@pytest.mark.parametrize('honest', [True, False])
def test_expectations_are_not_too_good_where_confidence_means_nothing(monkeypatch, honest) -> None:
    if not honest:  # Judged by those that chose, twice.
        all_of_them = slice(0, 100)
        monkeypatch.setattr(pair, 'HALVES', (all_of_them, all_of_them))
    gains = []
    for seed in range(25):
        random = np.random.default_rng(seed)
        labels = random.integers(0, 2, 100)
        logits = [random.normal(size=(100, 2)).astype(np.float32) for _ in range(2)]
        rows = expect(members(logits, labels, [1, 1]), logits, labels)
        gains += [
            row.accuracy / (1 if honest else 2) - 0.5
            for row in rows
            if (row.first, row.post_check, row.aim) == ('a', 'none', 'accuracy')
        ]
    deviations = np.mean(gains) / (np.std(gains) / 25**0.5)
    assert abs(deviations) < 3 if honest else deviations > 5


def certain(answers: list[int], sure: list[bool], classes: int = 3) -> np.ndarray:
    """Return logits of these answers, large where a model is sure."""
    return (np.eye(classes)[answers] * np.where(sure, 6.0, 1.0)[:, np.newaxis]).astype(np.float32)


def pool_of_a_pair() -> tuple[list[np.ndarray], np.ndarray]:
    """
    Return a small model that knows what it does not know, a medium one, and a large one.

    Of 400 pictures, one in five is hard: on those the small one is unsure and wrong, the medium
    one is wrong on half of them, and the large one right. Of all pictures, the medium one is wrong
    on another fifth, and the large one on another twentieth.
    """
    n = np.arange(400)
    labels = n // 10 % 3
    small, large = n % 5 == 4, n % 20 == 3
    medium = (n % 5 == 2) | (n % 10 == 4)
    return [
        certain((labels + wrong) % 3, sure)
        for wrong, sure in ((small, ~small), (medium, n >= 0), (large, n >= 0))
    ], labels


@pytest.mark.parametrize('cost', ['multiply_adds', 'cpu_seconds'])
def test_a_pair_that_wins_is_recommended(cost) -> None:
    logits, labels = pool_of_a_pair()
    advice = recommend(expect(members(logits, labels, [1, 5, 10]), logits, labels), cost)
    assert advice.single.title == 'c' and advice.single.accuracy == 0.95
    assert advice.winner == advice.cheapest
    assert (advice.winner.first, advice.winner.second) == ('a', 'c')
    assert advice.winner.accuracy == 1 and advice.winner.second_share == 0.2
    assert advice.winner.multiply_adds == pytest.approx(1 + 0.2 * 10)
    assert advice.winner.gain == pytest.approx(0.05)
    # Alone right: a on 20 % and b on 10 %; a on 5 % and c on 20 %; b on 5 % and c on 30 %.
    assert (advice.complementary.first, advice.complementary.second) == ('a', 'b')
    assert advice.complementary.complementarity == pytest.approx(0.2)
    text = '\n'.join(advice.reasons)
    assert 'RECOMMENDED: the pair a + c' in text and 'SINGLE' not in text
    assert 'a and b: complementarity 20.00%' in text and '+5.00 points' in text
    assert '30% of the' in text


def test_a_single_model_that_wins_is_recommended() -> None:
    n = np.arange(200)
    labels = n % 3
    # The other one costs less, but is wrong wherever it is surest.
    logits = [
        certain((labels + (n % 3 == 0)) % 3, n % 3 == 0),
        certain((labels + (n % 20 == 0)) % 3, n >= 0),
    ]
    for costs in ([1, 2], [2, 1], [1, 1]):
        rows = expect(members(logits, labels, costs), logits, labels)
        advice = recommend(rows, 'multiply_adds')
        assert advice.winner == advice.single == rows[1]
        assert 'THE SINGLE MODEL WINS' in advice.reasons[-1]
        assert 'RECOMMENDED' not in '\n'.join(advice.reasons)


def test_the_accuracy_asked_for_decides() -> None:
    logits, labels = pool_of_a_pair()
    own = members(logits, labels, [1, 5, 10])

    def winner(accuracy: float) -> tuple[Row, str]:
        advice = recommend(expect(own, logits, labels, accuracy), 'multiply_adds', accuracy)
        assert advice.single.title == 'c'
        return advice.winner, advice.reasons[-1]

    row, text = winner(0.75)
    assert row.title == 'a' and 'SINGLE MODEL WINS' in text and '75.00%' in text
    row, text = winner(1.0)
    assert row.title == 'a + c' and 'RECOMMENDED' in text
    blind = np.where(np.arange(400) % 40 == 0, (labels + 1) % 3, labels)
    logits = [certain(blind, np.arange(400) >= 0)] * 2
    advice = recommend(
        expect(members(logits, labels, [1, 2]), logits, labels, 0.99), 'multiply_adds', 0.99
    )
    assert advice.cheapest is None and advice.winner.title == 'a'
    assert 'NOTHING' in advice.reasons[-1] and '99.00%' in advice.reasons[-1]
    assert any('No two models complement' in reason for reason in advice.reasons)


def test_a_pair_of_equal_cost_loses_to_the_single_model() -> None:
    row = Row('a', '', '', '', 0.9, 0, 0, 0, 5, 0.005, 0, 0.9)
    same = row._replace(second='b', post_check='none', aim='cost', accuracy=0.91)
    other = row._replace(first='b', multiply_adds=6, accuracy=0.8)
    back = same._replace(first='b', second='a', multiply_adds=7)
    rows = [row, other, same, same._replace(aim='accuracy'), back]
    assert recommend(rows, 'multiply_adds').winner == row
    rows[2] = same._replace(multiply_adds=4.9)
    assert recommend(rows, 'multiply_adds').winner == rows[2]


@pytest.fixture(scope='module')
def pool(tmp_path_factory) -> tuple[Path, list[str]]:
    """Return pictures and the metrics files of three models."""
    root = tmp_path_factory.mktemp('pair')
    return make_pictures(root / 'pictures'), [
        str(make_trained(root / 'models', name, gain, size, multiply_adds=cost))
        for name, gain, size, cost in (
            ('small', 1, 8, 10),
            ('odd', -2, 16, 30),
            ('big', 3, 16, 90),
        )
    ]


def test_writes_a_table_a_picture_and_advice(pool, tmp_path, capsys) -> None:
    data, models = pool
    out = tmp_path / 'out'
    command = [str(data), *models, '--out', str(out), '--cost', 'multiply_adds']
    assert pair.main(command) == 0
    printed = capsys.readouterr().out
    with (out / 'pairs.csv').open(newline='') as stream:
        rows = list(csv.DictReader(stream))
    assert [row['first'] for row in rows if not row['second']] == ['small', 'odd', 'big']
    assert {(row['first'], row['second'], row['post_check'], row['aim']) for row in rows[3:]} == {
        (*names, check, aim)
        for names in itertools.permutations(['small', 'odd', 'big'], 2)
        for check in POST_CHECKS
        for aim in pair.AIMS
    }
    advice = json.loads((out / 'recommendation.json').read_text())
    assert advice['files'] == dict(zip(('small', 'odd', 'big'), models))
    # It answers by the colour that is least, and so it is never right.
    assert [float(row['accuracy']) for row in rows[:3]] == [1, 0, 1]
    assert advice['winner']['first'] == 'small' and advice['winner']['second'] == ''
    assert all(reason in printed for reason in advice['reasons'])
    assert 'THE SINGLE MODEL WINS' in printed
    assert [line.split()[1:4] for line in printed.splitlines() if line.startswith('  1 ')] == [
        ['small', '100.00%', '0.00']
    ]
    assert cv2.imread(str(out / 'complementarity.png')).shape[0] > 3 * CELL[1]


def test_a_second_call_runs_no_model_for_its_answers(pool, tmp_path, monkeypatch) -> None:
    data, models = pool
    command = [str(data), *models, '--out', str(tmp_path / 'out')]
    assert pair.main(command) == 0
    monkeypatch.setattr(pair, 'cpu_seconds', lambda pool: [1.0, 2.0, 3.0])
    monkeypatch.delattr(predictions, 'load_model')
    monkeypatch.delattr(predictions, 'load')
    assert pair.main(command) == 0


@pytest.mark.parametrize(('part', 'changes'), [(0, True), (1, False)])
def test_pictures_to_certify_on_have_no_say(pool, tmp_path, monkeypatch, part, changes) -> None:
    """What is wrong on either part tells whether that part is looked at."""
    data, models = pool
    monkeypatch.setattr(pair, 'cpu_seconds', lambda pool: [1.0, 2.0, 3.0])
    true = predictions.predict

    def mislabelled(*arguments, **named):
        answers = true(*arguments, **named)
        which = fit_and_rest(answers[0].names, 0.5, 3)[part]
        assert 0 < len(which) < len(answers[0].names)
        for answer in answers:
            answer.labels[which] = (answer.labels[which] + 1) % 3
        return answers

    written = []
    for name, predict in (('x', true), ('y', mislabelled)):
        monkeypatch.setattr(pair, 'predict', predict)
        assert pair.main([str(data), *models, '--out', str(tmp_path / name)]) == 0
        written.append(
            [
                (tmp_path / name / file).read_bytes()
                for file in ('pairs.csv', 'recommendation.json', 'complementarity.png')
            ]
        )
    assert (written[0] != written[1]) == changes


def test_as_many_pictures_choose_as_it_says(pool, tmp_path, capsys) -> None:
    data, models = pool
    names = predictions.predict(
        [predictions.read_trained(Path(models[0]))], data, split=None, held_out=True
    )[0].names
    for more, share in (([], 0.5), (['--fit', '0.7'], 0.7)):
        assert pair.main([str(data), *models, '--out', str(tmp_path / 'out'), *more]) == 0
        advice = json.loads((tmp_path / 'out' / 'recommendation.json').read_text())
        count = len(fit_and_rest(names, share, 3)[0])
        assert (advice['pictures'], advice['fit']) == (count, share)
        assert capsys.readouterr().out.startswith(f'{count} held-out pictures')
    assert '--fit 0.001 leaves 0' in refused(
        [str(data), *models, '--out', str(tmp_path / 'x'), '--fit', '0.001'], capsys
    )


def refused(command: list[str], capsys) -> str:
    assert pair.main(command) == 1
    error = capsys.readouterr().err
    assert error.startswith('pair: ')
    return error


def test_what_makes_no_pool_is_refused_and_named(pool, tmp_path, capsys) -> None:
    data, models = pool
    out = ['--out', str(tmp_path / 'out')]
    assert 'two or more' in refused([str(data), models[0], *out], capsys)
    assert 'small.json is given twice' in refused([str(data), *models, models[0], *out], capsys)
    assert '--accuracy is a fraction' in refused(
        [str(data), *models, *out, '--accuracy', '93'], capsys
    )
    other = make_trained(tmp_path, 'other', seed=8)
    assert 'other was trained with --seed 8' in refused(
        [str(data), *models, str(other), *out], capsys
    )
    assert 'nowhere' in refused([str(tmp_path / 'nowhere'), *models, *out], capsys)
    assert not (tmp_path / 'out').exists()


def test_models_of_the_same_name_are_told_apart(pool, tmp_path, capsys) -> None:
    data, models = pool
    twin = make_trained(tmp_path, 'small', 2)
    assert pair.main([str(data), models[0], str(twin), '--out', str(tmp_path / 'out')]) == 0
    advice = json.loads((tmp_path / 'out' / 'recommendation.json').read_text())
    assert list(advice['files']) == [models[0][: -len('.json')], str(twin)[: -len('.json')]]


@pytest.mark.parametrize('size', [2, 6, 20])
def test_a_heat_map_shows_every_cell_and_cuts_no_name(size: int) -> None:
    values = np.arange(size * size, dtype=float).reshape(size, size) / 10
    values[1, 1] = np.nan
    names = [f'a_network_of_a_long_name_x{i}' for i in range(size)]
    picture = heat_map(values, names, names, 'title', (0, 1))
    border = (
        np.concatenate([picture[:8], picture[-8:]], axis=None),
        np.concatenate([picture[:, :8], picture[:, -8:]], axis=None),
    )
    assert all((side == 255).all() for side in border)
    top, left = picture.shape[0] - 12 - size * CELL[1], picture.shape[1] - 12 - size * CELL[0]
    corners = picture[top + 5 :: CELL[1], left + 5 :: CELL[0]][:size, :size].astype(int)
    assert (corners[1, 1] == 225).all()
    brightness = np.delete(corners.sum(axis=2).ravel(), size + 1)
    assert (np.diff(brightness) <= 0).all() and brightness[0] > brightness[-1] + 300
    marked = np.argwhere((picture == MARK).all(axis=2))
    assert marked.min(axis=0) == pytest.approx((top, left + CELL[0]), abs=2)
    # Beside and above the cells, there is ink for each name.
    for i in range(size):
        assert (picture[top + i * CELL[1] :][: CELL[1], :left] < 128).any()
        assert (picture[36:top, left + i * CELL[0] :][:, : CELL[0]] < 128).any()
