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
import json
from pathlib import Path
import pickle
import shutil
from typing import Any

import numpy as np
import pytest
from tiny_bundle import make_bundle, picture, save_model
import yaml

from dual_cnn_ros import bundle as bundles
from dual_cnn_ros.bundle import Baseline, Bundle, BundleError
from dual_cnn_ros.cascade.cascade import Cascade
from dual_cnn_ros.cascade.deferral import Deferral, fit
from dual_cnn_ros.cascade.frame import Frame, Preprocessing
from dual_cnn_ros.cascade.scores import softmax
from dual_cnn_ros.cascade.settings import Settings
from dual_cnn_ros.inference import ModelSource

# torch deprecates its own TorchScript, which robots with older ones still use.
pytestmark = pytest.mark.filterwarnings('error', 'ignore:.*torch.jit')

MISSING = object()
BASELINE = Baseline(
    'resnet50',
    0.0831,
    0.0007,
    0.31,
    4.2,
    'ina3221',
    'module',
    'a robot',
    '2026-11-21',
    '480 x 640, onnxruntime',
)


@pytest.fixture(scope='module')
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle that no test changes."""
    return make_bundle(
        tmp_path_factory.mktemp('original') / 'tiny',
        operating_points=(
            {'name': 'frugal', 'threshold': 0.5},
            {'name': 'careful', 'threshold': 0.95, 'score': 'entropy', 'post_check': 'average'},
        ),
    )


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """Return a copy of it."""
    return Path(shutil.copytree(original, tmp_path / 'tiny'))


def edit(folder: Path, where: tuple[str | int, ...], value: Any) -> None:
    """Set the field of bundle.yaml at a path to a value, or take it out."""
    content = yaml.safe_load((folder / 'bundle.yaml').read_text())
    parent = content
    for step in where[:-1]:
        parent = parent[step]
    if value is MISSING:
        del parent[where[-1]]
    else:
        parent[where[-1]] = value
    (folder / 'bundle.yaml').write_text(yaml.safe_dump(content))


def refused(folder: Path, use: Callable[[Path], Any] = bundles.read) -> str:
    with pytest.raises(BundleError) as caught:
        use(folder)
    assert str(folder / 'bundle.yaml') in str(caught.value)
    return str(caught.value)


def load(folder: Path) -> Any:
    return bundles.read(folder).load(backend='onnxruntime')


# Reading and writing -----------------------------------------------------------------------------


def test_what_is_written_is_read_again(folder: Path) -> None:
    bundle = bundles.read(folder)
    assert bundle.labels == ('red', 'green', 'blue')
    assert [stage.name for stage in bundle.stages] == ['first', 'second']
    assert bundle.settings == Settings()
    assert bundle.points == {
        'frugal': Settings(thresholds=(0.5,)),
        'careful': Settings(score='entropy', thresholds=(0.95,), post_check='average'),
    }
    assert [point['name'] for point in bundle.operating_points] == ['frugal', 'careful']
    before = (folder / 'bundle.yaml').read_text()
    bundles.write(bundle)
    assert (folder / 'bundle.yaml').read_text() == before
    assert bundles.read(folder) == bundle


@pytest.mark.parametrize(
    'change',
    [
        {'name': 'Häuser', 'description': 'two lines:\n- with "quotes" and #'},
        {'labels': ('yes', 'null', '1.0', 'Straße 7', ' leading')},
        {
            'settings': Settings(
                score='entropy', thresholds=(0.123456789012345,), post_check='none'
            )
        },
        {'operating_points': ()},
        {
            'operating_points': (
                {
                    'name': 'certified',
                    'threshold': 0.7,
                    'accuracy': 0.9,
                    'second_share': 0.25,
                    'multiply_adds': 8,
                    'certificate': {
                        'alpha': 0.01,
                        'delta': 0.05,
                        'method': 'betting',
                        'pictures': 660,
                        'reference': 'always asking second',
                    },
                },
            )
        },
        {'baseline': BASELINE},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_text_and_number_survives(folder: Path, change: dict[str, Any]) -> None:
    bundle = replace(bundles.read(folder), **change)
    bundles.write(bundle)
    assert bundles.read(folder) == bundle


@pytest.mark.parametrize(
    ('field', 'value', 'said'),
    [
        ('joules', -1.0, 'baseline.joules must be positive'),
        ('joules', 0, 'baseline.joules must be positive'),
        ('joules', float('nan'), 'baseline.joules must be positive'),
        ('error_joules', float('inf'), 'baseline.error_joules must be positive'),
        ('machine', '', 'baseline.machine must not be empty'),
        ('scope', 3, 'baseline.scope must be str'),
        ('date', MISSING, 'baseline.date is missing'),
        ('watts', 4.0, 'unknown field baseline.watts'),
    ],
)
def test_baseline_that_says_too_little_is_refused(
    folder: Path, field: str, value: Any, said: str
) -> None:
    bundles.write(replace(bundles.read(folder), baseline=BASELINE))
    edit(folder, ('baseline', field), value)
    assert said in refused(folder)


def test_stages_may_differ_in_everything(folder: Path) -> None:
    bundle = bundles.read(folder)
    first, second = bundle.stages
    (folder / 'models').mkdir()
    other = folder / 'models' / 'large.onnx'
    (folder / 'second.onnx').rename(other)
    second = replace(
        second,
        name='large',
        source=ModelSource({'onnx': other}, architecture='resnet20'),
        input=Preprocessing(24, 24, 'bgr', 0.875, (0.1, 0.2, 0.3), (1e-05, 0.5, 2.0)),
        temperature=1.37,
        multiply_adds=41_000_000,
        cpu_seconds=1.5e-05,
        deferral=Deferral(-0.1, (1e-05, 2 / 3), (-12345.678, 0.0, 1 / 3)),
    )
    bundle = replace(bundle, stages=(first, second))
    bundles.write(bundle)
    assert bundles.read(folder) == bundle


def test_a_learned_score_is_run_as_it_was_fitted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    learned = fit(rng.dirichlet(np.ones(3), 300), rng.integers(-1, 2, 300))
    folder = make_bundle(tmp_path / 'tiny')
    bundle = bundles.read(folder)
    bundle = replace(
        bundle,
        stages=(replace(bundle.stages[0], deferral=learned), bundle.stages[1]),
        settings=replace(bundle.settings, score='deferral', thresholds=(0.5,)),
    )
    bundles.write(bundle)
    stages = bundles.read(folder).load()
    assert stages[0].deferral == learned and stages[1].deferral is None
    image = Frame(picture('blue', sure=False))
    decision = Cascade(stages, bundle.settings).classify(image)
    assert decision.scores['first'] == float(learned(stages[0].classify(image)))


@pytest.mark.parametrize('stages', [1, 3])
def test_any_number_of_stages(tmp_path: Path, stages: int) -> None:
    folder = make_bundle(
        tmp_path / 'tiny',
        gains=(1.0, 5.0, 20.0)[:stages],
        settings=Settings(thresholds=(0.6,) * (stages - 1)),
    )
    bundle = bundles.read(folder)
    assert bundle.settings.thresholds == (0.6,) * (stages - 1)
    assert len(bundle.load()) == stages


def test_optional_fields_may_be_left_out(folder: Path) -> None:
    for where in (
        ('description',),
        ('operating_points',),
        ('input', 'crop'),
        ('stages', 0, 'temperature'),
        ('stages', 0, 'multiply_adds'),
    ):
        edit(folder, where, MISSING)
    bundle = bundles.read(folder)
    assert (bundle.description, bundle.operating_points) == ('', ())
    assert bundle.stages[0].temperature == 1.0 and bundle.stages[0].input.crop is None


def test_a_bundle_of_symbolic_links_works(folder: Path, tmp_path: Path) -> None:
    installed = tmp_path / 'installed'
    installed.mkdir()
    for file in folder.iterdir():
        (installed / file.name).symlink_to(file)
    assert bundles.read(installed).digest == bundles.read(folder).digest


# What is wrong is named --------------------------------------------------------------------------

ABSENT = '0' * 64
STAGE = ('stages', 1)
FILE = (*STAGE, 'files', 'onnx')
DEFERRAL = (*STAGE, 'deferral')
SOUND = {'intercept': 0, 'weights': [1.0, 2], 'offsets': [0.1, 0, -0.1]}


@pytest.mark.parametrize(
    ('where', 'value', 'expected'),
    [
        (('format',), MISSING, 'the field format is missing'),
        (('format',), '1', 'format must be int'),
        (('format',), True, 'format must be int, not True'),
        (
            ('format',),
            2,
            'format is 2, but this version of dual_cnn_ros reads 1; update dual_cnn_ros',
        ),
        (('format',), 0, 'make the bundle again'),
        (('name',), MISSING, 'the field name is missing'),
        (('name',), 7, 'name must be str, not 7'),
        (('description',), ['x'], 'description must be str'),
        (('labels',), MISSING, 'the field labels is missing'),
        (('labels',), 'red', 'labels must be list'),
        (('labels',), ['red'], 'labels must be 2 to 65536 different names'),
        (('labels',), ['red', 'green', 'red'], 'different names'),
        (('labels',), ['red', 'green', ''], 'different names'),
        (('labels', 0), 1, 'in quotes where YAML would read a number'),
        (('labels', 0), True, 'in quotes'),
        (('labels', 0), None, 'in quotes'),
        (('input',), MISSING, 'the field input is missing'),
        (('input',), 'big', 'input must be dict'),
        (('input', 'height'), MISSING, 'the field input.height is missing'),
        (('input', 'height'), 16.5, 'input.height must be int, not 16.5'),
        (('input', 'width'), 0, 'input.width must be 1 to 4096'),
        (('input', 'colour'), 'hsv', 'input.colour must be one of rgb, bgr, grey'),
        (('input', 'color'), 'rgb', 'unknown field input.color; check the spelling'),
        (('input', 'crop'), 'centre', 'input.crop must be float or null'),
        (('input', 'crop'), 1.5, 'input.crop must be null or in'),
        (('input', 'mean'), [0.5], 'input.mean must be 3 finite numbers'),
        (('input', 'mean'), [0.5, 'x', 0.5], 'input.mean must be a list of numbers'),
        (('input', 'mean'), [0.5, True, 0.5], 'input.mean must be a list of numbers'),
        (('input', 'mean'), [0.5, float('nan'), 0.5], 'input.mean must be 3 finite numbers'),
        (('input', 'mean'), [0.5, 10**400, 0.5], 'input.mean must be a list of numbers'),
        (('input', 'std'), [0.5, 0.0, 0.5], 'input.std must be positive'),
        (('stages',), MISSING, 'the field stages is missing'),
        (('stages',), {}, 'stages must be list'),
        (('stages',), [], 'stages must have at least one entry'),
        (STAGE, 'second', 'stages[1] must be a mapping of fields, not str'),
        (STAGE, None, 'stages[1] must be a mapping of fields'),
        ((*STAGE, 'name'), MISSING, 'the field stages[1].name is missing'),
        ((*STAGE, 'name'), 'first', 'stages must have different names'),
        ((*STAGE, 'name'), 'memory', 'none of them average, decode, fingerprint, memory'),
        ((*STAGE, 'name'), 'my net', 'stages[1].name must be a word'),
        ((*STAGE, 'name'), '', 'stages[1].name must be a word'),
        ((*STAGE, 'temperature'), 0, 'stages[1].temperature must be positive'),
        ((*STAGE, 'temperature'), -1.0, 'stages[1].temperature must be positive'),
        ((*STAGE, 'temperature'), float('nan'), 'stages[1].temperature must be positive'),
        ((*STAGE, 'temperature'), 'hot', 'stages[1].temperature must be float'),
        ((*STAGE, 'temperature'), 10**400, 'stages[1].temperature must be float'),
        ((*STAGE, 'multiply_adds'), -1, 'stages[1].multiply_adds must not be negative'),
        ((*STAGE, 'multiply_adds'), 1.5, 'stages[1].multiply_adds must be int'),
        ((*STAGE, 'cpu_seconds'), -0.1, 'stages[1].cpu_seconds must not be negative'),
        ((*STAGE, 'cpu_seconds'), float('inf'), 'stages[1].cpu_seconds must not be'),
        ((*STAGE, 'deferral'), [0.1], 'stages[1].deferral must be dict'),
        (DEFERRAL, {}, 'the field stages[1].deferral.intercept is missing'),
        ((*DEFERRAL, 'intercept'), '0', 'stages[1].deferral.intercept must be float'),
        ((*DEFERRAL, 'intercept'), float('nan'), 'stages[1].deferral: a deferral is an intercept'),
        ((*DEFERRAL, 'weights'), MISSING, 'the field stages[1].deferral.weights is missing'),
        ((*DEFERRAL, 'weights'), 1.0, 'stages[1].deferral.weights must be list'),
        ((*DEFERRAL, 'weights'), [True], 'stages[1].deferral.weights must be a list of numbers'),
        ((*DEFERRAL, 'weights'), [10**400], 'must be a list of numbers'),
        ((*DEFERRAL, 'weights'), [], 'stages[1].deferral: a deferral is an intercept'),
        ((*DEFERRAL, 'weights'), [1, float('inf')], 'all finite'),
        (
            (*DEFERRAL, 'weights'),
            [1, 2, 3, 4],
            'stages[1].deferral.weights must be at most as many as '
            'there are labels, 3, and offsets as many or none, not 4 and 3',
        ),
        ((*DEFERRAL, 'offsets'), MISSING, 'the field stages[1].deferral.offsets is missing'),
        ((*DEFERRAL, 'offsets'), [1, 2], 'offsets as many or none, not 2 and 2'),
        ((*DEFERRAL, 'offsets'), [1, 2, float('nan')], 'all finite'),
        ((*DEFERRAL, 'bias'), 0, 'unknown field stages[1].deferral.bias'),
        ((*STAGE, 'architecture'), 20, 'stages[1].architecture must be str or null'),
        ((*STAGE, 'torchvision'), 18, 'stages[1].torchvision must be str or null'),
        ((*STAGE, 'temprature'), 1.0, 'unknown field stages[1].temprature'),
        ((*STAGE, 'input'), {'height': 8}, 'the field stages[1].input.width is missing'),
        ((*STAGE, 'files'), MISSING, 'stages[1].files must name at least one model file'),
        ((*STAGE, 'files'), {}, 'stages[1].files must name at least one model file'),
        ((*STAGE, 'files'), ['second.onnx'], 'stages[1].files must be dict'),
        (
            (*STAGE, 'files'),
            {'pickle': {'path': 'second.onnx', 'sha256': ABSENT}},
            'stages[1].files.pickle: a model is one of onnx, torchscript, safetensors',
        ),
        (FILE, 'second.onnx', 'stages[1].files.onnx must be a mapping'),
        ((*FILE, 'path'), MISSING, 'the field stages[1].files.onnx.path is missing'),
        ((*FILE, 'path'), 'third.onnx', 'stages[1].files.onnx.path: there is no file'),
        ((*FILE, 'path'), '', 'stages[1].files.onnx.path'),
        ((*FILE, 'path'), '.', 'stages[1].files.onnx.path'),
        ((*FILE, 'path'), '/etc/passwd', 'stages[1].files.onnx.path must stay inside the bundle'),
        ((*FILE, 'path'), '../tiny/second.onnx', 'stages[1].files.onnx.path must stay inside'),
        ((*FILE, 'path'), 'models/../../x', 'stages[1].files.onnx.path must stay inside'),
        ((*FILE, 'sha256'), MISSING, 'the field stages[1].files.onnx.sha256 is missing'),
        ((*FILE, 'sha256'), ABSENT, 'stages[1].files.onnx.sha256 is not that of'),
        ((*FILE, 'sha265'), ABSENT, 'unknown field stages[1].files.onnx.sha265'),
        (('score',), MISSING, 'the field score is missing'),
        (('score',), 'margin', 'score must be one of max_probability, difference, entropy'),
        (
            ('score',),
            'deferral',
            'yaml: score deferral: the bundle has no deferral for stage first',
        ),
        (('threshold',), MISSING, 'the field threshold is missing'),
        (('threshold',), 1.2, 'threshold must be in [0, 1], not 1.2'),
        (('threshold',), float('nan'), 'threshold must be in [0, 1]'),
        (('threshold',), 'high', 'threshold must be float'),
        (('post_check',), MISSING, 'the field post_check is missing'),
        (('post_check',), 'vote', 'post_check must be one of none, more_confident, average'),
        (('operating_points',), {}, 'operating_points must be list'),
        (('operating_points', 1), 'fast', 'operating_points[1] must be a mapping'),
        (('operating_points', 1, 'name'), MISSING, 'operating_points[1].name is missing'),
        (('operating_points', 1, 'name'), 7, 'operating_points[1].name must be str, not 7'),
        (('operating_points', 1, 'name'), 'frugal', "none of them empty: ['frugal', "),
        (('operating_points', 1, 'name'), '', 'different names, none of them empty'),
        (('operating_points', 1, 'score'), 'deferral', 'operating_points[1]: score deferral: the'),
        (
            ('operating_points', 1, 'threshold'),
            MISSING,
            'operating_points[1].threshold is missing',
        ),
        (('operating_points', 1, 'threshold'), 2, 'operating_points[1]: threshold must be in'),
        (('operating_points', 1, 'score'), 'margin', 'operating_points[1]: score must be one of'),
        (('operating_points', 1, 'post_check'), 1, 'operating_points[1].post_check must be str'),
        (
            ('operating_points', 1, 'post_chek'),
            'none',
            'unknown field operating_points[1].post_chek',
        ),
        (
            ('operating_points', 1, 'accuracy'),
            'good',
            'operating_points[1].accuracy must be float',
        ),
        (
            ('operating_points', 1, 'certificate'),
            0.05,
            'operating_points[1].certificate must be dict',
        ),
        (
            ('operating_points', 1, 'certificate'),
            {'alfa': 0.01},
            'unknown field operating_points[1].certificate.alfa',
        ),
        (('treshold',), 0.5, 'unknown field treshold; check the spelling'),
        ((7,), 0.5, 'unknown field 7'),
    ],
)
def test_a_wrong_field_is_named(
    folder: Path, where: tuple[str | int, ...], value: Any, expected: str
) -> None:
    if where[:-1] == DEFERRAL:
        edit(folder, DEFERRAL, SOUND)
        assert bundles.read(folder).stages[1].deferral == Deferral(0, (1, 2), (0.1, 0, -0.1))
    edit(folder, where, value)
    assert expected in refused(folder)


@pytest.mark.parametrize(
    'text',
    [
        b'',
        b'just text',
        b'- a\n- list',
        b'format: [1',
        b'\x00\x01',
        b'\xff\xfe\xfa',
        b'a: *b',
        b'!!python/object/apply:os.system ["true"]',
        b'? {a: b}\n: c',
        b'[' * 5000,
    ],
    ids=[
        'empty',
        'text',
        'list',
        'not closed',
        'control',
        'not UTF-8',
        'alias',
        'code',
        'mapping as key',
        'deep',
    ],
)
def test_what_is_no_bundle_yaml_is_refused(folder: Path, text: bytes) -> None:
    (folder / 'bundle.yaml').write_bytes(text)
    refused(folder)


def test_a_folder_without_bundle_yaml_is_said_to_be_none(tmp_path: Path) -> None:
    assert 'a bundle is a folder with this file in it' in refused(tmp_path)
    assert 'not found' in refused(tmp_path / 'nowhere')
    (tmp_path / 'bundle.yaml').mkdir()
    assert 'cannot be read' in refused(tmp_path)


def test_a_bundle_that_is_a_file_is_refused(folder: Path) -> None:
    with pytest.raises(BundleError, match=r'first\.onnx'):
        bundles.read(folder / 'first.onnx')


def test_a_changed_model_file_is_refused(folder: Path) -> None:
    with (folder / 'second.onnx').open('ab') as file:
        file.write(b'\0')
    message = refused(folder)
    assert 'stages[1].files.onnx.sha256 is not that of' in message
    assert 'second.onnx' in message and 'copy the bundle again' in message


def test_a_missing_model_file_is_refused(folder: Path) -> None:
    (folder / 'first.onnx').unlink()
    assert 'stages[0].files.onnx.path: there is no file' in refused(folder)


# Loading -----------------------------------------------------------------------------------------


def replace_model(folder: Path, content: bytes) -> None:
    """Put other bytes in place of the second model, with a checksum that is right."""
    (folder / 'second.onnx').write_bytes(content)
    edit(folder, (*FILE, 'sha256'), bundles.sha256(folder / 'second.onnx'))


class Bomb:
    """Writes a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (self.path, 'executed')


