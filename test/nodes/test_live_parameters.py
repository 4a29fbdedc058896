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

"""The parameters of a running node: described to ROS, and changed together or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from node_fixtures import nobodys_domain
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from dual_cnn_ros.nodes.live_parameters import LiveParameters
from dual_cnn_ros.nodes.parameter import (
    AT_ONCE,
    NEVER,
    parameter,
    ParameterError,
    WHILE_INACTIVE,
)

pytestmark = pytest.mark.ros


@dataclass(frozen=True)
class Example:
    low: float = parameter(1.0, 'The lower limit.', AT_ONCE, range=(0.0, 10.0))
    high: float = parameter(2.0, 'The upper limit.', AT_ONCE, range=(0.0, 10.0))
    count: int = parameter(3, 'How many.', AT_ONCE, range=(0, 9))
    names: tuple[str, ...] = parameter(('a', 'b'), 'Their names.', WHILE_INACTIVE)
    mode: str = parameter('auto', 'How.', NEVER, choices=('auto', 'off'))


@pytest.fixture
def context() -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context, domain_id=nobodys_domain())
    yield context
    context.try_shutdown()


def make_node(context: Context, **given: object) -> Node:
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    return Node('example', context=context, parameter_overrides=overrides)


class Limits:
    """A node's use of its parameters: the limits must be in order."""

    def __init__(self, node: Node) -> None:
        self.locked: set[str] = set()
        self.accepted: list[Example] = []
        self.live = LiveParameters(node, Example, self.accept, lambda: self.locked)

    def accept(self, values: Example) -> None:
        if values.low > values.high:
            raise ParameterError('low must not exceed high')
        self.accepted.append(values)


def test_values_are_the_defaults_or_those_given(context: Context) -> None:
    limits = Limits(make_node(context, low=0.5, names=['c']))
    assert limits.live.values == Example(low=0.5, names=('c',))
    assert limits.accepted == []


def test_a_node_with_a_wrong_value_is_not_made(context: Context) -> None:
    with pytest.raises(ParameterError, match='mode must be one of auto, off'):
        Limits(make_node(context, mode='on'))


def test_ros_knows_what_a_parameter_means_and_may_be(context: Context) -> None:
    node = make_node(context)
    Limits(node)
    low, count, mode = (node.describe_parameter(name) for name in ('low', 'count', 'mode'))
    assert low.description == 'The lower limit.'
    assert low.additional_constraints == 'It takes effect at once.'
    assert low.floating_point_range[0].to_value == 10.0
    assert count.integer_range[0].to_value == 9
    assert low.dynamic_typing and not mode.dynamic_typing
    assert mode.additional_constraints == 'One of: auto, off. It is read at start only.'


def test_several_change_together_or_not_at_all(context: Context) -> None:
    node = make_node(context)
    limits = Limits(node)
    result = node.set_parameters_atomically(
        [Parameter('low', value=5.0), Parameter('high', value=6.0)]
    )
    assert result.successful and limits.live.values == Example(low=5.0, high=6.0)
    result = node.set_parameters_atomically(
        [Parameter('count', value=1), Parameter('low', value=7.0)]
    )
    assert not result.successful and result.reason == 'low must not exceed high'
    assert limits.live.values == Example(low=5.0, high=6.0)
    assert node.get_parameter('count').value == 3
    assert limits.accepted == [limits.live.values]


def test_a_parameter_is_locked_while_the_node_says_so(context: Context) -> None:
    node = make_node(context)
    limits = Limits(node)
    limits.locked = {WHILE_INACTIVE}
    (result,) = node.set_parameters([Parameter('names', value=['c'])])
    assert result.reason == 'names cannot change while active: deactivate first'
    assert not result.successful and limits.live.values.names == ('a', 'b')
    limits.locked = set()
    (result,) = node.set_parameters([Parameter('names', value=['c'])])
    assert result.successful and limits.live.values.names == ('c',)


@pytest.mark.parametrize(
    ('name', 'value', 'is_set'), [('mode', 'off', False), ('use_sim_time', True, True)]
)
def test_what_is_read_at_start_only_never_changes_and_what_is_of_ros_is_left_to_it(
    context: Context, name: str, value: object, is_set: bool
) -> None:
    node = make_node(context)
    limits = Limits(node)
    (result,) = node.set_parameters([Parameter(name, value=value)])
    assert result.successful == is_set and limits.live.values == Example()


def test_the_value_in_force_is_always_accepted(context: Context) -> None:
    node = make_node(context)
    limits = Limits(node)
    limits.locked = {WHILE_INACTIVE}
    given = {'low': 1, 'high': 2.0, 'names': ['a', 'b'], 'mode': 'auto'}
    results = node.set_parameters([Parameter(name, value=value) for name, value in given.items()])
    assert [result.reason for result in results] == [''] * 4 and limits.accepted == []


def test_an_integer_is_taken_for_a_number(context: Context) -> None:
    node = make_node(context, low=0)
    limits = Limits(node)
    (result,) = node.set_parameters([Parameter('high', value=9)])
    assert result.successful and repr(limits.live.values.high) == '9.0'
    (result,) = node.set_parameters([Parameter('high', value='high')])
    assert result.reason == "high must be a number, not 'high'"


def test_a_name_that_nobody_knows_is_logged_with_the_nearest_one(
    context: Context, capfd: pytest.CaptureFixture[str]
) -> None:
    given = {'hihg': 3.0, 'zzz': 1, 'window_s': 1.0, 'use_sim_time': False}
    Limits(make_node(context, **given))
    log = capfd.readouterr().err
    assert 'unknown parameter hihg has no effect: did you mean high?' in log
    assert 'unknown parameter zzz has no effect: ros2 param list' in log
    assert log.count('unknown') == 2  # another node of ours has window_s
