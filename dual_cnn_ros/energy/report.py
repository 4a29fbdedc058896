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

"""The energy account in words and numbers, in sections: total, idle, frames, sources, saving."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from dual_cnn_ros.energy.account import Account
from dual_cnn_ros.energy.attribution import Estimate, InseparableError, PowerFit
from dual_cnn_ros.energy.integration import LEAST_COVERAGE

BASELINES = ('none', 'always_all', 'always_last', 'measured', 'bundle')


@dataclass(frozen=True)
class ComparisonBaseline:
    """
    What the cascade is compared with.

    Attributes
    ----------
    name
        One of BASELINES.
    joules
        Of one frame above idle, where that was measured; 0 otherwise.
    source
        What was measured, and on which machine.
    standard_error
        Of `joules`.
    scope
        Of the readings of the measurement; empty where it is unknown.

    """

    name: str = 'none'
    joules: float = 0.0
    source: str = ''
    standard_error: float = 0.0
    scope: str = ''


@dataclass(frozen=True)
class ReportSection:
    """
    One section of the report.

    Attributes
    ----------
    name
        'total', 'idle', 'frames', the name of a source, or 'saving'.
    message
        Its main figure in words, or why there is none.
    values
        All figures, by key; None for one that is unknown.
    missing
        Whether the main figure is missing.

    """

    name: str
    message: str
    values: dict[str, object]
    missing: bool = False


def energy_report(
    account: Account, baseline: ComparisonBaseline, scope: str, silent: float = 0.0
) -> list[ReportSection]:
    """
    Return the sections of the report.

    Parameters
    ----------
    account
        What to report.
    baseline
        What the saving is stated against; there is no such section for 'none'.
    scope
        Of the readings.
    silent
        Seconds since the last reading where one is overdue, else 0.

    """
    fit: PowerFit | str
    try:
        fit = account.fit()
    except InseparableError as error:
        fit = str(error)
    sections = [_total(account, scope, silent), _idle(account), _frames(account)]
    sections += _sources(account, fit)
    if baseline.name != 'none':
        sections.append(_saving(account, fit, baseline, scope))
    return sections


def _total(account: Account, scope: str, silent: float) -> ReportSection:
    energy = account.energy
    if energy.joules is None:
        message = f'{energy.coverage:.1%} covered, too little for one number'
        if energy.fault:
            message += f': {energy.fault}'
    else:
        message = f'{energy.joules:.3f} J of the {scope or "unknown scope"}'
    if silent:
        # The energy until then stays true.
        message = f'no reading for {silent:.0f} s; until then {message}'
    values: dict[str, object] = {
        'joules': energy.joules,
        **asdict(energy),
        'coverage': energy.coverage,
        'least_coverage': LEAST_COVERAGE,
        'mean_watts': energy.mean_watts,
        'silent_seconds': silent,
        'scope': scope,
    }
    return ReportSection('total', message, values, energy.joules is None or silent > 0)


def _idle(account: Account) -> ReportSection:
    idle, net = account.idle, account.net
    values: dict[str, object] = {'note': account.idle_note}
    if idle is None or net is None:
        return ReportSection('idle', f'idle power: {account.idle_note}', values)
    values |= {
        'before_watts': idle.before.mean_watts,
        'after_watts': idle.after.mean_watts if idle.after else None,
        'watts': idle.watts,
        'standard_error_watts': idle.standard_error_watts,
        **asdict(net),
    }
    message = net.refused or f'{net.net_joules:.3f} J above {idle.watts:.3f} W'
    return ReportSection('idle', message, values, bool(net.refused))


def _frames(account: Account) -> ReportSection:
    per_frame = account.joules_per_frame
    message = account.obstacle or 'no decision in a covered window yet'
    if per_frame is not None:
        message = f'{per_frame:.4g} J per frame, idle power included'
    return ReportSection(
        'frames',
        message,
        {
            'decisions': account.decisions,
            'unmatched': account.unmatched,
            'waiting': account.waiting,
            'joules_per_frame': per_frame,
            'net_joules_per_frame': account.net_joules_per_frame,
            'windows': account.used_windows,
            'uncovered_windows': account.uncovered_windows,
            **_coverage(account),
        },
        per_frame is None,
    )


def _sources(account: Account, fit: PowerFit | str) -> Iterator[ReportSection]:
    for name, source in sorted(account.sources.items()):
        busy = account.mean_busy_seconds(name)
        cost = None if isinstance(fit, str) else fit.cost(busy)
        yield ReportSection(
            name,
            fit if isinstance(fit, str) else f'{_plus_minus(cost)} J per decision above idle',
            {
                'decisions': source.decisions,
                'share': source.decisions / account.decisions,
                'joules_per_decision': cost.value if cost else None,
                'standard_error_joules': cost.standard_error if cost else None,
                **_coverage(account),
                **{f'busy_seconds.{part}': seconds for part, seconds in busy.items()},
            },
            cost is None,
        )


def _saving(
    account: Account, fit: PowerFit | str, baseline: ComparisonBaseline, scope: str
) -> ReportSection:
    what = baseline.name.replace('_', ' ')
    values: dict[str, object] = {'baseline': baseline.name, **_coverage(account)}
    measured = baseline.joules > 0
    if measured:
        what = f'{baseline.joules:g} J per frame of {baseline.source}'
        values |= {
            'baseline_joules': baseline.joules,
            'baseline_standard_error_joules': baseline.standard_error,
            'baseline_source': baseline.source,
        }
    try:
        if isinstance(fit, str):
            raise InseparableError(fit)
        if baseline.scope and scope and baseline.scope != scope:
            raise InseparableError(
                f'it was measured in the scope {baseline.scope}, these readings are of the {scope}'
            )
        against: dict[str, float] | Estimate = Estimate(baseline.joules, baseline.standard_error)
        if not measured:
            against = account.baseline_busy_seconds(baseline.name)
            cost = fit.cost(against)
            values |= {
                'baseline_joules': cost.value,
                'baseline_standard_error_joules': cost.standard_error,
            }
        busy = account.mean_busy_seconds()
        spent, saving = fit.cost(busy), fit.saving(busy, against)
    except InseparableError as error:
        return ReportSection('saving', f'unknown against {what}: {error}', values, True)
    values |= {
        'joules_per_frame': spent.value,
        'standard_error_joules': spent.standard_error,
        'saving': saving.value,
        'standard_error': saving.standard_error,
    }
    message = f'{saving.value:.1%} +- {saving.standard_error:.1%} less than {what}, above idle'
    return ReportSection('saving', message, values)


def _coverage(account: Account) -> dict[str, object]:
    """Return how well readings cover the windows from which the figures of a section come."""
    energy = account.energy
    return {
        'coverage': account.coverage,
        'longest_gap_seconds': energy.longest_gap_seconds,
        'failed': energy.failed,
    }


def _plus_minus(estimate: Estimate | None) -> str:
    return '' if estimate is None else f'{estimate.value:.3g} +- {estimate.standard_error:.2g}'
