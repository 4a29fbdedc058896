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

"""The energy node: joules since the start, per decision and by source, and what was saved."""

from __future__ import annotations

from collections import Counter, defaultdict
import math
import re
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Float64
from std_srvs.srv import Trigger

from dual_cnn_ros.cascade.decision import MEMORY
from dual_cnn_ros.energy.account import Account
from dual_cnn_ros.energy.report import ComparisonBaseline, energy_report, ReportSection
from dual_cnn_ros.messages.decisions import PublishedDecision, read_decision
from dual_cnn_ros.messages.diagnostics import diagnostic_status, Level
from dual_cnn_ros.messages.readings import find_total, from_status
from dual_cnn_ros.messages.types import installed
from dual_cnn_ros.nodes.diagnostics import Diagnostics
from dual_cnn_ros.nodes.endpoints import (
    add_publisher,
    add_steady_timer,
    add_subscription,
    header_now,
)
from dual_cnn_ros.nodes.energy_parameters import EnergyParameters
from dual_cnn_ros.nodes.live_parameters import LiveParameters
from dual_cnn_ros.nodes.parameter import check_topics, ParameterError
from dual_cnn_ros.nodes.run import run_node, THROTTLE_SECONDS

NAME = 'energy_monitor'
# Readings are overdue after so many seconds, and so many of their periods.
_SILENT_SECONDS = _SILENT_PERIODS = 3.0
_LATE_SECONDS = 1.0
# Three centuries of uptime: a later time is in another unit. So far from zero, floats are too
# coarse for windows of seconds.
_LATEST_SECOND = 1e10
# Messages that may wait while the machine stalls: those of many cameras for seconds.
_QUEUE = 1000
# How often new cameras are looked for.
_SEARCH_SECONDS = 0.25
_DECISION_TYPE = 'diagnostic_msgs/msg/DiagnosticArray'
# In a topic, what stands for the name of any camera or none; and a name to put in its place while
# ROS checks and resolves the topic.
_ANY, _ANY_NAME = '/**/', '/any_camera/'


