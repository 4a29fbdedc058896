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

"""How every tool ends: with an exit code, and a line in place of a traceback."""

from __future__ import annotations

from collections.abc import Callable
import sys


def ended(tool: str, work: Callable[[], object], interrupted: str = 'interrupted') -> int:
    """
    Do the work and return the exit code: 0, 1 after an error that says what to do, 130 on Ctrl-C.

    tool: the name that its messages begin with. interrupted: what it says on Ctrl-C. A module
    that the work does not find is taken for one that package.xml leaves to pip.
    """
    try:
        work()
    except ModuleNotFoundError as error:
        package = str(error.name).partition('.')[0]
        print(f'{tool}: {error}; install it with "pip install {package}"', file=sys.stderr)
        return 1
    except (ValueError, OSError, ImportError) as error:
        print(f'{tool}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'{tool}: {interrupted}', file=sys.stderr)
        return 130
    return 0
