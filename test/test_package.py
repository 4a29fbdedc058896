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

"""What the package declares agrees with what is in it."""

from __future__ import annotations

import ast
import os
from pathlib import Path
import re
import runpy
import subprocess
import sys
from typing import Any
from unittest import mock

from catkin_pkg.package import Package, parse_package
import pytest

from dual_cnn_ros import share
from dual_cnn_ros.messages.types import installed
from dual_cnn_ros.opencv import pip_install

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = 'dual_cnn_ros'
FOLDERS = ('bootstrap', PACKAGE, 'launch', 'test')
SOURCES = [
    ROOT / 'setup.py',
    *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob('*.py'))),
]

# Modules whose name is not that of the rosdep key.
KEYS = {
    'PIL': 'python3-pil',
    'catkin_pkg': 'python3-catkin-pkg-modules',
    'cv2': 'python3-opencv',
    'hypothesis': 'python3-hypothesis',
    'numpy': 'python3-numpy',
    'pytest': 'python3-pytest',
    'tqdm': 'python3-tqdm',
    'yaml': 'python3-yaml',
}
# Modules that package.xml leaves to the user, for the reason that stands there.
LEFT_TO_THE_USER = {
    # With rosbags come the last three.
    *('jinja2', 'matplotlib', 'onnx', 'onnxruntime', 'onnxscript', 'rosbags', 'safetensors'),
    *('scipy', 'torch', 'torchvision', 'backports', 'compression', 'lz4'),
}


def setup_arguments() -> dict[str, Any]:
    folder = Path.cwd()
    os.chdir(ROOT)
    try:
        with mock.patch('setuptools.setup') as setup:
            runpy.run_path('setup.py')
    finally:
        os.chdir(folder)
    return dict(setup.call_args.kwargs)


SETUP = setup_arguments()
EXECUTABLES = dict(entry.split(' = ') for entry in SETUP['entry_points']['console_scripts'])


