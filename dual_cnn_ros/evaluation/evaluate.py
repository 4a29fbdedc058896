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
Compare cascades and single CNNs on labelled pictures or a rosbag2 recording, frame by frame.

A SYSTEM is BUNDLE (its own rule), BUNDLE@POINT (an operating point of it, by name), or
BUNDLE@first, BUNDLE@second, ... (that CNN alone), or MODEL.json as `train` wrote it (that CNN
alone, without a temperature). BUNDLE is the name of one that comes with the package, or a folder;
NAME=SYSTEM gives a system another name.

The protocol d = x plays all pictures, then a share x of them once more, each turned by a quarter,
a half, three quarters or mirrored if so wished.

What is measured: every CNN is asked once about every picture, and every turned picture, by the
code of the node. Every frame then passes every system's real cascade, fingerprint and memory
included, which is given those answers instead of asking again. For a random sample of the pictures
(--timed) it does ask again, all systems in turn, in an order drawn for each picture: of these
frames, CPU seconds (of the process, one thread, from the decoded picture to the answer) and
latency are measured. Where none of them was answered by a source that a system needs elsewhere, up
to 20 frames that it did answer are timed too, for CPU seconds only: those of a CNN with an empty
memory, those of the memory with one that knows just this frame. Where the machine has a power
sensor with a total, each system also repeats each protocol, on some of these pictures, in a block
of its own, with rests before and after all blocks: joules per image above idle, and in all.
Without one there are no joules.

What is derived: a system's CPU seconds per image are the median of the timed frames that the same
source answered, weighted with that source's share of all frames (none where a source was not
timed). They are of d = 0 in every protocol wherever a source answered there, because a machine is
not as busy in one pass as in another. Multiply-adds are those that the bundle states for the CNNs
that a frame asked.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
import hashlib
import json
from pathlib import Path
import platform
import sys
import tempfile
from time import perf_counter, process_time
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dual_cnn_ros.calibration.thresholds import ALWAYS_DEFER, curve
from dual_cnn_ros.cascade.cascade import Cascade
from dual_cnn_ros.cascade.decision import Decision, MEMORY
from dual_cnn_ros.cascade.fingerprints import FINGERPRINTS
from dual_cnn_ros.cascade.frame import Frame, Image
from dual_cnn_ros.cascade.settings import Settings
from dual_cnn_ros.data.dataset import read_names
from dual_cnn_ros.data.labelled_frames import FrameSource, LabelledFrame, open_frames
from dual_cnn_ros.energy.bench import Bench
from dual_cnn_ros.evaluation import metrics as judge
from dual_cnn_ros.evaluation import page, report
from dual_cnn_ros.evaluation.publication import Publisher
from dual_cnn_ros.evaluation.systems import Answers, Networks, parse, System
from dual_cnn_ros.inference import BACKENDS, DEVICES
from dual_cnn_ros.power.discover import discover
from dual_cnn_ros.power.reading import NoSensorError
from dual_cnn_ros.tools.cli import run_cli

OFF = 'off'
CURVE_POINTS = 101
SHOWN = 24
ENERGY_PICTURES = 100
TIMED_MORE = 20
NAMED = 10
TURNS = (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)


@dataclass(frozen=True)
class Protocol:
    """A share of the pictures is repeated after all of them, turned or as they are."""

    share: float
    turned: bool

    @property
    def name(self) -> str:
        """As shown: 'd=0.5 rotated'."""
        return f'd={self.share:g}' + (' rotated' if self.turned else '')


@dataclass
class Log:
    """
    What one system answered, frame by frame.

    scores: of the first CNN asked, NaN where the memory answered. timed: number of a frame to its
    CPU seconds and wall seconds. more: CPU seconds of frames that were timed for their source.
    """

    labels: list[int] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    multiply_adds: list[int] = field(default_factory=list)
    timed: dict[int, tuple[float, float]] = field(default_factory=dict)
    more: dict[str, list[float]] = field(default_factory=dict)

    @property
    def untimed(self) -> list[str]:
        """Sources that have not been timed."""
        return sorted(set(self.sources) - {self.sources[i] for i in self.timed} - set(self.more))

    def __add__(self, later: Log) -> Log:
        """Return both, one after the other."""
        return Log(
            self.labels + later.labels,
            self.sources + later.sources,
            self.confidence + later.confidence,
            self.scores + later.scores,
            self.multiply_adds + later.multiply_adds,
            self.timed | {i + len(self.labels): t for i, t in later.timed.items()},
            self.more | later.more,
        )


