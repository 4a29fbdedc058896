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

"""Labelled images as arrays: their pixels, the two parts, and the layouts that are refused."""

import unicodedata

import cv2
from image_files import jpeg, plain, put, tar_of, two_classes
import numpy as np
import pytest

from dual_cnn_ros.cascade.frame import Frame, Preprocessing
from dual_cnn_ros.data import DataError
from dual_cnn_ros.data.dataset import is_validation, load_dataset, read_names, Reduction

SMALL = Reduction(8, 8, None, False)


def read(path, **options):
    return load_dataset(path, **{'training': SMALL, 'validation': SMALL, **options})


def test_reads_a_folder_and_names_what_is_damaged(tmp_path):
    data = read(put(tmp_path, {**two_classes(), 'wood/bad.jpg': b'broken'}))
    assert data.skipped == ('wood/bad.jpg',)
    assert data.problems == ('wood/bad.jpg is left out: it is damaged, or no image',)
    assert data.classes == ('brick', 'wood')
    assert data.training.names == tuple(f'{c}/{n}.jpg' for c in data.classes for n in range(3))
    assert data.training.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.training.images.shape == (6, 8, 8, 3)
    assert data.training.images.dtype == np.uint8
    assert data.validation.images.shape == (0, 8, 8, 3)
    np.testing.assert_allclose(data.training.images[0, 4, 4], (0, 40, 200), atol=4)


@pytest.mark.parametrize('colour', ['rgb', 'bgr', 'grey'])
@pytest.mark.parametrize('crop', [None, 0.875])
def test_a_blob_of_it_is_that_of_the_frame(tmp_path, colour, crop):
    image = np.random.default_rng(0).integers(0, 256, (61, 83, 3), np.uint8)
    png = cv2.imencode('.png', image)[1].tobytes()
    put(tmp_path, {'a/0.png': png, 'b/0.png': png})
    data = read(tmp_path, training=Reduction(16, 24, crop, colour == 'grey'))
    channels = 1 if colour == 'grey' else 3
    wanted = Preprocessing(
        16, 24, colour, crop, (0.4, 0.5, 0.6)[:channels], (0.2, 0.25, 0.3)[:channels]
    )
    np.testing.assert_array_equal(wanted.blob(data.training.images[0]), Frame(image).blob(wanted))


def test_each_part_has_its_reduction_or_is_left_unread(tmp_path):
    put(tmp_path, {**two_classes(20), 'wood/bad.jpg': b''})
    wide = Reduction(10, 14, None, False)
    both = read(tmp_path, training=wide, fraction=0.5)
    assert both.training.images.shape[1:] == (10, 14, 3)
    assert both.validation.images.shape[1:] == (8, 8, 3)
    for other in ('training', 'validation'):
        one = read(tmp_path, fraction=0.5, **{other: None})
        part = 'validation' if other == 'training' else 'training'
        assert getattr(one, part).names == getattr(both, part).names
        assert getattr(one, other).names == ()


def test_the_parts_are_disjoint_complete_and_the_same_again(tmp_path):
    put(tmp_path, two_classes(20))
    first, again = (read(tmp_path, fraction=0.3, seed=5) for _ in range(2))
    assert first.validation.names == again.validation.names
    assert not set(first.validation.names) & set(first.training.names)
    assert len(first.validation.names) + len(first.training.names) == 40
    assert first.validation.names == tuple(
        name for name in sorted(two_classes(20)) if is_validation(name, 0.3, 5)
    )


def test_the_validation_part_never_changes_between_versions():
    names = [f'sea/{number}.jpg' for number in range(20)]
    expected = ['sea/2.jpg', 'sea/4.jpg', 'sea/13.jpg', 'sea/15.jpg']
    assert [name for name in names if is_validation(name, 0.2, 0)] == expected
    assert [name for name in names if is_validation(name, 0.2, 1)] != expected


def test_the_validation_part_has_about_its_share():
    share = np.mean([is_validation(f'sea/{number}.jpg', 0.1, 3) for number in range(10000)])
    assert share == pytest.approx(0.1, abs=0.01)
    assert not any(is_validation(str(number), 0.0, 0) for number in range(100))


def test_reads_the_training_split_without_what_is_excluded(tmp_path):
    put(tmp_path / 'data', {**two_classes(3, 'train/'), **two_classes(2, 'test/')})
    (tmp_path / 'names').write_text('# doubled\n\nwood/1.jpg\ntrain/brick/0.jpg\n')
    data = read(tmp_path / 'data', exclude=read_names(tmp_path / 'names'))
    assert data.excluded == 2
    assert set(data.training.names) == {*two_classes()} - {'wood/1.jpg', 'brick/0.jpg'}


@pytest.mark.parametrize(
    ('files', 'message'),
    [
        ({}, 'found none'),
        ({'0.jpg': b'x'}, 'found 0.jpg'),
        ({'a/b/c/0.jpg': b'x'}, 'found a/b/c/0.jpg'),
        ({'a/0.jpg': b'x'}, 'two classes or more'),
        ({**two_classes(), 'glass/0.jpg': b''}, "'glass' has no image to train on"),
        (
            {**two_classes(2, 'train/'), 'test/wood/0.jpg': b'', 'test/glass/0.jpg': b''},
            r"'test' .*missing brick, unexpected glass",
        ),
    ],
)
def test_another_layout_is_refused(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        read(put(tmp_path, files))


def test_what_lies_beside_the_images_is_left_out(tmp_path):
    """One bad entry never ends a run, and is no class."""
    strays = {'cover.jpg': b'x', 'old/wood/0.jpg': b'x', 'notes/todo.txt': b'x'}
    data = read(put(tmp_path, {**two_classes(), **strays}))
    assert (data.classes, data.skipped) == (('brick', 'wood'), ())
    assert {text.partition(' is left out: ')[0] for text in data.problems} == {
        'cover.jpg',
        'old/wood/0.jpg',
    }


def test_names_that_look_alike_are_equal(tmp_path):
    decomposed, whole = (unicodedata.normalize(form, 'müll') for form in ('NFD', 'NFC'))
    image = jpeg(plain(1, 2, 3))
    files = {f'{decomposed}/ä.jpg': image, f'{whole}/1.jpg': image, 'papier/1.jpg': image}
    put(tmp_path / 'data', files)
    (tmp_path / 'names').write_text(f'{decomposed}/1.jpg\n')
    exclude = read_names(tmp_path / 'names')
    data = read(tmp_path / 'data', labels=[decomposed, 'papier'], exclude=exclude)
    assert data.classes == (whole, 'papier')
    assert data.training.names == (unicodedata.normalize('NFC', f'{whole}/ä.jpg'), 'papier/1.jpg')


def test_a_list_in_another_encoding_is_refused_by_name(tmp_path):
    (tmp_path / 'names').write_bytes('müll/1.jpg\n'.encode('latin-1'))
    with pytest.raises(DataError, match=r'names is not in UTF-8, but perhaps in Latin-1'):
        read_names(tmp_path / 'names')


def test_an_empty_class_is_named(tmp_path):
    with pytest.raises(DataError, match="class 'glass' is empty"):
        read(tar_of(tmp_path / 'data.tar', two_classes(), ['glass']))


def test_classes_that_are_not_the_labels_are_refused(tmp_path):
    put(tmp_path, two_classes())
    assert read(tmp_path, labels=['wood', 'brick']).classes == ('brick', 'wood')
    with pytest.raises(
        DataError, match=r'2 classes and the given labels 3: missing glass, unexpected none'
    ):
        read(tmp_path, labels=['wood', 'brick', 'glass'])
