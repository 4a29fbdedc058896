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

"""Play every frame to the real cascade of every system, and log what they answer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
import hashlib
from pathlib import Path
import tempfile
from time import perf_counter, process_time

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dual_cnn_ros.cascade.audit import AuditRecord
from dual_cnn_ros.cascade.cascade import ask
from dual_cnn_ros.cascade.decision import Decision, MEMORY
from dual_cnn_ros.cascade.frame import Frame, Image
from dual_cnn_ros.cascade.settings import MemorySettings, Settings
from dual_cnn_ros.data.labelled_frames import FrameSource, LabelledFrame
from dual_cnn_ros.evaluation.findings import NO_MEMORY, title
from dual_cnn_ros.evaluation.protocol import turn
from dual_cnn_ros.evaluation.publication import DecisionRecorder
from dual_cnn_ros.evaluation.systems import AnswerFile, Networks, System
from dual_cnn_ros.evaluation.views import Views


@dataclass
class AnswerLog:
    """
    What one system answered, frame by frame.

    Attributes
    ----------
    labels
        The answers, in the common order of labels.
    sources
        Who answered.
    confidence
        Largest probability of the answer.
    scores
        Of the stages asked, in order; none where the memory answered.
    macs
        Of the CNNs asked.
    hits
        Whether the frame resembled a remembered one.
    wrong
        Whether the memory answered, and the cascade itself says another label.
    changed
        Share of the pixels that differ from the frame that the memory answered by; NaN where it
        did not answer, or not by one of the same pass.
    records
        Of the memory of each camera, at the end of each pass.
    timed
        Number of a frame to its CPU seconds and wall seconds.
    timed_alone
        CPU seconds of frames that were timed for their source, by source.

    """

    labels: list[int] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    scores: list[tuple[float, ...]] = field(default_factory=list)
    macs: list[int] = field(default_factory=list)
    hits: list[bool] = field(default_factory=list)
    wrong: list[bool] = field(default_factory=list)
    changed: list[float] = field(default_factory=list)
    records: list[AuditRecord] = field(default_factory=list)
    timed: dict[int, tuple[float, float]] = field(default_factory=dict)
    timed_alone: dict[str, list[float]] = field(default_factory=dict)

    @property
    def untimed(self) -> list[str]:
        """Sources that have not been timed."""
        timed = {self.sources[i] for i in self.timed} | set(self.timed_alone)
        return sorted(set(self.sources) - timed)

    def __add__(self, later: AnswerLog) -> AnswerLog:
        """Return both, one after the other."""
        return AnswerLog(
            self.labels + later.labels,
            self.sources + later.sources,
            self.confidence + later.confidence,
            self.scores + later.scores,
            self.macs + later.macs,
            self.hits + later.hits,
            self.wrong + later.wrong,
            self.changed + later.changed,
            self.records + later.records,
            self.timed | {i + len(self.labels): t for i, t in later.timed.items()},
            self.timed_alone | later.timed_alone,
        )


class Player:
    """
    One system with or without a memory, and what it answered.

    Parameters
    ----------
    system
        What to play.
    networks
        The CNNs.
    labels
        The classes in common order.
    remember
        How the memory works; None for no memory.
    seed
        Of its audits.

    """

    def __init__(
        self,
        system: System,
        networks: Networks,
        labels: Sequence[str],
        remember: MemorySettings | None = None,
        seed: int = 0,
    ) -> None:
        self.system, self.log = system, AnswerLog()
        self.memory = NO_MEMORY if remember is None else remember.fingerprint
        settings = Settings(system.rule, remember is not None, remember or MemorySettings())
        self._number = -1
        # By a clock of frames, an answer tells by its age which one it is from.
        self.cascade = networks.cascade(system, settings, lambda: self._number, seed)
        self._again = partial(Player, system, networks, labels, remember, seed)
        self._networks = networks
        self._place = [labels.index(label) for label in system.bundle.labels]
        self._macs = {spec.name: spec.macs for spec in system.bundle.stages}

    @property
    def title(self) -> str:
        """The system's name, and its memory if it has one."""
        return title(self.system.name, self.memory)

    def play(self, frame: Frame, camera: str, timed: bool = False) -> Decision:
        """Answer a frame of a camera and log it, with the clocks running or not."""
        self._number += 1
        wall, cpu = perf_counter(), process_time()
        decision = self.cascade.classify(frame, camera)
        if timed:
            self.log.timed[len(self.log.labels)] = process_time() - cpu, perf_counter() - wall
        self.log.labels.append(self._place[decision.label])
        self.log.sources.append(decision.source)
        self.log.confidence.append(float(decision.probabilities.max()))
        self.log.scores.append(tuple(decision.scores.values()))
        self.log.macs.append(sum(self._macs[name] for name in decision.scores))
        self.log.hits.append(decision.distance is not None)
        self.log.wrong.append(
            decision.source == MEMORY and decision.label != self._own_label(frame)
        )
        return decision

    def _own_label(self, frame: Frame) -> int:
        """Return what the stages say of the frame, by what is known of them."""
        was_live, self._networks.live = self._networks.live, False
        label = ask(self.cascade.stages, frame, self.system.rule).label
        self._networks.live = was_live
        return label

    def time_alone(self, image: Image, source: str) -> float | None:
        """Return the CPU seconds of a frame that this source answers, None if another one does."""
        cascade = self._again().cascade
        if source == MEMORY:
            cascade.classify(Frame(image))
        cpu = process_time()
        decision = cascade.classify(Frame(image))
        cpu = process_time() - cpu
        return cpu if decision.source == source else None

    def successor(self) -> Player:
        """Return a player with an empty log and a copy of the memory."""
        other = self._again()
        if len(self.cascade.memory):
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / 'memory.npz'
                self.cascade.memory.save(file, '')
                other.cascade.memory.load(file, '')
        return other


