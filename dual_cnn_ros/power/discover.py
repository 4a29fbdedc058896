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

"""Choosing a power source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dual_cnn_ros.data import power_trace as recording
from dual_cnn_ros.power import ina3221, nvml, rapl
from dual_cnn_ros.power.reading import NoSensorError, Sensor

SOURCES = ('auto', 'ina3221', 'rapl', 'nvml', 'recording')


def discover(
    source: str,
    sysfs_root: Path,
    recorded: Path | None = None,
    clock: recording.Clock | None = None,
) -> Sensor:
    """
    Return the named source, or for 'auto' the best that this machine has.

    The board's own monitors come first because they see the whole module, then the processor's
    counters, then the GPU's; a recording is played only when asked for: from now on, or by
    `clock` in its own time. The sensor's `reason` says what was passed over. Raises NoSensorError
    with everything that was tried.
    """
    searches = {
        'ina3221': lambda: ina3221.discover(sysfs_root),
        'rapl': lambda: rapl.discover(sysfs_root),
        'nvml': nvml.discover,
    }
    if source == 'recording':
        if recorded is None:
            raise NoSensorError('the source "recording" needs the path of a recording')
        if clock is None:
            return recording.discover(recorded)
        return recording.discover(recorded, clock, moved=False)
    if source != 'auto':
        return searches[source]()
    passed_over = []
    for name, search in searches.items():
        try:
            sensor = search()
        except NoSensorError as error:
            passed_over.append(f'{name}: {error}')
        else:
            reason = '; '.join([sensor.reason, *passed_over])
            return replace(sensor, reason=reason)
    raise NoSensorError('; '.join(passed_over))


def grown(sensor: Sensor, sysfs_root: Path) -> Sensor | None:
    """
    Return the same source with rails that have come since, None where it has no more than before.

    Only the monitors of a board come one by one, as the drivers of their chips bind. Where one of
    those in use is missing nothing is returned: without it the total would be another one.
    """
    if sensor.source != 'ina3221':
        return None
    try:
        found = ina3221.discover(sysfs_root)
    except NoSensorError:
        return None
    return found if set(sensor.channels) < set(found.channels) else None
