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

from typing import Any

import numpy as np
import pytest
from tiny_bundle import make_bundle

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.messages.decisions import (
    classification_message,
    decision_message,
    label_info_message,
    PublishedDecision,
    read_decision,
    vision_info_message,
)
from dual_cnn_ros.messages.types import installed

pytestmark = pytest.mark.ros

STAMP, FINISHED = 12, 1700000000.123456789


@pytest.fixture(scope='module')
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return a bundle of three labels and two stages of 9 MACs each."""
    return Bundle.open(str(make_bundle(tmp_path_factory.mktemp('bundle'))))


@pytest.fixture
def header() -> Any:
    header = installed('std_msgs/msg/Header')(frame_id='camera')
    header.stamp.sec = STAMP
    return header


def decided(**fields: Any) -> Decision:
    return Decision(
        **{
            'probabilities': np.array([0.25, 0.7, 0.05], dtype=np.float32),
            'label': 1,
            'score': 0.7,
            'source': 'second',
            'winner': 'first',
            'threshold': 0.8,
            'scores': {'first': 0.7, 'second': 0.6123456789},
            'seconds': {'decode': 0.00012345678, 'first': 0.5},
            **fields,
        }
    )


def message_of(decision: Decision, bundle: Bundle, header: Any) -> Any:
    return decision_message(installed, decision, 'front', 'dual_cnn', bundle, FINISHED, header)


def values(message: Any) -> dict[str, str]:
    return {pair.key: pair.value for pair in message.status[0].values}


def test_a_decision_is_written_as_text(bundle: Bundle, header: Any) -> None:
    message = message_of(decided(), bundle, header)
    assert message.header == header
    (status,) = message.status
    assert (status.level, status.name, status.hardware_id) == (b'\0', 'dual_cnn: front', 'tiny')
    assert status.message == 'green 0.70 (second)'
    assert values(message) == {
        'label': 'green',
        'class_id': '1',
        'score': '0.7',
        'source': 'second',
        'winner': 'first',
        'distance': '',
        'age': '',
        'threshold': '0.8',
        'score.first': '0.7',
        'score.second': '0.612346',
        'seconds.decode': '0.000123457',
        'seconds.first': '0.5',
        'finished': f'{FINISHED:.9f}',
        'macs': '18',
        'operating_point': '',
        'stages': 'first second',
    }


def test_a_decision_is_read_again(bundle: Bundle, header: Any) -> None:
    (status,) = message_of(decided(), bundle, header).status
    assert read_decision(status) == PublishedDecision(
        'green',
        1,
        0.7,
        'second',
        'first',
        {'first': 0.7, 'second': 0.612346},
        {'decode': 0.000123457, 'first': 0.5},
        pytest.approx(FINISHED),
        18,
        ('first', 'second'),
    )


@pytest.mark.parametrize(
    ('key', 'written'),
    [
        ('label', ''),
        ('source', ''),
        ('score', 'high'),
        ('score', 'nan'),
        ('class_id', '-1'),
        ('seconds.first', 'inf'),
        ('finished', ''),
    ],
)
def test_a_decision_that_makes_no_sense_is_refused(
    bundle: Bundle, header: Any, key: str, written: str
) -> None:
    (status,) = message_of(decided(), bundle, header).status
    for pair in status.values:
        if pair.key == key:
            pair.value = written
    with pytest.raises(ValueError, match=f'{key} of a decision'):
        read_decision(status)


def test_only_the_macs_of_stages_that_were_asked_count(bundle: Bundle, header: Any) -> None:
    assert values(message_of(decided(scores={'first': 0.9}), bundle, header))['macs'] == '9'


def test_a_decision_of_the_memory_has_a_distance_and_takes_no_macs(
    bundle: Bundle, header: Any
) -> None:
    decision = decided(source='memory', scores={}, distance=0.25, age=2.5, threshold=None)
    written = values(message_of(decision, bundle, header))
    found = [written[key] for key in ('distance', 'age', 'threshold', 'macs')]
    assert found == ['0.25', '2.5', '', '0']


@pytest.mark.parametrize(
    ('top_k', 'labels'), [(2, ['green', 'red']), (100, ['green', 'red', 'blue'])]
)
def test_a_classification_has_the_best_classes_first(
    bundle: Bundle, header: Any, top_k: int, labels: list[str]
) -> None:
    message = classification_message(installed, decided(), bundle.labels, top_k, header)
    assert message.header == header
    assert [result.class_id for result in message.results] == labels
    assert [result.score for result in message.results[:2]] == pytest.approx([0.7, 0.25])


def test_the_first_result_is_the_answer_on_a_tie_too(bundle: Bundle, header: Any) -> None:
    p = np.array([0.2, 0.4, 0.4], dtype=np.float32)
    decision = decided(probabilities=p, label=int(p.argmax()))
    message = classification_message(installed, decision, bundle.labels, 3, header)
    assert [result.class_id for result in message.results] == ['green', 'blue', 'red']


def test_label_info_lists_the_labels_by_index(bundle: Bundle, header: Any) -> None:
    message = label_info_message(installed, bundle, 0.8, header)
    assert [(entry.class_id, entry.class_name) for entry in message.class_map] == [
        (0, 'red'),
        (1, 'green'),
        (2, 'blue'),
    ]
    assert message.threshold == pytest.approx(0.8) and message.header == header


def test_vision_info_says_where_the_labels_are(bundle: Bundle, header: Any) -> None:
    message = vision_info_message(installed, bundle, '/dual_cnn/label_info', header)
    assert message.method == 'tiny: first + second'
    assert message.database_location == '/dual_cnn/label_info'
    assert message.database_version >= 0