class EnergyNode(Node):
    """Attributes the energy that a power node reads to the decisions of a classifier."""

    def __init__(self, **options: Any) -> None:
        super().__init__(NAME, **options)
        self._live = LiveParameters(self, EnergyParameters, self._accept_parameters)
        _check_topics(self._live.values)
        self._baseline = _baseline(self._live.values)
        self._account = Account(self._live.values.window_s)
        self._counts: Counter[str] = Counter()
        self._least_lag = math.inf
        self._source = self._scope = ''
        self._is_first_reading = True
        self._heard = time.monotonic()
        self._energy = add_publisher(self, Float64, '~/energy')
        self._per_frame = add_publisher(self, Float64, '~/energy_per_frame')
        self._report = add_publisher(self, DiagnosticArray, '~/report')
        self._diagnostics = Diagnostics(self)
        rails_topic = self._live.values.rails_topic
        add_subscription(self, DiagnosticArray, rails_topic, self._on_rails, _QUEUE)
        resolved = [
            self.resolve_topic_name(topic.replace(_ANY, _ANY_NAME))
            for topic in self._live.values.decision_topics
        ]
        self._decision_topics = [_pattern(topic) for topic in resolved]
        self._decisions: set[str] = set()
        for topic in resolved:
            if _ANY_NAME not in topic:
                self._listen(topic)
        self.create_service(Trigger, '~/reset', self._on_reset)
        self.create_service(Trigger, '~/measure_idle', self._on_measure_idle)
        add_steady_timer(self, 1.0, self._every_second)
        add_steady_timer(self, _SEARCH_SECONDS, self._find_cameras)

    # Input

    def _listen(self, topic: str) -> None:
        self._decisions.add(topic)
        add_subscription(self, DiagnosticArray, topic, self._on_decision, _QUEUE)

    def _find_cameras(self) -> None:
        """Subscribe to the decisions of new cameras; stay subscribed to those that went away."""
        try:
            for topic, types in self.get_topic_names_and_types():
                if (
                    topic not in self._decisions
                    and _DECISION_TYPE in types
                    and any(pattern.fullmatch(topic) for pattern in self._decision_topics)
                ):
                    self._listen(topic)
        except Exception as error:
            if not self.context.ok():
                return  # an interrupt ended the context meanwhile
            self.get_logger().error(f'cameras: {error!r}', throttle_duration_sec=THROTTLE_SECONDS)

    def _on_rails(self, message: DiagnosticArray) -> None:
        try:
            total = find_total(message)
            if total is None:
                self._counts['without_total'] += 1
                return
            published = from_status(total)
            reading = published.reading
            stamp = Time.from_msg(message.header.stamp).nanoseconds * 1e-9
            if abs(reading.time) > _LATEST_SECOND:
                raise ValueError(f'monotonic is {reading.time:g}, which is no clock in seconds')
            self._follow(published.source, published.scope)
            self._heard = time.monotonic()
            if self._account.add_reading(stamp, reading, published.period or 0.1):
                self._least_lag = math.inf
            self._count_late(stamp)
        except Exception as error:  # a bad message must not end the node
            self._refuse('readings', self._live.values.rails_topic, error)

    def _follow(self, source: str, scope: str) -> None:
        """Begin a new account where these readings are of another sensor or scope."""
        before, now = (self._source, self._scope), (source, scope)
        self._source, self._scope = now
        is_first, self._is_first_reading = self._is_first_reading, False
        if is_first or now == before:
            return
        why = 'the readings changed from {} ({} scope) to {} ({} scope)'.format(
            *(word or 'unknown' for word in (*before, *now))
        )
        self._account = Account(self._live.values.window_s, f'not measured since {why}')
        self._least_lag = math.inf
        self.get_logger().warning(
            f'{why}: counting from zero, without idle power',
            throttle_duration_sec=THROTTLE_SECONDS,
        )

    def _on_decision(self, message: DiagnosticArray) -> None:
        for status in message.status:
            try:
                decision = read_decision(status)
                busy = _busy_seconds(decision)
                self._account.add_decision(
                    decision.finished, decision.source, busy, decision.stages
                )
            except Exception as error:  # as above
                self._refuse('decisions', status.name, error)

    def _refuse(self, what: str, where: str, error: Exception) -> None:
        self._counts[f'bad_{what}'] += 1
        self.get_logger().warning(f'{where}: {error}', throttle_duration_sec=THROTTLE_SECONDS)

    def _count_late(self, stamp: float) -> None:
        """Count a reading that took a second longer to arrive than the fastest one."""
        lag = self.get_clock().now().nanoseconds * 1e-9 - stamp
        # The clock of another machine, or of a recording, differs by an unknown constant.
        self._least_lag = min(lag, self._least_lag)
        self._counts['late'] += lag - self._least_lag > _LATE_SECONDS

    @property
    def _silent(self) -> float:
        """Seconds since the last reading, 0 while the next one is not overdue."""
        silent = time.monotonic() - self._heard
        patience = max(_SILENT_SECONDS, _SILENT_PERIODS * self._account.period)
        return silent if silent > patience else 0.0

    # Output

    def _every_second(self) -> None:
        try:
            silent = self._silent
            numbers = (
                (self._energy, self._account.energy.joules),
                (self._per_frame, self._account.joules_per_frame),
            )
            for publisher, number in numbers:
                if number is not None and not silent:
                    publisher.publish(Float64(data=number))
            report = [
                self._section(one)
                for one in energy_report(self._account, self._baseline, self._scope, silent)
            ]
            self._report.publish(DiagnosticArray(header=header_now(self), status=report))
            self._diagnostics.publish([self._health(silent)])
        except Exception as error:
            if not self.context.ok():
                return  # a signal ended the context meanwhile
            self.get_logger().error(
                f'not reported: {error!r}', throttle_duration_sec=THROTTLE_SECONDS
            )

    def _section(self, section: ReportSection) -> DiagnosticStatus:
        name = f'{self.get_fully_qualified_name()}: {section.name}'
        level: Level = 'WARN' if section.missing else 'OK'
        return diagnostic_status(
            installed, name, level, section.message, self._source, section.values
        )

    def _health(self, silent: float) -> DiagnosticStatus:
        topic = self.resolve_topic_name(self._live.values.rails_topic)
        values = {'topic': topic, 'late': 0, 'without_total': 0, **self._counts}
        if not silent:
            if fault := self._account.fault:
                return self._diagnostics.status('readings', 'WARN', f'total: {fault}', values)
            return self._diagnostics.status('readings', 'OK', f'reading {self._source}', values)
        message = (
            f'no total power on {topic} for {silent:.0f} s; '
            f'publishers: {self.count_publishers(topic)}'
        )
        return self._diagnostics.status('readings', 'WARN', message, values)

    # Services and parameters

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._account.reset()
        self._counts.clear()
        self._least_lag = math.inf
        response.success, response.message = True, 'counting from now'
        return response

    def _on_measure_idle(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        seconds = self._live.values.idle_s
        try:
            if self._silent:
                raise ValueError('there are no power readings; start the power node first')
            self._account.measure_idle(seconds)
        except ValueError as error:
            response.message = str(error)
        else:
            response.success = True
            response.message = f'measuring for {seconds:g} s, see "idle" in the report'
        return response

    def _accept_parameters(self, values: EnergyParameters) -> None:
        self._baseline = _baseline(values)


def _busy_seconds(decision: PublishedDecision) -> dict[str, float]:
    """Return the seconds of each stage that gave a score; other steps are the memory's."""
    busy: dict[str, float] = defaultdict(float)
    for step, seconds in decision.seconds.items():
        busy[step if step in decision.scores else MEMORY] += seconds
    return dict(busy)


def _pattern(topic: str) -> re.Pattern[str]:
    """Return what matches a resolved topic with any names, or none, in place of _ANY_NAME."""
    return re.compile(re.escape(topic).replace(_ANY_NAME, '/(.+/)?'))


def _check_topics(values: EnergyParameters) -> None:
    decisions = [topic.replace(_ANY, _ANY_NAME) for topic in values.decision_topics]
    topics = (values.rails_topic, *decisions)
    if (
        len(set(topics)) != len(topics)
        or not decisions
        or not all(topics)
        or any(_pattern(topic).fullmatch(values.rails_topic) for topic in decisions)
    ):
        raise ParameterError(
            f'rails_topic and decision_topics must be different topics, not {list(topics)}'
        )
    check_topics('rails_topic, decision_topics', topics)


def _baseline(values: EnergyParameters) -> ComparisonBaseline:
    """Return the baseline that the parameters name; that of a bundle is read from it."""
    name, joules, source = values.baseline, values.baseline_joules, values.baseline_source
    if name == 'measured':
        if not (joules > 0 and source.strip()):
            raise ParameterError(
                'baseline measured needs baseline_joules above 0 and a baseline_source: '
                'set these first'
            )
        return ComparisonBaseline(name, joules, source)
    if name != 'bundle':
        return ComparisonBaseline(name)
    # Reading a bundle imports OpenCV, which this node needs for nothing else.
    from dual_cnn_ros.bundle import Bundle, FILE

    try:
        bundle = Bundle.open(values.bundle)
    except ValueError as error:
        raise ParameterError(f'baseline bundle: {error}') from None
    stored = bundle.baseline
    if stored is None:
        raise ParameterError(
            f'baseline bundle: {bundle.path / FILE} has none; measure {bundle.path} '
            '--large CNN stores one'
        )
    return ComparisonBaseline(
        name,
        stored.joules,
        f'{stored.name} ({stored.machine}, {stored.date})',
        stored.standard_error,
        stored.scope,
    )


def main(arguments: list[str]) -> int:
    """Run the node until it is stopped; returns 1 where a parameter is refused."""
    return run_node(NAME, EnergyNode, EnergyParameters, arguments)
