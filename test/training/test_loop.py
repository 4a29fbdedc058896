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

"""The training loop: that it learns, goes on after a kill, and refuses what it should."""

from dataclasses import asdict, replace
import os
from pathlib import Path
import pickle
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('torchvision')

from safetensors.torch import load_file  # noqa: E402 - below what may be missing

from dual_cnn_ros.training import export, loop  # noqa: E402
from dual_cnn_ros.training.checkpoint import TrainingError  # noqa: E402
from dual_cnn_ros.training.loop import train, validate  # noqa: E402
from dual_cnn_ros.training.options import Augmentation  # noqa: E402

pytestmark = pytest.mark.slow
# Sums of one thread are the same every time.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_export(monkeypatch):
    """Spare the seconds that an export to ONNX takes."""
    monkeypatch.setattr(export, 'to_onnx', lambda *_: b'')


def test_learns_to_tell_colours_apart_with_one_cycle_of_the_rate(quick, tmp_path, capsys):
    metrics = train(quick(tmp_path, epochs=4))
    assert metrics.validation_accuracy > 0.95
    assert metrics.curve[-1].loss < metrics.curve[0].loss
    assert [record.epoch for record in metrics.curve] == [1, 2, 3, 4]
    rates = [record.lr for record in metrics.curve]
    assert rates == sorted(rates, reverse=True)
    assert 0.045 < rates[0] < 0.05 and rates[-1] < 1e-5
    output = capsys.readouterr()
    assert 'net: epoch 4/4, loss ' in output.out
    assert ', validation accuracy 100.00%' in output.out
    assert 'red/bad.jpg is left out: it is damaged, or no image\n' in output.err


EVERYTHING = {
    'optimizer': 'adamw',
    'lr': 0.003,
    'colour': 'grey',
    'augmentation': Augmentation(
        shift=0.1, rotate=20, light=0.2, noise=0.1, erase=0.5, mixup=0.2, cutmix=1
    ),
}
KILLED = """
import os, pickle, signal, sys, torch
from dual_cnn_ros.training import loop
torch.set_num_threads(1)
calls, plain = [], loop.augment
def augment(*arguments):
    calls.append(1)
    if len(calls) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(*arguments)
loop.augment = augment
loop.train(pickle.loads(sys.stdin.buffer.read()))
"""


