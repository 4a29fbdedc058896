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

"""Which files of a folder or a tar are images, how a split is chosen, and what is damaged."""

import cv2
from image_files import exif, jpeg, plain, put, tar_of, two_classes
import numpy as np
import pytest

from dual_cnn_ros.data import DataError
from dual_cnn_ros.data.image_folder import decode_image, image_name, ImageFolder

NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)


@pytest.mark.parametrize(('mode', 'prefix'), [('w', ''), ('w:gz', './'), ('w:bz2', '')])
def test_a_tar_reads_as_the_folder_does(tmp_path, mode, prefix):
    files = two_classes()
    folder = ImageFolder(put(tmp_path / 'folder', files))
    tar = ImageFolder(tar_of(tmp_path / 'data', files, ['wood'], mode, prefix))
    assert tar.files == folder.files == tuple(sorted(files))
    assert tar.folders == folder.folders == {'wood', 'brick'}
    wanted = folder.files[1:3]
    assert dict(tar.read(wanted)) == dict(folder.read(wanted)) == {f: files[f] for f in wanted}


def test_what_is_hidden_or_no_image_is_ignored(tmp_path):
    names = ['README.txt', 'wood/Thumbs.db', 'wood/._0.jpg', '.git/objects/1.jpg']
    put(tmp_path, {**two_classes(1), **dict.fromkeys(names, b'x'), 'wood/BIG.JPG': b'x'})
    assert ImageFolder(tmp_path).files == ('brick/0.jpg', 'wood/0.jpg', 'wood/BIG.JPG')


def test_links_are_followed(tmp_path):
    put(tmp_path / 'elsewhere', {'0.jpg': b'x'})
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'wood').symlink_to(tmp_path / 'elsewhere')
    assert ImageFolder(tmp_path / 'data').files == ('wood/0.jpg',)


@pytest.mark.parametrize(
    ('splits', 'named', 'chosen'),
    [
        (['train/', 'test/'], None, 'train'),
        (['train/', 'test/'], 'test', 'test'),
        (['everything/'], None, 'everything'),
        ([''], None, None),
        (['a/b/'], None, None),
    ],
)
def test_the_split_is_the_named_the_only_or_the_usual_one(tmp_path, splits, named, chosen):
    put(tmp_path, {name: b'' for prefix in splits for name in two_classes(2, prefix)})
    folder = ImageFolder(tmp_path)
    assert folder.choose_split(named, 'train') == chosen
    assert len(folder.select(chosen)) == 4


@pytest.mark.parametrize(
    ('splits', 'named', 'words'),
    [
        (['dev/', 'test/'], 'val', "no split 'val'; choose of dev, test"),
        (['dev/', 'test/'], None, "no split 'train'"),
        ([''], 'val', "no split 'val': it is one split by itself"),
    ],
)
def test_a_split_that_is_not_there_is_refused(tmp_path, splits, named, words):
    put(tmp_path, {name: b'' for prefix in splits for name in two_classes(2, prefix)})
    with pytest.raises(DataError, match=words):
        ImageFolder(tmp_path).choose_split(named, 'train')


def test_files_are_excluded_by_path_or_by_class_and_name(tmp_path):
    put(tmp_path, {**two_classes(2, 'train/'), **two_classes(2, 'test/')})
    exclude = {'wood/1.jpg', 'train/brick/0.jpg', 'test/wood/0.jpg'}
    assert ImageFolder(tmp_path).select('train', exclude) == [
        'train/brick/1.jpg',
        'train/wood/0.jpg',
    ]
    assert image_name('train/brick/1.jpg') == 'brick/1.jpg'


@pytest.mark.parametrize('pack', [False, True])
def test_identity_changes_with_the_files(tmp_path, pack):
    def identity():
        return ImageFolder(tar_of(tmp_path / 'x.tar', files) if pack else folder).identity()

    files = two_classes()
    folder = put(tmp_path / 'folder', files)
    before = identity()
    assert pack or identity() == before
    put(folder, {'wood/0.jpg': b'longer than before' * 1000})
    files['wood/0.jpg'] = b'longer than before' * 1000
    assert identity() != before


@pytest.mark.parametrize('keep', [None, 0, 10, -200])
@pytest.mark.parametrize('mode', ['w:xz', 'w:gz', 'w'])
def test_a_tar_that_is_missing_or_cut_off_is_refused(tmp_path, mode, keep):
    files = {**two_classes(), 'wood/noise.jpg': jpeg(np.tile(NOISE, (2, 2, 1)))}
    path = tar_of(tmp_path / 'data.tar', files, mode=mode)
    content = path.read_bytes().rstrip(b'\0') if mode == 'w' else path.read_bytes()
    path.unlink()
    if keep is not None:
        path.write_bytes(content[:keep])
    with pytest.raises(DataError, match=r'data\.tar is no readable'):
        list(ImageFolder(path).read(files))


PROGRESSIVE = cv2.imencode('.jpg', NOISE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()


@pytest.mark.parametrize('data', [jpeg(NOISE)[:1000], PROGRESSIVE[:-200], b'', b'not an image'])
def test_a_damaged_image_is_none(data):
    assert decode_image(data) is None


def test_a_whole_image_is_decoded_upright():
    upright = plain(10, 20, 30, height=60, width=40)
    for data in (jpeg(upright) + b'\0\0', exif(jpeg(plain(10, 20, 30, height=40, width=60)))):
        np.testing.assert_allclose(decode_image(data), upright, atol=4)