def test_a_pickle_in_place_of_a_model_is_refused_unread(folder: Path) -> None:
    replace_model(folder, pickle.dumps(Bomb(folder / 'trace')))
    message = refused(folder, load)
    assert 'stage second' in message and 'second.onnx is no ONNX model' in message
    assert not (folder / 'trace').exists()


@pytest.mark.parametrize('kind', ['torchscript', 'safetensors'])
def test_a_pickle_in_place_of_weights_is_refused_unread(folder: Path, kind: str) -> None:
    torch = pytest.importorskip('torch', reason='torch is not installed')
    path, trace = folder / f'second.{kind}', folder / 'trace'
    for save in (
        lambda bomb: path.write_bytes(pickle.dumps(bomb)),
        lambda bomb: torch.save(bomb, path),
    ):
        save(Bomb(trace))
        edit(
            folder, (*STAGE, 'files'), {kind: {'path': path.name, 'sha256': bundles.sha256(path)}}
        )
        edit(folder, (*STAGE, 'architecture'), 'resnet20')
        message = refused(folder, lambda folder: bundles.read(folder).load())
        assert 'stage second' in message and path.name in message
        assert not trace.exists()


def test_a_model_of_another_number_of_classes_is_refused(folder: Path) -> None:
    other = folder / 'other.onnx'
    save_model(other, classes=5, size=16, gain=1.0)
    replace_model(folder, other.read_bytes())
    message = refused(folder, load)
    assert 'stage second: the model has 5 classes, but labels has 3' in message


