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

"""Data and systems to evaluate."""

from __future__ import annotations

from pathlib import Path

import cv2
from evaluated import POINTS, RULE
import pytest
from tiny_bundle import LABELS, make_bundle, picture

from dual_cnn_ros.evaluation import evaluation


@pytest.fixture(scope='session')
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle whose CNNs both know the colours."""
    return make_bundle(
        tmp_path_factory.mktemp('bundle') / 'tiny', rule=RULE, operating_points=POINTS
    )


@pytest.fixture(scope='session')
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 24 images, half of which the first CNN is sure of; one in six has a wrong label."""
    folder = tmp_path_factory.mktemp('images')
    for i in range(24):
        shown = LABELS[i % 3]
        label = LABELS[(i + 1) % 3] if i % 6 == 5 else shown
        (folder / label).mkdir(exist_ok=True)
        image = picture(shown, sure=i % 2 == 0, seed=i, height=40, width=56)
        # PNG, because tests that read it once more must see the very same pixels.
        cv2.imwrite(str(folder / label / f'{i:02}.png'), image)
    return folder


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no figures, which takes longer than all else."""
    monkeypatch.setattr(evaluation, 'make_page', lambda *arguments: '')
