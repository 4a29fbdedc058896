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

"""What tests of a running node need: its process, cameras, and waiting with a deadline."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import count, cycle
import math
import os
from pathlib import Path
import signal
import subprocess
import sys
from threading import Condition, Thread
import time
from typing import Any

from builtin_interfaces.msg import Time
import cv2
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import ChangeState, GetState
import numpy as np
import numpy.typing as npt
import pytest
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import GetParameters, SetParameters
import rclpy
from rclpy.context import Context
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from tiny_bundle import picture
from vision_msgs.msg import Classification
import yaml

import dual_cnn_ros
from dual_cnn_ros.messages.images import to_image_msg

PATIENCE = 30.0
"""Seconds after which a wait for what takes well under one second fails."""
ANSWER_SECONDS = 5.0
"""Seconds after which the answer of a service counts as lost."""


# The node --------------------------------------------------------------------------------------


class NodeProcess(AbstractContextManager['NodeProcess']):
    """A node of ours in a process of its own, over real DDS; killed at the end of a block."""

    def __init__(
        self,
        folder: Path,
        module: str,
        parameters: dict[str, Any],
        arguments: Sequence[str] = (),
        first_on_path: str = '',
        **environment: str,
    ) -> None:
        """
        Start it; its parameters and its log are files in the folder, which is ROS's home.

        arguments: more arguments of ROS. first_on_path: a folder that Python searches first.
        """
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / 'parameters.yaml'
        file.write_text(yaml.safe_dump({'/**': {'ros__parameters': parameters}}))
        self._log = folder / 'log.txt'
        root = str(Path(dual_cnn_ros.__file__).parents[1])
        path = os.pathsep.join(filter(None, [first_on_path, root, os.environ.get('PYTHONPATH')]))
        with self._log.open('wb') as log:
            command = [sys.executable, '-m', 'dual_cnn_ros.nodes.start', module, '--ros-args']
            self._process = subprocess.Popen(
                [*command, '--params-file', str(file), *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={
                    **os.environ,
                    'PYTHONPATH': path,
                    'ROS_HOME': str(folder),
                    'ROS_LOG_DIR': str(folder / 'log'),
                    **environment,
                },
            )

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(encoding='utf-8', errors='replace')

    @property
    def memory(self) -> int:
        """The bytes of memory that it holds now."""
        status = Path(f'/proc/{self._process.pid}/status').read_text()
        return 1024 * int(status.partition('VmRSS:')[2].split()[0])

    def wait(self, seconds: float = PATIENCE) -> int:
        """Return its exit code once it has ended by itself."""
        return self._process.wait(seconds)

    def interrupt(self) -> int:
        """Ask it to end, as Ctrl-C does; return its exit code."""
        self._process.send_signal(signal.SIGINT)
        return self.wait()

    def __exit__(self, *_: object) -> None:
        """Kill it, where it still runs."""
        self._process.kill()
        self._process.wait()


@contextmanager
def running(
    module: str, folder: Path, first_on_path: str = '', **parameters: Any
) -> Iterator[NodeProcess]:
    """Run a node for the time of a block; it must survive it and end in order."""
    with NodeProcess(folder, module, parameters, first_on_path=first_on_path) as node:
        yield node
        assert node.interrupt() == 0, node.log
        assert 'Traceback' not in node.log


classifier = partial(running, 'classifier')


# Fast DDS (seen on Jazzy and Kilted) spins for ever in DomainParticipant::set_listener, with
# Python's lock held, where a participant ends at the very moment at which it discovers another one
# of its process; and one ends when its memory is collected, which may be much later. So nodes that
# live for a moment are made where there is nobody, each in another domain.
_domains = cycle(range(101, 181))


def nobodys_domain() -> int:
    """Return a ROS domain in which nobody is."""
    return next(_domains)


def assert_refused(kind: Callable[..., Node], parameters: dict[str, Any], words: str) -> None:
    """Check that no node is made of these parameters, and that the error has these words."""
    context = Context()
    rclpy.init(context=context, domain_id=nobodys_domain())
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    try:
        with pytest.raises((ValueError, ParameterException), match=words):
            kind(context=context, parameter_overrides=overrides)
    finally:
        context.try_shutdown()


# What talks to the node ------------------------------------------------------------------------


class Client:
    """
    A ROS node in this process with a thread that spins it: sends, hears, calls and waits.

    `name` is that of the node whose services, parameters and diagnostics it asks for.
    """

    def __init__(self, name: str = 'dual_cnn') -> None:
        """Make the node and start the thread."""
        self.name = name
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node('tester', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._changed = Condition()
        self._stamp = count(1)
        self.statuses: dict[str, DiagnosticStatus] = {}
        self.hear(DiagnosticArray, '/diagnostics', self._keep_statuses)
        self._thread = Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and the node."""
        self._executor.shutdown()
        self._thread.join(PATIENCE)
        self.node.destroy_node()
        self._context.try_shutdown()

    def hear(
        self,
        kind: Any,
        topic: str,
        keep: Callable[[Any], None],
        qos: QoSProfile | int = 10,
        raw: bool = False,
    ) -> Subscription:
        """Subscribe: each message is handed to `keep`, then `wait_until` looks again."""

        def on_message(message: Any) -> None:
            with self._changed:
                keep(message)
                self._changed.notify_all()

        return self.node.create_subscription(kind, topic, on_message, qos, raw=raw)

    def camera(self, topic: str, name: str = '') -> Camera:
        """Return a camera that the node hears; it has a name where it is not the only one."""
        camera = Camera(self, topic, '/'.join(filter(None, [self.name, name, 'classification'])))
        camera.connect()
        return camera

    def _keep_statuses(self, message: DiagnosticArray) -> None:
        self.statuses.update({status.name: status for status in message.status})

    def wait_until(
        self,
        what: str,
        condition: Callable[[], Any],
        seconds: float = PATIENCE,
        meanwhile: Callable[[], Any] = lambda: None,
        every: float = 0.5,
    ) -> None:
        """Wait until a condition holds, doing something every so many seconds until then."""
        end = time.monotonic() + seconds
        again = 0.0
        with self._changed:
            while not condition():
                now = time.monotonic()
                if now > end:
                    pytest.fail(f'not within {seconds} s: {what}')
                if now >= again:
                    meanwhile()
                    again = now + every
                # The graph changes without a message to this node.
                self._changed.wait(0.02)

    def call(self, kind: Any, name: str, request: Any, patience: float = ANSWER_SECONDS) -> Any:
        """Return the response of a service, which is asked again after so many seconds."""
        client: Any = self.node.create_client(kind, name)
        # A service that has only just found this client may answer before DDS can tell it.
        futures: list[Any] = []
        try:
            assert client.wait_for_service(PATIENCE), f'there is no service {name}'
            self.wait_until(
                f'an answer of {name}',
                lambda: any(future.done() for future in futures),
                meanwhile=lambda: futures.append(client.call_async(request)),
                every=patience,
            )
            return next(future.result() for future in futures if future.done())
        finally:
            self.node.destroy_client(client)

    def trigger(self, name: str) -> Trigger.Response:
        """Call one of the node's Trigger services."""
        return self.call(Trigger, f'/{self.name}/{name}', Trigger.Request())

    def set(self, name: str, value: Any) -> SetParametersResult:
        """Set a parameter of the node."""
        parameter = Parameter(name, value=value).to_parameter_msg()
        response = self.call(
            SetParameters,
            f'/{self.name}/set_parameters',
            SetParameters.Request(parameters=[parameter]),
        )
        return response.results[0]

    def get(self, *names: str) -> list[Any]:
        """Return parameters of the node."""
        response = self.call(
            GetParameters, f'/{self.name}/get_parameters', GetParameters.Request(names=names)
        )
        return [parameter_value_to_python(value) for value in response.values]

    def transition(self, label: str) -> bool:
        """Ask the node for a transition; return whether it was made."""
        request = ChangeState.Request()
        request.transition.label = label
        # Once only: a transition that was made cannot be made again.
        response = self.call(ChangeState, f'/{self.name}/change_state', request, math.inf)
        return bool(response.success)

    def state(self) -> str:
        """Return the name of the node's lifecycle state."""
        response = self.call(GetState, f'/{self.name}/get_state', GetState.Request())
        return str(response.current_state.label)

    def wait_for_status(
        self,
        name: str,
        level: bytes,
        words: str = '',
        meanwhile: Callable[[], Any] = lambda: None,
    ) -> DiagnosticStatus:
        """Return the first status of that name and level with these words, from now on."""
        full = f'/{self.name}: {name}'
        self.statuses.pop(full, None)
        self.wait_until(
            f'a status {full} of level {level!r} {words}',
            lambda: (
                (status := self.statuses.get(full))
                and status.level == level
                and words in status.message
            ),
            meanwhile=meanwhile,
        )
        return self.statuses[full]

    def values(self, name: str) -> dict[str, str]:
        """Return the values of the next status of that name, as text."""
        self.statuses.pop(f'/{self.name}: {name}', None)
        return self.last_values(name)

    def last_values(self, name: str) -> dict[str, str]:
        """Return the values of the last status of that name, or of the first one, as text."""
        full = f'/{self.name}: {name}'
        self.wait_until(f'a status {full}', lambda: full in self.statuses)
        return {pair.key: pair.value for pair in self.statuses[full].values}


