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

"""Fast DDS takes the profile for large images, and one that the user names stays."""

import os
from pathlib import Path
import subprocess
import sys

import pytest

from dual_cnn_ros.playback.large_images import make_room_for_large_images, VARIABLES

pytestmark = pytest.mark.ros

SEGMENT = """
import os
from pathlib import Path
from dual_cnn_ros.playback.large_images import make_room_for_large_images
make_room_for_large_images()
import rclpy
rclpy.init()
node = rclpy.create_node('large')
maps = Path('/proc/self/maps').read_text().splitlines()
mapped = {line.split()[-1] for line in maps if '/dev/shm/' in line}
print(max(os.path.getsize(path) for path in mapped if os.path.exists(path)))
"""


@pytest.mark.skipif(
    'fastrtps' not in os.environ.get('RMW_IMPLEMENTATION', 'fastrtps'), reason='of Fast DDS only'
)
def test_a_participant_has_32_megabytes_of_shared_memory() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(
        [sys.executable, '-c', SEGMENT], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, '')
    assert int(done.stdout) > 32 * 2**20


def test_a_profile_of_the_user_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(VARIABLES[0], str(tmp_path))
    make_room_for_large_images()
    assert [os.environ.get(name) for name in VARIABLES] == [str(tmp_path), None]
