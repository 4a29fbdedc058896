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

"""The environment of a bare machine: what is missing is said, what is there is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
import importlib.util
from pathlib import Path
import platform
import shutil
import subprocess
import sysconfig
from types import ModuleType
from typing import Any
import venv

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / 'bootstrap' / 'environment.py'


@pytest.fixture
def environment() -> ModuleType:
    spec = importlib.util.spec_from_file_location('environment', SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def complete(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    """Return the script as it is on a machine that lacks nothing."""
    (tmp_path / 'Python.h').touch()
    monkeypatch.setattr(environment, 'PYTHONS', (environment.sys.version_info[:2],))
    monkeypatch.setattr(environment, 'find_spec', lambda name: name)
    monkeypatch.setattr(platform, 'system', lambda: 'Linux')
    monkeypatch.setattr(platform, 'machine', lambda: 'x86_64')
    monkeypatch.setattr(shutil, 'which', lambda name: f'/usr/bin/{name}')
    monkeypatch.setattr(sysconfig, 'get_path', lambda name: str(tmp_path))
    return environment


def test_a_complete_machine_lacks_nothing(complete: ModuleType) -> None:
    assert complete.missing() == []


def test_what_is_missing_is_said_with_what_to_do(
    complete: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(complete, 'PYTHONS', ((2, 7),))
    monkeypatch.setattr(complete, 'find_spec', lambda name: None)
    monkeypatch.setattr(platform, 'machine', lambda: 'aarch64')
    monkeypatch.setattr(shutil, 'which', lambda name: None)
    (tmp_path / 'Python.h').unlink()
    hints = (
        'with rosdep and colcon',
        'PYTHON=python2.7',
        'apt install python3-venv',
        'apt install python3-dev',
        'apt install g++',
    )
    problems = complete.missing()
    assert [hint in problem for hint, problem in zip(hints, problems)] == [True] * len(problems)
    assert len(problems) == len(hints)


ENVIRONMENT, REQUIREMENTS = '.venv-kilted', 'requirements-kilted.txt'


@pytest.fixture
def make(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """Return a function that makes the environment, and returns the last words of the commands."""

    def make(
        packages: str = 'something==1', python: str = '', interrupt: bool = False
    ) -> list[str]:
        commands = []

        def run(command: Sequence[str | Path], failure: str) -> None:
            commands.append(Path(command[-1]).name)
            if 'venv' in command:
                # As far as venv gets before it installs pip.
                venv.create(command[-1], clear=True, symlinks=True)
                if interrupt:
                    raise KeyboardInterrupt

        (tmp_path / REQUIREMENTS).write_text(packages)
        with monkeypatch.context() as here, suppress(KeyboardInterrupt):
            here.setattr(environment, 'run', run)
            if python:
                here.setattr(platform, 'python_version', lambda: python)
            made = environment.make(tmp_path / ENVIRONMENT, tmp_path / REQUIREMENTS, 1)
            assert made == tmp_path / ENVIRONMENT / 'bin' / 'python'
        return commands

    return make


@pytest.mark.parametrize(
    ('before', 'commands'),
    [
        ({}, []),
        ({'packages': 'something==0'}, [REQUIREMENTS]),
        ({'python': '3.9.1'}, [ENVIRONMENT, REQUIREMENTS]),
        ({'interrupt': True}, [ENVIRONMENT, REQUIREMENTS]),
    ],
    ids=['the same', 'other packages', 'another Python', 'interrupted'],
)
def test_of_an_environment_only_what_has_changed_is_made_anew(
    make: Callable[..., list[str]], before: dict[str, Any], commands: list[str]
) -> None:
    assert make(**before)[0] == ENVIRONMENT
    assert make() == commands


def test_the_oldest_python_is_one_that_works(environment: ModuleType) -> None:
    version, python = environment.oldest_python()
    said = subprocess.run(
        [python, '-c', 'import ensurepip, sys; print(sys.version_info[:2])'],
        capture_output=True,
        text=True,
    )
    assert said.stdout == f'{version}\n' and version in environment.PYTHONS


def test_packages_of_the_tests_are_shared_and_a_checkout_can_be_moved(
    environment: ModuleType, tmp_path: Path
) -> None:
    checkout, moved = tmp_path / 'checkout', tmp_path / 'moved'
    for name in ('.venv-kilted', '.venv-test'):
        venv.create(checkout / name, symlinks=True)
    (packages,) = checkout.glob('.venv-test/lib/*/site-packages')
    (packages / 'only_there.py').touch()
    import_it = ['.venv-kilted/bin/python', '-c', 'import only_there']
    assert subprocess.run(import_it, cwd=checkout, capture_output=True).returncode
    environment.share(checkout / '.venv-test', checkout / '.venv-kilted')
    subprocess.run(import_it, cwd=checkout, check=True)
    checkout.rename(moved)
    subprocess.run(import_it, cwd=moved, check=True)


def test_the_checkout_is_found_from_any_folder(environment: ModuleType, tmp_path: Path) -> None:
    venv.create(tmp_path / '.venv-kilted', symlinks=True)
    (tmp_path / 'only_here.py').touch()
    environment.link('checkout', tmp_path, tmp_path / '.venv-kilted')
    import_it = [tmp_path / '.venv-kilted/bin/python', '-c', 'import only_here']
    subprocess.run(import_it, cwd='/', check=True)


def test_failure_is_said(environment: ModuleType) -> None:
    with pytest.raises(SystemExit, match='is the network there'):
        environment.run(['false'], 'is the network there?')
