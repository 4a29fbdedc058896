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

"""The tables at the end of a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from dual_cnn_ros.playback.energy_listener import CONSTRUCTED, PowerInput
from dual_cnn_ros.playback.summary import energy_table

pytestmark = pytest.mark.ros

JOULES = ('joules_per_decision', 'standard_error_joules')
REPORT = {
    'memory': ('too few decisions', {'decisions': '2', **dict.fromkeys(JOULES, '')}),
    'first': ('', {'decisions': '10', **dict(zip(JOULES, ('0.0612', '0.01')))}),
    'frames': ('', {'decisions': '12', 'net_joules_per_frame': ''}),
    'total': (
        '',
        {
            'mean_watts': '22.29',
            'coverage': '0.981',
            'window_seconds': '12',
            'longest_gap_seconds': '0.3',
            'scope': 'module',
        },
    ),
    'idle': ('', {'note': 'not measured'}),
    'saving': ('unknown', {}),
}
STAGES = ['memory', 'first', 'second']


def test_joules_that_are_not_known_are_a_dash_and_the_reason_is_noted() -> None:
    power = PowerInput('by ina3221', Path('/sys'))
    assert energy_table(power, REPORT, STAGES, {}) == [
        'Energy by ina3221.',
        'answered by  decisions  J per decision, above idle  standard error',
        '------------------------------------------------------------------',
        'memory               2                           -               -',
        'first               10                      0.0612          0.0100',
        '------------------------------------------------------------------',
        'all                 12                           -',
        'memory: too few decisions',
        'idle power: not measured',
        '22.29 W on average, 98.1% of 12 s covered, longest gap 0.3 s, module scope.',
        'saving: unknown.',
    ]


def test_a_constructed_trace_is_called_so_beside_the_joules_it_was_made_of() -> None:
    power = PowerInput(CONSTRUCTED, Path('/sys'), Path('trace.csv'))
    lines = energy_table(power, REPORT, STAGES, {'first': 0.06})
    assert [line.split()[-1] for line in lines[1:5]] == ['in', lines[2], '0.0000', '0.0600']
    assert all('onstructed' in line for line in [lines[1], *lines[7:]])
