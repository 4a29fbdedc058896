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

"""Calibration on frames without labels: scenes, and the answers of the strong CNN."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_pool import make_trained

from dual_cnn_ros.bundle import read_bundle, write_bundle
from dual_cnn_ros.calibration.candidates import read_candidates
from dual_cnn_ros.calibration.guarantee import Blocks, certified_steps
from dual_cnn_ros.calibration.predictions import Predictions
from dual_cnn_ros.calibration.rules import CandidateRule
from dual_cnn_ros.calibration.unlabelled import join_scenes, predict_frames, Scenes
from dual_cnn_ros.cascade.cascade import ask
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.data.labelled_frames import open_frames
from dual_cnn_ros.tools import calibrate


def noise(seed: int) -> np.ndarray:
    """Return a picture that has nothing in common with those of other seeds."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return cv2.resize(coarse, (160, 120), interpolation=cv2.INTER_LINEAR)


def scene_of(scenes: Scenes, image: np.ndarray, seconds: float = 0.0, camera: str = 'a') -> str:
    return scenes.scene_of(camera, seconds, Frame(image))


def test_a_scene_ends_where_the_content_changes_not_where_the_light_does() -> None:
    scenes, picture = Scenes(), noise(0)
    shifted, dark = np.roll(picture, 4, axis=1), picture // 2
    alike = [scene_of(scenes, image) for image in (picture, shifted, dark, picture)]
    assert len(set(alike)) == 1
    assert scene_of(scenes, noise(1)) not in alike
    # Another visit is another scene.
    assert scene_of(scenes, picture) not in alike


def test_a_scene_is_compared_with_its_beginning_so_that_slow_change_ends_it() -> None:
    scenes, wide = Scenes(), np.hstack([noise(0), noise(1), noise(2)])
    found = [scene_of(scenes, wide[:, x : x + 160]) for x in range(0, 320, 4)]
    assert 3 <= len(set(found)) <= 20 and found[0] == found[1] == found[2]


def test_flat_pictures_are_alike() -> None:
    scenes = Scenes()
    black, grey = (np.full((48, 64, 3), value, np.uint8) for value in (0, 90))
    assert scene_of(scenes, black) == scene_of(scenes, grey) != scene_of(scenes, noise(0))


def test_several_cameras_see_one_scene() -> None:
    scenes = Scenes()
    start = scene_of(scenes, noise(0), camera='front')
    assert scene_of(scenes, noise(1), camera='rear') == start
    assert scene_of(scenes, noise(2), camera='rear') == start
    after = scene_of(scenes, noise(3), camera='front')
    assert after != start and scene_of(scenes, noise(4), camera='rear') == after


def test_stretches_of_equal_length_may_be_had_instead() -> None:
    scenes = Scenes(block=2.0)
    found = [scene_of(scenes, noise(i), seconds=t) for i, t in enumerate((10.0, 11.9, 12.1, 14.0))]
    assert found == ['scene 5', 'scene 5', 'scene 6', 'scene 7']


def drive(seed: int, rate: float, frames: int, dwell: float) -> Predictions:
    """
    Return a first CNN on frames cut into scenes of four; it errs for a while, or not for long.

    rate: of all frames, so many are answered wrongly; dwell: frames of such a while, on average.
    """
    random = np.random.default_rng(seed)
    change = random.random(frames)
    wrong, state = np.empty(frames, bool), bool(random.random() < rate)
    for i in range(frames):
        if change[i] < (1 if state else rate / (1 - rate)) / dwell:
            state = not state
        wrong[i] = state
    logits = np.stack((wrong, ~wrong), 1).astype(np.float32)
    names = tuple(map(str, range(frames)))
    scenes = tuple(f'scene {i // 4}' for i in range(frames))
    return Predictions(names, np.ones(frames, np.int64), (logits,), scenes)


