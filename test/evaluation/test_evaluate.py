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

"""evaluate: against a plain loop over the real cascade, in every protocol and for every source."""

from __future__ import annotations

import copy
from dataclasses import replace
from html.parser import HTMLParser
import json
from pathlib import Path
import re
import shutil
import tarfile
import time
from typing import Any
import xml.etree.ElementTree as ElementTree

import cv2
from dual_cnn_ros.cascade.deferral import Deferral
import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from std_msgs.msg import Float64
import sysfs_fixtures
from tiny_bundle import LABELS, make_bundle, picture
from tiny_pool import make_pictures, make_trained
from vision_msgs.msg import Classification

from dual_cnn_ros import bundle as bundles
from dual_cnn_ros.cascade.cascade import Cascade
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.settings import Settings
from dual_cnn_ros.data import recording
from dual_cnn_ros.data.labelled_frames import open_frames
from dual_cnn_ros.data.recording import Recorder, Recording
from dual_cnn_ros.energy import bench
from dual_cnn_ros.evaluation import evaluate, page, report, systems
from dual_cnn_ros.evaluation import metrics as judge
from dual_cnn_ros.evaluation.evaluate import turn
from dual_cnn_ros.power.reading import Reading, Sensor

START = 1_700_000_000_000_000_000
RULE = Settings(score='max_probability', thresholds=(0.8,), post_check='none')
POINTS = ({'name': 'never ask', 'threshold': 0.0}, {'name': 'always ask', 'threshold': 1.0})


@pytest.fixture(scope='module')
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle whose CNNs both know the colours."""
    return make_bundle(
        tmp_path_factory.mktemp('bundle') / 'tiny', settings=RULE, operating_points=POINTS
    )


@pytest.fixture(scope='module')
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one whose second CNN takes red for blue and blue for red."""
    folder = make_bundle(
        tmp_path_factory.mktemp('odd') / 'tiny', settings=RULE, operating_points=POINTS
    )
    straight = bundles.read(folder)
    first, second = straight.stages
    bundles.write(
        replace(
            straight, stages=(first, replace(second, input=replace(second.input, colour='bgr')))
        )
    )
    return folder


@pytest.fixture(scope='module')
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 24 pictures, half of which the first CNN is sure of; one in six has a wrong label."""
    folder = tmp_path_factory.mktemp('pictures')
    for i in range(24):
        shown = LABELS[i % 3]
        label = LABELS[(i + 1) % 3] if i % 6 == 5 else shown
        (folder / label).mkdir(exist_ok=True)
        # PNG, because the second reading of the test must see the very same pixels.
        cv2.imwrite(
            str(folder / label / f'{i:02}.png'),
            picture(shown, sure=i % 2 == 0, seed=i, height=40, width=56),
        )
    return folder


def run(data: Path, out: Path, *arguments: str) -> dict[str, Any]:
    """Run the tool and return its JSON."""
    assert evaluate.main([str(data), *arguments, '--out', str(out), '--sysfs-root', '/none']) == 0
    return json.loads((out / 'evaluate.json').read_text())


def of(
    findings: dict[str, Any], system: str, memory: str = 'off', protocol: str = 'd=0'
) -> dict[str, Any]:
    """Return one result."""
    key = (system, memory, protocol)
    return next(r for r in findings['results'] if (r['system'], r['memory'], r['protocol']) == key)


def without_times(findings: dict[str, Any]) -> dict[str, Any]:
    """Return a copy without what is different in every run."""
    findings = copy.deepcopy(findings)
    for part in (findings, *findings['results']):
        del part['times']
    return findings


def plainly(
    folder: Path,
    bundle_folder: Path,
    settings: Settings,
    share: float,
    turned: bool,
    repeats: set[int] | None = None,
) -> dict[str, Any]:
    """Return what a loop without any sharing finds: the real cascade on every single frame."""
    bundle = bundles.read(bundle_folder)
    cascade = Cascade(bundle.load('onnxruntime'), settings)
    files = sorted(folder.rglob('*.png'))
    frames = [(file, cv2.imread(str(file))) for file in files]
    chosen = sorted(repeats) if repeats is not None else list(range(round(share * len(files))))
    frames += [(files[i], turn(frames[i][1], (0, i)) if turned else frames[i][1]) for i in chosen]
    right, sources, costs = [], [], []
    for file, image in frames:
        decision = cascade.classify(Frame(image))
        right.append(bundle.labels[decision.label] == file.parent.name)
        sources.append(decision.source)
        costs.append(9 * len(decision.scores))
    return {
        'accuracy': np.mean(right),
        'multiply_adds': np.mean(costs),
        'sources': {name: sources.count(name) / len(sources) for name in set(sources)},
    }


# Against a plain loop ------------------------------------------------------------------------


def test_a_trained_cnn_needs_no_bundle(tmp_path: Path) -> None:
    data = make_pictures(tmp_path / 'data')
    weak = make_trained(tmp_path, 'weak', gain=-2.0, multiply_adds=3)
    findings = run(data, tmp_path / 'out', str(make_trained(tmp_path, 'good')), f'w={weak}')
    assert [s['name'] for s in findings['systems']] == ['good', 'w']
    good, wrong = of(findings, 'good'), of(findings, 'w')
    assert good['accuracy'] > 0.9 > 0.1 > wrong['accuracy']
    assert (good['multiply_adds'], wrong['multiply_adds']) == (9, 3)


def test_a_cnn_and_a_bundle_of_the_same_path_are_told_apart(tmp_path: Path) -> None:
    data = make_pictures(tmp_path / 'data')
    weak = make_trained(tmp_path, 'colours', gain=-2.0)
    folder = make_bundle(tmp_path / 'colours', settings=RULE)
    for names in ([f'w={weak}', f'b={folder}'], [f'b={folder}', f'w={weak}']):
        findings = run(data, tmp_path / names[0][0], *names, '--no-memory')
        assert of(findings, 'w')['accuracy'] < 0.1 and of(findings, 'b')['accuracy'] > 0.9


@pytest.mark.parametrize('timed', ['0', '7'])
def test_agrees_with_a_plain_loop(odd, pictures, tmp_path, timed) -> None:
    """Whatever was asked again for its time, all answers are those of the real cascade."""
    findings = run(
        pictures,
        tmp_path / 'out',
        f'{odd}',
        f'{odd}@never ask',
        f'{odd}@always ask',
        '--repeat',
        '0',
        '1',
        '--rotate',
        '--timed',
        timed,
        '--fingerprint',
        'dhash',
        'invariants',
    )
    points = bundles.read(odd).points
    rules = {
        'tiny': RULE,
        'tiny@never ask': points['never ask'],
        'tiny@always ask': points['always ask'],
    }
    compared = 0
    for name, rule in rules.items():
        for memory in ('off', 'dhash', 'invariants'):
            for protocol, share, turned in (
                ('d=0', 0, False),
                ('d=1', 1, False),
                ('d=1 rotated', 1, True),
            ):
                settings = Settings(
                    rule.score,
                    rule.thresholds,
                    rule.post_check,
                    memory=memory != 'off',
                    fingerprint=memory if memory != 'off' else 'dhash',
                )
                plain = plainly(pictures, odd, settings, share, turned)
                found = of(findings, name, memory, protocol)
                assert found['frames'] == found['judged'] == 24 * (1 + share)
                assert found['accuracy'] == pytest.approx(plain['accuracy'])
                assert found['multiply_adds'] == pytest.approx(plain['multiply_adds'])
                assert {name: s['share'] for name, s in found['sources'].items()} == (
                    pytest.approx(plain['sources'])
                )
                assert bool(found['times']['by_source']) == (timed != '0')
                compared += 1
    assert compared == 27
    # The protocols must differ in what they are for, or the above compares little.
    assert of(findings, 'tiny', 'dhash', 'd=1')['sources']['memory']['share'] == 0.5
    assert of(findings, 'tiny', 'invariants', 'd=1 rotated')['sources']['memory']['share'] == 0.5
    assert 'memory' not in of(findings, 'tiny', 'dhash', 'd=1 rotated')['sources']
    assert 0.3 < of(findings, 'tiny')['second_share'] < 0.7
    assert all(of(findings, name)['harmed'] for name in rules if name != 'tiny')


def test_bundles_that_share_a_cnn_keep_their_own_place_and_score_for_it(
    pictures, tmp_path
) -> None:
    """A CNN is loaded once, but what a bundle has learned about it is that bundle's own."""
    rule = replace(RULE, score='deferral', thresholds=(0.5,))
    # By its intercept alone, one always keeps the first answer and the other never does.
    keep, ask, turned = (
        make_bundle(
            tmp_path / name,
            name=name,
            settings=rule,
            gains=gains,
            deferral=Deferral(intercept, (0.0,)),
        )
        for name, intercept, gains in (
            ('keep', -1.0, (2.0, 20.0)),
            ('ask', 1.0, (2.0, 20.0)),
            ('turned', 1.0, (20.0, 2.0)),
        )
    )
    for order in ((keep, ask, turned), (turned, ask, keep)):
        findings = run(pictures, tmp_path / order[0].name / 'out', *map(str, order), '--no-memory')
        assert [of(findings, name)['second_share'] for name in ('keep', 'ask', 'turned')] == [
            0,
            1,
            1,
        ]
        assert set(of(findings, 'turned')['sources']) == {'second'}
    networks = systems.Networks([systems.parse(str(folder)) for folder in order], 'auto', 'cpu')
    assert len(networks.keys) == 2


