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
Selectors trained on cached probabilities, by policy gradient.

After stage i its selector stops with probability s_i. An image that stops at stage k, with
probability pi_k = (1 - s_1) ... (1 - s_{k-1}) s_k, earns the reward

    R_k = log p_k[truth] - price * (c_1 + ... + c_k) / (c_1 + ... + c_n)

with p_k what the cascade answers if it stops there, post-check included, and c_i the cost of a
stage. Guan et al. (arXiv 1710.03368) estimate the gradient of the expected reward by REINFORCE,
from one stop drawn for each image. With n stages the expectation is a sum of n terms, so that its
gradient can be had without any drawing, and with no variance: that is what trains selectors here.
Where the classifiers are trained too, by `training.joint`, stops are drawn as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.cascade.scores import max_probability
from dual_cnn_ros.cascade.selector import FEATURES, features, Selector

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]

UNITS = 8
# On the squares of the weights, for each image: keeps the selectors from learning images by heart.
DECAY = 1e-3
# A selector begins as a threshold of the largest probability: from none, a policy that always or
# never stops is not left again.
STARTS = (0.5, 0.7, 0.9)


def rewards(
    answers: Sequence[Floats], truth: Ints, costs: Sequence[float], price: float
) -> Floats:
    """
    Return what stopping at each stage is worth, (N, n).

    Parameters
    ----------
    answers
        Probabilities that the cascade answers with if it stops at each stage, (N, K).
    truth
        (N,), the true classes.
    costs
        Of each stage, for one image.
    price
        What the cost of all stages counts, in nats.

    """
    likelihood = [np.log(np.maximum(p[np.arange(len(p)), truth], 1e-12)) for p in answers]
    spent = np.cumsum(costs) / np.sum(costs)
    return np.stack(likelihood, axis=1) - price * spent


def exact_gradient(stopping: Floats, worth: Floats) -> tuple[float, Floats]:
    """
    Return the mean reward and its gradient with respect to the logits of stopping, (N, n - 1).

    Parameters
    ----------
    stopping
        Probabilities of stopping at each stage but the last, (N, n - 1).
    worth
        (N, n), see `rewards`.

    """
    count = len(worth)
    ahead = worth[:, -1]
    values = []
    for stage in reversed(range(stopping.shape[1])):
        values.append(ahead)
        own = stopping[:, stage]
        ahead = own * worth[:, stage] + (1 - own) * ahead
    reach = np.cumprod(np.concatenate([np.ones((count, 1)), 1 - stopping[:, :-1]], axis=1), axis=1)
    later = np.stack(values[::-1], axis=1) if values else np.empty((count, 0))
    slope = stopping * (1 - stopping)
    return float(ahead.mean()), reach[:, : slope.shape[1]] * (
        worth[:, :-1] - later
    ) * slope / count


def sampled_gradient(
    stopping: Floats, worth: Floats, random: np.random.Generator, baseline: float = 0.0
) -> tuple[float, Floats]:
    """
    Return the same by REINFORCE, from one stop drawn for each image.

    Parameters
    ----------
    stopping, worth
        As of `exact_gradient`.
    random
        Draws the stops.
    baseline
        Subtracted from each reward, which leaves the mean as it is and changes the variance.

    """
    count, stages = worth.shape
    stops = np.full(count, stages - 1)
    for stage in reversed(range(stages - 1)):
        stops = np.where(random.random(count) < stopping[:, stage], stage, stops)
    earned = worth[np.arange(count), stops]
    places, stopped_at = np.arange(stages - 1), stops[:, np.newaxis]
    # Of log pi_k: 1 - s at the stage that stopped, -s at those before it.
    slope = (places == stopped_at) - stopping * (places <= stopped_at)
    return float(earned.mean()), slope * (earned - baseline)[:, np.newaxis] / count


def learn_selectors(
    probabilities: Sequence[Floats],
    truth: Ints,
    costs: Sequence[float],
    post_check: str,
    price: float,
) -> tuple[Selector, ...]:
    """
    Return the selectors of all stages but the last.

    Parameters
    ----------
    probabilities
        (N, K) of each stage, calibrated.
    truth
        (N,), the true classes.
    costs
        Of each stage, for one image.
    post_check
        A name of POST_CHECKS.
    price
        See `rewards`.

    """
    answers = list(probabilities)
    if post_check == 'average':
        sums = accumulate(probabilities)
        answers = [total / count for count, total in enumerate(sums, 1)]
    elif post_check == 'more_confident':
        answers = [*accumulate(probabilities, _more_confident)]
    return train_selectors(probabilities, rewards(answers, truth, costs, price))


