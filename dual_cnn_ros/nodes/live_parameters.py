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

"""The parameters of a running node: declared to ROS, checked, and changed together or not."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
import yaml

from dual_cnn_ros.nodes.parameter import declared_parameters, NEVER, Parameter, ParameterError
from dual_cnn_ros.share import share_directory

Values = TypeVar('Values')


class LiveParameters(Generic[Values]):
    """
    The parameters of a node and their values, one frozen record that is swapped as a whole.

    Parameters
    ----------
    node
        On which they are declared.
    kind
        A dataclass whose fields are made by `parameter`.
    accept
        Called with the new values before they are in force; raises ValueError to refuse them, and
        does whatever a change asks for.
    locked
        Returns the values of Parameter.when of parameters that may not change now.

    Attributes
    ----------
    values
        Those in force.

    Raises
    ------
    ParameterError
        If the node was started with a value that a parameter may not have.

    """

    values: Values

    def __init__(
        self,
        node: Node,
        kind: type[Values],
        accept: Callable[[Values], None] = lambda values: None,
        locked: Callable[[], Collection[str]] = lambda: (),
    ) -> None:
        self._declared = declared_parameters(kind)
        self._accept, self._locked = accept, locked
        given = {}
        for name, parameter in self._declared.items():
            ros = node.declare_parameter(name, _to_ros(parameter.default), _descriptor(parameter))
            given[name] = parameter.checked(name, _from_ros(ros.value))
        self.values = kind(**given)
        _warn_of_unknown_names(node, self._declared)
        node.add_on_set_parameters_callback(self._on_set)

    def _on_set(self, changes: list[RosParameter]) -> SetParametersResult:
        changed = {}
        try:
            for change in changes:
                # use_sim_time and qos_overrides are rclpy's.
                if (parameter := self._declared.get(change.name)) is None:
                    continue
                value = parameter.checked(change.name, _from_ros(change.value))
                # So that a file of all parameters can be loaded at any time.
                if value == getattr(self.values, change.name):
                    continue
                if parameter.when in (NEVER, *self._locked()):
                    raise ParameterError(f'{change.name} {parameter.when}')
                changed[change.name] = value
            if not changed:
                return SetParametersResult(successful=True)
            values: Any = replace(self.values, **changed)  # type: ignore[type-var]
            self._accept(values)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.values = values
        return SetParametersResult(successful=True)


def _warn_of_unknown_names(node: Node, declared: Collection[str]) -> None:
    """Log what the node was given and does not know, which ROS passes over in silence."""
    # rclpy has no public name for what -p, parameter files and launch give a node.
    given = getattr(node, '_parameter_overrides', {})
    unknown = [
        name
        for name in given
        if not node.has_parameter(name) and not name.startswith('qos_overrides.')
    ]
    # One file may hold the parameters of all our nodes.
    for name in set(unknown) - (_names_of_all_nodes() if unknown else set()):
        nearest = get_close_matches(name, declared, 1)
        hint = f'did you mean {nearest[0]}?' if nearest else 'ros2 param list shows all there are'
        node.get_logger().warning(f'unknown parameter {name} has no effect: {hint}')


def _names_of_all_nodes() -> set[str]:
    names: set[str] = set()
    for executable in ('classifier', 'power', 'energy'):
        file = share_directory() / 'config' / f'{executable}.yaml'
        names.update(yaml.safe_load(file.read_text(encoding='utf-8'))['/**']['ros__parameters'])
    return names


def _to_ros(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _from_ros(value: Any) -> Any:
    return (
        tuple(value) if isinstance(value, (Sequence, array)) and type(value) is not str else value
    )


def _descriptor(parameter: Parameter) -> ParameterDescriptor:
    choices = f'One of: {", ".join(parameter.choices)}. ' if parameter.choices else ''
    descriptor = ParameterDescriptor(
        description=parameter.description,
        # Not read_only: ROS would refuse the value in force, too.
        dynamic_typing=parameter.is_number,
        additional_constraints=f'{choices}It {parameter.when}.',
    )
    if parameter.range:
        low, high = parameter.range
        if isinstance(parameter.default, int):
            descriptor.integer_range = [
                IntegerRange(from_value=int(low), to_value=int(high), step=0)
            ]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)
            ]
    return descriptor
