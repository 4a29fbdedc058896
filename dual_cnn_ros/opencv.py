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

"""
Whether OpenCV and NumPy were built for each other.

pip puts its NumPy before that of the distribution, whose OpenCV, SciPy and matplotlib then fail.
"""

from __future__ import annotations

from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
import sys


def require_opencv() -> None:
    """Import OpenCV; where that fails, end the process with one sentence that says what to do."""
    try:
        # NumPy explains a mismatch in twenty lines.
        with redirect_stderr(StringIO()):
            import cv2  # noqa: F401 - whether it can be
    except ModuleNotFoundError as error:
        package = {'cv2': 'opencv'}.get(str(error.name), error.name)
        sys.exit(f'{error}; install it with "apt install python3-{package}"')
    except ImportError as error:
        sys.exit(f'OpenCV cannot be imported: {explain(error)}')


def pip_install(*packages: str) -> str:
    """Return the command that installs packages, and leaves a NumPy that OpenCV may need."""
    import numpy as np

    held = ["'numpy<2'"] if np.__version__.startswith('1.') else []
    return ' '.join(['pip install', *packages, *held])


def explain(error: ImportError) -> str:
    """Return an error of an import as a sentence, with the remedy where NumPy is the reason."""
    import numpy as np

    # As in 'numpy.core.multiarray failed to import', and 'compiled using NumPy 1.x'.
    is_numpy = any(word in str(error) for word in ('numpy.', 'NumPy'))
    if isinstance(error, ModuleNotFoundError) or not is_numpy:
        return str(error)
    return (
        f'{error}, because it was built for another NumPy than {np.__version__} in '
        f'{Path(np.__file__).parent}; what the distributions of ROS 2 have is built for NumPy 1, '
        'which "pip install \'numpy<2\'" brings'
    )
