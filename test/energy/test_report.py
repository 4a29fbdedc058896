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

"""The report: what is unknown is nothing, with the reason in words, and never a guess."""

from __future__ import annotations

from typing import Any

import pytest

from dual_cnn_ros.energy.account import Account
from dual_cnn_ros.energy.report import ComparisonBaseline, energy_report, ReportSection
from dual_cnn_ros.power.reading import Reading


def sections(
    account: Account, baseline: ComparisonBaseline | None = None
) -> dict[str, ReportSection]:
    found = energy_report(account, baseline or ComparisonBaseline(), 'module')
    assert len({section.name for section in found}) == len(found)
    return {section.name: section for section in found}


def worked(second: bool = True) -> Account:
    """Return the account of a robot that was idle at 4 W, then worked."""
    account = Account(1.0)
    for n in range(1000):
        time = n * 0.1
        if n == 1:
            account.measure_idle(5.0)
        first, slow = 0.02 * (1 + n // 60 % 2), 0.03 * (n // 100 % 2) * second
        if n < 100:
            first = slow = 0.0
        watts = 4.0 + (3.0 * first + 7.0 * slow) / 0.1
        account.add_reading(time, Reading('total', time, watts=watts, offset_watts=0.08), 0.1)
        if n >= 100:
            busy = {'first': first, 'second': slow} if slow else {'first': first}
            source = 'second' if slow else 'first'
            account.add_decision(time + 0.099, source, busy, ('first', 'second'))
    return account


def saving_of(account: Account, *baseline: Any) -> ReportSection:
    return sections(account, ComparisonBaseline(*baseline))['saving']


def test_nothing_known() -> None:
    found = sections(Account(1.0), ComparisonBaseline('always_all'))
    assert list(found) == ['total', 'idle', 'frames', 'saving']
    for name, keys in {
        'total': ('joules', 'mean_watts', 'standard_error_watts', 'bias_joules'),
        'frames': ('joules_per_frame', 'net_joules_per_frame'),
    }.items():
        assert found[name].missing
        assert all(found[name].values[key] is None for key in keys)
    assert found['idle'].message == 'idle power: never measured'
    assert found['saving'].missing
    assert 'unknown against always all: no window' in found['saving'].message


def test_everything_known() -> None:
    found = sections(worked(), ComparisonBaseline('always_all'))
    assert not [section.name for section in found.values() if section.missing]
    assert 'J of the module' in found['total'].message
    assert found['idle'].message.endswith('J above 4.000 W')
    for name in ('first', 'second'):
        values = found[name].values
        true = 3.0 * values['busy_seconds.first'] + 7.0 * values.get('busy_seconds.second', 0.0)
        assert values['joules_per_decision'] == pytest.approx(true, rel=0.05)
    assert found['first'].values['share'] == pytest.approx(0.5, abs=0.1)
    assert found['saving'].values['baseline_joules'] == pytest.approx(0.3, rel=0.1)


def test_silence_is_said_beside_what_was_measured_before() -> None:
    account = worked()
    total = energy_report(account, ComparisonBaseline(), 'module', 45.2)[0]
    assert total.missing and total.values['silent_seconds'] == 45.2
    assert total.message.startswith('no reading for 45 s; until then')
    assert total.values['joules'] == account.energy.joules


def test_saving_says_against_what() -> None:
    account = worked()
    assert 'saving' not in sections(account)
    source = 'ResNet-50 (a board, 2026)'
    saving = saving_of(account, 'bundle', 0.5, source, 0.01, 'module')
    assert f'less than 0.5 J per frame of {source}' in saving.message
    assert saving.values['baseline_source'] == source
    share = 1 - account.fit().cost(account.mean_busy_seconds()).value / 0.5
    assert saving.values['saving'] == pytest.approx(share)
    assert saving.values['standard_error'] == pytest.approx(0.02 * (1 - share), rel=0.5)
    # Against what costs less than the cascade, it is a loss and says so.
    assert saving_of(account, 'measured', 0.05, 'x').message.startswith('-')


@pytest.mark.parametrize(
    ('baseline', 'reason'),
    [
        (('always_all',), 'second has not run yet'),
        (('always_last',), 'second has not run yet'),
        (
            ('bundle', 0.5, 'x', 0.01, 'cpu package'),
            'in the scope cpu package, these readings are of the module',
        ),
    ],
)
def test_a_saving_that_is_unknown_says_why(baseline: tuple[Any, ...], reason: str) -> None:
    saving = saving_of(worked(second=False), *baseline)
    assert saving.missing and reason in saving.message and 'saving' not in saving.values


def test_below_95_percent_coverage_there_is_no_single_number() -> None:
    known = sections(worked(), ComparisonBaseline('always_all'))
    account = worked()
    for n in range(50):
        time = 110.0 + n * 0.1
        account.add_reading(time, Reading('total', time, watts=4.0), 0.1)
    found = sections(account, ComparisonBaseline('always_all'))
    for name, keys in {
        'frames': ('joules_per_frame', 'net_joules_per_frame'),
        'first': ('joules_per_decision', 'standard_error_joules'),
        'saving': ('saving', 'standard_error', 'joules_per_frame', 'baseline_joules'),
    }.items():
        section = found[name]
        assert section.missing and 'readings cover only 9' in section.message
        assert all(section.values.get(key) is None for key in keys)
        assert section.values['coverage'] == account.coverage < 0.95
        assert section.values['longest_gap_seconds'] == pytest.approx(10.1)
        assert section.values['failed'] == 0
        assert known[name].values['coverage'] == 1.0


def test_refused_net_energy_says_why() -> None:
    account = Account(1.0)
    for n in range(300):
        if n == 1:
            account.measure_idle(5.0)
        account.add_reading(n * 0.1, Reading('total', n * 0.1, watts=4.0), 0.1)
    idle = sections(account)['idle']
    assert idle.missing and 'within the noise' in idle.message
    assert idle.values['net_joules'] is None and idle.values['watts'] == pytest.approx(4.0)
