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

"""The classifier node: images in, classifications out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf
import os
from pathlib import Path
from threading import Lock
from time import monotonic, perf_counter
from typing import Any, NamedTuple

import cv2
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.logging import LoggingSeverity
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Float64
from std_srvs.srv import Trigger
from vision_msgs.msg import LabelInfo, VisionInfo

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.cascade.cascade import Cascade
from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.frame import Image as Pixels
from dual_cnn_ros.cascade.governor import Governor
from dual_cnn_ros.cascade.memory_file import MemoryFileError
from dual_cnn_ros.cascade.needs import Needs
from dual_cnn_ros.cascade.region import crop, Region
from dual_cnn_ros.cascade.settings import Settings
from dual_cnn_ros.messages import decisions, images
from dual_cnn_ros.messages.types import installed
from dual_cnn_ros.nodes.camera_health import ARRIVING, camera_health, DISTRUSTED, memory_values
from dual_cnn_ros.nodes.camera_input import CameraInput, Taken
from dual_cnn_ros.nodes.cameras import CameraOutputs, make_cameras
from dual_cnn_ros.nodes.classifier_parameters import ClassifierParameters
from dual_cnn_ros.nodes.diagnostics import Diagnostics
from dual_cnn_ros.nodes.endpoints import add_steady_timer, header_now
from dual_cnn_ros.nodes.frame_loop import FrameLoop
from dual_cnn_ros.nodes.governing import governor_line, governor_values, make_governor
from dual_cnn_ros.nodes.live_parameters import LiveParameters
from dual_cnn_ros.nodes.memory_store import MemoryStore
from dual_cnn_ros.nodes.overlay import draw_overlay, joules_line, watts_line
from dual_cnn_ros.nodes.parameter import (
    expand_home,
    ParameterError,
    WHILE_INACTIVE,
    WHILE_UNCONFIGURED,
)
from dual_cnn_ros.nodes.run import run_node, THROTTLE_SECONDS
from dual_cnn_ros.typeface import NoTypefaceError

NAME = 'dual_cnn'
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
# For so many seconds the overlay shows a reading of power or energy.
FRESH_SECONDS = 3.0
METER_LINES: tuple[Callable[[float], str], ...] = (watts_line, joules_line)
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


class Loaded(NamedTuple):
    """What configure loads and cleanup frees."""

    bundle: Bundle
    cascade: Cascade

    @property
    def memory_identity(self) -> str:
        """What a memory on disk must agree in with the cascade that loads it."""
        return f'{self.bundle.digest} {self.cascade.settings.validity}'

    def needs(self, region: Region) -> Needs:
        """Return what the cascade reads of a frame of which a region is looked at."""
        settings = self.cascade.settings
        key = settings.remember.fingerprint if settings.memory else None
        return Needs(tuple(stage.input for stage in self.bundle.stages), key, region)


class ClassifierNode(LifecycleNode):
    """
    Classifies the newest frame of each camera with one cascade.

    configure loads the bundle, activate subscribes, deactivate unsubscribes, cleanup frees the
    models. Frames are taken and classified in a thread of their own, so that parameters, services
    and lifecycle requests are answered while a CNN runs.

    Parameters
    ----------
    **options
        Of LifecycleNode.

    """

    def __init__(self, **options: Any) -> None:
        super().__init__(NAME, **options)
        self._loaded: Loaded | None = None
        # Where the memory is kept, from configure to cleanup.
        self._store: MemoryStore | None = None
        self._governor: Governor | None = None
        # As it was logged.
        self._governor_fault = ''
        self._cameras: dict[CameraOutputs, CameraInput] = {}
        # Subscriptions, by line of the overlay.
        self._meters: dict[Callable[[float], str], Any] = {}
        self._frames: FrameLoop[CameraOutputs] | None = None
        self._latched: list[Any] = []
        # By line of the overlay: the newest reading, and when it came.
        self._readings: dict[Callable[[float], str], tuple[float, float]] = {}
        # After a reactivation, the thread of before may still be in its last frame.
        self._inference = Lock()
        self._live = LiveParameters(
            self, ClassifierParameters, self._accept_parameters, self._locked_parameters
        )
        for service, callback in (
            ('clear_memory', self._clear_memory),
            ('save_memory', self._save_memory),
            ('load_memory', self._load_memory),
        ):
            self.create_service(Trigger, f'~/{service}', partial(self._answer, callback))
        self._diagnostics = Diagnostics(self)
        # One timer for all: the executor looks at everything that the node has each time it wakes.
        add_steady_timer(self, 1.0, self._every_second)

    # Lifecycle -------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the bundle and warm up every stage."""
        values = self._live.values
        try:
            start = perf_counter()
            bundle = Bundle.open(values.bundle)
            settings = values.settings(bundle)
            self._governor = self._make_governor(values, bundle)
            stages = bundle.load(values.backend, values.providers, values.threads)
            self._loaded = Loaded(bundle, Cascade(stages, settings))
            if values.memory_persist:
                self._open_store(self._loaded)
            self._publish_labels(bundle, settings)
        except Exception as error:  # an exception here would be swallowed by rclpy, unlogged
            return self._fail('configure', error)
        self.get_logger().info(
            f'bundle {bundle.name} from {bundle.path}, {len(bundle.labels)} classes, stages '
            f'{", ".join(f"{stage.name} ({stage.runs_on})" for stage in stages)}, loaded in '
            f'{perf_counter() - start:.2f} s; {_describe(settings)}'
        )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Create the publishers, subscribe to the cameras and start to work."""
        values = self._live.values
        try:
            cameras = make_cameras(self, values)
            result = super().on_activate(state)
            for camera in cameras:
                self._cameras[camera] = CameraInput(self, camera.topic, camera.statistics.lost)
            self._frames = FrameLoop(
                self.context,
                self._cameras,
                lambda camera: camera.due(self._live.values.max_rate),
                self._work,
                self._report_deaf,
            )
        except Exception as error:
            return self._fail('activate', error)
        self.get_logger().info(
            'classifying '
            + ', '.join(f'{camera.topic} as {camera.name}' for camera in self._cameras)
        )
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe, so that a paused robot spends nothing."""
        result = super().on_deactivate(state)
        self._stop()
        self._save_changes()
        self.get_logger().info('deactivated: no camera is subscribed to')
        return result

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the models and the memory."""
        self._free()
        self.get_logger().info('cleaned up: models and memory are freed')
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything."""
        self._stop()
        self._free()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, so that configure can be tried again."""
        self._stop()
        self._free()
        return SUCCESS

    def _fail(self, transition: str, error: Exception) -> TransitionCallbackReturn:
        # A signal that ends the context in the middle of it is no error.
        if self.context.ok():
            self.get_logger().error(f'cannot {transition}: {error}')
        self._stop()
        if transition == 'configure':
            self._free()
        return FAILURE

    def _stop(self) -> None:
        self._ignore_meters()
        for camera_input in self._cameras.values():
            camera_input.close()
        if self._frames is not None:
            self._frames.stop()
            self._frames = None
        cameras, self._cameras = self._cameras, {}
        for camera in cameras:
            camera.close()

    def _free(self) -> None:
        self._close_store()
        for publisher in self._latched:
            self.destroy_publisher(publisher)
        self._latched = []
        self._loaded = self._governor = None

    # Frames ----------------------------------------------------------------------------------

    def _every_second(self) -> None:
        self._look()
        self._publish_diagnostics()

    def _look(self) -> None:
        for camera_input in self._cameras.values():
            camera_input.follow()
        self._read_meters()
        if self._loaded is not None and self._store is not None:
            self._store.save_changes_every(
                self._live.values.memory_save_s,
                self._loaded.cascade.memory,
                self._loaded.memory_identity,
                self._report_unsaved,
            )

    def _read_meters(self) -> None:
        """Subscribe to power and energy while an overlay that is looked at, or a budget, asks."""
        values = self._live.values
        topics = dict(zip(METER_LINES, (values.power_topic, values.energy_topic)))
        wanted = set()
        if any(camera.is_wanted(camera.overlay) for camera in self._cameras):
            wanted = {line for line, topic in topics.items() if topic}
        if self._cameras and self._governor and self._governor.needs_power:
            wanted.add(watts_line)
        for line in wanted - self._meters.keys():
            on_reading = partial(self._on_reading, line)
            self._meters[line] = self.create_subscription(Float64, topics[line], on_reading, 1)
        for line in self._meters.keys() - wanted:
            self.destroy_subscription(self._meters.pop(line))

    def _ignore_meters(self) -> None:
        for line in [*self._meters]:
            self.destroy_subscription(self._meters.pop(line))

    def _on_reading(self, line: Callable[[float], str], message: Float64) -> None:
        self._readings[line] = message.data, monotonic()
        if line is watts_line and (governor := self._governor) is not None:
            governor.read(message.data, monotonic())

    def _report_deaf(self, error: str) -> None:
        self.get_logger().error(
            f'no frame can be taken: {error}', throttle_duration_sec=THROTTLE_SECONDS
        )

    def _work(self, camera: CameraOutputs, taken: Taken) -> None:
        """Classify a frame, counting what becomes of it; in the thread of the frames."""
        start = perf_counter()
        camera.took(taken.missed, self._live.values.max_rate)
        try:
            if (decision := self._classify(camera, taken.message)) is not None:
                seconds = perf_counter() - start
                camera.statistics.answered(decision.source, seconds)
                log = self.get_logger()
                if log.is_enabled_for(LoggingSeverity.DEBUG):
                    log.debug(
                        f'{camera.name}: class {decision.label} by {decision.source}, '
                        f'{decision.score:.3f}, {1e3 * seconds:.2f} ms'
                    )
        except Exception as error:  # whatever a frame does, the next one gets its chance
            if not self.context.ok():
                return  # interrupted in the middle of it
            if camera.statistics.failed(str(error)):
                self.get_logger().warning(f'{camera.topic}: frame not classified: {error}')

    def _classify(
        self, camera: CameraOutputs, message: Image | CompressedImage
    ) -> Decision | None:
        """Take a frame from message to messages; return None if the node stopped meanwhile."""
        # Read once: the node may be cleaned up while a frame is in work.
        if (loaded := self._loaded) is None:
            return None
        bundle, cascade = loaded
        region, is_compressed = self._live.values.region, isinstance(message, CompressedImage)
        start = perf_counter()
        needs = loaded.needs(region) if is_compressed else None
        image = crop(self._decode(camera, message, needs), region)
        decode_seconds = perf_counter() - start
        with self._inference:
            if (governor := self._governor) is not None:
                cascade.use(governor.rule())
            decision = cascade.classify(Frame(image), camera.name)
        if governor is not None:
            governor.saw(len(decision.scores) > 1, monotonic())
        header, labels, top_k = message.header, bundle.labels, self._live.values.top_k
        outputs: list[tuple[Any, Any]] = [
            (
                camera.classification,
                decisions.classification_message(installed, decision, labels, top_k, header),
            ),
            (camera.confidence, Float64(data=decision.score)),
        ]
        if camera.is_wanted(camera.decision):
            published = decisions.decision_message(
                installed,
                replace(decision, seconds={'decode': decode_seconds, **decision.seconds}),
                camera.name,
                self.get_fully_qualified_name(),
                bundle,
                self.get_clock().now().nanoseconds * 1e-9,
                header,
            )
            outputs.append((camera.decision, published))
        if camera.is_wanted(camera.overlay):
            if is_compressed:
                image = crop(self._decode(camera, message), region)
            drawn = self._draw(image, decision, bundle)
            outputs.append((camera.overlay, images.to_image_msg(drawn, header, 'bgr8', Image)))
        return decision if camera.publish(outputs) else None

    def _decode(
        self,
        camera: CameraOutputs,
        message: Image | CompressedImage,
        needs: Needs | None = None,
    ) -> Pixels:
        if camera.depth.given != self._live.values.sample_bits:
            camera.depth = images.SampleDepth(self._live.values.sample_bits)
        before = camera.depth.bits
        if isinstance(message, CompressedImage):
            image = images.from_compressed_msg(message, camera.depth, needs)
        else:
            image = images.from_image_msg(message, camera.depth)
        if before != camera.depth.bits and camera.depth.warning:
            self.get_logger().warning(
                f'{camera.topic}: {camera.depth.warning}; set sample_bits where they do not'
            )
        return image

    def _draw(self, image: Pixels, decision: Decision, bundle: Bundle) -> Pixels:
        oldest = monotonic() - FRESH_SECONDS
        readings = [(line, *self._readings.get(line, (0.0, -inf))) for line in METER_LINES]
        lines = [line(value) for line, value, time in readings if time > oldest]
        if (governor := self._governor) is not None:
            lines.append(governor_line(governor.state(monotonic()), governor.budget.kind))
        if decision.operating_point:
            lines.append(decision.operating_point)
        stages = [stage.name for stage in bundle.stages]
        draw = partial(draw_overlay, image, decision, bundle.labels[decision.label], stages, lines)
        try:
            return draw()
        except NoTypefaceError as error:
            self.get_logger().warning(f'the overlay has no text: {error}', once=True)
            return draw(with_text=False)

    # Labels ----------------------------------------------------------------------------------

    def _publish_labels(self, bundle: Bundle, settings: Settings) -> None:
        labels = self.create_publisher(LabelInfo, '~/label_info', LATCHED)
        info = self.create_publisher(VisionInfo, '~/vision_info', LATCHED)
        self._latched = [labels, info]
        info.publish(
            decisions.vision_info_message(installed, bundle, labels.topic_name, header_now(self))
        )
        self._publish_label_info(bundle, settings)

    def _publish_label_info(self, bundle: Bundle, settings: Settings) -> None:
        threshold = min((c.threshold for c in settings.rule.criteria), default=0.0)
        self._latched[0].publish(
            decisions.label_info_message(installed, bundle, threshold, header_now(self))
        )

    # Parameters ------------------------------------------------------------------------------

    def _locked_parameters(self) -> set[str]:
        locked = set()
        if self._loaded is not None:
            locked.add(WHILE_UNCONFIGURED)
        if self._cameras:
            locked.add(WHILE_INACTIVE)
        return locked

    def _accept_parameters(self, values: ClassifierParameters) -> None:
        if self._loaded is None:
            return
        if self._store is not None and values.memory_file != self._live.values.memory_file:
            raise ParameterError(f'memory_file {WHILE_UNCONFIGURED}, since the memory is kept')
        bundle, cascade = self._loaded
        settings = values.settings(bundle)
        governor = self._governor
        if _budget(values) != _budget(self._live.values):
            governor = self._make_governor(values, bundle)
            if governor is not None:
                self.get_logger().info(
                    f'governor {governor.budget.kind}: {governor.budget.target:g}, from '
                    f'{governor.scale[0].rule.name} to {governor.scale[-1].rule.name}'
                )
        elif governor is not None:
            values.refuse_rule(f'governor {values.governor}', 'governor to none')
        if governor is not None:
            settings = replace(settings, rule=cascade.settings.rule)
        if settings != cascade.settings:
            cascade.settings = settings  # which refuses a score that the bundle has not
            self._publish_label_info(bundle, settings)
            self.get_logger().info(_describe(settings))
        self._governor = governor

    def _make_governor(self, values: ClassifierParameters, bundle: Bundle) -> Governor | None:
        clock = self.get_clock().now().nanoseconds * 1e-9
        return make_governor(values, bundle, monotonic(), clock, self._governor)

    # Services --------------------------------------------------------------------------------

    def _answer(
        self, action: Callable[[Loaded], str], _: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        try:
            if self._loaded is None:
                raise ValueError('there is no memory yet; configure the node first')
            response.message = action(self._loaded)
            response.success = True
        except (ValueError, MemoryFileError, OSError) as error:
            response.success, response.message = False, str(error)
        return response

    def _clear_memory(self, loaded: Loaded) -> str:
        return f'forgot {loaded.cascade.memory.clear()} frames'

    def _save_memory(self, loaded: Loaded) -> str:
        store = self._store or MemoryStore(self._memory_file(), self._owner)
        try:
            count = store.save(loaded.cascade.memory, loaded.memory_identity)
        finally:
            if store is not self._store:
                store.close()
        return f'saved {count} frames to {store.path}'

    def _load_memory(self, loaded: Loaded) -> str:
        file = self._memory_file()
        count = loaded.cascade.memory.load(file, loaded.memory_identity)
        return f'loaded {count} frames from {file}'

    def _memory_file(self) -> Path:
        if given := self._live.values.memory_file:
            return expand_home('memory_file', given)
        home = expand_home('memory_file', os.environ.get('ROS_HOME', '~/.ros'))
        # The whole name, since robots of one fleet have nodes of one name.
        name = self.get_fully_qualified_name().strip('/').replace('/', '_')
        return home / f'{name}_memory.npz'

    # The memory that is kept -----------------------------------------------------------------

    @property
    def _owner(self) -> str:
        return f'{self.get_fully_qualified_name()} (process {os.getpid()})'

    def _open_store(self, loaded: Loaded) -> None:
        self._store = MemoryStore(self._memory_file(), self._owner)
        memory = loaded.cascade.memory
        if fault := self._store.load(memory, loaded.memory_identity):
            self.get_logger().warning(f'the memory begins empty: {fault}')
        self.get_logger().info(f'the memory of {len(memory)} frames is kept in {self._store.path}')

    def _save_changes(self) -> None:
        if self._loaded is None or self._store is None:
            return
        try:
            self._store.save_changes(self._loaded.cascade.memory, self._loaded.memory_identity)
        except OSError as error:
            self._report_unsaved(str(error))

    def _report_unsaved(self, error: str) -> None:
        self.get_logger().error(error, throttle_duration_sec=THROTTLE_SECONDS)

    def _close_store(self) -> None:
        self._save_changes()
        if self._store is not None:
            self._store.close()
            self._store = None

    def destroy_node(self) -> None:
        """Save the memory, where it is kept, before the node is gone."""
        frames = self._frames
        self._stop()
        if frames is not None:
            # Not for ever, as a CNN may hang.
            frames.join(1.0)
        self._close_store()
        super().destroy_node()

    # Diagnostics -----------------------------------------------------------------------------

    def _publish_diagnostics(self) -> None:
        if self._loaded is None:
            statuses = [self._diagnostics.status('cascade', 'STALE', 'not configured', {})]
        else:
            statuses = [
                self._cascade_status(*self._loaded),
                *self._governor_status(),
                *(self._camera_status(*each, self._loaded) for each in self._cameras.items()),
            ]
        self._diagnostics.publish(statuses)

    def _cascade_status(self, bundle: Bundle, cascade: Cascade) -> DiagnosticStatus:
        settings = cascade.settings
        values = {
            'bundle': str(bundle.path),
            'score': ' '.join(c.score for c in settings.rule.criteria),
            'threshold': ' '.join(f'{c.threshold:.4f}' for c in settings.rule.criteria),
            'post_check': settings.rule.post_check,
            'operating_point': settings.rule.name,
            'runs_on': ', '.join(f'{stage.name}: {stage.runs_on}' for stage in cascade.stages),
            'memory': f'{len(cascade.memory)} frames' if settings.memory else 'off',
        }
        message = 'active' if self._cameras else 'inactive'
        if self._store is not None:
            values['memory_file'] = str(self._store.path)
            if self._store.fault:
                return self._diagnostics.status('cascade', 'WARN', self._store.fault, values)
        return self._diagnostics.status('cascade', 'OK', message, values)

    def _governor_status(self) -> list[DiagnosticStatus]:
        if (governor := self._governor) is None:
            return []
        kind, state = governor.budget.kind, governor.state(monotonic())
        fault = state.fault if self._cameras else ''
        if bool(fault) != bool(self._governor_fault):
            log = self.get_logger()
            if fault:
                log.warning(f'governor {kind}: {fault}')
            else:
                log.info(f'governor {kind}: the budget is kept again')
        self._governor_fault = fault
        values = governor_values(state, kind)
        message = fault or governor_line(state, kind)
        return [self._diagnostics.status('governor', 'WARN' if fault else 'OK', message, values)]

    def _camera_status(
        self, camera: CameraOutputs, camera_input: CameraInput, loaded: Loaded
    ) -> DiagnosticStatus:
        bundle, cascade = loaded
        sources = ('memory', *(stage.name for stage in bundle.stages))
        values = {'topic': camera.topic, **camera.statistics.summary(sources)}
        record = None
        if cascade.settings.memory:
            memory = cascade.memory.of(camera.name)
            record = memory.record()
            values |= {'memory': f'{len(memory)}/{cascade.memory.settings.capacity}'}
            values |= memory_values(record)
        health = camera_health(
            camera.topic, camera.statistics, camera_input, self._live.values.silent_after, record
        )
        if health.condition != camera.condition:
            log = self.get_logger()
            if health.condition != ARRIVING:
                log.warning(f'camera {camera.name}: {health.message}')
            elif camera.condition == DISTRUSTED:
                log.info(f'camera {camera.name}: the memory answers again')
            elif camera.condition:
                log.info(f'camera {camera.name}: frames arrive on {camera.topic} again')
            camera.condition = health.condition
        return self._diagnostics.status(
            f'camera {camera.name}', health.level, health.message, values
        )


def _budget(values: ClassifierParameters) -> tuple[object, ...]:
    """Return what a governor is made of."""
    names = (
        values.governor_target,
        values.governor_floor,
        values.governor_until,
        values.power_topic,
    )
    return (values.governor, *names) if values.governor != 'none' else ()


def _describe(settings: Settings) -> str:
    rule = settings.rule
    sure = ''.join(f'{c.score} >= {c.threshold:.4f}, ' for c in rule.criteria)
    check = f'{sure}post-check {rule.post_check}, ' if rule.criteria else ''
    memory = (
        f'memory of {settings.remember.capacity} frames by {settings.remember.fingerprint}'
        if settings.memory
        else 'no memory'
    )
    return f'{check}{memory}'


def main(arguments: list[str]) -> int:
    """Run the node until it is stopped; return 1 where it could not start by itself."""
    # What is left to do for a frame is less than telling threads of it.
    cv2.setNumThreads(1)
    return run_node(
        NAME,
        ClassifierNode,
        ClassifierParameters,
        arguments,
        start=lambda node: (
            not node.get_parameter('autostart').value
            or (node.trigger_configure() == SUCCESS and node.trigger_activate() == SUCCESS)
        ),
    )
