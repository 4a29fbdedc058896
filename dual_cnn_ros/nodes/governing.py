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

"""The governor in the node: from parameters to a budget, and what is said of it."""

from __future__ import annotations

from datetime import datetime, timedelta
import math

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.cascade.governor import Budget, Governor, GovernorState
from dual_cnn_ros.nodes.classifier_parameters import ClassifierParameters
from dual_cnn_ros.nodes.parameter import ParameterError

UNITS = {'deferral_rate': '', 'power': ' W', 'energy': ' W'}


def make_governor(
    values: ClassifierParameters,
    bundle: Bundle,
    now: float,
    clock: float,
    before: Governor | None = None,
) -> Governor | None:
    """
    Return the governor that the parameters ask for, None for none.

    Parameters
    ----------
    values
        The parameters.
    bundle
        Has the operating points.
    now
        Monotonic seconds.
    clock
        The time of day, in seconds since 1970.
    before
        The governor so far: another budget goes on from its place on the same scale.

    Raises
    ------
    ParameterError
        Names the parameter that does not fit.

    """
    kind, target = values.governor, values.governor_target
    if kind == 'none':
        return None
    values.refuse_rule(f'governor {kind}', 'governor to none')
    limit = 1.0 if kind == 'deferral_rate' else math.inf
    if not 0 < target <= limit:
        wanted = {
            'deferral_rate': 'the share of frames that a later stage is asked about, up to 1',
            'power': 'watts above 0',
            'energy': 'joules above 0',
        }[kind]
        raise ParameterError(f'governor {kind}: set governor_target first, to {wanted}')
    if kind != 'deferral_rate' and not values.power_topic:
        raise ParameterError(f'governor {kind} needs power_topic, which is empty')
    until = math.inf
    if kind == 'energy':
        until = now + seconds_until(values.governor_until, clock)
    try:
        scale = bundle.scale(values.governor_floor)
    except ValueError as error:
        floor = f', governor_floor {values.governor_floor}' if values.governor_floor else ''
        raise ParameterError(f'governor {kind}{floor}: {error}') from error
    position = before.state(now).position if before and before.scale == scale else 0.0
    return Governor(scale, Budget(kind, target, until), now, position)


def seconds_until(text: str, clock: float) -> float:
    """
    Return the seconds from a time of day, seconds since 1970, to the time that a text states.

    Raises
    ------
    ParameterError
        It states none, or one that has passed.

    """
    here = datetime.fromtimestamp(clock)
    try:
        if '-' in text:
            when = datetime.fromisoformat(text)
        else:
            # On a command line, YAML would take a plain 18:30 for the number 1110.
            hours, minutes = map(int, text.removeprefix('T').split(':'))
            when = here.replace(hour=hours, minute=minutes, second=0, microsecond=0)
            when += timedelta(days=when <= here)
    except ValueError:
        raise ParameterError(
            'governor energy: set governor_until first, to when the joules may be used up: THH:MM '
            f'or YYYY-MM-DDTHH:MM, local time, not {text!r}'
        ) from None
    left = when.timestamp() - clock
    if left <= 0:
        raise ParameterError(f'governor_until must be in the future, not {text}')
    return left


def governor_values(state: GovernorState, kind: str) -> dict[str, object]:
    """Return what the diagnostics say of a governor."""
    return {
        'governor': kind,
        'operating_points': ' '.join(state.points),
        'position': f'{state.position:.3f}',
        'target': f'{state.target:.4g}',
        'measured': '' if math.isnan(state.measured) else f'{state.measured:.4g}',
        'joules_left': '' if math.isnan(state.left) else f'{state.left:.4g}',
    }


def governor_line(state: GovernorState, kind: str) -> str:
    """Return the line of the overlay: what is measured, what is wanted."""
    measured = '?' if math.isnan(state.measured) else f'{state.measured:.3g}'
    return f'{kind} {measured} of {state.target:.3g}{UNITS[kind]}'
