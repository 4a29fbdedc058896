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

"""Trained CNNs as bundles of one stage, the images new to all of them, and their cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_bundle import make_bundle
from tiny_pool import LABELS, make_pictures, make_trained

from dual_cnn_ros.bundle import BundleError
from dual_cnn_ros.calibration import candidates
from dual_cnn_ros.calibration.candidates import (
    Candidate,
    ImageSelection,
    measure_cpu_seconds,
    read_candidates,
    select_test_images,
    select_validation_images,
)


def read(*folders: Path) -> tuple[Candidate, ...]:
    return read_candidates([str(folder) for folder in folders])


def test_what_train_wrote_is_read(tmp_path: Path) -> None:
    folder = make_trained(tmp_path, 'a', seed=7)
    (candidate,) = read(folder)
    assert (candidate.name, candidate.path, candidate.labels) == ('a', folder.resolve(), LABELS)
    assert candidate.training.seed == 7 and candidate.stage.architecture == 'tiny'
    assert candidate.training_metrics() == {}
    (folder / 'metrics.json').write_text(json.dumps({'parameters': 9, 'curve': [1]}))
    assert candidate.training_metrics() == {'parameters': 9}
    (candidate.path / 'metrics.json').write_text('{"parameters": ')
    with pytest.raises(ValueError, match=r'metrics\.json is no JSON file'):
        candidate.training_metrics()


def test_bundles_of_the_same_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    folders = [make_trained(tmp_path / parent, 'a') for parent in 'xy']
    assert [candidate.name for candidate in read(*folders)] == [str(folder) for folder in folders]


def test_every_stage_of_a_bundle_is_a_candidate(tmp_path: Path) -> None:
    first, second = read(make_bundle(tmp_path / 'two'))
    assert (first.name, second.name) == ('tiny@first', 'tiny@second')
    assert first.stage.criterion is second.stage.criterion is None


def test_what_is_no_candidate_is_named(tmp_path: Path) -> None:
    (unknown,) = read(make_bundle(tmp_path / 'one', gains=(2.0,)))
    with pytest.raises(ValueError, match=r'one: stages\[0\].training is missing'):
        select_validation_images([unknown], tmp_path)
    with pytest.raises(BundleError, match='none/bundle.yaml: not found'):
        read(tmp_path / 'none')
    folder = make_trained(tmp_path, 'a')
    with pytest.raises(ValueError, match='a is given twice'):
        read(folder, tmp_path / 'one' / '..' / 'a')


def test_validation_images_are_those_of_the_record(tmp_path: Path) -> None:
    pool = read(*(make_trained(tmp_path, name, split='train') for name in 'ab'))
    wanted = ImageSelection(tmp_path, 'train', 0.5, 3, frozenset({'blue/1.png'}))
    assert select_validation_images(pool, tmp_path, frozenset({'blue/1.png'})) == wanted


@pytest.mark.parametrize(
    ('other', 'words'),
    [
        ({'labels': ('blue', 'green', 'pink')}, 'b was trained on other classes than a'),
        ({'split': 'train'}, 'b and a differ in training.split, train and None'),
        ({'images': 31}, 'b and a differ in training.images, 31 and 30'),
        ({'validation': 0.2}, 'b and a differ in training.validation, 0.2 and 0.5'),
        ({'seed': 4}, 'b and a differ in training.seed, 4 and 3'),
    ],
)
def test_candidates_of_which_no_image_is_new_to_all_are_named(
    tmp_path: Path, other: dict, words: str
) -> None:
    pool = read(make_trained(tmp_path, 'a'), make_trained(tmp_path, 'b', **other))
    with pytest.raises(ValueError, match=words):
        select_validation_images(pool, tmp_path)


def test_a_candidate_that_was_trained_on_all_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='a was trained on all images'):
        select_validation_images(read(make_trained(tmp_path, 'a', validation=0.0)), tmp_path)


def test_images_that_were_trained_on_are_no_test(tmp_path: Path) -> None:
    data, other = (make_pictures(tmp_path / name, seed=i) for i, name in enumerate(('d', 'e')))
    trained_on = ImageSelection(data, None, 0.5, 3, frozenset({'x'}))
    with pytest.raises(ValueError, match='d: it is what the CNNs were trained on'):
        select_test_images(trained_on, data, None)
    assert select_test_images(trained_on, other, None) == ImageSelection(
        other, None, 1.0, 0, frozenset({'x'})
    )
    both = tmp_path / 'both'
    both.mkdir()
    for split, folder in (('train', data), ('test', other)):
        (both / split).symlink_to(folder)
    trained_on = ImageSelection(both, None)
    with pytest.raises(ValueError, match="split 'train' of it is what the CNNs were trained on"):
        select_test_images(trained_on, both, 'train')
    assert select_test_images(trained_on, both, None).split == 'test'


def test_a_model_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    (candidate,) = read(make_trained(tmp_path, 'broken'))
    candidate.stage.files['onnx'].path.write_bytes(b'no model')
    with pytest.raises(ValueError, match=r'^broken: .*no ONNX model'):
        candidate.load()


def test_cnns_take_turns_and_cost_their_median(tmp_path: Path, monkeypatch) -> None:
    pool = read(*(make_trained(tmp_path, n, size=size) for n, size in (('a', 16), ('b', 8))))
    clock, asked = [0.0], []

    def load(candidate: Candidate):
        def run(blob):
            size = candidate.stage.input.height
            assert blob.shape == (1, 3, size, size)
            asked.append(candidate.name)
            # Every fifth time something else gets in between.
            clock[0] += {'a': 1.0, 'b': 3.0}[candidate.name] + 50 * (len(asked) % 5 == 0)

        return run

    monkeypatch.setattr(Candidate, 'load', load)
    monkeypatch.setattr(candidates, 'process_time', lambda: clock[0])
    assert measure_cpu_seconds(pool, rounds=9) == (1.0, 3.0)
    assert asked == ['a', 'b'] * (candidates.WARM_UP + 9)
