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

"""From the answers of all players to findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
import hashlib

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.calibration.reliability import reliability
from dual_cnn_ros.calibration.thresholds import threshold_outcomes
from dual_cnn_ros.cascade.audit import upper_bound
from dual_cnn_ros.cascade.decision import MEMORY
from dual_cnn_ros.data.labelled_frames import FrameSource
from dual_cnn_ros.evaluation.findings import (
    Difference,
    DisagreedFrame,
    Disagreement,
    EvaluatedData,
    EvaluatedStage,
    EvaluatedSystem,
    MemoryFindings,
    NO_MEMORY,
    SourceShare,
    SystemResult,
    ThresholdFront,
)
from dual_cnn_ros.evaluation.metrics import bootstrap, confusion
from dual_cnn_ros.evaluation.player import AnswerLog, PlayedFrames, Player, Playthrough
from dual_cnn_ros.evaluation.protocol import Protocol
from dual_cnn_ros.evaluation.systems import System
from dual_cnn_ros.evaluation.timing import summarise_times
from dual_cnn_ros.evaluation.views import CHANGED

_FRONT_POINTS = 101
_SHOWN = 24


def best_single(players: Sequence[Player], truth: npt.NDArray[np.int64]) -> str:
    """
    Return the name of the single CNN that is right most often, the cheapest of equals.

    Without one, or without labels, it is the first single CNN, or the first system.

    Parameters
    ----------
    players
        After the first pass.
    truth
        The true classes of its frames, -1 where unknown.

    """
    judged = truth >= 0
    singles = [player for player in players if player.system.is_single] or players[:1]

    def worth(player: Player) -> tuple[float, int]:
        right = (np.array(player.log.labels) == truth)[judged]
        return float(right.sum()), -player.system.bundle.stages[0].macs

    best = max(singles, key=worth) if judged.any() else singles[0]
    return best.system.name


def protocol_results(
    playthrough: Playthrough,
    protocol: Protocol,
    players: Sequence[Player],
    logs: Sequence[AnswerLog],
    frames: PlayedFrames,
    reference: str,
    first_pass: int,
) -> Iterator[SystemResult]:
    """
    Yield the result of each player in a protocol.

    Parameters
    ----------
    playthrough
        Has the labels and the seed.
    protocol
        Its name goes into the results.
    players, logs
        Who played, and what each answered.
    frames
        All that were played, repeats included.
    reference
        Name of the system that all others are compared with.
    first_pass
        Number of frames of the first pass.

    """
    truth = frames.truth(playthrough.labels)
    judged = truth >= 0
    truth, clusters = truth[judged], np.array(frames.clusters)[judged]
    answers = [np.array(log.labels)[judged] for log in logs]
    right = [answer == truth for answer in answers]
    others = [_compared_with(player, players, reference) for player in players]
    gains = [
        own.astype(int) - (own if other is None else right[other])
        for own, other in zip(right, others)
    ]
    accuracies = bootstrap(right, clusters, playthrough.seed)
    differences = bootstrap(gains, clusters, playthrough.seed, least=-1.0)
    for i, (player, log, accuracy, gain) in enumerate(zip(players, logs, accuracies, differences)):
        first, *later = (stage.name for stage in player.system.bundle.stages)
        shares = _shares((MEMORY, first, *later), np.array(log.sources), right[i], judged)
        difference, other = None, others[i]
        if other is not None and gain.mean is not None:
            harmed, helped = (int((gains[i] == sign).sum()) for sign in (-1, 1))
            difference = Difference(players[other].title, gain.mean, gain.interval, harmed, helped)
        confidence = np.array(log.confidence)[judged]
        yield SystemResult(
            player.system.name,
            player.memory,
            protocol.name,
            len(judged),
            len(truth),
            len(np.unique(clusters)),
            sum(shares[name].share for name in later if name in shares),
            float(np.mean(log.macs)),
            shares,
            accuracy.mean,
            accuracy.interval,
            difference,
            reliability(confidence, right[i]) if len(truth) else None,
            confusion(truth, answers[i], playthrough.labels),
            summarise_times(log, shares, first_pass),
            remembered=_memory_findings(player, log),
        )


def _memory_findings(player: Player, log: AnswerLog) -> MemoryFindings | None:
    if player.memory == NO_MEMORY:
        return None
    answered = np.array(log.sources) == MEMORY
    changed = np.array(log.changed)[~np.isnan(log.changed)]
    audits = sum(record.audits for record in log.records)
    contradictions = sum(record.contradictions for record in log.records)
    return MemoryFindings(
        float(np.mean(log.hits)),
        float(np.mean(answered)),
        float(np.sum(log.wrong) / max(1, answered.sum())),
        float(np.mean(changed > CHANGED)) if len(changed) else None,
        audits,
        contradictions,
        min(record.scale for record in log.records),
        upper_bound(contradictions, audits),
    )


def _compared_with(player: Player, players: Sequence[Player], reference: str) -> int | None:
    """Return the index of the reference, without memory if there is, or None for itself."""
    found = {other.memory: i for i, other in enumerate(players) if other.system.name == reference}
    which = found.get(NO_MEMORY, found[player.memory])
    return None if players[which] is player else which


def _shares(
    names: Sequence[str],
    sources: npt.NDArray[np.str_],
    right: npt.NDArray[np.bool_],
    judged: npt.NDArray[np.bool_],
) -> dict[str, SourceShare]:
    """Return the share of each source that answered at all, and its accuracy where judged."""
    shares = {}
    for name in names:
        own = sources == name
        if own.any():
            hits = right[own[judged]]
            accuracy = float(hits.mean()) if hits.size else None
            shares[name] = SourceShare(float(own.mean()), accuracy)
    return shares


def threshold_fronts(
    probes: Mapping[str, Sequence[Player]], truth: npt.NDArray[np.int64]
) -> Iterator[ThresholdFront]:
    """
    Yield what each system comes to at its best thresholds.

    Parameters
    ----------
    probes
        For each system a player that stops at each of its stages, after the first pass.
    truth
        The true classes of its frames, -1 where unknown.

    """
    judged = truth >= 0
    if not judged.any():
        return
    for name, players in probes.items():
        *scores, _ = np.array(players[-1].log.scores)[judged].T
        right = [(np.array(player.log.labels) == truth)[judged] for player in players]
        macs = [stage.macs for stage in players[0].system.bundle.stages]
        front = threshold_outcomes(scores, right, macs).pareto().subsample(_FRONT_POINTS)
        yield ThresholdFront(name, tuple(front))


def find_disagreement(
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
    truth = frames.truth(labels)
    differ = [i for i, (a, b) in enumerate(zip(mine.labels, theirs.labels)) if a != b]
    # Frames of a cluster resemble each other: one of each is shown before the second of any.
    seen: Counter[int] = Counter()
    ranks = []
    for i in differ:
        cluster = frames.clusters[i]
        seen[cluster] += 1
        ranks.append((theirs.labels[i] != truth[i], mine.labels[i] != truth[i], seen[cluster], i))
    return Disagreement(
        chosen,
        reference,
        len(differ),
        tuple(
            DisagreedFrame(
                frames.numbers[i],
                labels[truth[i]] if truth[i] >= 0 else None,
                labels[mine.labels[i]],
                mine.sources[i],
                labels[theirs.labels[i]],
            )
            for *_, i in sorted(ranks)[:_SHOWN]
        ),
    )


def describe_data(
    source: FrameSource, frames: PlayedFrames, labels: Sequence[str]
) -> EvaluatedData:
    """Return what was played, and what is wrong with it; labels: those that the systems know."""
    unknown = Counter(
        label for label in frames.labels if label is not None and label not in labels
    )
    unlabelled = frames.labels.count(None)
    return EvaluatedData(
        source.path.name,
        source.kind,
        hashlib.blake2b(b''.join(sorted(frames.digests)), digest_size=16).hexdigest(),
        len(frames.numbers),
        len(frames.labels) - unlabelled - unknown.total(),
        unlabelled,
        dict(unknown),
        frames.bad,
        tuple(source.problems),
        tuple(source.warnings),
    )


def describe_system(system: System) -> EvaluatedSystem:
    """Return what a report says of a system."""
    stages = system.bundle.stages
    return EvaluatedSystem(
        system.name,
        system.bundle.name,
        tuple(EvaluatedStage(stage.name, stage.macs, stage.architecture) for stage in stages),
        system.rule if len(stages) > 1 else None,
    )
