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

from dataclasses import replace

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
            account.add_decision(time + 0.099, 'second' if slow else 'first', busy)
    return account


def test_nothing_known() -> None:
    found = sections(Account(1.0), ComparisonBaseline('always_both'))
    assert list(found) == ['total', 'idle', 'frames', 'saving']
    for name, keys in {
        'total': ('joules', 'mean_watts', 'standard_error_watts', 'bias_joules'),
        'frames': ('joules_per_frame', 'net_joules_per_frame'),
    }.items():
        assert found[name].missing
        assert all(found[name].values[key] is None for key in keys)
    assert found['idle'].message == 'idle power: never measured'
    assert found['saving'].missing
    assert 'unknown against always both: no window' in found['saving'].message


def test_everything_known() -> None:
    found = sections(worked(), ComparisonBaseline('always_both'))
    assert not [section.name for section in found.values() if section.missing]
    assert 'J of the module' in found['total'].message
    assert found['idle'].message.endswith('J above 4.000 W')
    for name, baseline in (('first', None), ('second', 'always_both')):
        values = found[name].values
        true = 3.0 * values['busy_seconds.first']  # type: ignore[operator]
        true += 7.0 * values.get('busy_seconds.second', 0.0)  # type: ignore[operator]
        assert values['joules_per_decision'] == pytest.approx(true, rel=0.05)
        if baseline:
            assert found['saving'].values['baseline_joules'] == pytest.approx(0.3, rel=0.1)
    assert found['first'].values['share'] == pytest.approx(0.5, abs=0.1)


def test_silence_is_said_beside_what_was_measured_before() -> None:
    account = worked()
    total = energy_report(account, ComparisonBaseline(), 'module', 45.2)[0]
    assert total.missing and total.values['silent_seconds'] == 45.2
    assert total.message.startswith('no reading for 45 s; until then')
    assert total.values['joules'] == account.energy.joules


def test_saving_says_against_what() -> None:
    account = worked()
    assert 'saving' not in sections(account)
    saving = sections(account, ComparisonBaseline('measured', 0.5, 'ResNet-50 on this board'))[
        'saving'
    ]
    assert 'less than 0.5 J per frame of ResNet-50 on this board' in saving.message
    assert saving.values['baseline_source'] == 'ResNet-50 on this board'
    used = account.fit().cost(account.mean_busy_seconds()).value
    assert saving.values['saving'] == pytest.approx(1 - used / 0.5)
    # Against what costs less than the cascade, it is a loss and says so.
    assert sections(account, ComparisonBaseline('measured', 0.05, 'x'))[
        'saving'
    ].message.startswith('-')


def test_saving_against_what_was_measured_in_another_scope_is_unknown() -> None:
    account = worked()
    stored = ComparisonBaseline('bundle', 0.5, 'ResNet-50 (a board, 2026)', 0.01, 'module')
    saving = sections(account, stored)['saving']
    assert not saving.missing and 'less than 0.5 J per frame of ResNet-50' in saving.message
    assert saving.values['standard_error'] == pytest.approx(
        0.02 * (1 - saving.values['saving']), rel=0.5
    )  # type: ignore[operator]
    other = sections(account, replace(stored, scope='cpu package'))['saving']
    assert other.missing and 'scope cpu package, these readings are of the module' in other.message


def test_below_95_percent_coverage_there_is_no_single_number() -> None:
    known = sections(worked(), ComparisonBaseline('always_both'))
    account = worked()
    for n in range(50):
        time = 110.0 + n * 0.1
        account.add_reading(time, Reading('total', time, watts=4.0), 0.1)
    found = sections(account, ComparisonBaseline('always_both'))
    for name, keys in {
        'frames': ('joules_per_frame', 'net_joules_per_frame'),
        'first': ('joules_per_decision', 'standard_error_joules'),
        'second': ('joules_per_decision', 'standard_error_joules'),
        'saving': ('saving', 'standard_error', 'joules_per_frame', 'baseline_joules'),
    }.items():
        section = found[name]
        assert section.missing and 'readings cover only 9' in section.message
        assert all(section.values.get(key) is None for key in keys)
        assert section.values['coverage'] == account.coverage < 0.95
        assert section.values['longest_gap_seconds'] == pytest.approx(10.1)
        assert section.values['failed'] == 0
        assert known[name].values['coverage'] == 1.0


def test_saving_against_a_cnn_that_never_ran_is_unknown() -> None:
    for name in ('always_both', 'always_second'):
        saving = sections(worked(second=False), ComparisonBaseline(name))['saving']
        assert saving.missing and 'second has not run yet' in saving.message
        assert 'saving' not in saving.values


def test_refused_net_energy_says_why() -> None:
    account = Account(1.0)
    for n in range(300):
        if n == 1:
            account.measure_idle(5.0)
        account.add_reading(n * 0.1, Reading('total', n * 0.1, watts=4.0), 0.1)
    idle = sections(account)['idle']
    assert idle.missing and 'within the noise' in idle.message
    assert idle.values['net_joules'] is None and idle.values['watts'] == pytest.approx(4.0)
