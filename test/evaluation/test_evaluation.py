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

"""evaluate: against a plain loop over the real cascade, in every protocol and for every source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import shutil
from typing import Any

import cv2
from evaluated import result_of, RULE, run, write_recording
import numpy as np
import pytest
from tiny_bundle import LABELS, make_bundle, picture

from dual_cnn_ros.bundle import Bundle, read_bundle, write_bundle
from dual_cnn_ros.cascade.cascade import Cascade
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.settings import MemorySettings, Settings
from dual_cnn_ros.evaluation import systems
from dual_cnn_ros.evaluation.findings import (
    Conditions,
    EvaluationFindings,
    read_evaluation,
    Timing,
)
from dual_cnn_ros.evaluation.player import Playthrough
from dual_cnn_ros.evaluation.protocol import turn
from dual_cnn_ros.evaluation.summary import summary

pytestmark = pytest.mark.usefixtures('no_page')


@pytest.fixture(scope='module')
def odd(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Path:
    """Return a bundle whose second CNN takes red for blue and blue for red."""
    folder = tmp_path_factory.mktemp('odd') / 'tiny'
    shutil.copytree(bundle, folder)
    straight = read_bundle(folder)
    first, second = straight.stages
    second = replace(second, input=replace(second.input, colour='bgr'))
    write_bundle(replace(straight, stages=(first, second)))
    return folder


def without_times(findings: EvaluationFindings) -> EvaluationFindings:
    return replace(
        findings,
        conditions=Conditions(0.0, '', ''),
        results=tuple(replace(result, timing=Timing()) for result in findings.results),
    )


def plainly(
    folder: Path, bundle: Path, settings: Settings, turned: bool, repeats: list[int]
) -> tuple[float, float, dict[str, float]]:
    """Return accuracy, MACs and shares by a loop that runs the real cascade on every frame."""
    opened = read_bundle(bundle)
    cascade = Cascade(opened.load('onnxruntime'), settings)
    files = sorted(folder.rglob('*.png'))
    frames = [(file, cv2.imread(str(file))) for file in files]
    frames += [(files[i], turn(frames[i][1], (0, i)) if turned else frames[i][1]) for i in repeats]
    decisions = [cascade.classify(Frame(image)) for _, image in frames]
    right = [
        opened.labels[decision.label] == file.parent.name
        for (file, _), decision in zip(frames, decisions)
    ]
    sources = [decision.source for decision in decisions]
    return (
        float(np.mean(right)),
        float(np.mean([9 * len(decision.scores) for decision in decisions])),
        {name: sources.count(name) / len(sources) for name in set(sources)},
    )


# Against a plain loop ------------------------------------------------------------------------


@pytest.mark.parametrize('timed', [0, 7])
def test_agrees_with_a_plain_loop(odd: Path, images: Path, tmp_path: Path, timed: int) -> None:
    """Whichever CNNs run once more to be timed, all answers are those of the real cascade."""
    findings = run(
        images,
        tmp_path / 'out',
        odd,
        f'{odd}@never ask',
        f'{odd}@always ask',
        repeat=(0.0, 0.5, 1.0),
        rotate=True,
        timed=timed,
        fingerprints=('dhash', 'invariants'),
        audit=0.0,
    )
    rules = {'tiny': RULE} | {f'tiny@{name}': r for name, r in read_bundle(odd).rules.items()}
    assert len(findings.results) == len(rules) * 3 * 5
    # A half is drawn, once for all protocols.
    half = sorted(np.random.default_rng((0, 0)).permutation(24).tolist()[:12])
    for found in findings.results:
        has_memory = found.memory != 'off'
        remember = MemorySettings(found.memory if has_memory else 'dhash', audit=0.0)
        share, _, turned = found.protocol.partition(' ')
        repeats = {'d=0': [], 'd=0.5': half, 'd=1': list(range(24))}[share]
        settings = Settings(rules[found.system], has_memory, remember)
        plain = plainly(images, odd, settings, bool(turned), repeats)
        assert found.frames == found.judged == 24 + len(repeats) and found.clusters == 24
        shares = {name: share.share for name, share in found.sources.items()}
        assert (found.accuracy, found.macs) == pytest.approx(plain[:2])
        assert shares == pytest.approx(plain[2])
        assert bool(found.timing.by_source) == bool(timed)
    # The protocols must differ in what they are for, or the above compares little.
    exact = result_of(findings, 'tiny', 'dhash', 'd=1')
    turned_ = result_of(findings, 'tiny', 'invariants', 'd=1 rotated')
    assert exact.sources['memory'].share == turned_.sources['memory'].share == 0.5
    assert 'memory' not in result_of(findings, 'tiny', 'dhash', 'd=1 rotated').sources
    assert 0.3 < result_of(findings, 'tiny').deferral_rate < 0.7
    assert read_evaluation(tmp_path / 'out/evaluate.json') == findings


def test_a_small_memory_forgets(odd: Path, images: Path, tmp_path: Path) -> None:
    findings = run(images, tmp_path, odd, memory=True, repeat=(1.0,), capacity=1, timed=0)
    assert 'memory' not in result_of(findings, 'tiny', 'thumbnail', 'd=1').sources


def test_single_stages_and_the_reference(odd: Path, images: Path, tmp_path: Path) -> None:
    names = (f'{odd}@first', f'strong={odd}@second', odd)
    findings = run(images, tmp_path, *names, reference='strong', memory=False)
    first, strong, both = (result_of(findings, name) for name in ('tiny@first', 'strong', 'tiny'))
    assert (first.macs, strong.macs) == (9, 9) and both.macs > 9
    assert set(first.sources) == {'first'} and set(strong.sources) == {'second'}
    assert first.accuracy is not None and strong.accuracy is not None
    assert strong.difference is None and both.difference is not None
    difference = first.difference
    assert difference is not None and difference.reference == 'strong'
    assert difference.harmed == 4 and difference.helped > 4
    assert difference.accuracy == pytest.approx(first.accuracy - strong.accuracy)
    assert (difference.helped - difference.harmed) / 24 == pytest.approx(difference.accuracy)
    # What is shown is a cascade, rather than the first system.
    assert findings.disagreement is not None and findings.disagreement.system == 'tiny'


def test_front_is_the_best_that_thresholds_can_do(odd: Path, images: Path, tmp_path: Path) -> None:
    findings = run(images, tmp_path, odd, f'{odd}@first', memory=False)
    (front,) = findings.fronts
    own, first = result_of(findings, 'tiny'), result_of(findings, 'tiny@first')
    cheapest, *_, best = front.outcomes
    assert (cheapest.accuracy, cheapest.cost) == pytest.approx((first.accuracy, first.macs))
    affordable = [o for o in front.outcomes if o.cost <= own.macs + 1e-9]
    assert affordable[-1].accuracy >= own.accuracy and best.accuracy > first.accuracy


def test_same_seed_same_findings(odd: Path, images: Path, tmp_path: Path) -> None:
    runs = [
        run(images, tmp_path / n, odd, f'{odd}@first', repeat=(0.5,), rotate=True, seed=seed)
        for n, seed in (('a', 3), ('b', 3), ('c', 4))
    ]
    assert without_times(runs[0]) == without_times(runs[1])
    assert without_times(runs[0]).results != without_times(runs[2]).results


def test_systems_may_have_their_labels_in_another_order(
    bundle: Path, images: Path, tmp_path: Path
) -> None:
    other = make_bundle(tmp_path / 'other', labels=('blue', 'green', 'red'), name='other')
    findings = run(images, tmp_path / 'out', bundle, f'{other}@second', memory=False)
    # It says blue where the frame is red: the right ones are green, and those labelled wrongly.
    confusion = result_of(findings, 'other@second').confusion
    assert confusion['green']['green'] > 0 and confusion['red']['blue'] > 0


# Recordings, and what is wrong with data ----------------------------------------------------


def test_frames_of_a_recording(bundle: Path, tmp_path: Path) -> None:
    bag = write_recording(tmp_path / 'bag')
    findings = run(
        bag, tmp_path / 'out', bundle, f'{bundle}@second', fingerprints=('dhash',), audit=0.0
    )
    data = findings.data
    assert (data.frames, data.unlabelled, data.unknown_labels) == (23, 2, {'purple': 2})
    assert list(data.bad) == ['/rear/image/compressed 1700000003.500']
    result = result_of(findings, 'tiny')
    # Of 24 frames one is damaged, two have no label and two a label that nobody knows.
    assert result.judged == 19 and result.accuracy == 1
    # Frames 0, 4 and 8 of the front camera are those that the first CNN is unsure of.
    assert result.deferral_rate == pytest.approx(3 / 23)
    # Front frames 6 to 11 repeat 0 to 5, but for the three that differ in being sure.
    assert result_of(findings, 'tiny', 'dhash').sources['memory'].share == pytest.approx(3 / 23)
    # Six seconds are three clusters.
    assert result.clusters == 3 and result.interval is None and result.difference is not None
    assert result.difference.interval is None and findings.reference == 'tiny@second'
    said = summary(findings)
    assert 'no intervals: 3 clusters (2 s of the recording each) are too few' in said
    assert "unknown label 'purple' on 2 frames" in said
    assert 'left out: /rear/image/compressed 1700000003.500' in said


def test_without_labels_there_is_everything_but_accuracy(bundle: Path, tmp_path: Path) -> None:
    for i in range(6):
        cv2.imwrite(str(tmp_path / f'{i}.png'), picture(LABELS[i % 3], sure=i < 3, seed=i))
    findings = run(tmp_path, tmp_path / 'out', bundle, f'{bundle}@first')
    result = result_of(findings, 'tiny')
    assert result.accuracy is None and result.judged == 0 and not result.confusion
    assert (result.deferral_rate, result.macs) == (0.5, 13.5)
    assert findings.data.unlabelled == 6 and findings.fronts == ()


def test_data_of_which_nothing_can_be_read_is_refused(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / 'red').mkdir()
    (tmp_path / 'red/cut.png').write_bytes(b'none')
    with pytest.raises(ValueError, match='not one frame could be read, for example .*red/cut.png'):
        run(tmp_path, tmp_path / 'out', bundle)


# Going on ------------------------------------------------------------------------------------


def test_a_run_that_was_cut_off_goes_on(
    bundle: Path,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[Frame] = []
    ask, load = systems.Networks.ask, Bundle.load

    def count(self: systems.Networks, frame: Frame) -> Any:
        asked.append(frame)
        if len(asked) == 30:
            raise KeyboardInterrupt
        return ask(self, frame)

    monkeypatch.setattr(systems.Networks, 'ask', count)
    options: dict[str, Any] = {'repeat': (1.0,), 'rotate': True, 'timed': 0}
    out = tmp_path / 'out'
    with pytest.raises(KeyboardInterrupt):
        run(images, out, bundle, **options)
    with pytest.raises(ValueError, match='begun with other data, CNNs, seed.*--restart'):
        run(images, out, bundle, **options, seed=5)
    with monkeypatch.context() as another_machine:
        another_machine.setattr(
            Bundle, 'load', lambda *given: [replace(s, runs_on='torch cuda') for s in load(*given)]
        )
        with pytest.raises(ValueError, match='begun with other .* backend or provider'):
            run(images, out, bundle, **options)
    findings = run(images, out, bundle, **options)
    assert len(asked) == 30 + 2 * 24 - 29
    assert 'going on with 29 frames' in capsys.readouterr().err
    assert not list(out.glob('partial*'))
    whole = run(images, tmp_path / 'whole', bundle, **options)
    assert without_times(findings) == without_times(whole)


# What runs a CNN -----------------------------------------------------------------------------


def test_every_source_is_timed_however_rare_it_is(
    bundle: Path, images: Path, tmp_path: Path
) -> None:
    """With one image in the sample, there is one source of each system in it."""
    findings = run(
        images,
        tmp_path,
        bundle,
        repeat=(0.0, 0.5, 1.0),
        rotate=True,
        timed=1,
        seed=2,  # that image is not among the half that is repeated
        fingerprints=('dhash', 'invariants'),
    )
    for result in findings.results:
        by_source = result.timing.by_source
        assert set(by_source) == set(result.sources) >= {'first', 'second'}
        seconds = sum(s.share * by_source[n].cpu_seconds for n, s in result.sources.items())
        assert result.timing.cpu_seconds == pytest.approx(seconds)
        assert max(timing.timed for timing in by_source.values()) >= 12
    repeated = result_of(findings, 'tiny', 'dhash', 'd=1').timing.by_source
    assert 1 <= repeated['memory'].timed <= 20


def test_no_cnn_runs_twice_but_to_be_timed(
    bundle: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    load = Bundle.load

    def counted(*arguments: Any) -> Any:
        (stage,) = load(*arguments)

        def predict(frame: Frame) -> Any:
            asked.append(stage.name)
            return stage.predict(frame)

        return (replace(stage, predict=predict),)

    monkeypatch.setattr(Bundle, 'load', counted)
    findings = run(images, tmp_path, bundle, timed=0)
    assert len(asked) == 2 * 24
    assert result_of(findings, 'tiny').timing == Timing()
    assert 'no CPU seconds for 2 results' in summary(findings)
    asked.clear()
    # The curve is made of what is known already, even where all frames are timed.
    findings = run(images, tmp_path, bundle, memory=False, timed=24)
    rate = result_of(findings, 'tiny').deferral_rate
    assert len(asked) == 2 * 24 + 24 + round(24 * rate) and 0 < rate < 1


def test_rules_that_differ_in_the_threshold_have_one_front(
    bundle: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    play = Playthrough.play

    def counted(self: Playthrough, what: str, players: Any, *rest: Any, **more: Any) -> Any:
        counts.append((len(players), len(more['probes'])))
        return play(self, what, players, *rest, **more)

    monkeypatch.setattr(Playthrough, 'play', counted)
    names = (bundle, f'{bundle}@never ask', f'{bundle}@always ask')
    (front,) = run(images, tmp_path, *names, memory=False).fronts
    assert counts == [(3, 2)] and front.system == 'tiny'


@pytest.mark.parametrize('stages', [1, 3, 4])
def test_cascades_of_any_number_of_stages(images: Path, tmp_path: Path, stages: int) -> None:
    gains = (2.0, 4.0, 8.0, 20.0)[:stages]
    path = make_bundle(tmp_path / 'deep', gains=gains)
    findings = run(images, tmp_path / 'out', path, f'{path}@first')
    own = result_of(findings, 'tiny')
    names = ['first', 'second', 'third', 'fourth'][:stages]
    assert list(own.sources) == [name for name in names if name in own.sources]
    asked = [names.index(source) + 1 for source in own.sources]
    shares = [share.share for share in own.sources.values()]
    assert own.macs == pytest.approx(9 * np.dot(asked, shares))
    assert own.deferral_rate == pytest.approx(sum(shares[1:]) if 'first' in own.sources else 1)
    if stages > 1:
        (front,) = findings.fronts
        assert len(front.outcomes[0].thresholds) == stages - 1
    else:
        assert findings.fronts == ()
    assert all(f'by {name}' in summary(findings) for name in own.sources)


# How right the memory is --------------------------------------------------------------------


def write_video(path: Path, pictures: list[np.ndarray]) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 10, (64, 48))
    for image in pictures:
        writer.write(cv2.resize(image, (64, 48), interpolation=cv2.INTER_NEAREST))
    writer.release()
    return path


def test_a_memory_is_judged_by_what_the_cnns_say_of_every_frame(
    bundle: Path, tmp_path: Path
) -> None:
    red, blue = picture('red'), picture('blue')
    # What is so small that a thumbnail hardly shows it, and what a dhash does not see at all.
    pictures = [*[red] * 10, *[blue] * 5, *[red] * 5, *[np.roll(blue, 1, axis=1)] * 5]
    video = write_video(tmp_path / 'video.avi', pictures)
    findings = run(
        video,
        tmp_path / 'out',
        bundle,
        fingerprints=('thumbnail', 'dhash'),
        audit=0.0,
        timed=0,
    )
    assert (findings.data.kind, findings.data.frames) == ('video', 25)
    thumbnail, dhash, off = (
        result_of(findings, 'tiny', memory) for memory in ('thumbnail', 'dhash', 'off')
    )
    assert off.remembered is None
    assert thumbnail.remembered is not None and dhash.remembered is not None
    assert thumbnail.remembered.wrong == thumbnail.remembered.changed == 0
    assert thumbnail.remembered.hits == thumbnail.remembered.answered >= 0.8
    assert thumbnail.remembered.audits == 0 and thumbnail.remembered.bound == 1
    said = summary(findings)
    assert 'wrong by audits' in said and '<= 100.00%' in said


def test_an_audited_memory_says_how_often(bundle: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / 'video.avi', [picture('red')] * 20)
    findings = run(video, tmp_path / 'out', bundle, audit=1.0, memory=True, timed=0)
    found = result_of(findings, 'tiny', 'thumbnail').remembered
    assert found is not None
    assert (found.hits, found.answered, found.audits, found.contradictions) == (0.95, 0, 19, 0)
    assert found.changed is None and found.bound == pytest.approx(1 - 0.05 ** (1 / 19), abs=1e-5)
