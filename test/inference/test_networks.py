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

"""The small CNNs: names, shapes, folding, costs."""

import copy

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('torchvision')

from dual_cnn_ros.inference import networks  # noqa: E402 - needs torch

pytestmark = pytest.mark.slow


def after_training(network):
    """Return the network with batch norms as after a training."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.5, 2.0),
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.2, 0.2),
            ):
                tensor.uniform_(low, high, generator=generator)
    return network.eval()


@pytest.mark.parametrize('family', networks.FAMILIES)
@pytest.mark.parametrize(('stride', 'channels', 'side'), [(1, 3, 32), (2, 1, 48), (4, 3, 96)])
def test_every_family_runs_and_folds(family, stride, channels, side):
    network = after_training(networks.build(f'{family}-s{stride}', 7, channels))
    before = copy.deepcopy(network.state_dict())
    images = torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = network(images)
        folded = networks.fuse(network)
        logits = folded(images)
    assert expected.shape == (2, 7)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(network.state_dict(), before)  # folding leaves it as it was
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4 * float(expected.std()))


# Published sizes: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
@pytest.mark.parametrize(
    ('name', 'side', 'mega_macs', 'mega_parameters'),
    [
        ('efficientnet_lite0', 224, 407, 4.7),
        ('efficientnet_lite1', 240, 631, 5.4),
        ('efficientnet_lite2', 260, 899, 6.1),
        ('efficientnet_lite3', 280, 1440, 8.2),
        ('efficientnet_lite4', 300, 2640, 13.0),
    ],
)
def test_efficientnet_lites_have_the_published_sizes(name, side, mega_macs, mega_parameters):
    network = networks.build(name, 1000).eval()
    assert networks.count_parameters(network) / 1e6 == pytest.approx(mega_parameters, abs=0.06)
    # The published counts have what norms and activations do, too.
    assert 0.92 < networks.count_macs(network, (3, side, side)) / 1e6 / mega_macs < 1


@pytest.mark.parametrize(('height', 'width'), [(64, 64), (97, 65), (50, 131)])
def test_efficientnet_lite0_answers_as_the_original(height, width):
    original = pytest.importorskip('efficientnet_lite_pytorch').EfficientNet.from_name(
        'efficientnet-lite0', image_size=(height, width), num_classes=9
    )
    original = after_training(original)
    network = networks.build('efficientnet_lite0', 9).eval()
    # The same layers in the same order, by other names.
    network.load_state_dict(dict(zip(network.state_dict(), original.state_dict().values())))
    images = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = original(images)
        for candidate in (network, networks.fuse(network)):
            torch.testing.assert_close(candidate(images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('family', networks.FAMILIES)
def test_the_stride_of_the_stem_divides_the_work(family):
    work = [
        networks.count_macs(networks.build(f'{family}_x0_5-s{stride}', 10).eval(), (3, 64, 64))
        for stride in (1, 2, 4)
    ]
    assert work[0] > 3 * work[1] > 8 * work[2]


def test_the_defaults_of_a_name_are_full_width_and_a_stride_of_one():
    shapes = [
        {key: value.shape for key, value in networks.build(name, 4).state_dict().items()}
        for name in ('resnet20', 'resnet20_x1-s1', 'resnet20_x1_0')
    ]
    assert shapes[0] == shapes[1] == shapes[2]


# The sums over the layers of the papers' tables, with our shortcuts and heads: convolutions of the
# three stages, shortcuts, norms, head.
RESNET20 = 432 + 6 * 2304 + (4608 + 5 * 9216) + (18432 + 5 * 36864)
RESNET20 += 512 + 2048 + 2 * (7 * 16 + 6 * 32 + 6 * 64 + 32 + 64) + 650


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [('resnet20', RESNET20), ('vgg16_gap', 14_710_464 + 2 * 4224 + 5130)],
)
def test_parameters_are_those_of_the_paper(name, parameters):
    assert networks.count_parameters(networks.build(name, 10)) == parameters


def test_macs_are_those_counted_by_hand():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(4, 8, 3, stride=2, padding=1),
        torch.nn.Conv2d(8, 8, 3, groups=4),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 5),
    )
    expected = 8 * 5 * 5 * (4 * 9) + 8 * 3 * 3 * (2 * 9) + 8 * 5
    assert networks.count_macs(network, (4, 10, 10)) == expected


def test_resnet_starts_as_its_shortcuts():
    block = networks.build('resnet20', 3)[1]
    images = torch.rand(1, 16, 8, 8)
    torch.testing.assert_close(block(images), images)


@pytest.mark.parametrize('name', ['resnet18', 'squeezenet1_1', 'googlenet'])
def test_torchvisions_networks_go_by_their_names(name):
    network = networks.build(name, 7).train()
    assert network(torch.randn(2, 3, 96, 96)).shape == (2, 7)


@pytest.mark.parametrize(
    'name', ['resnet21', 'resnet20_s2', 'resnet20-s3', 'resnet20-s2_x0_5', '', 'fcn_resnet50']
)
def test_an_unknown_name_is_refused_with_the_choice(name):
    with pytest.raises(ValueError, match=r'unknown network .*resnet20, vgg9_gap, vgg16_gap'):
        networks.build(name, 3)


def test_a_network_of_torchvision_takes_no_grey_images():
    with pytest.raises(ValueError, match='resnet18 takes colour images only'):
        networks.build('resnet18', 3, channels=1)