class Player:
    """
    One system under some settings on its way through the frames.

    labels: the classes in common order. is_shown: whether anybody wants to see it by itself.
    """

    def __init__(
        self,
        system: System,
        settings: Settings,
        networks: Networks,
        labels: Sequence[str],
        is_shown: bool = True,
    ) -> None:
        """Make the cascade, with an empty memory."""
        self.system, self.is_shown, self.log = system, is_shown, Log()
        self.memory = settings.fingerprint if settings.memory else OFF
        self.cascade = networks.cascade(system, settings)
        self._again = (system, settings, networks, labels)
        self._place = [labels.index(label) for label in system.bundle.labels]
        self._cost = {spec.name: spec.multiply_adds for spec in system.specs}

    @property
    def name(self) -> str:
        """The system's, and its memory if it has one."""
        return self.system.name + (f', memory {self.memory}' if self.memory != OFF else '')

    def play(self, frame: Frame, timed: bool = False) -> Decision:
        """Answer a frame and note it, with the clocks running or not."""
        wall, cpu = perf_counter(), process_time()
        decision = self.cascade.classify(frame)
        if timed:
            self.log.timed[len(self.log.labels)] = process_time() - cpu, perf_counter() - wall
        self.log.labels.append(self._place[decision.label])
        self.log.sources.append(decision.source)
        self.log.confidence.append(float(decision.probabilities.max()))
        self.log.scores.append(next(iter(decision.scores.values()), float('nan')))
        self.log.multiply_adds.append(sum(self._cost[name] for name in decision.scores))
        return decision

    def cost(self, image: Image, source: str) -> float | None:
        """Return the CPU seconds of a frame that this source answers, None if another one does."""
        cascade = Player(*self._again).cascade
        if source == MEMORY:
            cascade.classify(Frame(image))
        cpu = process_time()
        decision = cascade.classify(Frame(image))
        cpu = process_time() - cpu
        return cpu if decision.source == source else None

    def follower(self, folder: Path) -> Player:
        """Return a player with an empty log and a memory of its own that knows the same."""
        other = Player(*self._again)
        file = folder / 'memory.npz'
        if len(self.cascade.memory):
            self.cascade.memory.save(file, '')
            other.cascade.memory.load(file, '')
        return other


@dataclass
class Frames:
    """
    The frames that were played: place in the data, true label or -1, and bootstrap unit.

    digests: of each frame and its label, those that could not be decoded included.
    """

    index: list[int] = field(default_factory=list)
    truth: list[int] = field(default_factory=list)
    unit: list[int] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)
    unlabelled: int = 0

    def add(self, item: LabelledFrame, labels: Sequence[str]) -> None:
        """Note a frame that was played."""
        self.index.append(item.number)
        self.truth.append(labels.index(item.label) if item.label in labels else -1)
        self.unit.append(item.cluster)
        if item.label is None:
            self.unlabelled += 1
        elif item.label not in labels:
            self.unknown[item.label] += 1

    def __add__(self, later: Frames) -> Frames:
        """Return both, one after the other; what is wrong with the data is said once."""
        return replace(
            self,
            index=self.index + later.index,
            truth=self.truth + later.truth,
            unit=self.unit + later.unit,
        )


