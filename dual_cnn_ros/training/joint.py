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

"""
Classifiers and the selectors that stop at them, trained together by REINFORCE.

Guan et al., "Energy-efficient Amortized Inference with Cascaded Deep Classifiers" (IJCAI 2018,
arXiv 1710.03368): for every image a stop is drawn from the probabilities of the selectors. The
reward is the log-likelihood of the label at that stage less the price of what was asked. The
classifier that answered learns from its likelihood, the selectors from the reward, less its moving
average, times the gradient of the log-probability of the stop.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn, Tensor
from torch.nn import functional

from dual_cnn_ros.bundle import Bundle, BundleError
from dual_cnn_ros.cascade.selector import FEATURES, Selector, TOP
from dual_cnn_ros.inference import networks
from dual_cnn_ros.training.pretrained import initialise

UNITS = 8
# Of the moving average of the reward, which is the baseline.
MOMENTUM = 0.99


class JointCascade(nn.Module):
    """
    Classifiers that take the same input, each but the last with a selector.

    In training it returns (N, n, K + 1): of each stage the logits, and that of stopping; in
    evaluation the logits of the stage at which the selectors stop, (N, K).

    Parameters
    ----------
    members
        The classifiers, in the order in which they are asked.
    costs
        Of each, for one image.

    Attributes
    ----------
    spent
        Share of all costs once each stage was asked, (n,).

    """

    spent: Tensor

    def __init__(self, members: Sequence[nn.Module], costs: Sequence[float]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.selectors = nn.ModuleList(
            nn.Sequential(nn.Linear(FEATURES, UNITS), nn.Tanh(), nn.Linear(UNITS, 1))
            for _ in members[1:]
        )
        total = torch.tensor(costs, dtype=torch.float32).cumsum(0)
        self.register_buffer('spent', total / total[-1])

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits; see the class."""
        logits = torch.stack([member(pixels) for member in self.members], dim=1).float()
        # The selectors learn from the answers, and the answers nothing from the selectors.
        probabilities = logits.detach().softmax(-1)
        labels = probabilities.argmax(-1)
        agree = (labels == labels[:, :1]).float().cumprod(1)
        seen = features(probabilities, agree)
        stopping = [
            selector(seen[:, stage])[:, 0] for stage, selector in enumerate(self.selectors)
        ]
        # The last stage always stops.
        stops = torch.stack([*stopping, torch.full_like(logits[:, 0, 0], torch.inf)], dim=1)
        if self.training:
            return torch.cat([logits, stops.unsqueeze(-1)], dim=-1)
        stop = (stops > 0).int().argmax(1)
        return logits[torch.arange(len(logits), device=logits.device), stop]

    def selector(self, stage: int) -> Selector | None:
        """Return the selector of a stage as plain numbers; None for the last."""
        if stage >= len(self.selectors):
            return None
        weights, biases, output, bias = (
            tensor.tolist() for tensor in self.selectors[stage].state_dict().values()
        )
        return Selector(tuple(map(tuple, weights)), tuple(biases), tuple(output[0]), bias[0])


class JointObjective(nn.Module):
    """
    What the joint training minimises.

    Parameters
    ----------
    spent
        See JointCascade.
    price
        What the cost of all stages counts, in nats.

    Attributes
    ----------
    baseline
        Moving average of the reward; NaN before the first batch.

    """

    baseline: Tensor

    def __init__(self, spent: Tensor, price: float) -> None:
        super().__init__()
        self.price, self._spent = price, spent
        self.register_buffer('baseline', torch.tensor(torch.nan))

    def forward(self, outputs: Tensor, targets: Tensor, images: Tensor) -> Tensor:
        """
        Return the loss of a batch; the stops are drawn anew each time.

        Parameters
        ----------
        outputs
            Of a JointCascade in training, (N, n, K + 1).
        targets
            Classes, int64 (N,), or their shares, (N, K).
        images
            Not looked at.

        """
        logits, stops = outputs[..., :-1], outputs[..., -1]
        shares = targets
        if targets.ndim == 1:
            shares = functional.one_hot(targets, logits.shape[-1])
        likelihood = (logits.log_softmax(-1) * shares.unsqueeze(1)).sum(-1)
        chosen = draw_stops(stops.detach())
        rows = torch.arange(len(chosen), device=chosen.device)
        earned = likelihood[rows, chosen]
        reward = (earned - self.price * self._spent.to(chosen.device)[chosen]).detach()
        if torch.isnan(self.baseline):
            self.baseline.copy_(reward.mean())
        policy = (reward - self.baseline) * log_probability(stops, chosen)
        self.baseline.lerp_(reward.mean(), 1 - MOMENTUM)
        return -(earned + policy).mean()


def draw_stops(stops: Tensor) -> Tensor:
    """Return a stage for each image, int64 (N,), from the logits of stopping, (N, n)."""
    wants = torch.rand_like(stops) < stops.sigmoid()
    return wants.int().argmax(1)


def log_probability(stops: Tensor, chosen: Tensor) -> Tensor:
    """Return the logarithm of the probability of stopping at a stage, (N,)."""
    places = torch.arange(stops.shape[1], device=stops.device)
    going_on = functional.logsigmoid(-stops[:, :-1]) * (places[:-1] < chosen.unsqueeze(1))
    stopped = functional.logsigmoid(stops.gather(1, chosen.unsqueeze(1)))[:, 0]
    return going_on.sum(1) + stopped


def features(probabilities: Tensor, agree: Tensor) -> Tensor:
    """Return what `cascade.selector.features` returns, of tensors."""
    classes = probabilities.shape[-1]
    top = probabilities.topk(min(TOP, classes), dim=-1).values
    top = functional.pad(top, (0, TOP - top.shape[-1]))
    entropy = (probabilities * (probabilities + 1e-37).log()).sum(-1)
    sure = (1 + entropy / torch.log(torch.tensor(float(classes)))).clamp(0, 1)
    return torch.cat([top, sure.unsqueeze(-1), agree.unsqueeze(-1)], dim=-1)


def build_member(name: str, classes: int, channels: int) -> tuple[nn.Module, str, str]:
    """
    Return a classifier, its architecture, and where its weights come from, in words.

    Parameters
    ----------
    name
        A network, to begin with from nothing; or a bundle of one stage, by its path or name, with
        weights to begin with.
    classes, channels
        Of its output and its input.

    """
    try:
        (stage, *_) = Bundle.open(name).stages
    except BundleError:
        return networks.build(name, classes, channels), name, ''
    architecture = stage.architecture or name
    network = networks.build(architecture, classes, channels)
    source = initialise(network, name).origin
    return network, architecture, f'fine-tuned from {source}' if source else ''
