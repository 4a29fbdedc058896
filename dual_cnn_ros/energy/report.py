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

"""The account in words and numbers: one section each for the total, idle, sources and saving."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dual_cnn_ros.energy.account import Account
from dual_cnn_ros.energy.attribution import Estimate, InseparableError, Split
from dual_cnn_ros.energy.integration import LEAST_COVERAGE


@dataclass(frozen=True)
class Baseline:
    """
    What the cascade is compared with.

    name: one of BASELINES. joules, source: for a measured one, the energy of a frame above idle
    and what it was measured on. error: its standard error. scope: what its readings covered,
    where that is known.
    """

    name: str = 'none'
    joules: float = 0.0
    source: str = ''
    error: float = 0.0
    scope: str = ''


@dataclass(frozen=True)
class Section:
    """One part of the report; `missing` where it cannot say what it is for, with why in words."""

    name: str
    message: str
    values: dict[str, object]
    missing: bool = False


def report(account: Account, baseline: Baseline, scope: str, silent: float = 0.0) -> list[Section]:
    """
    Return the sections; a number that is not known is the empty string, never a guess.

    silent: seconds for which readings have been missing, 0 while they come.
    """
    split: Split | str
    try:
        split = account.split()
    except InseparableError as error:
        split = str(error)
    sections = [_total(account, scope, silent), _idle(account), _frames(account)]
    sections += _sources(account, split)
    if baseline.name != 'none':
        sections.append(_saving(account, split, baseline, scope))
    return sections


def _total(account: Account, scope: str, silent: float) -> Section:
    energy = account.energy
    if energy.joules is None:
        message = f'{energy.coverage:.1%} covered, too little for one number'
    else:
        message = f'{energy.joules:.3f} J of the {scope or "unknown scope"}'
    if silent:
        # What was measured before stays true, of a time that has ended.
        message = f'no reading for {silent:.0f} s; until then {message}'
    values: dict[str, object] = {
        'joules': energy.joules,
        'measured_joules': energy.measured,
        'covered_seconds': energy.covered,
        'window_seconds': energy.window,
        'coverage': energy.coverage,
        'least_coverage': LEAST_COVERAGE,
        'longest_gap_seconds': energy.longest_gap,
        'mean_watts': energy.mean_watts,
        'spread_watts': energy.spread_watts,
        'bias_joules': energy.bias,
        'readings': energy.readings,
        'failed': energy.failed,
        'missing': energy.missing,
        'out_of_order': energy.out_of_order,
        'restarts': energy.restarts,
        'silent_seconds': silent,
        'scope': scope,
    }
    return Section('total', message, values, energy.joules is None or silent > 0)


def _idle(account: Account) -> Section:
    idle, net = account.idle, account.net
    values: dict[str, object] = {'note': account.idle_note}
    if idle is None or net is None:
        return Section('idle', f'idle power: {account.idle_note}', values)
    values |= {
        'before_watts': idle.before.mean_watts,
        'after_watts': idle.after.mean_watts if idle.after else None,
        'watts': idle.watts,
        'error_watts': idle.error_watts,
        'gross_joules': net.gross,
        'idle_joules': net.idle,
        'net_joules': net.joules,
        'noise_joules': net.noise,
        'bias_joules': net.bias,
        'refused': net.refused,
    }
    message = net.refused or f'{net.joules:.3f} J above {idle.watts:.3f} W'
    return Section('idle', message, values, bool(net.refused))


def _frames(account: Account) -> Section:
    per_frame = account.joules_per_frame
    message = account.obstacle or 'no decision in a covered window yet'
    if per_frame is not None:
        message = f'{per_frame:.4g} J per frame, idle power included'
    return Section(
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
            **_cover(account),
        },
        per_frame is None,
    )


def _sources(account: Account, split: Split | str) -> Iterator[Section]:
    for name, source in sorted(account.sources.items()):
        busy = account.frame(name)
        cost = None if isinstance(split, str) else split.cost(busy)
        yield Section(
            name,
            split if isinstance(split, str) else f'{_plus_minus(cost)} J per decision above idle',
            {
                'decisions': source.decisions,
                'share': source.decisions / account.decisions,
                'joules_per_decision': cost.value if cost else None,
                'error_joules': cost.error if cost else None,
                **_cover(account),
                **{f'busy_seconds.{part}': seconds for part, seconds in busy.items()},
            },
            cost is None,
        )


def _saving(account: Account, split: Split | str, baseline: Baseline, scope: str) -> Section:
    what = baseline.name.replace('_', ' ')
    values: dict[str, object] = {'baseline': baseline.name, **_cover(account)}
    measured = baseline.joules > 0
    if measured:
        what = f'{baseline.joules:g} J per frame of {baseline.source}'
        values |= {
            'baseline_joules': baseline.joules,
            'baseline_error_joules': baseline.error,
            'baseline_source': baseline.source,
        }
    try:
        if isinstance(split, str):
            raise InseparableError(split)
        if baseline.scope and scope and baseline.scope != scope:
            raise InseparableError(
                f'it was measured in the scope {baseline.scope}, these readings are of the {scope}'
            )
        against: dict[str, float] | Estimate = Estimate(baseline.joules, baseline.error)
        if not measured:
            against = account.baseline(baseline.name)
            cost = split.cost(against)
            values |= {'baseline_joules': cost.value, 'baseline_error_joules': cost.error}
        spent = split.cost(account.frame())
        saving = split.saving(account.frame(), against)
    except InseparableError as error:
        return Section('saving', f'unknown against {what}: {error}', values, True)
    values |= {
        'joules_per_frame': spent.value,
        'error_joules': spent.error,
        'saving': saving.value,
        'error': saving.error,
    }
    message = f'{saving.value:.1%} +- {saving.error:.1%} less than {what}, above idle'
    return Section('saving', message, values)


def _cover(account: Account) -> dict[str, object]:
    """Return how well readings cover what is said of frames and sources."""
    energy = account.energy
    return {
        'coverage': account.coverage,
        'longest_gap_seconds': energy.longest_gap,
        'failed': energy.failed,
    }


def _plus_minus(estimate: Estimate | None) -> str:
    return '' if estimate is None else f'{estimate.value:.3g} +- {estimate.error:.2g}'
