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

"""Joules of one image by each CNN of a bundle and by the memory, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
import platform

import cv2
import numpy as np

from dual_cnn_ros.bundle import Bundle, MeasuredBaseline, write_bundle
from dual_cnn_ros.cascade.cascade import Cascade, Stage
from dual_cnn_ros.cascade.decision import MEMORY
from dual_cnn_ros.cascade.frame import Frame, Image
from dual_cnn_ros.cascade.settings import Settings
from dual_cnn_ros.data.power_trace import write_power_trace
from dual_cnn_ros.energy.bench import Bench, Cost
from dual_cnn_ros.evaluation.systems import parse_system
from dual_cnn_ros.inference import PROVIDERS
from dual_cnn_ros.power import sysfs
from dual_cnn_ros.power.discover import discover
from dual_cnn_ros.power.reading import Sensor
from dual_cnn_ros.tables import milli, text_table

# Shorter loops are not measurable at the rates of these sensors.
LEAST_SECONDS = 10.0

Work = Callable[[], object]


@dataclass(frozen=True)
class MeasureOptions:
    """
    What to measure, and how.

    Attributes
    ----------
    bundle
        Name or folder.
    large
        BUNDLE@STAGE, or a bundle of one stage: a large CNN that is measured too, and stored in the
        bundle as its baseline.
    seconds
        Of each loop and each rest.
    rate
        Readings a second.
    frame
        Width and height of the camera's images.
    backend, providers, threads
        As in Bundle.load.
    source
        Of the power.
    sysfs_root
        Where sysfs is mounted.
    trace
        Where to write every reading, if anywhere.

    """

    bundle: str
    large: str | None = None
    seconds: float = LEAST_SECONDS
    rate: float = 10.0
    frame: tuple[int, int] = (640, 480)
    backend: str = 'auto'
    providers: tuple[str, ...] = PROVIDERS
    threads: int = 1
    source: str = 'auto'
    sysfs_root: Path = Path('/sys')
    trace: Path | None = None


@dataclass(frozen=True)
class Measurement:
    """
    What was measured.

    Attributes
    ----------
    machine, date
        Where, and when: YYYY-MM-DD.
    sensor
        With which.
    costs
        Of each work by name: 'memory', the stages, 'both' or 'all' of them, the large CNN.
    runs_on
        What ran each CNN, by its name.
    large
        Name of the large CNN, empty without one.

    """

    machine: str
    date: str
    sensor: Sensor
    costs: Mapping[str, Cost]
    runs_on: Mapping[str, str]
    large: str = ''


def measure(options: MeasureOptions, begun: Callable[[str], None]) -> Measurement:
    """
    Measure a bundle, and write the trace if one is wanted.

    Parameters
    ----------
    options
        What to measure, and how.
    begun
        Called with the name of each loop and each rest when it begins.

    Raises
    ------
    ValueError, OSError
        Says what is wrong with the bundle or the large CNN, or that there is no sensor.

    """
    sensor = discover(options.source, options.sysfs_root)
    if not sensor.members:
        raise ValueError(f'{sensor.source} has no total to measure: {sensor.reason}')
    bundle = Bundle.open(options.bundle)
    how = options.backend, options.providers, options.threads
    # Something with edges, so that it has a fingerprint; the joules do not depend on what it is.
    texture = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = np.asarray(cv2.resize(texture, options.frame), np.uint8)
    stages = bundle.load(*how)
    works = _works(stages, bundle.settings, image)
    runs_on = {stage.name: stage.runs_on for stage in stages}
    name = ''
    if options.large:
        name, alone = large_cnn(options.large)
        if name in works:
            raise ValueError(
                f'--large {options.large}: something of the bundle is called {name!r} too; '
                'put NAME= before it'
            )
        (stage,) = alone.load(*how)
        works[name] = _ask_all([stage], image)
        runs_on[name] = stage.runs_on
    blocks: list[str] = []

    def block(name: str) -> None:
        blocks.append(name)
        begun(name)

    bench = Bench(sensor, options.seconds, 1 / options.rate, block)
    costs = bench.run(works)
    found = Measurement(
        machine_name(options.sysfs_root), date.today().isoformat(), sensor, costs, runs_on, name
    )
    if options.trace:
        remarks = [
            f'Measured by measure on {found.machine}, {found.date}: {sensor.reason}',
            f'In turn: {", ".join(blocks)}; {options.seconds:g} s each',
            ', '.join(f'{cnn} by {what}' for cnn, what in runs_on.items()),
        ]
        with options.trace.open('w', encoding='utf-8') as file:
            write_power_trace(file, sensor, bench.sets, remarks)
    return found


def store_baseline(found: Measurement, options: MeasureOptions) -> MeasuredBaseline:
    """
    Write what the large CNN costs into the bundle.

    Raises
    ------
    ValueError
        The large CNN has no figure above idle; the bundle stays as it was.

    """
    cost = found.costs[found.large]
    error, gross = cost.standard_error, cost.gross
    if cost.joules is None or cost.joules <= 0 or error is None or gross is None:
        raise ValueError(f'{found.large} has no figure above idle; the bundle keeps what it had')
    width, height = options.frame
    baseline = MeasuredBaseline(
        found.large,
        cost.joules,
        error,
        gross,
        cost.idle.watts,
        found.sensor.source,
        found.sensor.scope,
        found.machine,
        found.date,
        f'{width} x {height} frame, {found.runs_on[found.large]}, '
        f'threads {options.threads}, {cost.images} images in {cost.energy.window_seconds:.1f} s, '
        f'{options.rate:g} readings a second',
    )
    write_bundle(replace(Bundle.open(options.bundle), baseline=baseline))
    return baseline


def _works(stages: Sequence[Stage], settings: Settings, image: Image) -> dict[str, Work]:
    """Return what is measured of a bundle, by name; each call does one image from the start."""
    remember = replace(settings.remember, max_age=0.0, audit=0.0)
    cascade = Cascade(stages, replace(settings, memory=True, remember=remember))
    cascade.classify(Frame(image))
    if cascade.classify(Frame(image)).source != MEMORY:
        raise ValueError('the frame is not remembered: it has no fingerprint')
    works: dict[str, Work] = {MEMORY: lambda: cascade.classify(Frame(image))}
    works |= {stage.name: _ask_all([stage], image) for stage in stages}
    if len(stages) > 1:
        works['both' if len(stages) == 2 else 'all'] = _ask_all(stages, image)
    return works


def _ask_all(stages: Sequence[Stage], image: Image) -> Work:
    def ask() -> None:
        frame = Frame(image)
        for stage in stages:
            stage.classify(frame)

    return ask


def large_cnn(text: str) -> tuple[str, Bundle]:
    """Return the name and the bundle of one CNN; ValueError where the text names no single one."""
    system = parse_system(text)
    if len(system.bundle.stages) != 1:
        raise ValueError(f'--large {text}: name one CNN, as BUNDLE@STAGE or a bundle of one stage')
    return system.name, system.bundle


def machine_name(sysfs_root: Path) -> str:
    """Return what this machine calls itself: its board, its processor, or its architecture."""
    board = sysfs.word(sysfs_root / 'firmware/devicetree/base/model')
    if board:
        return board
    try:
        text = Path('/proc/cpuinfo').read_text(encoding='utf-8')
    except OSError:
        text = ''
    lines = (line.partition(':') for line in text.splitlines())
    names = (value.strip() for key, _, value in lines if key.startswith('model name'))
    return next(names, f'{platform.system()} {platform.machine()}')


def cost_table(costs: Mapping[str, Cost]) -> list[str]:
    """Return the figures of each work as text, with the idle power and why any is refused."""
    joules = ('each, above idle', 'standard error', 'bias up to', 'idle included')
    rows = [['', 'images', 'per second', *joules]]
    for name, cost in costs.items():
        rate = cost.images / cost.energy.window_seconds
        each = (cost.joules, cost.standard_error, cost.bias, cost.gross)
        rows.append([name, str(cost.images), f'{rate:.1f}', *(milli(j, 'J') for j in each)])
    idle = next(iter(costs.values())).idle
    return [
        *text_table(rows),
        f'Idle: {idle.watts:.3f} W, with a standard error of {idle.standard_error_watts:.3f} W.'
        if idle.rests
        else 'Idle: unknown, as readings cover neither rest.',
        *(
            f'{name}: refused, {cost.net.refused}'
            for name, cost in costs.items()
            if cost.net.refused
        ),
    ]
