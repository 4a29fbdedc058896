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

"""One session: frames played to the nodes, and what they said about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
import signal
import threading
import time

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.signals import SignalHandlerOptions
from tqdm import tqdm

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.data.image_stream import MessageSource
from dual_cnn_ros.data.recording import Message
from dual_cnn_ros.playback.decision_listener import DecisionListener
from dual_cnn_ros.playback.energy_listener import (
    EnergyListener,
    LEAD_SECONDS,
    PowerInput,
    REPEATED_SECONDS,
    Sections,
    TAIL_SECONDS,
)
from dual_cnn_ros.playback.large_images import make_room_for_large_images
from dual_cnn_ros.playback.node_processes import NodeError, NodeProcesses, run_nodes
from dual_cnn_ros.playback.replayer import Replayer

NODE = 'dual_cnn'
START_TIMEOUT = 60.0  # seconds that the nodes may take to load their models and subscribe
SILENCE_TIMEOUT = 5.0  # seconds without a message after which the last frames count as lost


@dataclass(frozen=True)
class SessionResult:
    """
    What came of a session.

    Attributes
    ----------
    heard
        What the classifier said.
    published
        Number of frames that were played.
    report
        The energy node's last report, by section; empty without power readings.

    """

    heard: DecisionListener
    published: int
    report: Sections = field(default_factory=dict)


def play_to_nodes(
    source: MessageSource,
    cameras: Mapping[str, str],
    bundle: Bundle,
    power: PowerInput | None,
    rate: float,
    duration: float | None,
) -> SessionResult:
    """
    Play a source to nodes of its own; the first Ctrl-C ends what is played.

    Parameters
    ----------
    source
        What is played.
    cameras
        Image topic to the name of its camera.
    bundle
        What the classifier runs.
    power
        What the power node reads; None runs the classifier alone.
    rate
        2.0 plays twice as fast.
    duration
        Seconds of the source; None for all of it.

    Raises
    ------
    NodeError
        A node ended or did not answer.

    """
    heard = DecisionListener()
    make_room_for_large_images()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('demo')
    several = len(cameras) > 1
    prefixes = {
        camera: f'/{NODE}/{camera}/' if several else f'/{NODE}/' for camera in cameras.values()
    }
    heard.listen(node, prefixes)
    listener = (
        EnergyListener(node, [f'{prefix}decision' for prefix in prefixes.values()])
        if power
        else None
    )

    def spin() -> None:
        with suppress(ExternalShutdownException):
            rclpy.spin(node)

    spinning = threading.Thread(target=spin, daemon=True)
    spinning.start()
    nodes = power.nodes(rate) if power else {'classifier': []}
    nodes['classifier'] += _classifier_arguments(bundle, cameras)
    try:
        replayer = Replayer(
            node,
            source,
            list(cameras) or None,
            rate=rate,
            duration=duration,
            clock=bool(power and power.trace),
            skip_gaps=True,
        )
        with closing(replayer), run_nodes(nodes) as processes:
            _wait_until_listening(replayer, processes, listener)
            if listener is not None:
                _measure_idle(replayer, listener, processes)
            published = _play(replayer, heard, processes)
            report: Sections = {}
            if power is not None and listener is not None:
                seconds = TAIL_SECONDS * rate / power.speed(rate)
                replayer.run_clock(replayer.position, replayer.position + seconds)
                listener.wait()
                processes.check()
                report = listener.report
            return SessionResult(heard, published, report)
    finally:
        rclpy.try_shutdown()
        spinning.join()


def _classifier_arguments(bundle: Bundle, cameras: Mapping[str, str]) -> list[str]:
    parameters = {
        'bundle': f'{bundle.path.resolve()}/',
        'image_topics': f'[{",".join(cameras)}]',
        'camera_names': f'[{",".join(cameras.values())}]',
        # Nothing is played before it is known what the machine draws at rest.
        'silent_after': '3600.0',
        # As from a driver that publishes reliably; best effort loses large frames on the way.
        **{f'qos_overrides.{topic}.subscription.reliability': 'reliable' for topic in cameras},
    }
    words = [word for name, value in parameters.items() for word in ('-p', f'{name}:={value}')]
    return ['-r', f'__node:={NODE}', *words]


def _wait_until_listening(
    replayer: Replayer, processes: NodeProcesses, listener: EnergyListener | None
) -> None:
    limit = time.monotonic() + START_TIMEOUT
    while not (listener is None or listener.is_ready) or not replayer.wait_for_subscribers(0.5):
        processes.check()
        if time.monotonic() > limit:
            raise NodeError(f'the nodes did not subscribe within {START_TIMEOUT:.0f} s')
        time.sleep(0.05)


def _measure_idle(replayer: Replayer, listener: EnergyListener, processes: NodeProcesses) -> None:
    begin = -LEAD_SECONDS * replayer.rate

    def pass_time() -> None:
        processes.check()
        # The same moments again: the trace holds only so much time before the first frame.
        replayer.run_clock(begin - REPEATED_SECONDS, begin)

    listener.measure_idle(pass_time)
    replayer.run_clock(begin, 0.0)


def _play(replayer: Replayer, heard: DecisionListener, processes: NodeProcesses) -> int:
    total = sum(replayer.recording.topics[name].count for name in replayer.publishers) or None
    stop = threading.Event()
    with (
        _first_interrupt_sets(stop),
        tqdm(total=total, unit=' frames', disable=None, dynamic_ncols=True) as bar,
    ):

        def progress(message: Message) -> None:
            bar.update()
            sources = dict(heard.sources)
            shares = '  '.join(
                f'{name} {count / sum(sources.values()):4.0%}'
                for name, count in sorted(sources.items())
            )
            bar.set_postfix_str(f'{shares}  {heard.label}')
            if processes.have_ended:
                stop.set()

        published = replayer.play(stop=stop, progress=progress)
    # The last frames are still on their way; a frame that a newer one overtook never comes.
    heard.latest = time.monotonic()
    while not heard.has_all(published) and time.monotonic() - heard.latest < SILENCE_TIMEOUT:
        processes.check()
        time.sleep(0.05)
    processes.check()
    if not heard.decisions:
        raise NodeError('the classifier node did not answer a single frame')
    return published


@contextmanager
def _first_interrupt_sets(stop: threading.Event) -> Iterator[None]:
    """Let the first Ctrl-C of a block set an event; a second one interrupts it."""
    before = signal.getsignal(signal.SIGINT)

    def first(number: int, frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
