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

"""What the node would have published about frames, written into a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
import re
import shutil
from types import TracebackType

from rclpy.serialization import serialize_message
from std_msgs.msg import Float64, Header

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.data.labelled_frames import LabelledFrame
from dual_cnn_ros.data.recording import CLASSIFICATION, NANOSECONDS, Recorder, RecordingError
from dual_cnn_ros.messages import decisions as messages
from dual_cnn_ros.nodes.parameters import PARAMETERS

NODE = 'dual_cnn'
DECISION = 'diagnostic_msgs/msg/DiagnosticArray'
CONFIDENCE = 'std_msgs/msg/Float64'


class Publisher:
    """
    Writes classification, confidence and decision of each frame, a context manager.

    cameras: names; with several, each has topics of its own, as in the node. systems: names; with
    several, each is in a namespace of that name, with _ for what a topic's name cannot hold. All
    times are those at which the frames were received, and a decision has no seconds, because
    offline most answers are not measured. Until all is written the recording is in PATH.partial;
    what a run that was cut off left there is replaced. RecordingError where PATH exists.
    """

    def __init__(self, path: Path, cameras: Sequence[str], systems: Sequence[str]) -> None:
        if path.exists():
            raise RecordingError(
                f'{path} exists already and is not overwritten; remove it or name another'
            )
        self._path, self._partial = path, path.with_name(f'{path.name}.partial')
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        # The files of a recording are called as its folder.
        self._recorder = Recorder(
            self._partial / path.name, notes={'origin': 'evaluate of dual_cnn_ros, offline'}
        )
        self._several = len(cameras) > 1
        self._spaces: dict[str, str] = {}
        for name in systems:
            word = re.sub(r'_+', '_', re.sub(r'\W', '_', name, flags=re.ASCII)).strip('_')
            word = f's{word}' if not word or word[0].isdigit() else word
            while f'/{word}' in self._spaces.values():
                word += '_other'
            self._spaces[name] = f'/{word}' if len(systems) > 1 else ''

    def write(self, item: LabelledFrame, system: str, bundle: Bundle, decision: Decision) -> None:
        """Append what one system says of one frame."""
        header = Header(frame_id=item.frame_id)
        header.stamp.sec, header.stamp.nanosec = divmod(item.stamp, NANOSECONDS)
        top = f'{self._spaces[system]}/{NODE}/' + (f'{item.camera}/' if self._several else '')
        decision = replace(decision, seconds={})
        for topic, kind, message in (
            (
                'classification',
                CLASSIFICATION,
                messages.classification(
                    decision, bundle.labels, PARAMETERS['top_k'].default, header
                ),
            ),
            ('confidence', CONFIDENCE, Float64(data=decision.score)),
            (
                'decision',
                DECISION,
                messages.decision_array(
                    decision, item.camera, NODE, bundle, item.time / NANOSECONDS, header
                ),
            ),
        ):
            self._recorder.write(top + topic, kind, item.time, serialize_message(message))

    def __enter__(self) -> Publisher:
        """Return the open publisher."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the recording, or leave none after an exception."""
        self._recorder.__exit__(kind, error, trace)
        if kind is None:
            (self._partial / self._path.name).rename(self._path)
        shutil.rmtree(self._partial, ignore_errors=True)
