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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
import time
from typing import Literal

from dual_cnn_ros.power.reading import Reading

# Without readings for so long, and for three periods, a sensor is silent.
_SILENT_SECONDS = 3.0


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
    """What was read since the last status: failures, watts of the total, volts of the supply."""

    started: float
    sets: int = 0
    errors: list[str] = field(default_factory=list)
    watts: list[float] = field(default_factory=list)
    volts: list[float] = field(default_factory=list)


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

    def take(self, readings: Sequence[Reading], total: Reading | None) -> None:
        """Take the readings of one moment."""
        with self._lock:
            self._heard = time.monotonic()
            interval = self._interval
            interval.sets += 1
            failed = [reading for reading in readings if reading.error]
            interval.errors += [f'{reading.rail}: {reading.error}' for reading in failed]
            self._failed.update(reading.rail for reading in failed)
            members = [
                reading
                for reading in readings
                if reading.rail in self._members and not reading.error
            ]
            if len(members) == len(self._members):
                self._complete = True
            volts = [member.volts for member in members if member.volts is not None]
            # Of some rails only, the highest voltage may be that behind a converter.
            if volts and len(volts) == len(self._members):
                self._has_volts = True
                interval.volts.append(max(volts))
            if total is not None and total.watts is not None:
                self._has_watts = True
                interval.watts.append(total.watts)

    def status(self, max_power_w: float = 0.0, min_voltage_v: float = 0.0) -> SensorStatus:
        """
        Return the status of the time since this was last called.

        Parameters
        ----------
        max_power_w
            Limit of the total in watts; 0 is no limit.
        min_voltage_v
            Limit of the supply in volts, for which the highest voltage of the total's rails is
            taken; 0 is no limit.

        """
        with self._lock:
            now = time.monotonic()
            interval, self._interval = self._interval, _Interval(now)
            level, message = self._assess(interval, now, max_power_w, min_voltage_v)
            return SensorStatus(
                level,
                message,
                interval.watts[-1] if interval.watts else None,
                max(interval.watts, default=None),
                min(interval.volts, default=None),
                interval.sets / max(now - interval.started, 1e-3),
                dict(sorted(self._failed.items())),
            )

    def _assess(
        self, interval: _Interval, now: float, max_power_w: float, min_voltage_v: float
    ) -> tuple[Literal['OK', 'WARN', 'ERROR'], str]:
        watts, volts = interval.watts, interval.volts
        if now - self._heard > self._silent_after:
            return 'WARN', f'no readings for {now - self._heard:.0f} s'
        if max_power_w and watts and max(watts) > max_power_w:
            return 'ERROR', f'{max(watts):.3f} W is over max_power_w {max_power_w:g}'
        if min_voltage_v and volts and min(volts) < min_voltage_v:
            return 'ERROR', f'{min(volts):.3f} V is under min_voltage_v {min_voltage_v:g}'
        if interval.errors:
            message = f'{len(interval.errors)} reads failed, such as {interval.errors[-1]}'
            # Without a single good total there is nothing to integrate.
            return 'ERROR' if self._members and not watts else 'WARN', message
        unchecked = []
        if self._complete and max_power_w and not self._has_watts:
            unchecked.append('max_power_w cannot be checked: no total power is known')
        if self._complete and min_voltage_v and not self._has_volts:
            unchecked.append('min_voltage_v cannot be checked: no supply voltage is known')
        if unchecked:
            return 'WARN', '; '.join(unchecked)
        return 'OK', f'{watts[-1]:.3f} W' if watts else 'reading'
