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

"""What the governor may choose between, and which budgets are refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from governed_points import POINTS
import pytest
from tiny_bundle import make_bundle

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.nodes.classifier_parameters import ClassifierParameters
from dual_cnn_ros.nodes.governing import make_governor, seconds_until
from dual_cnn_ros.nodes.parameter import ParameterError


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle.open(str(make_bundle(tmp_path / 'bundle', operating_points=POINTS)))


def governed(bundle: Bundle, **given: Any) -> Any:
    return make_governor(ClassifierParameters(**given), bundle, 5.0, 1_800_000_000.0)


def test_the_scale_begins_at_the_floor_and_leaves_out_what_is_dominated(bundle: Bundle) -> None:
    assert governed(bundle) is None
    for floor, names in (
        ('', ['certified', 'careful']),
        ('cheapest', ['cheapest', 'certified', 'careful']),
        ('dominated', ['dominated', 'careful']),
    ):
        found = governed(bundle, governor='power', governor_target=4.0, governor_floor=floor)
        assert [each.rule.name for each in found.scale] == names
        costs = [each.cost for each in found.scale]
        assert costs == sorted(costs)


def test_without_costs_there_is_no_scale(bundle: Bundle) -> None:
    first, last = bundle.stages
    free = replace(bundle, stages=(first, replace(last, macs=0)))
    with pytest.raises(ParameterError, match='does not state macs or cpu_seconds of all stages'):
        governed(free, governor='power', governor_target=4.0)
    timed = tuple(replace(stage, cpu_seconds=1e-3) for stage in free.stages)
    assert governed(replace(free, stages=timed), governor='power', governor_target=4.0)


def test_another_budget_goes_on_from_where_the_last_one_was(bundle: Bundle) -> None:
    first = governed(bundle, governor='power', governor_target=4.0)
    for time in range(30):
        first.read(3.0, 5.0 + time)
    place = first.state(35.0).position
    values = ClassifierParameters(governor='power', governor_target=5.0)
    assert place > 0 and make_governor(values, bundle, 35.0, 0.0, first).state(35.0).position == (
        pytest.approx(place)
    )


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        ({'governor': 'power'}, 'set governor_target first, to watts above 0'),
        ({'governor': 'deferral_rate', 'governor_target': 1.5}, 'share of frames .* up to 1'),
        ({'governor': 'energy', 'governor_target': 9.0}, 'set governor_until first'),
        (
            {'governor': 'energy', 'governor_target': 9.0, 'governor_until': '2001-01-01T10:00'},
            'governor_until must be in the future',
        ),
        (
            {'governor': 'energy', 'governor_target': 9.0, 'governor_until': 'noon'},
            "THH:MM or YYYY-MM-DDTHH:MM, local time, not 'noon'",
        ),
        (
            {'governor': 'power', 'governor_target': 9.0, 'power_topic': ''},
            'governor power needs power_topic',
        ),
        (
            {'governor': 'power', 'governor_target': 9.0, 'governor_floor': 'basement'},
            "the floor must be an operating point of bundle tiny, not 'basement': cheapest;",
        ),
        (
            {'governor': 'power', 'governor_target': 9.0, 'governor_floor': 'careful'},
            'fewer than two operating points to choose from, from careful on',
        ),
        (
            {'governor': 'power', 'governor_target': 9.0, 'threshold': 0.5},
            'power decides threshold too, .* set threshold to -1.0, or governor to none, first',
        ),
    ],
)
def test_what_does_not_fit_is_refused(bundle: Bundle, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        governed(bundle, **given)


def test_the_time_is_today_or_tomorrow_or_a_date() -> None:
    now = datetime(2026, 11, 27, 15, 30, 20)
    clock = now.timestamp()
    assert seconds_until('T15:31', clock) == seconds_until('15:31', clock) == 40
    assert seconds_until('T15:30', clock) == timedelta(days=1).total_seconds() - 20
    assert seconds_until('2026-11-28T00:00', clock) == pytest.approx(8.5 * 3600 - 20)
