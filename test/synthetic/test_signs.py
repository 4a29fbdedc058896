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

"""The drawn signs and the rendered data set."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from dual_cnn_ros.synthetic import signs
from dual_cnn_ros.synthetic.world import View


def over_grey(face: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    alpha = face[..., 3:] / 255
    return np.asarray(face[..., :3] * alpha + 128 * (1 - alpha))


def test_there_are_twelve_signs_and_none_in_the_order_of_folders() -> None:
    assert len(signs.SIGNS) == 12
    assert len(signs.LABELS) == 13
    assert list(signs.LABELS) == sorted(signs.LABELS)
    assert set(signs.LABELS) - set(signs.SIGNS) == {signs.NONE}


@pytest.mark.parametrize('size', [24, 48, 100, 256])
@pytest.mark.parametrize('label', signs.SIGNS)
def test_a_sign_can_be_drawn_at_any_size(label: str, size: int) -> None:
    face = signs.draw(label, size)
    assert face.shape == (size, size, 4)
    assert face.dtype == np.uint8
    assert face[size // 2, size // 2, 3] == 255, 'opaque in the middle'
    assert face[0, 0, 3] < 255, 'and cut out at the corners'
    assert 0.4 < (face[..., 3] / 255).mean() < 0.95
    reference = cv2.resize(signs.draw(label, 256), (size, size), interpolation=cv2.INTER_AREA)
    assert np.abs(over_grey(face) - over_grey(reference)).mean() < 10, 'the same picture'


def test_every_sign_differs_from_every_other() -> None:
    drawn = {label: over_grey(signs.draw(label, 48)) for label in signs.SIGNS}
    for one, other in combinations(signs.SIGNS, 2):
        assert np.abs(drawn[one] - drawn[other]).mean() > 5, f'{one} and {other}'


def test_left_is_right_in_the_mirror() -> None:
    left, right = (over_grey(signs.draw(f'turn_{side}', 96)) for side in ('left', 'right'))
    assert np.abs(left[:, ::-1] - right).mean() < 2
    assert np.abs(left - right).mean() > 10


def test_an_unknown_sign_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'tree'.*turn_left"):
        signs.draw('tree', 64)


@pytest.mark.parametrize('label', signs.LABELS)
def test_views_show_what_was_asked_for_and_depend_on_the_seed_only(label: str) -> None:
    def views(seed: int) -> list[View]:
        place = signs.random_world(np.random.default_rng(seed))
        return [signs.view(np.random.default_rng([seed, n]), place, label) for n in range(2)]

    first, again, other = views(1), views(1), views(2)
    assert all(v.label == label and v.image.shape == (120, 160, 3) for v in first)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, again))
    assert not np.array_equal(first[0].image, first[1].image)
    assert not np.array_equal(first[0].image, other[0].image)


def test_the_data_set_is_an_image_folder_that_a_seed_determines(tmp_path: Path) -> None:
    def contents(name: str, *options: str) -> dict[str, bytes]:
        out = tmp_path / name
        assert signs.main([str(out), '--per-class', '2', '--size', '48', *options]) == 0
        return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob('*.jpg'))}

    first = contents('a', '--seed', '5')
    assert sorted(first) == [f'{label}/{n:05d}.jpg' for label in signs.LABELS for n in range(2)]
    image = cv2.imread(str(tmp_path / 'a' / 'stop' / '00000.jpg'))
    assert image is not None
    assert image.shape == (48, 48, 3)
    assert contents('b', '--seed', '5') == first
    other = contents('c', '--seed', '6')
    assert all(other[name] != data for name, data in first.items())


def test_a_longer_data_set_begins_with_the_shorter(tmp_path: Path) -> None:
    for per_class in (1, 2):
        signs.write_views(
            tmp_path / str(per_class), per_class=per_class, size=32, seed=0, progress=False
        )
    for path in (tmp_path / '1').rglob('*.jpg'):
        longer = tmp_path / '2' / path.relative_to(tmp_path / '1')
        assert path.read_bytes() == longer.read_bytes()


@pytest.mark.parametrize('options', [['--per-class', '0'], ['--size', '4'], ['--seed', '-1']])
def test_impossible_options_are_refused(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        signs.main([str(tmp_path / 'out'), *options])
    assert stopped.value.code == 2
    assert options[0] in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'file').write_text('')
    assert signs.main([str(tmp_path / 'file' / 'out'), '--per-class', '1']) == 1
    assert str(tmp_path / 'file') in capsys.readouterr().err
