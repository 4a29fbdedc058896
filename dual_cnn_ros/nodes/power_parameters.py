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

"""The parameters of the power node."""

from __future__ import annotations

from dataclasses import dataclass

from dual_cnn_ros.nodes.parameter import AT_ONCE, expand_home, NEVER, parameter, ParameterError
from dual_cnn_ros.power.discover import POWER_SOURCES

RECORDING = 'recording'


def _check_rails(name: str, value: tuple[str, ...]) -> None:
    named = [rail for rail in value if rail]
    if len(set(named)) != len(named):
        raise ParameterError(f'{name} must be different, not {named}')


@dataclass(frozen=True)
class PowerParameters:
    """Values of the power node's parameters; what each means is in its declaration."""

    source: str = parameter(
        'auto',
        'Where power is read: from the monitors of a Jetson, the RAPL counters of an x86 '
        'processor, NVML of an NVIDIA GPU, or a recording; auto: the first of these that there '
        'is, never a recording.',
        NEVER,
        choices=(*POWER_SOURCES, RECORDING),
        is_common=True,
    )
    sysfs_root: str = parameter('/sys', 'Folder in which sysfs is mounted.', NEVER)
    recording: str = parameter(
        '',
        'For the source recording: a CSV file, or a bag of the topic rails of this node. With '
        'use_sim_time each reading comes when /clock reaches its time, else all from the start.',
        NEVER,
        further_check=expand_home,
    )
    rate_hz: float = parameter(
        10.0,
        'Readings of each rail per second; a recording has its own.',
        AT_ONCE,
        range=(0.1, 100.0),
    )
    rails: tuple[str, ...] = parameter(
        ('',),
        'Rails to publish beside the total; empty: all that there are.',
        AT_ONCE,
        further_check=_check_rails,
    )
    max_power_w: float = parameter(
        0.0,
        'Watts of the total above which the diagnostics report an error; 0: no limit.',
        AT_ONCE,
        range=(0.0, 100_000.0),
        is_common=True,
    )
    min_voltage_v: float = parameter(
        0.0,
        'Volts below which the supply, the highest voltage of the rails in the total, is an error '
        'in the diagnostics; 0: no limit.',
        AT_ONCE,
        range=(0.0, 1000.0),
        is_common=True,
    )
