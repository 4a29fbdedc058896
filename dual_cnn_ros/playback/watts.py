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

"""What the demo shows of power and energy: by the sensor there is, or by a constructed trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from std_srvs.srv import Trigger

from dual_cnn_ros.evaluation.tables import text_table
from dual_cnn_ros.power.discover import discover
from dual_cnn_ros.power.reading import NoSensorError
from dual_cnn_ros.synthetic.simulated_power import read_true_joules

# Seconds of waiting before the first frame, and how many of them the idle power is measured for.
LEAD, IDLE = 5.0, 4.0
# Seconds that the first reading may take, and an answer of the energy node.
REST, ANSWER = 30.0, 3.0
# Of the trace, played over and over until the first reading has come.
REPEATED = 0.2
# Of the windows that energy is split over, in the readings' seconds; twice that completes one.
WINDOW = 1.0
TAIL = 2 * WINDOW + 0.2
# A slower replay's IDLE would be less than the energy node takes; the trace holds as many times
# LEAD before its first frame as the fastest.
SLOWEST, FASTEST = 0.5, 5.0
MARK = 'from a CONSTRUCTED trace, not a measurement: no board drew this power'

Sections = Mapping[str, tuple[str, Mapping[str, str]]]


@dataclass(frozen=True)
class Meter:
    """
    What the power node reads.

    says: what that is, in words. trace: a constructed one, played in the recording's time, or
    None for a sensor of this machine. sysfs_root: where sysfs is mounted.
    """

    says: str
    sysfs_root: Path
    trace: Path | None = None

    def nodes(self, rate: float) -> dict[str, list[str]]:
        """Return the arguments of each node of the package, with the replay at such a rate."""
        power = ['-p', f'sysfs_root:={self.sysfs_root}']
        energy = [
            '-p',
            f'window_s:={WINDOW}',
            '-p',
            'baseline:=always_both',
            '-p',
            f'idle_s:={IDLE * self.speed(rate)}',
        ]
        classifier: list[str] = []
        if self.trace:
            power += ['-p', 'source:=recording', '-p', f'recording:={self.trace}']
            # The pictures must not show watts that nobody could tell from measured ones.
            classifier = ['-p', 'power_topic:=""', '-p', 'energy_topic:=""']
        nodes = {'classifier': classifier, 'power': power, 'energy': energy}
        if self.trace:
            nodes = {name: [*words, '-p', 'use_sim_time:=true'] for name, words in nodes.items()}
        return nodes

    def speed(self, rate: float) -> float:
        """Return how much faster than real time the clock of the readings runs."""
        return rate if self.trace else 1.0


def find(sysfs_root: Path, trace: Path | None, rate: float) -> tuple[Meter | None, str]:
    """
    Return what can be read, and a line about it.

    trace: what to play where there is no sensor, None where nothing goes with these frames.
    """
    try:
        sensor = discover('auto', sysfs_root)
    except NoSensorError as error:
        missing = f'no power sensor here ({error})'
    else:
        if sensor.members:
            says = (
                f'by {sensor.source}, {" + ".join(sensor.members)} ({sensor.scope}); what the '
                'demo itself spends is in it'
            )
            return Meter(says, sysfs_root), f'energy: {says}'
        missing = f'the sensor here has no total ({sensor.reason})'
    if trace is None:
        return None, f'energy: none, {missing}'
    if not SLOWEST <= rate <= FASTEST:
        return None, (
            f'energy: none, {missing}, and no trace at a --rate outside of '
            f'{SLOWEST:g} to {FASTEST:g}'
        )
    return Meter(MARK, sysfs_root, trace), f'energy: {MARK}; {missing}'


class Listener:
    """
    Follows the energy node on the demo's own node: has it measure idle, and keeps its reports.

    decisions: the topics that the energy node has to listen to as well.
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
        """Whether the energy node hears what it needs; the demo hears the decisions too."""
        return bool(
            self._node.count_subscribers('/power_monitor/rails')
            and all(self._node.count_subscribers(topic) > 1 for topic in self._decisions)
            and self._idle.service_is_ready()
        )

    def rest(self, pass_time: Callable[[], None]) -> None:
        """
        Have the idle power measured from now on, letting time pass until that has begun.

        It never begins where no reading comes within REST seconds; the report says so.
        """
        limit = time.monotonic() + REST
        while time.monotonic() < limit:
            pass_time()
            answer = self._idle.call_async(Trigger.Request())
            # What is asked of a service that has only just been found may get lost.
            asked = time.monotonic()
            while not answer.done() and time.monotonic() < asked + ANSWER:
                pass_time()
            if answer.done() and answer.result().success:
                return
            self._idle.remove_pending_request(answer)

    def wait(self, seconds: float = 5.0) -> None:
        """Wait for a report of all that was before."""
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


def table(meter: Meter, report: Sections, sources: Sequence[str]) -> str:
    """Return the joules per decision by source, how much was covered, and the saving."""
    expected = read_true_joules(meter.trace) if meter.trace else {}
    mark = 'constructed ' if meter.trace else ''
    rows = [
        (
            'answered by',
            'decisions',
            f'{mark}J per decision, above idle',
            'standard error',
            *(['put in'] if meter.trace else []),
        )
    ]
    notes = []
    for name in sources:
        if name not in report:
            continue
        message, values = report[name]
        joules, error = values['joules_per_decision'], values['standard_error_joules']
        if not joules:
            notes.append(f'{name}: {message}')
        rows.append(
            (
                name,
                values['decisions'],
                _short(joules),
                _short(error),
                *([f'{expected.get(name, 0):.4f}'] if meter.trace else []),
            )
        )
    frames, total, idle = (report[name][1] for name in ('frames', 'total', 'idle'))
    rows.append(
        (
            'all',
            frames['decisions'],
            _short(frames['net_joules_per_frame']),
            '',
            *([''] if meter.trace else []),
        )
    )
    lines = [f'Energy {meter.says}.', *text_table(rows, total=True)]
    start = mark.capitalize()
    lines += [f'{start}{note}' for note in notes]
    if not idle.get('watts'):
        lines.append(f'{start}idle power: {idle["note"]}')
    elif idle.get('refused'):
        lines.append(f'{start}{idle["refused"]}')
    watts = [
        f'{float(values[key]):.2f} W {what}'
        for values, key, what in (
            (total, 'mean_watts', 'on average'),
            (idle, 'watts', 'when idle'),
        )
        if values.get(key)
    ]
    lines.append(
        f'{start}{" and ".join(watts)}, {float(total["coverage"]):.1%} of '
        f'{float(total["window_seconds"]):.0f} s covered, longest gap '
        f'{float(total["longest_gap_seconds"]):.1f} s, {total["scope"] or "unknown"} scope.'
    )
    lines.append(f'{start}saving: {report["saving"][0]}.')
    return '\n'.join(lines)


def _short(number: str) -> str:
    return f'{round(float(number), 4) + 0.0:.4f}' if number else '-'