def test_half_of_the_pictures_is_repeated_after_all_of_them(odd, pictures, tmp_path) -> None:
    findings = run(pictures, tmp_path, str(odd), '--memory', '--repeat', '0.5')
    result = of(findings, 'tiny', 'dhash', 'd=0.5')
    assert result['frames'] == 36
    assert result['sources']['memory']['share'] == pytest.approx(12 / 36)
    order = np.random.default_rng((0, 0)).permutation(24).tolist()
    plain = plainly(pictures, odd, RULE, 0.5, False, set(order[:12]))
    assert result['accuracy'] == pytest.approx(plain['accuracy'])
    assert (
        'memory'
        not in of(
            run(pictures, tmp_path, str(odd), '--memory', '--repeat', '0.5', '--capacity', '1'),
            'tiny',
            'dhash',
            'd=0.5',
        )['sources']
    )


def test_single_stages_and_the_reference(odd, pictures, tmp_path) -> None:
    findings = run(
        pictures,
        tmp_path,
        f'{odd}@first',
        f'strong={odd}@second',
        str(odd),
        '--reference',
        'strong',
        '--no-memory',
    )
    first, strong, both = (of(findings, name) for name in ('tiny@first', 'strong', 'tiny'))
    assert [r['multiply_adds'] for r in (first, strong)] == [9, 9] and both['multiply_adds'] > 9
    assert set(first['sources']) == {'first'} and set(strong['sources']) == {'second'}
    assert 'difference' not in strong
    assert first['compared_with'] == both['compared_with'] == 'strong'
    assert first['harmed'] == 4 and first['helped'] > 4
    assert first['difference'] == pytest.approx(first['accuracy'] - strong['accuracy'])
    assert (first['helped'] - first['harmed']) / 24 == pytest.approx(first['difference'])
    assert findings['disagreements']['system'] == 'tiny'


def test_curve_passes_through_the_systems_that_are_on_it(odd, pictures, tmp_path) -> None:
    findings = run(pictures, tmp_path, str(odd), f'{odd}@first', '--no-memory')
    (curve,) = findings['curves']
    own = of(findings, 'tiny')
    near = [
        i
        for i, share in enumerate(curve['second_share'])
        if share == pytest.approx(own['second_share'])
    ]
    assert len(near) == 1
    assert curve['accuracy'][near[0]] == pytest.approx(own['accuracy'])
    assert curve['multiply_adds'][near[0]] == pytest.approx(own['multiply_adds'])
    assert curve['accuracy'][-1] == pytest.approx(of(findings, 'tiny@first')['accuracy'])
    assert (curve['second_share'][0], curve['second_share'][-1]) == (1, 0)


def test_same_seed_same_findings(odd, pictures, tmp_path) -> None:
    arguments = (str(odd), f'{odd}@first', '--repeat', '0.5', '--rotate')
    runs = [
        run(pictures, tmp_path / name, *arguments, '--seed', seed)
        for name, seed in (('a', '3'), ('b', '3'), ('c', '4'))
    ]
    assert without_times(runs[0]) == without_times(runs[1])
    assert without_times(runs[0])['results'] != without_times(runs[2])['results']


