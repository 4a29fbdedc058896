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

"""Answers of CNNs: right, and kept for exactly what they belong to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_pool import LABELS, make_pictures, make_trained

from dual_cnn_ros.calibration import predictions
from dual_cnn_ros.calibration.candidates import (
    Candidate,
    ImageSelection,
    read_candidates,
    select_validation_images,
)
from dual_cnn_ros.calibration.predictions import divide, predict, Predictions
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.data.dataset import is_validation


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    return make_pictures(tmp_path_factory.mktemp('predictions') / 'images')


@pytest.fixture
def runs(monkeypatch) -> list[str]:
    """Return what was done since: 'read' for each reading of images, a name for each CNN."""
    done: list[str] = []
    load, ask = predictions.load_dataset, predictions._ask

    def noted(name: str, function: Callable[..., Any], *given: Any, **more: Any) -> Any:
        done.append(name)
        return function(*given, **more)

    monkeypatch.setattr(predictions, 'load_dataset', partial(noted, 'read', load))
    monkeypatch.setattr(predictions, '_ask', lambda cnn, part: noted(cnn.name, ask, cnn, part))
    return done


def make_pool(folder: Path, gains: Sequence[float], **options) -> tuple[Candidate, ...]:
    return read_candidates(
        [str(make_trained(folder, n, gain, **options)) for n, gain in zip('abcd', gains)]
    )


def require_same(one: Predictions, other: Predictions) -> None:
    np.testing.assert_equal(vars(one), vars(other))


@pytest.mark.parametrize('colour', ['bgr', 'rgb', 'grey'])
def test_answers_are_those_that_a_robot_gets(images, tmp_path, runs, colour) -> None:
    trained = [
        str(make_trained(tmp_path, name, gain, size, colour=colour))
        for name, gain, size in (('a', 2.0, 16), ('b', -3.0, 8), ('c', 5.0, 16))
    ]
    pool = read_candidates(trained)
    found = predict(pool, select_validation_images(pool, images))
    files = [f'{file.parent.name}/{file.name}' for file in images.glob('*/*.png')]
    names = sorted(name for name in files if is_validation(name, 0.5, 3))
    assert 0 < len(found) == len(names) < 36
    assert found.names == tuple(names)
    assert [LABELS[label] for label in found.labels] == [n.split('/')[0] for n in names]
    for candidate, own, right in zip(pool, found.logits, found.right):
        model = candidate.load()
        for name, logits in zip(names, own):
            blob = Frame(cv2.imread(str(images / name))).blob(candidate.stage.input)
            assert np.array_equal(model(blob)[0], logits)
        assert right.tolist() == (own.argmax(axis=1) == found.labels).tolist()
    # Once for each size, not once for each CNN.
    assert sorted(runs) == ['a', 'b', 'c', 'read', 'read']


def test_what_was_answered_once_is_neither_read_nor_run_again(images, tmp_path, runs) -> None:
    pool = make_pool(tmp_path, [2.0, 3.0, 4.0])
    selection = select_validation_images(pool, images)
    before = predict(pool[:2], selection)
    runs.clear()
    require_same(predict(pool[:2], selection), before)
    require_same(predict(pool[1::-1], selection), replace(before, logits=before.logits[::-1]))
    assert runs == []
    assert len(predict(pool, selection).logits) == 3 and runs == ['read', 'c']


def test_other_weights_images_or_names_are_not_taken_from_the_cache(tmp_path, runs) -> None:
    data = make_pictures(tmp_path / 'images')
    pool = make_pool(tmp_path, [2.0])
    selection = select_validation_images(pool, data)
    before = predict(pool, selection)
    others = predict(make_pool(tmp_path, [3.0]), selection)
    assert not np.array_equal(others.logits[0], before.logits[0])
    runs.clear()
    require_same(predict(make_pool(tmp_path, [2.0]), selection), before)
    assert runs == []

    without = replace(selection, exclude=frozenset({before.names[0]}))
    assert predict(pool, without).names == before.names[1:]
    assert len(predict(pool, ImageSelection(data, None))) == 36, 'all images of a test split'

    cv2.imwrite(str(data / before.names[0]), np.zeros((31, 17, 3), np.uint8))
    (after,), (old,) = predict(pool, selection).logits, before.logits
    assert not np.array_equal(after[0], old[0]) and np.array_equal(after[1:], old[1:])


@pytest.mark.parametrize('damage', ['empty', 'cut', 'flipped', 'text', 'lacking', 'pickled'])
def test_a_damaged_cache_is_made_again_with_one_warning(
    images, tmp_path, runs, capsys, damage
) -> None:
    pool = make_pool(tmp_path, [2.0])
    selection = select_validation_images(pool, images)
    before = predict(pool, selection)
    (logits,) = before.logits
    (file,) = tmp_path.glob('a.*.npz')
    content = file.read_bytes()
    flipped = bytearray(content)
    flipped[content.index(logits.tobytes()) + 9] ^= 64
    file.write_bytes(
        {'cut': content[: len(content) // 2], 'text': b'nothing', 'flipped': flipped}.get(
            damage, b''
        )
    )
    if damage == 'lacking':
        np.savez(file, logits=logits[1:], labels=before.labels, names=before.names)
    if damage == 'pickled':
        names = np.array(before.names, dtype=object)
        np.savez(file, logits=logits, labels=before.labels, names=names)
    runs.clear()
    capsys.readouterr()
    require_same(predict(pool, selection), before)
    assert runs == ['read', 'a']
    warnings = [line for line in capsys.readouterr().err.splitlines() if 'damaged' in line]
    assert len(warnings) == 1 and warnings[0].startswith(f'{file} is damaged')
    predict(pool, selection)
    assert runs == ['read', 'a'] and 'damaged' not in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_costs_only_the_cache(images, tmp_path, capsys) -> None:
    pool = make_pool(tmp_path, [2.0])
    selection = select_validation_images(pool, images)
    before = predict(pool, selection)
    (file,) = tmp_path.glob('a.*.npz')
    file.unlink()
    file.with_name(f'{file.name}.partial').mkdir()
    require_same(predict(pool, selection), before)
    assert f'{file} cannot be written' in capsys.readouterr().err


def test_images_that_are_corrupt_or_lacking_are_named(tmp_path, capsys) -> None:
    data = make_pictures(tmp_path / 'images')
    pool = make_pool(tmp_path, [2.0])
    selection = select_validation_images(pool, data)
    first, *others = predict(pool, selection).names
    (data / first).write_bytes(b'no image')
    assert predict(pool, selection).names == tuple(others)
    assert f'{first} is left out: it is damaged' in capsys.readouterr().err
    with pytest.raises(ValueError, match='images: none of its images is for validation'):
        predict(pool, replace(selection, share=1e-9))


@pytest.mark.parametrize(
    ('name', 'options', 'words'),
    [('nan', {'gain': np.nan}, 'NaN'), ('four', {'logits': 4}, '4 logits for 3 classes')],
)
def test_a_cnn_whose_answers_do_not_do_is_named(images, tmp_path, name, options, words) -> None:
    pool = read_candidates([str(make_trained(tmp_path, name, **options))])
    with pytest.raises(ValueError, match=f'^{name} .*{words}'):
        predict(pool, select_validation_images(pool, images))
    assert not list(tmp_path.glob('*.npz'))


def test_parts_to_choose_with_and_to_certify_on_depend_on_names_alone() -> None:
    names = tuple(f'sea/{number}.png' for number in range(200))
    answers = Predictions(names, np.arange(200), (np.arange(400).reshape(200, 2),))
    fit, rest = divide(answers, 0.3, 7)
    assert set(fit.names) == {name for name in names if is_validation(name, 0.3, 8)}
    assert sorted(fit.names + rest.names) == sorted(names) and 30 < len(fit) < 90
    for part in (fit, rest):
        places = [names.index(name) for name in part.names]
        assert part.labels.tolist() == places != sorted(places), 'classes would come in turn'
        assert part.logits[0].tolist() == answers.logits[0][places].tolist()
    turned = divide(answers.take(np.arange(200)[::-1]), 0.3, 7)
    assert [part.names for part in turned] == [fit.names, rest.names]
    # Of images that were chosen by the seed of `train`, that seed would choose all.
    kept = answers.take(np.array([i for i in range(200) if is_validation(names[i], 0.3, 7)]))
    assert all(len(part) for part in divide(kept, 0.3, 7))
    with pytest.raises(ValueError, match=r'--fit 1e-09 leaves 0 to choose with and 200'):
        divide(answers, 1e-9, 7)
