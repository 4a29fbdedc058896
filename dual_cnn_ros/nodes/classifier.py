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

"""The classifier node: image topics in, classifications out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
import os
from pathlib import Path
import sys
from threading import Lock
from time import monotonic, perf_counter
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Float64, Header
from std_srvs.srv import Trigger
from vision_msgs.msg import Classification, LabelInfo, VisionInfo

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.cascade.cascade import Cascade
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.memory_file import MemoryFileError
from dual_cnn_ros.cascade.settings import Settings
from dual_cnn_ros.messages import decisions, images
from dual_cnn_ros.messages.diagnostics import diagnostic_status, Level
from dual_cnn_ros.messages.types import installed
from dual_cnn_ros.nodes import overlay, parameters
from dual_cnn_ros.nodes.parameter import ParameterError, path
from dual_cnn_ros.nodes.parameters import INACTIVE, PARAMETERS, UNCONFIGURED
from dual_cnn_ros.nodes.run import run
from dual_cnn_ros.nodes.statistics import Statistics
from dual_cnn_ros.nodes.worker import NewestWorker

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
THROTTLE = 5.0
# What the overlay shows beside the decision: parameter with the topic, its value as a line.
METERS = {'power_topic': overlay.watts, 'energy_topic': overlay.joules}
FRESH = 3.0  # seconds for which a reading is shown


class Camera:
    """The publishers of one camera, and where its frames come from."""

    def __init__(self, node: LifecycleNode, name: str, topic: str, prefix: str) -> None:
        """Create the publishers under ~/<prefix>."""
        self.name, self.topic = name, topic
        self.is_depth = False  # the newest frame
        self.depth_refused = False  # said once in the log
        create = partial(node.create_lifecycle_publisher, qos_profile=10)
        self.classification = create(Classification, f'~/{prefix}classification')
        self.confidence = create(Float64, f'~/{prefix}confidence')
        self.decision = create(DiagnosticArray, f'~/{prefix}decision')
        self.overlay = create(Image, f'~/{prefix}overlay')

    @property
    def publishers(self) -> tuple[Any, ...]:
        """All of them."""
        return self.classification, self.confidence, self.decision, self.overlay


class ClassifierNode(LifecycleNode):
    """
    Classifies the newest frame of each camera with one cascade.

    configure loads the bundle, activate subscribes, deactivate unsubscribes, cleanup frees the
    models. The executor's thread only hands frames to a worker, so that parameters, services and
    lifecycle requests are answered while a CNN runs.
    """

    def __init__(self, **options: Any) -> None:
        """Declare the parameters and offer the services; nothing is loaded yet."""
        super().__init__('dual_cnn', **options)
        self._bundle: Bundle | None = None
        self._cascade: Cascade | None = None
        self._cameras: dict[str, Camera] = {}
        self._subscriptions_: list[Any] = []
        self._worker: NewestWorker[Any] | None = None
        self._latched: list[Any] = []
        self._statistics = Statistics()
        self._meters: dict[str, tuple[float, float]] = {}
        self._inference = Lock()  # an old worker may still be in its last frame
        self._output = Lock()  # held while messages are published
        for name, parameter in PARAMETERS.items():
            self.declare_parameter(name, parameter.default, parameter.descriptor())
        self._values = {name: self.get_parameter(name).value for name in PARAMETERS}
        for name, value in self._values.items():
            parameters.check(name, value)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        for service, callback in (
            ('clear_memory', self._clear_memory),
            ('save_memory', self._save_memory),
            ('load_memory', self._load_memory),
        ):
            self.create_service(Trigger, f'~/{service}', callback)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # On the steady clock: a replay that pauses /clock must not silence the diagnostics.
        self.create_timer(
            1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    # Lifecycle -------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the bundle and warm up every stage."""
        try:
            start = perf_counter()
            bundle = Bundle.open(self._values['bundle'])
            settings = parameters.settings(self._values, bundle)
            stages = bundle.load(
                self._values['backend'], self._values['device'], self._values['threads']
            )
            self._cascade = Cascade(stages, settings)
            self._bundle = bundle
            self._publish_labels(bundle, settings)
        except Exception as error:  # an exception here would be swallowed by rclpy, unlogged
            self.get_logger().error(f'cannot configure: {error}')
            self._free()
            return FAILURE
        self.get_logger().info(
            f'bundle {bundle.name} from {bundle.path}, {len(bundle.labels)} classes, stages '
            f'{", ".join(stage.name for stage in stages)}, loaded in '
            f'{perf_counter() - start:.2f} s; {_describe(settings)}'
        )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Create the publishers, subscribe to the cameras and start to work."""
        try:
            self._statistics = Statistics()
            self._cameras = self._make_cameras()
            result = super().on_activate(state)
            self._worker = NewestWorker(partial(self._work, self._cameras))
            for camera in self._cameras.values():
                self._subscriptions_.append(self._subscribe(camera))
            for name in METERS:
                if self._values[name]:
                    self._subscriptions_.append(
                        self.create_subscription(
                            Float64, self._values[name], partial(self._on_meter, name), 1
                        )
                    )
        except Exception as error:
            self.get_logger().error(f'cannot activate: {error}')
            self._stop()
            return FAILURE
        self.get_logger().info(
            'classifying '
            + ', '.join(f'{camera.topic} as {camera.name}' for camera in self._cameras.values())
        )
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe, so that a paused robot spends nothing."""
        result = super().on_deactivate(state)
        self._stop()
        return result

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the models and the memory."""
        self._free()
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

    def _stop(self) -> None:
        for subscription in self._subscriptions_:
            self.destroy_subscription(subscription)
        self._subscriptions_ = []
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
        with self._output:
            cameras, self._cameras = self._cameras, {}
            for camera in cameras.values():
                for publisher in camera.publishers:
                    self.destroy_lifecycle_publisher(publisher)

    def _free(self) -> None:
        for publisher in self._latched:
            self.destroy_publisher(publisher)
        self._latched = []
        self._cascade = self._bundle = None

    # Frames ----------------------------------------------------------------------------------

    def _make_cameras(self) -> dict[str, Camera]:
        topics = list(self._values['image_topics'])
        if self._values['image_transport'] == 'compressed':
            topics = [t if t.endswith('/compressed') else f'{t}/compressed' for t in topics]
        resolved = [self.resolve_topic_name(topic) for topic in topics]
        names = [name for name in self._values['camera_names'] if name]
        names = names or [self._camera_name(topic) for topic in resolved]
        if len(names) != len(topics) or len(set(names)) != len(names):
            raise ValueError(
                f'camera_names: {len(topics)} image topics need as many different '
                f'names, not {names}; set camera_names'
            )
        several = len(topics) > 1
        return {
            name: Camera(self, name, topic, f'{name}/' if several else '')
            for name, topic in zip(names, resolved)
        }

    def _camera_name(self, topic: str) -> str:
        topic = topic[: -len('/compressed')] if topic.endswith('/compressed') else topic
        own = self.get_namespace().rstrip('/') + '/'
        relative = topic[len(own) :] if topic.startswith(own) else topic
        return relative.strip('/').rpartition('/')[0] or 'camera'

    def _subscribe(self, camera: Camera) -> Any:
        kind = CompressedImage if camera.topic.endswith('/compressed') else Image
        # Best effort matches every publisher; only the newest frame counts. The overrides change
        # the profile that is passed in, so each subscription has its own.
        qos = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
        return self.create_subscription(
            kind,
            camera.topic,
            partial(self._on_image, camera.name),
            qos,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def _on_image(self, camera: str, message: Image | CompressedImage) -> None:
        self._statistics.count(camera, 'received')
        if self._worker is not None and self._worker.put(camera, message):
            self._statistics.count(camera, 'dropped')

    def _on_meter(self, name: str, message: Float64) -> None:
        self._meters[name] = message.data, monotonic()

    def _meter_lines(self) -> list[str]:
        latest = monotonic() - FRESH
        return [
            line(self._meters[name][0])
            for name, line in METERS.items()
            if name in self._meters and self._meters[name][1] > latest
        ]

    def _work(
        self, cameras: dict[str, Camera], name: str, message: Image | CompressedImage
    ) -> None:
        """Classify and publish one frame; runs in the worker's thread and never raises."""
        camera, statistics = cameras[name], self._statistics
        bundle, cascade = self._bundle, self._cascade
        if bundle is None or cascade is None:
            return
        start = perf_counter()
        try:
            image = (
                images.from_compressed_msg(message)
                if isinstance(message, CompressedImage)
                else images.from_image_msg(message)
            )
            decoded = perf_counter() - start
            with self._inference:
                decision = cascade.classify(Frame(image))
            camera.is_depth = False
            decision = replace(decision, seconds={'decode': decoded, **decision.seconds})
            finished = self.get_clock().now().nanoseconds * 1e-9
            with self._output:
                if self._cameras is not cameras:
                    return  # deactivated meanwhile
                decision_wanted = camera.decision.get_subscription_count() > 0
                overlay_wanted = camera.overlay.get_subscription_count() > 0
            outputs: list[tuple[Any, Any]] = [
                (
                    camera.classification,
                    decisions.classification_message(
                        installed, decision, bundle.labels, self._values['top_k'], message.header
                    ),
                ),
                (camera.confidence, Float64(data=decision.score)),
            ]
            if decision_wanted:
                outputs.append(
                    (
                        camera.decision,
                        decisions.decision_message(
                            installed,
                            decision,
                            name,
                            self.get_name(),
                            bundle,
                            finished,
                            message.header,
                        ),
                    )
                )
            if overlay_wanted:
                picture = overlay.draw(
                    image,
                    decision,
                    bundle.labels[decision.label],
                    [stage.name for stage in bundle.stages],
                    self._meter_lines(),
                )
                outputs.append(
                    (camera.overlay, images.to_image_msg(picture, message.header, 'bgr8', Image))
                )
            with self._output:
                if self._cameras is not cameras:
                    return
                for publisher, output in outputs:
                    publisher.publish(output)
            statistics.answered(name, decision.source, perf_counter() - start)
        except images.DepthImageError as error:
            statistics.count(name, 'bad')
            camera.is_depth = True
            if not camera.depth_refused:
                camera.depth_refused = True
                self.get_logger().error(f'{camera.topic}: {error}')
        except Exception as error:  # whatever a frame does, the next one gets its chance
            if not self.context.ok():
                return  # interrupted in the middle of it
            statistics.count(name, 'bad')
            self.get_logger().warning(
                f'{camera.topic}: frame not classified: {error}', throttle_duration_sec=THROTTLE
            )

    def _publish_labels(self, bundle: Bundle, settings: Settings) -> None:
        latched = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
        labels = self.create_publisher(LabelInfo, '~/label_info', latched)
        info = self.create_publisher(VisionInfo, '~/vision_info', latched)
        self._latched = [labels, info]
        header = Header(stamp=self.get_clock().now().to_msg())
        info.publish(decisions.vision_info_message(installed, bundle, labels.topic_name, header))
        self._publish_label_info(bundle, settings)

    def _publish_label_info(self, bundle: Bundle, settings: Settings) -> None:
        header = Header(stamp=self.get_clock().now().to_msg())
        threshold = min((c.threshold for c in settings.rule.criteria), default=0.0)
        self._latched[0].publish(
            decisions.label_info_message(installed, bundle, threshold, header)
        )

    # Parameters ------------------------------------------------------------------------------

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        values = dict(self._values)
        try:
            for change in changes:
                if change.name not in PARAMETERS:
                    continue  # use_sim_time and the like are not ours to judge
                when = PARAMETERS[change.name].when
                if (when == UNCONFIGURED and self._cascade is not None) or (
                    when == INACTIVE and self._cameras
                ):
                    raise ParameterError(f'{change.name} {when}')
                parameters.check(change.name, change.value)
                values[change.name] = change.value
            if self._bundle is not None and self._cascade is not None:
                settings = parameters.settings(values, self._bundle)
                if settings != self._cascade.settings:
                    self._cascade.settings = settings
                    self._publish_label_info(self._bundle, settings)
                    self.get_logger().info(_describe(settings))
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._values = values
        return SetParametersResult(successful=True)

    # Services --------------------------------------------------------------------------------

    def _clear_memory(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._on_memory(response, lambda cascade: f'forgot {cascade.memory.clear()} frames')

    def _save_memory(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        def save(cascade: Cascade) -> str:
            file = self._memory_file
            frames = cascade.memory.save(file, self._memory_identity(cascade))
            return f'saved {frames} frames to {file}'

        return self._on_memory(response, save)

    def _load_memory(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        def load(cascade: Cascade) -> str:
            file = self._memory_file
            frames = cascade.memory.load(file, self._memory_identity(cascade))
            return f'loaded {frames} frames from {file}'

        return self._on_memory(response, load)

    def _on_memory(
        self, response: Trigger.Response, action: Callable[[Cascade], str]
    ) -> Trigger.Response:
        try:
            if self._cascade is None:
                raise ValueError('there is no memory yet; configure the node first')
            response.message = action(self._cascade)
            response.success = True
        except (ValueError, MemoryFileError, OSError) as error:
            response.success, response.message = False, str(error)
        return response

    @property
    def _memory_file(self) -> Path:
        if self._values['memory_file']:
            return path('memory_file', self._values['memory_file'])
        home = path('memory_file', os.environ.get('ROS_HOME', '~/.ros'))
        # The whole name, since robots of one fleet have nodes of one name.
        name = self.get_fully_qualified_name().strip('/').replace('/', '_')
        return home / f'{name}_memory.npz'

    def _memory_identity(self, cascade: Cascade) -> str:
        assert self._bundle is not None
        return f'{self._bundle.digest} {cascade.settings.validity}'

    # Diagnostics -----------------------------------------------------------------------------

    def _publish_diagnostics(self) -> None:
        bundle, cascade, name = self._bundle, self._cascade, self.get_name()
        hardware = bundle.name if bundle else ''
        if bundle is None or cascade is None:
            statuses = [
                diagnostic_status(
                    installed, f'{name}: cascade', 'STALE', 'not configured', hardware, {}
                )
            ]
        else:
            settings = cascade.settings
            values: dict[str, object] = {
                'bundle': str(bundle.path),
                'score': ' '.join(c.score for c in settings.rule.criteria),
                'threshold': ' '.join(f'{c.threshold:.4f}' for c in settings.rule.criteria),
                'post_check': settings.rule.post_check,
                'memory': f'{len(cascade.memory)}/{cascade.memory.capacity}'
                if settings.memory
                else 'off',
            }
            statuses = [
                diagnostic_status(
                    installed,
                    f'{name}: cascade',
                    'OK',
                    'active' if self._cameras else 'inactive',
                    hardware,
                    values,
                )
            ]
            sources = ('memory', *(stage.name for stage in bundle.stages))
            for camera in self._cameras.values():
                statuses.append(self._camera_status(camera, sources, hardware))
        header = Header(stamp=self.get_clock().now().to_msg())
        self._diagnostics.publish(DiagnosticArray(header=header, status=statuses))

    def _camera_status(
        self, camera: Camera, sources: tuple[str, ...], hardware: str
    ) -> DiagnosticStatus:
        values = {'topic': camera.topic, **self._statistics.summary(camera.name, sources)}
        silence = self._statistics.silence(camera.name)
        level: Level = 'OK'
        message = f'{values["rate_hz"]} Hz'
        if camera.is_depth:
            level, message = 'ERROR', f'{camera.topic} is a depth image'
        elif silence > self._values['silent_after']:
            publishers = self.count_publishers(camera.topic)
            level = 'WARN'
            message = (
                f'no frame on {camera.topic} for {silence:.1f} s, which has {publishers} '
                'publishers'
            )
        name = f'{self.get_name()}: camera {camera.name}'
        return diagnostic_status(installed, name, level, message, hardware, values)


def _describe(settings: Settings) -> str:
    rule = settings.rule
    sure = ', '.join(f'{c.score} >= {c.threshold:.4f}' for c in rule.criteria)
    memory = (
        f'memory of {settings.capacity} frames by {settings.fingerprint}'
        if settings.memory
        else 'no memory'
    )
    return f'{sure}, post-check {rule.post_check}, {memory}'


def main(args: list[str] | None = None) -> int:
    """Run the node until it is stopped; returns 1 where it could not start by itself."""
    return run(
        ClassifierNode,
        args,
        start=lambda node: (
            not node.get_parameter('autostart').value
            or (node.trigger_configure() == SUCCESS and node.trigger_activate() == SUCCESS)
        ),
    )


if __name__ == '__main__':
    sys.exit(main())