def _more_confident(one: Floats, other: Floats) -> Floats:
    """Return the more confident of two answers to each image, (N, K)."""
    is_other = max_probability(other) > max_probability(one)
    return np.where(is_other[:, np.newaxis], other, one)


def agreement(labels: Sequence[Ints]) -> list[npt.NDArray[np.bool_]]:
    """Return for each stage whether it and all before it give the same answer, (N,) each."""
    agree = [np.ones(len(labels[0]), bool)]
    for before, own in pairwise(labels):
        agree.append(agree[-1] & (before == own))
    return agree


def train_selectors(
    probabilities: Sequence[Floats], worth: Floats, seed: int = 0
) -> tuple[Selector, ...]:
    """
    Return the selectors of all stages but the last that earn most.

    Parameters
    ----------
    probabilities
        (N, K) of each stage, calibrated.
    worth
        (N, n), see `rewards`.
    seed
        Of the weights at the start; the best of a few starts is taken.

    """
    from scipy.optimize import minimize

    labels = [p.argmax(axis=1) for p in probabilities[:-1]]
    seen = [
        features(p, agree).astype(np.float64)
        for p, agree in zip(probabilities, agreement(labels) if labels else [])
    ]
    if not seen:
        return ()
    random = np.random.default_rng(seed)
    size = UNITS * (FEATURES + 2) + 1

    def loss(flat: Floats) -> tuple[float, Floats]:
        parts = flat.reshape(len(seen), size)
        forward = [_forward(part, own) for part, own in zip(parts, seen)]
        stopping = np.stack([s for s, _ in forward], axis=1)
        earned, gradient = exact_gradient(stopping, worth)
        slopes = [
            _backward(part, own, hidden, gradient[:, stage])
            for stage, (part, own, (_, hidden)) in enumerate(zip(parts, seen, forward))
        ]
        decay = DECAY * flat
        return float(decay @ flat) / 2 - earned, decay - np.concatenate(slopes)

    starts = 0.1 * random.standard_normal((len(STARTS), len(seen), size))
    for start, threshold in zip(starts, STARTS):
        weights, biases, output, _ = _parts(start.T)
        weights[0, 0], biases[0], output[0] = 6.0, -6.0 * threshold, 3.0
    found = [minimize(loss, start.ravel(), jac=True, method='L-BFGS-B') for start in starts]
    best = min(found, key=lambda result: float(result.fun)).x.reshape(len(seen), size)
    return tuple(_selector(part) for part in best)


def selector_scores(
    selectors: Sequence[Selector], probabilities: Sequence[Floats]
) -> tuple[npt.NDArray[np.float64], ...]:
    """Return what each selector says of images, float64 (N,); see train_selectors."""
    agree = agreement([p.argmax(axis=1) for p in probabilities])
    return tuple(
        np.asarray(selector(p, own), np.float64)
        for selector, p, own in zip(selectors, probabilities, agree)
    )


def _parts(flat: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return views of weights, biases, output and bias in all numbers, (size, ...)."""
    end = UNITS * FEATURES
    weights = flat[:end].reshape(UNITS, FEATURES, *flat.shape[1:])
    return weights, flat[end : end + UNITS], flat[end + UNITS : -1], flat[-1]


def _forward(flat: Floats, seen: Floats) -> tuple[Floats, Floats]:
    """Return the probabilities of stopping, (N,), and the hidden units, (N, UNITS)."""
    weights, biases, output, bias = _parts(flat)
    hidden = np.tanh(seen @ weights.T + biases)
    return 1 / (1 + np.exp(-np.clip(hidden @ output + bias, -60, 60))), hidden


def _backward(flat: Floats, seen: Floats, hidden: Floats, slope: Floats) -> Floats:
    """Return the gradient with respect to all numbers, from that of the logits, (N,)."""
    _, _, output, _ = _parts(flat)
    inner = slope[:, np.newaxis] * output * (1 - hidden**2)
    return np.concatenate(
        [(inner.T @ seen).ravel(), inner.sum(axis=0), hidden.T @ slope, [slope.sum()]]
    )


def _selector(flat: Floats) -> Selector:
    weights, biases, output, bias = _parts(np.round(flat, 5))
    return Selector(
        tuple(map(tuple, weights.tolist())),
        tuple(biases.tolist()),
        tuple(output.tolist()),
        float(bias),
    )
