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

"""One CPU thread for everything, and a table of how much faster than the textbook we are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import cv2
import pytest

SECONDS: defaultdict[str, dict[str, float]] = defaultdict(dict)


@pytest.fixture(scope='session', autouse=True)
def one_thread() -> Iterator[None]:
    """Keep OpenCV from using more than one thread."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


@pytest.fixture(autouse=True)
def recorded(request: pytest.FixtureRequest, benchmark: Any) -> Iterator[None]:
    """Keep the fastest round of each version: what others do on the machine only adds to it."""
    yield
    if benchmark.stats is not None:
        SECONDS[benchmark.group][request.node.callspec.id] = benchmark.stats.stats.min


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print, for each group, the time of every version as a multiple of ours."""
    if not SECONDS:
        return
    terminalreporter.section('as a multiple of ours')
    for group, versions in SECONDS.items():
        ours = versions.get('ours')
        terminalreporter.write_line(group)
        for version, seconds in versions.items():
            ratio = f'{seconds / ours:8.2f} x' if ours else ''
            terminalreporter.write_line(f'  {version:34}{1e6 * seconds:12.1f} us{ratio}')
