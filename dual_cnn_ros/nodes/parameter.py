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

"""One parameter of a node: its default, its meaning, what it may be, and when it may change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

NEVER = 'is read at start only'


class ParameterError(ValueError):
    """A value is refused; the message names the parameter and what it may be."""


def path(name: str, value: str) -> Path:
    """Return the path that a parameter holds, with a home folder in place of ~ or ~user."""
    try:
        return Path(value).expanduser()
    except RuntimeError as error:  # no such user, or one without a home
        raise ParameterError(
            f'{name}: {value!r} has no home folder to begin in ({error}); '
            'give a path that begins with /'
        ) from error


@dataclass(frozen=True)
class Parameter:
    """A parameter; choices and range as far as it has them, `when` completes "It ..."."""

    default: Any
    description: str
    when: str
    choices: tuple[str, ...] = ()
    range: tuple[float, float] | None = None

    def descriptor(self) -> ParameterDescriptor:
        """Return the ROS description of it."""
        constraints = f'One of: {", ".join(self.choices)}. ' if self.choices else ''
        descriptor = ParameterDescriptor(
            description=self.description,
            read_only=self.when == NEVER,
            additional_constraints=f'{constraints}It {self.when}.',
        )
        if self.range and isinstance(self.default, int):
            descriptor.integer_range = [
                IntegerRange(from_value=int(self.range[0]), to_value=int(self.range[1]), step=0)
            ]
        elif self.range:
            descriptor.floating_point_range = [
                FloatingPointRange(
                    from_value=float(self.range[0]), to_value=float(self.range[1]), step=0.0
                )
            ]
        return descriptor

    def check(self, name: str, value: Any) -> None:
        """Refuse a value outside of choices and range, NaN among them."""
        if self.choices and value not in self.choices:
            raise ParameterError(f'{name} must be one of {", ".join(self.choices)}, not {value!r}')
        if self.range and not self.range[0] <= value <= self.range[1]:
            raise ParameterError(
                f'{name} must be in [{self.range[0]}, {self.range[1]}], not {value}'
            )
