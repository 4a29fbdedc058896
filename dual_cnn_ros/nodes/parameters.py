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

"""The classifier's parameters: what each means, what it may be, and when it may change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rclpy.exceptions import InvalidTopicNameException
from rclpy.validate_topic_name import validate_topic_name

from dual_cnn_ros.bundle import Bundle, find_bundle
from dual_cnn_ros.cascade.fingerprints import FINGERPRINTS
from dual_cnn_ros.cascade.scores import SCORES
from dual_cnn_ros.cascade.settings import Criterion, POST_CHECKS, Rule, Settings
from dual_cnn_ros.inference import BACKENDS, DEVICES
from dual_cnn_ros.nodes.parameter import NEVER, Parameter, ParameterError, path

# When a parameter may change.
LIVE = 'takes effect on the next frame'
INACTIVE = 'cannot change while active: deactivate first'
UNCONFIGURED = 'cannot change while configured: deactivate and clean up first'

TRANSPORTS = ('raw', 'compressed')
FROM_BUNDLE = 'bundle'

PARAMETERS: dict[str, Parameter] = {
    'bundle': Parameter(
        'scenes',
        'Model bundle: the name of one that comes with the package (scenes, signs), or '
        'the path, with a slash in it, of a folder with a bundle.yaml.',
        UNCONFIGURED,
    ),
    'backend': Parameter(
        'auto',
        'Library that runs the CNNs; auto: the first installed one that can.',
        UNCONFIGURED,
        ('auto', *BACKENDS),
    ),
    'device': Parameter(
        'auto',
        'Where the CNNs run; auto: the GPU where the backend can use one.',
        UNCONFIGURED,
        DEVICES,
    ),
    'threads': Parameter(
        1,
        'CPU threads of one inference; 0: as many as the backend likes.',
        UNCONFIGURED,
        range=(0, 256),
    ),
    'image_topics': Parameter(
        ['image'],
        'Image topics, one for each camera. A name that ends in /compressed is taken '
        'for a sensor_msgs/CompressedImage.',
        INACTIVE,
    ),
    'camera_names': Parameter(
        [''],
        'Names of the cameras in the outputs, in the order of image_topics; empty: the '
        'namespace of each image topic.',
        INACTIVE,
    ),
    'image_transport': Parameter(
        'raw',
        'compressed: subscribe to <topic>/compressed of every image topic.',
        INACTIVE,
        TRANSPORTS,
    ),
    'power_topic': Parameter(
        'power_monitor/power',
        'Watts that the overlay shows (std_msgs/Float64); empty: none.',
        INACTIVE,
    ),
    'energy_topic': Parameter(
        'energy_monitor/energy_per_frame',
        'Joules per frame that the overlay shows (std_msgs/Float64); empty: none.',
        INACTIVE,
    ),
    'autostart': Parameter(
        True, 'Configure and activate at start, without a lifecycle manager.', NEVER
    ),
    'memory_file': Parameter(
        '',
        'File of the services save_memory and load_memory; empty: '
        '~/.ros/<node name>_memory.npz, where the name begins with the namespace.',
        LIVE,
    ),
    'operating_point': Parameter(
        '',
        'Name of an operating point of the bundle, which decides score, threshold and '
        'post_check: they must have their defaults then. Empty: none.',
        LIVE,
    ),
    'score': Parameter(
        FROM_BUNDLE,
        'Score that is compared with the threshold; bundle: as calibrated.',
        LIVE,
        (FROM_BUNDLE, *SCORES),
    ),
    'threshold': Parameter(
        -1.0,
        'An answer is accepted when its score is at least this, in [0, 1]; -1: as '
        'calibrated in the bundle for this score and post-check, where it is.',
        LIVE,
        range=(-1, 1),
    ),
    'post_check': Parameter(
        FROM_BUNDLE,
        'Whose answer counts once the second CNN was asked; bundle: as calibrated.',
        LIVE,
        (FROM_BUNDLE, *POST_CHECKS),
    ),
    'fingerprint': Parameter(
        'dhash',
        'Key under which frames are remembered; invariants: also when rotated by '
        'quarter turns or mirrored.',
        LIVE,
        tuple(FINGERPRINTS),
    ),
    'memory': Parameter(True, 'Answer repeated frames from the memory.', LIVE),
    'memory_capacity': Parameter(
        1024,
        'Frames remembered at most; the least recently used go first.',
        LIVE,
        range=(1, 1_000_000),
    ),
    'memory_max_age': Parameter(
        0.0, 'Seconds after which a frame is forgotten; 0: never.', LIVE, range=(0, 1e9)
    ),
    'top_k': Parameter(
        5, 'Classes in a Classification message, best first.', LIVE, range=(1, 65536)
    ),
    'silent_after': Parameter(
        2.0,
        'Seconds without a frame after which the diagnostics warn of a camera.',
        LIVE,
        range=(0.1, 3600),
    ),
}


def check(name: str, value: Any) -> None:
    """Refuse a value that no state of the node could use. Types and ranges are ROS's to check."""
    PARAMETERS[name].check(name, value)
    if name == 'threshold' and -1 < value < 0:
        raise ParameterError(f"threshold must be in [0, 1], or -1 for the bundle's, not {value}")
    if name == 'bundle' and not value:
        raise ParameterError('bundle must be the name or the path of a bundle, not empty')
    if name == 'memory_file':
        path(name, value)
    if name == 'bundle':
        find_bundle(value)
    if name == 'image_topics':
        if not value or len(set(value)) != len(value):
            raise ParameterError(f'image_topics must be one or more different topics, not {value}')
        for topic in value:
            try:
                validate_topic_name(topic)
            except InvalidTopicNameException as error:
                raise ParameterError(f'image_topics: {error}') from error
    names = {'camera_names': value, 'power_topic': [value], 'energy_topic': [value]}
    for text in filter(None, names.get(name, ())):
        try:
            validate_topic_name(text)
        except InvalidTopicNameException as error:
            raise ParameterError(f'{name}: {error}') from error