def test_a_training_that_was_killed_goes_on_as_if_nothing_happened(quick, tmp_path, capsys):
    whole, cut = (quick(tmp_path / name, epochs=3, **EVERYTHING) for name in ('whole', 'cut'))
    # It dies within its second epoch, without a chance to tidy up.
    killed = subprocess.run(
        [sys.executable, '-c', KILLED],
        input=pickle.dumps(cut),
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert [path.name for path in cut.out.iterdir()] == ['net.checkpoint.pt']
    curves = [train(options).curve for options in (whole, cut)]
    assert 'net: going on after epoch 1' in capsys.readouterr().out
    for records in zip(*curves):
        one, other = ({**asdict(record), 'seconds': 0} for record in records)
        assert one == pytest.approx(other, rel=1e-3)
    first, second = (load_file(each.out / 'net/first.safetensors') for each in (whole, cut))
    for key in first:
        torch.testing.assert_close(first[key], second[key], rtol=1e-4, atol=1e-5)


@pytest.fixture
def begun(quick, tmp_path):
    """Return the options of a training that has a checkpoint, and its metrics."""
    options = quick(tmp_path)
    return options, train(options)


def test_a_finished_training_is_only_written_again_unless_it_is_restarted(begun):
    options, metrics = begun
    assert train(options) == metrics
    assert train(replace(options, seed=3, restart=True)).options.seed == 3


def test_epochs_may_be_added_to_a_finished_training(quick, tmp_path, capsys):
    whole = train(quick(tmp_path / 'whole', epochs=4)).curve
    train(quick(tmp_path / 'longer', epochs=2))
    longer = train(quick(tmp_path / 'longer', epochs=4)).curve
    assert 'net: going on after epoch 2' in capsys.readouterr().out
    assert [record.epoch for record in longer] == [1, 2, 3, 4]
    # The rates of the epochs that were added are those of a training that was as long at once.
    assert [r.lr for r in longer[2:]] == pytest.approx([r.lr for r in whole[2:]])
    assert longer[1].lr < 0.01 * whole[1].lr
    with pytest.raises(TrainingError, match='has 4 epochs already; use a larger --epochs'):
        train(quick(tmp_path / 'longer', epochs=3))


def test_it_begins_with_the_weights_of_a_bundle(trained, quick, tmp_path):
    _, bundle = trained
    start = load_file(bundle.stages[0].files['safetensors'].path)
    train(quick(tmp_path, start=str(bundle.path), lr=1e-6, freeze_norms=True))
    after = load_file(tmp_path / 'net/first.safetensors')
    for key in start:
        torch.testing.assert_close(after[key], start[key], rtol=1e-3, atol=1e-4)
    moved = quick(tmp_path / 'moved', start=str(bundle.path), lr=0.1, lr_ratio=0.001)
    train(moved)
    after = load_file(tmp_path / 'moved/net/first.safetensors')
    weights = [key for key in start if start[key].ndim > 1]
    moves = [float((after[key] - start[key]).norm() / start[key].norm()) for key in weights]
    # The first layer learns at a thousandth of the rate of the last one.
    assert moves[0] < 0.1 * moves[-1]


def test_a_teacher_of_another_size_is_learned_from(colours, quick, tmp_path):
    train(quick(tmp_path, name='teacher', epochs=4))
    teacher = (str(tmp_path / 'teacher'),)
    student = {'model': 'resnet20_x0_5-s2', 'input': (8, 8), 'epochs': 4}
    # No label is looked at.
    metrics = train(quick(tmp_path, **student, teacher=teacher, teacher_weight=1.0))
    assert metrics.validation_accuracy > 0.9
    two = tmp_path / 'two'
    for label in ('green', 'red'):
        shutil.copytree(colours / label, two / label)
    with pytest.raises(TrainingError, match='knows other classes than .*two has: '):
        train(quick(tmp_path, name='other', data=two, teacher=teacher))


def test_without_a_terminal_the_progress_of_a_long_epoch_is_told(
    quick, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(loop, 'SECONDS_BETWEEN_LINES', 0)
    train(quick(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    steps = [line for line in lines if ' of it, ' in line]
    assert steps[0].startswith('net: epoch 1/1, ') and steps[-1].startswith('net: epoch 1/1, 100%')
    assert all(line.endswith(' images/s') for line in steps)


def test_threads_of_a_training_do_not_spin():
    code = 'import os, sys, dual_cnn_ros.training; assert "torch" not in sys.modules; '
    code += 'print(os.environ["OMP_WAIT_POLICY"])'
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}
    for given, used in (({}, 'PASSIVE'), ({'OMP_WAIT_POLICY': 'ACTIVE'}, 'ACTIVE')):
        environment.pop('OMP_WAIT_POLICY', None)
        command = [sys.executable, '-c', code]
        run = subprocess.run(
            command, env={**environment, **given}, capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == used


def test_a_checkpoint_of_other_options_or_images_is_refused(begun, tmp_path):
    options, _ = begun
    changed = replace(options, weight_decay=0.01, augmentation=Augmentation(zoom=0.7, light=0))
    with pytest.raises(
        TrainingError,
        match=r'net\.checkpoint\.pt belongs to a training with other settings '
        r'\(.*weight_decay 0\.0005 -> 0\.01, zoom 0\.5 -> 0\.7\); .*--restart',
    ):
        train(changed)
    (tmp_path / 'left_out').write_text('red/01.png\n')
    with pytest.raises(TrainingError, match='images .* -> '):
        train(replace(options, exclude=tmp_path / 'left_out'))


@pytest.mark.parametrize('content', [b'', b'junk', pickle.dumps(print, 2), 'cut'])
def test_a_damaged_or_foreign_checkpoint_is_refused(begun, content):
    options, _ = begun
    path = options.out / 'net.checkpoint.pt'
    path.write_bytes(path.read_bytes()[:1000] if content == 'cut' else content)
    with pytest.raises(TrainingError, match='is no readable checkpoint'):
        train(options)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'lr': 1e30}, 'lower --lr'),
        ({'model': 'resnet19'}, 'unknown network'),
        ({'labels': ('red', 'green')}, 'classes and the given labels 2'),
        ({'mean': (0.5,)}, 'mean must be 3'),
        ({'device': 'cuda'}, 'finds no GPU; use --device cpu'),
        (
            # What does not fit is found before the data are read.
            {'model': 'vit_b_16', 'input': (32, 32), 'data': Path('nowhere')},
            r'^--model vit_b_16 does not work with --input 32x32 \([^\n]*$',
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(quick, tmp_path, monkeypatch, changes, message):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match=message):
        train(quick(tmp_path, **changes))
    assert not list(tmp_path.iterdir())


def test_validation_is_accuracy_and_cross_entropy():
    class Brightness(torch.nn.Module):
        def forward(self, x):
            return torch.stack((x.mean((1, 2, 3)), torch.zeros(len(x))), 1)

    # The first logit is +1, +1, -1, -1; the last label is not that of the larger logit.
    images = torch.tensor([255, 255, 0, 0], dtype=torch.uint8).view(4, 1, 1, 1)
    normalise = loop.Normalize((0.5,), (0.5,))
    accuracy, loss = validate(Brightness(), normalise, images, torch.tensor([0, 0, 1, 0]))
    assert accuracy == 0.75
    assert loss == pytest.approx(np.log1p(np.exp([-1, -1, -1, 1])).mean())


def test_without_validation_images_nothing_is_measured(quick, tmp_path):
    metrics = train(quick(tmp_path, validation=0.0))
    assert metrics.validation_accuracy is metrics.validation_loss is None
    assert metrics.validation_images == 0
