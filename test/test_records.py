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

"""Records: dataclasses to plain values and back, with every field checked and named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dual_cnn_ros.records import from_plain, RecordError, to_plain


@dataclass(frozen=True)
class Wheel:
    """A record in another."""

    radius: float
    spokes: int = 8

    def __post_init__(self) -> None:
        if self.radius <= 0:
            raise ValueError(f'radius must be positive, not {self.radius}')


@dataclass(frozen=True)
class Robot:
    """A record with a field of each kind."""

    name: str
    wheels: tuple[Wheel, ...]
    spare: Wheel | None = None
    tools: Mapping[str, Wheel] = field(default_factory=dict)
    map: Path = Path('map.yaml')
    is_ready: bool = True
    weights: tuple[float, ...] = (1.0,)
    place: tuple[float, str] = (0.0, 'hall')
    note: Any = None


PLAIN = {'name': 'Ada', 'wheels': [{'radius': 0.5, 'spokes': 8}]}
FULL = Robot(
    'Bob',
    (Wheel(1.0), Wheel(2.0, 0)),
    Wheel(3.0),
    {'turner': Wheel(4.0)},
    Path('a/b'),
    False,
    (),
    (2.5, 'lift'),
    {'any': ['thing', 1, None]},
)


@pytest.mark.parametrize('robot', [Robot('Ada', ()), FULL], ids=['defaults', 'full'])
def test_a_record_survives_json(robot: Robot) -> None:
    assert from_plain(Robot, json.loads(json.dumps(to_plain(robot)))) == robot


def test_what_is_empty_by_default_is_left_out() -> None:
    assert to_plain(Robot('', ())) == {
        'name': '',
        'wheels': [],
        'map': 'map.yaml',
        'is_ready': True,
        'weights': [1.0],
        'place': [0.0, 'hall'],
    }
    assert to_plain(Robot('', (), weights=()))['weights'] == []


def test_numpy_numbers_become_plain_ones() -> None:
    plain = to_plain(Wheel(np.float64(0.5), np.int64(3)))
    assert plain == {'radius': 0.5, 'spokes': 3}
    assert [type(value) for value in plain.values()] == [float, int]


def test_null_will_do_for_what_may_be_none() -> None:
    assert from_plain(Robot, {**PLAIN, 'spare': None}) == from_plain(Robot, PLAIN)


def test_a_whole_number_will_do_for_a_float() -> None:
    radius = from_plain(Wheel, {'radius': 2}).radius
    assert radius == 2.0 and type(radius) is float


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'name': 7}, 'name must be text, in quotes where YAML would read something else, not 7'),
        ({'name': None}, 'name must be text, .*, not None'),
        ({'wheels': {}}, 'wheels must be a list, not dict'),
        ({'wheels': [PLAIN['wheels'][0], 3]}, r'wheels\[1\] must be a mapping of fields, not 3'),
        ({'wheels': [{}]}, r'the field wheels\[0\].radius is missing'),
        ({'wheels': [{'radius': '1'}]}, r"wheels\[0\].radius must be a number, not '1'"),
        ({'wheels': [{'radius': True}]}, r'wheels\[0\].radius must be a number, not True'),
        ({'wheels': [{'radius': 10**400}]}, r'wheels\[0\].radius must be a number'),
        ({'wheels': [{'radius': 0}]}, r'wheels\[0\].radius must be positive, not 0.0'),
        ({'spare': {'radius': 1, 'spokes': 2.0}}, 'spare.spokes must be a whole number, not 2.0'),
        ({'spare': {'radius': 1, 'spokes': False}}, 'spare.spokes must be a whole number, not F'),
        ({'spare': {'radius': 1, 'tyre': 0, 'x': 1}}, 'unknown field spare.tyre, x; check the'),
        ({'tools': []}, 'tools must be a mapping of fields, not list'),
        ({'tools': {3: {}}}, 'tools: a key must be text, .*, not 3'),
        ({'tools': {'turner': {'radius': -1}}}, 'tools.turner.radius must be positive'),
        ({'map': 3}, 'map must be text'),
        ({'is_ready': 1}, 'is_ready must be true or false, not 1'),
        ({'weights': [0.5, 'x']}, r"weights\[1\] must be a number, not 'x'"),
        ({'place': [1, 2]}, r'place\[1\] must be text'),
        ({'place': [1]}, 'place must have 2 entries, not 1'),
        ({'wheelz': []}, 'unknown field wheelz; check the spelling'),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordError, match=f'^{message}'):
        from_plain(Robot, {**PLAIN, **change})
    with pytest.raises(RecordError, match=r'robots\[3\]'):
        from_plain(Robot, {**PLAIN, **change}, 'robots[3]')


@pytest.mark.parametrize('value', [None, [], 'text'])
def test_what_is_no_mapping_of_fields_is_refused(value: Any) -> None:
    with pytest.raises(RecordError, match='^the file must be a mapping of fields'):
        from_plain(Robot, value)
