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

"""Views of signs, and the image folder of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dual_cnn_ros.synthetic.sign_faces import LABELS
from dual_cnn_ros.synthetic.sign_views import random_world, render_view, write_views
from dual_cnn_ros.synthetic.world import View


@pytest.mark.parametrize('label', LABELS)
def test_view_shows_what_was_asked_for_and_depends_on_the_seed_only(label: str) -> None:
    def views(seed: int) -> list[View]:
        place = random_world(np.random.default_rng(seed))
        return [render_view(np.random.default_rng([seed, n]), place, label) for n in range(2)]

    first, again, other = views(1), views(1), views(2)
    assert all(view.label == label and view.image.shape == (120, 160, 3) for view in first)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, again))
    assert not np.array_equal(first[0].image, first[1].image)
    assert not np.array_equal(first[0].image, other[0].image)


def test_data_set_is_an_image_folder_that_a_seed_determines_and_that_can_grow(
    tmp_path: Path,
) -> None:
    def files(name: str, count: int, seed: int, first: int = 0) -> dict[str, bytes]:
        out = tmp_path / name
        write_views(out, per_class=count, size=48, seed=seed, first=first)
        return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob('*.jpg')}

    two = files('two', 2, seed=5)
    assert set(two) == {f'{label}/{n:05d}.jpg' for label in LABELS for n in range(2)}
    image = cv2.imread(str(tmp_path / 'two' / 'stop' / '00000.jpg'))
    assert image is not None and image.shape == (48, 48, 3)
    assert files('one', 1, seed=5).items() <= two.items()
    assert files('one', 1, seed=5, first=1) == two
    other = files('other', 1, seed=6)
    assert all(two[name] != data for name, data in other.items())


def test_image_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / LABELS[0] / '00000.jpg').mkdir(parents=True)
    with pytest.raises(OSError, match=r'00000\.jpg cannot be written'):
        write_views(tmp_path, per_class=1, size=8, seed=0)
