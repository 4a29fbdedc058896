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

"""Where the files are that the package brings along: launch files, parameters and bundles."""

from __future__ import annotations

from pathlib import Path
import sys

PACKAGE = 'dual_cnn_ros'


def share_directory() -> Path:
    """
    Return the folder that holds package.xml, launch/ and config/ of the code that runs.

    That is the root of a checkout, the share folder of a ROS 2 workspace or installation, or that
    of the Python environment in which pip installed the package.

    Raises
    ------
    FileNotFoundError
        None of these folders exists.

    """
    candidates = [Path(__file__).resolve().parents[1]]
    try:
        from ament_index_python import get_package_share_path

        candidates.append(get_package_share_path(PACKAGE))
    except (ImportError, LookupError, OSError):
        # No ROS 2 installation, none that knows the package, or none that is sourced.
        pass
    candidates.append(Path(sys.prefix, 'share', PACKAGE))
    for candidate in candidates:
        if (candidate / 'package.xml').is_file():
            return candidate
    places = ', '.join(str(candidate) for candidate in candidates)
    raise FileNotFoundError(
        f'the share folder of {PACKAGE} is in none of {places}: '
        'source the workspace that it was built in, or install it again'
    )
