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

"""Memory for frames and tensors: kept by the process, not given back after each of them."""

from __future__ import annotations

import ctypes

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_blocks(most: int = 512 << 20) -> bool:
    """
    Have blocks kept and used again once they are freed; return whether they are.

    By default glibc maps large blocks one by one and unmaps them when they are freed, so that the
    kernel fills each with zeros, page by page, before it is used: at 1920 x 1080 that takes three
    quarters of what receiving a frame costs, and a third of a training on the CPU. Other libraries
    have no such setting, and nothing is changed.

    Parameters
    ----------
    most
        Bytes at the end of the heap that are kept, below 2 GiB. The default is more than the
        frames of some cameras that are in work at a time.

    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all([mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, most)])
