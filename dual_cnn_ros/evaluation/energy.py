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

"""Joules of an image: each system plays each protocol over and over, in a block of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from dual_cnn_ros.cascade.cascade import Cascade
from dual_cnn_ros.cascade.frame import Frame, Image
from dual_cnn_ros.energy.bench import Bench, Cost
from dual_cnn_ros.evaluation.findings import EnergyResult
from dual_cnn_ros.evaluation.player import Player, Playthrough
from dual_cnn_ros.evaluation.protocol import Protocol
from dual_cnn_ros.messages.images import ImageError
from dual_cnn_ros.power.discover import discover
from dual_cnn_ros.power.reading import NoSensorError, Sensor

# Of the timed images, these are enough for a mean, and few enough to be held in memory.
IMAGES = 100


def find_sensor(sysfs_root: Path) -> tuple[Sensor | None, str]:
    """Return this machine's power sensor if it has a total, and why it is this one or none."""
    try:
        sensor = discover('auto', sysfs_root)
    except NoSensorError as error:
        return None, str(error)
    return sensor if sensor.members else None, sensor.reason


def read_sample(playthrough: Playthrough) -> dict[int, Image]:
    """Return some of the images that are timed, by number."""
    images = {}
    for frame in playthrough.source.frames(set(playthrough.sample[:IMAGES])):
        try:
            images[frame.number] = frame.image()
        except ImageError:
            continue
    return images


def measure_energy(
    playthrough: Playthrough,
    players: Sequence[Player],
    protocols: Sequence[Protocol],
    images: Mapping[int, Image],
    sensor: Sensor,
    seconds: float,
) -> dict[tuple[str, str, str], EnergyResult]:
    """
    Return what an image costs, by system, memory and protocol.

    Parameters
    ----------
    playthrough
        Says how images are turned.
    players, protocols
        Each with each is a block.
    images
        By number; every protocol is played on these.
    sensor
        With a total.
    seconds
        Of each block.

    """
    works, blocks = {}, {}
    for protocol in protocols:
        frames = list(images.values())
        for i in list(images)[: round(protocol.share * len(images))]:
            frames.append(playthrough.turned(images[i], i) if protocol.turned else images[i])
        for player in players:
            name = f'{player.title}, {protocol.name}'
            works[name] = partial(play_all, player.cascade, frames)
            blocks[name] = (player.system.name, player.memory, protocol.name), len(frames)
    with tqdm(total=len(works) + 2, desc='energy', unit='block', disable=None) as bar:

        def begun(name: str) -> None:
            bar.update(not name.endswith('again'))

        playthrough.networks.live = True
        costs = Bench(sensor, seconds, begun=begun).run(works)
        playthrough.networks.live = False
    return {key: _for_one_image(costs[name], count) for name, (key, count) in blocks.items()}


def play_all(cascade: Cascade, images: Sequence[Image]) -> None:
    """Play a protocol from its beginning, with an empty memory."""
    cascade.memory.clear()
    for image in images:
        cascade.classify(Frame(image))


def _for_one_image(cost: Cost, count: int) -> EnergyResult:
    """Return the cost of one image from that of a protocol of so many."""

    def each(joules: float | None) -> float | None:
        return None if joules is None else joules / count

    return EnergyResult(
        cost.images * count,
        cost.energy.window_seconds,
        cost.energy.coverage,
        each(cost.joules),
        each(cost.standard_error),
        each(cost.gross),
        cost.idle.watts if cost.idle.rests else None,
        cost.net.refused,
    )
