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

"""A recording whose frames can be told apart by their time stamps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
import struct

from dual_cnn_ros.data.recording import IMAGE_TYPES, Message, Recording


class StampedRecording(Recording):
    """
    Gives a frame without a stamp, or with that of one before, the time at which it was received.

    Attributes
    ----------
    restamped
        Number of frames for which that was done, while `messages` was read last.

    """

    restamped = 0

    def messages(
        self,
        topics: Iterable[str] | None = None,
        *,
        start: float = 0.0,
        duration: float | None = None,
    ) -> Iterator[Message]:
        """Yield the messages in order of time; see Recording.messages."""
        self.restamped = 0
        seen: dict[str, set[int]] = defaultdict(lambda: {0})
        for message in super().messages(topics, start=start, duration=duration):
            if message.type in IMAGE_TYPES:
                stamp, _ = message.image_header()
                if stamp in seen[message.topic]:
                    self.restamped += 1
                    stamp = message.time
                    data = bytearray(message.data)
                    order = '<' if data[1] else '>'
                    struct.pack_into(f'{order}iI', data, 4, *divmod(stamp, 10**9))
                    message = replace(message, data=bytes(data))
                seen[message.topic].add(stamp)
            yield message
