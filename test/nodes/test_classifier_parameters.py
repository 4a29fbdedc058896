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

"""The classifier's parameters: what each refuses, and the rule that follows from them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from tiny_bundle import make_bundle

from dual_cnn_ros.bundle import Bundle, OperatingPoint
from dual_cnn_ros.cascade.settings import Criterion, MemorySettings, Rule, Settings
from dual_cnn_ros.nodes.classifier_parameters import ClassifierParameters
from dual_cnn_ros.nodes.parameter import declared_parameters, ParameterError

HOMELESS = '~no_such_user'
OWN = Rule((Criterion('max_probability', 0.8),), 'more_confident')
CAREFUL = Rule((Criterion('max_probability', 1.0),), 'average')
ENTROPY = Rule((Criterion('entropy', 0.375),), 'more_confident')
POINTS = {'careful': CAREFUL, 'by_entropy': ENTROPY}


@pytest.fixture(scope='module')
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return a bundle with two operating points beside its own rule."""
    points = tuple(
        OperatingPoint(name, rule.criteria, rule.post_check) for name, rule in POINTS.items()
    )
    folder = tmp_path_factory.mktemp('bundle')
    return Bundle.open(str(make_bundle(folder, rule=OWN, operating_points=points)))


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('threshold', 1.5),
        ('threshold', -2.0),
        ('threshold', -0.5),
        ('score', 'loudness'),
        ('post_check', 'majority'),
        ('fingerprint', 'sha256'),
        ('memory_capacity', 0),
        ('memory_capacity', 2_000_000),
        ('memory_max_age', -1.0),
        ('memory_max_age', math.inf),
        ('top_k', 0),
        ('top_k', 100_000),
        ('silent_after', 0.0),
        ('memory_file', f'{HOMELESS}/memory.npz'),
        ('bundle', ''),
        ('bundle', f'{HOMELESS}/bundle'),
        ('backend', 'tensorrt'),
        ('providers', ('tpu',)),
        ('providers', ()),
        ('providers', ('cpu', 'cpu')),
        ('threads', -1),
        ('image_topics', ()),
        ('image_topics', ('',)),
        ('image_topics', ('image', 'image')),
        ('image_transport', 'theora'),
    ],
)
def test_a_value_that_no_state_of_the_node_could_use_is_refused(name: str, value: Any) -> None:
    expected = 'home folder' if value == f'{HOMELESS}/bundle' else name
    with pytest.raises(ValueError, match=expected):
        declared_parameters(ClassifierParameters)[name].checked(name, value)


@pytest.mark.parametrize(
    ('name', 'value'), [('threshold', -1.0), ('threshold', 0.0), ('bundle', 'signs')]
)
def test_a_value_at_the_limit_is_accepted(name: str, value: Any) -> None:
    declared_parameters(ClassifierParameters)[name].checked(name, value)


def test_parameters_become_settings(bundle: Bundle) -> None:
    values = ClassifierParameters(
        memory=False,
        fingerprint='invariants',
        memory_capacity=7,
        memory_max_age=2.5,
        memory_audit=0.1,
        memory_error=0.05,
        memory_difference=11.0,
        memory_difference_per_margin=12.0,
        memory_brightness=13.0,
        memory_scale=0.5,
        memory_patience=3,
    )
    remember = MemorySettings('invariants', 7, 2.5, 0.1, 0.05, 11.0, 12.0, 13.0, 0.5, 3)
    assert values.settings(bundle) == Settings(OWN, False, remember)
    assert ClassifierParameters().settings(bundle) == Settings(OWN)


@pytest.mark.parametrize(
    ('given', 'rule'),
    [
        ({}, OWN),
        ({'operating_point': 'careful'}, CAREFUL),
        ({'score': 'entropy'}, ENTROPY),
        ({'post_check': 'average'}, CAREFUL),
        ({'threshold': 0.25}, Rule((Criterion('max_probability', 0.25),), 'more_confident')),
        (
            {'threshold': 0.25, 'score': 'difference', 'post_check': 'none'},
            Rule((Criterion('difference', 0.25),), 'none'),
        ),
    ],
)
def test_the_rule_is_what_parameters_and_bundle_say(
    bundle: Bundle, given: dict[str, Any], rule: Rule
) -> None:
    assert ClassifierParameters(**given).settings(bundle).rule == rule


@pytest.mark.parametrize(
    ('given', 'reason'),
    [
        (
            {'operating_point': 'fast'},
            "operating_point must be one that bundle tiny has, not 'fast': careful; by_entropy",
        ),
        (
            {'operating_point': 'careful', 'threshold': 0.25},
            "operating_point 'careful' decides threshold too, which is 0.25: set threshold to "
            "-1.0, or operating_point to '', first",
        ),
        ({'operating_point': 'careful', 'score': 'entropy'}, 'decides score too'),
        ({'operating_point': 'careful', 'post_check': 'none'}, 'decides post_check too'),
        (
            {'score': 'entropy', 'post_check': 'average'},
            'bundle tiny is not calibrated for score entropy with post_check average, only for '
            'max_probability with more_confident, max_probability with average, entropy with '
            'more_confident: set threshold first',
        ),
    ],
)
def test_parameters_that_contradict_each_other_or_the_bundle_are_refused(
    bundle: Bundle, given: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        ClassifierParameters(**given).settings(bundle)
    assert reason in str(caught.value)


def test_a_bundle_without_operating_points_says_so(tmp_path: Path) -> None:
    bundle = Bundle.open(str(make_bundle(tmp_path)))
    with pytest.raises(ParameterError, match='it has none'):
        ClassifierParameters(operating_point='fast').settings(bundle)