def imported(*folders: str) -> set[str]:
    """Return the rosdep keys of what the sources in folders import."""
    modules: set[str] = set()
    for path in (path for folder in folders for path in sorted((ROOT / folder).rglob('*.py'))):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules.update(alias.name.split('.')[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.split('.')[0])
    places = ROOT / 'test', ROOT / 'test' / 'benchmarks'
    here = {PACKAGE, *(path.stem for place in places for path in place.glob('*.py'))}
    return {
        KEYS.get(module, module)
        for module in modules - sys.stdlib_module_names - LEFT_TO_THE_USER - here
    }


@pytest.fixture(scope='module')
def manifest() -> Package:
    return parse_package(str(ROOT / 'package.xml'))


def test_package_xml_is_valid(manifest: Package) -> None:
    warnings: list[str] = []
    manifest.validate(warnings)
    assert warnings == []
    assert manifest.package_format == 3
    assert manifest.get_build_type() == 'ament_python'
    assert [(ROOT / license_.file).is_file() for license_ in manifest.licenses] == [True]


def test_setup_and_package_xml_and_changelog_agree(manifest: Package) -> None:
    assert SETUP['name'] == manifest.name == PACKAGE
    assert SETUP['version'] == manifest.version
    assert SETUP['license'] == manifest.licenses[0] == 'Apache-2.0'
    assert SETUP['maintainer_email'] == manifest.maintainers[0].email
    assert f'\n{manifest.version} (' in (ROOT / 'CHANGELOG.rst').read_text()


def test_the_requirements_of_a_robot_are_what_apt_does_not_have() -> None:
    lines = (ROOT / 'requirements.txt').read_text().splitlines()
    names = {re.split('[<>=]', line)[0] for line in lines if line and not line.startswith('#')}
    assert names == {'onnxruntime', 'rosbags', 'numpy'} <= LEFT_TO_THE_USER | {'numpy'}
    assert 'numpy<2' in lines


def test_package_xml_declares_what_is_imported(manifest: Package) -> None:
    declared = {dependency.name for dependency in manifest.exec_depends}
    assert imported(PACKAGE, 'launch') == declared
    # A plug-in of pytest, and a command that test_launch.py runs: nothing imports them.
    never = {'python3-pytest-timeout', 'ros2launch'}
    tests = {dependency.name for dependency in manifest.test_depends} - never
    assert imported('test') - declared == tests


HELP = """
import importlib, sys
sys.modules |= dict.fromkeys({missing})
for name, target in {executables}.items():
    module, function = target.split(':')
    sys.argv = [name, '--help']
    try:
        getattr(importlib.import_module(module), function)()
    except SystemExit as error:
        print(name, error.code)
"""


@pytest.mark.ros
def test_every_executable_helps_without_what_is_left_to_the_user() -> None:
    script = HELP.format(missing=LEFT_TO_THE_USER, executables=EXECUTABLES)
    done = subprocess.run(
        [sys.executable, '-c', script], check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert done.stdout.count('usage: ') == len(EXECUTABLES)
    assert all(f'\n{name} 0\n' in done.stdout for name in EXECUTABLES)


@pytest.mark.parametrize(
    ('problem', 'said'),
    [
        (
            'ImportError("numpy.core.multiarray failed to import")',
            r'OpenCV cannot be imported: numpy\.core\.multiarray failed to import, because it was '
            r'built for another NumPy than .* "pip install \'numpy<2\'" brings\n',
        ),
        ('ImportError("no libGL.so.1")', r'OpenCV cannot be imported: no libGL\.so\.1\n'),
        (
            'ModuleNotFoundError("no cv2", name="cv2")',
            'no cv2; install it with "apt install python3-opencv"\n',
        ),
    ],
)
@pytest.mark.parametrize('target', ['nodes.start:classifier', 'tools.signs:main'])
def test_an_opencv_that_does_not_work_is_said_in_a_sentence(
    target: str, problem: str, said: str, tmp_path: Path
) -> None:
    assert f'{PACKAGE}.{target}' in EXECUTABLES.values()
    (tmp_path / 'cv2.py').write_text(
        f'import sys\nprint("twenty lines", file=sys.stderr)\nraise {problem}\n'
    )
    module, _, function = target.partition(':')
    done = subprocess.run(
        [sys.executable, '-c', f'from {PACKAGE}.{module} import {function}; {function}()'],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 1 and re.fullmatch(said, done.stderr)


def run_without(modules: set[str], name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an executable as it runs where these modules are not installed."""
    module = EXECUTABLES[name].partition(':')[0]
    script = (
        f'import sys; sys.modules |= dict.fromkeys({modules}); import {module}; '
        f'sys.exit({module}.main())'
    )
    return subprocess.run(
        [sys.executable, '-c', script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


COURSE = str(share.share_directory() / 'config' / 'recordings' / 'course')


@pytest.mark.parametrize(
    ('name', 'arguments'),
    [
        ('course', ['OUT']),
        pytest.param('demo', [], marks=pytest.mark.ros),
        ('evaluate', [COURSE, 'signs', '--out', 'OUT']),
        pytest.param('replay', [COURSE], marks=pytest.mark.ros),
        ('simulate_power', [COURSE, '--bundle', 'signs', '--out', 'OUT.csv']),
    ],
)
def test_a_tool_that_needs_rosbags_says_how_to_install_it(
    name: str, arguments: list[str], tmp_path: Path
) -> None:
    arguments = [str(tmp_path / word) if word.startswith('OUT') else word for word in arguments]
    done = run_without({'rosbags'}, name, *arguments)
    assert done.returncode == 1
    # Besides, some middleware says what it found on the network.
    (line,) = (line for line in done.stderr.splitlines() if line.startswith(f'{name}: '))
    assert line.endswith(f'install it with "{pip_install("rosbags")}"')
    assert 'Traceback' not in done.stderr


def test_train_says_how_to_install_all_that_it_needs(tmp_path: Path) -> None:
    arguments = ['pictures', '--model', 'vgg9_gap', '--out', str(tmp_path / 'out')]
    done = run_without(LEFT_TO_THE_USER, 'train', *arguments)
    assert done.returncode == 1
    assert done.stderr == (
        'train: install what is missing with "'
        f'{pip_install("torch", "torchvision", "onnx", "onnxscript", "safetensors")}"\n'
    )


def test_every_main_is_an_executable() -> None:
    mains = {
        path.stem: f'{PACKAGE}.nodes.start:{path.stem}'
        if folder == 'nodes'
        else f'{PACKAGE}.tools.{path.stem}:main'
        for folder in ('nodes', 'tools')
        for path in (ROOT / PACKAGE / folder).glob('*.py')
        if '\ndef main(' in path.read_text()
    }
    assert mains == EXECUTABLES


@pytest.mark.parametrize(
    ('folder', 'name'),
    [
        ('share/ament_index/resource_index/packages', f'resource/{PACKAGE}'),
        (f'share/{PACKAGE}', 'package.xml'),
        (f'share/{PACKAGE}/launch', 'launch/cascade.launch.py'),
        (f'share/{PACKAGE}/config', 'config/classifier.yaml'),
        (f'share/{PACKAGE}/config/bundles/scenes', 'config/bundles/scenes/bundle.yaml'),
        (f'share/{PACKAGE}/config/bundles/scenes', 'config/bundles/scenes/first.onnx'),
        (f'share/{PACKAGE}/config/bundles/signs', 'config/bundles/signs/bundle.yaml'),
        (f'share/{PACKAGE}/config/bundles/signs', 'config/bundles/signs/second.onnx'),
        (f'share/{PACKAGE}/config/recordings/course', 'config/recordings/course/metadata.yaml'),
    ],
)
def test_file_is_installed(folder: str, name: str) -> None:
    assert (ROOT / name).is_file()
    assert name in dict(SETUP['data_files'])[folder]


def test_every_source_begins_with_the_licence() -> None:
    header = Path(share.__file__).read_text().partition('\n\n')[0]
    assert 'Apache License, Version 2.0' in header
    assert [path for path in SOURCES if not path.read_text().startswith(f'{header}\n')] == []


@pytest.mark.ros
@pytest.mark.parametrize(
    ('message', 'fields'),
    [
        (
            'Classification',
            'header: std_msgs/Header, results: sequence<vision_msgs/ObjectHypothesis>',
        ),
        ('ObjectHypothesis', 'class_id: string, score: double'),
        (
            'LabelInfo',
            'header: std_msgs/Header, class_map: sequence<vision_msgs/VisionClass>, '
            'threshold: float',
        ),
        ('VisionClass', 'class_id: uint16, class_name: string'),
        (
            'VisionInfo',
            'header: std_msgs/Header, method: string, database_location: string, '
            'database_version: int32',
        ),
    ],
)
def test_message_is_that_of_vision_msgs_4(message: str, fields: str) -> None:
    found = installed(f'vision_msgs/msg/{message}').get_fields_and_field_types()
    assert ', '.join(f'{name}: {kind}' for name, kind in found.items()) == fields


def test_share_of_a_checkout_is_its_root() -> None:
    assert share.share_directory() == ROOT


@pytest.mark.parametrize('place', ['ament index', 'prefix'])
def test_share_of_an_installation_is_found(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the ament index of a workspace, or under the prefix where pip put it."""
    if place == 'ament index':
        pytest.importorskip('ament_index_python')
    monkeypatch.setattr(share, '__file__', str(tmp_path / 'lib' / PACKAGE / 'share.py'))
    monkeypatch.delenv('AMENT_PREFIX_PATH', raising=False)
    monkeypatch.setattr(sys, 'prefix', str(tmp_path))
    installed = tmp_path / 'share' / PACKAGE
    with pytest.raises(FileNotFoundError, match=str(installed)):
        share.share_directory()
    marker = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages' / PACKAGE
    files = [installed / 'package.xml', *([marker] if place == 'ament index' else [])]
    for file in files:
        file.parent.mkdir(parents=True)
        file.touch()
    if place == 'ament index':
        monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
        monkeypatch.setattr(sys, 'prefix', '/nowhere')
    assert share.share_directory() == installed
