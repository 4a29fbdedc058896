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

"""What the classifier node would publish about frames, written into a recording without ROS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
import re
import shutil

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.data.labelled_frames import LabelledFrame
from dual_cnn_ros.data.recording import (
    CLASSIFICATION,
    NANOSECONDS,
    recorded_header,
    recorded_types,
    Recorder,
    RecordingError,
)
from dual_cnn_ros.messages.decisions import classification_message, decision_message

NODE = 'dual_cnn'
# The default of the node's parameter top_k.
TOP_K = 5
DECISION = 'diagnostic_msgs/msg/DiagnosticArray'
CONFIDENCE = 'std_msgs/msg/Float64'


@contextmanager
def record_decisions(
    path: Path, cameras: Sequence[str], systems: Sequence[str]
) -> Iterator[DecisionRecorder]:
    """
    Give a recorder of decisions, and finish the recording, or leave none after an exception.

    Until all is written, the recording is in PATH.partial; what a run that was cut off left there
    is replaced.

    Parameters
    ----------
    path
        Of the recording.
    cameras, systems
        As in DecisionRecorder.

    Raises
    ------
    RecordingError
        The path exists.

    """
    if path.exists():
        raise RecordingError(
            f'{path} exists already and is not overwritten; remove it or name another'
        )
    partial = path.with_name(f'{path.name}.partial')
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        # The files of a recording have the name of its folder.
        notes = {'origin': 'evaluate of dual_cnn_ros, offline'}
        with Recorder(partial / path.name, notes=notes) as recorder:
            yield DecisionRecorder(recorder, cameras, systems)
        (partial / path.name).rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class DecisionRecorder:
    """
    Writes classification, confidence and decision of each frame.

    All times are those at which the frames were received. A decision has no seconds, because most
    answers of an evaluation are not timed.

    Parameters
    ----------
    recorder
        Writes the recording.
    cameras
        Names; with several, each has topics of its own, as in the node.
    systems
        Names; with several, each has a namespace of that name, with _ for what the name of a topic
        cannot hold.

    """

    def __init__(self, recorder: Recorder, cameras: Sequence[str], systems: Sequence[str]) -> None:
        self._recorder, self._several = recorder, len(cameras) > 1
        self._spaces: dict[str, str] = {}
        for name in systems:
            word = re.sub(r'_+', '_', re.sub(r'\W', '_', name, flags=re.ASCII)).strip('_')
            word = f's{word}' if not word or word[0].isdigit() else word
            while f'/{word}' in self._spaces.values():
                word += '_other'
            self._spaces[name] = f'/{word}' if len(systems) > 1 else ''

    def write(self, frame: LabelledFrame, system: str, bundle: Bundle, decision: Decision) -> None:
        """Append what one system says of one frame."""
        header = recorded_header(frame.stamp, frame.frame_id)
        top = f'{self._spaces[system]}/{NODE}/' + (f'{frame.camera}/' if self._several else '')
        decision = replace(decision, seconds={})
        finished = frame.time / NANOSECONDS
        for topic, kind, message in (
            (
                'classification',
                CLASSIFICATION,
                classification_message(recorded_types, decision, bundle.labels, TOP_K, header),
            ),
            ('confidence', CONFIDENCE, recorded_types(CONFIDENCE)(decision.score)),
            (
                'decision',
                DECISION,
                decision_message(
                    recorded_types, decision, frame.camera, NODE, bundle, finished, header
                ),
            ),
        ):
            self._recorder.write(top + topic, kind, frame.time, message)
