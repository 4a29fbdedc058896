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

"""The command line of train."""

from pathlib import Path

import pytest

from dual_cnn_ros.tools import train
from dual_cnn_ros.training.options import Augmentation, TrainingOptions

GIVEN = ['data', '--model', 'resnet20', '--out', 'out']


def test_defaults_are_those_of_the_options():
    assert train.parse_options(GIVEN) == TrainingOptions(
        Path('data'), 'resnet20', Path('out'), 'resnet20'
    )


def test_options_of_every_type_arrive():
    arguments = '--name net --input 48x64 --store 80 --mean 0.1 0.2 0.3 --labels a b --epochs 3 '
    arguments += '--colour bgr --exclude names --no-amp --no-flip --batch-size 8 --zoom 0.9'
    assert train.parse_options([*GIVEN, *arguments.split()]) == TrainingOptions(
        Path('data'),
        'resnet20',
        Path('out'),
        'net',
        input=(48, 64),
        store=(80, 80),
        mean=(0.1, 0.2, 0.3),
        labels=('a', 'b'),
        epochs=3,
        colour='bgr',
        exclude=Path('names'),
        amp=False,
        batch_size=8,
        augmentation=Augmentation(flip=False, zoom=0.9),
    )


@pytest.mark.parametrize(
    'option',
    [
        *('--epochs=0', '--validation=1', '--batch-size=1.5', '--flip=yes'),
        *('--input=2x3x4', '--input=28x', '--input=0', '--name=a/b', '--name=..'),
    ],
)
def test_arguments_out_of_range_are_refused(option, capsys):
    with pytest.raises(SystemExit, match='2'):
        train.parse_options([*GIVEN, option])
    assert f'argument {option.partition("=")[0]}' in capsys.readouterr().err


@pytest.mark.slow
def test_says_what_came_out_or_how_to_go_on(monkeypatch, capsys):
    pytest.importorskip('torch')
    from dual_cnn_ros.training import export, loop

    def finish(options):
        return export.TrainingMetrics(
            1234, 56789, 0.987, 0.1, 90, 10, 0, (), 12.3, 'cpu', {}, options, ()
        )

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, 'train', finish)
    assert train.main(GIVEN) == 0
    assert capsys.readouterr().out == (
        'out/resnet20: 1,234 parameters, 56,789 MACs, validation accuracy 98.70%, 12 s\n'
    )
    monkeypatch.setattr(loop, 'train', interrupt)
    assert train.main(GIVEN) == 130
    assert 'the same command goes on after the last finished epoch' in capsys.readouterr().err