def test_every_key_is_documented(findings) -> None:
    def keys(value: Any) -> set[str]:
        """Return the keys, but not those that are names of labels, files and sources."""
        if isinstance(value, dict):
            named = {'confusion', 'sources', 'by_source', 'bad', 'unknown_labels', 'power'}
            return set(value).union(*(keys(v) for k, v in value.items() if k not in named))
        return set().union(*map(keys, value)) if isinstance(value, list) else set()

    words = set(re.findall(r'\w+', evaluate.evaluate.__doc__ or ''))
    assert len(keys(findings)) > 40 and keys(findings) <= words


def test_a_tar_gives_what_its_folder_gives(bundle, pictures, tmp_path) -> None:
    with tarfile.open(tmp_path / 'pictures.tar.xz', 'w:xz') as tar:
        tar.add(pictures, 'test')
    with tarfile.open(tmp_path / 'splits.tar', 'w') as tar:
        tar.add(pictures, 'train')
        tar.add(pictures, 'test')
    expected = of(run(pictures, tmp_path / 'a', str(bundle), '--no-memory'), 'tiny')
    for name in ('pictures.tar.xz', 'splits.tar'):
        found = of(run(tmp_path / name, tmp_path / name[:4], str(bundle), '--no-memory'), 'tiny')
        for key in ('frames', 'accuracy', 'multiply_adds', 'confusion'):
            assert found[key] == expected[key]


# What is wrong with the data -----------------------------------------------------------------


def test_bad_pictures_and_unknown_labels_are_named_and_survived(
    bundle, pictures, tmp_path, capsys
) -> None:
    data = tmp_path / 'data'
    for file in pictures.rglob('*.png'):
        (data / file.parent.name).mkdir(parents=True, exist_ok=True)
        (data / file.parent.name / file.name).write_bytes(file.read_bytes())
    (data / 'red' / 'cut.png').write_bytes(file.read_bytes()[:60])
    (data / 'green' / 'empty.jpg').write_bytes(b'')
    (data / 'mauve').mkdir()
    (data / 'mauve' / 'one.png').write_bytes(file.read_bytes())
    findings = run(data, tmp_path / 'out', str(bundle), '--repeat', '1')
    assert set(findings['data']['bad']) == {'red/cut.png', 'green/empty.jpg'}
    assert findings['data']['unknown_labels'] == {'mauve': 1}
    assert findings['data']['frames'] == 25 and findings['data']['labelled'] == 24
    expected = run(pictures, tmp_path / 'expected', str(bundle), '--repeat', '1')
    for memory in ('off', 'dhash'):
        assert (
            of(findings, 'tiny', memory, 'd=1')['accuracy']
            == (of(expected, 'tiny', memory, 'd=1')['accuracy'])
        )
    said = capsys.readouterr().out
    assert 'left out: red/cut.png' in said and "unknown label 'mauve' on 1 frames" in said
    assert 'red/cut.png' in (tmp_path / 'out' / 'evaluate.html').read_text()


def test_without_labels_there_is_everything_but_accuracy(bundle, tmp_path) -> None:
    for i in range(6):
        cv2.imwrite(str(tmp_path / f'{i}.png'), picture(LABELS[i % 3], sure=i < 3, seed=i))
    findings = run(tmp_path, tmp_path / 'out', str(bundle), f'{bundle}@first')
    result = of(findings, 'tiny')
    assert result['accuracy'] is None and result['judged'] == 0 and 'confusion' not in result
    assert result['second_share'] == 0.5 and result['multiply_adds'] == 13.5
    assert findings['data']['unlabelled'] == 6 and findings['curves'] == []
    assert 'Who answered' in (tmp_path / 'out' / 'evaluate.html').read_text()


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (
            ['{bundle}@third'],
            "no stage or operating point 'third'; it has: first; second; never ask",
        ),
        (['{bundle}', '{bundle}'], "are both called 'tiny'; put NAME= before one of them"),
        (['{bundle}', '--reference', 'x'], "--reference 'x' is none of the systems: tiny"),
        (['{bundle}', '--repeat', '2'], '--repeat must be shares in [0, 1], not 2'),
        (['{bundle}', '--split', 'x'], "has no split 'x'"),
        (['nowhere'], 'bundle.yaml: not found'),
        (['{bundle}', '--timed', '-1'], '--timed must be 0 or more pictures, not -1'),
        (['{bundle}', '--block', '0'], '--block must be more than 0 seconds, not 0'),
        (['{bundle}', '--block', 'nan'], '--block must be more than 0 seconds, not nan'),
    ],
)
def test_refuses_in_words(bundle, pictures, tmp_path, capsys, arguments, said) -> None:
    arguments = [argument.format(bundle=bundle) for argument in arguments]
    assert evaluate.main([str(pictures), *arguments, '--out', str(tmp_path / 'out')]) == 1
    assert said in capsys.readouterr().err


def test_systems_with_other_labels_are_refused(bundle, pictures, tmp_path, capsys) -> None:
    other = make_bundle(tmp_path / 'other', labels=('red', 'green', 'grey'), name='other')
    assert evaluate.main([str(pictures), str(bundle), str(other), '--out', str(tmp_path)]) == 1
    assert 'other has other labels than tiny' in capsys.readouterr().err


def test_systems_may_have_their_labels_in_another_order(bundle, pictures, tmp_path) -> None:
    other = make_bundle(tmp_path / 'other', labels=('blue', 'green', 'red'), name='other')
    findings = run(pictures, tmp_path / 'out', str(bundle), f'{other}@second', '--no-memory')
    # It says blue where the frame is red: the right ones are green, and those labelled wrongly.
    confusion = of(findings, 'other@second')['confusion']
    assert confusion['green']['green'] > 0 and confusion['red']['blue'] > 0
    assert of(findings, 'other@second')['accuracy'] < of(findings, 'tiny')['accuracy']


# Going on ------------------------------------------------------------------------------------


