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

"""What every power sensor gives: readings of its rails, and which of them make the total."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from dual_cnn_ros.power.plausibility import power_fault

TOTAL = 'total'


class NoSensorError(OSError):
    """A source has nothing that this user can read; the message says what was looked for."""


@dataclass(frozen=True)
class Reading:
    """
    One rail at one moment; what the hardware does not give is None.

    Attributes
    ----------
    rail
        Its name.
    time
        Seconds of the monotonic clock, at the middle of the read.
    watts, volts, amps
        As the sensor gives them; a negative current is possible.
    joules
        The hardware's own energy counter with its wrap-arounds unfolded: only differences mean
        something. None also while the counter stands, see `plausibility`.
    offset_watts
        Bound of the sensor's constant error.
    error
        Why the read failed; then there are no values. Empty otherwise.

    """

    rail: str
    time: float
    watts: float | None = None
    volts: float | None = None
    amps: float | None = None
    joules: float | None = None
    offset_watts: float | None = None
    error: str = ''


class Channel(Protocol):
    """The rails of a sensor that are read together; of hardware, a single one."""

    @property
    def rails(self) -> tuple[str, ...]:
        """The rails' names, unique in their sensor."""

    def read(self) -> list[Reading]:
        """Read the rails now; never raises. Of a recording, nothing may be due yet."""


@dataclass(frozen=True)
class Sensor:
    """
    A source of power readings, found on this machine or in a file.

    Attributes
    ----------
    source
        'ina3221', 'rapl', 'nvml' or 'recording'.
    reason
        Why this source was chosen, in words.
    channels
        What is read, each channel by itself.
    members
        The rails that add up to the total; none where no sum is known to be right.
    scope
        What the total covers, such as 'module' or 'cpu package'.
    period
        Of a recording, the seconds between its readings; None for hardware, which is read at any
        rate.

    """

    source: str
    reason: str
    channels: tuple[Channel, ...]
    members: tuple[str, ...]
    scope: str
    period: float | None = None

    @property
    def rails(self) -> tuple[str, ...]:
        """The names of all rails."""
        return tuple(rail for channel in self.channels for rail in channel.rails)

    def read(self) -> list[Reading]:
        """Read every rail, one after another."""
        return [reading for channel in self.channels for reading in channel.read()]

    def total(self, readings: Iterable[Reading]) -> Reading | None:
        """
        Add up the rails of the total.

        Parameters
        ----------
        readings
            Of one moment.

        Returns
        -------
        Reading or None
            The total, whose `error` names a rail that is missing or failed: it is never a sum of
            the others; or says why it cannot be true. None where the sensor has no total, or none
            of its rails was read.

        """
        read = {reading.rail: reading for reading in readings if reading.rail in self.members}
        if not read:
            return None
        time = sum(reading.time for reading in read.values()) / len(read)
        for rail in self.members:
            if rail not in read:
                return Reading(TOTAL, time, error=f'{rail} was not read')
            if read[rail].error:
                return Reading(TOTAL, time, error=f'{rail}: {read[rail].error}')
        members = [read[rail] for rail in self.members]
        if len(members) == 1:
            total = replace(members[0], rail=TOTAL)
        else:
            total = Reading(
                TOTAL,
                time,
                watts=_sum(member.watts for member in members),
                joules=_sum(member.joules for member in members),
                offset_watts=_sum(member.offset_watts for member in members),
            )
        if total.watts is None:
            return total
        fault = power_fault(total.watts, True, total.offset_watts)
        return Reading(TOTAL, time, error=fault) if fault else total


def _sum(values: Iterable[float | None]) -> float | None:
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total
