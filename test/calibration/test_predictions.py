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

"""Answers of trained CNNs: right, kept for exactly what they belong to, their cost measured."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_pool import LABELS, make_pictures, make_trained

from dual_cnn_ros.calibration import predictions
from dual_cnn_ros.calibration.predictions import (
    cpu_seconds,
    fit_and_rest,
    predict,
    Predictions,
    read_trained,
    Trained,
)
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.data.dataset import is_validation


@pytest.fixture(scope='module')
def pictures(tmp_path_factory) -> Path:
    return make_pictures(tmp_path_factory.mktemp('predictions') / 'pictures')


@pytest.fixture
def runs(monkeypatch) -> list[str]:
    """Return what was done since: 'read' for each reading of pictures, a name for each model."""
    done: list[str] = []
    load, ask = predictions.load_dataset, predictions._ask

    def reading(*arguments, **named):
        done.append('read')
        return load(*arguments, **named)

    def asking(trained, part):
        done.append(trained.name)
        return ask(trained, part)

    monkeypatch.setattr(predictions, 'load_dataset', reading)
    monkeypatch.setattr(predictions, '_ask', asking)
    return done


def held_out(pool: list[Trained], data: Path, **options) -> list[Predictions]:
    return predict(pool, data, split=None, held_out=True, **options)


def same(one: Predictions, other: Predictions) -> bool:
    return (
        one.names == other.names
        and np.array_equal(one.labels, other.labels)
        and np.array_equal(one.logits, other.logits)
    )


@pytest.mark.parametrize('colour', ['bgr', 'rgb', 'grey'])
def test_answers_are_those_that_a_robot_gets(pictures, tmp_path, runs, colour) -> None:
    pool = [
        read_trained(make_trained(tmp_path, name, gain, size, colour=colour))
        for name, gain, size in (('a', 2.0, 16), ('b', -3.0, 8), ('c', 5.0, 16))
    ]
    found = held_out(pool, pictures)
    names = sorted(
        name
        for file in pictures.glob('*/*.png')
        if is_validation(name := f'{file.parent.name}/{file.name}', 0.5, 3)
    )
    assert 0 < len(names) < 36
    for trained, own in zip(pool, found):
        assert own.names == tuple(names)
        assert [LABELS[label] for label in own.labels] == [n.split('/')[0] for n in names]
        model = trained.load()
        for name, logits in zip(names, own.logits):
            blob = Frame(cv2.imread(str(pictures / name))).blob(trained.input)
            assert np.array_equal(model(blob), logits)
    # Once for each size, not once for each model.
    assert sorted(runs) == ['a', 'b', 'c', 'read', 'read']
    assert runs.index('b') > runs.index('c')


def test_a_whole_split_is_every_picture(pictures, tmp_path) -> None:
    pool = [
        read_trained(make_trained(tmp_path, 'a', seed=1)),
        read_trained(make_trained(tmp_path, 'b', seed=2)),
    ]
    found = predict(pool, pictures, split=None, held_out=False)
    assert len(found[0].names) == len(found[1].names) == 36


def test_what_was_answered_once_is_neither_read_nor_run_again(pictures, tmp_path, runs) -> None:
    pool = [
        read_trained(make_trained(tmp_path, name, gain)) for name, gain in (('a', 2.0), ('b', 3.0))
    ]
    before = held_out(pool, pictures)
    runs.clear()
    assert all(map(same, held_out(pool, pictures), before))
    assert runs == []
    pool.append(read_trained(make_trained(tmp_path, 'c', 4.0)))
    assert all(map(same, held_out(pool, pictures), before))
    assert runs == ['read', 'c']
    held_out(pool, pictures, cache=False)
    assert runs[2:] == ['read', 'a', 'b', 'c']


def test_other_weights_pictures_or_names_are_not_taken_from_the_cache(tmp_path, runs) -> None:
    data = make_pictures(tmp_path / 'pictures')
    pool = [read_trained(make_trained(tmp_path, 'a', 2.0))]
    before = held_out(pool, data)[0]
    make_trained(tmp_path, 'a', 3.0)
    assert not np.array_equal(held_out(pool, data)[0].logits, before.logits)
    make_trained(tmp_path, 'a', 2.0)
    runs.clear()
    assert same(held_out(pool, data)[0], before) and runs == []

    assert held_out(pool, data, exclude=[before.names[0]])[0].names == before.names[1:]
    assert len(predict(pool, data, split=None, held_out=False)[0].names) == 36

    cv2.imwrite(str(data / before.names[0]), np.zeros((31, 17, 3), np.uint8))
    after = held_out(pool, data)[0]
    assert not np.array_equal(after.logits[0], before.logits[0])
    assert np.array_equal(after.logits[1:], before.logits[1:])


@pytest.mark.parametrize('damage', ['empty', 'cut', 'flipped', 'text', 'arrays', 'pickle'])
def test_a_damaged_cache_is_made_again_with_one_warning(
    pictures, tmp_path, runs, capsys, damage
) -> None:
    pool = [read_trained(make_trained(tmp_path, 'a'))]
    before = held_out(pool, pictures)[0]
    (file,) = tmp_path.glob('a.*.npz')
    content = file.read_bytes()
    if damage == 'arrays':
        np.savez(file, logits=before.logits[1:], labels=before.labels, names=before.names)
    elif damage == 'pickle':
        np.savez(
            file,
            logits=before.logits,
            labels=before.labels,
            names=np.array(before.names, dtype=object),
        )
    else:
        # Amid the logits, which come first.
        at = content.index(before.logits.tobytes()) + 9
        file.write_bytes(
            {
                'empty': b'',
                'cut': content[: len(content) // 2],
                'text': b'nothing',
                'flipped': content[:at] + bytes([content[at] ^ 64]) + content[at + 1 :],
            }[damage]
        )
    runs.clear()
    capsys.readouterr()
    assert same(held_out(pool, pictures)[0], before)
    assert runs == ['read', 'a']
    warnings = [line for line in capsys.readouterr().err.splitlines() if 'damaged' in line]
    assert len(warnings) == 1 and warnings[0].startswith(f'{file} is damaged')
    held_out(pool, pictures)
    assert runs == ['read', 'a'] and 'damaged' not in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_costs_only_the_cache(pictures, tmp_path, capsys) -> None:
    pool = [read_trained(make_trained(tmp_path, 'a'))]
    before = held_out(pool, pictures)[0]
    (file,) = tmp_path.glob('a.*.npz')
    file.unlink()
    file.with_name(f'{file.name}.partial').mkdir()
    assert same(held_out(pool, pictures)[0], before)
    assert f'{file} cannot be written' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('other', 'words'),
    [
        ({'labels': ('blue', 'green', 'pink')}, 'b was trained on other classes than a'),
        ({'holdout': 0.2}, 'b was trained with --holdout 0.2, a with 0.5'),
        ({'seed': 4}, 'b was trained with --seed 4, a with 3'),
        ({'pictures': 31}, 'b was trained on a split of 31 pictures, a on one of 30'),
    ],
)
def test_a_model_of_another_task_is_named(pictures, tmp_path, other, words) -> None:
    pool = [
        read_trained(make_trained(tmp_path, 'a')),
        read_trained(make_trained(tmp_path, 'b', **other)),
    ]
    with pytest.raises(ValueError, match=words):
        held_out(pool, pictures)


def test_data_of_which_nothing_was_held_out_are_refused(pictures, tmp_path) -> None:
    pool = [read_trained(make_trained(tmp_path, 'a', holdout=0.0))]
    with pytest.raises(ValueError, match='none of its pictures was held out'):
        held_out(pool, pictures)


def test_a_model_that_does_not_do_is_named(pictures, tmp_path) -> None:
    for name, options, words in (
        ('nan', {'gain': np.nan}, 'NaN'),
        ('four', {'logits': 4}, '4 logits for 3 classes'),
    ):
        pool = [read_trained(make_trained(tmp_path, name, **options))]
        with pytest.raises(ValueError, match=f'^{name} .*{words}'):
            held_out(pool, pictures)
    trained = read_trained(make_trained(tmp_path, 'broken'))
    trained.file('onnx').write_bytes(b'no model')
    with pytest.raises(ValueError, match='^broken: .*no ONNX model'):
        held_out([trained], pictures)
    assert not list(tmp_path.glob('*.npz'))


@pytest.mark.parametrize('change', ['text', 'list', 'labels', 'seed', 'weights'])
def test_what_is_no_metrics_file_is_named(tmp_path, change) -> None:
    file = make_trained(tmp_path, 'a')
    metrics = json.loads(file.read_text())
    if change == 'weights':
        (tmp_path / 'a.onnx').unlink()
    metrics.pop('labels' if change == 'labels' else '', None)
    metrics['arguments'].pop('seed' if change == 'seed' else '', None)
    file.write_text({'text': '{', 'list': '[]'}.get(change, json.dumps(metrics)))
    with pytest.raises(ValueError, match='a.json is no metrics file written by train'):
        read_trained(file)


def test_parts_to_choose_with_and_to_certify_on_depend_on_names_alone() -> None:
    names = [f'sea/{number}.png' for number in range(200)]
    fit, rest = ([names[i] for i in part] for part in fit_and_rest(names, 0.3, 7))
    assert set(fit) == {name for name in names if is_validation(name, 0.3, 8)}
    assert sorted(fit + rest) == sorted(names) and 30 < len(fit) < 90
    shuffled = names[::-1]
    assert [[shuffled[i] for i in part] for part in fit_and_rest(shuffled, 0.3, 7)] == [fit, rest]
    assert fit != sorted(fit, key=names.index), 'in the order of the files, classes come in turn'
    # What is held out by the seed of `train` itself, which is all there is, would be one part.
    held = [name for name in names if is_validation(name, 0.3, 7)]
    assert all(len(part) for part in fit_and_rest(held, 0.3, 7))


def test_models_take_turns_and_cost_their_median(tmp_path, monkeypatch) -> None:
    pool = [
        read_trained(make_trained(tmp_path, name, size=size))
        for name, size in (('a', 16), ('b', 8))
    ]
    clock, asked = [0.0], []

    def model(trained: Trained):
        def run(blob):
            assert blob.shape == (1, 3, trained.input.height, trained.input.width)
            asked.append(trained.name)
            # Every fifth time something else gets in between.
            clock[0] += {'a': 1.0, 'b': 3.0}[trained.name] + 50 * (len(asked) % 5 == 0)

        return run

    monkeypatch.setattr(Trained, 'load', model)
    monkeypatch.setattr(predictions, 'process_time', lambda: clock[0])
    assert cpu_seconds(pool, rounds=9) == [1.0, 3.0]
    assert asked == ['a', 'b'] * (predictions.WARM_UP + 9)


def test_real_models_cost_something(tmp_path) -> None:
    assert cpu_seconds([read_trained(make_trained(tmp_path, 'a'))], rounds=5)[0] > 0
