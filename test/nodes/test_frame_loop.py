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

"""The thread that takes frames: the newest of each camera in turn, over real DDS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import enumerate as enumerate_threads
from threading import Event
import time

from node_fixtures import nobodys_domain, PATIENCE
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from dual_cnn_ros.nodes.camera_input import CameraInput, Taken
from dual_cnn_ros.nodes.frame_loop import FrameLoop

pytestmark = pytest.mark.ros


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class Bench:
    """Two cameras, and a loop whose every frame waits for a permission."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.done: list[tuple[str, int, int]] = []
        self.started, self.go_on = Event(), Event()
        self.reports: list[str] = []
        self.seconds = dict.fromkeys(('front', 'rear'), 0.0)
        self.publishers = {name: self.publisher(name) for name in self.seconds}
        self.inputs = {
            name: CameraInput(node, f'/{name}', lambda _: None) for name in self.seconds
        }
        for name in self.seconds:
            self.connect(name)
        others = set(enumerate_threads())
        self.loop = FrameLoop(
            node.context, self.inputs, self.seconds.__getitem__, self.work, self.reports.append
        )
        (self.thread,) = set(enumerate_threads()) - others

    def publisher(
        self, name: str, reliability: QoSReliabilityPolicy = QoSReliabilityPolicy.RELIABLE
    ) -> rclpy.publisher.Publisher[Image]:
        qos = QoSProfile(depth=1, reliability=reliability)
        return self.node.create_publisher(Image, f'/{name}', qos)

    def connect(self, name: str) -> None:
        def is_connected() -> bool:
            self.inputs[name].follow()
            found = self.inputs[name].publishers.images
            return found == 1 and self.publishers[name].get_subscription_count() == 1

        wait_until(is_connected)

    def send(self, name: str, *numbers: int) -> None:
        for number in numbers:
            self.publishers[name].publish(Image(header=Header(frame_id=str(number))))

    def work(self, name: str, taken: Taken) -> None:
        self.started.set()
        assert self.go_on.wait(PATIENCE)
        self.done.append((name, int(taken.message.header.frame_id), taken.missed))

    def occupy(self) -> None:
        """Make the loop busy with frame 0 of the front camera until `go_on` is set."""
        self.send('front', 0)
        assert self.started.wait(PATIENCE)


@pytest.fixture
def bench() -> Iterator[Bench]:
    context = Context()
    rclpy.init(context=context, domain_id=nobodys_domain())
    node = rclpy.create_node('bench', context=context)
    bench = Bench(node)
    yield bench
    bench.go_on.set()
    bench.loop.stop()
    bench.loop.join(PATIENCE)
    node.destroy_node()
    context.try_shutdown()


def test_the_newest_frame_is_taken_and_what_it_overtook_is_known(bench: Bench) -> None:
    bench.occupy()
    bench.send('front', 1, 2, 3)
    bench.go_on.set()
    wait_until(lambda: bench.done and bench.done[-1][1] == 3)
    assert bench.done == [('front', 0, 0), ('front', 3, 2)]


def test_cameras_take_turns_however_often_one_of_them_sends(bench: Bench) -> None:
    bench.occupy()
    for number in range(1, 4):
        bench.send('front', number)
        bench.send('rear', number)
    bench.go_on.set()
    wait_until(lambda: len(bench.done) == 3)
    assert sorted(bench.done[1:]) == [('front', 3, 2), ('rear', 3, 0)]


def test_a_frame_that_is_not_due_is_left_where_it_is(bench: Bench) -> None:
    bench.go_on.set()
    bench.seconds['front'] = 3600.0
    bench.send('rear', 0)  # from now on it knows
    wait_until(lambda: bench.done)
    bench.send('front', 1, 2)
    bench.send('rear', 1)
    wait_until(lambda: len(bench.done) == 2)
    assert {name for name, _, _ in bench.done} == {'rear'}
    bench.seconds['front'] = 0.0  # nobody tells the loop
    wait_until(lambda: ('front', 2, 0) in bench.done)


def test_it_hears_a_subscription_that_was_made_anew(bench: Bench) -> None:
    bench.go_on.set()
    bench.send('front', 1)
    wait_until(lambda: bench.done)
    bench.node.destroy_publisher(bench.publishers['front'])
    bench.publishers['front'] = bench.publisher('front', QoSReliabilityPolicy.BEST_EFFORT)
    wait_until(
        lambda: bench.inputs['front'].follow() or bench.inputs['front'].publishers.best_effort
    )
    bench.connect('front')
    wait_until(lambda: bench.send('front', 7) or bench.done[-1][:2] == ('front', 7))


def test_stop_does_not_wait_and_leaves_what_has_come(bench: Bench) -> None:
    bench.occupy()
    bench.send('rear', 1)
    bench.loop.stop()
    assert bench.thread.is_alive() and bench.done == []
    bench.go_on.set()
    bench.loop.join(PATIENCE)
    assert not bench.thread.is_alive() and bench.done == [('front', 0, 0)]


def test_a_camera_that_cannot_be_taken_from_is_told_and_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.go_on.set()
    take, faults = CameraInput.take, iter([RuntimeError('no such message')])

    def fail(camera: CameraInput) -> Taken | None:
        for fault in faults:
            raise fault
        return take(camera)

    monkeypatch.setattr(CameraInput, 'take', fail)
    bench.send('front', 1)
    wait_until(lambda: bench.done)
    assert bench.reports == ['no such message'] and bench.done == [('front', 1, 0)]
