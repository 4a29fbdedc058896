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

"""Reading text in UTF-8, and writing files whole or not at all."""

from concurrent.futures import ThreadPoolExecutor
import errno
import fcntl
from functools import partial
import json
import os
from pathlib import Path
import subprocess
import sys
from unittest import mock

import pytest

from dual_cnn_ros.files import EncodingError, locked, read_text, write_atomically, write_json


def test_the_file_is_replaced(tmp_path):
    for data in (b'old', b'new'):
        write_atomically(tmp_path / 'file', data)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [('file', b'new')]


@pytest.mark.parametrize(('module', 'name'), [(os, 'fsync'), (Path, 'replace')])
def test_a_write_that_fails_leaves_the_old_file_only(tmp_path, monkeypatch, module, name):
    def full(*_):
        raise OSError('no space')

    write_atomically(tmp_path / 'file', b'old')
    monkeypatch.setattr(module, name, full)
    with pytest.raises(OSError, match='no space'):
        write_atomically(tmp_path / 'file', b'new')
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [('file', b'old')]


def test_json_has_a_line_for_each_small_record_and_list(tmp_path):
    content = {'numbers': [1, 2.5], 'records': [{'a': 'x [1,\n 2]  {y}'}, {'a': None}], 'none': []}
    write_json(tmp_path / 'file', content)
    text = (tmp_path / 'file').read_text()
    assert json.loads(text) == content
    assert ' "numbers": [ 1, 2.5 ],\n' in text and len(text.splitlines()) < 12


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig'])
def test_text_is_utf8_with_or_without_a_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / 'labels.txt'
    path.write_text('Straße\n', encoding=encoding)
    assert read_text(path) == 'Straße\n'


@pytest.mark.parametrize(
    ('encoding', 'words'),
    [
        ('utf-16', 'is in UTF-16; save it as UTF-8'),
        ('utf-16-le', 'NUL bytes, as UTF-16'),
        ('utf-32', 'is in UTF-32'),
        ('latin-1', 'perhaps in Latin-1 .* byte 0xdf in line 2'),
    ],
)
def test_text_in_another_encoding_names_file_and_encoding(
    tmp_path: Path, encoding: str, words: str
) -> None:
    path = tmp_path / 'labels.txt'
    path.write_text('stop\nStraße\n', encoding=encoding)
    with pytest.raises(EncodingError, match=rf'labels\.txt .*{words}'):
        read_text(path)


HOLD = """
import sys, time
from pathlib import Path
from dual_cnn_ros.files import locked
with locked(Path(sys.argv[1]), 'the first'):
    print('locked', flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize('exists', [False, True])
def test_what_is_locked_is_refused_until_its_process_is_killed(tmp_path, exists):
    out = tmp_path / 'out'
    if exists:
        out.mkdir()
    (tmp_path / 'link').symlink_to(out)
    with subprocess.Popen([sys.executable, '-c', HOLD, out], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(BlockingIOError, match=rf'{out} is in use by the first; wait'):
            locked(tmp_path / 'link', 'the second').__enter__()
        process.kill()
    with locked(out, 'the second'), pytest.raises(BlockingIOError, match='by the second'):
        locked(out, 'the third').__enter__()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['link', *(['out'] * exists)]


@pytest.mark.parametrize('number', [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_used_without(tmp_path, monkeypatch, number):
    monkeypatch.setattr(fcntl, 'flock', mock.Mock(side_effect=OSError(number, 'no locks')))
    with locked(tmp_path / 'out', 'me'):
        write_atomically(tmp_path / 'file', b'new')
    assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_writers_of_one_file_take_turns(tmp_path):
    contents = [bytes([number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(partial(write_atomically, tmp_path / 'file'), contents * 20))
    assert (tmp_path / 'file').read_bytes() in contents
    assert len(list(tmp_path.iterdir())) == 1
