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

"""Reading image folders and tars: layout, checks, damaged pictures, the held-out part."""

import io
from pathlib import Path
import tarfile

import cv2
import numpy as np
import pytest

from dual_cnn_ros.cascade.frame import Frame, Preprocessing
from dual_cnn_ros.data.dataset import DatasetError, is_held_out, load, read_names, Reduction

SMALL = Reduction(8, 8, None, 'rgb')


def picture(blue, green, red, height=12, width=16):
    return np.full((height, width, 3), (blue, green, red), np.uint8)


def jpeg(image):
    return cv2.imencode('.jpg', image)[1].tobytes()


def put(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def tar_of(path, files, folders=(), mode='w', prefix=''):
    with tarfile.open(path, mode) as tar:
        for folder in folders:
            member = tarfile.TarInfo(prefix + folder)
            member.type = tarfile.DIRTYPE
            tar.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def two_classes(count=3, prefix=''):
    return {
        f'{prefix}{label}/{number}.jpg': jpeg(picture(*colour))
        for label, colour in (('wood', (0, 200, 40)), ('brick', (0, 40, 200)))
        for number in range(count)
    }


def read(path, **options):
    return load(path, **{'training': SMALL, 'held_out': SMALL, **options})


def test_reads_a_folder_that_is_one_split(tmp_path):
    data = read(put(tmp_path, two_classes()))
    assert data.classes == ('brick', 'wood')
    assert data.training.names == tuple(f'{c}/{n}.jpg' for c in data.classes for n in range(3))
    assert data.training.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.training.images.shape == (6, 3, 8, 8)
    assert data.training.images.dtype == np.uint8
    assert data.held_out.images.shape == (0, 3, 8, 8)
    np.testing.assert_allclose(data.training.images[0, :, 4, 4], (200, 40, 0), atol=4)


@pytest.mark.parametrize(
    ('suffix', 'mode', 'prefix'),
    [
        ('tar', 'w', ''),
        ('tar.gz', 'w:gz', ''),
        ('tar.xz', 'w:xz', './'),
        ('tar.bz2', 'w:bz2', './'),
    ],
)
def test_a_tar_reads_as_the_folder_does(tmp_path, suffix, mode, prefix):
    files = two_classes()
    folder = read(put(tmp_path / 'folder', files))
    tar = read(tar_of(tmp_path / f'data.{suffix}', files, ['wood', 'brick'], mode, prefix))
    assert tar.training.names == folder.training.names
    np.testing.assert_array_equal(tar.training.images, folder.training.images)


def test_chooses_the_split(tmp_path):
    put(tmp_path, {**two_classes(4, 'train/'), **two_classes(2, 'test/')})
    assert len(read(tmp_path).training.names) == 8
    assert len(read(tmp_path, split='test').training.names) == 4
    with pytest.raises(DatasetError, match=r"no split 'val'; choose of test, train"):
        read(tmp_path, split='val')


def test_takes_the_only_split(tmp_path):
    put(tmp_path, two_classes(2, 'everything/'))
    assert len(read(tmp_path).training.names) == 4


def test_refuses_a_split_of_data_without_splits(tmp_path):
    with pytest.raises(DatasetError, match="no split 'train'"):
        read(put(tmp_path, two_classes()), split='train')


def test_ignores_what_is_hidden_or_no_picture(tmp_path):
    put(
        tmp_path,
        {
            **two_classes(),
            'README.txt': b'x',
            'wood/Thumbs.db': b'x',
            'wood/._0.jpg': b'x',
            '.git/objects/1.jpg': b'x',
        },
    )
    data = read(tmp_path)
    assert len(data.training.names) == 6
    assert data.skipped == ()


@pytest.mark.parametrize('colour', ['rgb', 'bgr', 'grey'])
@pytest.mark.parametrize('crop', [None, 0.875])
def test_pixels_are_those_that_the_node_gives_a_cnn(tmp_path, colour, crop):
    image = np.random.default_rng(0).integers(0, 256, (61, 83, 3), np.uint8)
    png = cv2.imencode('.png', image)[1].tobytes()
    put(tmp_path, {'a/0.png': png, 'b/0.png': png})
    data = read(tmp_path, training=Reduction(16, 24, crop, colour))
    channels = 1 if colour == 'grey' else 3
    mean, std = (0.4, 0.5, 0.6)[:channels], (0.2, 0.25, 0.3)[:channels]
    blob = Frame(image).blob(Preprocessing(16, 24, colour, crop, mean, std))
    pixels = (data.training.images[0] / 255 - np.reshape(mean, (-1, 1, 1))) / np.reshape(
        std, (-1, 1, 1)
    )
    np.testing.assert_allclose(pixels, blob[0], atol=1e-5)


def test_the_parts_are_reduced_differently(tmp_path):
    put(tmp_path, two_classes(20))
    data = read(
        tmp_path,
        training=Reduction(10, 14, None, 'rgb'),
        held_out=Reduction(6, 6, None, 'rgb'),
        holdout=0.5,
    )
    assert data.training.images.shape[1:] == (3, 10, 14)
    assert data.held_out.images.shape[1:] == (3, 6, 6)


def test_the_parts_are_disjoint_complete_and_the_same_again(tmp_path):
    put(tmp_path, two_classes(20))
    first, again = (read(tmp_path, holdout=0.3, seed=5) for _ in range(2))
    assert first.held_out.names == again.held_out.names
    assert not set(first.held_out.names) & set(first.training.names)
    assert len(first.held_out.names) + len(first.training.names) == 40
    assert first.held_out.names == tuple(
        name for name in sorted(two_classes(20)) if is_held_out(name, 0.3, 5)
    )


def test_a_picture_keeps_its_part_when_others_are_added(tmp_path):
    before = read(put(tmp_path, two_classes(20)), holdout=0.3)
    after = read(put(tmp_path, two_classes(40)), holdout=0.3)
    assert set(before.held_out.names) < set(after.held_out.names)
    assert set(before.training.names) < set(after.training.names)


def test_the_held_out_part_never_changes_between_versions():
    names = [f'sea/{number}.jpg' for number in range(20)]
    expected = ['sea/2.jpg', 'sea/4.jpg', 'sea/13.jpg', 'sea/15.jpg']
    assert [name for name in names if is_held_out(name, 0.2, 0)] == expected
    assert [name for name in names if is_held_out(name, 0.2, 1)] != expected


def test_the_held_out_part_has_about_its_share():
    share = np.mean([is_held_out(f'sea/{number}.jpg', 0.1, 3) for number in range(10000)])
    assert share == pytest.approx(0.1, abs=0.01)
    assert not any(is_held_out(str(number), 0.0, 0) for number in range(100))


def damaged():
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    whole = jpeg(noise)
    progressive = cv2.imencode('.jpg', noise, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    png = cv2.imencode('.png', noise)[1].tobytes()
    return {
        'cut': ('jpg', whole[: len(whole) // 2]),
        'cut progressive': ('jpg', progressive[:-200]),
        'empty': ('jpg', b''),
        'text': ('png', b'not a picture'),
        'head': ('png', png[:30]),
    }


@pytest.mark.parametrize('kind', damaged())
def test_a_damaged_picture_is_skipped_and_named(tmp_path, kind):
    suffix, content = damaged()[kind]
    data = read(put(tmp_path, {**two_classes(), f'wood/bad.{suffix}': content}))
    assert data.skipped == (f'wood/bad.{suffix}',)
    assert len(data.training.names) == 6


def test_a_jpeg_with_bytes_after_its_end_is_kept(tmp_path):
    longer = jpeg(picture(1, 2, 3)) + b'\0\0'
    data = read(put(tmp_path, {**two_classes(), 'wood/more.jpg': longer}))
    assert data.skipped == ()


def test_a_class_of_damaged_pictures_only_is_refused(tmp_path):
    put(tmp_path, {**two_classes(), 'glass/0.jpg': b'broken'})
    with pytest.raises(DatasetError, match="'glass' has no picture to train on"):
        read(tmp_path)


def test_leaves_out_what_is_excluded(tmp_path):
    put(tmp_path / 'data', {**two_classes(3, 'train/'), **two_classes(3, 'test/')})
    (tmp_path / 'names').write_text(
        '# doubled\n\nwood/1.jpg\ntrain/brick/0.jpg\ntest/wood/2.jpg\n'
    )
    data = read(tmp_path / 'data', exclude=read_names(tmp_path / 'names'))
    assert data.excluded == 2
    assert not {'wood/1.jpg', 'brick/0.jpg'} & set(data.training.names)
    assert 'wood/2.jpg' in data.training.names


def test_an_empty_class_of_a_folder_is_named(tmp_path):
    put(tmp_path, two_classes(3, 'train/'))
    (tmp_path / 'train' / 'glass').mkdir()
    with pytest.raises(DatasetError, match="class 'train/glass' is empty"):
        read(tmp_path)


def test_an_empty_class_of_a_tar_is_named(tmp_path):
    with pytest.raises(DatasetError, match="class 'glass' is empty"):
        read(tar_of(tmp_path / 'data.tar', two_classes(), ['glass']))


def test_splits_with_different_classes_are_refused(tmp_path):
    put(
        tmp_path,
        {
            **two_classes(2, 'train/'),
            'test/wood/0.jpg': jpeg(picture(1, 2, 3)),
            'test/glass/0.jpg': jpeg(picture(1, 2, 3)),
        },
    )
    with pytest.raises(DatasetError, match=r"'test' .*missing brick, unexpected glass"):
        read(tmp_path)


def test_classes_that_are_not_the_labels_are_refused(tmp_path):
    put(tmp_path, two_classes())
    assert read(tmp_path, labels=['wood', 'brick']).classes == ('brick', 'wood')
    with pytest.raises(
        DatasetError, match=r'2 classes and the given labels 3: missing glass, unexpected none'
    ):
        read(tmp_path, labels=['wood', 'brick', 'glass'])


@pytest.mark.parametrize(
    ('files', 'message'),
    [
        ({}, 'found none'),
        ({'0.jpg': b'x'}, 'found 0.jpg'),
        ({'a/b/c/0.jpg': b'x'}, 'found a/b/c/0.jpg'),
        ({'a/0.jpg': b'x', 'train/a/0.jpg': b'x'}, 'expected pictures as'),
        ({'a/0.jpg': b'x'}, 'two classes or more'),
    ],
)
def test_another_layout_is_refused(tmp_path, files, message):
    with pytest.raises(DatasetError, match=message):
        read(put(tmp_path, files))


@pytest.mark.parametrize('content', [b'', b'no tar at all', None])
def test_data_that_cannot_be_read_are_refused(tmp_path, content):
    path = tmp_path / 'data.tar.xz'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError, match=r'data\.tar\.xz is no readable'):
        read(path)


@pytest.mark.parametrize('mode', ['w:xz', 'w:gz', 'w'])
def test_a_tar_that_was_cut_off_is_refused(tmp_path, mode):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path: Path = tar_of(
        tmp_path / 'data.tar', {**two_classes(), 'wood/noise.jpg': jpeg(noise)}, mode=mode
    )
    path.write_bytes(path.read_bytes()[: -12000 if mode == 'w' else -200])
    with pytest.raises(DatasetError, match=r'data\.tar is no readable'):
        read(path)
