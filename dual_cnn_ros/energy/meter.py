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

"""Joules of a piece of a program: windows that are begun and ended by name."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Condition
import time

from dual_cnn_ros.energy.integration import EnergyIntegrator, LEAST_COVERAGE
from dual_cnn_ros.power.discover import discover
from dual_cnn_ros.power.plausibility import LONGEST_STILL
from dual_cnn_ros.power.reading import NoSensorError, Reading, Sensor
from dual_cnn_ros.power.sampler import ANSWER_SECONDS, Sampler


@dataclass(frozen=True)
class EnergyWindow:
    """
    The energy that was spent between two moments of a program.

    Attributes
    ----------
    name
        As given to `begin_window`.
    seconds
        Its length.
    joules
        All energy of the sensor's scope, idle power included; None where it is unknown.
    standard_error
        Of `joules`, from how much the power varied; None where `joules` is None or there were
        too few readings to tell. The error of a window shorter than some readings is large.
    coverage
        Share of the time that readings cover; with less than 0.95 there are no joules.
    source
        The sensor: 'ina3221', 'rapl' or 'nvml'; empty where there is none.
    scope
        What the sensor measures, such as 'module' or 'cpu package'; never the whole robot.
    reason
        Why there are no joules; empty where there are.

    """

    name: str
    seconds: float
    joules: float | None
    standard_error: float | None
    coverage: float
    source: str
    scope: str
    reason: str


class EnergyMeter:
    """
    Measures the energy of pieces of a program with the power sensor of this machine.

    The sensor is read in the background from the first window on until `close`, which a `with`
    block calls at its end. Windows may overlap. A machine without a sensor is no error: its
    windows have no joules, and say why.

    Parameters
    ----------
    sensor
        What to read; None for the first that `power.discover.discover` finds.
    period
        Seconds between readings.

    Examples
    --------
    >>> with EnergyMeter() as meter:
    ...     meter.begin_window('sum')
    ...     total = sum(range(1000))
    ...     window = meter.end_window('sum')
    >>> window.joules is not None or bool(window.reason)
    True

    """

    def __init__(self, sensor: Sensor | None = None, period: float = 0.1) -> None:
        self._period = period
        self._reason = ''
        if sensor is None:
            try:
                sensor = discover()
            except NoSensorError as error:
                self._reason = f'no power sensor: {error}'
        if sensor is not None and not sensor.members:
            self._reason = f'the sensor has no total: {sensor.reason}'
        self._sensor = sensor
        self._sampler: Sampler | None = None
        self._changed = Condition()
        self._last: Reading | None = None
        self._windows: dict[str, EnergyIntegrator] = {}

    def __enter__(self) -> EnergyMeter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading the sensor and drop open windows; the next window starts it again."""
        if self._sampler is not None:
            self._sampler.stop()
            self._sampler = None
        self._windows.clear()
        self._last = None

    def begin_window(self, name: str) -> None:
        """
        Begin to measure.

        Raises
        ------
        ValueError
            Where a window of this name is open.

        """
        self._start()
        with self._changed:
            if name in self._windows:
                raise ValueError(f'the window {name!r} is open already; end it first')
            window = EnergyIntegrator(self._period, time.monotonic())
            # The power at the beginning is interpolated from here.
            if self._last is not None:
                window.add(self._last)
            self._windows[name] = window

    def end_window(self, name: str) -> EnergyWindow:
        """
        End a window and return its energy, once there is a reading after its end.

        That reading comes within two periods; where the sensor fails, it is not waited for any
        longer than a quarter of a second more, and an energy counter that stands for 5 s.

        Raises
        ------
        ValueError
            Where no window of this name is open.

        """
        with self._changed:
            if name not in self._windows:
                opened = ', '.join(map(repr, self._windows)) or 'none'
                raise ValueError(f'no window {name!r} is open, but {opened}')
            window = self._windows[name]
            window.end = time.monotonic()
            if not self._reason:
                self._wait_for_reading(window.end)
            del self._windows[name]
            energy = window.energy()
        joules, reason = energy.joules, self._reason
        if joules is None and not reason:
            covered = f'{energy.coverage:.0%} of the window'
            reason = f'readings cover {covered}, less than {LEAST_COVERAGE:.0%}'
            if energy.fault:
                reason += f': {energy.fault}'
        error = energy.standard_error_watts
        return EnergyWindow(
            name,
            energy.window_seconds,
            joules,
            None if joules is None or error is None else error * energy.window_seconds,
            energy.coverage,
            self._sensor.source if self._sensor else '',
            self._sensor.scope if self._sensor else '',
            reason,
        )

    def _start(self) -> None:
        """Read the sensor in the background, and wait for its first reading."""
        if self._sampler is not None or self._sensor is None or self._reason:
            return
        self._sampler = Sampler(self._sensor, self._period, self._deliver)
        self._sampler.start()
        with self._changed:
            self._wait_for_reading(0.0)

    def _wait_for_reading(self, since: float) -> None:
        def says_something() -> bool:
            last = self._last
            return (
                last is not None
                and last.time >= since
                and (last.watts is not None or last.joules is not None)
            )

        self._changed.wait_for(says_something, 2 * self._period + ANSWER_SECONDS)
        # A slow counter may only be about to move.
        last = self._last
        if last is not None and last.time >= since and not last.error:
            self._changed.wait_for(says_something, LONGEST_STILL)

    def _deliver(self, readings: list[Reading]) -> None:
        assert self._sensor is not None
        total = self._sensor.total(readings)
        if total is None:
            return
        with self._changed:
            self._last = total
            for window in self._windows.values():
                window.add(total)
            self._changed.notify_all()
