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

"""A recording to evaluate, and a run of evaluate on it or other data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
from tiny_bundle import LABELS, picture

from dual_cnn_ros.bundle import OperatingPoint
from dual_cnn_ros.cascade.settings import Criterion, Rule
from dual_cnn_ros.data import recording
from dual_cnn_ros.data.recording import recorded_header, recorded_types, Recorder
from dual_cnn_ros.evaluation.evaluation import evaluate, EvaluationOptions
from dual_cnn_ros.evaluation.findings import EvaluationFindings, NO_MEMORY, SystemResult
from dual_cnn_ros.messages.images import to_image_msg

START = 1_700_000_000_000_000_000
RULE = Rule((Criterion('max_probability', 0.8),), 'none')
POINTS = tuple(
    OperatingPoint(name, (Criterion('max_probability', threshold),), 'none')
    for name, threshold in (('never ask', 0.0), ('always ask', 1.0))
)


def run(data: Path, out: Path, *systems: str | Path, **options: Any) -> EvaluationFindings:
    """Evaluate systems where there is no power sensor, unless the options say otherwise."""
    given = {'sysfs_root': Path('/none'), **options}
    return evaluate(EvaluationOptions(data, tuple(map(str, systems)), out, **given))


def result_of(
    findings: EvaluationFindings, system: str, memory: str = NO_MEMORY, protocol: str = 'd=0'
) -> SystemResult:
    """Return one result."""
    key = (system, memory, protocol)
    return next(result for result in findings.results if result.key == key)


def write_recording(path: Path) -> Path:
    """Write 12 frames of a front camera and 12 of a rear one, of which one is damaged."""
    with Recorder(path) as recorder:
        for i in range(12):
            # The stamp is not when it was received.
            stamp = START + i * 500_000_000
            received = stamp + 1_000_000
            shown = LABELS[i % 3]
            header = recorded_header(stamp, 'lens')
            raw = to_image_msg(
                picture(shown, sure=i % 4 != 0, seed=i % 6),
                header,
                'bgr8',
                recorded_types(recording.IMAGE),
            )
            recorder.write('/front/image_raw', recording.IMAGE, received, raw)
            data = cv2.imencode('.png', picture(shown, seed=100 + i))[1].ravel()
            kind = recording.COMPRESSED_IMAGE
            rear = recorded_types(kind)(header, 'png', data[:50] if i == 7 else data)
            recorder.write('/rear/image/compressed', kind, received + 1, rear)
            if i != 3:
                truth = 'purple' if i == 4 else shown
                hypothesis = recorded_types('vision_msgs/msg/ObjectHypothesis')(truth, 1.0)
                kind = recording.CLASSIFICATION
                for camera in ('front', 'rear'):
                    label = recorded_types(kind)(header, [hypothesis])
                    recorder.write(f'/{camera}/ground_truth', kind, received, label)
    return path
