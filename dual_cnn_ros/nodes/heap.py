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

"""Memory for frames: kept by the process, not given back to the system after each of them."""

from __future__ import annotations

import ctypes

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
# The most that glibc takes. Larger blocks are mapped one by one.
MOST_MMAP_THRESHOLD = 32 << 20
# More than the frames of some cameras that are in work at a time.
TRIM_THRESHOLD = 512 << 20


def keep_freed_blocks() -> bool:
    """
    Have blocks of up to 32 MiB kept and used again once they are freed; return whether they are.

    By default glibc maps large blocks one by one and unmaps them when they are freed, so that the
    kernel fills each frame with zeros, page by page, before the middleware fills it with pixels:
    at 1920 x 1080 that takes three quarters of what receiving a frame costs. Other libraries have
    no such setting, and nothing is changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    found = [
        mallopt(M_MMAP_THRESHOLD, MOST_MMAP_THRESHOLD),
        mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD),
    ]
    return all(found)