def settings(values: Mapping[str, Any], bundle: Bundle) -> Settings:
    """
    Return the cascade's settings: the parameters, and the bundle's where they say so.

    Raises
    ------
    ParameterError
        The parameters fit neither each other nor this bundle.
    """
    return Settings(
        _rule(values, bundle),
        memory=values['memory'],
        fingerprint=values['fingerprint'],
        capacity=values['memory_capacity'],
        max_age=values['memory_max_age'],
    )


def _rule(values: Mapping[str, Any], bundle: Bundle) -> Rule:
    point = values['operating_point']
    if point:
        for name in ('score', 'threshold', 'post_check'):
            if values[name] != PARAMETERS[name].default:
                raise ParameterError(
                    f'operating_point {point!r} decides {name} too, which is {values[name]}: set '
                    f"{name} to {PARAMETERS[name].default}, or operating_point to '', first"
                )
        if point not in bundle.rules:
            raise ParameterError(
                f'operating_point must be one that bundle {bundle.name} has, '
                f'not {point!r}: {"; ".join(bundle.rules) or "it has none"}'
            )
        return bundle.rules[point]
    own, threshold = bundle.rule, values['threshold']
    post_check = own.post_check if values['post_check'] == FROM_BUNDLE else values['post_check']
    scores = tuple(
        criterion.score if values['score'] == FROM_BUNDLE else values['score']
        for criterion in own.criteria
    )
    if threshold >= 0:
        return Rule(tuple(Criterion(score, threshold) for score in scores), post_check)
    calibrated = (own, *bundle.rules.values())
    for rule in calibrated:
        if (_scores(rule), rule.post_check) == (scores, post_check):
            return rule
    there = dict.fromkeys(f'{", ".join(_scores(r))} with {r.post_check}' for r in calibrated)
    raise ParameterError(
        f'threshold is -1, as calibrated, but bundle {bundle.name} is not calibrated for score '
        f'{", ".join(scores)} with post_check {post_check}, only for {", ".join(there)}: '
        'set threshold first'
    )


def _scores(rule: Rule) -> tuple[str, ...]:
    return tuple(criterion.score for criterion in rule.criteria)
