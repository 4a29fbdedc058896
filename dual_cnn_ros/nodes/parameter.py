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
Parameters of a node, each declared once, as a field of a dataclass.

The node declares them to ROS from these fields, and config/*.yaml and docs/nodes.md are generated
from them (`make parameters`). Nothing here needs ROS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

# When a parameter may change, as the end of a sentence that begins with its name.
NEVER = 'is read at start only'
WHILE_UNCONFIGURED = 'cannot change while configured: deactivate and clean up first'
WHILE_INACTIVE = 'cannot change while active: deactivate first'
ON_NEXT_FRAME = 'takes effect on the next frame'
AT_ONCE = 'takes effect at once'


class ParameterError(ValueError):
    """A value is refused; the message names the parameter and what it may be."""


@dataclass(frozen=True)
class Parameter:
    """
    What a node declares of one parameter.

    Attributes
    ----------
    default
        Decides the type too: bool, int, float, str, or a tuple of str or float. Where a float is
        meant, an int will do.
    description
        For whoever sets it.
    when
        When it may change: NEVER, AT_ONCE or another of these constants.
    choices
        All that it may be; empty: no such list.
    range
        Least and greatest value.
    further_check
        Called with name and value, raises ParameterError; what it returns is ignored.
    is_common
        True if most robots set it, so that config/robot.yaml shows it.

    """

    default: Any
    description: str
    when: str
    choices: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    further_check: Callable[[str, Any], object] | None = None
    is_common: bool = False

    @property
    def is_number(self) -> bool:
        """Whether it is one number or several, not whole ones."""
        first = self.default[0] if isinstance(self.default, tuple) else self.default
        return isinstance(first, float)

    def checked(self, name: str, value: Any) -> Any:
        """Return a value in its type; ParameterError if it may not be it. NaN is in no range."""
        if self.is_number:
            value = _to_floats(name, value, isinstance(self.default, tuple))
        if self.choices and value not in self.choices:
            raise ParameterError(f'{name} must be one of {", ".join(self.choices)}, not {value!r}')
        if self.range and not self.range[0] <= value <= self.range[1]:
            raise ParameterError(
                f'{name} must be in [{self.range[0]}, {self.range[1]}], not {value}'
            )
        if self.further_check is not None:
            self.further_check(name, value)
        return value


def _to_floats(name: str, value: Any, are_several: bool) -> float | tuple[float, ...]:
    values = value if isinstance(value, tuple) else (value,)
    if isinstance(value, tuple) != are_several or not all(type(v) in (int, float) for v in values):
        expected = 'a list of numbers' if are_several else 'a number'
        shown = list(value) if isinstance(value, tuple) else value
        raise ParameterError(f'{name} must be {expected}, not {shown!r}')
    return tuple(map(float, values)) if are_several else float(value)


def parameter(default: Any, description: str, when: str, **others: Any) -> Any:
    """Return a dataclass field that declares a parameter; the arguments are those of Parameter."""
    declared = Parameter(default, description, when, **others)
    return field(default=default, metadata={'parameter': declared})


def declared_parameters(kind: type[Any]) -> dict[str, Parameter]:
    """Return the parameters that are the fields of a dataclass, by name."""
    return {each.name: each.metadata['parameter'] for each in fields(kind)}


def expand_home(name: str, value: str) -> Path:
    """Return the path that a parameter holds, with a home folder in place of ~ or ~user."""
    try:
        return Path(value).expanduser()
    except RuntimeError as error:  # no such user, or one without a home
        raise ParameterError(
            f'{name}: {value!r} has no home folder to begin in ({error}); '
            'give a path that begins with /'
        ) from error


def check_topics(name: str, value: str | tuple[str, ...]) -> None:
    """Raise ParameterError for what cannot be the name of a topic; an empty one means none."""
    from rclpy.exceptions import InvalidTopicNameException
    from rclpy.validate_topic_name import validate_topic_name

    for topic in filter(None, [value] if isinstance(value, str) else value):
        try:
            validate_topic_name(topic)
        except (InvalidTopicNameException, ValueError) as error:
            raise ParameterError(f'{name}: {error}') from error
