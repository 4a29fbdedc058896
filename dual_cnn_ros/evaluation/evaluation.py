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

"""Comparison of systems on labelled images or a recording: from frames to findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, ExitStack
from dataclasses import dataclass, replace
import hashlib
from pathlib import Path
import platform
import sys
from time import perf_counter

import cv2
import numpy as np
import numpy.typing as npt

from dual_cnn_ros.calibration.thresholds import ALWAYS_DEFER, curve
from dual_cnn_ros.cascade.decision import MEMORY
from dual_cnn_ros.cascade.settings import Criterion, Rule, Settings
from dual_cnn_ros.data.dataset import read_names
from dual_cnn_ros.data.labelled_frames import FrameSource, open_frames
from dual_cnn_ros.evaluation import metrics
from dual_cnn_ros.evaluation.energy import find_sensor, measure_energy, read_sample
from dual_cnn_ros.evaluation.findings import (
    Conditions,
    Difference,
    DisagreedFrame,
    Disagreement,
    EvaluatedData,
    EvaluatedStage,
    EvaluatedSystem,
    Findings,
    NO_MEMORY,
    SourceShare,
    SystemResult,
    ThresholdCurve,
    write_findings,
)
from dual_cnn_ros.evaluation.page import make_page
from dual_cnn_ros.evaluation.player import AnswerLog, PlayedFrames, Player, Playthrough
from dual_cnn_ros.evaluation.protocol import make_protocols, METHOD, Protocol
from dual_cnn_ros.evaluation.publication import DecisionRecorder
from dual_cnn_ros.evaluation.systems import AnswerFile, Networks, parse_systems, System
from dual_cnn_ros.evaluation.timing import summarise_times, time_untimed
from dual_cnn_ros.files import write_atomically

CURVE_POINTS = 101
SHOWN_DISAGREEMENTS = 24


@dataclass(frozen=True)
class EvaluationOptions:
    """
    What to compare, and how.

    Attributes
    ----------
    data
        Folder or tar of images, or a recording.
    systems
        As parse_system reads them.
    out
        Folder of the results.
    repeat
        Shares of the images that are repeated, a protocol each.
    rotate
        Whether to play every protocol with repeats once more, with turned repeats.
    memory
        Only with a memory, only without one, or None for both.
    fingerprints
        Of the memory, one after another.
    capacity
        Of the memory; None for as many frames as there are images, or Settings.capacity.
    reference
        Name of the system that all others are compared with; None for the first.
    split
        Of the images, where there are several.
    exclude
        File with names of images to leave out.
    labels
        CSV file with labels of a recording.
    topics
        Image topics of a recording; none for all.
    block
        Seconds of a recording that the bootstrap draws as one.
    timed
        Number of images for which all systems are timed.
    seed
        Of everything drawn.
    backend, device
        As in Bundle.load.
    energy_seconds
        Of each block of the energy measurement; 0 for none.
    sysfs_root
        Where sysfs is mounted.
    record
        Where to write a recording of what the node would publish, if anywhere.
    restart
        Whether to begin anew rather than go on with a run that was cut off.
    """

    data: Path
    systems: tuple[str, ...]
    out: Path
    repeat: tuple[float, ...] = (0.0,)
    rotate: bool = False
    memory: bool | None = None
    fingerprints: tuple[str, ...] = (Settings.fingerprint,)
    capacity: int | None = None
    reference: str | None = None
    split: str | None = None
    exclude: Path | None = None
    labels: Path | None = None
    topics: tuple[str, ...] = ()
    block: float = 2.0
    timed: int = 500
    seed: int = 0
    backend: str = 'auto'
    device: str = 'auto'
    energy_seconds: float = 10.0
    sysfs_root: Path = Path('/sys')
    record: Path | None = None
    restart: bool = False


def evaluate(options: EvaluationOptions) -> Findings:
    """
    Run the comparison, and write evaluate.json and evaluate.html.

    A run that was cut off goes on where it was, if the options that decide the answers are the
    same.

    Raises
    ------
    ValueError, OSError
        Says what cannot be compared, read or written.
    """
    begun = perf_counter()
    systems = parse_systems(options.systems)
    reference = options.reference or systems[0].name
    if reference not in [system.name for system in systems]:
        raise ValueError(
            f'--reference {reference!r} is none of the systems: '
            f'{"; ".join(system.name for system in systems)}'
        )
    source = open_frames(
        options.data,
        split=options.split,
        labels=options.labels,
        block=options.block,
        topics=options.topics,
        exclude=read_names(options.exclude) if options.exclude else (),
    )
    protocols = make_protocols(options.repeat, options.rotate)
    networks = Networks(systems, options.backend, options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    answers = AnswerFile(
        options.out / 'partial.f32',
        [source.identity(), networks.keys, networks.ran_by, options.seed],
        (1 + any(protocol.turned for protocol in protocols), source.count, sum(networks.widths)),
        options.restart,
    )
    if answers.found:
        print(f'going on with {answers.found} frames of a run that was cut off', file=sys.stderr)
    playthrough = Playthrough(
        source, systems[0].bundle.labels, networks, answers, options.seed, options.timed
    )
    capacity = options.capacity or max(
        Settings.capacity, source.count if source.kind == 'images' else 0
    )
    players = _players(playthrough, systems, options, capacity)
    probes = _probes(playthrough, systems)
    with ExitStack() as stack:
        stack.enter_context(_one_thread())
        recorder = None
        if options.record is not None:
            titles = [player.title for player in players]
            recorder = stack.enter_context(
                DecisionRecorder(options.record, source.cameras, titles)
            )
        frames, results = _play(playthrough, players, probes, protocols, reference, recorder)
        conditions, results = _add_energy(playthrough, players, protocols, results, options)
    findings = Findings(
        _describe_data(source, frames),
        systems[0].bundle.labels,
        reference,
        options.seed,
        capacity,
        min(options.timed, source.count),
        metrics.RESAMPLES,
        'image with its repeats'
        if source.kind == 'images'
        else f'{options.block:g} s of the recording',
        tuple(_describe_system(system) for system in systems),
        results,
        tuple(_curves(probes, frames)),
        replace(conditions, seconds=round(perf_counter() - begun, 3)),
        _disagreement(systems, players, frames, reference, playthrough.labels),
    )
    write_findings(findings, options.out / 'evaluate.json')
    shown = findings.disagreement.shown if findings.disagreement else ()
    images = {f.number: f.image() for f in source.frames({entry.number for entry in shown})}
    write_atomically(options.out / 'evaluate.html', make_page(findings, images, METHOD).encode())
    answers.remove()
    return findings


def _players(
    playthrough: Playthrough,
    systems: Sequence[System],
    options: EvaluationOptions,
    capacity: int,
) -> list[Player]:
    """Return each system without memory and with each of the memories, as far as wanted."""
    memories: list[str] = []
    if options.memory is not True:
        memories.append(NO_MEMORY)
    if options.memory is not False:
        memories += options.fingerprints
    return [
        Player(
            system,
            Settings(
                system.rule,
                memory != NO_MEMORY,
                memory if memory != NO_MEMORY else Settings.fingerprint,
                capacity,
            ),
            playthrough.networks,
            playthrough.labels,
        )
        for system in systems
        for memory in memories
    ]


def _probes(
    playthrough: Playthrough, systems: Sequence[System]
) -> dict[str, tuple[Player, Player]]:
    """
    Return for each system of two stages a player that never and one that always defers.

    What these answer decides what the system answers at any threshold. Rules that differ in
    nothing but the threshold share them.
    """
    shared: dict[tuple[Path, Rule], tuple[Player, Player]] = {}
    probes = {}
    for system in systems:
        if len(system.bundle.stages) == 2:
            never, always = (
                replace(system.rule, criteria=(Criterion(system.rule.confidence, threshold),))
                for threshold in (0.0, ALWAYS_DEFER)
            )
            if (system.bundle.path, never) not in shared:
                first, final = (
                    Player(
                        system,
                        Settings(rule, memory=False),
                        playthrough.networks,
                        playthrough.labels,
                        is_shown=False,
                    )
                    for rule in (never, always)
                )
                shared[system.bundle.path, never] = first, final
            probes[system.name] = shared[system.bundle.path, never]
    return probes


def _play(
    playthrough: Playthrough,
    players: Sequence[Player],
    probes: dict[str, tuple[Player, Player]],
    protocols: Sequence[Protocol],
    reference: str,
    recorder: DecisionRecorder | None,
) -> tuple[PlayedFrames, tuple[SystemResult, ...]]:
    """Return the frames of the first pass, and the results of all protocols."""
    everyone = dict.fromkeys([*players, *(probe for pair in probes.values() for probe in pair)])
    frames = playthrough.play('d=0', list(everyone), recorder=recorder)
    count = len(frames.numbers)
    if not count:
        raise ValueError(
            f'{playthrough.source.path}: not one frame could be read, for example '
            f'{next(iter(frames.bad.items()), "")}'
        )
    time_untimed(playthrough, players, [player.log for player in players], frames, count)
    results: list[SystemResult] = []
    for protocol in protocols:
        played, logs = frames, [player.log for player in players]
        if protocol.share:
            successors = [player.successor() for player in players]
            played = frames + playthrough.play(
                protocol.name,
                successors,
                playthrough.repeated(protocol.share),
                protocol.turned,
            )
            logs = [log + successor.log for log, successor in zip(logs, successors)]
            first_turned = count if protocol.turned else len(played.numbers)
            time_untimed(playthrough, players, logs, played, first_turned)
        results += _results(playthrough, protocol, players, logs, played, reference, count)
    return frames, tuple(results)


def _results(
    playthrough: Playthrough,
    protocol: Protocol,
    players: Sequence[Player],
    logs: Sequence[AnswerLog],
    frames: PlayedFrames,
    reference: str,
    first_pass: int,
) -> Iterator[SystemResult]:
    """Yield what each player made of a protocol, whose first frames are those of d=0."""
    truth, clusters = np.array(frames.truth), np.array(frames.clusters)
    judged = truth >= 0
    right = [np.array(log.labels) == truth for log in logs]
    others = [_compared_with(player, players, reference) for player in players]
    estimates: Sequence[metrics.AccuracyEstimate | None] = [None] * len(players)
    if judged.any():
        estimates = metrics.bootstrap(
            [row[judged] for row in right], clusters[judged], others, playthrough.seed
        )
    for i, (player, log, other, estimate) in enumerate(zip(players, logs, others, estimates)):
        sources = np.array(log.sources)
        names = [stage.name for stage in player.system.bundle.stages]
        shares = {
            name: SourceShare(
                float((sources == name).mean()), _mean(right[i][judged & (sources == name)])
            )
            for name in (MEMORY, *names)
            if name in sources
        }
        result = SystemResult(
            player.system.name,
            player.memory,
            protocol.name,
            len(truth),
            int(judged.sum()),
            estimate.clusters if estimate else 0,
            sum(shares[name].share for name in names[1:] if name in shares),
            float(np.mean(log.macs)),
            shares,
            timing=summarise_times(log, shares, first_pass),
        )
        if estimate is None:
            yield result
            continue
        difference = None
        if other is not None and estimate.difference is not None:
            difference = Difference(
                players[other].title,
                estimate.difference,
                estimate.difference_interval,
                harmed=int((right[other] & ~right[i] & judged).sum()),
                helped=int((~right[other] & right[i] & judged).sum()),
            )
        yield replace(
            result,
            accuracy=estimate.accuracy,
            interval=estimate.interval,
            difference=difference,
            reliability=metrics.reliability(np.array(log.confidence)[judged], right[i][judged]),
            confusion=metrics.confusion(
                truth[judged], np.array(log.labels)[judged], playthrough.labels
            ),
        )


def _compared_with(player: Player, players: Sequence[Player], reference: str) -> int | None:
    """Return the index of the reference, without memory if there is, or None for itself."""
    found = {other.memory: i for i, other in enumerate(players) if other.system.name == reference}
    which = found.get(NO_MEMORY, found[player.memory])
    return None if players[which] is player else which


def _mean(values: npt.NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if values.size else None


def _add_energy(
    playthrough: Playthrough,
    players: Sequence[Player],
    protocols: Sequence[Protocol],
    results: tuple[SystemResult, ...],
    options: EvaluationOptions,
) -> tuple[Conditions, tuple[SystemResult, ...]]:
    """Return how the energy was measured, and the results with it if it was."""
    here = Conditions(0.0, platform.machine(), platform.python_version())
    sensor, reason = find_sensor(options.sysfs_root)
    if sensor is None or options.energy_seconds == 0:
        return replace(here, reason=reason), results
    images = read_sample(playthrough)
    if not images:
        reason = (
            f'{sensor.source} is there, but no image of those to time '
            f'(--timed {options.timed}) can be read'
        )
        return replace(here, reason=reason), results
    found = measure_energy(playthrough, players, protocols, images, sensor, options.energy_seconds)
    return (
        replace(here, sensor=sensor.source, scope=sensor.scope, reason=reason),
        tuple(replace(result, energy=found[result.key]) for result in results),
    )


def _curves(
    probes: dict[str, tuple[Player, Player]], frames: PlayedFrames
) -> Iterator[ThresholdCurve]:
    """Yield for each system of two stages the accuracy and cost of its rule at every threshold."""
    truth = np.array(frames.truth)
    judged = truth >= 0
    if not judged.any():
        return
    for name, (first, final) in probes.items():
        rules = curve(
            np.array(first.log.scores)[judged],
            (np.array(first.log.labels) == truth)[judged],
            (np.array(final.log.labels) == truth)[judged],
        ).thinned(CURVE_POINTS)
        macs = rules.cost(*(stage.macs for stage in first.system.bundle.stages))
        columns = (rules.thresholds, rules.accuracy, rules.second_share, macs)
        yield ThresholdCurve(name, *(tuple(column.tolist()) for column in columns))


def _disagreement(
    systems: Sequence[System],
    players: Sequence[Player],
    frames: PlayedFrames,
    reference: str,
    labels: Sequence[str],
) -> Disagreement | None:
    """Return where the first cascade and the reference answer differently, harm first."""
    others = [system for system in systems if system.name != reference]
    if not others:
        return None
    chosen = next((other for other in others if len(other.bundle.stages) > 1), others[0]).name
    mine, theirs = (
        next(player.log for player in players if player.system.name == name)
        for name in (chosen, reference)
    )
    differ = [i for i, (a, b) in enumerate(zip(mine.labels, theirs.labels)) if a != b]
    # Frames of a cluster resemble each other: one of each is shown before the second of any.
    seen: dict[int, int] = {}
    ranks = []
    for i in differ:
        truth, cluster = frames.truth[i], frames.clusters[i]
        seen[cluster] = seen.get(cluster, 0) + 1
        ranks.append((theirs.labels[i] != truth, mine.labels[i] != truth, seen[cluster], i))
    return Disagreement(
        chosen,
        reference,
        len(differ),
        tuple(
            DisagreedFrame(
                frames.numbers[i],
                labels[frames.truth[i]] if frames.truth[i] >= 0 else None,
                labels[mine.labels[i]],
                mine.sources[i],
                labels[theirs.labels[i]],
            )
            for *_, i in sorted(ranks)[:SHOWN_DISAGREEMENTS]
        ),
    )


def _describe_data(source: FrameSource, frames: PlayedFrames) -> EvaluatedData:
    return EvaluatedData(
        source.path.name,
        source.kind,
        hashlib.blake2b(b''.join(sorted(frames.digests)), digest_size=16).hexdigest(),
        len(frames.numbers),
        sum(truth >= 0 for truth in frames.truth),
        frames.unlabelled,
        dict(frames.unknown),
        frames.bad,
        tuple(source.problems),
    )


def _describe_system(system: System) -> EvaluatedSystem:
    stages = system.bundle.stages
    return EvaluatedSystem(
        system.name,
        system.bundle.name,
        tuple(EvaluatedStage(stage.name, stage.macs, stage.architecture) for stage in stages),
        system.rule if len(stages) > 1 else None,
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
