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
"""What a training minimises, against the formulas of the papers."""

from dataclasses import replace
import shutil

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('torchvision')

from torch.nn import functional  # noqa: E402 - below what may be missing

from dual_cnn_ros.bundle import write_bundle  # noqa: E402
from dual_cnn_ros.training.checkpoint import TrainingError  # noqa: E402
from dual_cnn_ros.training.objective import (  # noqa: E402
    distillation_loss,
    make_objective,
    shrink,
    Teacher,
)

pytestmark = pytest.mark.slow
LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5], [0.3, 0.2, 0.1]])
TARGETS = torch.tensor([0, 2, 1])
IMAGES = torch.zeros(3, 3, 4, 4)


def test_by_default_it_is_cross_entropy_with_smoothed_labels(quick, tmp_path):
    objective = make_objective(quick(tmp_path, label_smoothing=0.2), None)
    expected = functional.cross_entropy(LOGITS, TARGETS, label_smoothing=0.2)
    assert objective(LOGITS, TARGETS, IMAGES) == expected


def distilled(**changes):
    options = {'weight': 1.0, 'temperature': 2.0, 'label_smoothing': 0.0, **changes}
    return distillation_loss(LOGITS, TARGETS, IMAGES, **options)


def test_whoever_answers_as_the_teacher_has_nothing_to_learn_but_the_labels():
    assert distilled(teacher=lambda _: LOGITS + 5) == pytest.approx(0, abs=1e-6)
    half = distilled(teacher=lambda _: LOGITS, weight=0.5)
    assert half == pytest.approx(0.5 * float(functional.cross_entropy(LOGITS, TARGETS)))


def test_the_divergence_is_that_of_the_softened_answers():
    taught = torch.tensor([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0], [3.0, 0.0, 0.0]])
    q, p = ((z.double().numpy() / 2) for z in (taught, LOGITS))
    q, p = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (q, p))
    expected = 4 * (q * np.log(q / p)).sum(1).mean()
    assert distilled(teacher=lambda _: taught) == pytest.approx(expected, rel=1e-5)


def test_a_teacher_answers_as_its_bundle_does(trained):
    _, bundle = trained
    teacher = Teacher([str(bundle.path)], 'rgb', 'cpu')
    pixels = np.random.default_rng(0).integers(0, 256, (2, *teacher.size, 3), np.uint8)
    images = torch.from_numpy(pixels[..., ::-1].copy()).permute(0, 3, 1, 2) / 255
    (stage,) = bundle.stages
    model = bundle.load('onnxruntime', ('cpu',))[0]
    from dual_cnn_ros.cascade.frame import Frame

    expected = np.array([model.predict(Frame(each)) for each in pixels])
    np.testing.assert_allclose(teacher(images).softmax(1).numpy(), expected, atol=1e-5)
    assert teacher.labels == bundle.labels and stage.input.colour == 'rgb'


def test_several_teachers_answer_with_their_mean(trained, tmp_path):
    _, bundle = trained
    hot = replace(bundle.stages[0], temperature=3.0)
    for name in ('onnx', 'safetensors'):
        shutil.copy(bundle.path / f'first.{name}', tmp_path)
    files = {kind: replace(f, path=tmp_path / f.path.name) for kind, f in hot.files.items()}
    write_bundle(replace(bundle, path=tmp_path, stages=(replace(hot, files=files),)))
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    one, other = ([str(path)] for path in (bundle.path, tmp_path))
    alone = [Teacher(names, 'rgb', 'cpu')(images).exp() for names in (one, other)]
    assert not torch.allclose(*alone, atol=1e-3)
    together = Teacher([*one, *other], 'rgb', 'cpu')(images).exp()
    torch.testing.assert_close(together, (alone[0] + alone[1]) / 2)


def test_a_teacher_must_see_what_the_student_sees(trained):
    _, bundle = trained
    with pytest.raises(TrainingError, match='takes rgb images of .*must be grey'):
        Teacher([str(bundle.path)], 'grey', 'cpu')


def test_shrinking_averages():
    images = torch.arange(16.0).view(1, 1, 4, 4)
    assert shrink(images, (4, 4)) is images
    small = shrink(images, (2, 2))
    assert small.mean() == pytest.approx(7.5) and small[0, 0, 0, 0] < small[0, 0, 1, 1]
