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

"""The classifier's parts around the cascade: worker, statistics, messages and overlay."""

from __future__ import annotations

from collections.abc import Iterator
from threading import enumerate as enumerate_threads
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from tiny_bundle import make_bundle, picture

pytest.importorskip('rclpy', reason='ROS 2 is not installed')
pytest.importorskip('vision_msgs.msg', reason='vision_msgs is not installed')

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import Header

from dual_cnn_ros import bundle as bundles
from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.messages import decisions as messages
from dual_cnn_ros.nodes import overlay, statistics
from dual_cnn_ros.nodes.statistics import RECENT, Statistics
from dual_cnn_ros.nodes.worker import NewestWorker

PATIENCE = 30.0  # seconds until a test that hangs fails


# NewestWorker -----------------------------------------------------------------------------------


class Bench:
    """A worker whose every item waits for a permission, and a record of what it worked on."""

    def __init__(self) -> None:
        self.done: list[tuple[str, int]] = []
        self.started, self.go_on = Event(), Event()
        self.all_done = Event()
        others = set(enumerate_threads())
        self.worker = NewestWorker(self.work)
        (self.thread,) = set(enumerate_threads()) - others

    def work(self, key: str, item: int) -> None:
        self.started.set()
        assert self.go_on.wait(PATIENCE)
        self.done.append((key, item))
        if item < 0:
            self.all_done.set()

    def occupy(self) -> None:
        """Make the worker busy with an item 0 of 'front' until `finish`."""
        assert not self.worker.put('front', 0)
        assert self.started.wait(PATIENCE)

    def finish(self) -> list[tuple[str, int]]:
        """Let it work, and return what it did with all that waited."""
        self.worker.put('end', -1)
        self.go_on.set()
        assert self.all_done.wait(PATIENCE)
        return [entry for entry in self.done if entry[1] >= 0]


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Return a worker that is stopped at the end."""
    bench = Bench()
    yield bench
    bench.go_on.set()
    bench.worker.stop()


def test_everything_is_worked_on_while_there_is_time(bench: Bench) -> None:
    bench.occupy()
    assert bench.finish() == [('front', 0)]


def test_only_the_newest_item_of_a_key_is_kept(bench: Bench) -> None:
    bench.occupy()
    assert [bench.worker.put('front', item) for item in (1, 2, 3)] == [False, True, True]
    assert bench.finish() == [('front', 0), ('front', 3)]


def test_keys_take_turns_however_often_one_of_them_is_put(bench: Bench) -> None:
    bench.occupy()
    for key, item in (('front', 1), ('rear', 2), ('front', 3), ('left', 4), ('front', 5)):
        bench.worker.put(key, item)
    assert bench.finish() == [('front', 0), ('front', 5), ('rear', 2), ('left', 4)]


def test_put_never_waits_for_the_work(bench: Bench) -> None:
    bench.occupy()
    putting = Thread(target=bench.worker.put, args=('rear', 1))
    putting.start()
    putting.join(PATIENCE)
    assert not putting.is_alive() and bench.done == []


def test_stop_forgets_what_waits_and_does_not_wait_itself(bench: Bench) -> None:
    bench.occupy()
    bench.worker.put('rear', 1)
    stopping = Thread(target=bench.worker.stop)
    stopping.start()
    stopping.join(PATIENCE)
    assert not stopping.is_alive() and bench.done == []
    bench.go_on.set()
    bench.thread.join(PATIENCE)
    assert not bench.thread.is_alive() and bench.done == [('front', 0)]


def test_a_stopped_worker_does_nothing_more(bench: Bench) -> None:
    bench.go_on.set()
    bench.worker.stop()
    bench.worker.put('front', 1)
    bench.thread.join(PATIENCE)
    assert not bench.thread.is_alive() and bench.done == []


# Statistics --------------------------------------------------------------------------------------


class Clock:
    """Stands for the time module."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of every Statistics made in the test."""
    clock = Clock()
    monkeypatch.setattr(statistics, 'time', clock)
    return clock


def test_statistics_of_a_camera_that_sent_nothing(clock: Clock) -> None:
    summary = Statistics().summary('front', ('memory', 'first'))
    assert summary == {
        'received': 0,
        'classified': 0,
        'dropped': 0,
        'bad': 0,
        'rate_hz': 0.0,
        'share.memory': 0.0,
        'share.first': 0.0,
        'latency_p50_ms': '',
        'latency_p95_ms': '',
    }


