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

"""Bundles: what is written is read again; whatever is wrong is named with its file and field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
import pickle
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from tiny_bundle import make_bundle, picture, save_model
import yaml

from dual_cnn_ros.bundle import (
    Bundle,
    BundleError,
    Certificate,
    find_bundle,
    MeasuredBaseline,
    MODEL_FORMATS,
    ModelFile,
    OperatingPoint,
    read_bundle,
    sha256,
    shipped_bundles,
    TrainingRecord,
    write_bundle,
)
from dual_cnn_ros.cascade.frame import Frame, Preprocessing
from dual_cnn_ros.cascade.scores import softmax
from dual_cnn_ros.cascade.settings import ALWAYS_DEFER, Criterion, Rule, Settings

# torch deprecates its own TorchScript, which robots with older ones still use.
pytestmark = pytest.mark.filterwarnings('error', 'ignore:.*torch.jit')

MISSING = object()
CAREFUL = OperatingPoint(
    'careful',
    (Criterion('entropy', ALWAYS_DEFER),),
    'average',
    'Where errors are dear.',
    accuracy=0.9,
    deferral_rates=(0.25,),
    macs=8,
    certificate=Certificate(0.01, 0.05, 'betting', 660, 'always asking second'),
)
BASELINE = MeasuredBaseline(
    'resnet50',
    joules=0.0831,
    standard_error=0.0,
    gross_joules=0.31,
    idle_watts=4.2,
    source='ina3221',
    scope='module',
    machine='a robot',
    date='2026-11-21',
    conditions='480 x 640, onnxruntime',
)


@pytest.fixture(scope='module')
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle that no test changes."""
    return make_bundle(
        tmp_path_factory.mktemp('original') / 'tiny',
        operating_points=(
            OperatingPoint('frugal', (Criterion(threshold=0.5),), 'more_confident'),
            CAREFUL,
        ),
        baseline=BASELINE,
    )


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """Return a copy of the original, which a test may change."""
    return Path(shutil.copytree(original, tmp_path / 'tiny'))


def edit(folder: Path, where: tuple[str | int, ...], value: Any) -> None:
    """Set the field of bundle.yaml at a path to a value, or take it out."""
    content = parent = yaml.safe_load((folder / 'bundle.yaml').read_text())
    for step in where[:-1]:
        parent = parent[step]
    if value is MISSING:
        del parent[where[-1]]
    else:
        parent[where[-1]] = value
    (folder / 'bundle.yaml').write_text(yaml.safe_dump(content))


def refused(folder: Path, use: Callable[[Path], Any] = read_bundle) -> str:
    with pytest.raises(BundleError) as caught:
        use(folder)
    assert str(folder / 'bundle.yaml') in str(caught.value)
    return str(caught.value)


def load(folder: Path) -> Any:
    return read_bundle(folder).load(backend='onnxruntime')


# Reading and writing -----------------------------------------------------------------------------


def test_what_is_written_is_read_again(folder: Path) -> None:
    bundle = read_bundle(folder)
    assert bundle.labels == ('red', 'green', 'blue')
    assert [stage.name for stage in bundle.stages] == ['first', 'second']
    assert bundle.settings == Settings()
    assert bundle.rules == {
        'frugal': Rule((Criterion(threshold=0.5),)),
        'careful': Rule((Criterion('entropy', ALWAYS_DEFER),), 'average'),
    }
    assert bundle.operating_points[1] == CAREFUL
    assert bundle.baseline == BASELINE
    before = (folder / 'bundle.yaml').read_text()
    write_bundle(bundle)
    assert (folder / 'bundle.yaml').read_text() == before
    assert read_bundle(folder) == bundle


def test_any_text_survives_and_what_is_left_out_stays_out(folder: Path) -> None:
    bundle = replace(
        read_bundle(folder),
        name='Häuser',
        description='two lines:\n- with "quotes" and #',
        labels=('yes', 'null', '1.0', 'Straße 7', ' leading'),
        post_check='none',
        operating_points=(),
        baseline=None,
    )
    write_bundle(bundle)
    assert read_bundle(folder) == bundle