def by_name(message: DiagnosticArray) -> dict[str, dict[str, str]]:
    """Return the values of each status by its name, and the status's own fields among them."""
    return {
        status.name.partition(': ')[2]: {
            'level': str(status.level[0]),
            'message': status.message,
            'hardware_id': status.hardware_id,
            **{pair.key: pair.value for pair in status.values},
        }
        for status in message.status
    }


class Camera:
    """A camera's publisher, and what the node answers to it."""

    def __init__(self, client: Client, topic: str, answers: str) -> None:
        """Publish on a topic; hear the Classification that the node publishes on another."""
        self._client = client
        kind = CompressedImage if topic.endswith('/compressed') else Image
        self._publisher = client.node.create_publisher(kind, topic, 1)
        self.answers: list[Classification] = []
        self._subscription = client.hear(Classification, answers, self.answers.append)

    def close(self) -> None:
        """Remove the publisher and the subscription."""
        self._client.node.destroy_publisher(self._publisher)
        self._client.node.destroy_subscription(self._subscription)

    def connect(self) -> None:
        """Wait until the node listens and is heard."""
        self._client.wait_until(
            f'the node listens to {self._publisher.topic_name} and answers',
            lambda: (
                self._publisher.get_subscription_count()
                and self._client.node.count_publishers(self._subscription.topic_name)
            ),
        )

    def stamp(self, message: Any) -> Any:
        """Give a message a header that no other one has."""
        message.header = Header(frame_id='camera', stamp=Time(sec=next(self._client._stamp)))
        return message

    def send(self, message: Any) -> None:
        """Publish a message with a header that no other one has."""
        self._publisher.publish(self.stamp(message))

    def ask(self, message: Any, stamped: bool = True, every: float = 0.5) -> Classification:
        """
        Return the answer to a message, which is sent again and again until it comes.

        stamped: give it a header that no other one has.
        """
        if stamped:
            self.stamp(message)
        self.answers.clear()
        self._client.wait_until(
            f'an answer to a frame on {self._publisher.topic_name}',
            lambda: any(answer.header == message.header for answer in self.answers),
            meanwhile=lambda: self._publisher.publish(message),
            every=every,
        )
        return next(answer for answer in self.answers if answer.header == message.header)

    def label_of(self, message: Any) -> str:
        """Return the first class that the node gives for a message."""
        return str(self.ask(message).results[0].class_id)


def scaled(colour: str, height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return a picture of any size whose answer is 'red', 'green' or 'blue'."""
    return cv2.resize(picture(colour, seed=seed), (width, height), interpolation=cv2.INTER_NEAREST)


def frame(colour: str, height: int = 24, width: int = 32, seed: int = 0) -> Image:
    """Return a message whose answer is 'red', 'green' or 'blue'."""
    return to_image_msg(scaled(colour, height, width, seed), Header(), 'bgr8', Image)


def compressed(
    colour: str, extension: str = '.jpg', height: int = 24, width: int = 32
) -> CompressedImage:
    """Return a compressed message whose answer is 'red', 'green' or 'blue'."""
    data = array('B', cv2.imencode(extension, scaled(colour, height, width))[1].tobytes())
    return CompressedImage(format=extension[1:], data=data)
