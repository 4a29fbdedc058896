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

import pytest

torch = pytest.importorskip('torch')

from dual_cnn_ros.inference import networks  # noqa: E402 - needs torch

SMALL = {'repvgg_a0': 'repvgg_a0_x0_25', 'repvgg_a2': 'repvgg_a2_x0_25'}


def lived_in(network):
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
    network = lived_in(networks.build(f'{SMALL.get(family, family)}-s{stride}', 7, channels))
    images = torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = network(images)
        folded = networks.fuse(network)
        logits = folded(images)
    assert expected.shape == (2, 7)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4 * float(expected.std()))


def test_folding_leaves_the_network_as_it_was():
    network = networks.build('repvgg_tiny', 3).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert networks.fuse(network) is not network
    assert network.training
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_a_folded_repvgg_is_a_chain_of_convolutions():
    folded = networks.fuse(networks.build('repvgg_tiny', 3))
    kernels = [
        module.kernel_size for module in folded.modules() if isinstance(module, torch.nn.Conv2d)
    ]
    assert kernels == [(3, 3)] * 10


@pytest.mark.parametrize('family', ['resnet20', 'mobilenetv2_x0_5', 'vgg9_gap', 'repvgg_tiny'])
def test_the_stride_of_the_stem_divides_the_work(family):
    work = [
        networks.count_multiply_adds(networks.build(f'{family}-s{stride}', 10), (3, 64, 64))
        for stride in (1, 2, 4)
    ]
    assert work[0] > 3 * work[1] > 8 * work[2]


def test_no_stride_in_the_name_means_one():
    shapes = [
        {key: value.shape for key, value in networks.build(name, 4).state_dict().items()}
        for name in ('resnet20', 'resnet20_x1-s1', 'resnet20_x1_0')
    ]
    assert shapes[0] == shapes[1] == shapes[2]


@pytest.mark.parametrize(
    ('name', 'classes', 'parameters'),
    [
        # The sum over the layers of the papers' tables, with our stems, shortcuts and heads.
        (
            'resnet20',
            10,
            432
            + 6 * 2304
            + (4608 + 5 * 9216)
            + (18432 + 5 * 36864)
            + 512
            + 2048
            + 2 * (7 * 16 + 6 * 32 + 6 * 64 + 32 + 64)
            + 650,
        ),
        ('vgg16_gap', 10, 14_710_464 + 2 * 4224 + 5130),
    ],
)
def test_parameters_are_those_of_the_paper(name, classes, parameters):
    assert networks.count_parameters(networks.build(name, classes)) == parameters


def test_mobilenetv2_is_torchvisions_but_for_its_strides():
    models = pytest.importorskip('torchvision.models')
    reference = models.mobilenet_v2(num_classes=10)
    assert networks.count_parameters(networks.build('mobilenetv2', 10)) == (
        networks.count_parameters(reference)
    )


@pytest.mark.parametrize('width', ['0_5', '1_0', '1_5'])
def test_shufflenetv2_is_torchvisions_but_for_its_stem(width):
    models = pytest.importorskip('torchvision.models')
    reference = models.get_model(f'shufflenet_v2_x{width}', num_classes=10)
    assert networks.count_parameters(networks.build(f'shufflenetv2_x{width}', 10)) == (
        networks.count_parameters(reference)
    )


def test_counts_multiply_adds_by_hand():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(4, 8, 3, stride=2, padding=1),
        torch.nn.Conv2d(8, 8, 3, groups=4),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 5),
    )
    expected = 8 * 5 * 5 * (4 * 9) + 8 * 3 * 3 * (2 * 9) + 8 * 5
    assert networks.count_multiply_adds(network, (4, 10, 10)) == expected


def test_counting_leaves_mode_and_statistics():
    network = networks.build('vgg9_gap_x0_25', 3).train()
    before = network[0][1].running_mean.clone()
    networks.count_multiply_adds(network, (3, 32, 32))
    assert network.training
    assert torch.equal(network[0][1].running_mean, before)
    assert not network[0]._forward_hooks


def test_resnet_starts_as_its_shortcuts():
    network = networks.build('resnet20', 3)
    block = network[1]
    images = torch.rand(1, 16, 8, 8)
    torch.testing.assert_close(block(images), images)


@pytest.mark.parametrize('name', ['resnet18', 'squeezenet1_1', 'googlenet'])
def test_torchvisions_networks_go_by_their_names(name):
    pytest.importorskip('torchvision')
    network = networks.build(name, 7).train()
    assert network(torch.randn(2, 3, 96, 96)).shape == (2, 7)


@pytest.mark.parametrize(
    'name',
    [
        'resnet21',
        'resnet20_s2',
        'resnet20-s3',
        'resnet20-s2_x0_5',
        'resnet18-s2',
        'Resnet20',
        '',
        '../resnet20',
        'fcn_resnet50',
    ],
)
def test_an_unknown_name_is_refused_with_the_choice(name):
    pytest.importorskip('torchvision')
    with pytest.raises(ValueError, match=r'unknown network .*repvgg_tiny'):
        networks.build(name, 3)


def test_what_a_network_cannot_be_is_refused():
    pytest.importorskip('torchvision')
    with pytest.raises(ValueError, match='x0_5, x1_0, x1_5 and x2_0, not x0_75'):
        networks.build('shufflenetv2_x0_75', 3)
    with pytest.raises(ValueError, match='resnet18 takes colour images only'):
        networks.build('resnet18', 3, channels=1)
