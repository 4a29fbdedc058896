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

"""The power node: what the rails of this machine draw."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from threading import Thread
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Float64, Header

from dual_cnn_ros.data.power_trace import open_power_trace
from dual_cnn_ros.messages.readings import PublishedReading, rails_message
from dual_cnn_ros.messages.types import installed
from dual_cnn_ros.nodes.diagnostics import Diagnostics
from dual_cnn_ros.nodes.endpoints import add_publisher, add_steady_timer
from dual_cnn_ros.nodes.live_parameters import LiveParameters
from dual_cnn_ros.nodes.parameter import expand_home, ParameterError
from dual_cnn_ros.nodes.power_parameters import PowerParameters, RECORDING
from dual_cnn_ros.nodes.run import run_node, THROTTLE_SECONDS
from dual_cnn_ros.power.discover import discover, rediscover
from dual_cnn_ros.power.health import Health
from dual_cnn_ros.power.reading import NoSensorError, Reading, Sensor, TOTAL
from dual_cnn_ros.power.sampler import Sampler

NAME = 'power_monitor'
_SEARCH_SECONDS = 5.0
# How often a recording is asked for readings that are due.
_RECORDING_SECONDS = 0.01


class PowerNode(Node):
    """
    Reads a power sensor at a steady rate and publishes the total and the rails.

    Readings are taken and published by threads of their own, timed by the steady clock, so that
    neither a stopped /clock nor a rail that blocks holds them up.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(NAME, **options)
        self._sensor: Sensor | None = None
        self._sampler: Sampler | None = None
        self._missing = ''
        self._search: Thread | None = None
        self._found: Sensor | None = None
        self._live = LiveParameters(self, PowerParameters, self._accept_parameters)
        self._start()
        self._check_rails(self._live.values.rails)
        self._power = add_publisher(self, Float64, '~/power')
        self._rails = add_publisher(self, DiagnosticArray, '~/rails', depth=100)
        self._diagnostics = Diagnostics(self)
        add_steady_timer(self, 1.0, self._every_second)
        self._sample(self._live.values.rate_hz)

    def destroy_node(self) -> None:
        """Stop reading, then free the publishers."""
        if self._sampler is not None:
            self._sampler.stop()
        super().destroy_node()

    # The sensor

    def _start(self) -> None:
        source, recording = self._live.values.source, self._live.values.recording
        if bool(recording) != (source == RECORDING):
            raise ParameterError(
                'recording must be a path where source is "recording", and empty otherwise'
            )
        try:
            self._sensor = self._discover()
        except NoSensorError as error:
            if source == RECORDING:
                raise ParameterError(f'recording: {error}') from None
            self._missing = str(error)
            self.get_logger().warning(f'no power source, nothing is published: {error}')
        else:
            self.get_logger().info(_description(self._sensor))
        self._searched = time.monotonic()

    def _discover(self) -> Sensor:
        if self._live.values.source == RECORDING:
            trace = expand_home('recording', self._live.values.recording)
            return open_power_trace(trace, self._ros_seconds if self._in_recorded_time else None)
        return discover(self._live.values.source, Path(self._live.values.sysfs_root))

    def _look_again(self) -> None:
        """Use what the last search has found, and begin another one every few seconds."""
        if self._search is not None and self._search.is_alive():
            return
        if self._found is not None:
            if self._sensor is None:
                self.get_logger().info(_description(self._found))
            else:
                self.get_logger().warning(f'more rails were found: {_description(self._found)}')
            self._sensor, self._found = self._found, None
            self._sample(self._live.values.rate_hz)
        if time.monotonic() - self._searched > _SEARCH_SECONDS:
            self._searched = time.monotonic()
            # In a thread, as a driver may block; one that does must not hold up the exit either.
            self._search = Thread(target=self._look, args=(self._sensor,), daemon=True)
            self._search.start()

    def _look(self, sensor: Sensor | None) -> None:
        try:
            if sensor is None:
                self._found = self._discover()
            else:
                self._found = rediscover(sensor, Path(self._live.values.sysfs_root))
        except NoSensorError as error:
            self._missing = str(error)
        except Exception as error:
            if self.context.ok():
                self.get_logger().error(
                    f'search for sensors: {error!r}', throttle_duration_sec=THROTTLE_SECONDS
                )

    @property
    def _in_recorded_time(self) -> bool:
        return self._live.values.source == RECORDING and bool(
            self.get_parameter('use_sim_time').value
        )

    def _ros_seconds(self) -> float:
        return float(self.get_clock().now().nanoseconds * 1e-9)

    def _sample(self, rate_hz: float) -> None:
        """Start reading the sensor, if there is one, at a rate; a recording has its own."""
        if self._sampler is not None:
            self._sampler.stop()
        if self._sensor is not None:
            self._period = period = self._sensor.period or 1 / rate_hz
            self._health = Health(self._sensor.members, period)
            every = _RECORDING_SECONDS if self._sensor.period else period
            self._sampler = Sampler(self._sensor, every, partial(self._publish, self._sensor))
            self._sampler.start()

    def _publish(self, sensor: Sensor, readings: list[Reading]) -> None:
        """Publish the readings of one moment; called in the sampler's thread, so never raises."""
        if not readings:
            return
        try:
            total = sensor.total(readings)
            self._health.take(readings, total)
            if total is not None and total.watts is not None:
                self._power.publish(Float64(data=total.watts))
            if self._rails.get_subscription_count():
                self._rails.publish(self._message(sensor, readings, total))
        except Exception as error:
            if not self.context.ok():
                return  # an interrupt ends the context before the sampler
            self.get_logger().error(
                f'readings not published: {error!r}', throttle_duration_sec=THROTTLE_SECONDS
            )

    def _message(
        self, sensor: Sensor, readings: list[Reading], total: Reading | None
    ) -> DiagnosticArray:
        rails = [rail for rail in self._live.values.rails if rail] or sensor.rails
        # A recording may have its total among its rails.
        published = [
            PublishedReading(
                reading, sensor.source, sensor.scope if reading.rail in sensor.members else ''
            )
            for reading in readings
            if reading.rail in rails and reading.rail != TOTAL
        ]
        if total is not None:
            published.append(PublishedReading(total, sensor.source, sensor.scope, self._period))
        stamp = self._stamp((total or readings[0]).time).to_msg()
        return rails_message(installed, Header(stamp=stamp), published)

    def _stamp(self, read: float) -> Time:
        """Return the time of the node's clock at which a reading was made."""
        if self._in_recorded_time:
            return Time(nanoseconds=round(read * 1e9))
        now = self.get_clock().now().nanoseconds
        age = min(max(0.0, time.monotonic() - read) * 1e9, now)
        return Time(nanoseconds=now - int(age))

    # Parameters

    def _accept_parameters(self, values: PowerParameters) -> None:
        self._check_rails(values.rails)
        if values.rate_hz != self._live.values.rate_hz:
            self._sample(values.rate_hz)

    def _check_rails(self, rails: tuple[str, ...]) -> None:
        known = self._sensor.rails if self._sensor is not None else rails
        if unknown := [rail for rail in rails if rail and rail not in known]:
            raise ParameterError(
                f'rails: there is no {", ".join(unknown)}, but {", ".join(known)}'
            )

    # Diagnostics

    def _every_second(self) -> None:
        try:
            self._look_again()
            self._diagnostics.publish([self._status()])
        except Exception as error:
            if not self.context.ok():
                return  # a signal ended the context meanwhile
            self.get_logger().error(
                f'diagnostics: {error!r}', throttle_duration_sec=THROTTLE_SECONDS
            )

    def _status(self) -> DiagnosticStatus:
        sensor = self._sensor
        if sensor is None:
            message = f'no power source: {self._missing}'
            source = self._live.values.source
            return self._diagnostics.status('power', 'WARN', message, {'source': source})
        limits = self._live.values
        health = self._health.status(limits.max_power_w, limits.min_voltage_v)
        values = {
            'source': sensor.source,
            'watts': health.watts,
            'most_watts': health.most_watts,
            'least_volts': health.least_volts,
            'rate_hz': health.rate_hz,
            **{f'failed.{rail}': count for rail, count in health.failed.items()},
            'rails': ', '.join(sensor.rails),
            'total': ' + '.join(sensor.members),
            'scope': sensor.scope,
            'reason': sensor.reason,
        }
        return self._diagnostics.status('power', health.level, health.message, values)


def _description(sensor: Sensor) -> str:
    total = f'{" + ".join(sensor.members)} ({sensor.scope})' if sensor.members else 'none'
    return (
        f'source {sensor.source}: {sensor.reason}; rails {", ".join(sensor.rails)}; total: {total}'
    )


def main(arguments: list[str]) -> int:
    """Run the node until it is stopped; returns 1 where a parameter is refused."""
    return run_node(NAME, PowerNode, PowerParameters, arguments)
