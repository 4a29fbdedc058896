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

"""Decisions as messages, written and read, and the labels and models behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import Any, TYPE_CHECKING

import numpy as np

from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.messages.diagnostics import diagnostic_array, diagnostic_status
from dual_cnn_ros.messages.types import MessageTypes

if TYPE_CHECKING:
    # Imports OpenCV, which the energy node can do without.
    from dual_cnn_ros.bundle import Bundle


@dataclass(frozen=True)
class PublishedDecision:
    """
    What a decision message says.

    Attributes
    ----------
    label, class_id
        The answer: name and index of the class.
    score
        How sure it is, in [0, 1].
    source, winner
        As in Decision.
    scores, seconds
        By stage, and by step: 'decode', 'memory' and the stages that were asked.
    finished
        When it was made, seconds of the classifier's clock.
    macs
        Multiply-accumulate operations of the stages that were asked.
    stages
        All of the cascade, in order.
    operating_point
        Name of the one in force, '' where there is none.

    """

    label: str
    class_id: int
    score: float
    source: str
    winner: str
    scores: dict[str, float]
    seconds: dict[str, float]
    finished: float
    macs: int
    stages: tuple[str, ...]
    operating_point: str = ''


def decision_message(
    types: MessageTypes,
    decision: Decision,
    camera: str,
    node: str,
    bundle: Bundle,
    finished: float,
    header: Any,
) -> Any:
    """
    Return a DiagnosticArray with one status: what was decided, by whom and at what cost.

    Parameters
    ----------
    types
        The message classes.
    decision
        What was decided about a frame.
    camera, node
        Names for the status.
    bundle
        That of the cascade.
    finished
        When it was decided, seconds of the node's clock.
    header
        The image's.

    """
    label = bundle.labels[decision.label]
    values = {
        'label': label,
        'class_id': decision.label,
        'score': decision.score,
        'source': decision.source,
        'winner': decision.winner,
        'distance': decision.distance,
        'age': decision.age,
        'threshold': decision.threshold,
        **{f'score.{stage}': score for stage, score in decision.scores.items()},
        **{f'seconds.{step}': seconds for step, seconds in decision.seconds.items()},
        'finished': f'{finished:.9f}',
        'macs': sum(stage.macs for stage in bundle.stages if stage.name in decision.scores),
        'operating_point': decision.operating_point,
        'stages': ' '.join(stage.name for stage in bundle.stages),
    }
    status = diagnostic_status(
        types,
        f'{node}: {camera}',
        'OK',
        f'{label} {decision.score:.2f} ({decision.source})',
        bundle.name,
        values,
    )
    return diagnostic_array(types, header, [status])


def read_decision(status: Any) -> PublishedDecision:
    """
    Return what one status of a decision message says.

    Raises
    ------
    ValueError
        Names the key that is missing or makes no sense.

    """
    values = {pair.key: pair.value for pair in status.values}

    def text(key: str) -> str:
        if not values.get(key):
            raise ValueError(f'{key} of a decision is missing')
        return str(values[key])

    def number(key: str) -> float:
        written = values.get(key, '')
        try:
            found = float(written)
        except ValueError:
            found = math.nan
        if not 0 <= found < math.inf:
            raise ValueError(f'{key} of a decision is {written!r}, not a number from 0 on')
        return found

    def numbers(prefix: str) -> dict[str, float]:
        return {key[len(prefix) :]: number(key) for key in values if key.startswith(prefix)}

    return PublishedDecision(
        text('label'),
        int(number('class_id')),
        number('score'),
        text('source'),
        text('winner'),
        numbers('score.'),
        numbers('seconds.'),
        number('finished'),
        int(number('macs')),
        tuple(text('stages').split()),
        values.get('operating_point', ''),
    )


def classification_message(
    types: MessageTypes, decision: Decision, labels: Sequence[str], top_k: int, header: Any
) -> Any:
    """Return a Classification: the top_k classes, best first; class_id is the label's name."""
    p = decision.probabilities
    order = np.argsort(-p, kind='stable')[:top_k]
    best = zip(order.tolist(), p[order].tolist())
    hypothesis = types('vision_msgs/msg/ObjectHypothesis')
    return types('vision_msgs/msg/Classification')(
        header=header,
        results=[hypothesis(class_id=labels[i], score=score) for i, score in best],
    )


def label_info_message(types: MessageTypes, bundle: Bundle, threshold: float, header: Any) -> Any:
    """Return a LabelInfo: the names of the classes by index."""
    entry = types('vision_msgs/msg/VisionClass')
    return types('vision_msgs/msg/LabelInfo')(
        header=header,
        threshold=threshold,
        class_map=[entry(class_id=i, class_name=name) for i, name in enumerate(bundle.labels)],
    )


def vision_info_message(types: MessageTypes, bundle: Bundle, database: str, header: Any) -> Any:
    """Return a VisionInfo: the models, and the topic on which their labels are."""
    return types('vision_msgs/msg/VisionInfo')(
        header=header,
        method=f'{bundle.name}: {" + ".join(stage.title for stage in bundle.stages)}',
        database_location=database,
        database_version=int(bundle.digest[:7], 16),
    )