def test_stages_may_differ_in_everything(folder: Path) -> None:
    bundle = read_bundle(folder)
    first, second = bundle.stages
    (folder / 'models').mkdir()
    other = (folder / 'second.onnx').rename(folder / 'models' / 'large.onnx')
    first = replace(first, criterion=Criterion('entropy', 0.123456789012345))
    second = replace(
        second,
        name='large',
        files={'onnx': ModelFile(other, sha256(other))},
        architecture='resnet20',
        input=Preprocessing(24, 24, 'bgr', 0.875, (0.1, 0.2, 0.3), (1e-05, 0.5, 2.0)),
        temperature=1.37,
        macs=41_000_000,
        cpu_seconds=1.5e-05,
        training=TrainingRecord('pictures', None, 30, 0.5, 3, 0.9),
    )
    bundle = replace(bundle, stages=(first, second))
    write_bundle(bundle)
    assert read_bundle(folder) == bundle
    assert [stage.title for stage in bundle.stages] == ['first', 'resnet20']
    assert second.source.files == {'onnx': other}


@pytest.mark.parametrize('stages', [1, 3])
def test_any_number_of_stages(tmp_path: Path, stages: int) -> None:
    criteria = (Criterion('difference', 0.6), Criterion('entropy', 0.7))[: stages - 1]
    folder = make_bundle(
        tmp_path / 'tiny', gains=(1.0, 5.0, 20.0)[:stages], rule=Rule(criteria, 'none')
    )
    bundle = read_bundle(folder)
    assert bundle.rule == Rule(criteria, 'none')
    assert [stage.threshold for stage in bundle.load()] == [*(c.threshold for c in criteria), None]


def test_one_stage_of_a_bundle_is_a_bundle(folder: Path) -> None:
    bundle = read_bundle(folder)
    for stage in bundle.stages:
        alone = bundle.alone(stage)
        assert [spec.name for spec in alone.stages] == [stage.name]
        assert alone.rule == Rule(()) and alone.rules == {}


def test_a_bundle_of_symbolic_links_works(folder: Path, tmp_path: Path) -> None:
    installed = tmp_path / 'installed'
    installed.mkdir()
    for file in folder.iterdir():
        (installed / file.name).symlink_to(file)
    assert read_bundle(installed).digest == read_bundle(folder).digest