def test_statistics_count_each_camera_for_itself(clock: Clock) -> None:
    counted = Statistics()
    for what in ('received', 'received', 'dropped', 'received', 'bad'):
        counted.count('front', what)
    counted.answered('rear', 'first', 0.01)
    front, rear = (counted.summary(camera, ()) for camera in ('front', 'rear'))
    assert [front[name] for name in ('received', 'classified', 'dropped', 'bad')] == [3, 0, 1, 1]
    assert [rear[name] for name in ('received', 'classified', 'dropped', 'bad')] == [0, 1, 0, 0]


def test_rate_is_that_since_the_last_summary(clock: Clock) -> None:
    counted = Statistics()
    for _ in range(30):
        counted.count('front', 'received')
    clock.now += 2.0
    assert counted.summary('front', ())['rate_hz'] == 15.0
    clock.now += 1.0
    assert counted.summary('front', ())['rate_hz'] == 0.0
    counted.count('front', 'received')
    clock.now += 0.5
    assert counted.summary('front', ())['rate_hz'] == 2.0


def test_shares_and_latencies(clock: Clock) -> None:
    counted = Statistics()
    for number in range(100):
        source = 'memory' if number < 50 else 'first' if number < 80 else 'second'
        counted.answered('front', source, 0.001 * number)
    summary = counted.summary('front', ('memory', 'first', 'second'))
    assert [summary[f'share.{source}'] for source in ('memory', 'first', 'second')] == [
        0.5,
        0.3,
        0.2,
    ]
    assert summary['latency_p50_ms'] == pytest.approx(49.5)
    assert summary['latency_p95_ms'] == pytest.approx(94.05)


def test_shares_are_of_recent_frames_only(clock: Clock) -> None:
    counted = Statistics()
    for source in ['second'] * 100 + ['memory'] * RECENT:
        counted.answered('front', source, 0.001)
    summary = counted.summary('front', ('memory', 'second'))
    assert (summary['share.memory'], summary['share.second']) == (1.0, 0.0)
    assert summary['classified'] == RECENT + 100


def test_silence_is_since_the_last_frame_or_the_start(clock: Clock) -> None:
    counted = Statistics()
    clock.now += 3.0
    assert counted.silence('front') == 3.0
    counted.count('front', 'received')
    counted.answered('rear', 'first', 0.001)  # an answer is no sign of life
    clock.now += 1.0
    assert (counted.silence('front'), counted.silence('rear')) == (1.0, 4.0)


# Messages ----------------------------------------------------------------------------------------

HEADER = Header(stamp=Time(sec=12, nanosec=34), frame_id='camera')


