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

"""The cascade with stages that are told what to answer: who is asked, who wins, what is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dual_cnn_ros.cascade.cascade import Cascade, Stage
from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.settings import (
    ALWAYS_DEFER,
    Criterion,
    MemorySettings,
    Rule,
    Settings,
)

pytestmark = pytest.mark.filterwarnings('error')

SURE_OF_0 = (0.9, 0.06, 0.04)
UNSURE_OF_0 = (0.5, 0.3, 0.2)
UNSURE_OF_1 = (0.25, 0.5, 0.25)
SURE_OF_2 = (0.0625, 0.0625, 0.875)
NAMES = ('first', 'second', 'third', 'fourth')


class FakeCnn:
    """Gives its answers in turn, the last one for ever, and keeps the frames that it was shown."""

    def __init__(self, *answers: tuple[float, ...] | Exception) -> None:
        self.answers, self.asked = list(answers), list[Frame]()

    def __call__(self, frame: Frame) -> np.ndarray:
        self.asked.append(frame)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return np.array(answer, dtype=np.float32)


def thresholds(*values: float, score: str = 'max_probability') -> tuple[Criterion, ...]:
    return tuple(Criterion(score, value) for value in values)


def make(*cnns: FakeCnn, rule: Rule | None = None, memory: bool = True, **kept: Any) -> Cascade:
    rule = rule or Rule(thresholds(*[0.8] * (len(cnns) - 1)))
    stages = [Stage(name, cnn) for name, cnn in zip(NAMES, cnns)]
    return Cascade(stages, Settings(rule, memory, MemorySettings(**{'audit': 0.0, **kept})))


def decide(*answers: tuple[float, ...], rule: Rule | None = None) -> Decision:
    """Decide about one frame, by one CNN for each answer."""
    return make(*map(FakeCnn, answers), rule=rule).classify(frame())


def frame() -> Frame:
    return Frame(np.random.default_rng(0).integers(0, 256, (16, 18, 3), dtype=np.uint8))


# One loop for every cascade ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ('criteria', 'check', 'answers', 'source', 'winner'),
    [
        # One CNN.
        ((), 'more_confident', [UNSURE_OF_0], 'first', 'first'),
        # Dual CNN.
        (thresholds(0.8), 'more_confident', [SURE_OF_0, SURE_OF_2], 'first', 'first'),
        (thresholds(0.8), 'more_confident', [UNSURE_OF_0, SURE_OF_2], 'second', 'second'),
        (thresholds(0.8), 'more_confident', [(0.7, 0.3), (0.4, 0.6)], 'second', 'first'),
        # big/LITTLE: the big CNN has the last word, however unsure it is.
        (thresholds(0.8), 'none', [SURE_OF_0, SURE_OF_2], 'first', 'first'),
        (thresholds(0.8), 'none', [(0.7, 0.3), (0.4, 0.6)], 'second', 'second'),
        # A cascade of N: each stage's own score against its own threshold.
        (thresholds(0.9, 0.5), 'none', [UNSURE_OF_0, UNSURE_OF_1, SURE_OF_2], 'second', 'second'),
        (thresholds(0.8, 0.7), 'none', [UNSURE_OF_0, UNSURE_OF_1, SURE_OF_2], 'third', 'third'),
        (thresholds(0.8, 0.7), 'average', [SURE_OF_0, SURE_OF_2, SURE_OF_2], 'first', 'first'),
        # Surer than the second stage, the first one is not asked again whether it is sure.
        (
            thresholds(0.95, 0.8),
            'more_confident',
            [SURE_OF_0, UNSURE_OF_1, SURE_OF_2],
            'third',
            'first',
        ),
        (
            thresholds(0.8, 0.8, 0.8),
            'average',
            [UNSURE_OF_0, UNSURE_OF_1, SURE_OF_2, SURE_OF_0],
            'third',
            'average',
        ),
    ],
)
def test_dual_cnn_big_little_and_cascades_of_n_are_one_loop(
    criteria: tuple[Criterion, ...],
    check: str,
    answers: list[tuple[float, ...]],
    source: str,
    winner: str,
) -> None:
    cnns = [FakeCnn(answer) for answer in answers]
    shown = frame()
    decision = make(*cnns, rule=Rule(criteria, check)).classify(shown)
    assert (decision.source, decision.winner) == (source, winner)
    asked = NAMES[: NAMES.index(source) + 1]
    # The stages share the frame, and with it what was made of it.
    expected = [[shown] if name in asked else [] for name in NAMES[: len(cnns)]]
    assert [cnn.asked for cnn in cnns] == expected
    assert decision.scores == {
        name: pytest.approx(max(answer)) for name, answer in zip(asked, answers)
    }
    assert tuple(decision.seconds) == ('memory', *asked)
    compared = [criterion.threshold for criterion in criteria[: len(asked)]]
    assert decision.threshold == (compared[-1] if compared else None)


def test_a_decision_holds_the_answer_of_the_winner() -> None:
    decision = decide(UNSURE_OF_0, SURE_OF_2)
    assert (decision.label, decision.score, decision.distance) == (2, 0.875, None)
    assert all(0 <= seconds < 60 for seconds in decision.seconds.values())
    assert decision.probabilities.dtype == np.float32
    np.testing.assert_array_equal(decision.probabilities, SURE_OF_2)


# When a stage is sure ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('answer', 'score', 'threshold', 'source'),
    [
        # Of (0.5, 0.3, 0.2): largest 0.5, difference 0.2, 1 - H / ln 3 = 0.0627.
        (UNSURE_OF_0, 'max_probability', 0.0, 'first'),
        (UNSURE_OF_0, 'max_probability', 0.5, 'first'),
        (UNSURE_OF_0, 'max_probability', 0.5000001, 'second'),
        (UNSURE_OF_0, 'difference', 0.19, 'first'),
        (UNSURE_OF_0, 'difference', 0.21, 'second'),
        (UNSURE_OF_0, 'entropy', 0.06, 'first'),
        (UNSURE_OF_0, 'entropy', 0.07, 'second'),
        ((1, 0, 0), 'max_probability', 1.0, 'first'),
        ((1, 0, 0), 'max_probability', ALWAYS_DEFER, 'second'),
    ],
)
def test_a_stage_is_sure_where_its_score_reaches_its_threshold(
    answer: tuple[float, ...], score: str, threshold: float, source: str
) -> None:
    rule = Rule(thresholds(threshold, score=score))
    assert decide(answer, SURE_OF_2, rule=rule).source == source


@pytest.mark.parametrize(
    ('scores', 'winner', 'confidence', 'found'),
    [
        # The third is the surest by the largest probability, the second by the difference.
        (('max_probability', 'difference'), 'third', 0.55, (0.4, 0.4, 0.55)),
        (('difference', 'max_probability'), 'second', 0.4, (0.05, 0.5, 0.1)),
    ],
)
def test_each_stage_has_a_score_of_its_own_and_the_first_ones_compares_answers(
    scores: tuple[str, str], winner: str, confidence: float, found: tuple[float, ...]
) -> None:
    decision = decide(
        (0.4, 0.35, 0.25),
        (0.5, 0.1, 0.1, 0.1, 0.1, 0.1),
        (0.55, 0.45, 0, 0, 0, 0),
        rule=Rule(tuple(Criterion(score, 0.6) for score in scores)),
    )
    assert (decision.winner, decision.score) == (winner, pytest.approx(confidence))
    assert decision.scores == pytest.approx(dict(zip(NAMES, found)))


# Post-check --------------------------------------------------------------------------------------


def test_more_confident_takes_the_earlier_of_equals() -> None:
    decision = decide((0.75, 0.25), (0.25, 0.75))
    assert (decision.label, decision.winner, decision.source) == (0, 'first', 'second')


def test_average_is_the_mean_of_the_distributions() -> None:
    decision = decide((0.5, 0.375, 0.125), (0.0, 0.5, 0.5), rule=Rule(thresholds(0.8), 'average'))
    np.testing.assert_array_equal(decision.probabilities, [0.25, 0.4375, 0.3125])
    assert decision.probabilities.dtype == np.float32
    assert (decision.label, decision.score) == (1, 0.4375)


# How sure a decision is --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('check', 'answers', 'margin', 'is_overruled'),
    [
        # The first two probabilities of the answer.
        ('more_confident', [SURE_OF_0, SURE_OF_2], 0.84, False),
        ('none', [UNSURE_OF_0, (0.6, 0.2, 0.2)], 0.4, False),
        ('average', [UNSURE_OF_0, (0.75, 0.15, 0.1)], 0.4, False),
        # Where a stage contradicts it, the scores of the two,
        ('more_confident', [(0.25, 0.7, 0.05), (0.04, 0.06, 0.9)], 0.1, False),
        ('more_confident', [(0.6, 0.4, 0.0), (0.1, 0.55, 0.35)], 0.05, True),
        # and the threshold at which it would not have been asked.
        ('more_confident', [(0.75, 0.25), (0.05, 0.95)], 0.05, False),
        ('none', [(0.7, 0.3), (0.1, 0.9)], 0.1, False),
        ('average', [(0.6, 0.4), (0.1, 0.9)], 0.2, False),
        ('average', [(0.75, 0.25), (0.4, 0.6)], 0.15, True),
    ],
)
def test_a_decision_says_how_far_it_is_from_another_one(
    check: str, answers: list[tuple[float, ...]], margin: float, is_overruled: bool
) -> None:
    decision = decide(*answers, rule=Rule(thresholds(0.8), check))
    assert decision.margin == pytest.approx(margin, abs=1e-6)
    assert decision.overruled == is_overruled


# The memory --------------------------------------------------------------------------------------


def test_a_repeated_frame_asks_nobody() -> None:
    first, second = FakeCnn(UNSURE_OF_0), FakeCnn(SURE_OF_2)
    cascade = make(first, second)
    decided = cascade.classify(frame())
    for _ in range(2):
        repeated = cascade.classify(frame())
        assert (repeated.label, repeated.score, repeated.winner) == (2, 0.875, 'second')
        assert (repeated.source, repeated.distance, repeated.threshold) == ('memory', 0, None)
        assert repeated.scores == {} and list(repeated.seconds) == ['memory']
        assert repeated.probabilities is decided.probabilities
    assert len(first.asked) == len(second.asked) == 1
    assert decided.source == 'second'  # what was remembered did not change


def test_a_frame_that_is_audited_is_computed_and_says_what_it_resembles() -> None:
    first, second = FakeCnn(UNSURE_OF_0), FakeCnn(SURE_OF_2)
    cascade = make(first, second, audit=1.0)
    assert cascade.classify(frame()).distance is None
    audited = cascade.classify(frame())
    assert (audited.source, audited.distance, audited.age) == ('second', 0.0, None)
    assert list(audited.seconds) == ['memory', 'first', 'second']
    assert len(first.asked) == 2 and len(cascade.memory) == 1


def test_each_camera_has_a_memory_of_its_own() -> None:
    cascade = make(FakeCnn(SURE_OF_0))
    cameras = ('left', 'right', 'left', '')
    found = [cascade.classify(frame(), camera).source for camera in cameras]
    assert found == ['first', 'first', 'memory', 'first']


def test_without_memory_no_frame_is_remembered_or_recalled() -> None:
    cascade = make(FakeCnn(SURE_OF_0), memory=False)
    decisions = [cascade.classify(frame()) for _ in range(2)]
    assert [decision.source for decision in decisions] == ['first'] * 2
    assert list(decisions[1].seconds) == ['first'] and len(cascade.memory) == 0


@pytest.mark.parametrize('failing', [0, 1])
def test_what_a_stage_raises_is_passed_on_and_nothing_is_remembered(failing: int) -> None:
    cnns = [FakeCnn(UNSURE_OF_0), FakeCnn(SURE_OF_2)]
    cnns[failing].answers.insert(0, RuntimeError('out of memory'))
    cascade = make(*cnns)
    with pytest.raises(RuntimeError, match='out of memory'):
        cascade.classify(frame())
    assert len(cascade.memory) == 0
    assert cascade.classify(frame()).source == 'second'


# Settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('change', 'is_kept'),
    [
        ({'rule': Rule(thresholds(0.8, score='entropy'))}, False),
        ({'rule': Rule(thresholds(0.7))}, True),
        ({'rule': Rule(thresholds(0.8), 'none')}, False),
        ({'remember': MemorySettings('invariants', audit=0.0)}, False),
        ({'remember': MemorySettings(capacity=7, audit=0.0)}, True),
        ({'remember': MemorySettings(max_age=100.0, audit=0.0)}, True),
        ({'memory': False}, True),
        ({}, True),
    ],
    ids=str,
)
def test_another_score_post_check_or_fingerprint_forgets_the_answers_and_nothing_else_does(
    change: dict[str, Any], is_kept: bool
) -> None:
    cascade = make(FakeCnn(SURE_OF_0), FakeCnn(SURE_OF_2), capacity=5, max_age=50.0)
    cascade.classify(frame())
    changed = replace(cascade.settings, **change)
    cascade.settings = changed
    assert cascade.memory.settings == changed.remember
    assert len(cascade.memory) == is_kept
    cascade.settings = replace(changed, memory=True)
    assert (cascade.classify(frame()).source == 'memory') == is_kept
    turned = Frame(np.ascontiguousarray(np.rot90(frame().image)))
    assert (cascade.classify(turned).source == 'memory') == (
        changed.remember.fingerprint == 'invariants'
    )


@pytest.mark.parametrize(
    ('asked', 'before', 'after', 'stands'),
    [
        # Of the first stage, which is sure at 0.6, whether it is sure enough now.
        ('first', (0.5, 0.9), (0.55, 0.2), True),
        ('first', (0.5, 0.9), (0.65, 0.9), False),
        # Of the second, which is sure at 0.7; that the first would do now is no reason to ask it.
        ('second', (0.65, 0.6), (0.5, 0.9), False),
        ('second', (0.65, 0.6), (0.5, 0.65), True),
        ('second', (0.65, 0.6), (0.9, 0.69), True),
        # More than all cannot be asked.
        ('third', (0.9, 0.9), (0.1, 0.1), True),
        ('third', (0.9, 0.9), (0.95, 1.0), True),
    ],
)
def test_under_other_thresholds_an_answer_stands_where_no_more_would_be_asked(
    asked: str, before: tuple[float, ...], after: tuple[float, ...], stands: bool
) -> None:
    answers = [0.6, 0.4, 0.0], [0.7, 0.3, 0.0], [0.0, 0.0, 1.0]
    cascade = make(*map(FakeCnn, answers), rule=Rule(thresholds(*before), 'none', 'one'))
    decision = cascade.classify(frame())
    assert (decision.source, decision.operating_point) == (asked, 'one')
    cascade.settings = replace(cascade.settings, rule=Rule(thresholds(*after), 'none', 'other'))
    again = cascade.classify(frame())
    assert again.operating_point == 'other' and (again.source == 'memory') == stands
    assert len(cascade.memory) == 1, 'one that does not stand is replaced'
    assert cascade.classify(frame()).source == 'memory'


def test_an_audit_under_a_cheaper_rule_does_not_contradict_an_answer_of_more_stages() -> None:
    cascade = make(
        *(FakeCnn(UNSURE_OF_0), FakeCnn(SURE_OF_2)),
        rule=Rule(thresholds(0.8), 'none', 'dear'),
        audit=1.0,
    )
    assert cascade.classify(frame()).label == 2
    cheap = replace(cascade.settings, rule=Rule(thresholds(0.1), 'none', 'cheap'))
    cascade.settings = cheap
    assert cascade.classify(frame()).label == 0
    (record,) = cascade.memory.records()
    assert (record.audits, record.contradictions) == (0, 0)
    cascade.settings = replace(cheap, remember=replace(cheap.remember, audit=0.0))
    assert cascade.classify(frame()).label == 2, 'what more stages said is remembered'


@pytest.mark.parametrize(
    'change',
    [
        {'rule': Rule(thresholds(0.4), 'none')},
        {'remember': MemorySettings('invariants', audit=0.0)},
    ],
    ids=str,
)
def test_a_frame_is_finished_under_the_settings_it_began_with(change: dict[str, Any]) -> None:
    def swap_meanwhile(frame: Frame) -> np.ndarray:
        cascade.settings = after
        return np.array(UNSURE_OF_0, np.float32)

    # Without audits, whose turn is a matter of chance.
    before = Settings(Rule(thresholds(0.8)), remember=MemorySettings(audit=0.0))
    after = replace(before, **change)
    cascade = Cascade(
        [Stage('first', swap_meanwhile), Stage('second', FakeCnn(SURE_OF_2))], before
    )
    assert cascade.classify(frame()).source == 'second'
    # Nor is it remembered under others, even where a frame that they decided on is.
    assert cascade.settings is after and len(cascade.memory) == 0
    assert cascade.stages[0].threshold == after.rule.criteria[0].threshold
    assert cascade.classify(frame()).source == ('first' if 'rule' in change else 'second')
    assert cascade.classify(frame()).source == 'memory'


@pytest.mark.parametrize(('stages', 'criteria'), [(0, 0), (1, 1), (2, 0), (2, 2), (3, 1)])
def test_a_rule_has_one_criterion_for_each_stage_but_the_last(stages: int, criteria: int) -> None:
    message = f'{stages} stages need one threshold for each but the last, not {criteria}'
    rule = Rule(thresholds(*[0.5] * criteria))
    with pytest.raises(ValueError, match=message):
        make(*[FakeCnn(SURE_OF_0)] * stages, rule=rule)
    if stages:
        cascade = make(*[FakeCnn(SURE_OF_0)] * stages)
        cascade.classify(frame())
        before = cascade.settings
        with pytest.raises(ValueError, match=message):
            cascade.settings = replace(before, rule=rule)
        assert cascade.settings is before and len(cascade.memory) == 1


@pytest.mark.parametrize(
    ('kind', 'field', 'value', 'message'),
    [
        (Criterion, 'score', 'margin', "one of max_probability, .*, selector, not 'margin'"),
        (Criterion, 'threshold', -0.1, r'in \[0, 1\], not -0.1'),
        (Criterion, 'threshold', 1.1, r'in \[0, 1\], not 1.1'),
        (Criterion, 'threshold', float('nan'), r'in \[0, 1\]'),
        (Rule, 'post_check', 'vote', "one of none, more_confident, average, not 'vote'"),
        (MemorySettings, 'fingerprint', 'md5', "one of thumbnail, dhash, invariants, not 'md5'"),
        (MemorySettings, 'capacity', 0, 'at least 1 frame, not 0'),
        (MemorySettings, 'max_age', -1.0, r'0 \(never\) or positive seconds, not -1.0'),
        (MemorySettings, 'max_age', float('inf'), '0 .* or positive seconds, not inf'),
        (MemorySettings, 'max_age', float('nan'), '0 .* or positive seconds, not nan'),
        (MemorySettings, 'audit', 1.1, r'in \[0, 1\], not 1.1'),
        (MemorySettings, 'error', 0.0, 'between 0 and 1, not 0.0'),
        (MemorySettings, 'difference', -1.0, 'grey levels from 0 on, not -1.0'),
        (MemorySettings, 'difference_per_margin', float('nan'), 'grey levels from 0 on, not nan'),
        (MemorySettings, 'brightness', float('inf'), 'grey levels from 0 on, not inf'),
        (MemorySettings, 'scale', 0.01, r'in \[0.015625, 1\], not 0.01'),
        (MemorySettings, 'patience', -1, 'frames from 0 on, not -1'),
    ],
)
def test_a_wrong_setting_is_named(kind: Any, field: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f'^{field} must be {message}'):
        kind(**{field: value})
