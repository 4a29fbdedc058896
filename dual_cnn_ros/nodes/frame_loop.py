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

"""One thread that takes the newest frame of each camera and works on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from threading import Thread
import time
from typing import Any, Generic, TypeVar

from rclpy.context import Context
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation

from dual_cnn_ros.nodes.camera_input import CameraInput, Taken

Key = TypeVar('Key')
# So often it is looked again whether a camera that was not due is due by now: the rate may change.
LOOK_SECONDS = 0.25


class FrameLoop(Generic[Key]):
    """
    Waits for frames in a thread of its own, and works on the newest of each camera in turn.

    The executor of the node knows nothing of the frames: it would look at all services and timers
    of the node for each of them. Nor are frames handed from thread to thread: what comes while one
    is in work, or before the next is due, stays in the middleware, where the newest takes the
    place of the older one, and is neither copied nor converted.

    Parameters
    ----------
    context
        Of the node.
    cameras
        The subscriptions, by what `due` and `work` know them by.
    due
        Returns the seconds until a frame of a camera is wanted, 0 for now.
    work
        Called with each frame; must not raise.
    report
        Called with what kept it from taking a frame.

    """

    def __init__(
        self,
        context: Context,
        cameras: Mapping[Key, CameraInput],
        due: Callable[[Key], float],
        work: Callable[[Key, Taken], None],
        report: Callable[[str], None],
    ) -> None:
        self._context, self._cameras = context, dict(cameras)
        self._due, self._work, self._report = due, work, report
        self._guard = GuardCondition(None, None, context=context)
        for camera_input in self._cameras.values():
            camera_input.call_on_change(self._guard.trigger)
        # For so many subscriptions.
        self._wait_set: Any = None
        self._size = 0
        self._is_running = True
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the frame in work; does not wait."""
        self._is_running = False
        self._guard.trigger()

    def join(self, seconds: float) -> None:
        """Wait for the end of the thread, for so long at the most."""
        self._thread.join(seconds)

    def _run(self) -> None:
        while self._is_running and self._context.ok():
            try:
                for camera in self._wait():
                    # Of a camera whose frame came meanwhile, too, the newest is taken.
                    taken = self._cameras[camera].take() if self._is_running else None
                    if taken is not None:
                        self._work(camera, taken)
            except Exception as error:  # of the middleware; without its thread the node is deaf
                if self._is_running and self._context.ok():
                    self._report(str(error))
                    time.sleep(LOOK_SECONDS)

    def _wait(self) -> list[Key]:
        """Return the cameras of which frames have come and are due."""
        context: Any = self._context.handle
        nanoseconds = -1  # until something comes
        waiting: list[tuple[Key, Any]] = []
        with ExitStack() as in_use:
            for camera, camera_input in self._cameras.items():
                if (seconds := min(self._due(camera), LOOK_SECONDS)) > 0:
                    least = int(1e9 * seconds)
                    nanoseconds = least if nanoseconds < 0 else min(nanoseconds, least)
                elif (subscription := in_use.enter_context(camera_input.in_use())) is not None:
                    waiting.append((camera, subscription.handle))
            if self._wait_set is None or self._size != len(waiting):
                self._size = len(waiting)
                self._wait_set = rclpy_implementation.WaitSet(self._size, 1, 0, 0, 0, 0, context)
            wait_set = self._wait_set
            wait_set.clear_entities()
            wait_set.add_guard_condition(self._guard.handle)
            for _, handle in waiting:
                wait_set.add_subscription(handle)
            wait_set.wait(nanoseconds)
            ready = set(wait_set.get_ready_entities('subscription'))
            return [camera for camera, handle in waiting if handle.pointer in ready]
