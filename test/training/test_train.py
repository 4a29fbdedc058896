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

"""Training: what it writes, that it learns, goes on after a kill, and refuses what it should."""

import json
import os
import pickle
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch')
onnx = pytest.importorskip('onnx')

from safetensors.torch import load_file  # noqa: E402 - below what may be missing

from dual_cnn_ros.data.dataset import is_validation  # noqa: E402
from dual_cnn_ros.inference import networks  # noqa: E402
from dual_cnn_ros.tools import train  # noqa: E402
from dual_cnn_ros.training import training  # noqa: E402

# Sums of one thread are the same every time.
torch.set_num_threads(1)

LABELS = ('blue', 'green', 'red')
QUICK = (
    '--model',
    'vgg9_gap_x0_25-s2',
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
    '0.25',
)
CALM = {
    'flip': False,
    'zoom': 1.0,
    'stretch': 1.33,
    'shift': 0.0,
    'rotate': 0.0,
    'light': 0.0,
    'saturate': 0.0,
    'noise': 0.0,
    'erase': 0.0,
    'mixup': 0.0,
    'cutmix': 0.0,
}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Return a folder of three classes that differ in colour, with one damaged picture."""
    root = tmp_path_factory.mktemp('colours')
    random = np.random.default_rng(0)
    for channel, label in enumerate(LABELS):
        (root / label).mkdir()
        for number in range(40):
            image = random.integers(0, 120, (20, 28, 3), np.uint8)
            image[..., channel] += 120
            cv2.imwrite(str(root / label / f'{number}.png'), image)
    (root / 'red' / 'bad.jpg').write_bytes(b'\xff\xd8\xff no picture')
    return root


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory):
    """Return the folder and the metrics of a training of two epochs."""
    out = tmp_path_factory.mktemp('trained')
    assert (
        train.main([str(data), *QUICK, '--epochs', '2', '--out', str(out), '--name', 'first']) == 0
    )
    return out, json.loads((out / 'first.json').read_text())


def run(data, out, *options, epochs=3):
    return train.main(
        [str(data), *QUICK, '--epochs', str(epochs), '--out', str(out), '--name', 'net', *options]
    )


def weights(out):
    return load_file(out / 'net.safetensors')


def assert_same_training(one, other):
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for key in first:
        # Threads may add up in another order on a busy machine.
        assert torch.allclose(first[key], second[key], rtol=1e-4, atol=1e-5), key
    curves = [
        [
            [entry[key] for key in ('epoch', 'loss', 'held_out_accuracy')]
            for entry in json.loads((out / 'net.json').read_text())['curve']
        ]
        for out in (one, other)
    ]
    assert np.allclose(curves[0], curves[1], atol=1e-3)


def test_learns_to_tell_colours_apart(trained):
    _, metrics = trained
    assert metrics['held_out_accuracy'] > 0.95
    assert metrics['curve'][-1]['loss'] < metrics['curve'][0]['loss']


def test_the_metrics_say_what_was_done(trained, data):
    out, metrics = trained
    assert metrics['architecture'] == 'vgg9_gap_x0_25-s2'
    assert metrics['labels'] == list(LABELS)
    assert metrics['preprocessing'] == {
        'height': 16,
        'width': 16,
        'colour': 'rgb',
        'crop': None,
        'mean': [0.485, 0.456, 0.406],
        'std': [0.229, 0.224, 0.225],
    }
    assert metrics['pictures']['skipped'] == ['red/bad.jpg']
    names = [f'{label}/{number}.png' for label in LABELS for number in range(40)]
    held = sum(is_validation(name, 0.25, 0) for name in names)
    assert metrics['pictures']['held_out'] == held
    assert metrics['pictures']['training'] == 120 - held
    assert [entry['epoch'] for entry in metrics['curve']] == [1, 2]
    assert metrics['arguments']['seed'] == 0
    assert set(metrics['versions']) == {'python', 'torch', 'numpy', 'opencv'}
    folded = networks.fuse(networks.build(metrics['architecture'], 3))
    assert metrics['parameters'] == networks.count_parameters(folded)
    assert metrics['multiply_adds'] == networks.count_multiply_adds(folded, (3, 16, 16))
    assert str(data.parent) not in (out / 'first.json').read_text()


def test_the_metrics_hold_the_checksums(trained):
    import hashlib

    out, metrics = trained
    for kind in ('onnx', 'safetensors'):
        content = (out / metrics['files'][kind]['path']).read_bytes()
        assert metrics['files'][kind]['bytes'] == len(content)
        assert metrics['files'][kind]['sha256'] == hashlib.sha256(content).hexdigest()


def test_onnx_answers_as_the_rebuilt_network(trained):
    runtime = pytest.importorskip('onnxruntime')
    out, metrics = trained
    network = networks.build(metrics['architecture'], 3)
    network.load_state_dict(load_file(out / 'first.safetensors'))
    session = runtime.InferenceSession(str(out / 'first.onnx'), providers=['CPUExecutionProvider'])
    for count in (1, 5):
        images = np.random.default_rng(count).normal(size=(count, 3, 16, 16)).astype(np.float32)
        with torch.inference_mode():
            expected = network.eval()(torch.from_numpy(images)).numpy()
        (logits,) = session.run(['logits'], {'image': images})
        np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.mark.parametrize(
    'name',
    ['resnet20-s2', 'mobilenetv2_x0_35-s2', 'shufflenetv2_x0_5', 'repvgg_tiny_x0_5', 'resnet18'],
)
def test_every_kind_of_network_exports_to_plain_onnx(name):
    runtime = pytest.importorskip('onnxruntime')
    if name == 'resnet18':
        pytest.importorskip('torchvision')
    network = networks.build(name, 5).eval()
    preprocessing = training.Preprocessing(32, 48, 'rgb', None, (0.5,) * 3, (0.25,) * 3)
    content = training.to_onnx(network, preprocessing)
    model = onnx.load_from_string(content)
    assert model.ir_version <= 8
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [('', 18)]
    assert not {'BatchNormalization', 'Identity'} & {node.op_type for node in model.graph.node}
    assert all(not tensor.external_data for tensor in model.graph.initializer)
    assert b'.py' not in content
    images = torch.randn(3, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(images).numpy()
    session = runtime.InferenceSession(content, providers=['CPUExecutionProvider'])
    (logits,) = session.run(None, {'image': images.numpy()})
    np.testing.assert_allclose(logits, expected, atol=1e-4 * max(1, np.abs(expected).max()))


def test_a_training_that_was_killed_goes_on_as_if_it_had_not_been(data, tmp_path):
    assert run(data, tmp_path / 'whole') == 0
    # Dies within its second epoch, without a chance to tidy up.
    script = (
        'import os, signal, sys\n'
        'from dual_cnn_ros.tools import train\nfrom dual_cnn_ros.training import training\n'
        'plain = training.augment\n'
        'calls = []\n'
        'def augment(*arguments):\n'
        '    calls.append(1)\n'
        '    if len(calls) == 8:\n'
        '        os.kill(os.getpid(), signal.SIGKILL)\n'
        '    return plain(*arguments)\n'
        'training.augment = augment\n'
        'train.main(sys.argv[1:])\n'
    )
    killed = subprocess.run(
        [
            sys.executable,
            '-c',
            script,
            str(data),
            *QUICK,
            '--epochs',
            '3',
            '--out',
            str(tmp_path / 'cut'),
            '--name',
            'net',
        ],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert [path.name for path in (tmp_path / 'cut').iterdir()] == ['net.checkpoint.pt']
    assert run(data, tmp_path / 'cut') == 0
    assert_same_training(tmp_path / 'whole', tmp_path / 'cut')


def test_ctrl_c_loses_at_most_the_epoch(data, tmp_path, monkeypatch, capsys):
    options = (
        '--optimizer',
        'adamw',
        '--lr',
        '0.003',
        '--mixup',
        '0.2',
        '--cutmix',
        '1',
        '--erase',
        '0.5',
        '--noise',
        '0.1',
        '--rotate',
        '20',
        '--shift',
        '0.1',
        '--light',
        '0.2',
        '--ema',
        '0',
        '--colour',
        'grey',
    )
    monkeypatch.setattr(training, 'to_onnx', lambda *_: b'')
    assert run(data, tmp_path / 'whole', *options, epochs=2) == 0
    plain = training.Training.run_epoch

    def interrupted(self, bar):
        if self.curve:
            raise KeyboardInterrupt
        plain(self, bar)

    monkeypatch.setattr(training.Training, 'run_epoch', interrupted)
    assert run(data, tmp_path / 'cut', *options, epochs=2) == 130
    assert 'goes on after' in capsys.readouterr().err
    monkeypatch.setattr(training.Training, 'run_epoch', plain)
    assert run(data, tmp_path / 'cut', *options, epochs=2) == 0
    assert 'going on after epoch 1' in capsys.readouterr().out
    assert_same_training(tmp_path / 'whole', tmp_path / 'cut')


@pytest.fixture
def begun(data, tmp_path, monkeypatch):
    """Return a folder with the checkpoint of one epoch."""
    monkeypatch.setattr(training, 'to_onnx', lambda *_: b'')
    assert run(data, tmp_path, epochs=1) == 0
    return tmp_path


def test_seconds_are_those_of_all_epochs_in_whatever_run(data, begun):
    seconds = json.loads((begun / 'net.json').read_text())['seconds']
    assert run(data, begun, epochs=1) == 0
    metrics = json.loads((begun / 'net.json').read_text())
    assert metrics['seconds'] == seconds
    assert seconds == pytest.approx(sum(e['seconds'] for e in metrics['curve']), abs=0.06)


def test_a_checkpoint_of_other_settings_is_refused_and_named(data, begun, capsys):
    assert run(data, begun, '--weight-decay', '0.01', '--seed', '3', epochs=1) == 1
    message = capsys.readouterr().err
    assert 'net.checkpoint.pt belongs to a training with other settings' in message
    assert 'seed 0 -> 3, weight_decay 0.0005 -> 0.01' in message
    assert '--restart' in message


def test_a_checkpoint_of_other_pictures_is_refused(data, begun, capsys):
    (begun / 'left_out').write_text('red/0.png\n')
    assert run(data, begun, '--exclude', str(begun / 'left_out'), epochs=1) == 1
    assert 'pictures' in capsys.readouterr().err


def test_restart_forgets_the_checkpoint(data, begun):
    assert run(data, begun, '--seed', '3', '--restart', epochs=1) == 0
    assert json.loads((begun / 'net.json').read_text())['arguments']['seed'] == 3


@pytest.mark.parametrize('content', [b'', b'junk', pickle.dumps(print), 'cut'])
def test_a_damaged_or_foreign_checkpoint_is_refused(data, begun, capsys, content):
    path = begun / 'net.checkpoint.pt'
    path.write_bytes(path.read_bytes()[:1000] if content == 'cut' else content)
    assert run(data, begun, epochs=1) == 1
    assert 'is no readable checkpoint' in capsys.readouterr().err


def test_a_loss_that_is_no_number_ends_the_training(data, tmp_path, capsys):
    assert run(data, tmp_path, '--lr', '1e30', epochs=1) == 1
    assert 'lower --lr' in capsys.readouterr().err
    assert not (tmp_path / 'net.checkpoint.pt').exists()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (('--model', 'resnet19'), 'unknown network'),
        (
            ('--model', 'vgg16_gap-s4', '--input', '8'),
            '--model vgg16_gap-s4 does not work with --input 8x8 (',
        ),
        (('--labels', 'red', 'green'), 'classes and the given labels 2'),
        (('--split', 'train'), 'no split'),
        (('--mean', '0.5'), 'mean must be 3'),
        (('--exclude', 'nowhere'), 'nowhere'),
        (('--amp', 'fp16', '--device', 'cpu'), 'needs a GPU'),
        (('--step', 'graph', '--device', 'cpu'), 'needs a GPU'),
    ],
)
def test_what_cannot_be_done_is_said(data, tmp_path, capsys, options, message):
    assert run(data, tmp_path, *options) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize('model', ['inception_v3', 'vit_b_16'])
def test_an_input_that_a_network_cannot_take_is_refused_before_the_data_are_read(
    tmp_path, capsys, model
):
    pytest.importorskip('torchvision')
    assert run(tmp_path / 'nowhere', tmp_path, '--model', model, '--input', '32') == 1
    error = capsys.readouterr().err
    assert error.startswith(f'train: --model {model} does not work with --input 32x32 (')
    assert error.count('\n') == 1


def test_an_empty_class_is_said(data, tmp_path, capsys):
    for name in ('a/0.png', 'b/0.png'):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes((data / 'red' / '0.png').read_bytes())
    (tmp_path / 'c').mkdir()
    assert run(tmp_path, tmp_path / 'out') == 1
    assert "class 'c' is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    'options',
    [
        ('--epochs', '0'),
        ('--holdout', '1'),
        ('--input', '0'),
        ('--input', '2x3x4'),
        ('--batch-size', '1.5'),
        ('--flip', 'yes'),
        ('--lr', 'nan'),
    ],
)
def test_arguments_out_of_range_are_refused(options, capsys):
    with pytest.raises(SystemExit) as error:
        training.parser().parse_args(['data', '--model', 'resnet20', '--out', 'out', *options])
    assert error.value.code == 2
    assert 'error:' in capsys.readouterr().err


def augmented(images, size=None, **how):
    mean, std = torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)
    return training.augment(
        images,
        size or tuple(images.shape[-2:]),
        training.Augmentation(**{**CALM, **how}),
        mean,
        std,
        torch.Generator().manual_seed(0),
    )


@pytest.fixture
def pictures():
    """Return smooth pictures, brighter to the right, and more so to the bottom."""
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(32.0), indexing='ij')
    return (40 + 2 * rows + 4 * columns).to(torch.uint8).expand(200, 3, 24, 32).contiguous()


def test_no_augmentation_is_the_nodes_normalisation(pictures):
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.1, 0.2, 0.3), (0.5, 0.25, 2.0)))
    pixels = training.augment(
        pictures, (24, 32), training.Augmentation(**CALM), mean, std, torch.Generator()
    )
    torch.testing.assert_close(pixels, (pictures / 255 - mean) / std)


def test_flips_about_half_and_only_when_asked(pictures):
    plain = pictures / 255
    pixels = augmented(pictures, flip=True)
    flipped = [
        bool(torch.allclose(one, other.flip(-1), atol=1e-5)) for one, other in zip(pixels, plain)
    ]
    same = [bool(torch.allclose(one, other, atol=1e-5)) for one, other in zip(pixels, plain)]
    assert 60 < sum(flipped) < 140
    assert sum(flipped) + sum(same) == 200
    warped = augmented(pictures, zoom=0.5, shift=0.05, rotate=10)
    assert bool((warped[..., -1] > warped[..., 0]).all())


def test_shifts_alone_do_not_blur(pictures):
    chequered = torch.zeros_like(pictures)
    chequered[..., ::2, ::2] = 255
    shifted = augmented(chequered, flip=True, shift=0.2)
    assert ((shifted - chequered / 255).abs().amax((1, 2, 3)) > 0.5).float().mean() > 0.5
    assert ((shifted - shifted.round()).abs() < 1e-3).all()


def test_crops_lie_within_the_picture(pictures):
    pixels = augmented(pictures, (12, 16), zoom=0.3) * 255
    assert float(pixels.min()) >= 40
    assert float(pixels.max()) <= 40 + 2 * 23 + 4 * 31
    # A crop of 30 % of the area keeps more than 40 % and less than all of the range across.
    span = (pixels[:, 0, 6, -1] - pixels[:, 0, 6, 0]) / (4 * 30)
    assert 0.4 < float(span.min()) < 0.6
    assert 0.9 < float(span.max()) < 1.001


def test_turns_keep_right_angles(pictures):
    pixels = augmented(pictures, rotate=30)[:, 0] * 255
    down = (pixels[:, 14, 16] - pixels[:, 10, 16]) / 4
    across = (pixels[:, 12, 18] - pixels[:, 12, 14]) / 4
    # The slope of the picture keeps its length, sqrt(2^2 + 4^2), whatever the angle.
    torch.testing.assert_close(
        (down**2 + across**2).sqrt(), torch.full((200,), 20**0.5), atol=0.05, rtol=0
    )
    assert float(down.min()) < 0.5
    assert float(down.max()) > 3.5


def test_light_noise_and_erasing_stay_in_range(pictures):
    for how in ({'light': 0.5}, {'saturate': 0.5}, {'noise': 0.3}):
        pixels = augmented(pictures, **how)
        assert float(pixels.min()) >= 0
        assert float(pixels.max()) <= 1
        if 'saturate' not in how:
            assert not torch.equal(pixels[0], pixels[1])
    erased = (augmented(pictures, erase=0.5) - pictures / 255).abs().amax(1) > 1e-6
    share = erased.float().mean((1, 2))
    assert 60 < int((share > 0).sum()) < 140
    assert float(share.max()) < 0.35


@pytest.mark.parametrize('method', ['mixup', 'cutmix'])
def test_targets_are_mixed_as_the_pictures_are(method):
    # Each picture is filled with its own number, so that its pixels say whom it was mixed with.
    count = 8
    values = torch.arange(count, dtype=torch.float32)
    targets = torch.eye(count)
    how = training.Augmentation(**{**CALM, method: 1.0})
    for seed in range(20):
        pixels, mixed = training.mix(
            values.view(-1, 1, 1, 1).expand(-1, 3, 10, 12).clone(),
            targets,
            how,
            torch.Generator().manual_seed(seed),
            np.random.default_rng(seed),
        )
        torch.testing.assert_close(mixed.sum(1), torch.ones(count))
        torch.testing.assert_close(pixels.mean((1, 2, 3)), mixed @ values)


def test_without_mixing_nothing_changes():
    pixels, targets = torch.rand(4, 3, 8, 8), torch.eye(4)
    assert training.mix(
        pixels, targets, training.Augmentation(**CALM), torch.Generator(), np.random.default_rng(0)
    ) == (pixels, targets)


def test_the_rate_rises_once_and_falls_to_nothing():
    rates = [training.one_cycle(step / 100) for step in range(101)]
    top = rates.index(max(rates))
    assert rates[top] == pytest.approx(1)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[0] == pytest.approx(0.04)
    assert rates[-1] == pytest.approx(0)