@dataclass
class PlayedFrames:
    """
    The frames that were played.

    Attributes
    ----------
    numbers
        Their places in the data.
    labels
        True labels, None where there is none.
    clusters
        Which the bootstrap draws as one.
    digests
        Of each frame and its label, those that could not be decoded included.
    bad
        Names of frames that could not be decoded, and why.

    """

    numbers: list[int] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    clusters: list[int] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)

    def truth(self, known: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the places of the labels among those that are known, (N,), -1 for others."""
        places = {label: place for place, label in enumerate(known)}
        return np.array([-1 if label is None else places.get(label, -1) for label in self.labels])

    def __add__(self, later: PlayedFrames) -> PlayedFrames:
        """Return both, one after the other; the rest is that of the first."""
        return replace(
            self,
            numbers=self.numbers + later.numbers,
            labels=self.labels + later.labels,
            clusters=self.clusters + later.clusters,
        )


class Playthrough:
    """
    Plays the frames of a source to any number of players, every CNN being asked once.

    Parameters
    ----------
    source
        The frames.
    labels
        The classes in common order.
    networks
        The CNNs of all players.
    answers
        Keeps what they answered.
    seed
        Of everything drawn.
    timed
        Number of images for which the CNNs run once more, to be timed.

    Attributes
    ----------
    sample
        Numbers of the images that are timed, in the order drawn.

    """

    def __init__(
        self,
        source: FrameSource,
        labels: Sequence[str],
        networks: Networks,
        answers: AnswerFile,
        seed: int,
        timed: int,
    ) -> None:
        self.source, self.labels, self.networks, self.seed = source, labels, networks, seed
        self._answers = answers
        self._splits = np.cumsum(networks.widths)[:-1]
        orders = [
            np.random.default_rng((seed, i)).permutation(source.count).tolist() for i in range(2)
        ]
        self._repeats, self.sample = orders[0], orders[1][:timed]
        self._timed = set(self.sample)

    def repeated(self, share: float) -> set[int]:
        """Return the images of a share that is repeated; a larger one has those of a smaller."""
        return set(self._repeats[: round(share * self.source.count)])

    def frames(self, what: str, wanted: Collection[int] | None = None) -> Iterator[LabelledFrame]:
        """Yield all frames, or those wanted, with a progress bar that says what is done."""
        total = self.source.count if wanted is None else len(wanted)
        yield from tqdm(self.source.frames(wanted), what, total, unit='img', disable=None)

    def turned(self, image: Image, number: int) -> Image:
        """Return the image of a number, turned."""
        return turn(image, (self.seed, number))

    def play(
        self,
        what: str,
        players: Sequence[Player],
        wanted: Collection[int] | None = None,
        turned: bool = False,
        probes: Sequence[Player] = (),
        recorder: DecisionRecorder | None = None,
    ) -> PlayedFrames:
        """
        Play frames to players, who log what they answer.

        Parameters
        ----------
        what
            Name of the pass.
        players
            In any order: it is drawn anew for each frame.
        wanted
            Numbers of the frames, None for all.
        turned
            Whether images are turned.
        probes
            Players that are neither timed nor recorded.
        recorder
            Is given the decisions of the players.

        """
        played, views = PlayedFrames(), Views(self.source.count)
        for labelled in self.frames(what, wanted):
            content = f'{labelled.label}\0'.encode() + labelled.data
            played.digests.append(hashlib.blake2b(content, digest_size=16).digest())
            try:
                image = labelled.image()
                if turned:
                    image = self.turned(image, labelled.number)
                frame = Frame(image)
                row = self._answers.get(
                    (int(turned), labelled.number), partial(self.networks.ask, frame)
                )
            except ValueError as error:
                played.bad[labelled.name] = str(error)
                continue
            self.networks.answers = np.split(row, self._splits)
            for probe in probes:
                probe.play(frame, labelled.camera)
            views.add(image)
            self.networks.live = timed = labelled.number in self._timed
            # A large CNN leaves the caches full of its weights, which slows down whoever is next.
            order = np.random.default_rng((self.seed, labelled.number)).permutation(len(players))
            for player in map(players.__getitem__, order.tolist()):
                decision = player.play(Frame(image) if timed else frame, labelled.camera, timed)
                player.log.changed.append(views.changed(decision.age))
                if recorder is not None:
                    recorder.write(labelled, player.title, player.system.bundle, decision)
            self.networks.live = False
            played.numbers.append(labelled.number)
            played.labels.append(labelled.label)
            played.clusters.append(labelled.cluster)
        for player in players:
            player.log.records += player.cascade.memory.records()
        return played
