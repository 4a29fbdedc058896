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

"""What evaluate finds, as records, written to evaluate.json and read from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
import json
from pathlib import Path
from typing import Any

from dual_cnn_ros.calibration.reliability import Reliability
from dual_cnn_ros.calibration.thresholds import Outcome
from dual_cnn_ros.cascade.settings import Rule
from dual_cnn_ros.evaluation.metrics import Interval
from dual_cnn_ros.files import write_json
from dual_cnn_ros.records import from_plain, RecordError, to_plain

FORMAT = 4
NO_MEMORY = 'off'


@dataclass(frozen=True)
class EvaluatedData:
    """
    The frames that were played.

    Attributes
    ----------
    name
        Of the folder, tar or recording.
    kind
        'images', 'recording' or 'video'.
    digest
        Hexadecimal, of all frames and labels in whatever order.
    frames, labelled, unlabelled
        How many could be decoded; of these, how many have a label that the systems know, and how
        many have none.
    unknown_labels
        Labels that no system knows, and on how many frames.
    bad
        Frames that could not be decoded, and why.
    problems
        What is wrong with labels.
    warnings
        What is wrong with the recording, or left out of the folder.

    """

    name: str
    kind: str
    digest: str
    frames: int
    labelled: int
    unlabelled: int
    unknown_labels: Mapping[str, int] = field(default_factory=dict)
    bad: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvaluatedStage:
    """A CNN that a system may ask: its name, its MACs, and its architecture if known."""

    name: str
    macs: int
    architecture: str | None = None

    @property
    def title(self) -> str:
        """What to call it."""
        return self.architecture or self.name


@dataclass(frozen=True)
class EvaluatedSystem:
    """A system that was compared: the stages that it may ask, and the rule of several stages."""

    name: str
    bundle: str
    stages: tuple[EvaluatedStage, ...]
    rule: Rule | None = None


@dataclass(frozen=True)
class SourceShare:
    """The share of frames that one source answered, and its accuracy on those with a label."""

    share: float
    accuracy: float | None = None


@dataclass(frozen=True)
class Difference:
    """
    How a system differs from the reference on the same frames.

    Attributes
    ----------
    reference
        Title of the result that it is compared with.
    accuracy, interval
        Accuracy above that of the reference, and its 95 % interval.
    harmed, helped
        Frames that only the reference, and that only this system, got right.

    """

    reference: str
    accuracy: float
    interval: Interval | None
    harmed: int
    helped: int


@dataclass(frozen=True)
class SourceTiming:
    """Median CPU seconds of the timed frames that one source answered, and their number."""

    cpu_seconds: float
    timed: int


@dataclass(frozen=True)
class Timing:
    """
    Time for one image, in seconds; it differs from run to run.

    Attributes
    ----------
    cpu_seconds
        Median of each source, weighted by its share; None where a source was not timed.
    latency_p50, latency_p95
        Percentiles of the timed frames; None where there are none.
    by_source
        What was timed of each source.

    """

    cpu_seconds: float | None = None
    latency_p50: float | None = None
    latency_p95: float | None = None
    by_source: Mapping[str, SourceTiming] = field(default_factory=dict)


@dataclass(frozen=True)
class EnergyResult:
    """
    Energy for one image, in joules; it differs from run to run.

    Attributes
    ----------
    images, seconds
        That were measured.
    coverage
        Share of the seconds that readings cover.
    joules, standard_error
        Above idle; None where refused.
    gross_joules
        Idle power included; None where coverage is too low.
    idle_watts
        The idle power; None where it is unknown.
    refused
        Why there are no joules above idle.

    """

    images: int
    seconds: float
    coverage: float
    joules: float | None = None
    standard_error: float | None = None
    gross_joules: float | None = None
    idle_watts: float | None = None
    refused: str = ''


@dataclass(frozen=True)
class MemoryFindings:
    """
    How right a memory was, by what the cascade itself says of the frames that the memory answered.

    Attributes
    ----------
    hits
        Share of the frames that resembled a remembered one.
    answered
        Share of the frames that the memory answered: the hits that were not audited.
    wrong
        Share of the answered frames of which the cascade says another label.
    changed
        Share of the answered frames whose content had changed; None where it was not compared.
    audits, contradictions
        Of the hits that the memory itself had computed: how many, and how many said otherwise.
    scale
        To which these brought it, see AuditRecord; the least of all cameras.
    bound
        With 95 % confidence, by the audits alone, no larger share of the hits is wrong.

    """

    hits: float
    answered: float
    wrong: float
    changed: float | None
    audits: int
    contradictions: int
    scale: float
    bound: float


@dataclass(frozen=True)
class SystemResult:
    """
    How one system with one memory answered all frames of one protocol.

    Attributes
    ----------
    system, memory, protocol
        Names; the memory's is its fingerprint, or NO_MEMORY.
    frames, judged, clusters
        Number of frames, of those with a known label, and of clusters that these belong to.
    deferral_rate
        Share of the frames that the first stage passed on to another.
    macs
        Mean for a frame.
    sources
        'memory' and the stages, and what they answered.
    accuracy, interval
        Share of right answers and its 95 % interval; None without labels.
    difference
        From the reference; None for the reference itself.
    reliability
        Whether it is right as often as its confidence says; None without labels.
    confusion
        From true label to answer to number of frames.
    timing, energy
        Time and energy of an image, as measured.
    remembered
        How right the memory was; None without one.

    """

    system: str
    memory: str
    protocol: str
    frames: int
    judged: int
    clusters: int
    deferral_rate: float
    macs: float
    sources: Mapping[str, SourceShare]
    accuracy: float | None = None
    interval: Interval | None = None
    difference: Difference | None = None
    reliability: Reliability | None = None
    confusion: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)
    energy: EnergyResult | None = None
    remembered: MemoryFindings | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from the other results."""
        return self.system, self.memory, self.protocol

    @property
    def title(self) -> str:
        """The system, and its memory if it has one."""
        return title(self.system, self.memory)


