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

"""From a Decision to the messages that are published."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import numpy as np
from std_msgs.msg import Header
from vision_msgs.msg import Classification, LabelInfo, ObjectHypothesis, VisionClass, VisionInfo

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.messages.diagnostics import status


def classification(
    decision: Decision, labels: tuple[str, ...], top_k: int, header: Header
) -> Classification:
    """Return the top_k classes by probability, best first; class_id is the label's name."""
    p = decision.probabilities
    order = np.argsort(-p, kind='stable')[:top_k]
    return Classification(
        header=header,
        results=[ObjectHypothesis(class_id=labels[i], score=float(p[i])) for i in order],
    )


def decision_array(
    decision: Decision, camera: str, node: str, bundle: Bundle, finished: float, header: Header
) -> DiagnosticArray:
    """
    Return what was decided, by whom and at what cost.

    finished: when, seconds of the node's clock.
    """
    label = bundle.labels[decision.label]
    cost = sum(stage.multiply_adds for stage in bundle.stages if stage.name in decision.scores)
    values = {
        'label': label,
        'class_id': decision.label,
        'score': decision.score,
        'source': decision.source,
        'winner': decision.winner,
        'distance': decision.distance,
        'threshold': decision.threshold,
        **{f'score.{stage}': score for stage, score in decision.scores.items()},
        **{f'seconds.{step}': seconds for step, seconds in decision.seconds.items()},
        'finished': f'{finished:.9f}',
        'multiply_adds': cost,
    }
    return DiagnosticArray(
        header=header,
        status=[
            status(
                f'{node}: {camera}',
                DiagnosticStatus.OK,
                f'{label} {decision.score:.2f} ({decision.source})',
                bundle.name,
                values,
            )
        ],
    )


def label_info(bundle: Bundle, threshold: float, header: Header) -> LabelInfo:
    """Return the names of the classes by index."""
    return LabelInfo(
        header=header,
        threshold=threshold,
        class_map=[
            VisionClass(class_id=i, class_name=name) for i, name in enumerate(bundle.labels)
        ],
    )


def vision_info(bundle: Bundle, database: str, header: Header) -> VisionInfo:
    """Return what does the classification, and the topic on which its labels are."""
    stages = ' + '.join(stage.source.architecture or stage.name for stage in bundle.stages)
    return VisionInfo(
        header=header,
        method=f'{bundle.name}: {stages}',
        database_location=database,
        database_version=int(bundle.digest[:7], 16),
    )
