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

"""CPU seconds and latency of an image, from frames for which the CNNs really ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dual_cnn_ros.evaluation.findings import SourceShare, SourceTiming, Timing
from dual_cnn_ros.evaluation.player import AnswerLog, PlayedFrames, Player, Playthrough

# Frames timed for a source that answered none of the sample.
TIMED_ALONE = 20


def time_untimed(
    playthrough: Playthrough,
    players: Sequence[Player],
    logs: Sequence[AnswerLog],
    frames: PlayedFrames,
    first_turned: int,
) -> None:
    """
    Time sources that the sample has no frame of, on other frames that they answered.

    Parameters
    ----------
    playthrough
        Nothing is timed where its sample is empty.
    players, logs
        Who played, and what each answered; the logs are added to.
    frames
        All that were played.
    first_turned
        The index of the first one that was turned.

    """
    wanted: dict[int, list[tuple[bool, Player, AnswerLog, str]]] = {}
    for player, log in zip(players, logs):
        for source in log.untimed if playthrough.sample else ():
            places = [i for i, name in enumerate(log.sources) if name == source]
            order = np.random.default_rng((playthrough.seed, len(places))).permutation(places)
            for i in order[:TIMED_ALONE].tolist():
                wanted.setdefault(frames.numbers[i], []).append(
                    (i >= first_turned, player, log, source)
                )
    if not wanted:
        return
    playthrough.networks.live = True
    for labelled in playthrough.frames('timing', wanted):
        upright = labelled.image()
        for is_turned, player, log, source in wanted[labelled.number]:
            image = playthrough.turned(upright, labelled.number) if is_turned else upright
            cpu = player.time_alone(image, source)
            if cpu is not None:
                log.timed_alone.setdefault(source, []).append(cpu)
    playthrough.networks.live = False


def summarise_times(log: AnswerLog, sources: Mapping[str, SourceShare], first_pass: int) -> Timing:
    """
    Return the time of an image.

    Parameters
    ----------
    log
        What was answered and timed.
    sources
        Who answered which share.
    first_pass
        Number of frames of the first pass. Where a source was timed in it, later frames do not
        count, because a machine is not as busy in one pass as in another.

    """
    by_source = {}
    for name in sources:
        timed = [i for i in log.timed if log.sources[i] == name]
        cpu = [log.timed[i][0] for i in [i for i in timed if i < first_pass] or timed]
        cpu += log.timed_alone.get(name, ())
        if cpu:
            by_source[name] = SourceTiming(float(np.median(cpu)), len(cpu))
    mean = (
        sum(sources[name].share * timing.cpu_seconds for name, timing in by_source.items())
        if len(by_source) == len(sources)
        else None
    )
    if not log.timed:
        return Timing(mean, by_source=by_source)
    p50, p95 = np.percentile([wall for _, wall in log.timed.values()], (50, 95)).tolist()
    return Timing(mean, p50, p95, by_source)
