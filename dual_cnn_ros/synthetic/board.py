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
Construct the power trace of an imagined board, from what a bundle decides about a recording.

NOTHING IN SUCH A TRACE IS MEASURED. It shows the way from readings to joules per decision where
there is no power sensor, and as the joules that went in are stated in its first lines, whether
they come out again. Its rail and its scope are called simulated, like those of no real board.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
import re
import sys

import numpy as np

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.cascade.cascade import Cascade
from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.data.power_trace import remarks, write_csv
from dual_cnn_ros.data.recording import COMPRESSED_IMAGE, IMAGE, Recording
from dual_cnn_ros.power.reading import Reading, Sensor
from dual_cnn_ros.tools.cli import run_cli

# The imagined board. It reads and remembers frames one after the other, then asks its CNNs.
IDLE_WATTS = 4.0
MEMORY_WATTS, FIRST_WATTS, LATER_WATTS = 2.0, 5.0, 8.0  # above idle, while busy with it
MEMORY_SECONDS = {IMAGE: 0.004, COMPRESSED_IMAGE: 0.012}  # everything before a CNN
CNN_SECONDS = 0.012
# Its imagined sensor has the steps of an INA3221 over 5 milliohm, and averages.
PERIOD = 0.1
VOLTS, AMPS_STEP, AMPS_NOISE, AMPS_OFFSET = 5.0, 0.008, 0.010, 0.016
RAIL, SCOPE = 'SIMULATED_IN', 'simulated'
# Seconds of waiting before the first frame and after the last.
BEFORE, AFTER = 26.0, 5.0

ORIGIN = 'CONSTRUCTED by simulate_power, not measured: no board drew this power'
STATED = 'Joules per decision above idle: '


@dataclass(frozen=True)
class Trace:
    """
    A constructed trace.

    readings: of the one rail, their times those of the recording. decisions, joules: how many a
    source made, and what one of them took on average, above idle.
    """

    readings: tuple[Reading, ...]
    decisions: Mapping[str, int]
    joules: Mapping[str, float]


def decide(recording: Recording, bundle: Bundle) -> Iterator[tuple[float, str, Decision]]:
    """Yield the time of each frame in seconds, its message type, and what the bundle decides."""
    cascade = Cascade(bundle.load(), bundle.settings)
    for message in recording.messages(recording.image_topics):
        yield message.time * 1e-9, message.type, cascade.classify(Frame(message.image()))


def construct(recording: Recording, bundle: Bundle) -> Trace:
    """Return what the imagined board would draw; the same for the same decisions."""
    begin = recording.start * 1e-9
    # The energy above idle so far, at the times at which the power changes.
    times, energy = [begin - BEFORE], [0.0]
    decisions: Counter[str] = Counter()
    spent: dict[str, float] = defaultdict(float)
    for time, kind, decision in decide(recording, bundle):
        parts = [(MEMORY_SECONDS[kind], MEMORY_WATTS)]
        parts += [
            (CNN_SECONDS, LATER_WATTS if n else FIRST_WATTS) for n in range(len(decision.scores))
        ]
        times.append(max(time, times[-1]))
        energy.append(energy[-1])
        for seconds, watts in parts:
            times.append(times[-1] + seconds)
            energy.append(energy[-1] + seconds * watts)
            spent[decision.source] += seconds * watts
        decisions[decision.source] += 1
    steps = round((BEFORE + recording.duration + AFTER) / PERIOD)
    edges = begin - BEFORE + PERIOD * np.arange(steps + 1)
    mean_watts = IDLE_WATTS + np.diff(np.interp(edges, times, energy)) / PERIOD
    noise = np.random.default_rng(0).normal(0, AMPS_NOISE, steps)
    amps = AMPS_STEP * np.round((mean_watts / VOLTS + noise) / AMPS_STEP)
    readings = tuple(
        Reading(
            RAIL,
            round(float(middle), 3),
            round(float(a) * VOLTS, 6),
            VOLTS,
            round(float(a), 6),
            offset_watts=VOLTS * AMPS_OFFSET,
        )
        for middle, a in zip(edges[:-1] + PERIOD / 2, amps)
    )
    return Trace(readings, decisions, {name: spent[name] / decisions[name] for name in decisions})


def write(trace: Trace, file: Path, recording: Recording, bundle: Bundle) -> None:
    """Write a trace so that the power node plays it; how it was made stands in its first lines."""
    milliseconds = ' or '.join(
        f'{1e3 * MEMORY_SECONDS[kind]:g} ({name})'
        for kind, name in ((IMAGE, 'raw'), (COMPRESSED_IMAGE, 'compressed'))
    )
    said = (
        ORIGIN,
        f'The decisions are those of the bundle {bundle.name} about the recording '
        f'{recording.path.resolve().name}; the board is imagined.',
        f'It waits at {IDLE_WATTS:g} W, and above that draws {MEMORY_WATTS:g} W for '
        f'{milliseconds} ms until a frame is read and looked up,',
        f'then {FIRST_WATTS:g} W for {1e3 * CNN_SECONDS:g} ms in the first CNN, then '
        f'{LATER_WATTS:g} W for {1e3 * CNN_SECONDS:g} ms in each further one.',
        f'A reading is the mean of the {PERIOD:g} s around its time at {VOLTS:g} V, with noise of '
        f'{1e3 * AMPS_NOISE:g} mA (standard deviation), in steps of {1e3 * AMPS_STEP:g} mA.',
        'Decisions: ' + ', '.join(f'{name} {trace.decisions[name]}' for name in trace.decisions),
        STATED + ', '.join(f'{name} {trace.joules[name]:.6f}' for name in trace.joules),
    )
    sensor = Sensor('simulated', '', (), (RAIL,), SCOPE)
    with file.open('w', encoding='utf-8') as out:
        write_csv(out, sensor, ([reading] for reading in trace.readings), said)


def stated(file: Path) -> dict[str, float]:
    """Return the joules per decision that a constructed trace says it was made of, by source."""
    text = next(line for line in remarks(file) if line.startswith(STATED))
    pairs = re.findall(r'(\w+) ([\d.]+)', text.removeprefix(STATED))
    return {name: float(joules) for name, joules in pairs}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog='simulate_power',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('recording', type=Path, help='a rosbag2 recording with images')
    parser.add_argument('--bundle', required=True, help='name or folder of the bundle')
    parser.add_argument(
        '--out', type=Path, required=True, metavar='FILE', help='the .csv to write'
    )
    options = parser.parse_args(arguments)

    def work() -> None:
        with Recording(options.recording) as recording:
            bundle = Bundle.open(options.bundle)
            trace = construct(recording, bundle)
            write(trace, options.out, recording, bundle)
        print(
            f'{options.out}: CONSTRUCTED, {len(trace.readings)} readings, '
            f'{sum(trace.decisions.values())} decisions'
        )

    return run_cli('simulate_power', work)


if __name__ == '__main__':
    sys.exit(main())
