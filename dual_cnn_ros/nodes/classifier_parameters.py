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

"""The parameters of the classifier node, and the settings of the cascade that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dual_cnn_ros.bundle import Bundle, find_bundle
from dual_cnn_ros.cascade.audit import LEAST_SCALE
from dual_cnn_ros.cascade.fingerprints import FINGERPRINTS
from dual_cnn_ros.cascade.governor import BUDGETS
from dual_cnn_ros.cascade.region import is_region, Region, WHOLE
from dual_cnn_ros.cascade.scores import SCORES
from dual_cnn_ros.cascade.settings import (
    Criterion,
    MemorySettings,
    POST_CHECKS,
    Rule,
    SELECTOR,
    Settings,
)
from dual_cnn_ros.inference import BACKENDS, PROVIDERS
from dual_cnn_ros.nodes.parameter import (
    AT_ONCE,
    check_topics,
    expand_home,
    NEVER,
    ON_NEXT_FRAME,
    parameter,
    ParameterError,
    WHILE_INACTIVE,
    WHILE_UNCONFIGURED,
)

FROM_BUNDLE = 'bundle'


def _check_bundle(name: str, value: str) -> None:
    if not value:
        raise ParameterError(f'{name} must be the name or the path of a bundle, not empty')
    find_bundle(value)


def _check_image_topics(name: str, value: tuple[str, ...]) -> None:
    if not all(value) or not value or len(set(value)) != len(value):
        raise ParameterError(f'{name} must be one or more different topics, not {list(value)}')
    check_topics(name, value)


def _check_threshold(name: str, value: float) -> None:
    if -1 < value < 0:
        raise ParameterError(f"{name} must be in [0, 1], or -1 for the bundle's, not {value}")


def _check_providers(name: str, value: tuple[str, ...]) -> None:
    if not value or set(value) - set(PROVIDERS) or len(set(value)) < len(value):
        raise ParameterError(
            f'{name} must be some of {", ".join(PROVIDERS)}, each once, not {", ".join(value)}'
        )


def _check_region(name: str, value: Region) -> None:
    if not is_region(value):
        raise ParameterError(
            f'{name} must be x, y, width and height within [0, 1], x + width and y + height at '
            f'most 1, not {list(value)}'
        )


def _check_sample_bits(name: str, value: int) -> None:
    if 0 < value < 8:
        raise ParameterError(f'{name} must be in [8, 16], or 0 for an estimate, not {value}')


@dataclass(frozen=True)
class ClassifierParameters:
    """Values of the classifier's parameters; what each means is in its declaration."""

    autostart: bool = parameter(
        True, 'Configure and activate at start, without a lifecycle manager.', NEVER
    )
    bundle: str = parameter(
        'scenes',
        'Model bundle: the name of one that comes with the package (scenes, signs) or that '
        'pretrained made (imagenet), or the path, with a slash in it, of a folder with a '
        'bundle.yaml.',
        WHILE_UNCONFIGURED,
        further_check=_check_bundle,
        is_common=True,
    )
    backend: str = parameter(
        'auto',
        'Library that runs the CNNs; auto: the first installed one that can.',
        WHILE_UNCONFIGURED,
        choices=('auto', *BACKENDS),
    )
    providers: tuple[str, ...] = parameter(
        PROVIDERS,
        'What may run the CNNs, of tensorrt, cuda and cpu; the first that is there does. TensorRT '
        'builds an engine the first time, which takes minutes.',
        WHILE_UNCONFIGURED,
        further_check=_check_providers,
    )
    threads: int = parameter(
        1,
        'CPU threads of one inference; 0: as many as the backend likes.',
        WHILE_UNCONFIGURED,
        range=(0, 256),
    )
    image_topics: tuple[str, ...] = parameter(
        ('image',),
        'Image topics, one for each camera. A name that ends in /compressed is taken for a '
        'sensor_msgs/CompressedImage.',
        WHILE_INACTIVE,
        further_check=_check_image_topics,
        is_common=True,
    )
    camera_names: tuple[str, ...] = parameter(
        ('',),
        'Names of the cameras in the outputs, in the order of image_topics; empty: the namespace '
        'of each image topic.',
        WHILE_INACTIVE,
        further_check=check_topics,
    )
    image_transport: str = parameter(
        'raw',
        'compressed: subscribe to <topic>/compressed of every image topic.',
        WHILE_INACTIVE,
        choices=('raw', 'compressed'),
    )
    max_rate: float = parameter(
        0.0,
        'Frames of each camera that are classified in a second at most, by the steady clock; '
        'those between cost no decoding. 0: no limit.',
        ON_NEXT_FRAME,
        range=(0, 1000),
    )
    region: tuple[float, ...] = parameter(
        WHOLE,
        'Part of every image that is classified: x, y, width and height as fractions of the '
        'image, from its upper left corner. The overlay shows this part.',
        ON_NEXT_FRAME,
        further_check=_check_region,
    )
    sample_bits: int = parameter(
        0,
        'Bits that the samples of 16-bit images hold, such as 12; 0: the least of 10, 12, 14 and '
        '16 that holds all that a camera has sent.',
        ON_NEXT_FRAME,
        range=(0, 16),
        further_check=_check_sample_bits,
    )
    power_topic: str = parameter(
        'power_monitor/power',
        'Watts that the overlay shows, and that the governor goes by (std_msgs/Float64); empty: '
        'none.',
        WHILE_INACTIVE,
        further_check=check_topics,
    )
    energy_topic: str = parameter(
        'energy_monitor/energy_per_frame',
        'Joules per frame that the overlay shows (std_msgs/Float64); empty: none.',
        WHILE_INACTIVE,
        further_check=check_topics,
    )
    memory_file: str = parameter(
        '',
        'File of the memory; empty: ~/.ros/<node name>_memory.npz, where the name begins with the '
        'namespace. It cannot change while the memory is kept in it.',
        AT_ONCE,
        further_check=expand_home,
    )
    memory_persist: bool = parameter(
        False,
        'Keep the memory in memory_file: loaded by configure, saved where it has changed by '
        'deactivate, cleanup and the end of the node, and every memory_save_s.',
        WHILE_UNCONFIGURED,
    )
    memory_save_s: float = parameter(
        60.0,
        'Seconds from one save of a memory that is kept to the next: what a crash can lose.',
        AT_ONCE,
        range=(1, 86400),
    )
    operating_point: str = parameter(
        '',
        'Name of an operating point of the bundle, which decides score, threshold and post_check: '
        'they must have their defaults then. Empty: none.',
        ON_NEXT_FRAME,
    )
    governor: str = parameter(
        'none',
        'What decides the operating point, frame by frame, within the budget governor_target: '
        'deferral_rate, the share of frames that a later stage is asked about; power, the watts '
        'on power_topic; energy, the joules until governor_until. operating_point, score, '
        'threshold and post_check must have their defaults then.',
        ON_NEXT_FRAME,
        choices=('none', *BUDGETS),
        is_common=True,
    )
    governor_target: float = parameter(
        0.0,
        'The budget of the governor: a share, watts, or joules from when it is set.',
        ON_NEXT_FRAME,
        range=(0, 1e9),
        is_common=True,
    )
    governor_floor: str = parameter(
        '',
        'The cheapest operating point that the governor may choose; empty: the cheapest that is '
        'certified, or where none is, the cheapest.',
        ON_NEXT_FRAME,
    )
    governor_until: str = parameter(
        '',
        'When the joules of the governor may be used up: THH:MM or YYYY-MM-DDTHH:MM, local time.',
        ON_NEXT_FRAME,
    )
    score: str = parameter(
        FROM_BUNDLE,
        'Score that is compared with the threshold; bundle: as calibrated. selector: the learned '
        'one, where the bundle has it.',
        ON_NEXT_FRAME,
        choices=(FROM_BUNDLE, *SCORES, SELECTOR),
    )
    threshold: float = parameter(
        -1.0,
        'The answer of a stage is accepted when its score is at least this, in [0, 1]; -1: as '
        'calibrated in the bundle for this score and post-check, where it is, each stage with a '
        'threshold of its own.',
        ON_NEXT_FRAME,
        range=(-1, 1),
        further_check=_check_threshold,
    )
    post_check: str = parameter(
        FROM_BUNDLE,
        'Whose answer counts once several CNNs were asked; bundle: as calibrated.',
        ON_NEXT_FRAME,
        choices=(FROM_BUNDLE, *POST_CHECKS),
    )
    memory: bool = parameter(
        True, 'Answer frames that resemble a remembered one from the memory.', ON_NEXT_FRAME
    )
    fingerprint: str = parameter(
        MemorySettings.fingerprint,
        'Key under which frames are remembered. thumbnail: 32 x 24 cells in colour, compared cell '
        'by cell; made for cameras. dhash and invariants: those of the paper, which have to be '
        'equal. dhash sees neither colour nor what is small, and takes some frames for others. '
        'invariants finds rotated and mirrored frames too, sees no colour, and finds no frame '
        'again that has noise.',
        ON_NEXT_FRAME,
        choices=tuple(FINGERPRINTS),
    )
    memory_capacity: int = parameter(
        MemorySettings.capacity,
        'Frames of each camera remembered at most; the least recently used go first. A thumbnail '
        'takes 5 kB.',
        ON_NEXT_FRAME,
        range=(1, 100_000),
    )
    memory_max_age: float = parameter(
        MemorySettings.max_age,
        'Seconds after which a frame is forgotten; 0: never.',
        ON_NEXT_FRAME,
        range=(0, 1e9),
    )
    memory_audit: float = parameter(
        MemorySettings.audit,
        'Share of the hits that are computed anyway, to find out how many are wrong; 0: none, nor '
        'those on which the CNNs contradict each other.',
        ON_NEXT_FRAME,
        range=(0, 1),
    )
    memory_error: float = parameter(
        MemorySettings.error,
        'Share of wrong hits that is accepted: what the audits hold the memory to.',
        ON_NEXT_FRAME,
        range=(0.0001, 0.5),
    )
    memory_difference: float = parameter(
        MemorySettings.difference,
        'Grey levels by which any cell of a thumbnail may differ from that of a hit, at most.',
        ON_NEXT_FRAME,
        range=(0, 64),
    )
    memory_difference_per_margin: float = parameter(
        MemorySettings.difference_per_margin,
        'The same for each unit of the margin m of the remembered decision, as atanh(m); the '
        'smaller of the two counts.',
        ON_NEXT_FRAME,
        range=(0, 1000),
    )
    memory_brightness: float = parameter(
        MemorySettings.brightness,
        'Grey levels by which the mean of a thumbnail may differ from that of a hit.',
        ON_NEXT_FRAME,
        range=(0, 255),
    )
    memory_scale: float = parameter(
        MemorySettings.scale,
        'The largest factor that the audits may put on memory_difference_per_margin.',
        ON_NEXT_FRAME,
        range=(LEAST_SCALE, 1),
    )
    memory_patience: int = parameter(
        MemorySettings.patience,
        'Misses in a row after which only every second frame is looked up, after as many more '
        'every fourth, and so on to every sixteenth, until one is a hit; 0: every frame is.',
        ON_NEXT_FRAME,
        range=(0, 1_000_000),
    )
    top_k: int = parameter(
        5, 'Classes in a Classification message, best first.', ON_NEXT_FRAME, range=(1, 65536)
    )
    silent_after: float = parameter(
        2.0,
        'Seconds without a frame after which the diagnostics warn of a camera.',
        ON_NEXT_FRAME,
        range=(0.1, 3600),
    )

    def settings(self, bundle: Bundle) -> Settings:
        """
        Return the cascade's settings: the parameters, and the bundle's where they say so.

        Raises
        ------
        ParameterError
            If the parameters fit neither each other nor this bundle.

        """
        return Settings(
            self._rule(bundle),
            self.memory,
            MemorySettings(
                self.fingerprint,
                self.memory_capacity,
                self.memory_max_age,
                self.memory_audit,
                self.memory_error,
                self.memory_difference,
                self.memory_difference_per_margin,
                self.memory_brightness,
                self.memory_scale,
                self.memory_patience,
            ),
        )

    def refuse_rule(
        self,
        decider: str,
        undo: str,
        names: Sequence[str] = ('operating_point', 'score', 'threshold', 'post_check'),
    ) -> None:
        """Raise ParameterError where a parameter says what a decider says, which to undo."""
        for name in names:
            value: Any = getattr(self, name)
            default = getattr(type(self), name)
            if value != default:
                usual = default if default != '' else repr(default)
                raise ParameterError(
                    f'{decider} decides {name} too, which is {value}: set {name} to {usual}, or '
                    f'{undo}, first'
                )

    def _rule(self, bundle: Bundle) -> Rule:
        if self.operating_point:
            return self._operating_point(bundle)
        own = bundle.rule
        post_check = own.post_check if self.post_check == FROM_BUNDLE else self.post_check
        scores = tuple(
            criterion.score if self.score == FROM_BUNDLE else self.score
            for criterion in own.criteria
        )
        if self.threshold >= 0:
            return Rule(tuple(Criterion(score, self.threshold) for score in scores), post_check)
        calibrated = (own, *bundle.rules.values())
        for rule in calibrated:
            if (_scores(rule), rule.post_check) == (scores, post_check):
                return rule
        known = dict.fromkeys(f'{", ".join(_scores(r))} with {r.post_check}' for r in calibrated)
        raise ParameterError(
            f'threshold is -1, as calibrated, but bundle {bundle.name} is not calibrated for '
            f'score {", ".join(scores)} with post_check {post_check}, only for '
            f'{", ".join(known)}: set threshold first'
        )

    def _operating_point(self, bundle: Bundle) -> Rule:
        point = self.operating_point
        names = 'score', 'threshold', 'post_check'
        self.refuse_rule(f'operating_point {point!r}', "operating_point to ''", names)
        if point not in bundle.rules:
            raise ParameterError(
                f'operating_point must be one that bundle {bundle.name} has, '
                f'not {point!r}: {"; ".join(bundle.rules) or "it has none"}'
            )
        return bundle.rules[point]


def _scores(rule: Rule) -> tuple[str, ...]:
    return tuple(criterion.score for criterion in rule.criteria)
