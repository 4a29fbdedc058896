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

"""Images of three colours, and a quick training on them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_pool import make_pictures

from dual_cnn_ros.bundle import Bundle, read_bundle
from dual_cnn_ros.training.options import Augmentation, TrainingOptions


@pytest.fixture(scope='session')
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of three classes of 40 images that differ in colour; one is damaged."""
    root = make_pictures(tmp_path_factory.mktemp('data') / 'colours', count=40)
    (root / 'red' / 'bad.jpg').write_bytes(b'\xff\xd8\xff not an image')
    return root


@pytest.fixture(scope='session')
def quick(colours: Path) -> Callable[..., TrainingOptions]:
    """Return what makes options for a training of a second."""
    basic = {
        'data': colours,
        'model': 'vgg9_gap_x0_25-s2',
        'name': 'net',
        'input': (16, 16),
        'epochs': 1,
        'batch_size': 16,
        'lr': 0.05,
        'validation': 0.25,
        'augmentation': Augmentation(light=0, saturate=0),
    }

    def make(out: Path, **changes: Any) -> TrainingOptions:
        return TrainingOptions(out=out, **{**basic, **changes})

    return make


@pytest.fixture(scope='session')
def trained(
    quick: Callable[..., TrainingOptions], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Bundle]:
    """Return the metrics and the bundle of a training of one epoch."""
    from dual_cnn_ros.training.loop import train

    out = tmp_path_factory.mktemp('trained')
    metrics = train(quick(out))
    return metrics, read_bundle(out / 'net')