def test_a_run_that_was_cut_off_goes_on(bundle, pictures, tmp_path, monkeypatch, capsys) -> None:
    arguments = [
        str(pictures),
        str(bundle),
        '--repeat',
        '1',
        '--rotate',
        '--timed',
        '0',
        '--sysfs-root',
        '/none',
    ]
    asked = []
    ask = systems.Networks.ask

    def count(self: systems.Networks, frame: Frame) -> Any:
        asked.append(frame)
        if len(asked) == 30:
            raise KeyboardInterrupt
        return ask(self, frame)

    monkeypatch.setattr(systems.Networks, 'ask', count)
    out = ['--out', str(tmp_path / 'out')]
    assert evaluate.main([*arguments, *out]) == 130
    assert 'goes on from here' in capsys.readouterr().err
    assert evaluate.main([*arguments, *out, '--seed', '5']) == 1
    assert '--restart' in capsys.readouterr().err
    asked[:] = [None] * 100
    assert evaluate.main([*arguments, *out]) == 0
    assert len(asked) - 100 == 2 * 24 - 29
    assert '29 frames' in capsys.readouterr().err
    assert not list((tmp_path / 'out').glob('partial*'))
    whole = run(pictures, tmp_path / 'whole', *arguments[1:])
    assert without_times(json.loads((tmp_path / 'out' / 'evaluate.json').read_text())) == (
        without_times(whole)
    )


@pytest.mark.parametrize('now', [('torch', 'cpu'), ('onnxruntime', 'cuda')])
def test_a_run_does_not_go_on_where_auto_comes_to_something_else(
    bundle, pictures, tmp_path, monkeypatch, capsys, now
) -> None:
    """As after an installation of another library, or on a machine that lost its GPU."""
    load = bundles.Bundle.load
    there = [('onnxruntime', 'cpu')]

    def only(self: bundles.Bundle, backend: str = 'auto', device: str = 'auto') -> Any:
        if backend != 'auto' and (backend, device) not in there:
            raise bundles.BundleError('not here')
        return load(self)

    def interrupted(frame: Frame) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(bundles.Bundle, 'load', only)
    command = [str(pictures), str(bundle), '--out', str(tmp_path), '--sysfs-root', '/none']
    with monkeypatch.context() as context:
        context.setattr(evaluate, 'Frame', interrupted)
        assert evaluate.main(command) == 130
    there[:] = [now]
    assert evaluate.main(command) == 1
    assert 'begun with other data, CNNs, seed, backend or device' in capsys.readouterr().err
    there[:] = [('onnxruntime', 'cpu')]
    assert evaluate.main(command) == 0


def test_restart_begins_anew(tmp_path) -> None:
    def answers(identity: str, restart: bool = False) -> systems.Answers:
        return systems.Answers(tmp_path / 'partial.f32', identity, (2, 3, 4), restart)

    first = answers('a')
    np.testing.assert_array_equal(
        first.get((1, 2), lambda: [np.ones(1, np.float32), np.zeros(3, np.float32)]), [1, 0, 0, 0]
    )
    again = answers('a')
    assert again.found == 1

    def never() -> list[Any]:
        raise AssertionError('asked again')

    np.testing.assert_array_equal(again.get((1, 2), never), [1, 0, 0, 0])
    with pytest.raises(ValueError, match='--restart'):
        answers('b')
    assert answers('b', restart=True).found == 0


# Recordings ----------------------------------------------------------------------------------


