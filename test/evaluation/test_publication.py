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

"""A recording of what the node would publish about frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluated import RULE, run, write_recording
import pytest
from tiny_bundle import LABELS

from dual_cnn_ros.bundle import read_bundle
from dual_cnn_ros.cascade.cascade import Cascade
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.settings import Settings
from dual_cnn_ros.data.labelled_frames import open_frames
from dual_cnn_ros.data.recording import Recording, RecordingError
from dual_cnn_ros.evaluation import evaluation
from dual_cnn_ros.evaluation.publication import record_decisions
from dual_cnn_ros.messages.decisions import read_decision

pytestmark = pytest.mark.usefixtures('no_page')
DAMAGED = 15


def test_records_what_the_node_would_publish(bundle: Path, tmp_path: Path) -> None:
    bag = write_recording(tmp_path / 'bag')
    systems = (bundle, f'{bundle}@never ask')
    run(bag, tmp_path / 'out', *systems, memory=False, record=tmp_path / 'results')
    cascade = Cascade(read_bundle(bundle).load('onnxruntime'), Settings(RULE, memory=False))
    expected = {
        (frame.camera, frame.time): (frame, cascade.classify(Frame(frame.image())))
        for frame in open_frames(bag).frames()
        if frame.number != DAMAGED
    }
    with Recording(tmp_path / 'results') as results:
        assert sorted(results.topics) == sorted(
            f'/{system}/dual_cnn/{camera}/{topic}'
            for system in ('tiny', 'tiny_never_ask')
            for camera in ('front', 'rear')
            for topic in ('classification', 'confidence', 'decision')
        )
        messages = [m for m in results.messages() if m.topic.startswith('/tiny/')]
    assert len(messages) == 3 * len(expected) == 69
    for message in messages:
        _, _, _, camera, topic = message.topic.split('/')
        frame, decision = expected[camera, message.time]
        content = message.decode()
        if topic == 'confidence':
            assert content.data == pytest.approx(decision.score)
            continue
        assert content.header.frame_id == 'lens'
        assert content.header.stamp.nanosec == frame.stamp % 10**9
        if topic == 'classification':
            best = content.results[0]
            assert best.class_id == LABELS[decision.label]
            assert best.score == pytest.approx(float(decision.probabilities.max()))
        else:
            published = read_decision(content.status[0])
            assert published.source == decision.source
            assert published.label == LABELS[decision.label]
            assert published.finished == pytest.approx(message.time / 1e9)


def test_systems_and_cameras_have_topics_of_their_own(tmp_path: Path) -> None:
    with record_decisions(tmp_path / 'a', ['x'], ['one']) as alone:
        assert alone._spaces == {'one': ''}
    names = ['a: b', 'a b', '1', '-']
    with record_decisions(tmp_path / 'b', ['x'], names) as several:
        assert list(several._spaces.values()) == ['/a_b', '/a_b_other', '/s1', '/s']


def test_a_recording_is_whole_or_not_there(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = write_recording(tmp_path / 'bag')
    options: dict[str, Any] = {'memory': False, 'record': tmp_path / 'results'}

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(evaluation, '_add_energy', interrupt)  # once all frames were played
        with pytest.raises(KeyboardInterrupt):
            run(bag, tmp_path / 'out', bundle, **options)
    assert not list(tmp_path.glob('results*'))
    (tmp_path / 'results.partial/results').mkdir(parents=True)  # as a kill leaves it
    run(bag, tmp_path / 'out', bundle, **options)
    with Recording(tmp_path / 'results') as results:
        assert len(list(results.messages())) == 69
    assert {file.suffix for file in (tmp_path / 'results').iterdir()} == {'.db3', '.yaml'}
    assert not list(tmp_path.glob('*.partial'))
    with pytest.raises(RecordingError, match='results exists already and is not overwritten'):
        run(bag, tmp_path / 'out', bundle, **options)
