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

"""What the diagnostics and the log say of a camera."""

from __future__ import annotations

from typing import NamedTuple

from dual_cnn_ros.cascade.audit import AuditRecord
from dual_cnn_ros.messages.diagnostics import Level
from dual_cnn_ros.nodes.camera_input import CameraInput
from dual_cnn_ros.nodes.statistics import Statistics

ARRIVING, DISTRUSTED = 'arriving', 'distrusted'


class CameraHealth(NamedTuple):
    """
    The state of a camera.

    Attributes
    ----------
    level, message
        For the diagnostics.
    condition
        The kind of it, without what changes from second to second: a change is logged. Empty
        where there is nothing to say yet.

    """

    level: Level
    message: str
    condition: str = ARRIVING


def camera_health(
    topic: str,
    statistics: Statistics,
    camera: CameraInput,
    silent_after: float,
    memory: AuditRecord | None = None,
) -> CameraHealth:
    """
    Tell what is wrong with a camera, and if nothing is, how many frames come in a second.

    Parameters
    ----------
    topic
        Of the camera.
    statistics
        Of its frames, after their newest summary.
    camera
        Its subscription, which knows the publishers.
    silent_after
        Seconds without a frame after which something is wrong.
    memory
        How right its memory is; None without a memory.

    """
    newest, silence = statistics.newest, statistics.silence()
    if silence > silent_after:
        return _silent(topic, silence, statistics, camera)
    if newest.bad:
        level: Level = 'WARN' if newest.classified else 'ERROR'
        total = newest.bad + newest.classified
        return CameraHealth(
            level, f'{newest.bad} of {total} frames not classified: {newest.reason}'
        )
    if newest.lost:
        return CameraHealth('WARN', f'{statistics.rate} Hz, {newest.lost} frames lost on the way')
    if memory is not None and not memory.is_trusted:
        return CameraHealth(
            'WARN',
            f'{statistics.rate} Hz; the memory does not answer, as too many hits were wrong: '
            f'{memory.contradictions} of {memory.audits} audited. See memory_error',
            DISTRUSTED,
        )
    if not statistics.has_received:
        return CameraHealth('OK', 'waiting for the first frame', '')
    return CameraHealth('OK', f'{statistics.rate} Hz')


def memory_values(memory: AuditRecord) -> dict[str, object]:
    """Return what the diagnostics say of how right a memory is."""
    return {
        'memory.hits': memory.hits,
        'memory.audits': memory.audits,
        'memory.contradictions': memory.contradictions,
        'memory.scale': round(memory.scale, 4),
        'memory.wrong_at_most': round(memory.bound, 4),
        'memory.wrong_at_most_recently': round(memory.recent_bound, 4),
    }


def _silent(
    topic: str, silence: float, statistics: Statistics, camera: CameraInput
) -> CameraHealth:
    publishers, since = camera.publishers, f'no frame on {topic} for {silence:.1f} s'
    if not publishers.images and publishers.other_types:
        types = ', '.join(publishers.other_types)
        return CameraHealth(
            'ERROR', f'{topic} is a {types}, not an image: set image_topics', types
        )
    if not publishers.images and statistics.has_received:
        return CameraHealth('WARN', f'{since}: its publisher is gone', 'gone')
    if not publishers.images:
        message = f'{since}: nobody publishes it; is that the topic of a camera? See image_topics'
        return CameraHealth('WARN', message, 'missing')
    if camera.is_unheard:
        nodes = ', '.join(publishers.best_effort)
        message = f'{since}: {nodes} publishes best effort, but qos_overrides say reliable'
        return CameraHealth('ERROR', message, 'incompatible')
    if statistics.newest.lost:
        message = (
            f'{since}: {statistics.newest.lost} were lost on the way in the newest second; '
            'see "Large images" in docs/troubleshooting.md'
        )
        return CameraHealth('ERROR', message, 'lost')
    return CameraHealth('WARN', f'{since}, though it is published', 'silent')
