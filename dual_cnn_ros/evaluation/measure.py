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
Measure the joules that one image costs each CNN of a bundle, and the memory, on this machine.

Each is repeated back to back with the machine otherwise idle, and idle before and after; the idle
power is subtracted. The scope is the sensor's: a Jetson's module, a processor, a GPU; never the
whole robot. With --large, one large CNN is measured too, and stored in the bundle as what the
energy node compares with (baseline: bundle). An image is ready in memory: reading it from a
camera, and ROS, are not part of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
import platform
import sys

import cv2
import numpy as np

from dual_cnn_ros import bundle as bundles
from dual_cnn_ros.bundle import Baseline, Bundle
from dual_cnn_ros.cascade.cascade import Cascade, Stage
from dual_cnn_ros.cascade.decision import MEMORY
from dual_cnn_ros.cascade.frame import Frame, Image
from dual_cnn_ros.cascade.settings import Settings
from dual_cnn_ros.data.power_trace import write_power_trace
from dual_cnn_ros.energy.bench import Bench, Cost
from dual_cnn_ros.evaluation.systems import parse
from dual_cnn_ros.evaluation.tables import text_table
from dual_cnn_ros.inference import BACKENDS, DEVICES
from dual_cnn_ros.nodes.parameters import bundle_path
from dual_cnn_ros.power import sysfs
from dual_cnn_ros.power.discover import discover, POWER_SOURCES
from dual_cnn_ros.power.reading import Sensor
from dual_cnn_ros.tools.cli import run_cli

# Shorter loops are not measurable at the rates of these sensors.
LEAST_SECONDS = 10.0

Work = Callable[[], object]


class MeasureError(ValueError):
    """What cannot be measured, and why."""


def sensor_of(source: str, sysfs_root: Path) -> Sensor:
    """Return the sensor to measure with; OSError or MeasureError where there is none."""
    sensor = discover(source, sysfs_root)
    if not sensor.members:
        raise MeasureError(f'{sensor.source} has no total to measure: {sensor.reason}')
    return sensor


def works(stages: tuple[Stage, ...], settings: Settings, image: Image) -> dict[str, Work]:
    """Return what is measured of a bundle, by name; each call does one image from the start."""
    found: dict[str, Work] = {}
    cascade = Cascade(stages, replace(settings, memory=True, max_age=0.0))
    cascade.classify(Frame(image))
    if cascade.classify(Frame(image)).source != MEMORY:
        raise MeasureError('the frame is not remembered: it has no fingerprint')
    found[MEMORY] = lambda: cascade.classify(Frame(image))

    found |= {stage.name: _ask((stage,), image) for stage in stages}
    if len(stages) > 1:
        found['both' if len(stages) == 2 else 'all'] = _ask(stages, image)
    return found


def _ask(stages: tuple[Stage, ...], image: Image) -> Work:
    def one() -> None:
        frame = Frame(image)
        for stage in stages:
            stage.classify(frame)

    return one


def large_cnn(text: str) -> Bundle:
    """
    Return a bundle of one large CNN, under whose name its figure goes.

    text: a metrics file (.json) that train wrote, or BUNDLE@STAGE. ValueError where it is neither.
    """
    system = parse(text)
    if len(system.specs) != 1:
        raise MeasureError(
            f'--large {text}: name one CNN, as a metrics file (.json) of train or as BUNDLE@STAGE'
        )
    return replace(
        system.bundle, name=system.name, stages=system.specs, settings=Settings(thresholds=())
    )


def machine(sysfs_root: Path) -> str:
    """Return what this machine calls itself."""
    board = sysfs.word(sysfs_root / 'firmware/devicetree/base/model')
    if board:
        return board
    try:
        text = Path('/proc/cpuinfo').read_text(encoding='utf-8')
    except OSError:
        text = ''
    names = [
        line.partition(':')[2].strip()
        for line in text.splitlines()
        if line.startswith('model name')
    ]
    return names[0] if names else f'{platform.system()} {platform.machine()}'


def table(costs: dict[str, Cost]) -> str:
    """Return the figures of each work, in millijoules, with the reasons of what is refused."""
    rows: list[tuple[str, ...]] = [
        (
            '',
            'images',
            'per second',
            'mJ each, above idle',
            'standard error',
            'bias up to',
            'idle included',
        )
    ]
    rows += [
        (
            name,
            str(cost.images),
            f'{cost.images / cost.energy.window:.1f}',
            *map(_millijoules, (cost.joules, cost.standard_error, cost.bias, cost.gross)),
        )
        for name, cost in costs.items()
    ]
    idle = next(iter(costs.values())).idle
    lines = text_table(rows)
    lines.append(
        f'Idle: {idle.watts:.3f} W, with a standard error of {idle.standard_error_watts:.3f} W.'
        if idle.rests
        else 'Idle: unknown, as readings cover neither rest.'
    )
    lines += [
        f'{name}: refused, {cost.net.refused}' for name, cost in costs.items() if cost.net.refused
    ]
    return '\n'.join(lines)


