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

"""Systems: how they are named, which CNNs they share, and what is kept of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluated import POINTS, RULE
import numpy as np
import pytest
from tiny_bundle import make_bundle, picture
from tiny_pool import make_trained

from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.settings import Rule, Settings
from dual_cnn_ros.evaluation.systems import AnswerFile, Networks, parse_system, parse_systems


@pytest.mark.parametrize(
    ('text', 'name', 'stages', 'rule'),
    [
        ('{}', 'tiny', ['first', 'second'], RULE),
        ('{}@never ask', 'tiny@never ask', ['first', 'second'], POINTS[0].rule),
        ('mine={}@second', 'mine', ['second'], Rule((), 'none')),
        ('{}@first', 'tiny@first', ['first'], Rule((), 'none')),
    ],
)
def test_names_of_systems(
    bundle: Path, text: str, name: str, stages: list[str], rule: Rule
) -> None:
    system = parse_system(text.format(bundle))
    assert (system.name, [s.name for s in system.bundle.stages]) == (name, stages)
    assert system.rule == rule


def test_a_bundle_of_one_stage_is_a_system(tmp_path: Path) -> None:
    trained = make_trained(tmp_path, 'colours', macs=3)
    system = parse_system(str(trained))
    assert (system.name, system.rule.criteria) == ('colours', ())
    assert [stage.macs for stage in system.bundle.stages] == [3]


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    for name in ('with@sign', 'with=sign'):
        folder = make_bundle(tmp_path / name)
        assert parse_system(str(folder)).name == 'tiny'
        assert parse_system(f'{folder}@second').name == 'tiny@second'


@pytest.mark.parametrize(
    ('names', 'said'),
    [
        (['{}@third'], "no stage or operating point 'third'; it has: first; second; never ask"),
        (['{}', '{}'], "are both called 'tiny'; put NAME= before one of them"),
        (['{}@'], "no stage or operating point ''; it has: first"),
        (['@first'], "'@first' names no bundle"),
        (['nowhere'], 'bundle.yaml: not found'),
        (['{}', '{other}'], 'other has other labels than tiny'),
    ],
)
def test_systems_that_cannot_be_compared_are_refused(
    bundle: Path, tmp_path: Path, names: list[str], said: str
) -> None:
    other = make_bundle(tmp_path / 'other', labels=('red', 'green', 'grey'), name='other')
    with pytest.raises(ValueError, match=said):
        parse_systems([name.format(bundle, other=other) for name in names])


def test_bundles_share_a_cnn_at_whatever_place_it_has(tmp_path: Path) -> None:
    names = [
        make_bundle(tmp_path / name, name=name, rule=RULE, gains=gains)
        for name, gains in (('one', (2.0, 20.0)), ('other', (2.0, 20.0)), ('turned', (20.0, 2.0)))
    ]
    systems = parse_systems([str(name) for name in names])
    networks = Networks(systems, 'auto', ('cpu',))
    assert len(networks.keys) == 2
    frame = Frame(picture('red', sure=False))
    networks.answers = networks.ask(frame)
    for live in (False, True):
        networks.live = live
        sources = [
            networks.cascade(system, Settings(system.rule, memory=False)).classify(frame).source
            for system in systems
        ]
        assert sources == ['second', 'second', 'first']


def test_networks_tell_what_runs_them(bundle: Path) -> None:
    networks = Networks(parse_systems([str(bundle)]), 'auto', ('tensorrt', 'cpu'))
    assert networks.ran_by == ['onnxruntime cpu'] * 2


def test_answers_are_kept_until_another_run_begins_anew(tmp_path: Path) -> None:
    def answers(identity: str, restart: bool = False) -> AnswerFile:
        return AnswerFile(tmp_path / 'partial.f32', identity, (2, 3, 4), restart)

    def never() -> list[Any]:
        raise AssertionError('asked again')

    given = [np.ones(1, np.float32), np.zeros(3, np.float32)]
    np.testing.assert_array_equal(answers('a').get((1, 2), lambda: given), [1, 0, 0, 0])
    again = answers('a')
    assert again.found == 1
    np.testing.assert_array_equal(again.get((1, 2), never), [1, 0, 0, 0])
    with pytest.raises(ValueError, match='--restart'):
        answers('b')
    begun = answers('b', restart=True)
    assert begun.found == 0
    begun.remove()
    assert not list(tmp_path.iterdir())