@dataclass(frozen=True)
class ThresholdFront:
    """
    What a system comes to at the thresholds that no others dominate, without a memory.

    Attributes
    ----------
    system
        Its name; of several that differ in nothing but the thresholds, that of the first.
    outcomes
        Cheapest first, in MACs.

    """

    system: str
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class DisagreedFrame:
    """
    A frame that two systems answer differently.

    Attributes
    ----------
    number
        Its place in the data.
    label
        The true one, None where unknown.
    system, source
        What the system answered, and who in it did.
    reference
        What the reference answered.

    """

    number: int
    label: str | None
    system: str
    source: str
    reference: str


@dataclass(frozen=True)
class Disagreement:
    """Frames that a system and the reference answer differently: how many, and some of them."""

    system: str
    reference: str
    frames: int
    shown: tuple[DisagreedFrame, ...] = ()


@dataclass(frozen=True)
class Conditions:
    """
    Where and how long it ran.

    Attributes
    ----------
    seconds
        The whole run.
    machine, python
        Architecture of the processor, and version of Python.
    runs_on
        What ran the CNNs.
    sensor, scope
        What the energy was measured with, None where it was not, and what that covers.
    reason
        Why this sensor, or why none.

    """

    seconds: float
    machine: str
    python: str
    runs_on: tuple[str, ...] = ()
    sensor: str | None = None
    scope: str = ''
    reason: str = ''


@dataclass(frozen=True)
class EvaluationFindings:
    """
    All that one run of evaluate found.

    Attributes
    ----------
    data
        The frames.
    labels
        The classes, in the order of the first system.
    reference
        Name of the system that all others are compared with.
    seed, memory_capacity, timed_images, resamples
        As the run was made.
    cluster
        What the bootstrap draws as one, in words.
    systems
        What was compared.
    results
        One for each protocol, system and memory.
    curves
        Of each system of two stages; none without labels.
    disagreement
        Of the first cascade and the reference; None where there is one system.
    conditions
        Of this run. They, timings and energies differ from run to run; all else is the same for
        the same data, systems and seed.

    """

    data: EvaluatedData
    labels: tuple[str, ...]
    reference: str
    seed: int
    memory_capacity: int
    timed_images: int
    resamples: int
    cluster: str
    systems: tuple[EvaluatedSystem, ...]
    results: tuple[SystemResult, ...]
    fronts: tuple[ThresholdFront, ...]
    conditions: Conditions
    disagreement: Disagreement | None = None

    @property
    def protocols(self) -> tuple[str, ...]:
        """Names of the protocols, in order."""
        return tuple(dict.fromkeys(result.protocol for result in self.results))

    def of_protocol(self, protocol: str) -> tuple[SystemResult, ...]:
        """Return the results of one protocol."""
        return tuple(result for result in self.results if result.protocol == protocol)


def title(system: str, memory: str) -> str:
    """Return what to call a system with or without a memory."""
    return system if memory == NO_MEMORY else f'{system}, memory {memory}'


def write_evaluation(findings: EvaluationFindings, path: Path) -> None:
    """Write the findings as JSON; read_evaluation gives the same."""
    write_json(path, {'format': FORMAT, **to_plain(findings)})


def read_evaluation(path: Path) -> EvaluationFindings:
    """
    Return the findings of an evaluate.json.

    Raises
    ------
    ValueError
        The file is none, or is of another version; it is named.
    OSError
        The file cannot be read.

    """
    try:
        content: Any = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is no JSON file: {error}') from error
    version = content.pop('format', None) if isinstance(content, dict) else None
    if version != FORMAT:
        raise ValueError(f'{path} is of format {version}, not {FORMAT}; run evaluate once more')
    try:
        return from_plain(EvaluationFindings, content)
    except RecordError as error:
        raise ValueError(f'{path}: {error}') from error
