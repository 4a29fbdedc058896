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

"""Whether a sensor can be read, and its rails stay within the owner's limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
import time
from typing import Literal

from dual_cnn_ros.power.reading import Reading

# Without readings for so long, and for three periods, a sensor is silent.
_SILENT_SECONDS = 3.0


@dataclass(frozen=True)
class PowerLimits:
    """
    What the owner of a robot allows; 0 is no limit.

    Attributes
    ----------
    max_power_w
        Of the total, in watts.
    min_voltage_v
        Of the supply in volts, for which the highest voltage of the total's rails is taken.

    """

    max_power_w: float = 0.0
    min_voltage_v: float = 0.0


@dataclass(frozen=True)
class SensorStatus:
    """
    How a sensor did since it was last asked.

    Attributes
    ----------
    level
        The name of a level of diagnostic_msgs/DiagnosticStatus.
    message
        The reason for the level, or the power now.
    watts, most_watts
        Last and highest total power; None where none was read.
    least_volts
        Lowest voltage of the supply; None where it was never known.
    rate_hz
        Moments a second at which the sensor was read.
    failed
        Failed reads of each rail since the start; rails without any are left out.

    """

    level: Literal['OK', 'WARN', 'ERROR']
    message: str
    watts: float | None
    most_watts: float | None
    least_volts: float | None
    rate_hz: float
    failed: Mapping[str, int]


@dataclass
class _Interval:
    started: float
    sets: int = 0
    failed: int = 0
    error: str = ''
    watts: float | None = None
    most_watts: float | None = None
    least_volts: float | None = None


class Health:
    """
    Watches the readings of a sensor; may be used from several threads.

    Parameters
    ----------
    members
        The rails of the sensor's total.
    period
        Nominal seconds between readings.

    """

    def __init__(self, members: tuple[str, ...], period: float) -> None:
        self._members = members
        self._silent_after = max(_SILENT_SECONDS, 3 * period)
        self._lock = Lock()
        self._heard = time.monotonic()
        self._interval = _Interval(self._heard)
        self._failed: Counter[str] = Counter()
        self._complete = self._has_watts = self._has_volts = False

    def take(self, readings: Iterable[Reading], total: Reading | None) -> None:
        """Take the readings of one moment."""
        with self._lock:
            self._heard = time.monotonic()
            interval = self._interval
            interval.sets += 1
            members = []
            for reading in readings:
                if reading.error:
                    interval.failed += 1
                    interval.error = f'{reading.rail}: {reading.error}'
                    self._failed[reading.rail] += 1
                elif reading.rail in self._members:
                    members.append(reading)
            if len(members) == len(self._members):
                self._complete = True
            volts = [member.volts for member in members if member.volts is not None]
            # Of some rails only, the highest voltage may be that behind a converter.
            if volts and len(volts) == len(self._members):
                self._has_volts = True
                supply, least = max(volts), interval.least_volts
                interval.least_volts = supply if least is None else min(supply, least)
            if total is not None and total.watts is not None:
                self._has_watts = True
                interval.watts = total.watts
                interval.most_watts = max(total.watts, interval.most_watts or total.watts)

    def status(self, limits: PowerLimits) -> SensorStatus:
        """Return the status of the time since this was last called."""
        with self._lock:
            now = time.monotonic()
            interval, self._interval = self._interval, _Interval(now)
            silent = now - self._heard
            failed = dict(sorted(self._failed.items()))
            unchecked = []
            if self._complete and limits.max_power_w and not self._has_watts:
                unchecked.append('max_power_w cannot be checked: no total power is known')
            if self._complete and limits.min_voltage_v and not self._has_volts:
                unchecked.append('min_voltage_v cannot be checked: no supply voltage is known')
        level, message = _assess(interval, limits, bool(self._members))
        if level == 'OK' and unchecked:
            level, message = 'WARN', '; '.join(unchecked)
        if silent > self._silent_after:
            level, message = 'WARN', f'no readings for {silent:.0f} s'
        return SensorStatus(
            level,
            message,
            interval.watts,
            interval.most_watts,
            interval.least_volts,
            interval.sets / max(now - interval.started, 1e-3),
            failed,
        )


def _assess(
    interval: _Interval, limits: PowerLimits, has_total: bool
) -> tuple[Literal['OK', 'WARN', 'ERROR'], str]:
    watts, volts = interval.most_watts, interval.least_volts
    if limits.max_power_w and watts is not None and watts > limits.max_power_w:
        return 'ERROR', f'{watts:.3f} W is over max_power_w {limits.max_power_w:g}'
    if limits.min_voltage_v and volts is not None and volts < limits.min_voltage_v:
        return 'ERROR', f'{volts:.3f} V is under min_voltage_v {limits.min_voltage_v:g}'
    if interval.failed:
        # Without a single good total there is nothing to integrate.
        level: Literal['WARN', 'ERROR'] = 'ERROR' if has_total and watts is None else 'WARN'
        return level, f'{interval.failed} reads failed, such as {interval.error}'
    return 'OK', 'reading' if interval.watts is None else f'{interval.watts:.3f} W'
