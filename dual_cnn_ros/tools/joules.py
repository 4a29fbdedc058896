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

"""Energy of a piece of work that is repeated in a block of its own, between two rests."""

from __future__ import annotations

from collections.abc import Callable
import time
from typing import Any

from dual_cnn_ros.power.energy import energy_of
from dual_cnn_ros.power.idle import Idle, net
from dual_cnn_ros.power.reading import Reading, Sensor
from dual_cnn_ros.power.sampler import Sampler

PERIOD = 0.05


def measure(sensor: Sensor, work: Callable[[], int], seconds: float,
            rest: float) -> dict[str, Any]:
    """
    Return what repeating a piece of work for some seconds costs, for each of its images.

    work: does it once and returns for how many images. rest: seconds of idleness before and after,
    whose mean power is subtracted. joules is that above idle, None where `refused` says why, and
    noise the difference that means nothing; gross_joules is the whole; all are per image.
    """
    readings: list[Reading] = []

    def deliver(one: list[Reading]) -> None:
        total = sensor.total(one)
        if total is not None:
            readings.append(total)

    sampler = Sampler(sensor, PERIOD, deliver)
    sampler.start()
    try:
        begun, images = time.monotonic(), 0
        time.sleep(rest)
        started = time.monotonic()
        while time.monotonic() < started + seconds:
            images += work()
        ended = time.monotonic()
        time.sleep(rest)
    finally:
        sampler.stop()
    before, load, after = (energy_of(readings, PERIOD, *window) for window in (
        (begun, started), (started, ended), (ended, ended + rest)))
    above = net(load, Idle(before, after))
    return {
        'joules': None if above.joules is None else above.joules / images,
        'noise': above.noise / images,
        'gross_joules': None if load.joules is None else load.joules / images,
        'refused': above.refused, 'idle_watts': Idle(before, after).watts,
        'images': images, 'seconds': load.window, 'coverage': load.coverage}
