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
from itertools import zip_longest
from typing import Any

import numpy as np
import pytest

from dual_cnn_ros.cascade.cascade import Cascade, post_check, Stage
from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.scores import SCORES
from dual_cnn_ros.cascade.settings import POST_CHECKS, Settings

pytestmark = pytest.mark.filterwarnings('error')

SURE_OF_0 = (0.9, 0.06, 0.04)
UNSURE_OF_0 = (0.5, 0.3, 0.2)
UNSURE_OF_1 = (0.25, 0.5, 0.25)
SURE_OF_2 = (0.0625, 0.0625, 0.875)

Answer = tuple[float, ...] | Exception


class FakeStage:
    """Gives its answers in turn, the last one for ever, and counts how often it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.asked = list(answers), 0

    def __call__(self, frame: Frame) -> np.ndarray:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return np.array(answer, dtype=np.float32)


def make(*stages: FakeStage, **settings: Any) -> Cascade:
    thresholds = (0.8,) * (len(stages) - 1)
    names = ('first', 'second', 'third')
    return Cascade(
        [Stage(name, stage) for name, stage in zip(names, stages)],
        Settings(**{'thresholds': thresholds, **settings}),
    )


def frame(seed: int = 0) -> Frame:
    return Frame(np.random.default_rng(seed).integers(0, 256, (16, 18, 3), dtype=np.uint8))


def flat() -> Frame:
    return Frame(np.full((16, 18, 3), 60, dtype=np.uint8))


# Who is asked ------------------------------------------------------------------------------------


def test_a_sure_first_stage_is_the_only_one_asked() -> None:
    first, second = FakeStage(SURE_OF_0), FakeStage(SURE_OF_2)
    decision = make(first, second).classify(frame())
    assert (first.asked, second.asked) == (1, 0)
    assert (decision.label, decision.source, decision.winner) == (0, 'first', 'first')
    assert decision.score == pytest.approx(0.9)
    assert decision.scores == {'first': decision.score}
    assert list(decision.seconds) == ['fingerprint', 'memory', 'first']
    assert all(seconds >= 0 for seconds in decision.seconds.values())
    assert decision.distance is None
    np.testing.assert_array_equal(decision.probabilities, np.array(SURE_OF_0, np.float32))


def test_the_second_stage_is_asked_where_the_first_is_unsure() -> None:
    first, second = FakeStage(UNSURE_OF_0), FakeStage(SURE_OF_2)
    decision = make(first, second).classify(frame())
    assert (first.asked, second.asked) == (1, 1)
    assert (decision.label, decision.source, decision.winner) == (2, 'second', 'second')
    assert decision.scores == {'first': 0.5, 'second': 0.875}
    assert list(decision.seconds) == ['fingerprint', 'memory', 'first', 'second']


@pytest.mark.parametrize(
    ('threshold', 'asked'), [(0.0, 0), (0.49, 0), (0.5, 0), (0.5000001, 1), (1.0, 1)]
)
def test_a_score_at_the_threshold_is_accepted(threshold: float, asked: int) -> None:
    second = FakeStage(SURE_OF_2)
    make(FakeStage(UNSURE_OF_0), second, thresholds=(threshold,)).classify(frame())
    assert second.asked == asked


@pytest.mark.parametrize(
    ('score', 'threshold', 'asked'),
    [
        ('max_probability', 0.51, True),
        ('difference', 0.19, False),
        ('difference', 0.21, True),
        ('entropy', 0.06, False),
        ('entropy', 0.07, True),
    ],
)
def test_every_score_is_compared_as_higher_is_surer(
    score: str, threshold: float, asked: bool
) -> None:
    # Of (0.5, 0.3, 0.2): largest 0.5, difference 0.2, 1 - H / ln 3 = 0.0627.
    second = FakeStage(SURE_OF_2)
    make(FakeStage(UNSURE_OF_0), second, score=score, thresholds=(threshold,)).classify(frame())
    assert second.asked == asked


def test_one_stage_alone_is_a_cascade() -> None:
    decision = make(FakeStage(UNSURE_OF_0)).classify(frame())
    assert (decision.label, decision.source) == (0, 'first')
    assert decision.scores == {'first': 0.5}


def test_three_stages_stop_at_the_first_sure_one() -> None:
    for answers, deepest in (
        ((SURE_OF_0, SURE_OF_0, SURE_OF_0), 'first'),
        ((UNSURE_OF_0, SURE_OF_2, SURE_OF_0), 'second'),
        ((UNSURE_OF_0, UNSURE_OF_1, SURE_OF_2), 'third'),
    ):
        stages = [FakeStage(answer) for answer in answers]
        decision = make(*stages).classify(frame())
        assert decision.source == deepest
        assert list(decision.scores) == ['first', 'second', 'third'][: len(decision.scores)]
        assert [stage.asked for stage in stages] == [
            int(i < len(decision.scores)) for i in range(3)
        ]


def test_each_stage_has_a_threshold_of_its_own() -> None:
    stages = [FakeStage(UNSURE_OF_0), FakeStage(UNSURE_OF_1), FakeStage(SURE_OF_2)]
    decision = make(*stages, thresholds=(0.9, 0.45), post_check='none').classify(frame())
    assert decision.source == 'second'


def test_the_last_stage_needs_no_threshold() -> None:
    decision = make(FakeStage(UNSURE_OF_0), FakeStage(UNSURE_OF_1), post_check='none').classify(
        frame()
    )
    assert (decision.label, decision.source) == (1, 'second')


@pytest.mark.parametrize(
    ('stages', 'thresholds'), [(0, ()), (1, (0.5,)), (2, ()), (2, (0.5, 0.5)), (3, (0.5,))]
)
def test_thresholds_must_match_the_stages(stages: int, thresholds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match='one threshold for each but the last'):
        make(*[FakeStage(SURE_OF_0)] * stages, thresholds=thresholds)


# Post-check --------------------------------------------------------------------------------------


def test_without_post_check_the_last_asked_has_the_last_word() -> None:
    decision = make(FakeStage((0.7, 0.3)), FakeStage((0.4, 0.6)), post_check='none').classify(
        frame()
    )
    assert (decision.label, decision.winner) == (1, 'second')
    assert decision.score == pytest.approx(0.6)


def test_with_post_check_the_more_confident_wins_and_both_are_paid_for() -> None:
    decision = make(FakeStage((0.7, 0.3)), FakeStage((0.4, 0.6))).classify(frame())
    assert (decision.label, decision.winner, decision.source) == (0, 'first', 'second')
    assert decision.score == pytest.approx(0.7)
    assert decision.scores == pytest.approx({'first': 0.7, 'second': 0.6})


def test_a_tie_goes_to_the_earlier_stage() -> None:
    decision = make(FakeStage((0.75, 0.25)), FakeStage((0.25, 0.75))).classify(frame())
    assert (decision.label, decision.winner) == (0, 'first')


def test_post_check_compares_the_score_in_use() -> None:
    # Surer by the largest probability, less sure by the difference.
    first, second = (0.5, 0.1, 0.1, 0.1, 0.1, 0.1), (0.55, 0.45, 0.0, 0.0, 0.0, 0.0)
    for score, winner in (
        ('max_probability', 'second'),
        ('difference', 'first'),
        ('entropy', 'second'),
    ):
        decision = make(
            FakeStage(first), FakeStage(second), score=score, thresholds=(1.0,)
        ).classify(frame())
        assert decision.winner == winner


def test_average_is_of_the_distributions() -> None:
    decision = make(
        FakeStage((0.5, 0.375, 0.125)), FakeStage((0.0, 0.5, 0.5)), post_check='average'
    ).classify(frame())
    np.testing.assert_array_equal(decision.probabilities, [0.25, 0.4375, 0.3125])
    assert decision.probabilities.dtype == np.float32
    assert (decision.label, decision.winner, decision.source) == (1, 'average', 'second')
    assert decision.score == 0.4375
    assert decision.scores == {'first': 0.5, 'second': 0.5}


def test_average_of_one_answer_is_that_answer() -> None:
    decision = make(FakeStage(SURE_OF_0), FakeStage(SURE_OF_2), post_check='average').classify(
        frame()
    )
    assert decision.winner == 'first'


@pytest.mark.parametrize(
    ('rule', 'winner', 'label'),
    [('none', 'third', 2), ('more_confident', 'second', 1), ('average', 'average', 1)],
)
def test_post_check_among_three(rule: str, winner: str, label: int) -> None:
    answers = [
        Decision(np.array(p, np.float32), int(np.argmax(p)), max(p), name, name)
        for name, p in (
            ('first', (0.5, 0.3, 0.2)),
            ('second', (0.1, 0.7, 0.2)),
            ('third', (0.1, 0.3, 0.6)),
        )
    ]
    decision = post_check(answers, rule, SCORES['max_probability'])
    assert (decision.winner, decision.label) == (winner, label)


def test_every_post_check_that_is_offered_works() -> None:
    for rule in POST_CHECKS:
        make(FakeStage(UNSURE_OF_0), FakeStage(UNSURE_OF_1), post_check=rule).classify(frame())


# The learned score -------------------------------------------------------------------------------


def learned(*answers: tuple[float, ...], deferrals: tuple[Any, ...] = (), **settings: Any) -> Any:
    """Decide about a frame by stages of these answers, that have learned these scores."""
    names = ('first', 'second', 'third')
    stages = [
        Stage(name, FakeStage(answer), deferral)
        for name, answer, deferral in zip_longest(names[: len(answers)], answers, deferrals)
    ]
    thresholds = (0.6,) * (len(stages) - 1)
    return Cascade(
        stages, Settings(**{'score': 'deferral', 'thresholds': thresholds, **settings})
    ).classify(frame())


@pytest.mark.parametrize(('answer', 'source'), [(SURE_OF_0, 'second'), (UNSURE_OF_0, 'first')])
def test_what_a_stage_has_learned_decides_whether_the_next_is_asked(
    answer: tuple[float, ...], source: str
) -> None:
    # Against all confidence: sure answers are deferred, unsure ones kept.
    decision = learned(
        answer, SURE_OF_2, deferrals=(lambda p: 1 - p.max(),), post_check='none', thresholds=(0.5,)
    )
    assert decision.source == source
    assert decision.scores['first'] == pytest.approx(1 - answer[0])


def test_a_learned_score_at_the_threshold_is_accepted() -> None:
    for score, source in ((0.6, 'first'), (0.59, 'second')):
        decision = learned(UNSURE_OF_0, SURE_OF_2, deferrals=(lambda p, s=score: s,))
        assert decision.source == source


def test_learned_scores_are_not_held_against_each_other() -> None:
    # Deferred, though surer than the one that is asked then: the surer answer wins.
    decision = learned(SURE_OF_0, SURE_OF_2, deferrals=(lambda p: 0.1, lambda p: 1.0))
    assert (decision.source, decision.winner, decision.label) == ('second', 'first', 0)
    assert decision.score == pytest.approx(0.9)
    assert decision.scores == {'first': 0.1, 'second': 0.875}  # nobody comes after the second


def test_average_under_a_learned_score_is_as_sure_as_its_largest_probability() -> None:
    decision = learned(
        (0.5, 0.375, 0.125), (0.0, 0.5, 0.5), deferrals=(lambda p: 0.0,), post_check='average'
    )
    assert (decision.winner, decision.score) == ('average', 0.4375)


def test_each_stage_has_learned_its_own() -> None:
    deferrals = (lambda p: 0.2, lambda p: 0.7)
    for thresholds, source in (
        ((0.2, 0.7), 'first'),
        ((0.3, 0.7), 'second'),
        ((0.3, 0.8), 'third'),
    ):
        decision = learned(
            SURE_OF_0, SURE_OF_0, SURE_OF_0, deferrals=deferrals, thresholds=thresholds
        )
        assert decision.source == source


def test_a_stage_that_has_learned_nothing_cannot_be_asked_for_it() -> None:
    with pytest.raises(ValueError, match='no deferral for stage first, second; calibrate learns'):
        learned(SURE_OF_0, SURE_OF_0, SURE_OF_0)
    with pytest.raises(ValueError, match='no deferral for stage second;'):
        learned(SURE_OF_0, SURE_OF_0, SURE_OF_0, deferrals=(lambda p: 1.0, None))
    assert learned(SURE_OF_0).source == 'first'  # one alone has nobody to defer to
    cascade = make(FakeStage(SURE_OF_0), FakeStage(SURE_OF_2))
    before = cascade.settings
    with pytest.raises(ValueError, match='score deferral: the bundle has no deferral'):
        cascade.settings = replace(before, score='deferral')
    assert cascade.settings is before


def test_other_scores_do_not_mind_what_was_learned() -> None:
    assert (
        learned(SURE_OF_0, SURE_OF_2, deferrals=(lambda p: 0.0,), score='max_probability').source
        == 'first'
    )


@pytest.mark.parametrize(
    ('answers', 'threshold'),
    [
        ((SURE_OF_0, SURE_OF_0, SURE_OF_0), 0.8),
        ((UNSURE_OF_0, SURE_OF_0, SURE_OF_0), 0.7),
        ((UNSURE_OF_0, UNSURE_OF_0, UNSURE_OF_0), 0.7),
        ((SURE_OF_0,), None),
    ],
)
def test_a_decision_tells_the_last_threshold_that_counted(
    answers: tuple[tuple[float, ...], ...], threshold: float | None
) -> None:
    cascade = make(*map(FakeStage, answers), thresholds=(0.8, 0.7)[: len(answers) - 1])
    assert cascade.classify(frame()).threshold == threshold
    assert cascade.classify(frame()).threshold is None  # remembered: nothing was compared


# The memory --------------------------------------------------------------------------------------


def test_a_repeated_frame_asks_nobody() -> None:
    first, second = FakeStage(UNSURE_OF_0), FakeStage(SURE_OF_2)
    cascade = make(first, second)
    decided = cascade.classify(frame())
    repeated = cascade.classify(frame())
    assert (first.asked, second.asked) == (1, 1)
    assert (repeated.label, repeated.score, repeated.winner) == (2, 0.875, 'second')
    assert (repeated.source, repeated.distance) == ('memory', 0)
    assert repeated.scores == {} and list(repeated.seconds) == ['fingerprint', 'memory']
    assert repeated.probabilities is decided.probabilities
    assert decided.source == 'second'  # what was remembered did not change


def test_a_repeat_of_a_repeat_is_the_same() -> None:
    cascade = make(FakeStage(SURE_OF_0), FakeStage(SURE_OF_2))
    for _ in range(3):
        last = cascade.classify(frame())
    assert (last.source, last.winner) == ('memory', 'first')


def test_another_frame_is_not_a_repeat() -> None:
    first = FakeStage(SURE_OF_0)
    cascade = make(first, FakeStage(SURE_OF_2))
    cascade.classify(frame(1))
    cascade.classify(frame(2))
    assert first.asked == 2 and len(cascade.memory) == 2


def test_a_frame_without_a_fingerprint_is_neither_remembered_nor_recalled() -> None:
    first = FakeStage(SURE_OF_0)
    cascade = make(first, FakeStage(SURE_OF_2))
    for _ in range(2):
        decision = cascade.classify(flat())
    assert first.asked == 2 and len(cascade.memory) == 0
    assert list(decision.seconds) == ['fingerprint', 'first']


@pytest.mark.parametrize('fingerprint', ['dhash', 'invariants'])
def test_turned_frames_are_repeats_by_invariants_only(fingerprint: str) -> None:
    cascade = make(FakeStage(SURE_OF_0), FakeStage(SURE_OF_2), fingerprint=fingerprint)
    image = frame().image
    cascade.classify(Frame(image))
    turned = cascade.classify(Frame(np.ascontiguousarray(np.rot90(image))))
    assert (turned.source == 'memory') == (fingerprint == 'invariants')


def test_without_memory_there_is_no_fingerprint() -> None:
    first = FakeStage(SURE_OF_0)
    cascade = make(first, FakeStage(SURE_OF_2), memory=False)
    for _ in range(2):
        decision = cascade.classify(frame())
    assert first.asked == 2 and len(cascade.memory) == 0
    assert list(decision.seconds) == ['first']


def test_frame_begun_under_an_older_rule_is_not_remembered_under_the_new_one() -> None:
    cascade = make(FakeStage(SURE_OF_0), FakeStage(SURE_OF_2))
    other = replace(cascade.settings, score='difference')

    def swap_meanwhile(image: Frame) -> np.ndarray:
        cascade.settings = other
        return FakeStage(SURE_OF_0)(image)

    cascade.stages = (Stage('first', swap_meanwhile), cascade.stages[1])
    assert cascade.classify(frame()).label == 0
    assert cascade.settings is other and len(cascade.memory) == 0


@pytest.mark.parametrize('failing', ['first', 'second'])
def test_a_stage_that_fails_leaves_nothing_behind(failing: str) -> None:
    error = RuntimeError('out of memory')
    first = FakeStage(error, UNSURE_OF_0) if failing == 'first' else FakeStage(UNSURE_OF_0)
    second = FakeStage(SURE_OF_2) if failing == 'first' else FakeStage(error, SURE_OF_2)
    cascade = make(first, second)
    with pytest.raises(RuntimeError, match='out of memory'):
        cascade.classify(frame())
    assert len(cascade.memory) == 0
    assert cascade.classify(frame()).source == 'second'


# Settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'change',
    [
        {'score': 'entropy'},
        {'thresholds': (0.7,)},
        {'post_check': 'none'},
        {'fingerprint': 'invariants'},
    ],
    ids=str,
)
def test_another_rule_clears_the_memory(change: dict[str, Any]) -> None:
    cascade = make(FakeStage(SURE_OF_0), FakeStage(SURE_OF_2))
    cascade.classify(frame())
    cascade.settings = replace(cascade.settings, **change)
    assert len(cascade.memory) == 0
    assert cascade.classify(frame()).source != 'memory'


@pytest.mark.parametrize(
    'change', [{}, {'capacity': 7}, {'max_age': 100.0}, {'memory': False}], ids=str
)
def test_the_same_rule_keeps_the_memory(change: dict[str, Any]) -> None:
    cascade = make(FakeStage(SURE_OF_0), FakeStage(SURE_OF_2))
    cascade.classify(frame())
    cascade.settings = replace(cascade.settings, **change)
    assert len(cascade.memory) == 1
    cascade.settings = replace(cascade.settings, memory=True)
    assert cascade.classify(frame()).source == 'memory'


def test_capacity_and_age_reach_the_memory() -> None:
    cascade = make(FakeStage(SURE_OF_0), FakeStage(SURE_OF_2), capacity=2, max_age=5.0)
    assert (cascade.memory.capacity, cascade.memory.max_age) == (2, 5.0)
    for seed in range(4):
        cascade.classify(frame(seed))
    assert len(cascade.memory) == 2
    cascade.settings = replace(cascade.settings, capacity=1, max_age=6.0)
    assert len(cascade.memory) == 1
    assert (cascade.memory.capacity, cascade.memory.max_age) == (1, 6.0)


def test_settings_take_effect_on_the_next_frame() -> None:
    cascade = make(FakeStage(UNSURE_OF_0), FakeStage(SURE_OF_2))
    cascade.settings = replace(cascade.settings, thresholds=(0.5,))
    assert cascade.classify(frame()).source == 'first'
    cascade.settings = replace(cascade.settings, thresholds=(0.6,))
    assert cascade.classify(frame()).source == 'second'


def test_settings_that_do_not_fit_change_nothing() -> None:
    cascade = make(FakeStage(SURE_OF_0), FakeStage(SURE_OF_2))
    before = cascade.settings
    cascade.classify(frame())
    with pytest.raises(ValueError, match='2 stages need one threshold'):
        cascade.settings = replace(before, thresholds=(0.5, 0.5))
    assert cascade.settings is before and len(cascade.memory) == 1


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            {'score': 'margin'},
            "score must be one of max_probability, difference, entropy, deferral, not 'margin'",
        ),
        ({'post_check': 'vote'}, 'post_check must be one of none, more_confident, average, not'),
        ({'fingerprint': 'md5'}, "fingerprint must be one of dhash, invariants, not 'md5'"),
        ({'thresholds': (-0.1,)}, r'threshold must be in \[0, 1\], not -0.1'),
        ({'thresholds': (0.5, 1.1)}, 'threshold must be in'),
        ({'thresholds': (float('nan'),)}, 'threshold must be in'),
        ({'capacity': 0}, 'capacity must be at least 1 frame, not 0'),
        ({'max_age': -1.0}, 'max_age must be'),
        ({'max_age': float('inf')}, 'max_age must be'),
        ({'max_age': float('nan')}, 'max_age must be'),
    ],
)
def test_a_wrong_setting_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**change)


def test_stages_share_the_frame() -> None:
    seen: list[Frame] = []

    class Watching(FakeStage):
        def __call__(self, frame: Frame) -> np.ndarray:
            seen.append(frame)
            return super().__call__(frame)

    asked = frame()
    make(Watching(UNSURE_OF_0), Watching(SURE_OF_2)).classify(asked)
    assert seen == [asked, asked]
