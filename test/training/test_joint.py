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

"""Joint training: its gradient against enumeration, and a bundle that stops as it learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('torchvision')

from torch import nn  # noqa: E402 - below what may be missing

from dual_cnn_ros.bundle import read_bundle  # noqa: E402
from dual_cnn_ros.cascade import selector  # noqa: E402
from dual_cnn_ros.cascade.frame import Frame  # noqa: E402
from dual_cnn_ros.cascade.settings import Settings  # noqa: E402
from dual_cnn_ros.data.image_file import decode_image  # noqa: E402
from dual_cnn_ros.data.image_folder import ImageFolder  # noqa: E402
from dual_cnn_ros.training.joint import (  # noqa: E402
    draw_stops,
    features,
    JointCascade,
    JointObjective,
    log_probability,
)
from dual_cnn_ros.training.loop import train  # noqa: E402
from dual_cnn_ros.training.options import TrainingOptions  # noqa: E402


@pytest.mark.parametrize('classes', [2, 3, 10])
def test_selectors_see_in_training_what_they_see_on_the_robot(classes: int) -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(classes), 20).astype(np.float32)
    agree = np.arange(20) % 3 == 0
    found = features(torch.from_numpy(p), torch.from_numpy(agree).float())
    np.testing.assert_allclose(found.numpy(), selector.features(p, agree), atol=1e-6)


def test_stops_are_drawn_as_often_as_their_probability_says() -> None:
    torch.manual_seed(0)
    stops = torch.tensor([[0.3, -0.5, torch.inf]]).expand(40_000, 3)
    chosen = draw_stops(stops)
    for stage in range(3):
        expected = log_probability(stops[:1], torch.tensor([stage])).exp().item()
        assert (chosen == stage).float().mean().item() == pytest.approx(expected, abs=0.01)
    total = sum(log_probability(stops[:1], torch.tensor([k])).exp().item() for k in range(3))
    assert total == pytest.approx(1)


def test_reinforce_has_the_enumerated_gradient_as_its_mean() -> None:
    """Of the logits of the answers as of those of stopping, for a batch of two images."""
    torch.manual_seed(1)
    outputs = torch.randn(2, 3, 4)
    outputs[:, -1, -1] = torch.inf
    targets, spent, price = torch.tensor([0, 2]), torch.tensor([0.1, 0.4, 1.0]), 0.5
    leaf = outputs.clone().requires_grad_()
    likelihood = leaf[..., :-1].log_softmax(-1)[torch.arange(2), :, targets]
    expected = torch.zeros(())
    for stops in product(range(3), repeat=2):
        chosen = torch.tensor(stops)
        reward = likelihood[torch.arange(2), chosen] - price * spent[chosen]
        expected = expected + log_probability(leaf[..., -1], chosen).sum().exp() * reward.mean()
    expected.backward()
    objective = JointObjective(spent, price)
    # A fixed baseline: one that moves with the rewards would leave a little of them in the mean.
    objective.baseline.fill_(-1.5)
    gradients = []
    for _ in range(6000):
        drawn = outputs.clone().requires_grad_()
        objective(drawn, targets, drawn).backward()
        objective.baseline.fill_(-1.5)
        gradients.append(-drawn.grad)
    sampled = torch.stack(gradients)
    error = sampled.std(0) / len(sampled) ** 0.5
    assert leaf.grad is not None
    known = torch.isfinite(leaf.grad)
    assert (sampled.mean(0) - leaf.grad).abs()[known].sub(4.5 * error[known] + 1e-6).max() < 0


def test_the_baseline_follows_the_reward_and_shares_of_labels_will_do() -> None:
    torch.manual_seed(0)
    objective = JointObjective(torch.tensor([0.2, 1.0]), 1.0)
    outputs = torch.randn(64, 2, 4)
    outputs[:, -1, -1] = torch.inf
    labels = torch.randint(0, 3, (64,))
    assert objective.baseline.isnan()
    for targets in (labels, nn.functional.one_hot(labels, 3).float()):
        assert objective(outputs, targets, outputs).isfinite()
    assert -5 < objective.baseline.item() < 0


def test_in_evaluation_the_stage_answers_at_which_the_selectors_stop() -> None:
    torch.manual_seed(3)
    members = [nn.Sequential(nn.Flatten(), nn.Linear(12, 4)) for _ in range(3)]
    cascade = JointCascade(members, [1.0, 2.0, 5.0]).eval()
    assert cascade.spent.tolist() == pytest.approx([1 / 8, 3 / 8, 1])
    pixels = torch.randn(50, 3, 2, 2)
    answers = torch.stack([member(pixels) for member in members], 1).detach()
    found, asked = cascade(pixels), set()
    for own, logits in zip(found, answers):
        p = logits.softmax(-1).numpy()
        agree = True
        for stage in range(3):
            agree = agree and p[stage].argmax() == p[0].argmax()
            told = cascade.selector(stage)
            if told is None or told(p[stage], agree) > 0.5:
                break
        asked.add(stage)
        torch.testing.assert_close(own, logits[stage])
    assert len(asked) > 1
    assert cascade.train()(pixels).shape == (50, 3, 5)


def test_a_joint_training_makes_a_bundle_of_all(
    quick: Callable[..., TrainingOptions], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small, large = 'vgg9_gap_x0_25-s2', 'vgg9_gap_x0_5-s2'
    train(quick(tmp_path, model=small, name='small', epochs=2))
    options: Any = quick(
        tmp_path, start=str(tmp_path / 'small'), joint=(large,), epochs=3, name='both', price=0.05
    )
    metrics = train(options)
    bundle = read_bundle(tmp_path / 'both')
    assert [stage.architecture for stage in bundle.stages] == [small, large]
    first, last = bundle.stages
    assert first.criterion is not None and first.criterion.score == 'selector'
    assert first.selector is not None and last.selector is None
    assert first.origin == last.origin == ''
    assert metrics.macs == first.macs + last.macs
    # The cascade of the bundle is right as often as the training says.
    cascade = bundle.cascade('onnxruntime', ('cpu',))
    cascade.settings = Settings(bundle.rule, memory=False)
    images = ImageFolder(options.data)
    right = []
    for file, data in images.read(images.select(None)):
        if (image := decode_image(data)) is not None:
            decision = cascade.classify(Frame(image))
            right.append(bundle.labels[decision.label] == file.split('/')[-2])
    assert metrics.validation_accuracy == pytest.approx(np.mean(right), abs=0.1)
    assert np.mean(right) > 0.8
    capsys.readouterr()
    # It goes on like any other training.
    again = train(replace(options, epochs=4))
    assert 'both: going on after epoch 3' in capsys.readouterr().out and len(again.curve) == 4