def test_a_bundle_is_found_by_name_or_path(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert find_bundle('signs') == shipped_bundles() / 'signs'
    assert find_bundle('tiny') == Path('tiny')
    assert find_bundle('./signs') == Path('signs')
    assert find_bundle('~/tiny') == folder
    assert Bundle.open('~/tiny') == read_bundle(folder)
    with pytest.raises(BundleError, match='no home folder .* give a path that begins with /'):
        find_bundle('~nobody_of_this_name/tiny')


# What is wrong is named --------------------------------------------------------------------------

ABSENT = '0' * 64
STAGE = ('stages', 1)
ONNX = (*STAGE, 'files', 'onnx')
CRITERION = ('stages', 0, 'criterion')
POINT = ('operating_points', 1)


# What a field may be is told by the tests of records, settings and frames: here is one of each,
# and what only bundles have.
@pytest.mark.parametrize(
    ('where', 'value', 'expected'),
    [
        (('format',), MISSING, 'format is None, but this version of dual_cnn_ros reads 3'),
        (('format',), 1, 'format is 1, but this version of dual_cnn_ros reads 3; make the bundle'),
        (('format',), 4, 'or update dual_cnn_ros where that number is higher'),
        (('name',), MISSING, 'the field name is missing'),
        (('path',), '/etc', 'unknown field path; check the spelling'),
        ((7,), 0.5, 'unknown field 7'),
        (('labels',), ['red'], 'labels must be 2 to 65536 different names'),
        (('labels',), ['red', 'green', 'red'], 'labels must be 2 to 65536 different names'),
        (('labels',), ['red', 'green', ''], 'labels must be 2 to 65536 different names'),
        (('labels', 0), 1, 'labels[0] must be text, in quotes where YAML would read something'),
        (('stages',), [], 'stages must have at least one entry'),
        ((*STAGE, 'name'), 'first', 'stages must have different names'),
        ((*STAGE, 'name'), 'memory', 'stages[1].name must be a word of letters, digits and _, n'),
        ((*STAGE, 'name'), 'my net', 'stages[1].name must be a word of letters, digits and _, n'),
        ((*STAGE, 'temperature'), 0, 'stages[1].temperature must be positive, not 0'),
        ((*STAGE, 'temperature'), float('nan'), 'stages[1].temperature must be positive, not nan'),
        ((*STAGE, 'macs'), -1, 'stages[1].macs must not be negative, not -1'),
        ((*STAGE, 'cpu_seconds'), float('inf'), 'stages[1].cpu_seconds must not be negative'),
        ((*STAGE, 'input', 'width'), 0, 'stages[1].input.width must be 1 to 4096'),
        ((*STAGE, 'files'), MISSING, 'stages[1].files must name at least one model file'),
        (
            (*STAGE, 'files'),
            {'pickle': {'path': 'second.onnx', 'sha256': ABSENT}},
            'stages[1].files.pickle: a model is one of onnx, torchscript, safetensors',
        ),
        ((*ONNX, 'path'), 'third.onnx', 'stages[1].files.onnx.path: there is no file'),
        ((*ONNX, 'path'), '', 'stages[1].files.onnx.path: there is no file'),
        ((*ONNX, 'path'), '/etc/passwd', 'stages[1].files.onnx.path must stay inside the bundle'),
        ((*ONNX, 'path'), 'models/../../x', 'stages[1].files.onnx.path must stay inside'),
        ((*STAGE, 'criterion'), {}, 'stages[1].criterion must be left out: the last stage is'),
        (CRITERION, MISSING, 'stages[0].criterion is missing: every stage but the last needs'),
        ((*CRITERION, 'threshold'), 1.2, 'stages[0].criterion.threshold must be in [0, 1], not'),
        (('post_check',), 'vote', 'post_check must be one of none, more_confident, average'),
        ((*POINT, 'name'), 'frugal', 'operating_points must have different names, none of them'),
        ((*POINT, 'name'), '', 'operating_points must have different names, none of them empty'),
        ((*POINT, 'criteria'), [], 'operating_points[1].criteria must be one for each stage but'),
        ((*POINT, 'post_check'), 'vote', 'operating_points[1].post_check must be one of none'),
        (('baseline', 'joules'), -1.0, 'baseline.joules must not be negative, not -1.0'),
        (('baseline', 'joules'), 0, 'baseline.joules must not be 0.0'),
        (('baseline', 'standard_error'), float('nan'), 'baseline.standard_error must not be neg'),
        (('baseline', 'machine'), '', "baseline.machine must not be ''"),
    ],
)
def test_a_wrong_field_is_named(
    folder: Path, where: tuple[str | int, ...], value: Any, expected: str
) -> None:
    edit(folder, where, value)
    assert expected in refused(folder)


def test_more_operating_points_than_anybody_can_tell_apart_are_refused(folder: Path) -> None:
    bundle = read_bundle(folder)
    points = [replace(bundle.operating_points[0], name=f'point {n}') for n in range(9)]
    write_bundle(replace(bundle, operating_points=tuple(points[:8])))
    with pytest.raises(ValueError, match='operating_points must be at most 8, not 9'):
        replace(bundle, operating_points=tuple(points))


@pytest.mark.parametrize(
    'text',
    [
        b'',
        b'- a\n- list',
        b'format: [1',
        b'\xff\xfe\xfa',
        b'a: *b',
        b'!!python/object/apply:os.system ["true"]',
        b'? {a: b}\n: c',
        b'[' * 5000,
    ],
    ids=lambda text: text[:10],
)
def test_what_is_no_bundle_yaml_is_refused(folder: Path, text: bytes) -> None:
    (folder / 'bundle.yaml').write_bytes(text)
    refused(folder)


def test_a_folder_without_bundle_yaml_is_said_to_be_none(folder: Path) -> None:
    assert 'a bundle is a folder with this file in it' in refused(folder / 'nowhere')
    (folder / 'nowhere' / 'bundle.yaml').mkdir(parents=True)
    assert 'cannot be read' in refused(folder / 'nowhere')
    with pytest.raises(
        BundleError, match='the bundles here are .*scenes, signs, and imagenet can be made'
    ):
        Bundle.open('scenez')


def test_a_changed_model_file_is_refused(folder: Path) -> None:
    with (folder / 'second.onnx').open('ab') as file:
        file.write(b'\0')
    message = refused(folder)
    assert 'stages[1].files.onnx.sha256 is not that of' in message
    assert 'second.onnx' in message and 'copy the bundle again' in message


def test_weights_outside_of_a_model_file_are_refused_until_they_are_inside(folder: Path) -> None:
    path, before = folder / 'second.onnx', read_bundle(folder).digest
    model = onnx.load(path)
    # Only raw tensors can be outside.
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    settings = {'save_as_external_data': True, 'location': 'w.bin', 'size_threshold': 0}
    onnx.save(model, str(path), **settings)
    edit(folder, (*ONNX, 'sha256'), sha256(path))
    message = refused(folder)
    assert "second.onnx takes weights from 'w.bin', which no checksum covers" in message
    command = message.partition('python3 -c "')[2].partition('"')[0]
    subprocess.run([sys.executable, '-c', command], check=True, cwd=folder)
    (folder / 'w.bin').unlink()
    edit(folder, (*ONNX, 'sha256'), sha256(path))
    assert read_bundle(folder).digest != before
    load(folder)


# Loading -----------------------------------------------------------------------------------------


class Bomb:
    """Writes a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (self.path, 'executed')


@pytest.mark.parametrize(
    'kind', ['onnx', *(pytest.param(kind, marks=pytest.mark.slow) for kind in MODEL_FORMATS[1:])]
)
def test_a_pickle_in_place_of_a_model_is_refused_unread(folder: Path, kind: str) -> None:
    path, trace = folder / f'second.{kind}', folder / 'trace'
    contents = [pickle.dumps(Bomb(trace))]
    if kind != 'onnx':
        torch = pytest.importorskip('torch', reason='torch is not installed')
        torch.save(Bomb(trace), path)
        contents.append(path.read_bytes())
    for content in contents:
        path.write_bytes(content)
        edit(folder, (*STAGE, 'files'), {kind: {'path': path.name, 'sha256': sha256(path)}})
        edit(folder, (*STAGE, 'architecture'), 'resnet20')
        message = refused(folder, lambda folder: read_bundle(folder).load())
        assert 'second' in message and path.name in message
        assert not trace.exists()


def replace_model(folder: Path, **changed: Any) -> None:
    """Put another model in place of the second one, with a checksum that is right."""
    path = folder / 'second.onnx'
    save_model(path, **{'classes': 3, 'size': 16, 'gain': 1.0, **changed})
    edit(folder, (*ONNX, 'sha256'), sha256(path))


@pytest.mark.parametrize(
    ('changed', 'expected'),
    [
        ({'classes': 5}, 'the model has 5 classes, but labels has 3'),
        ({'last': 'Softmax'}, 'the outputs of the model are probabilities, but logits'),
        ({'last': 'Softmax', 'gain': 1000.0}, 'remove the Softmax layer'),
        ({'size': 20}, 'the model does not run on an input of (1, 3, 16, 16)'),
    ],
)
def test_a_model_that_does_not_fit_is_refused(
    folder: Path, changed: dict[str, Any], expected: str
) -> None:
    replace_model(folder, **changed)
    message = refused(folder, load)
    assert 'stage second: ' in message and expected in message


@pytest.mark.parametrize('last', ['LogSoftmax', 'Relu', 'Sigmoid'])
def test_outputs_that_are_no_probabilities_are_taken_for_logits(folder: Path, last: str) -> None:
    replace_model(folder, last=last)
    assert len(load(folder)) == 2


@pytest.mark.slow
def test_a_backend_that_cannot_run_it_is_explained(folder: Path) -> None:
    with pytest.raises(BundleError, match='stage first: torch: '):
        read_bundle(folder).load(backend='torch')


def test_stages_answer_with_the_calibrated_softmax(folder: Path) -> None:
    edit(folder, ('stages', 0, 'temperature'), 2.5)
    image = picture('green')
    mean = image.reshape(-1, 3).mean(axis=0)[::-1] / 255
    logits = 2.0 * (mean - 0.5) / 0.25
    np.testing.assert_allclose(
        load(folder)[0].predict(Frame(image)), softmax(logits, 2.5), atol=0.01
    )


def test_a_bundle_becomes_a_cascade_under_its_rule(folder: Path) -> None:
    bundle = read_bundle(folder)
    cascade = bundle.cascade()
    assert cascade.settings == bundle.settings
    for label in bundle.labels:
        for sure, source in ((True, 'first'), (False, 'second')):
            decision = cascade.classify(Frame(picture(label, sure)))
            assert (bundle.labels[decision.label], decision.source) == (label, source)


def test_digest_changes_with_whatever_changes_answers_only(folder: Path) -> None:
    bundle = read_bundle(folder)
    first, second = bundle.stages

    def changed(**fields: Any) -> Bundle:
        return replace(bundle, stages=(replace(first, **fields), second))

    different = {
        replace(bundle, labels=('a', 'b', 'c')).digest,
        changed(name='other').digest,
        changed(files={'onnx': replace(first.files['onnx'], sha256=ABSENT)}).digest,
        changed(temperature=2.0).digest,
        changed(input=replace(first.input, colour='bgr')).digest,
        changed(input=replace(first.input, crop=1.0)).digest,
        changed(architecture='resnet20-s2').digest,
        changed(files={}, torchvision='ResNet18_Weights.DEFAULT').digest,
    }
    assert len(different) == 8 and bundle.digest not in different
    same = replace(
        changed(cpu_seconds=1.0, macs=5, criterion=Criterion('entropy')),
        path=Path('elsewhere'),
        name='x',
        description='y',
        operating_points=(),
        post_check='average',
    )
    assert same.digest == bundle.digest
