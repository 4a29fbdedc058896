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

"""Whether the memory suits the images that a bundle is made for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import make_bundle

from dual_cnn_ros.bundle import read_bundle
from dual_cnn_ros.calibration.memory_check import check_memory, memory_advice, MemoryCheck

pytest.importorskip('onnxruntime')


def textured(shift: tuple[int, int, int]) -> np.ndarray:
    """Return a picture whose channels differ from grey by a little, all over."""
    grey = np.random.default_rng(0).integers(60, 180, (12, 16, 1)).repeat(8, 0).repeat(8, 1)
    return (grey + shift).astype(np.uint8)


def test_pictures_that_look_alike_to_the_memory_only_are_counted(tmp_path: Path) -> None:
    # Three grey levels decide what it is.
    bundle = read_bundle(make_bundle(tmp_path / 'keen', gains=(400.0, 400.0)))
    pictures = [textured(shift) for shift in ((3, 0, 0), (0, 3, 0), (0, 0, 3))]
    found = check_memory(bundle, pictures * 4)
    assert found == MemoryCheck(12, 11, 8)
    assert 'answered 11 of 12 images, and 8 of them otherwise' in found.warning
    assert 'set memory to false' in found.warning


def test_repeats_are_answered_rightly(tmp_path: Path) -> None:
    bundle = read_bundle(make_bundle(tmp_path / 'calm'))
    found = check_memory(bundle, [textured((40, 0, 0))] * 5)
    assert found == MemoryCheck(5, 4, 0) and found.warning == ''


def test_the_advice_depends_on_how_wrong_it_is() -> None:
    assert 'memory_difference to less than 15' in memory_advice(0.03)
    assert 'set memory to false' in memory_advice(0.3)
    assert MemoryCheck(1000, 500, 5).warning == '' != MemoryCheck(1000, 500, 6).warning
