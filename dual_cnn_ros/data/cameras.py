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

"""The names of cameras, which ROS keeps in the namespaces of their image topics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
import sys

CAMERA = 'camera'
"""The name of a camera whose images come with none."""
COMPRESSED = '/compressed'
"""The end of the topic of compressed images."""


def camera_of(topic: str) -> str:
    """Return the namespace of an image topic, without slashes around it."""
    return topic.removesuffix(COMPRESSED).strip('/').rpartition('/')[0] or CAMERA


def name_cameras(topics: Collection[str]) -> dict[str, str]:
    """Return the camera of each image topic: its namespace, or all of it where that is shared."""
    cameras = {topic: camera_of(topic) for topic in topics}
    count = Counter(cameras.values())
    return {
        topic: camera if count[camera] == 1 else topic.strip('/')
        for topic, camera in cameras.items()
    }


def without_copies(topics: Collection[str]) -> list[str]:
    """Return the image topics without compressed copies of others of them, which are printed."""
    originals = [topic for topic in sorted(topics) if f'{topic}/compressed' in topics]
    for topic in originals:
        print(f'left out: {topic}/compressed, the same images as {topic}', file=sys.stderr)
    copies = {f'{topic}/compressed' for topic in originals}
    return [topic for topic in topics if topic not in copies]