class Run:
    """One comparison; see the module."""

    def __init__(
        self,
        source: FrameSource,
        systems: Sequence[System],
        networks: Networks,
        answers: Answers,
        seed: int,
        timed: int,
    ) -> None:
        """Draw the sample of `timed` pictures."""
        self.source, self.systems, self.networks = source, systems, networks
        self.labels = systems[0].bundle.labels
        self.seed, self._answers = seed, answers
        self._splits = np.cumsum(networks.widths)[:-1]
        orders = [
            np.random.default_rng((seed, i)).permutation(source.count).tolist() for i in range(2)
        ]
        self._repeats, self.sample = orders[0], orders[1][:timed]
        self._timed = set(self.sample)

    def repeated(self, share: float) -> set[int]:
        """Return the pictures of a share that is repeated; a larger one has those of a smaller."""
        return set(self._repeats[: round(share * self.source.count)])

    def play(
        self,
        name: str,
        players: Sequence[Player],
        wanted: Collection[int] | None,
        turned: bool,
        publisher: Publisher | None = None,
    ) -> Frames:
        """Play all pictures, or those wanted, to all players, and publish what is in their log."""
        frames = Frames()
        total = self.source.count if wanted is None else len(wanted)
        bar = tqdm(self.source.frames(wanted), name, total, unit='img', disable=None)
        for item in bar:
            frames.digests.append(
                hashlib.blake2b(f'{item.label}\0'.encode() + item.data, digest_size=16).digest()
            )
            try:
                image = item.image()
                if turned:
                    image = turn(image, (self.seed, item.number))
                frame = Frame(image)
                row = self._answers.get(
                    (int(turned), item.number), partial(self.networks.ask, frame)
                )
            except ValueError as error:
                frames.bad[item.name] = str(error)
                continue
            self.networks.answers = np.split(row, self._splits)
            timed = item.number in self._timed
            # Who comes after a large CNN finds the caches full of its weights: nobody always does.
            order = np.random.default_rng((self.seed, item.number)).permutation(len(players))
            for player in map(players.__getitem__, order.tolist()):
                self.networks.live = timed and player.is_shown
                decision = player.play(Frame(image) if timed else frame, timed)
                if publisher is not None and player.is_shown:
                    publisher.write(item, player.name, player.system.bundle, decision)
            self.networks.live = False
            frames.add(item, self.labels)
        return frames

    def time_more(
        self,
        players: Sequence[Player],
        logs: Sequence[Log],
        frames: Frames,
        first: int,
        turned: bool,
    ) -> None:
        """Time what the sample has none of; the frames from number `first` on were turned."""
        wanted: dict[int, list[tuple[bool, Player, Log, str]]] = {}
        for player, log in zip(players, logs):
            for source in log.untimed if self.sample else ():
                places = [i for i, name in enumerate(log.sources) if name == source]
                order = np.random.default_rng((self.seed, len(places))).permutation(places)
                for i in order[:TIMED_MORE].tolist():
                    wanted.setdefault(frames.index[i], []).append(
                        (turned and i >= first, player, log, source)
                    )
        if not wanted:
            return
        self.networks.live = True
        for item in tqdm(
            self.source.frames(wanted), 'timing', len(wanted), unit='img', disable=None
        ):
            image = item.image()
            for is_turned, player, log, source in wanted[item.number]:
                cpu = player.cost(
                    turn(image, (self.seed, item.number)) if is_turned else image, source
                )
                if cpu is not None:
                    log.more.setdefault(source, []).append(cpu)
        self.networks.live = False


