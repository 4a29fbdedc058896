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

"""Choosing a power sensor of this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dual_cnn_ros.power.ina3221 import find_ina3221
from dual_cnn_ros.power.nvml import find_gpus
from dual_cnn_ros.power.rapl import find_rapl
from dual_cnn_ros.power.reading import NoSensorError, Sensor

_SEARCHES: dict[str, Callable[[Path], Sensor]] = {
    'ina3221': find_ina3221,
    'rapl': find_rapl,
    'nvml': lambda sysfs_root: find_gpus(),
}
POWER_SOURCES = ('auto', *_SEARCHES)


def discover(source: str = 'auto', sysfs_root: Path = Path('/sys')) -> Sensor:
    """
    Find a power sensor of this machine.

    Parameters
    ----------
    source
        One of POWER_SOURCES. 'auto' takes the first that is found: the board's own monitors,
        which see the whole module, then the processor's counters, then the GPU's.
    sysfs_root
        The folder in which sysfs is mounted.

    Returns
    -------
    Sensor
        Its `reason` also says what 'auto' looked for in vain.

    Raises
    ------
    NoSensorError
        Where nothing is found; says what was looked for.

    """
    if source != 'auto':
        return _SEARCHES[source](sysfs_root)
    not_found = []
    for name, search in _SEARCHES.items():
        try:
            sensor = search(sysfs_root)
        except NoSensorError as error:
            not_found.append(f'{name}: {error}')
        else:
            return replace(sensor, reason='; '.join([sensor.reason, *not_found]))
    raise NoSensorError('; '.join(not_found))


def rediscover(sensor: Sensor, sysfs_root: Path) -> Sensor | None:
    """
    Look for rails of the same source that have appeared since the sensor was found.

    The monitors of a board appear one by one, as the drivers of their chips are loaded; no other
    source changes.

    Returns
    -------
    Sensor or None
        The sensor with all its rails and the new ones. None where there is no new rail, or where
        a rail is missing: the total without it would cover something else.

    """
    if sensor.source != 'ina3221':
        return None
    try:
        found = find_ina3221(sysfs_root)
    except NoSensorError:
        return None
    return found if set(sensor.channels) < set(found.channels) else None
