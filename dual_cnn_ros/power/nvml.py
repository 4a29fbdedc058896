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

"""
NVIDIA GPUs through NVML (nvidia-ml-py, the module pynvml). GPU power excludes the host.

On a Jetson NVML may start and still give no power, so a GPU counts only when its power or its
energy can be read.
"""

from __future__ import annotations

import importlib
import time
from types import ModuleType
from typing import Any

from dual_cnn_ros.power.counter import EnergyCounter
from dual_cnn_ros.power.plausibility import ReadingCheck
from dual_cnn_ros.power.reading import NoSensorError, Reading, Sensor


def find_gpus() -> Sensor:
    """
    Find every GPU whose power or energy can be read.

    Raises
    ------
    NoSensorError
        Where there is none, or NVML or its Python package is missing.

    """
    try:
        nvml = importlib.import_module('pynvml')
    except ImportError:
        raise NoSensorError('NVML needs the Python package nvidia-ml-py') from None
    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
    except (nvml.NVMLError, OSError) as error:
        raise NoSensorError(f'NVML does not start: {error}') from None
    channels = tuple(c for c in (_Channel(nvml, index) for index in range(count)) if c.measures)
    if not channels:
        raise NoSensorError(f'NVML lists {count} GPU(s) but reads the power of none')
    rails = tuple(channel.rails[0] for channel in channels)
    scope = 'gpu' if len(rails) == 1 else f'{len(rails)} gpus'
    return Sensor('nvml', 'the GPU measures itself (not its host)', channels, rails, scope)


class _Channel:
    def __init__(self, nvml: ModuleType, index: int) -> None:
        self.rails = (f'gpu{index}',)
        self._nvml = nvml
        self._index = index
        self._handle: Any = None
        self._counter = EnergyCounter(self.rails[0], 1000)
        self._check = ReadingCheck()
        self._has_power = self._supports('nvmlDeviceGetPowerUsage')
        self._has_energy = self._supports('nvmlDeviceGetTotalEnergyConsumption')

    @property
    def measures(self) -> bool:
        return self._has_power or self._has_energy

    def read(self) -> list[Reading]:
        start = time.monotonic()
        try:
            watts = self._get('nvmlDeviceGetPowerUsage') / 1000 if self._has_power else None
            count = self._get('nvmlDeviceGetTotalEnergyConsumption') if self._has_energy else None
        except self._nvml.NVMLError as error:
            # After a driver reload both the library and the handle are stale.
            self._handle = None
            return [self._counter.fail(time.monotonic(), error)]
        now = (start + time.monotonic()) / 2
        if count is None:
            return [self._check.check(Reading(self.rails[0], now, watts=watts))]
        return [self._counter.advance(now, count, watts)]

    def _get(self, function: str) -> int:
        if self._handle is None:
            self._nvml.nvmlInit()
            self._handle = self._nvml.nvmlDeviceGetHandleByIndex(self._index)
        value: int = getattr(self._nvml, function)(self._handle)
        return value

    def _supports(self, function: str) -> bool:
        try:
            self._get(function)
        except (self._nvml.NVMLError, AttributeError):
            return False
        return True
