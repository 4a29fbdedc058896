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

from collections.abc import Sequence
import importlib.util
from pathlib import Path
import platform
import shutil
import subprocess
import sysconfig
from types import ModuleType
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


@pytest.fixture
def commands(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the commands of the script, which are not run; environments are made all the same."""
    commands: list[str] = []

    def run(command: Sequence[str | Path], failure: str) -> None:
        if 'venv' in command:
            folder = Path(command[-1])
            shutil.rmtree(folder, ignore_errors=True)
            (folder / 'bin').mkdir(parents=True)
            (folder / 'bin' / 'python').touch()
        commands.append(Path(command[-1]).name)

    monkeypatch.setattr(environment, 'run', run)
    return commands


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    path = tmp_path / 'requirements-kilted.txt'
    path.write_text('something==1\n')
    return path


def test_environment_is_made_once(
    environment: ModuleType, commands: list[str], requirements: Path, tmp_path: Path
) -> None:
    folder = tmp_path / '.venv-kilted'
    assert environment.make(folder, requirements, 1) == folder / 'bin' / 'python'
    assert commands == [folder.name, requirements.name]
    commands.clear()
    environment.make(folder, requirements, 1)
    assert commands == []


def test_changed_requirements_are_installed(
    environment: ModuleType, commands: list[str], requirements: Path, tmp_path: Path
) -> None:
    environment.make(tmp_path / '.venv-kilted', requirements, 1)
    commands.clear()
    requirements.write_text('something==2\n')
    environment.make(tmp_path / '.venv-kilted', requirements, 1)
    assert commands == [requirements.name]


def test_environment_of_another_python_is_replaced(
    environment: ModuleType,
    commands: list[str],
    requirements: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / '.venv-kilted'
    with monkeypatch.context() as other:
        other.setattr(platform, 'python_version', lambda: '3.9.1')
        environment.make(folder, requirements, 1)
    commands.clear()
    environment.make(folder, requirements, 1)
    assert commands == [folder.name, requirements.name]


def test_environment_whose_making_was_interrupted_is_made_anew(
    environment: ModuleType,
    commands: list[str],
    requirements: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / '.venv-kilted'

    def interrupted(command: Sequence[str | Path], failure: str) -> None:
        # As far as venv gets before it installs pip.
        subprocess.run([*command[:-1], '--without-pip', command[-1]], check=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as other:
        other.setattr(environment, 'run', interrupted)
        with pytest.raises(KeyboardInterrupt):
            environment.make(folder, requirements, 1)
    assert (folder / 'bin' / 'python').exists()
    assert (folder / 'pyvenv.cfg').exists()
    environment.make(folder, requirements, 1)
    assert commands == [folder.name, requirements.name]


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


def test_failure_is_said(environment: ModuleType) -> None:
    with pytest.raises(SystemExit, match='is the network there'):
        environment.run(['false'], 'is the network there?')
