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
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
import platform
import sys
from time import perf_counter

import cv2

from dual_cnn_ros.cascade.settings import ALWAYS_DEFER, Criterion, MemorySettings, Rule
from dual_cnn_ros.data.dataset import read_names
from dual_cnn_ros.data.labelled_frames import open_frames
from dual_cnn_ros.evaluation.energy import find_sensor, measure_energy, read_sample
from dual_cnn_ros.evaluation.findings import (
    Conditions,
    EvaluationFindings,
    SystemResult,
    write_evaluation,
)
from dual_cnn_ros.evaluation.metrics import RESAMPLES
from dual_cnn_ros.evaluation.page import make_page
from dual_cnn_ros.evaluation.player import PlayedFrames, Player, Playthrough
from dual_cnn_ros.evaluation.protocol import make_protocols, METHOD, Protocol
from dual_cnn_ros.evaluation.publication import DecisionRecorder, record_decisions
from dual_cnn_ros.evaluation.results import (
    best_single,
    describe_data,
    describe_system,
    find_disagreement,
    protocol_results,
    threshold_fronts,
)
from dual_cnn_ros.evaluation.systems import AnswerFile, Networks, parse_systems, System
from dual_cnn_ros.evaluation.timing import time_untimed
from dual_cnn_ros.files import write_atomically
from dual_cnn_ros.inference import PROVIDERS


@dataclass(frozen=True)
class EvaluationOptions:
    """
    What to compare, and how.

    Attributes
    ----------
    data
        Folder or tar of images, a recording, or a video.
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
        Of the memory; None for as many frames as there are images, or the default.
    audit
        Share of the memory's hits that are computed anyway.
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
    backend, providers
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
    fingerprints: tuple[str, ...] = (MemorySettings.fingerprint,)
    capacity: int | None = None
    audit: float = MemorySettings.audit
    reference: str | None = None
    split: str | None = None
    exclude: Path | None = None
    labels: Path | None = None
    topics: tuple[str, ...] = ()
    block: float = 2.0
    timed: int = 500
    seed: int = 0
    backend: str = 'auto'
    providers: tuple[str, ...] = PROVIDERS
    energy_seconds: float = 10.0
    sysfs_root: Path = Path('/sys')
    record: Path | None = None
    restart: bool = False


def evaluate(options: EvaluationOptions) -> EvaluationFindings:
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
    # Open.
    systems = parse_systems(options.systems)
    names = [system.name for system in systems]
    if options.reference not in (None, *names):
        raise ValueError(
            f'--reference {options.reference!r} is none of the systems: {"; ".join(names)}'
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
    networks = Networks(systems, options.backend, options.providers)
    options.out.mkdir(parents=True, exist_ok=True)
    answers = AnswerFile(
        options.out / 'partial.f32',
        [source.identity(), networks.keys, networks.ran_by, options.seed],
        (1 + any(protocol.turned for protocol in protocols), source.count, sum(networks.widths)),
        options.restart,
    )
    if answers.found:
        print(f'going on with {answers.found} frames of a run that was cut off', file=sys.stderr)
    labels = systems[0].bundle.labels
    playthrough = Playthrough(source, labels, networks, answers, options.seed, options.timed)
    if source.kind == 'images':
        cluster, least_capacity = 'image with its repeats', source.count
    else:
        cluster, least_capacity = f'{options.block:g} s of the {source.kind}', 0
    capacity = options.capacity or max(MemorySettings.capacity, least_capacity)
    # Images are no stream in which to wait for a scene to stand still.
    patience = 0 if source.kind == 'images' else MemorySettings.patience
    memories: list[MemorySettings | None] = [] if options.memory is True else [None]
    for fingerprint in () if options.memory is False else options.fingerprints:
        memories.append(
            MemorySettings(fingerprint, capacity, audit=options.audit, patience=patience)
        )
    players = [
        Player(system, networks, labels, remember, options.seed)
        for system in systems
        for remember in memories
    ]
    probes = _probes(systems, networks, labels)

    # Play, and judge each protocol.
    titles = [player.title for player in players]
    recording = (
        record_decisions(options.record, source.cameras, titles)
        if options.record
        else nullcontext()
    )
    with _one_thread(), recording as recorder:
        frames, reference, results = _play(
            playthrough, players, probes, protocols, options.reference, recorder
        )
        conditions, results = _add_energy(playthrough, players, protocols, results, options)
    findings = EvaluationFindings(
        describe_data(source, frames, labels),
        labels,
        reference,
        options.seed,
        capacity,
        min(options.timed, source.count),
        RESAMPLES,
        cluster,
        tuple(describe_system(system) for system in systems),
        results,
        tuple(threshold_fronts(probes, frames.truth(labels))),
        replace(
            conditions,
            seconds=round(perf_counter() - begun, 3),
            runs_on=tuple(dict.fromkeys(networks.ran_by)),
        ),
        find_disagreement(systems, players, frames, reference, labels),
    )

    # Write.
    write_evaluation(findings, options.out / 'evaluate.json')
    shown = findings.disagreement.shown if findings.disagreement else ()
    images = {f.number: f.image() for f in source.frames({entry.number for entry in shown})}
    write_atomically(options.out / 'evaluate.html', make_page(findings, images, METHOD).encode())
    answers.remove()
    return findings


def _probes(
    systems: Sequence[System], networks: Networks, labels: Sequence[str]
) -> dict[str, tuple[Player, ...]]:
    """
    Return for each system of several stages a player that stops at each of them.

    What these answer decides what the system answers at any thresholds. Of rules that differ in
    nothing but the thresholds, the first has them.
    """
    probes: dict[tuple[Path, Rule], tuple[str, tuple[Player, ...]]] = {}
    for system in systems:
        if system.is_single:
            continue
        stops = _stops(system.rule)
        players = tuple(Player(replace(system, rule=rule), networks, labels) for rule in stops)
        probes.setdefault((system.bundle.path, stops[-1]), (system.name, players))
    return dict(probes.values())


def _stops(rule: Rule) -> list[Rule]:
    """Return rules that differ in the thresholds only, and stop at each stage in turn."""

    def stopping_at(stage: int) -> Rule:
        thresholds = [ALWAYS_DEFER] * stage + [0.0] * (len(rule.criteria) - stage)
        criteria = zip(rule.criteria, thresholds)
        return replace(rule, criteria=tuple(Criterion(c.score, t) for c, t in criteria))

    return [stopping_at(stage) for stage in range(len(rule.criteria) + 1)]


def _play(
    playthrough: Playthrough,
    players: Sequence[Player],
    probes: dict[str, tuple[Player, ...]],
    protocols: Sequence[Protocol],
    reference: str | None,
    recorder: DecisionRecorder | None,
) -> tuple[PlayedFrames, str, tuple[SystemResult, ...]]:
    """Return the frames of the first pass, the reference, and the results of all protocols."""
    stopping = [player for players in probes.values() for player in players]
    frames = playthrough.play('d=0', players, probes=stopping, recorder=recorder)
    count = len(frames.numbers)
    if not count:
        raise ValueError(
            f'{playthrough.source.path}: not one frame could be read, for example '
            f'{next(iter(frames.bad.items()), "")}'
        )
    time_untimed(playthrough, players, [player.log for player in players], frames, count)
    reference = reference or best_single(players, frames.truth(playthrough.labels))
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
        results += protocol_results(playthrough, protocol, players, logs, played, reference, count)
    return frames, reference, tuple(results)


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


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
