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

"""What the commands share: a parser, types of options, and how a command ends."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager, ExitStack, suppress
from importlib.util import find_spec
import math
import os
from pathlib import Path
import sys

from dual_cnn_ros.files import locked
from dual_cnn_ros.opencv import explain, pip_install


def make_parser(tool: str, description: str | None) -> argparse.ArgumentParser:
    """
    Return a parser whose help shows the description, the module's docstring, as it is laid out.

    Parameters
    ----------
    tool
        Name of the command.
    description
        ``__doc__`` of the command's module.

    """
    return argparse.ArgumentParser(
        prog=tool, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def number(
    low: float, high: float = math.inf, *, kind: type[float] = float, exclusive: bool = False
) -> Callable[[str], float]:
    """
    Return an argparse type for a number between low and high.

    Parameters
    ----------
    low, high
        The limits; an infinite one is no limit, but the number itself is always finite.
    kind
        ``int`` for a whole number.
    exclusive
        Whether the limits themselves are refused.

    """
    if math.isinf(high):
        expected = f'{"greater than" if exclusive else "at least"} {low:g}'
    else:
        expected = f'between {low:g} and {high:g}{", both excluded" if exclusive else ""}'

    def parse(text: str) -> float:
        with suppress(ValueError):
            value = kind(text)
            inside = low < value < high if exclusive else low <= value <= high
            if inside and math.isfinite(value):
                return value
        raise argparse.ArgumentTypeError(f'must be {expected}, not {text}')

    return parse


def csv_file(text: str) -> Path:
    """Be an argparse type for a power trace to write: the power node knows one by its .csv."""
    if not text.endswith('.csv'):
        raise argparse.ArgumentTypeError(f'the name must end in .csv, not {text}')
    return Path(text)


# Where results go unless a command is told otherwise; git ignores it.
RESULTS = Path('results')

fraction = number(0, 1, exclusive=True)
positive = number(0, exclusive=True)


def add_fit_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `choose` and `calibrate` share, and have to be given alike."""
    # Loads what most commands do without.
    from dual_cnn_ros.calibration.candidates import COSTS

    parser.add_argument(
        '--fit',
        type=fraction,
        default=0.5,
        metavar='SHARE',
        help='of the validation images, to fit on and to choose with; the others are for '
        'calibrate to find and certify thresholds; choose and calibrate need the same (default '
        '%(default)s)',
    )
    parser.add_argument(
        '--exclude', type=Path, metavar='FILE', help='the names that train left out'
    )
    parser.add_argument(
        '--cost',
        choices=tuple(COSTS),
        default='cpu_seconds',
        help='what the cheapest has least of: CPU seconds as measured here, or MACs, the same on '
        'every machine (%(default)s)',
    )


def require(*libraries: str) -> None:
    """Raise ImportError, which says how to install them, where libraries are missing."""
    if missing := [name for name in libraries if find_spec(name) is None]:
        raise ImportError(f'install what is missing with "{pip_install(*missing)}"')


@contextmanager
def writes(tool: str, *paths: Path | None) -> Iterator[None]:
    """
    Keep the files and folders that a command writes to it alone while it works.

    Parameters
    ----------
    tool
        Name of the command.
    paths
        What it writes; None stands for what was not asked for.

    Raises
    ------
    OSError
        Another command writes there, which the message names; or nothing can be written there.

    """
    with ExitStack() as stack:
        for path in {path.resolve() for path in paths if path is not None}:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(path, f'{tool}, process {os.getpid()}'))
        yield


def run_cli(tool: str, work: Callable[[], object], interrupted: str = 'interrupted') -> int:
    """
    Run a command and turn what goes wrong into one line on stderr.

    Parameters
    ----------
    tool
        Name of the command; every line begins with it.
    work
        What to run. An error that is none of ValueError, OSError and ImportError is a bug, and
        leaves with its traceback.
    interrupted
        What to print on Ctrl-C.

    Returns
    -------
    int
        The exit code: 0, 1 after an error, 130 after Ctrl-C.

    """
    try:
        work()
    except ModuleNotFoundError as error:
        # package.xml leaves the libraries of design time to pip.
        package = str(error.name).partition('.')[0]
        print(f'{tool}: {error}; install it with "{pip_install(package)}"', file=sys.stderr)
        return 1
    except ImportError as error:
        print(f'{tool}: {explain(error)}', file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f'{tool}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'{tool}: {interrupted}', file=sys.stderr)
        return 130
    return 0
