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

"""The parameters of the energy node."""

from __future__ import annotations

from dataclasses import dataclass

from dual_cnn_ros.energy.report import BASELINES
from dual_cnn_ros.nodes.parameter import AT_ONCE, NEVER, parameter


@dataclass(frozen=True)
class EnergyParameters:
    """Values of the energy node's parameters; what each means is in its declaration."""

    rails_topic: str = parameter(
        'power_monitor/rails', "The power node's readings (DiagnosticArray).", NEVER
    )
    decision_topics: tuple[str, ...] = parameter(
        ('dual_cnn/**/decision',),
        "The classifier's decisions (DiagnosticArray); ** stands for the names of its cameras, "
        'however many there are.',
        NEVER,
    )
    window_s: float = parameter(
        2.0,
        'Seconds of the windows over which energy is split by source: long against the averaging '
        'of the sensor, short against the time for which a scene stays the same.',
        NEVER,
        range=(0.5, 60.0),
    )
    idle_s: float = parameter(
        10.0,
        'Seconds for which the service measure_idle measures.',
        AT_ONCE,
        range=(2.0, 3600.0),
    )
    baseline: str = parameter(
        'none',
        'What the saving is stated against: always running all CNNs, always the last, or a '
        'measured figure, given here or stored in the bundle by the measure tool.',
        AT_ONCE,
        choices=BASELINES,
        is_common=True,
    )
    baseline_joules: float = parameter(
        0.0,
        'For the baseline measured: joules per frame above idle, measured in the same scope.',
        AT_ONCE,
        range=(0.0, 1e6),
        is_common=True,
    )
    baseline_source: str = parameter(
        '',
        'For the baseline measured: which CNN, measured on which machine.',
        AT_ONCE,
        is_common=True,
    )
    bundle: str = parameter(
        'scenes',
        'For the baseline bundle: the name or path of it, as of the classifier.',
        AT_ONCE,
    )