def turn(image: Image, seed: tuple[int, int]) -> Image:
    """Return the picture turned by 90, 180 or 270 degrees, or mirrored, as the seed has it."""
    kind = int(np.random.default_rng(seed).integers(len(TURNS) + 1))
    turned = cv2.rotate(image, TURNS[kind]) if kind < len(TURNS) else cv2.flip(image, 1)
    return np.asarray(turned, np.uint8)


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """
    Run the comparison and return what is written as JSON; ValueError or OSError on failure.

    Keys: format. data: name, kind ('images', 'recording'), digest (of all frames and labels, in
    whatever order), frames, labelled, unlabelled,
    unknown_labels (name to frames), bad (name to reason), problems (of labels). labels.
    reference. seed. memory_capacity. timed_pictures. bootstrap: resamples, unit. systems: name,
    bundle, stages (name, architecture, multiply_adds), and for cascades score, thresholds,
    post_check. curves: for each cascade of two, lists of thresholds, accuracy, second_share,
    multiply_adds, with system, protocol, memory. disagreements: system, reference, frames, shown
    (number, label, system, source, reference). times: seconds, machine, python, power. results: a
    list, one for each system, memory ('off' or a fingerprint) and protocol:

    frames, judged (those with a known label) in how many units of the bootstrap, accuracy and its
    interval (null without labels, the interval also below 10 units); difference from
    compared_with, difference_interval, harmed, helped; calibration_error,
    reliability (confidence, accuracy, frames of each bin), confusion (truth to answer to frames);
    sources (name to share, accuracy), second_share (frames that asked more than the first CNN),
    multiply_adds per image; times: cpu_seconds per image, by_source (cpu_seconds, timed),
    latency_p50, latency_p95 in seconds (null where not timed), and with a sensor energy: joules
    per image above idle, error_joules, gross_joules, refused (why there are none above idle),
    idle_watts, images, seconds, coverage.

    All but what `times` hold is the same for the same data, systems and seed.
    """
    begun = perf_counter()
    if options.timed < 0:
        raise ValueError(f'--timed must be 0 or more pictures, not {options.timed}')
    if not options.block > 0:
        raise ValueError(f'--block must be more than 0 seconds, not {options.block:g}')
    systems = _systems(options.systems)
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
    protocols = _protocols(options.repeat, options.rotate)
    memories = ([OFF] if options.memory is not True else []) + (
        options.fingerprint if options.memory is not False else []
    )
    capacity = options.capacity or max(
        Settings.capacity, source.count if source.kind == 'images' else 0
    )
    networks = Networks(systems, options.backend, options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    variants = 1 + any(protocol.turned for protocol in protocols)
    answers = Answers(
        options.out / 'partial.f32',
        [source.identity(), networks.keys, networks.ran_by, options.seed],
        (variants, source.count, sum(networks.widths)),
        options.restart,
    )
    if answers.found:
        print(f'going on with {answers.found} frames of a run that was cut off', file=sys.stderr)
    run = Run(source, systems, networks, answers, options.seed, options.timed)
    players = [
        Player(
            system,
            replace(
                system.settings,
                memory=memory != OFF,
                capacity=capacity,
                fingerprint=memory if memory != OFF else system.settings.fingerprint,
            ),
            networks,
            run.labels,
        )
        for system in systems
        for memory in memories
    ]
    # Neither is timed or shown: at these thresholds each answers what the curve is made of. The
    # rules of a bundle that differ in nothing else have the same ones.
    pairs: dict[tuple[Path, Settings], list[Player]] = {}
    probes = {}
    for system in systems:
        if len(system.stages) == 2:
            lower, upper = (
                replace(system.settings, memory=False, thresholds=(threshold,))
                for threshold in (0.0, ALWAYS_DEFER)
            )
            probes[system.name] = pairs.setdefault(
                (system.bundle.path, lower),
                [Player(system, rule, networks, run.labels, False) for rule in (lower, upper)],
            )
    with ExitStack() as stack:
        stack.enter_context(_one_thread())
        publisher = (
            None
            if options.record is None
            else stack.enter_context(
                Publisher(options.record, source.cameras, [player.name for player in players])
            )
        )
        frames, logs, results = _play(run, players, probes, protocols, reference, publisher)
        power = _measure(run, players, protocols, results, options)
    findings: dict[str, Any] = {
        'format': report.FORMAT,
        'data': {
            'name': source.path.name,
            'kind': source.kind,
            'digest': hashlib.blake2b(
                b''.join(sorted(frames.digests)), digest_size=16
            ).hexdigest(),
            'frames': len(frames.index),
            'labelled': sum(truth >= 0 for truth in frames.truth),
            'unlabelled': frames.unlabelled,
            'unknown_labels': dict(frames.unknown),
            'bad': frames.bad,
            'problems': source.problems,
        },
        'labels': list(run.labels),
        'reference': reference,
        'seed': options.seed,
        'memory_capacity': capacity,
        'timed_pictures': min(options.timed, source.count),
        'bootstrap': {
            'resamples': judge.RESAMPLES,
            'unit': 'picture with its repeats'
            if source.kind == 'images'
            else f'{options.block:g} s of the recording',
        },
        'systems': [_describe(system) for system in systems],
        'results': results,
        'curves': _curves(probes, frames),
        'disagreements': _disagreements(systems, players, logs, frames, reference, run.labels),
        'times': {
            'seconds': round(perf_counter() - begun, 3),
            'machine': platform.machine(),
            'python': platform.python_version(),
            'power': power,
        },
    }
    (options.out / 'evaluate.json').write_text(
        json.dumps(findings, indent=1) + '\n', encoding='utf-8'
    )
    thumbnails = _thumbnails(run, findings['disagreements'])
    (options.out / 'evaluate.html').write_text(
        page.page(findings, thumbnails, _method()), encoding='utf-8'
    )
    answers.remove()
    return findings


def _systems(names: Sequence[str]) -> list[System]:
    systems = [parse(name) for name in names]
    for system in systems:
        same = [text for text, other in zip(names, systems) if other.name == system.name]
        if len(same) > 1:
            raise ValueError(
                f'{" and ".join(same)} are both called {system.name!r}; '
                'put NAME= before one of them'
            )
        if set(system.bundle.labels) != set(systems[0].bundle.labels):
            raise ValueError(
                f'{system.name} has other labels than {systems[0].name}, so they '
                'cannot be compared'
            )
    return systems


def _protocols(shares: Sequence[float], rotate: bool) -> list[Protocol]:
    found = []
    for share in shares:
        if not 0 <= share <= 1:
            raise ValueError(f'--repeat must be shares in [0, 1], not {share:g}')
        found += [
            Protocol(share, turned) for turned in ((False, True) if rotate and share else (False,))
        ]
    return list(dict.fromkeys(found))


def _play(
    run: Run,
    players: Sequence[Player],
    probes: dict[str, list[Player]],
    protocols: Sequence[Protocol],
    reference: str,
    publisher: Publisher | None,
) -> tuple[Frames, list[Log], list[dict[str, Any]]]:
    """Return the frames played once, what each player answered to those, and all results."""
    both = dict.fromkeys([*players, *(probe for pair in probes.values() for probe in pair)])
    frames = run.play('d=0', list(both), None, False, publisher)
    if not frames.index:
        raise ValueError(
            f'{run.source.path}: not one frame could be read, for example '
            f'{next(iter(frames.bad.items()), "")}'
        )
    run.time_more(players, [player.log for player in players], frames, 0, False)
    results = []
    for protocol in protocols:
        played, logs = frames, [player.log for player in players]
        if protocol.share:
            with tempfile.TemporaryDirectory() as folder:
                followers = [player.follower(Path(folder)) for player in players]
            wanted = run.repeated(protocol.share)
            played = frames + run.play(protocol.name, followers, wanted, protocol.turned)
            logs = [log + follower.log for log, follower in zip(logs, followers)]
            run.time_more(players, logs, played, len(frames.index), protocol.turned)
        results += _results(run, protocol, players, logs, played, reference, len(frames.index))
    return frames, [player.log for player in players], results


def _results(
    run: Run,
    protocol: Protocol,
    players: Sequence[Player],
    logs: Sequence[Log],
    frames: Frames,
    reference: str,
    first: int,
) -> list[dict[str, Any]]:
    """Return what became of all frames, of which so many are those of d = 0."""
    truth, units = np.array(frames.truth), np.array(frames.unit)
    judged = truth >= 0
    right = [np.array(log.labels) == truth for log in logs]
    others = [_compared_with(player, players, reference) for player in players]
    accuracies: list[dict[str, Any]] = [{'units': 0, 'accuracy': None} for _ in players]
    if judged.any():
        accuracies = judge.bootstrap(
            [row[judged] for row in right], units[judged], others, run.seed
        )
    results = []
    for i, (player, log, other, accuracy) in enumerate(zip(players, logs, others, accuracies)):
        sources = np.array(log.sources)
        result: dict[str, Any] = {
            'system': player.system.name,
            'memory': player.memory,
            'protocol': protocol.name,
            'frames': len(truth),
            'judged': int(judged.sum()),
            **accuracy,
        }
        if judged.any():
            if other is not None:
                result['compared_with'] = players[other].name
                result['harmed'] = int((right[other] & ~right[i] & judged).sum())
                result['helped'] = int((~right[other] & right[i] & judged).sum())
            result['calibration_error'], result['reliability'] = judge.reliability(
                np.array(log.confidence)[judged], right[i][judged]
            )
            result['confusion'] = judge.confusion(
                truth[judged], np.array(log.labels)[judged], run.labels
            )
        names = [
            name
            for name in ('memory', *(spec.name for spec in player.system.specs))
            if name in sources
        ]
        result['sources'] = {
            name: {
                'share': float((sources == name).mean()),
                'accuracy': _mean(right[i][judged & (sources == name)]),
            }
            for name in names
        }
        result['second_share'] = sum(
            result['sources'][name]['share']
            for name in names
            if name not in ('memory', player.system.specs[0].name)
        )
        result['multiply_adds'] = float(np.mean(log.multiply_adds))
        result['times'] = _times(log, result['sources'], first)
        results.append(result)
    return results


def _measure(
    run: Run,
    players: Sequence[Player],
    protocols: Sequence[Protocol],
    results: Sequence[dict[str, Any]],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Add the energy of each system and protocol to its times; return by which sensor."""
    try:
        sensor = discover('auto', options.sysfs_root)
    except NoSensorError as error:
        return {'sensor': None, 'reason': str(error)}
    found = {'sensor': sensor.source, 'scope': sensor.scope, 'reason': sensor.reason}
    if not sensor.members or options.energy_seconds <= 0:
        return {**found, 'sensor': None}
    images: dict[int, Image] = {}
    for item in run.source.frames(set(run.sample[:ENERGY_PICTURES])):
        with suppress(ValueError):
            images[item.number] = item.image()
    if not images:
        return {
            **found,
            'sensor': None,
            'reason': f'{sensor.source} is there, but no picture of '
            f'those to time (--timed {options.timed}) can be read',
        }
    works, counts = {}, {}
    pairs = [(player, protocol) for protocol in protocols for player in players]
    for (player, protocol), result in zip(pairs, results):
        repeated = list(images)[: round(protocol.share * len(images))]
        frames = [
            *images.values(),
            *(turn(images[i], (run.seed, i)) if protocol.turned else images[i] for i in repeated),
        ]
        name = f'{player.name}, {protocol.name}'
        works[name] = partial(_once, player.cascade, frames)
        counts[name] = len(frames), result
    run.networks.live = True
    with tqdm(total=len(works) + 2, desc='energy', unit='block', disable=None) as bar:

        def begun(name: str) -> None:
            bar.update(not name.endswith('again'))

        costs = Bench(sensor, options.energy_seconds, begun=begun).run(works)
    run.networks.live = False
    for name, cost in costs.items():
        count, result = counts[name]
        result['times']['energy'] = {
            **{
                key: None if joules is None else joules / count
                for key, joules in (
                    ('joules', cost.joules),
                    ('error_joules', cost.standard_error),
                    ('gross_joules', cost.gross),
                )
            },
            'refused': cost.net.refused,
            'idle_watts': cost.idle.watts if cost.idle.rests else None,
            'images': cost.images * count,
            'seconds': cost.energy.window,
            'coverage': cost.energy.coverage,
        }
    return found


def _once(cascade: Cascade, images: Sequence[Image]) -> None:
    """Play a protocol of its own from its beginning."""
    cascade.memory.clear()
    for image in images:
        cascade.classify(Frame(image))


def _compared_with(player: Player, players: Sequence[Player], reference: str) -> int | None:
    """Return which player this one is compared with: the reference without memory if there is."""
    found = {other.memory: i for i, other in enumerate(players) if other.system.name == reference}
    which = found.get(OFF, found[player.memory])
    return None if players[which] is player else which


def _times(log: Log, sources: dict[str, Any], first: int) -> dict[str, Any]:
    """Return CPU seconds per image and percentiles of the latency; see the module."""
    by_source: dict[str, Any] = {}
    for name in sources:
        timed = [i for i in log.timed if log.sources[i] == name]
        cpu = [log.timed[i][0] for i in [i for i in timed if i < first] or timed]
        cpu += log.more.get(name, ())
        if cpu:
            by_source[name] = {'cpu_seconds': float(np.median(cpu)), 'timed': len(cpu)}
    p50, p95 = (
        np.percentile([wall for _, wall in log.timed.values()], (50, 95)).tolist()
        if log.timed
        else (None, None)
    )
    return {
        'cpu_seconds': sum(
            sources[name]['share'] * entry['cpu_seconds'] for name, entry in by_source.items()
        )
        if len(by_source) == len(sources)
        else None,
        'by_source': by_source,
        'latency_p50': p50,
        'latency_p95': p95,
    }


def _mean(values: npt.NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if values.size else None


def _curves(probes: dict[str, list[Player]], frames: Frames) -> list[dict[str, Any]]:
    """Return for each cascade of two the accuracy and cost of its rule at every threshold."""
    truth = np.array(frames.truth)
    judged, found = truth >= 0, []
    for name, (first, final) in probes.items():
        if not judged.any():
            break
        costs = [spec.multiply_adds for spec in first.system.specs]
        all_ = curve(
            np.array(first.log.scores)[judged],
            (np.array(first.log.labels) == truth)[judged],
            (np.array(final.log.labels) == truth)[judged],
        ).thinned(CURVE_POINTS)
        found.append(
            {
                'system': name,
                'protocol': 'd=0',
                'memory': OFF,
                'thresholds': all_.thresholds.tolist(),
                'accuracy': all_.accuracy.tolist(),
                'second_share': all_.second_share.tolist(),
                'multiply_adds': all_.cost(*costs).tolist(),
            }
        )
    return found


def _disagreements(
    systems: Sequence[System],
    players: Sequence[Player],
    logs: Sequence[Log],
    frames: Frames,
    reference: str,
    labels: Sequence[str],
) -> dict[str, Any]:
    """Return where the first cascade and the reference answer differently, harm first."""
    others = [system for system in systems if system.name != reference]
    if not others:
        return {}
    chosen = next((system for system in others if len(system.stages) > 1), others[0]).name
    mine, theirs = (
        next(log for player, log in zip(players, logs) if player.system.name == name)
        for name in (chosen, reference)
    )

    differ = [i for i, (a, b) in enumerate(zip(mine.labels, theirs.labels)) if a != b]
    # Of a stretch of a recording one frame tells as much as all.
    seen: Counter[int] = Counter()
    ranks = []
    for i in differ:
        seen[frames.unit[i]] += 1
        truth = frames.truth[i]
        ranks.append((theirs.labels[i] != truth, mine.labels[i] != truth, seen[frames.unit[i]], i))
    return {
        'system': chosen,
        'reference': reference,
        'frames': len(differ),
        'shown': [
            {
                'number': frames.index[i],
                'label': labels[frames.truth[i]] if frames.truth[i] >= 0 else None,
                'system': labels[mine.labels[i]],
                'source': mine.sources[i],
                'reference': labels[theirs.labels[i]],
            }
            for *_, i in sorted(ranks)[:SHOWN]
        ],
    }


def _thumbnails(run: Run, disagreements: dict[str, Any]) -> dict[int, Image]:
    """Return the pictures that are shown, by number."""
    wanted = {entry['number'] for entry in disagreements.get('shown', ())}
    return {item.number: item.image() for item in run.source.frames(wanted)}


def _method() -> str:
    """Return what the module says of measuring."""
    return ''.join((__doc__ or '').partition('What is measured')[1:])


def _describe(system: System) -> dict[str, Any]:
    settings = system.settings
    rule = (
        {
            'score': settings.score,
            'thresholds': list(settings.thresholds),
            'post_check': settings.post_check,
        }
        if len(system.stages) > 1
        else {}
    )
    return {
        'name': system.name,
        'bundle': system.bundle.name,
        'stages': [
            {
                'name': spec.name,
                'architecture': spec.source.architecture,
                'multiply_adds': spec.multiply_adds,
            }
            for spec in system.specs
        ],
        **rule,
    }


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='evaluate', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'data',
        type=Path,
        nargs='?',
        help='folder or tar of pictures, '
        '<class>/<file> or <split>/<class>/<file>, or a rosbag2 recording',
    )
    parser.add_argument('systems', nargs='*', metavar='SYSTEM', help='see above')
    parser.add_argument('--out', type=Path, help='folder of the results')
    parser.add_argument(
        '--repeat',
        type=float,
        nargs='+',
        default=[0.0],
        metavar='D',
        help='shares of the pictures that are repeated, a protocol each (0)',
    )
    parser.add_argument(
        '--rotate',
        action='store_true',
        help='every protocol with repeats once more, with turned repeats',
    )
    parser.add_argument(
        '--memory',
        action=argparse.BooleanOptionalAction,
        help='only with the memory, or only without (both)',
    )
    parser.add_argument(
        '--fingerprint',
        nargs='+',
        choices=tuple(FINGERPRINTS),
        default=['dhash'],
        help='of the memory, a system each (dhash)',
    )
    parser.add_argument(
        '--capacity',
        type=int,
        metavar='FRAMES',
        help=f'of the memory (for pictures as many as there are, else {Settings.capacity})',
    )
    parser.add_argument(
        '--reference', metavar='NAME', help='the system that all are compared with (the first)'
    )
    parser.add_argument('--split', help="of the pictures, where there are several ('test')")
    parser.add_argument('--exclude', type=Path, metavar='FILE', help='names to leave out')
    parser.add_argument(
        '--labels',
        type=Path,
        metavar='CSV',
        help='labels of a recording; '
        'columns label, frame or stamp, and topic (its ground_truth topics)',
    )
    parser.add_argument('--topics', nargs='+', metavar='TOPIC', help='of a recording (all images)')
    parser.add_argument(
        '--block',
        type=float,
        default=2.0,
        metavar='SECONDS',
        help='of a recording, drawn as one by bootstrap: neighbours resemble (2)',
    )
    parser.add_argument(
        '--timed',
        type=int,
        default=500,
        metavar='N',
        help='pictures for which all systems are timed (500)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of everything drawn (0)')
    parser.add_argument(
        '--backend', choices=('auto', *BACKENDS), default='auto', help='as of the node (auto)'
    )
    parser.add_argument('--device', choices=DEVICES, default='auto', help='as of the node (auto)')
    parser.add_argument(
        '--energy-seconds',
        type=float,
        default=10.0,
        metavar='SECONDS',
        help='of each block where there is a power sensor; 0: none (10)',
    )
    parser.add_argument(
        '--sysfs-root', type=Path, default=Path('/sys'), help='where sysfs is mounted (/sys)'
    )
    parser.add_argument(
        '--record',
        type=Path,
        metavar='DIR',
        help='write what the node would publish about all frames as a recording',
    )
    parser.add_argument(
        '--restart',
        action='store_true',
        help='begin anew in place of going on with a run that was cut off',
    )
    against = parser.add_argument_group(
        'comparing two reports, for regression tests; the exit '
        'code is 1 where one became worse, 2 for an error'
    )
    against.add_argument(
        '--compare',
        type=Path,
        nargs=2,
        metavar=('BEFORE', 'AFTER'),
        help='two evaluate.json, in place of DATA and SYSTEM',
    )
    against.add_argument(
        '--accuracy-tolerance',
        type=float,
        default=0.005,
        metavar='X',
        help='by how much accuracy may fall (0.005)',
    )
    against.add_argument(
        '--cost-tolerance',
        type=float,
        default=0.05,
        metavar='X',
        help='by what share multiply-adds may rise, and by how much the second share (0.05)',
    )
    for key, what in report.MEASURED.items():
        against.add_argument(
            f'--{key}',
            action='store_true',
            help=f'{what} must not rise either, by more than that share',
        )
    return parser


def _compare(options: argparse.Namespace) -> int:
    try:
        before, after = (json.loads(file.read_text(encoding='utf-8')) for file in options.compare)
        text, worse = report.compare(
            before,
            after,
            options.accuracy_tolerance,
            options.cost_tolerance,
            [key for key in report.MEASURED if getattr(options, key)],
        )
    except (ValueError, OSError, KeyError, TypeError) as error:
        print(
            f'evaluate: {" ".join(map(str, options.compare))}: {error!r}'
            if isinstance(error, (KeyError, TypeError))
            else f'evaluate: {error}',
            file=sys.stderr,
        )
        return 2
    print(text)
    for line in worse:
        print(f'WORSE {line}')
    return 1 if worse else 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 1 where anything failed or became worse, 2 for bad usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.compare:
        return _compare(options)
    if not options.systems or options.out is None:
        parser.error('needs DATA, one SYSTEM or more, and --out; or --compare')

    def work() -> None:
        print(report.table(evaluate(options)))
        print(f'report: {options.out / "evaluate.json"} and {options.out / "evaluate.html"}')

    return run_cli('evaluate', work, 'interrupted; the same command goes on from here')


if __name__ == '__main__':
    sys.exit(main())
