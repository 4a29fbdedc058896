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

"""Power for the demo: from the sensor there is, or from a constructed trace, and its account."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from std_srvs.srv import Trigger

from dual_cnn_ros.power.discover import discover
from dual_cnn_ros.power.reading import NoSensorError

# Seconds without frames before the first one; for IDLE_SECONDS of them the idle power is measured.
LEAD_SECONDS, IDLE_SECONDS = 5.0, 4.0
# Longest wait for the first reading, and for an answer of the energy node, seconds.
READING_TIMEOUT, ANSWER_TIMEOUT = 30.0, 3.0
# Seconds of the trace that are played again and again until the first reading has come.
REPEATED_SECONDS = 0.2
# Seconds of a window of the energy node; a window is complete one length after its end.
WINDOW = 1.0
TAIL_SECONDS = 2 * WINDOW + 0.2
# Rates at which the trace can be played: at slower ones IDLE_SECONDS is less than the energy node
# accepts, at faster ones the trace is too short before its first frame.
SLOWEST, FASTEST = 0.5, 5.0
CONSTRUCTED = 'from a CONSTRUCTED trace, not a measurement: no board drew this power'

Sections = Mapping[str, tuple[str, Mapping[str, str]]]


@dataclass(frozen=True)
class PowerInput:
    """
    What the power node reads.

    Attributes
    ----------
    description
        What that is, in words.
    sysfs_root
        Where sysfs is mounted.
    trace
        A constructed trace, played in the recording's time; None for a sensor of this machine.

    """

    description: str
    sysfs_root: Path
    trace: Path | None = None

    def nodes(self, rate: float) -> dict[str, list[str]]:
        """Return the ROS arguments of each node, where frames are replayed at this rate."""
        classifier = []
        power = [f'sysfs_root:={self.sysfs_root}']
        idle_seconds = IDLE_SECONDS * self.speed(rate)
        energy = [f'window_s:={WINDOW}', 'baseline:=always_all', f'idle_s:={idle_seconds}']
        clock = []
        if self.trace:
            clock = ['use_sim_time:=true']
            power += ['source:=recording', f'recording:={self.trace}']
            # Constructed watts on an image could not be told from measured ones.
            classifier = ['power_topic:=""', 'energy_topic:=""']
        nodes = {'classifier': classifier, 'power': power, 'energy': energy}
        return {
            name: [word for value in (*values, *clock) for word in ('-p', value)]
            for name, values in nodes.items()
        }

    def speed(self, rate: float) -> float:
        """Return how much faster than real time the clock of the readings runs."""
        return rate if self.trace else 1.0


def find_power_input(
    sysfs_root: Path, trace: Path | None, rate: float
) -> tuple[PowerInput | None, str]:
    """
    Return what can be read, if anything can, and a line that says so.

    Parameters
    ----------
    sysfs_root
        Where to look for a sensor.
    trace
        What to play where there is none; None where no trace goes with these frames.
    rate
        Of the replay.

    """
    try:
        sensor = discover('auto', sysfs_root)
    except NoSensorError as error:
        missing = f'no power sensor here ({error})'
    else:
        if sensor.members:
            description = (
                f'by {sensor.source}, {" + ".join(sensor.members)} ({sensor.scope}); what the '
                'demo itself spends is in it'
            )
            return PowerInput(description, sysfs_root), f'energy: {description}'
        missing = f'the sensor here has no total ({sensor.reason})'
    if trace is None:
        return None, f'energy: none, {missing}'
    if not SLOWEST <= rate <= FASTEST:
        return None, (
            f'energy: none, {missing}, and no trace at a --rate outside of '
            f'{SLOWEST:g} to {FASTEST:g}'
        )
    return PowerInput(CONSTRUCTED, sysfs_root, trace), f'energy: {CONSTRUCTED}; {missing}'


class EnergyListener:
    """
    Asks the energy node to measure the idle power, and keeps its last report.

    Parameters
    ----------
    node
        Hears the reports and calls the service.
    decisions
        Topics of the classifier that the energy node has to hear too.

    Attributes
    ----------
    report
        Section to its message and values.

    """

    def __init__(self, node: Node, decisions: Sequence[str]) -> None:
        self._node = node
        self._decisions = decisions
        self._idle: Any = node.create_client(Trigger, '/energy_monitor/measure_idle')
        self._reports = 0
        self.report: Sections = {}
        node.create_subscription(DiagnosticArray, '/energy_monitor/report', self._on_report, 10)

    @property
    def is_ready(self) -> bool:
        """Whether the energy node hears all it needs; this side is the other subscriber."""
        return bool(
            self._node.count_subscribers('/power_monitor/rails')
            and all(self._node.count_subscribers(topic) > 1 for topic in self._decisions)
            and self._idle.service_is_ready()
        )

    def measure_idle(self, pass_time: Callable[[], None]) -> None:
        """
        Have the idle power measured from now on; call pass_time until that has begun.

        Where no reading comes within READING_TIMEOUT seconds it does not begin, and the report
        says so.
        """
        limit = time.monotonic() + READING_TIMEOUT
        while time.monotonic() < limit:
            pass_time()
            answer = self._idle.call_async(Trigger.Request())
            # A request to a service that has only just been found may get lost.
            asked = time.monotonic()
            while not answer.done() and time.monotonic() < asked + ANSWER_TIMEOUT:
                pass_time()
            if answer.done() and answer.result().success:
                return
            self._idle.remove_pending_request(answer)

    def wait(self, seconds: float = 5.0) -> None:
        """Wait for the next report, which covers all that was before."""
        seen, limit = self._reports, time.monotonic() + seconds
        while self._reports == seen and time.monotonic() < limit:
            time.sleep(0.05)

    def _on_report(self, message: DiagnosticArray) -> None:
        self.report = {
            status.name.partition(': ')[2]: (
                status.message,
                {pair.key: pair.value for pair in status.values},
            )
            for status in message.status
        }
        self._reports += 1
