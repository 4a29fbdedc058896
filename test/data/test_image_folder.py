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

"""Which files of a folder or a tar are images, and how a split is chosen."""

import errno
import io
import os
from pathlib import Path
import tarfile
import unicodedata

from image_files import jpeg, put, tar_of, two_classes
import numpy as np
import pytest

from dual_cnn_ros.data import DataError
from dual_cnn_ros.data.image_folder import image_name, ImageFolder
from dual_cnn_ros.data.problems import say_problems

NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
PNG = b'\x89PNG\r\n\x1a\n'


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


def test_what_other_systems_leave_behind_is_ignored(tmp_path):
    strays = ['__MACOSX/wood/0.jpg', 'wood/@eaDir/0.jpg', '.ipynb_checkpoints/0.jpg']
    put(tmp_path, {**two_classes(1), **dict.fromkeys(strays, b'x')})
    folder = ImageFolder(tmp_path)
    assert folder.files == ('brick/0.jpg', 'wood/0.jpg')
    assert (folder.folders, folder.left_out) == ({'brick', 'wood'}, {})


@pytest.mark.parametrize('pack', [False, True])
def test_what_a_file_holds_decides_where_its_name_does_not(tmp_path, pack):
    files = {'a/photo': jpeg(NOISE), 'a/x.dat': PNG, 'a/notes.txt': b'BMW P6', 'a/0.jpg': PNG}
    path = tar_of(tmp_path / 'x.tar', files) if pack else put(tmp_path, files)
    assert ImageFolder(path).files == ('a/0.jpg', 'a/photo', 'a/x.dat')


def test_links_are_followed_unless_they_lead_back(tmp_path):
    put(tmp_path / 'elsewhere', {'0.jpg': b'x'})
    data = put(tmp_path / 'data', {'brick/0.jpg': b'x', 'brick/1.jpg': b'x'})
    for name, target in {
        'wood': tmp_path / 'elsewhere',
        'brick/up': data,
        'brick/self': 'self',
        'brick/gone.jpg': 'nowhere',
        'brick/2.jpg': '1.jpg',
        'out': tmp_path,
        'again': '.',
    }.items():
        (data / name).symlink_to(target)
    (tmp_path / 'elsewhere' / 'data').symlink_to(data)
    folder = ImageFolder(data)
    assert folder.files == ('brick/0.jpg', 'brick/1.jpg', 'brick/2.jpg', 'wood/0.jpg')
    back, nothing = 'a link to a folder in which it lies', 'a link to nothing'
    assert folder.left_out == {
        'brick/up': back,
        'out': back,
        'again': back,
        'wood/data': back,
        'brick/self': nothing,
        'brick/gone.jpg': nothing,
    }
    assert folder.folders == {'brick', 'wood'}


def test_what_cannot_be_read_is_left_out(tmp_path, monkeypatch):
    put(tmp_path, two_classes(2))
    os.mkfifo(tmp_path / 'wood' / 'pipe.jpg')
    (tmp_path / 'closed').mkdir()
    scandir = os.scandir

    def refusing(path):
        if Path(path).name == 'closed':
            raise PermissionError(errno.EACCES, 'Permission denied')
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refusing)
    folder = ImageFolder(tmp_path)
    assert folder.left_out == {'wood/pipe.jpg': 'no file', 'closed': 'Permission denied'}
    assert folder.folders == {'brick', 'wood'}
    (tmp_path / 'wood' / '0.jpg').unlink()
    assert dict(folder.read(folder.files))['wood/0.jpg'] == b''
    assert folder.left_out['wood/0.jpg'] == 'No such file or directory'


def test_a_name_that_is_no_text_can_be_read_and_printed(tmp_path, capsys):
    put(tmp_path, two_classes(1))
    (tmp_path / 'wood' / os.fsdecode(b'\xe4.jpg')).write_bytes(b'x')
    folder = ImageFolder(tmp_path)
    assert folder.files[1:] == ('wood/0.jpg', 'wood/\N{REPLACEMENT CHARACTER}.jpg')
    assert dict(folder.read(folder.files[2:])) == {folder.files[2]: b'x'}
    folder.left_out[folder.files[2]] = 'no image'
    say_problems(tmp_path, folder.problems)
    assert 'jpg is left out: no image' in capsys.readouterr().err


def test_a_name_in_two_unicode_forms_is_one_image(tmp_path):
    names = [unicodedata.normalize(form, 'wood/bäume.jpg') for form in ('NFC', 'NFD')]
    put(tmp_path, dict.fromkeys(names, b'x'))
    folder = ImageFolder(tmp_path)
    assert folder.files == (names[0],)
    assert folder.problems == [
        f'a second {names[0]} is left out: its name differs in Unicode form only'
    ]


def test_links_and_repeated_names_in_a_tar(tmp_path):
    path = tmp_path / 'x.tar.gz'
    with tarfile.open(path, 'w:gz') as tar:
        for name, content in (('a/0.jpg', b'old'), ('a/1.jpg', b'one'), ('a/0.jpg', b'new')):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for kind, target in ((tarfile.LNKTYPE, 'a/1.jpg'), (tarfile.SYMTYPE, 'gone')):
            member = tarfile.TarInfo(f'b/{kind.decode()}.jpg')
            member.type, member.linkname = kind, target
            tar.addfile(member)
    folder = ImageFolder(path)
    wanted = {'a/0.jpg': b'new', 'a/1.jpg': b'one', 'b/1.jpg': b'one'}
    assert folder.files == tuple(wanted) and folder.left_out.keys() == {'b/2.jpg'}
    assert dict(folder.read(folder.files)) == wanted


def test_images_lie_where_most_of_them_do(tmp_path):
    put(tmp_path, {**two_classes(2, 'train/'), 'train/0.jpg': b'x', 'top.jpg': b'x'})
    folder = ImageFolder(tmp_path)
    assert len(folder.files) == 4
    assert folder.left_out == dict.fromkeys(
        ('train/0.jpg', 'top.jpg'), 'the other images lie in <folder>/<folder>/'
    )


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