def _millijoules(joules: float | None) -> str:
    return '-' if joules is None else f'{1e3 * joules:.4g}'


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='measure', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('bundle', help='name or folder of the bundle')
    parser.add_argument(
        '--large',
        metavar='CNN',
        help='a large CNN to compare with: a metrics '
        'file (.json) of train, or BUNDLE@STAGE; its joules go into the bundle',
    )
    parser.add_argument(
        '--seconds',
        type=float,
        default=LEAST_SECONDS,
        help=f'of each loop and each rest (at least {LEAST_SECONDS:g})',
    )
    parser.add_argument('--rate', type=float, default=10.0, help='readings a second (10)')
    parser.add_argument(
        '--frame',
        type=int,
        nargs=2,
        default=(640, 480),
        metavar=('WIDTH', 'HEIGHT'),
        help='of the camera (640 480)',
    )
    parser.add_argument('--backend', choices=('auto', *BACKENDS), default='auto')
    parser.add_argument('--device', choices=DEVICES, default='auto')
    parser.add_argument('--threads', type=int, default=1, help='of one inference (1)')
    parser.add_argument(
        '--source', choices=POWER_SOURCES, default='auto', help='of the power (auto)'
    )
    parser.add_argument(
        '--sysfs-root',
        type=Path,
        default=Path('/sys'),
        metavar='DIR',
        help='where sysfs is mounted (/sys)',
    )
    parser.add_argument(
        '--trace',
        type=Path,
        metavar='FILE',
        help='write every reading to this .csv, which the power node plays',
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    if not options.seconds >= LEAST_SECONDS:
        raise MeasureError(
            f'--seconds must be at least {LEAST_SECONDS:g}: shorter loops are not measurable'
        )
    if not 1 <= options.rate <= 100 or min(options.frame) < 16:
        raise MeasureError('--rate must be from 1 to 100, and --frame at least 16 16')
    sensor = sensor_of(options.source, options.sysfs_root)
    bundle = bundles.read(bundle_path(options.bundle))
    how = options.backend, options.device, options.threads
    width, height = options.frame
    # Something with edges, so that it has a fingerprint; what is on it costs nothing.
    texture = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = cv2.resize(texture, (width, height))
    found = works(bundle.load(*how), bundle.settings, image)
    large = ''
    if options.large:
        alone = large_cnn(options.large)
        large = alone.name
        found[large] = _ask(alone.load(*how), image)
    here = machine(options.sysfs_root)
    print(
        f'{here}; {sensor.source}: {sensor.reason}; total {" + ".join(sensor.members)} '
        f'({sensor.scope})'
    )

    blocks: list[str] = []

    def say(name: str) -> None:
        blocks.append(name)
        print(f'{name} ...', file=sys.stderr, flush=True)

    bench = Bench(sensor, options.seconds, 1 / options.rate, say)
    costs = bench.run(found)
    print(table(costs))
    today = date.today().isoformat()
    if options.trace:
        with options.trace.open('w', encoding='utf-8') as file:
            write_power_trace(
                file,
                sensor,
                bench.sets,
                [
                    f'Measured by measure on {here}, {today}: {sensor.reason}',
                    f'In turn: {", ".join(blocks)}; {options.seconds:g} s each',
                ],
            )
        print(f'Readings: {options.trace}')
    if large:
        cost = costs[large]
        if (
            cost.joules is None
            or cost.joules <= 0
            or cost.standard_error is None
            or cost.gross is None
        ):
            raise MeasureError(f'{large} has no figure above idle; the bundle keeps what it had')
        conditions = (
            f'{width} x {height} frame, backend {options.backend}, device {options.device}, '
            f'threads {options.threads}, {cost.images} images in {cost.energy.window:.1f} s, '
            f'{options.rate:g} readings a second'
        )
        bundles.write(
            replace(
                bundle,
                baseline=Baseline(
                    large,
                    cost.joules,
                    cost.standard_error,
                    cost.gross,
                    cost.idle.watts,
                    sensor.source,
                    sensor.scope,
                    here,
                    today,
                    conditions,
                ),
            )
        )
        print(f'{bundle.path / bundles.FILE}: baseline {large}, {1e3 * cost.joules:.4g} mJ')


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 1 where nothing could be measured."""
    options = _parser().parse_args(arguments)
    return run_cli('measure', lambda: _run(options))


if __name__ == '__main__':
    sys.exit(main())
