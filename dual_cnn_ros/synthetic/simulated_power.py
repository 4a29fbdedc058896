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
Construct the power trace of an imagined board from what a bundle decides about a recording.

NOTHING IN SUCH A TRACE IS MEASURED. Its first lines say so, and state the joules of each kind of
decision, so that it can be checked whether the nodes find them. Its rail and its scope are called
simulated, so that no rule takes them for those of a real board.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
import re

import numpy as np

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.cascade.cascade import Cascade
from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.data.power_trace import remarks, write_power_trace
from dual_cnn_ros.data.recording import COMPRESSED_IMAGE, IMAGE, Message, Recording
from dual_cnn_ros.power.reading import Reading, Sensor

# The imagined board reads a frame and looks it up in its memory, then asks its CNNs.
IDLE_WATTS = 4.0
# Above idle.
MEMORY_WATTS, FIRST_WATTS, LATER_WATTS = 2.0, 5.0, 8.0
# Until a frame is read and looked up.
MEMORY_SECONDS = {IMAGE: 0.004, COMPRESSED_IMAGE: 0.012}
CNN_SECONDS = 0.012
# Its imagined sensor averages over a period, and has the steps of an INA3221 over 5 milliohm.
PERIOD = 0.1
VOLTS, AMPS_STEP, AMPS_NOISE, AMPS_OFFSET = 5.0, 0.008, 0.010, 0.016
RAIL, SCOPE = 'SIMULATED_IN', 'simulated'
# Seconds of idling before the first frame and after the last.
BEFORE, AFTER = 26.0, 5.0

ORIGIN = 'CONSTRUCTED by simulate_power, not measured: no board drew this power'
JOULES_REMARK = 'Joules per decision above idle: '


@dataclass(frozen=True)
class SimulatedTrace:
    """
    A constructed trace.

    Attributes
    ----------
    recording, bundle
        Names of what it was constructed from.
    readings
        Of the one rail; their times are those of the recording.
    decisions
        Number of decisions of each source.
    joules
        Mean energy above idle of a decision of each source.

    """

    recording: str
    bundle: str
    readings: tuple[Reading, ...]
    decisions: Mapping[str, int]
    joules: Mapping[str, float]


def classify_recording(recording: Recording, bundle: Bundle) -> Iterator[tuple[Message, Decision]]:
    """Yield every image of a recording, in order of time, with what a bundle decides about it."""
    # Of the audits of the memory: each run is to decide the same.
    cascade = Cascade(bundle.load(), bundle.settings, seed=0)
    for message in recording.messages(recording.image_topics):
        yield message, cascade.classify(Frame(message.image()), message.topic)


def simulate_power(recording: Recording, bundle: Bundle) -> SimulatedTrace:
    """Return what the imagined board would draw; the same decisions give the same trace."""
    begin = recording.start * 1e-9
    # The energy above idle so far, at the times at which the power changes.
    times, energy = [begin - BEFORE], [0.0]
    decisions: Counter[str] = Counter()
    spent: dict[str, float] = defaultdict(float)
    for message, decision in classify_recording(recording, bundle):
        source = decision.source
        steps = [(MEMORY_SECONDS[message.type], MEMORY_WATTS)]
        steps += [
            (CNN_SECONDS, LATER_WATTS if n else FIRST_WATTS) for n in range(len(decision.scores))
        ]
        times.append(max(message.time * 1e-9, times[-1]))
        energy.append(energy[-1])
        for seconds, watts in steps:
            times.append(times[-1] + seconds)
            energy.append(energy[-1] + seconds * watts)
            spent[source] += seconds * watts
        decisions[source] += 1
    count = round((BEFORE + recording.duration + AFTER) / PERIOD)
    edges = begin - BEFORE + PERIOD * np.arange(count + 1)
    mean_watts = IDLE_WATTS + np.diff(np.interp(edges, times, energy)) / PERIOD
    noise = np.random.default_rng(0).normal(0, AMPS_NOISE, count)
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
    joules = {source: spent[source] / decisions[source] for source in decisions}
    name = recording.path.resolve().name
    return SimulatedTrace(name, bundle.name, readings, decisions, joules)


def write_trace(trace: SimulatedTrace, file: Path) -> None:
    """
    Write a trace as a CSV file that the power node plays, with how it was made in its first lines.

    Raises
    ------
    OSError
        Where the file cannot be written.

    """
    milliseconds = ' or '.join(
        f'{1e3 * MEMORY_SECONDS[kind]:g} ({name})'
        for kind, name in ((IMAGE, 'raw'), (COMPRESSED_IMAGE, 'compressed'))
    )
    lines = (
        ORIGIN,
        f'The decisions are those of the bundle {trace.bundle} about the recording '
        f'{trace.recording}; the board is imagined.',
        f'It waits at {IDLE_WATTS:g} W, and above that draws {MEMORY_WATTS:g} W for '
        f'{milliseconds} ms until a frame is read and looked up,',
        f'then {FIRST_WATTS:g} W for {1e3 * CNN_SECONDS:g} ms in the first CNN, then '
        f'{LATER_WATTS:g} W for {1e3 * CNN_SECONDS:g} ms in each further one.',
        f'A reading is the mean of the {PERIOD:g} s around its time at {VOLTS:g} V, with noise of '
        f'{1e3 * AMPS_NOISE:g} mA (standard deviation), in steps of {1e3 * AMPS_STEP:g} mA.',
        'Decisions: ' + ', '.join(f'{name} {count}' for name, count in trace.decisions.items()),
        JOULES_REMARK + ', '.join(f'{name} {value:.6f}' for name, value in trace.joules.items()),
    )
    sensor = Sensor('simulated', '', (), (RAIL,), SCOPE)
    with file.open('w', encoding='utf-8') as out:
        write_power_trace(out, sensor, ([reading] for reading in trace.readings), lines)


def read_true_joules(file: Path) -> dict[str, float]:
    """Return the joules per decision above idle, by source, that a trace was constructed from."""
    text = next(line for line in remarks(file) if line.startswith(JOULES_REMARK))
    pairs = re.findall(r'(\w+) ([\d.]+)', text.removeprefix(JOULES_REMARK))
    return {name: float(joules) for name, joules in pairs}
