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

"""One declaration of a parameter: what it refuses, and how it is found in a dataclass."""

from __future__ import annotations

from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any

import pytest

from dual_cnn_ros.nodes.parameter import (
    AT_ONCE,
    check_topics,
    declared_parameters,
    expand_home,
    NEVER,
    parameter,
    ParameterError,
)


def refuse_thirteen(name: str, value: int) -> None:
    if value == 13:
        raise ParameterError(f'{name} must not be 13')


@dataclass(frozen=True)
class Example:
    rate: float = parameter(10.0, 'How often.', AT_ONCE, range=(0.1, 100.0))
    mode: str = parameter('auto', 'How.', NEVER, choices=('auto', 'off'), is_common=True)
    number: int = parameter(1, 'How many.', AT_ONCE, further_check=refuse_thirteen)
    box: tuple[float, ...] = parameter((0.0, 1.0), 'Where.', AT_ONCE)


def test_fields_declare_parameters_and_have_their_defaults() -> None:
    declared = declared_parameters(Example)
    assert list(declared) == ['rate', 'mode', 'number', 'box']
    assert Example() == Example(10.0, 'auto', 1, (0.0, 1.0))
    mode = declared['mode']
    assert (mode.default, mode.description, mode.when) == ('auto', 'How.', NEVER)
    assert mode.is_common and not declared['rate'].is_common


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('rate', 0.0, 'rate must be in'),
        ('rate', 101.0, 'rate must be in'),
        ('rate', math.nan, 'rate must be in'),
        ('mode', 'on', "mode must be one of auto, off, not 'on'"),
        ('number', 13, 'number must not be 13'),
        ('rate', 'fast', "rate must be a number, not 'fast'"),
        ('rate', True, 'rate must be a number, not True'),
        ('rate', (1.0,), 'rate must be a number'),
        ('rate', None, 'rate must be a number, not None'),
        ('box', 1.0, 'box must be a list of numbers, not 1.0'),
        ('box', ('a', 'b'), 'box must be a list of numbers'),
    ],
)
def test_a_value_that_may_not_be_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        declared_parameters(Example)[name].checked(name, value)


def test_values_that_may_be_are_not_refused() -> None:
    for name, value in {'rate': 0.1, 'mode': 'off', 'number': 12}.items():
        assert declared_parameters(Example)[name].checked(name, value) == value


def test_an_integer_will_do_where_a_number_is_meant() -> None:
    declared = declared_parameters(Example)
    assert repr(declared['rate'].checked('rate', 1)) == '1.0'
    assert repr(declared['box'].checked('box', (0, 2))) == '(0.0, 2.0)'


def test_a_home_is_expanded_or_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', '/home/robot')
    assert expand_home('file', '~/a') == Path('/home/robot/a')
    with pytest.raises(ParameterError, match="file: '~no_such_user/a' has no home folder"):
        expand_home('file', '~no_such_user/a')


@pytest.mark.ros
@pytest.mark.parametrize('value', ['', '/front/image', ('image', 'rear/image'), ('',)])
def test_names_of_topics_are_accepted(value: str | tuple[str, ...]) -> None:
    check_topics('topic', value)


@pytest.mark.ros
@pytest.mark.parametrize('value', ['no good', ('image', '2nd')])
def test_what_ros_takes_for_no_topic_is_refused(value: str | tuple[str, ...]) -> None:
    with pytest.raises(ParameterError, match='topic: '):
        check_topics('topic', value)