def write_recording(path: Path, storage: str = 'sqlite3', labelled: bool = True) -> None:
    """Write 12 raw frames of one camera and 12 PNGs of another, and the labels of most."""
    types = recording.typestore().types
    with Recorder(path, storage=storage) as recorder:
        for i in range(12):
            # The stamp is not when it was received.
            stamp, received = START + i * 500_000_000, START + i * 500_000_000 + 1_000_000
            shown = LABELS[i % 3]
            at = types['builtin_interfaces/msg/Time'](stamp // 10**9, stamp % 10**9)
            header = types['std_msgs/msg/Header'](at, 'lens')
            image = picture(shown, sure=i % 4 != 0, seed=i // 6 * 0 + i % 6)
            recorder.write(
                '/front/image_raw',
                recording.IMAGE,
                received,
                types[recording.IMAGE](
                    header,
                    *image.shape[:2],
                    'rgb8',
                    0,
                    3 * image.shape[1],
                    image[..., ::-1].ravel().copy(),
                ),
            )
            data = cv2.imencode('.png', picture(shown, seed=100 + i))[1].ravel()
            recorder.write(
                '/rear/image/compressed',
                recording.COMPRESSED_IMAGE,
                received + 1,
                types[recording.COMPRESSED_IMAGE](header, 'png', data[:50] if i == 7 else data),
            )
            if labelled and i != 3:
                truth = 'purple' if i == 4 else shown
                hypothesis = types['vision_msgs/msg/ObjectHypothesis'](truth, 1.0)
                for camera in ('front', 'rear'):
                    recorder.write(
                        f'/{camera}/ground_truth',
                        recording.CLASSIFICATION,
                        received,
                        types[recording.CLASSIFICATION](header, [hypothesis]),
                    )


@pytest.mark.parametrize('storage', recording.STORAGES)
def test_recording_is_judged_frame_by_frame(bundle, tmp_path, storage) -> None:
    write_recording(tmp_path / 'bag', storage)
    findings = run(tmp_path / 'bag', tmp_path / 'out', str(bundle), f'{bundle}@second')
    assert findings['data']['frames'] == 23
    assert list(findings['data']['bad']) == ['/rear/image/compressed 1700000003.500']
    assert findings['data']['unknown_labels'] == {'purple': 2}
    assert findings['data']['unlabelled'] == 2
    result = of(findings, 'tiny')
    # Of 24 frames one is damaged, two have no label and two a label that nobody knows.
    assert result['judged'] == 19 and result['accuracy'] == 1
    # Frames 0, 4 and 8 of the front camera are those that the first CNN is unsure of.
    assert result['second_share'] == pytest.approx(3 / 23)
    # Every front frame from the sixth on repeats one of those before, but for those it is sure of.
    assert of(findings, 'tiny', 'dhash')['sources']['memory']['share'] == pytest.approx(
        len([i for i in range(6, 12) if (i % 4 != 0) == ((i - 6) % 4 != 0)]) / 23
    )


def test_records_what_the_node_would_publish(bundle, tmp_path) -> None:
    write_recording(tmp_path / 'bag')
    run(
        tmp_path / 'bag',
        tmp_path / 'out',
        str(bundle),
        f'{bundle}@never ask',
        '--no-memory',
        '--record',
        str(tmp_path / 'results'),
    )
    cascade = Cascade(
        bundles.read(bundle).load('onnxruntime'),
        Settings(thresholds=(0.8,), post_check='none', memory=False),
    )
    expected = {}
    for item in open_frames(tmp_path / 'bag').frames():
        if item.number != 15:
            expected[item.camera, item.time] = item, cascade.classify(Frame(item.image()))
    with Recording(tmp_path / 'results') as results:
        assert sorted(results.topics) == sorted(
            f'/{system}/dual_cnn/{camera}/{topic}'
            for system in ('tiny', 'tiny_never_ask')
            for camera in ('front', 'rear')
            for topic in ('classification', 'confidence', 'decision')
        )
        messages = [
            message for message in results.messages() if message.topic.startswith('/tiny/')
        ]
    assert len(messages) == 3 * len(expected) == 69
    for message in messages:
        _, _, _, camera, topic = message.topic.split('/')
        item, decision = expected[camera, message.time]
        if topic == 'classification':
            found = deserialize_message(message.data, Classification)
            assert found.header.frame_id == 'lens'
            assert found.results[0].class_id == LABELS[decision.label]
            assert found.results[0].score == pytest.approx(float(decision.probabilities.max()))
            assert found.header.stamp.nanosec == item.stamp % 10**9
        elif topic == 'confidence':
            assert deserialize_message(message.data, Float64).data == pytest.approx(decision.score)
        else:
            values = {pair.key: pair.value for pair in message.decode().status[0].values}
            assert values['source'] == decision.source
            assert values['label'] == LABELS[decision.label]
            assert float(values['finished']) == pytest.approx(message.time / 1e9)


@pytest.mark.parametrize('at', [evaluate.Run.play, evaluate._measure])
def test_a_recording_of_the_results_is_made_by_the_run_that_ends(
    bundle, tmp_path, capsys, monkeypatch, at
) -> None:
    write_recording(tmp_path / 'bag')

    def interrupt(*arguments: Any) -> None:
        if at is evaluate.Run.play:
            at(*arguments)
        raise KeyboardInterrupt

    arguments = [
        str(tmp_path / 'bag'),
        str(bundle),
        '--no-memory',
        '--out',
        str(tmp_path / 'out'),
        '--record',
        str(tmp_path / 'results'),
        '--sysfs-root',
        '/none',
    ]
    with monkeypatch.context() as patched:
        patched.setattr(
            evaluate.Run if at is evaluate.Run.play else evaluate, at.__name__, interrupt
        )
        assert evaluate.main(arguments) == 130
    assert not list(tmp_path.glob('results*'))
    (tmp_path / 'results.partial' / 'results').mkdir(parents=True)  # as a kill leaves it
    assert evaluate.main(arguments) == 0
    with Recording(tmp_path / 'results') as results:
        assert len(list(results.messages())) == 69
    assert {file.suffix for file in (tmp_path / 'results').iterdir()} == {'.db3', '.yaml'}
    assert not list(tmp_path.glob('*.partial'))
    capsys.readouterr()
    assert evaluate.main(arguments) == 1
    assert 'results exists already and is not overwritten' in capsys.readouterr().err


# What answers are worth ----------------------------------------------------------------------


def test_intervals_are_those_of_the_binomial() -> None:
    random = np.random.default_rng(0)
    right = random.random(2000) < 0.8
    low, high = judge.bootstrap([right], np.arange(2000), [None], 0)[0]['interval']
    error = (right.mean() * (1 - right.mean()) / 2000) ** 0.5
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.08)
    assert (high + low) / 2 == pytest.approx(right.mean(), abs=0.2 * error)


def test_repeats_tell_nothing_new() -> None:
    """The interval of every frame twice is that of every frame once, if they are drawn as one."""
    right = np.random.default_rng(1).random(500) < 0.7
    once, twice, apart = (
        judge.bootstrap([row], units, [None], 0)[0]['interval']
        for row, units in (
            (right, np.arange(500)),
            (np.tile(right, 2), np.tile(np.arange(500), 2)),
            (np.tile(right, 2), np.arange(1000)),
        )
    )
    assert twice == once
    assert apart[1] - apart[0] < 0.8 * (once[1] - once[0])


def test_differences_are_paired() -> None:
    """Two systems that differ on few frames differ surely, however unsure either accuracy is."""
    right = np.random.default_rng(2).random(1000) < 0.6
    better = right.copy()
    better[np.flatnonzero(~right)[:20]] = True
    alone, pair = judge.bootstrap([right, better], np.arange(1000), [None, 0], 0)
    assert 'difference' not in alone
    assert pair['difference'] == pytest.approx(0.02)
    low, high = pair['difference_interval']
    assert 0.01 < low < 0.02 < high < 0.03
    assert alone['interval'][1] - alone['interval'][0] > 0.05


def test_units_that_are_all_alike_have_an_interval_too() -> None:
    """The exact one: with 20 of 20 right, 0.8316 is what Clopper and Pearson have."""
    all_, none = np.ones(20, bool), np.zeros(20, bool)
    right, wrong, same = judge.bootstrap([all_, none, none], np.arange(20), [None, 0, 1], 0)
    assert right['units'] == 20
    assert right['interval'] == pytest.approx([0.8316, 1], abs=1e-4)
    assert wrong['interval'] == pytest.approx([0, 0.1684], abs=1e-4)
    assert wrong['difference_interval'] == pytest.approx([-1, -0.6631], abs=1e-4)
    assert same['difference_interval'] == pytest.approx([-0.1684, 0.1684], abs=1e-4)
    twice = judge.bootstrap([np.tile(all_, 2)], np.tile(np.arange(20), 2), [None], 0)[0]
    assert twice['units'] == 20 and twice['interval'] == right['interval']


@pytest.mark.parametrize(('units', 'has'), [(9, False), (10, True)])
def test_few_units_have_no_interval(units, has) -> None:
    right = np.random.default_rng(4).random(100) < 0.5
    pair = judge.bootstrap([right, ~right], np.arange(100) % units, [None, 0], 0)
    assert [result['units'] for result in pair] == [units] * 2
    for key in ('interval', 'difference_interval'):
        assert (pair[1][key] is not None) == has


def test_few_units_are_said_so(bundle, tmp_path, capsys) -> None:
    write_recording(tmp_path / 'bag')
    findings = run(tmp_path / 'bag', tmp_path / 'out', str(bundle), f'{bundle}@second')
    result = of(findings, 'tiny@second')
    assert result['units'] == 3 and result['interval'] is None is result['difference_interval']
    said = capsys.readouterr().out
    assert 'no intervals: 3 units (2 s of the recording each) are too few' in said
    assert '100.00%              -' in said
    assert 'no intervals: 3 units' in (tmp_path / 'out' / 'evaluate.html').read_text()


def test_the_true_accuracy_is_mostly_in_the_interval() -> None:
    random = np.random.default_rng(3)
    inside = 0
    for _ in range(60):
        low, high = judge.bootstrap([random.random(300) < 0.75], np.arange(300), [None], 0)[0][
            'interval'
        ]
        inside += low <= 0.75 <= high
    assert 0.88 <= inside / 60 < 1


def test_reliability_of_a_known_case() -> None:
    confidence = np.array([0.9] * 10 + [0.5] * 10)
    right = np.array([True] * 6 + [False] * 4 + [True] * 5 + [False] * 5)
    error, bins = judge.reliability(confidence, right)
    assert error == pytest.approx(0.15)
    assert [b['frames'] for b in bins] == [10, 10] and bins[1]['accuracy'] == pytest.approx(0.6)


def test_cpu_seconds_weigh_each_source_with_its_share() -> None:
    log = evaluate.Log(
        sources=['first', 'second', 'first', 'first'],
        timed={0: (1.0, 9.0), 1: (5.0, 9.0), 2: (3.0, 9.0)},
    )
    sources = {'first': {'share': 0.75}, 'second': {'share': 0.25}}
    assert evaluate._times(log, sources, 4)['cpu_seconds'] == pytest.approx(0.75 * 2 + 0.25 * 5)
    # What was played later, when the machine was busier or less so, is of no source known before.
    assert evaluate._times(log, sources, 2)['cpu_seconds'] == pytest.approx(0.75 * 1 + 0.25 * 5)
    # Without the costly source the rest would stand for it.
    del log.timed[1]
    assert log.untimed == ['second'] and evaluate._times(log, sources, 4)['cpu_seconds'] is None
    log.more['second'] = [4.0, 6.0, 5.0]
    times = evaluate._times(log, sources, 4)
    assert times['cpu_seconds'] == pytest.approx(0.75 * 2 + 0.25 * 5)
    assert times['latency_p50'] == 9 and log.untimed == []


def counting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the name of each CNN that is run."""
    asked = []
    load = bundles.Bundle.load

    def counted(self: bundles.Bundle, *arguments: str) -> Any:
        def stage(inner: Any) -> Any:
            def classify(frame: Frame) -> Any:
                asked.append(inner.name)
                return inner.classify(frame)

            return inner._replace(classify=classify)

        return tuple(map(stage, load(self, *arguments)))

    monkeypatch.setattr(bundles.Bundle, 'load', counted)
    return asked


def test_every_source_is_timed_however_rare_it_is(pictures, bundle, tmp_path, monkeypatch) -> None:
    """With one picture in the sample, there is one source of each system in it."""
    asked = counting(monkeypatch)
    findings = run(
        pictures,
        tmp_path,
        str(bundle),
        '--repeat',
        '0',
        '0.5',
        '1',
        '--rotate',
        '--timed',
        '1',
        '--fingerprint',
        'dhash',
        'invariants',
    )
    for result in findings['results']:
        timed = {name: s['timed'] for name, s in result['times']['by_source'].items()}
        assert set(timed) == set(result['sources'])
        assert result['times']['cpu_seconds'] == pytest.approx(
            sum(
                s['share'] * result['times']['by_source'][name]['cpu_seconds']
                for name, s in result['sources'].items()
            )
        )
        assert {'first', 'second'} <= set(timed) and max(timed.values()) >= 12
    assert 1 <= of(findings, 'tiny', 'dhash', 'd=1')['times']['by_source']['memory']['timed'] <= 20
    # Nobody times anything where that is not wanted, and every CNN is asked once.
    asked.clear()
    findings = run(pictures, tmp_path, str(bundle), '--timed', '0')
    assert len(asked) == 2 * 24
    times = of(findings, 'tiny')['times']
    assert times['cpu_seconds'] is None is times['latency_p50'] and times['by_source'] == {}
    assert 'no CPU seconds for 2 results' in report.table(findings)


def test_what_is_not_shown_runs_no_cnn(pictures, bundle, tmp_path, monkeypatch) -> None:
    """The curve is made of what is known already, even where all frames are timed."""
    asked = counting(monkeypatch)
    findings = run(pictures, tmp_path, str(bundle), '--no-memory', '--timed', '24')
    share = of(findings, 'tiny')['second_share']
    assert len(asked) == 2 * 24 + 24 + round(24 * share) and 0 < share < 1


def test_rules_that_differ_in_the_threshold_have_one_curve(
    pictures, bundle, tmp_path, monkeypatch
) -> None:
    counts = []
    play = evaluate.Run.play

    def counted(self: evaluate.Run, name: str, players: Any, *arguments: Any) -> Any:
        counts.append(len(players))
        return play(self, name, players, *arguments)

    monkeypatch.setattr(evaluate.Run, 'play', counted)
    findings = run(
        pictures,
        tmp_path,
        str(bundle),
        f'{bundle}@never ask',
        f'{bundle}@always ask',
        '--no-memory',
    )
    assert counts == [3 + 2]
    names = [curve.pop('system') for curve in findings['curves']]
    assert names == ['tiny', 'tiny@never ask', 'tiny@always ask']
    assert findings['curves'][0] == findings['curves'][1] == findings['curves'][2]


# Energy --------------------------------------------------------------------------------------


class Meter:
    """A rail of 5 W, and of 8 W while the machine works."""

    rails = ('IN',)
    working = False

    def read(self) -> list[Reading]:
        """Return the power now."""
        return [Reading('IN', time.monotonic(), watts=8.0 if self.working else 5.0)]


def test_joules_are_those_of_each_image(bundle, pictures, tmp_path, monkeypatch) -> None:
    """At 3 W above idle, joules are three times the seconds of an image."""
    meter = Meter()

    def once(cascade: Cascade, images: Any) -> None:
        meter.working = True
        time.sleep(0.05)

    def resting(seconds: float) -> tuple[int, float]:
        meter.working = False
        return rest(seconds)

    rest = bench._rest
    monkeypatch.setattr(bench, '_rest', resting)
    monkeypatch.setattr(bench, 'SETTLE_SECONDS', 0.3)
    monkeypatch.setattr(evaluate, '_once', once)
    monkeypatch.setattr(
        evaluate, 'discover', lambda source, root: Sensor('fake', '', (meter,), ('IN',), 'module')
    )
    findings = run(
        pictures, tmp_path, str(bundle), '--no-memory', '--repeat', '0.5', '--energy-seconds', '3'
    )
    energy = of(findings, 'tiny', 'off', 'd=0.5')['times']['energy']
    assert energy['images'] % 36 == 0
    seconds = energy['seconds'] / energy['images']
    assert energy['joules'] == pytest.approx(3 * seconds, rel=0.02)
    assert energy['gross_joules'] == pytest.approx(8 * seconds, rel=0.02)
    assert energy['idle_watts'] == pytest.approx(5) and not energy['refused']


def test_energy_is_of_the_sensor_or_not_at_all(
    bundle, pictures, tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(bench, 'SETTLE_SECONDS', 0.1)
    root = sysfs_fixtures.build(tmp_path, sysfs_fixtures.agx_orin())
    assert (
        evaluate.main(
            [
                str(pictures),
                str(bundle),
                '--no-memory',
                '--sysfs-root',
                str(root),
                '--energy-seconds',
                '3',
                '--out',
                str(tmp_path / 'out'),
            ]
        )
        == 0
    )
    energy = of(json.loads((tmp_path / 'out' / 'evaluate.json').read_text()), 'tiny')['times'][
        'energy'
    ]
    # Files draw the same whatever is done: there is a whole, and nothing above idle.
    assert energy['gross_joules'] == pytest.approx(
        22.29 * energy['seconds'] / energy['images'], rel=0.01
    )
    assert energy['joules'] is None and 'within the noise' in energy['refused']
    said = capsys.readouterr().out
    assert 'energy per image by ina3221' in said and 'above idle' in said
    findings = run(pictures, tmp_path / 'none', str(bundle), '--no-memory')
    if findings['times']['power']['sensor'] is None:
        assert 'energy' not in of(findings, 'tiny')['times']
        said = capsys.readouterr().out
        assert 'no energy was measured' in said and ' mJ' not in said


def test_what_no_reading_covers_is_no_number(bundle, pictures, tmp_path, monkeypatch) -> None:
    class Broken(Meter):
        """A rail that cannot be read any more."""

        def read(self) -> list[Reading]:
            return [Reading('IN', time.monotonic(), error='EIO')]

    monkeypatch.setattr(bench, 'SETTLE_SECONDS', 0.0)
    monkeypatch.setattr(
        evaluate,
        'discover',
        lambda source, root: Sensor('fake', '', (Broken(),), ('IN',), 'module'),
    )
    findings = run(pictures, tmp_path, str(bundle), '--no-memory', '--energy-seconds', '0.3')
    energy = of(findings, 'tiny')['times']['energy']
    assert energy['joules'] is None is energy['idle_watts'] and 'covered' in energy['refused']
    assert 'NaN' not in (tmp_path / 'evaluate.json').read_text()


def test_no_energy_without_pictures(bundle, pictures, tmp_path, capsys) -> None:
    root = sysfs_fixtures.build(tmp_path, sysfs_fixtures.agx_orin())
    assert (
        evaluate.main(
            [
                str(pictures),
                str(bundle),
                '--no-memory',
                '--sysfs-root',
                str(root),
                '--timed',
                '0',
                '--out',
                str(tmp_path / 'out'),
            ]
        )
        == 0
    )
    findings = json.loads((tmp_path / 'out' / 'evaluate.json').read_text())
    assert 'energy' not in of(findings, 'tiny')['times']
    assert 'no energy was measured (ina3221 is there, but no picture' in capsys.readouterr().out


# Comparing -----------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def findings(bundle, pictures, tmp_path_factory) -> dict[str, Any]:
    """Return a report to change."""
    return run(
        pictures,
        tmp_path_factory.mktemp('findings'),
        str(bundle),
        f'{bundle}@second',
        '--repeat',
        '0',
        '1',
    )


def compared(tmp_path: Path, before: dict[str, Any], after: dict[str, Any], *more: str) -> int:
    """Return the exit code of --compare."""
    for name, content in (('a', before), ('b', after)):
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    return evaluate.main(['--compare', str(tmp_path / 'a.json'), str(tmp_path / 'b.json'), *more])


@pytest.mark.parametrize(
    ('key', 'factor', 'shift', 'more', 'code'),
    [
        ('accuracy', 1, 0, [], 0),
        ('accuracy', 1, 0.3, [], 0),
        ('accuracy', 1, -0.004, [], 0),
        ('accuracy', 1, -0.006, [], 1),
        ('accuracy', 1, -0.006, ['--accuracy-tolerance', '0.01'], 0),
        ('multiply_adds', 1.04, 0, [], 0),
        ('multiply_adds', 1.06, 0, [], 1),
        ('multiply_adds', 0.5, 0, [], 0),
        ('multiply_adds', 1.06, 0, ['--cost-tolerance', '0.1'], 0),
        ('second_share', 1, 0.04, [], 0),
        ('second_share', 1, 0.06, [], 1),
        ('cpu_seconds', 2, 0, [], 0),
        ('cpu_seconds', 2, 0, ['--cpu'], 1),
        ('cpu_seconds', 0.9, 0, ['--cpu'], 0),
    ],
)
def test_compare_fails_beyond_the_tolerance(
    findings, tmp_path, capsys, key, factor, shift, more, code
) -> None:
    after = copy.deepcopy(findings)
    result = of(after, 'tiny', 'dhash', 'd=1')
    holder = result['times'] if key == 'cpu_seconds' else result
    holder[key] = holder[key] * factor + shift
    assert compared(tmp_path, findings, after, *more) == code
    said = capsys.readouterr().out
    key = 'CPU seconds' if key == 'cpu_seconds' else key
    assert ('WORSE tiny, memory dhash, d=1: ' + key in said) == bool(code)


def test_compare_counts_joules_where_that_is_wanted(findings, tmp_path, capsys) -> None:
    assert compared(tmp_path, findings, findings, '--joules') == 2
    assert 'no joules above idle were measured in both' in capsys.readouterr().err
    before, after = copy.deepcopy(findings), copy.deepcopy(findings)
    for found, joules in ((before, 0.2), (after, 0.3)):
        for result in found['results']:
            result['times']['energy'] = {'joules': joules}
    assert compared(tmp_path, before, after) == 0
    assert '+50.00%' in capsys.readouterr().out
    assert compared(tmp_path, before, after, '--joules') == 1
    assert 'joules above idle went from 0.2 to 0.3' in capsys.readouterr().out
    assert compared(tmp_path, after, before, '--joules') == 0


def test_compare_wants_the_same_systems_and_frames(findings, tmp_path, capsys) -> None:
    fewer = copy.deepcopy(findings)
    fewer['results'] = [r for r in fewer['results'] if r['system'] == 'tiny']
    assert compared(tmp_path, findings, fewer) == 2
    assert 'the second report has no result of tiny@second' in capsys.readouterr().err
    assert compared(tmp_path, fewer, findings) == 2
    for key, value, what in (
        ('seed', 9, 'seed'),
        ('labels', ['red'], 'labels'),
        ('format', 1, 'format 1, not 2'),
    ):
        assert compared(tmp_path, findings, {**findings, key: value}) == 2
        assert what in capsys.readouterr().err
    assert compared(tmp_path, {'results': [{}]}, findings) == 2
    assert evaluate.main(['--compare', str(tmp_path / 'a.json'), str(tmp_path / 'no.json')]) == 2


def test_compare_wants_the_same_pictures_and_labels(bundle, pictures, tmp_path, capsys) -> None:
    def evaluated(name: str, data: Path) -> str:
        run(data, tmp_path / f'{name}.out', str(bundle), '--no-memory', '--timed', '0')
        return str(tmp_path / f'{name}.out' / 'evaluate.json')

    reports = {'same': evaluated('same', pictures)}
    for name in ('moved', 'relabelled', 'changed'):
        shutil.copytree(pictures, tmp_path / name)
    with tarfile.open(tmp_path / 'packed.tar', 'w') as tar:
        for file in sorted(pictures.rglob('*.png'), reverse=True):
            tar.add(file, f'{file.parent.name}/{file.name}')
    (tmp_path / 'relabelled/red/00.png').rename(tmp_path / 'relabelled/blue/00.png')
    shutil.copy(pictures / 'red/00.png', tmp_path / 'changed/red/06.png')
    for name in ('moved', 'relabelled', 'changed', 'packed.tar'):
        code = evaluate.main(['--compare', reports['same'], evaluated(name, tmp_path / name)])
        assert code == (0 if name in ('moved', 'packed.tar') else 2)
        assert ('not of the same frames or labels' in capsys.readouterr().err) == bool(code)


# The page ------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Collects what a page would load, and whether its tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or '' for key, value in attrs if key in ('src', 'href')]
        if tag not in ('meta', 'img', 'br', 'line', 'rect', 'polyline'):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ('line', 'rect', 'polyline'):
            assert self.open.pop() == tag


def test_page_is_one_file_and_loads_nothing(bundle, pictures, tmp_path) -> None:
    evil = make_bundle(tmp_path / 'evil', name='<script>&', settings=RULE, gains=(1.0, 1.0))
    run(pictures, tmp_path / 'out', f'{evil}@second', str(bundle), '--repeat', '0', '1')
    text = (tmp_path / 'out' / 'evaluate.html').read_text()
    reader = Reader()
    reader.feed(text)
    assert reader.open == [] and 'script' not in reader.tags
    assert all(load.startswith('data:image/') for load in reader.loads)
    assert 'http' not in text and '@import' not in text and 'url(' not in text
    assert '&lt;script&gt;&amp;' in text
    assert 'accuracy, %' in text and 'multiply-adds per image, millions' in text
    charts = re.findall(r'<svg.*?</svg>', text)
    assert len(charts) >= 8
    for chart in charts:
        ElementTree.fromstring(chart)


def test_page_shows_where_the_systems_disagree(pictures, bundle, tmp_path) -> None:
    blind = make_bundle(tmp_path / 'blind', name='blind', labels=('green', 'blue', 'red'))
    findings = run(
        pictures,
        tmp_path / 'out',
        str(bundle),
        f'{blind}@second',
        '--reference',
        'blind@second',
        '--no-memory',
    )
    found = findings['disagreements']
    assert found['frames'] == 24 == len(found['shown'])
    text = (tmp_path / 'out' / 'evaluate.html').read_text()
    assert text.count('<figure>') == text.count('src="data:image/jpeg') == 24
    # Those come first in which only the reference is right: it takes the wrong labels for right.
    kinds = [
        (entry['reference'] == entry['label'], entry['system'] == entry['label'])
        for entry in found['shown']
    ]
    assert kinds == [(True, False)] * 4 + [(False, True)] * 20


@pytest.mark.parametrize(
    ('low', 'high', 'expected'),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (88.2, 90.1, [88.5, 89, 89.5, 90]), (0, 100, None)],
)
def test_ticks_are_round_and_within(low, high, expected) -> None:
    found = page.ticks(low, high)
    assert 3 <= len(found) <= 8 and low <= found[0] and found[-1] <= high
    if expected:
        assert found == pytest.approx(expected)


def test_chart_places_points_where_they_belong() -> None:
    svg = ElementTree.fromstring(
        page.chart(
            [page.Point(0, 0, '#000'), page.Point(10, 1, '#000')],
            [],
            'x',
            'y',
            size=(172, 158),
            frame=(0, 10, 0, 1),
        )
    )
    centres = [(float(c.get('cx', 0)), float(c.get('cy', 0))) for c in svg.iter('circle')]
    assert centres == [(58, 114), (158, 10)]


def test_table_has_every_system_in_every_protocol(findings) -> None:
    text = report.table(findings)
    assert len(re.findall(r'^tiny ', text, re.MULTILINE)) == 4
    assert 'd=1: 48 frames' in text
