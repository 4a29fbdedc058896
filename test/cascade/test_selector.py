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

"""The learned score: what it sees, what it says, and what it may be made of."""

from __future__ import annotations

from dataclasses import replace
import math

import numpy as np
import pytest

from dual_cnn_ros.cascade.cascade import apply_rule, ask, Stage
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.scores import entropy
from dual_cnn_ros.cascade.selector import features, Selector
from dual_cnn_ros.cascade.settings import Criterion, Rule, SELECTOR
from dual_cnn_ros.records import from_plain, to_plain

# Stops where the largest probability is above 0.8, by far; and where all agree, whatever it is.
SELECTOR_OF_BOTH = Selector(((9.0, 0, 0, 0, 0), (0, 0, 0, 0, 9.0)), (-7.2, -4.5), (8.0, 8.0), 0.0)


@pytest.mark.parametrize('classes', [1, 2, 3, 9])
def test_what_it_sees_is_sorted_and_has_one_length(classes: int) -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(classes), 7).astype(np.float32)
    seen = features(p, np.arange(7) % 2 == 0)
    assert seen.shape == (7, 5)
    top = np.sort(p, axis=1)[:, ::-1][:, :3]
    np.testing.assert_array_equal(seen[:, : top.shape[1]], top)
    assert not seen[:, top.shape[1] : 3].any()
    np.testing.assert_array_equal(seen[:, 3], entropy(p))
    assert seen[:, 4].tolist() == [1, 0, 1, 0, 1, 0, 1]
    np.testing.assert_allclose(features(p[3], False), seen[3], atol=1e-6)


def test_it_is_one_hidden_layer_and_a_logistic_output() -> None:
    random = np.random.default_rng(0)
    weights, biases, output = (
        random.normal(size=(4, 5)),
        random.normal(size=4),
        random.normal(size=4),
    )
    own = Selector(tuple(map(tuple, weights.tolist())), tuple(biases), tuple(output), 0.3)
    p = random.dirichlet(np.ones(6), 5)
    logits = np.tanh(features(p, np.ones(5)) @ weights.T + biases) @ output + 0.3
    np.testing.assert_allclose(own(p, np.ones(5)), 1 / (1 + np.exp(-logits)), rtol=1e-12)
    assert float(own(p[2], True)) == pytest.approx(1 / (1 + math.exp(-logits[2])))
    assert from_plain(Selector, to_plain(own)) == own
    huge = replace(own, output=(1e9,) * 4)
    assert ((huge(p, np.ones(5)) >= 0) & (huge(p, np.ones(5)) <= 1)).all()


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'weights': ((1.0,) * 4,) * 2}, 'rows of 5'),
        ({'biases': (1.0,)}, 'one number for each row'),
        ({'output': (1.0,) * 3}, 'one number for each row'),
        ({'bias': math.nan}, 'finite'),
        ({'biases': (1.0, math.inf)}, 'finite'),
    ],
)
def test_what_makes_no_network_is_refused(fields: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(SELECTOR_OF_BOTH, **fields)


@pytest.mark.parametrize(
    ('answers', 'asked'),
    [
        (((0.95, 0.05), (0.1, 0.9)), 'first'),
        # The first is unsure; at the second, both agree.
        (((0.6, 0.4), (0.7, 0.3)), 'second'),
        (((0.6, 0.4), (0.3, 0.7)), 'third'),
    ],
)
def test_in_the_cascade_it_is_one_more_score(answers: tuple, asked: str) -> None:
    outputs = [np.array(p, np.float32) for p in (*answers, (0.5, 0.5))]
    # The first stage agrees with itself always, which is no reason to stop there.
    first = Selector(SELECTOR_OF_BOTH.weights, SELECTOR_OF_BOTH.biases, (8.0, 0.0), 0.0)
    selectors = first, SELECTOR_OF_BOTH, None
    stages = [
        Stage(name, lambda _, p=p: p, selector=selector)
        for name, p, selector in zip(('first', 'second', 'third'), outputs, selectors)
    ]
    rule = Rule((Criterion(SELECTOR, 0.5),) * 2, 'none')
    decision = ask(apply_rule(rule, stages), Frame(np.zeros((8, 8), np.uint8)), rule)
    assert decision.source == asked
    # What is published is how sure the answer is, not whether to stop.
    assert decision.score == decision.probabilities.max()
    with pytest.raises(ValueError, match='stage first has none; calibrate with --score selector'):
        apply_rule(rule, [replace(stages[0], selector=None), *stages[1:]])
