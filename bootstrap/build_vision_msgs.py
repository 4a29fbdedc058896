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
Build the vision_msgs messages that this package publishes into the running environment.

The ROS 2 wheels bring the message generators but no vision_msgs. The fields beside this script
are those of vision_msgs 4.x, so that their type hashes agree with an installed vision_msgs on the
wire. Where vision_msgs is installed already, nothing is built. Run it with the Python of the
virtual environment that holds the wheels; it needs g++ and the headers of that Python.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from functools import partial
import hashlib
from importlib.metadata import version
from importlib.util import find_spec
import logging
import os
from pathlib import Path
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time

import numpy

PACKAGE = 'vision_msgs'
MESSAGES = Path(__file__).resolve().parent / 'msg'
DEPENDENCIES = ('std_msgs', 'builtin_interfaces')
# In the order in which they link to each other.
LIBRARIES = (
    'rosidl_generator_c',
    'rosidl_typesupport_fastrtps_c',
    'rosidl_typesupport_introspection_c',
    'rosidl_typesupport_c',
    'rosidl_generator_py',
)
RUNTIME = (
    'fastcdr',
    'rmw',
    'rosidl_runtime_c',
    'rosidl_typesupport_c',
    'rosidl_typesupport_fastrtps_c',
    'rosidl_typesupport_fastrtps_cpp',
    'rosidl_typesupport_introspection_c',
)

PREFIX = Path(sys.prefix)
INSTALLED = Path(sysconfig.get_path('platlib')) / PACKAGE
STAMP = INSTALLED / 'built_from.sha256'


def fingerprint() -> str:
    """Return the SHA-256, in hexadecimal, of everything that the built package depends on."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for message in sorted(MESSAGES.iterdir()):
        digest.update(message.name.encode() + message.read_bytes())
    digest.update(f'{version("ros-rosidl-generator-py")} {sys.version}'.encode())
    return digest.hexdigest()


def generate(folder: Path) -> None:
    """
    Write the sources of the package to folder/GENERATOR/vision_msgs.

    Every generator has a folder of its own because two of them write files of the same name.
    """
    # The generators find their templates in the ament index. The wheels lay it out under the
    # prefix of the environment but do not say so.
    os.environ['AMENT_PREFIX_PATH'] = str(PREFIX)
    from rosidl_adapter import convert_to_idl
    from rosidl_generator_c.cli import GenerateC
    from rosidl_generator_py.cli import GeneratePython
    from rosidl_typesupport_c.cli import GenerateCTypesupport
    from rosidl_typesupport_fastrtps_c.cli import GenerateFastRTPSCTypesupport
    from rosidl_typesupport_introspection_c.cli import GenerateIntrospectionCTypesupport

    # The wheels register each generator twice, and rosidl_cli warns of it every time.
    logging.disable(logging.WARNING)
    definitions = folder / 'idl' / PACKAGE
    with Path(os.devnull).open('w') as devnull, redirect_stdout(devnull):
        for message in sorted(MESSAGES.iterdir()):
            convert_to_idl(MESSAGES.parent, PACKAGE, Path('msg', message.name), definitions)
    interfaces = [f'{definitions}:msg/{path.name}' for path in definitions.glob('msg/*.idl')]
    includes = [str(PREFIX / 'share' / name) for name in DEPENDENCIES] + [str(definitions)]
    for generator in (
        GenerateC('rosidl_generator_c'),
        GenerateFastRTPSCTypesupport('rosidl_typesupport_fastrtps_c'),
        GenerateIntrospectionCTypesupport('rosidl_typesupport_introspection_c'),
        GenerateCTypesupport('rosidl_typesupport_c'),
        GeneratePython(
            'rosidl_generator_py', typesupport_implementations=['rosidl_typesupport_c']
        ),
    ):
        generator.generate(PACKAGE, interfaces, includes, folder / generator.name / PACKAGE)


def run(command: list[str]) -> None:
    """Run a command; what it prints appears, and its failure ends the script."""
    if subprocess.run(command).returncode:
        raise SystemExit(f'{PACKAGE} could not be built: {command[0]} failed, see above')


def compile_source(folder: Path, source: Path) -> None:
    """Compile a source that generate() wrote under folder to an object file beside it."""
    headers = PREFIX / 'include'
    includes = [sysconfig.get_path('include'), numpy.get_include(), headers]
    language = 'c' if source.suffix == '.c' else 'c++'
    run(
        ['g++', '-x', language, '-O1', '-fPIC', '-c', str(source), '-o', f'{source}.o']
        + [f'-I{path}' for path in (*includes, *headers.iterdir(), *folder.iterdir())]
    )


def link(folder: Path, objects: Iterable[Path], name: str) -> None:
    """Link objects to the shared object folder/name, with those that are there already."""
    libraries = [f'{package}__{library}' for package in DEPENDENCIES for library in LIBRARIES]
    libraries += [*RUNTIME, *(path.stem[len('lib') :] for path in folder.glob('lib*.so'))]
    run(
        ['g++', '-shared', '-Wl,--as-needed', '-o', str(folder / name), *map(str, objects)]
        + [f'-L{folder}', f'-L{PREFIX / "lib"}', *(f'-l{library}' for library in libraries)]
    )


def build(folder: Path) -> None:
    """Compile the sources under folder to folder/lib*.so and the extension module."""
    sources = [*folder.rglob('*.c'), *folder.rglob('*.cpp')]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(partial(compile_source, folder), sources))
    for library in LIBRARIES:
        objects = (folder / library / PACKAGE / 'msg').rglob('*.o')
        link(folder, objects, f'lib{PACKAGE}__{library}.so')
    extension = (folder / 'rosidl_generator_py' / PACKAGE).glob('*.o')
    link(folder, extension, f'{PACKAGE}_s__rosidl_typesupport_c.so')


def install(folder: Path) -> None:
    """Install what build() left in folder, with the stamp as the last step."""
    shutil.rmtree(INSTALLED, ignore_errors=True)
    INSTALLED.mkdir()
    # Already now, so that what an interrupted installation leaves counts as ours.
    STAMP.touch()
    modules = folder / 'rosidl_generator_py' / PACKAGE
    (INSTALLED / '__init__.py').touch()
    shutil.copytree(
        modules / 'msg', INSTALLED / 'msg', ignore=shutil.ignore_patterns('*.c', '*.o')
    )
    for library in folder.glob('*.so'):
        shutil.copy(library, PREFIX / 'lib' if library.name.startswith('lib') else INSTALLED)
    STAMP.write_text(fingerprint())


def main() -> None:
    """Build and install the messages, unless they are there."""
    if STAMP.exists():
        if STAMP.read_text() == fingerprint():
            return
    elif find_spec(PACKAGE):
        print(f'{PACKAGE} is installed already, nothing to build')
        return
    print(f'building {PACKAGE} ...', flush=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder)
        build(folder)
        install(folder)
    print(f'{PACKAGE} built into {PREFIX} in {time.monotonic() - start:.1f} s')


if __name__ == '__main__':
    main()