@pytest.fixture(scope='module')
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return a bundle of three labels and two stages of 9 multiply-adds each."""
    return bundles.read(make_bundle(tmp_path_factory.mktemp('bundle')))


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
            'seconds': {'fingerprint': 0.00012345678, 'first': 0.5},
            **fields,
        }
    )


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


def test_classification_names_the_best_classes_first(bundle: Bundle) -> None:
    message = messages.classification(decided(), bundle.labels, 2, HEADER)
    assert message.header == HEADER
    assert [result.class_id for result in message.results] == ['green', 'red']
    assert [result.score for result in message.results] == pytest.approx([0.7, 0.25])


@pytest.mark.parametrize('top_k', [3, 100])
def test_classification_has_at_most_all_classes(bundle: Bundle, top_k: int) -> None:
    message = messages.classification(decided(), bundle.labels, top_k, HEADER)
    assert [result.class_id for result in message.results] == ['green', 'red', 'blue']


def test_the_first_result_is_the_answer_on_a_tie_too(bundle: Bundle) -> None:
    p = np.array([0.2, 0.4, 0.4], dtype=np.float32)
    message = messages.classification(
        decided(probabilities=p, label=int(p.argmax())), bundle.labels, 3, HEADER
    )
    assert [result.class_id for result in message.results] == ['green', 'blue', 'red']


def test_decision_tells_everything_as_text(bundle: Bundle) -> None:
    message = messages.decision_array(
        decided(), 'front', 'dual_cnn', bundle, 1700000000.123456789, HEADER
    )
    assert message.header == HEADER
    (status,) = message.status
    assert (status.level, status.name, status.hardware_id) == (
        DiagnosticStatus.OK,
        'dual_cnn: front',
        'tiny',
    )
    assert status.message == 'green 0.70 (second)'
    expected = {
        'label': 'green',
        'class_id': '1',
        'score': '0.7',
        'source': 'second',
        'winner': 'first',
        'distance': '',
        'threshold': '0.8',
        'score.first': '0.7',
        'score.second': '0.612346',
        'seconds.fingerprint': '0.000123457',
        'seconds.first': '0.5',
        'finished': f'{1700000000.123456789:.9f}',
        'multiply_adds': '18',
    }
    assert expected.items() <= values(status).items()


def test_decision_counts_the_multiply_adds_of_the_stages_that_ran(bundle: Bundle) -> None:
    for scores, cost in (({'first': 0.9}, '9'), ({}, '0')):
        message = messages.decision_array(
            decided(scores=scores), 'front', 'dual_cnn', bundle, 0.0, HEADER
        )
        assert values(message.status[0])['multiply_adds'] == cost


def test_decision_of_a_repeat_has_a_distance(bundle: Bundle) -> None:
    message = messages.decision_array(
        decided(source='memory', distance=0), 'front', 'dual_cnn', bundle, 0.0, HEADER
    )
    assert values(message.status[0])['distance'] == '0'


def test_label_info_lists_the_labels_by_index(bundle: Bundle) -> None:
    message = messages.label_info(bundle, 0.8, HEADER)
    assert [(entry.class_id, entry.class_name) for entry in message.class_map] == [
        (0, 'red'),
        (1, 'green'),
        (2, 'blue'),
    ]
    assert message.threshold == pytest.approx(0.8) and message.header == HEADER


def test_vision_info_says_where_the_labels_are(bundle: Bundle) -> None:
    message = messages.vision_info(bundle, '/dual_cnn/label_info', HEADER)
    assert (message.method, message.database_location) == (
        'tiny: first + second',
        '/dual_cnn/label_info',
    )
    assert message.database_version >= 0


# Overlay -----------------------------------------------------------------------------------------

STAGES = ('first', 'second')


@pytest.mark.parametrize(
    ('height', 'width'),
    [(480, 640), (48, 64), (1, 1), (1, 2000), (2000, 1), (3, 320), (1080, 1920)],
)
@pytest.mark.parametrize('channels', [1, 3])
def test_overlay_draws_on_frames_of_any_shape(channels: int, height: int, width: int) -> None:
    image = np.full((height, width, 3) if channels == 3 else (height, width), 90, dtype=np.uint8)
    before = image.copy()
    drawn = overlay.draw(image, decided(), 'green', STAGES, ('a line', 'another'))
    assert drawn.dtype == np.uint8 and drawn.ndim == 3 and drawn.flags.c_contiguous
    assert drawn.shape[1] >= 320
    if width >= 320:
        assert drawn.shape == (height, width, 3)
    assert (drawn != 90).any()
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize('source', ['memory', *STAGES])
def test_overlay_is_framed_in_the_colour_of_the_source(source: str) -> None:
    decision = decided(source=source)
    drawn = overlay.draw(picture('red', height=240, width=320), decision, 'red', STAGES)
    for corner in (drawn[0, 0], drawn[0, -1], drawn[-1, 0], drawn[-1, -1]):
        assert tuple(corner) == overlay.colour(decision, STAGES)


def test_sources_have_different_colours() -> None:
    stages = ('first', 'second', 'third', 'fourth')
    colours = [overlay.colour(decided(source=source), stages) for source in ('memory', *stages)]
    assert len(set(colours[:4])) == 4
    assert colours[4] == colours[3]  # beyond that, not that of the memory


def test_lines_are_drawn_at_the_bottom() -> None:
    image = np.full((240, 320, 3), 90, dtype=np.uint8)
    plain = overlay.draw(image, decided(), 'green', STAGES)
    changed = np.flatnonzero(
        (overlay.draw(image, decided(), 'green', STAGES, ('text',)) != plain).any(axis=(1, 2))
    )
    assert changed.size and changed.min() > 200


@pytest.mark.parametrize(
    ('line', 'text'),
    [
        (overlay.watts(1234.4), '1234 W'),
        (overlay.watts(22.29344), '22.3 W'),
        (overlay.watts(5.25), '5.25 W'),
        (overlay.watts(0.0), '0.00 W'),
        (overlay.watts(-0.5), '-0.50 W'),
        (overlay.watts(float('nan')), 'nan W'),
        (overlay.joules(12_345.6), '12346 J per frame'),
        (overlay.joules(1.5), '1.50 J per frame'),
        (overlay.joules(1.0), '1.00 J per frame'),
        (overlay.joules(0.5), '500 mJ per frame'),
        (overlay.joules(0.0123), '12.3 mJ per frame'),
        (overlay.joules(0.00045), '0.45 mJ per frame'),
    ],
)
def test_watts_and_joules_are_written_as_people_write_them(line: str, text: str) -> None:
    assert line == text


def test_labels_that_the_font_lacks_do_no_harm() -> None:
    overlay.draw(picture('red'), decided(), 'Straße 標識 \n\0' + 'x' * 500, STAGES)
