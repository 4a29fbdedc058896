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

"""The audit: its bound beside SciPy's, its scale, and when it does not trust the memory."""

from __future__ import annotations

from random import Random

import pytest
from scipy.stats import binom, binomtest

from dual_cnn_ros.cascade.audit import Audit, binomial_cdf, clean_run, LEAST_SCALE, upper_bound

pytestmark = pytest.mark.filterwarnings('error')


@pytest.mark.parametrize(
    ('wrong', 'audits'), [(0, 1), (0, 299), (1, 5), (3, 40), (7, 7), (40, 4000), (900, 20_000)]
)
def test_the_bound_is_that_of_clopper_and_pearson(wrong: int, audits: int) -> None:
    # Of a two-sided interval of 90 %, the upper end has 95 %.
    exact = binomtest(wrong, audits).proportion_ci(0.9, method='exact').high
    assert upper_bound(wrong, audits) == pytest.approx(exact, abs=1e-5)
    for p in (1e-4, 0.01, 0.3, 0.999):
        assert binomial_cdf(wrong, audits, p) == pytest.approx(binom.cdf(wrong, audits, p))


def test_without_an_audit_nothing_is_known() -> None:
    assert upper_bound(0, 0) == 1.0


@pytest.mark.parametrize(('error', 'count'), [(0.01, 299), (0.02, 149)])
def test_so_many_clean_audits_bound_the_error(error: float, count: int) -> None:
    assert clean_run(error) == count
    assert upper_bound(0, count) <= error < upper_bound(0, count - 1)


def make(share: float = 1.0, error: float = 0.01, most: float = 1.0) -> Audit:
    return Audit(share, error, most, Random(0))


def test_the_scale_stays_within_its_limits() -> None:
    audit = make(most=0.9)
    for _ in range(20):
        audit.learn(agrees=False)
    assert audit.scale == LEAST_SCALE
    audit.learn(agrees=True)
    assert audit.scale == pytest.approx(LEAST_SCALE * 1.0035)
    for _ in range(2000):
        audit.learn(agrees=True)
    assert audit.scale == 0.9


@pytest.mark.parametrize('error', [0.01, 0.05])
def test_the_scale_settles_where_the_accepted_share_disagrees(error: float) -> None:
    # Half as much is allowed, and half as many disagree.
    audit, random, disagreed = make(error=error), Random(1), 0
    events = 200_000
    for _ in range(events):
        agrees = random.random() >= 4 * error * audit.scale
        disagreed += not agrees
        audit.learn(agrees)
    assert 0.8 * error < disagreed / events < 1.2 * error


def test_a_memory_that_is_wrong_by_chance_stays_trusted() -> None:
    audit, random = make(), Random(2)
    for _ in range(2000):
        audit.hit()
        audit.audited(random.random() >= 0.005)
        assert audit.is_trusted


def test_a_memory_that_is_wrong_too_often_is_not_trusted_until_it_was_right_for_long() -> None:
    audit = make(share=0.02)
    for _ in range(20):
        audit.hit()
        audit.audited(agrees=False)
    record = audit.record()
    assert not audit.is_trusted and record.recent_bound > 0.9
    for _ in range(clean_run(0.01) - 1):
        assert audit.hit()  # all of them are audited
        audit.audited(agrees=True)
    assert not audit.is_trusted
    audit.hit()
    audit.audited(agrees=True)
    assert audit.is_trusted
    assert sum(audit.hit() for _ in range(10_000)) < 300


def test_the_recent_bound_forgets_what_the_other_does_not() -> None:
    audit = make()
    audit.hit()
    audit.audited(agrees=False)
    for _ in range(10_001):
        audit.hit()
        audit.audited(agrees=True)
    record = audit.record()
    assert (record.hits, record.audits, record.contradictions) == (10_002, 10_002, 1)
    assert record.bound == pytest.approx(upper_bound(1, 10_002))
    assert record.recent_bound == pytest.approx(upper_bound(0, 10_000), abs=1e-5)