@pytest.mark.parametrize('gain', [1.0, 1000.0])
def test_a_model_that_ends_in_a_softmax_is_refused(folder: Path, gain: float) -> None:
    other = folder / 'other.onnx'
    save_model(other, classes=3, size=16, gain=gain, last='Softmax')
    replace_model(folder, other.read_bytes())
    message = refused(folder, load)
    assert 'stage second: the outputs of the model are probabilities, but logits' in message
    assert 'remove the Softmax layer' in message


@pytest.mark.parametrize('last', ['LogSoftmax', 'Relu', 'Sigmoid'])
def test_outputs_that_are_no_probabilities_are_taken_for_logits(folder: Path, last: str) -> None:
    other = folder / 'other.onnx'
    save_model(other, classes=3, size=16, gain=1.0, last=last)
    replace_model(folder, other.read_bytes())
    assert len(load(folder)) == 2


def test_a_model_of_another_input_size_is_refused(folder: Path) -> None:
    other = folder / 'other.onnx'
    save_model(other, classes=3, size=20, gain=1.0)
    replace_model(folder, other.read_bytes())
    message = refused(folder, load)
    assert 'stage second: the model does not run on an input of (1, 3, 16, 16)' in message


def test_backends_that_cannot_run_it_are_each_explained(folder: Path) -> None:
    with pytest.raises(BundleError) as caught:
        bundles.read(folder).load(backend='torch')
    assert 'stage first: torch: ' in str(caught.value)