@pytest.mark.parametrize('gap', [0.2, 1.0, 1.5])
def test_scenes_that_have_to_do_with_each_other_are_joined_and_the_promise_kept(
    gap: float,
) -> None:
    alpha, delta, runs = 0.1, 0.1, 400
    kept = {'cut': 0, 'joined': 0}
    for seed in range(runs):
        cut = drive(seed, gap * alpha, 2000, 12)
        for name, found in (('cut', cut), ('joined', join_scenes(cut))):
            first = found.right[0]
            right = first, np.ones(2000, bool)
            rule = CandidateRule('entropy', 'none', (np.ones(2000),), right, (1.0, 1.0))
            blocks = Blocks.of(found.blocks, max(4, 2000 // found.units))
            kept[name] += certified_steps(rule, [[0.5]], alpha, delta, blocks=blocks) == 1
    if gap < 1:
        assert kept['joined'] > 0.5 * runs, 'what agrees well enough is certified'
    else:
        assert kept['joined'] <= runs * (delta + 3 * (delta * (1 - delta) / runs) ** 0.5)
    if gap == 1:
        assert kept['cut'] > 1.5 * kept['joined'], 'scenes that are too short promise too much'


def test_independent_scenes_are_left_apart() -> None:
    apart = drive(0, 0.1, 2000, 1)
    assert join_scenes(apart).units == apart.units == 500
    never = drive(0, 0.0, 400, 5)
    assert join_scenes(never).units == 100
    always = replace(never, labels=np.zeros(400, np.int64))
    assert not always.right.any() and join_scenes(always).units == 100


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a drive of 120 scenes of three frames, and two CNNs and a third."""
    root = tmp_path_factory.mktemp('unlabelled')
    (root / 'drive').mkdir()
    random = np.random.default_rng(0)
    for number in range(360):
        if number % 3 == 0:
            picture = random.integers(0, 256, (12, 16, 3), np.uint8).repeat(4, 0).repeat(4, 1)
        cv2.imwrite(str(root / f'drive/{number:03}.png'), picture // (1 + number % 2))
    for name, crop, macs in (('a', 0.5, 10), ('b', 1.0, 90), ('c', 0.9, 90)):
        bundle = read_bundle(make_trained(root, name, 20.0, macs=macs))
        (stage,) = bundle.stages
        stage = replace(stage, input=replace(stage.input, crop=crop))
        write_bundle(replace(bundle, stages=(stage,)))
    (root / 'drive' / '400.png').write_bytes(b'\x89PNG\r\n\x1a\n cut')
    return root


def run(folder: Path, out: Path, *options: str) -> int:
    stages = [str(folder / name) for name in 'ab']
    arguments = ['--unlabelled', str(folder / 'drive'), *stages, '--name', 'x', '--out', str(out)]
    return calibrate.main([*arguments, *options])


def test_every_cnn_is_asked_about_an_even_choice_of_frames(folder: Path, capsys) -> None:
    candidates = read_candidates([str(folder / name) for name in 'ab'])
    found = predict_frames(candidates, open_frames(folder / 'drive'), 361)
    assert len(found) == 360 and found.units == 120
    assert '400.png is left out: ' in capsys.readouterr().err
    fewer = predict_frames(candidates, open_frames(folder / 'drive'), 37)
    assert len(fewer) in (36, 37) and set(fewer.names) <= set(found.names)
    model, wanted = candidates[1].load(), candidates[1].stage.input
    blob = Frame(cv2.imread(str(folder / 'drive' / found.names[7]))).blob(wanted)
    assert np.array_equal(model(blob)[0], found.logits[1][7])


def test_the_bundle_agrees_with_its_second_cnn(folder: Path, tmp_path: Path, capsys) -> None:
    options = ['--alpha', '0.2', '--delta', '0.2']
    assert run(folder, tmp_path / 'x', *options) == 0
    bundle, printed = read_bundle(tmp_path / 'x'), capsys.readouterr().out
    assert (bundle.measure, bundle.post_check) == ('agreement', 'none')
    assert ' scenes to fit on, ' in printed and 'agreement' in printed
    (certified,) = [point for point in bundle.operating_points if point.certificate]
    assert (
        'answers as second alone in at least 80 % of frames like these, with 80 % confidence'
    ) in certified.use
    scenes = certified.certificate.images
    assert 30 < scenes < 90
    # The bundle's own threshold is the cheapest that agrees as often as was asked for.
    cascade, second = (
        bundle.cascade('onnxruntime', ('cpu',)),
        bundle.load('onnxruntime', ('cpu',))[1],
    )
    frames = [Frame(cv2.imread(str(f))) for f in sorted((folder / 'drive').glob('[0-3]*.png'))]
    rule = cascade.settings.rule
    agreed = [ask(cascade.stages, f, rule).label == second.predict(f).argmax() for f in frames]
    assert 0.7 < np.mean(agreed) < 1


def test_whether_the_scenes_were_parted_is_said(folder: Path, tmp_path: Path, capsys) -> None:
    words = ', too few to part: all of them to fit on, and none to certify on'
    # 36 seconds of a folder's 360 images.
    for block, unparted in (('9', True), ('4', False)):
        assert run(folder, tmp_path / block, '--block', block) == 0
        assert (words in capsys.readouterr().out) == unparted


def test_too_few_scenes_certify_nothing_but_the_second_cnn_itself(
    folder: Path, tmp_path: Path, capsys
) -> None:
    assert run(folder, tmp_path / 'x') == 0
    printed = capsys.readouterr().out
    assert 'certified: no threshold was shown to keep the promise (answers as second' in printed
    assert 'It takes 302 independent images or scenes at least; there were ' in printed


def test_a_bundle_is_calibrated_anew_from_its_own_stages(folder: Path, tmp_path: Path) -> None:
    assert run(folder, tmp_path / 'x') == 0
    arguments = ['--unlabelled', str(folder / 'drive'), str(tmp_path / 'x')]
    assert calibrate.main([*arguments, '--name', 'y', '--out', str(tmp_path / 'y')]) == 0
    x, y = (read_bundle(tmp_path / name) for name in 'xy')
    for before, after in zip(x.stages, y.stages):
        assert before.identity == after.identity
    out = ['--name', 'z', '--out', str(tmp_path / 'z')]
    assert calibrate.main([*arguments, str(folder / 'c'), *out]) == 0
    z = read_bundle(tmp_path / 'z')
    assert [stage.name for stage in z.stages] == ['first', 'second', 'third']
    assert {len(point.criteria) for point in z.operating_points} == {2}


@pytest.mark.parametrize('check', ['average', 'more_confident'])
def test_both_together_may_stand_for_the_labels(folder: Path, tmp_path: Path, check) -> None:
    options = ['--post-check', check, '--alpha', '0.3', '--delta', '0.3']
    assert run(folder, tmp_path / 'x', *options) == 0
    bundle = read_bundle(tmp_path / 'x')
    (certified,) = [point for point in bundle.operating_points if point.certificate]
    assert certified.certificate.reference == f'all by {check}'
    # Whoever always asks both agrees with both, always.
    always = [p for p in bundle.operating_points if p.criteria[0].threshold > 1]
    assert all(point.accuracy == 1 for point in always)
    assert max(point.accuracy for point in bundle.operating_points) == 1


def test_a_strong_cnn_may_stand_for_the_labels(folder: Path, tmp_path: Path) -> None:
    options = ['--reference', str(folder / 'c'), '--alpha', '0.3', '--delta', '0.3']
    assert run(folder, tmp_path / 'x', *options) == 0
    bundle = read_bundle(tmp_path / 'x')
    promised = {p.certificate.reference for p in bundle.operating_points if p.certificate}
    assert promised == {'c'}
