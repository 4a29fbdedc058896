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
Build, test and install the package with colcon in a workspace of its own, and look at the result.

Run it with the Python of an environment that environment.py --test made.
"""

from __future__ import annotations

from filecmp import cmp
from pathlib import Path
import subprocess
import sys
import tempfile

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = 'dual_cnn_ros'
INSTALLED = ('package.xml', 'requirements.txt', 'launch', 'config')


def colcon(verb: str, workspace: Path, *arguments: str) -> None:
    """Run a verb of colcon on the checkout, with all that it writes in workspace."""
    command = [sys.executable, '-m', 'colcon', '--log-base', str(workspace / 'log'), verb]
    command += ['--base-paths', str(ROOT), '--build-base', str(workspace / 'build')]
    command += ['--install-base', str(workspace / 'install'), *arguments]
    if subprocess.run(command, cwd=workspace).returncode:
        raise SystemExit(f'colcon {verb} failed, see above')


def check_share(share: Path) -> None:
    """Compare the installed share folder with the checkout, file by file."""
    paths = [path for name in INSTALLED for path in (ROOT / name, *(ROOT / name).rglob('*'))]
    names = [path.relative_to(ROOT) for path in paths if path.is_file()]
    wrong = [
        str(name)
        for name in names
        if '__pycache__' not in name.parts
        and not ((share / name).is_file() and cmp(ROOT / name, share / name, shallow=False))
    ]
    if wrong:
        raise SystemExit(f'not installed, or not as they are here: {", ".join(wrong)}')
    print(f'{len(names)} files of {", ".join(INSTALLED)} are installed')


def check_use(install: Path, share: Path) -> None:
    """Use the package from another folder, where the workspace has been sourced."""
    print_share = 'from dual_cnn_ros.share import share_directory; print(share_directory())'
    for command, expected in (
        (f'{sys.executable} -c "{print_share}"', str(share)),
        (f'{install}/{PACKAGE}/lib/{PACKAGE}/demo --help', 'usage: '),
    ):
        result = subprocess.run(
            ['bash', '-c', f'. {install}/setup.bash && cd / && {command}'],
            stdout=subprocess.PIPE,
            text=True,
        )
        if result.returncode or not result.stdout.startswith(expected):
            raise SystemExit(f'{command}\nshould print {expected}, printed {result.stdout}')


def main() -> None:
    """Build and check."""
    with tempfile.TemporaryDirectory() as name:
        workspace = Path(name).resolve()
        colcon('build', workspace)
        colcon(
            'test',
            workspace,
            *('--event-handlers', 'console_direct+', '--return-code-on-test-failure'),
            *('--pytest-args', 'test/test_package.py'),
        )
        install = workspace / 'install'
        share = install / PACKAGE / 'share' / PACKAGE
        check_share(share)
        check_use(install, share)


if __name__ == '__main__':
    main()