def test_stages_answer_with_the_calibrated_softmax(folder: Path) -> None:
    edit(folder, ('stages', 0, 'temperature'), 2.5)
    stages = bundles.read(folder).load()
    image = picture('green')
    mean = image.reshape(-1, 3).mean(axis=0)[::-1] / 255
    logits = 2.0 * (mean - 0.5) / 0.25
    np.testing.assert_allclose(stages[0].classify(Frame(image)), softmax(logits, 2.5), atol=0.01)


def test_a_loaded_bundle_is_a_cascade(folder: Path) -> None:
    bundle = bundles.read(folder)
    cascade = Cascade(bundle.load(), bundle.settings)
    for label in bundle.labels:
        for sure, source in ((True, 'first'), (False, 'second')):
            decision = cascade.classify(Frame(picture(label, sure)))
            assert (bundle.labels[decision.label], decision.source) == (label, source)


def test_digest_changes_with_whatever_changes_answers_only(folder: Path) -> None:
    bundle = bundles.read(folder)
    first, second = bundle.stages

    def changed(**fields: Any) -> Bundle:
        return replace(bundle, stages=(replace(first, **fields), second))

    different = {
        replace(bundle, labels=('a', 'b', 'c')).digest,
        replace(bundle, stages=(second, first)).digest,
        changed(digests={'onnx': ABSENT}).digest,
        changed(temperature=2.0).digest,
        changed(deferral=Deferral(0.1, (1.0,))).digest,
        changed(deferral=Deferral(0.1, (1.0000000000000002,))).digest,
        changed(deferral=Deferral(0.1, (1.0,), (0.0, 0.0, 0.1))).digest,
        changed(input=replace(first.input, colour='bgr')).digest,
        changed(input=replace(first.input, crop=1.0)).digest,
        changed(source=ModelSource({}, torchvision='ResNet18_Weights.DEFAULT')).digest,
    }
    assert len(different) == 10 and bundle.digest not in different
    same = replace(
        changed(cpu_seconds=1.0, multiply_adds=5),
        path=Path('elsewhere'),
        name='x',
        description='y',
        operating_points=(),
        settings=Settings(score='entropy'),
    )
    assert same.digest == bundle.digest
    assert json.dumps(bundle.digest)  # text, to be kept beside a saved memory
