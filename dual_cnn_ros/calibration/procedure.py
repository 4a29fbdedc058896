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

"""A frame's way through calibration: load, predict, fit, choose, certify, write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
import shutil

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.bundle import (
    Bundle,
    Certificate,
    MEASURES,
    OperatingPoint,
    read_bundle,
    STAGES,
    StageSpec,
    write_bundle,
)
from dual_cnn_ros.calibration.candidates import (
    Candidate,
    ImageSelection,
    measure_cpu_seconds,
    read_candidates,
    select_test_images,
    select_validation_images,
)
from dual_cnn_ros.calibration.findings import (
    calibration_findings,
    CalibrationFindings,
    judge_bundle,
    RulePoint,
    write_findings,
)
from dual_cnn_ros.calibration.guarantee import Blocks, certify, declared_path
from dual_cnn_ros.calibration.memory_check import check_memory
from dual_cnn_ros.calibration.operating_points import operating_points
from dual_cnn_ros.calibration.policy_gradient import learn_selectors
from dual_cnn_ros.calibration.predictions import divide, predict, Predictions
from dual_cnn_ros.calibration.rules import (
    always_answers,
    Answers,
    candidate_rules,
    choose_rule,
)
from dual_cnn_ros.calibration.temperature import fit_temperature
from dual_cnn_ros.calibration.unlabelled import join_scenes, predict_frames
from dual_cnn_ros.cascade.frame import Image
from dual_cnn_ros.cascade.scores import SCORES
from dual_cnn_ros.cascade.settings import Criterion, POST_CHECKS, SELECTOR
from dual_cnn_ros.data.dataset import read_names
from dual_cnn_ros.data.image_file import decode_image
from dual_cnn_ros.data.image_folder import image_name, ImageFolder
from dual_cnn_ros.data.labelled_frames import open_frames
from dual_cnn_ros.messages.images import ImageError

# Images to look at the memory with.
MOST_CHECKED = 500


@dataclass(frozen=True)
class CalibrationOptions:
    """
    What to make a bundle of, and how.

    Attributes
    ----------
    data
        Folder or tar that all CNNs were trained on; or, without labels, what the robot sees.
    stages
        Bundles, by path or name; their CNNs become the stages, asked in this order.
    name, description
        Name and description of the bundle.
    out
        Folder of the bundle.
    unlabelled
        Whether the data have no labels: the answers of the strongest rule are to be kept then.
    frames
        Of the data without labels, how many to use, at most.
    block
        Seconds of a recording that are one independent unit; None for scenes, cut by content.
    test, test_split
        Test images, and their split.
    exclude
        File of the names that `train` left out.
    fit
        Share of the images to fit on and to choose with.
    score, post_check
        The bundle's score and post-check; None for the best on the images to fit on. SELECTOR is
        learned on these.
    price
        For selectors, what the cost of asking all stages counts, in nats.
    accuracy
        Use the cheapest rule that reaches this accuracy; None for the most accurate rule.
    cost
        A name of COSTS: what the cheapest has least of.
    alpha, delta
        Accuracy that a certified threshold may lose, and the probability that it loses more.
    reference
        Bundle of a strong CNN to certify against, in place of the best of all ways to ask these.

    """

    data: Path
    stages: tuple[str, ...]
    name: str
    out: Path
    description: str = ''
    unlabelled: bool = False
    frames: int = 3000
    block: float | None = None
    test: Path | None = None
    test_split: str | None = None
    exclude: Path | None = None
    fit: float = 0.5
    score: str | None = None
    post_check: str | None = None
    accuracy: float | None = None
    cost: str = 'cpu_seconds'
    price: float = 0.2
    alpha: float = 0.01
    delta: float = 0.05
    reference: str | None = None

    @property
    def asked(self) -> tuple[str | None, str | None]:
        """The score and the post-check that are not to be chosen on the images."""
        if not self.unlabelled:
            return self.score, self.post_check
        # Only the more confident answer depends on the score by which it is found.
        first = next(iter(SCORES)) if self.post_check == 'more_confident' else None
        return self.score or first, self.post_check or 'none'

    @property
    def goal(self) -> float | None:
        """The accuracy to reach as cheaply as can be; None for the highest."""
        # To agree always is to ask the strong CNN always.
        return 1 - self.alpha if self.unlabelled and self.accuracy is None else self.accuracy


def calibrate(options: CalibrationOptions) -> tuple[Bundle, CalibrationFindings]:
    """
    Write a bundle of one or more stages and its metrics.json.

    Returns
    -------
    bundle
        The bundle as it was written.
    findings
        The evidence behind the bundle.

    Raises
    ------
    ValueError
        The CNNs, the images and the options do not go together; the message says which and why.

    """
    # Load.
    members = read_candidates(options.stages)
    count, names = len(members), STAGES[: len(members)]
    if count > len(STAGES):
        raise ValueError(
            f'a cascade has at most {len(STAGES)} stages, and {" ".join(options.stages)} have '
            f'{count}'
        )
    candidates = members
    if options.reference:
        candidates = read_candidates([*options.stages, options.reference])
    if options.out.resolve() in [candidate.path for candidate in candidates]:
        raise ValueError(
            f'{options.out} holds one of the stages; write the bundle to another folder'
        )

    # Predict; the test images too, before anything is written, as they may be unreadable.
    selection = None if options.unlabelled else _selection(candidates, options)
    validation = (
        predict(candidates, selection) if selection else _predict_frames(candidates, options)
    )
    if options.test:
        test_selection = select_test_images(selection, options.test, options.test_split)
        test = predict(candidates, test_selection)
    fit, certification = divide(validation, options.fit, selection.seed if selection else 0)

    # Fit; nothing can be fitted on answers that a CNN has a part in.
    score, post_check = options.asked
    fitted = count
    if options.unlabelled and not options.reference:
        fitted = count - 1 if post_check == 'none' else 0
    temperatures = [round(fit_temperature(z, fit.labels), 4) for z in fit.logits[:fitted]]
    temperatures += [candidate.stage.temperature for candidate in members[fitted:]]
    seconds = measure_cpu_seconds(members)
    macs = [candidate.stage.macs for candidate in members]
    costs = macs if options.cost == 'macs' else seconds
    on_fit = fit.probabilities(temperatures)
    selectors = {}
    if score == SELECTOR and count > 1:
        selectors = {
            check: learn_selectors(on_fit, fit.labels, costs, check, options.price)
            for check in POST_CHECKS
            if post_check in (None, check)
        }
    rules_on_fit, rules = (
        candidate_rules(probabilities, part.labels, costs, selectors=selectors)
        for part, probabilities in (
            (fit, on_fit),
            (certification, certification.probabilities(temperatures)),
        )
    )

    # Choose score and post-check on one part, the thresholds on the other.
    chosen = choose_rule(
        [
            rule
            for rule in rules_on_fit
            if count == 1
            or (score in (None, rule.score) and post_check in (None, rule.post_check))
        ],
        options.goal,
    )
    rule = chosen.find_in(rules)
    outcomes = rule.outcomes()
    best = outcomes.most_accurate() if options.goal is None else outcomes.reaching(options.goal)

    # Certify thresholds of a path that the certification images had no part in.
    if options.reference:
        reference, reference_right = candidates[-1].name, certification.right[-1]
    else:
        # The best without a cascade, as far as the images to fit on tell.
        always = always_answers(rules_on_fit, chosen, names)
        reference = max(always, key=lambda name: float(always[name].mean()))
        reference_right = always_answers(rules, rule, names)[reference]
    measure = MEASURES[options.unlabelled]
    sought = Certificate(
        options.alpha,
        options.delta,
        'betting',
        certification.units,
        reference,
        measure,
    )
    points: tuple[OperatingPoint, ...] = ()
    if count > 1:
        certified = certify(
            rule, declared_path(chosen), sought, reference_right, _blocks(fit, certification)
        )
        best_single = float(certification.right[:count].mean(axis=1).max())
        points = operating_points(
            rule,
            macs,
            None if options.unlabelled else best_single,
            certified,
            options.accuracy,
            measure,
        )

    # Write.
    options.out.mkdir(parents=True, exist_ok=True)
    stages = tuple(
        copy_stage(
            replace(candidate.stage, temperature=temperature, selector=selector),
            options.out,
            name,
            cpu_seconds,
            criterion,
        )
        for candidate, name, temperature, cpu_seconds, criterion, selector in zip(
            members,
            names,
            temperatures,
            seconds,
            (*rule.criteria(best.thresholds), None),
            (*selectors.get(rule.post_check, [None] * (count - 1)), None),
        )
    )
    labels, check = candidates[0].labels, rule.post_check
    write_bundle(
        Bundle(
            *(options.out, options.name, labels, stages, options.description, check, points),
            measure=measure,
        )
    )
    bundle = read_bundle(options.out)
    memory = check_memory(bundle, _some_images(options, selection, certification))
    findings = calibration_findings(
        bundle,
        fit,
        certification,
        rules,
        RulePoint(rule.score, rule.post_check, best),
        [
            what
            for what, asked in (('score', score), ('post-check', post_check))
            if asked is None and count > 1
        ],
        sought if count > 1 else None,
        memory,
        options.cost,
        [candidate.training_metrics() for candidate in members],
        judge_bundle(bundle, test, options.test.name, test_selection.split)
        if options.test
        else None,
    )
    write_findings(findings, options.out / 'metrics.json')
    return bundle, findings


def _predict_frames(candidates: Sequence[Candidate], options: CalibrationOptions) -> Predictions:
    """Return what the CNNs answer to frames without labels, which the strongest of them gives."""
    source = open_frames(options.data)
    found = predict_frames(candidates, source, options.frames, options.block)
    return join_scenes(replace(found, labels=_strong_answers(candidates, found, options)))


def _some_images(
    options: CalibrationOptions, selection: ImageSelection | None, certification: Predictions
) -> Iterator[Image]:
    """Yield images as the robot sees them: of those certified on, or frames in their order."""
    if selection is None:
        for frame in open_frames(options.data).frames(range(MOST_CHECKED)):
            with suppress(ImageError):
                yield frame.image()
        return
    folder = ImageFolder(selection.data)
    wanted = set(certification.names[:MOST_CHECKED])
    files = [file for file in folder.select(selection.split) if image_name(file) in wanted]
    for _, data in folder.read(files):
        if (image := decode_image(data)) is not None:
            yield image


def _selection(candidates: Sequence[Candidate], options: CalibrationOptions) -> ImageSelection:
    exclude = read_names(options.exclude) if options.exclude else frozenset()
    return select_validation_images(candidates, options.data, exclude)


def _strong_answers(
    candidates: Sequence[Candidate], found: Predictions, options: CalibrationOptions
) -> npt.NDArray[np.int64]:
    """Return what stands for the true labels: the answers of the strongest there is, (N,)."""
    if options.reference:
        return found.logits[-1].argmax(axis=1)
    answers = Answers(found.probabilities([c.stage.temperature for c in candidates]), found.labels)
    score, post_check = options.asked
    return answers.labels(
        score or next(iter(SCORES)), post_check or 'none', range(len(candidates))
    )


def _blocks(fit: Predictions, certification: Predictions) -> Blocks | None:
    """Return the scenes to certify on; a long one counts with no more frames than most others."""
    if fit.blocks is None or certification.blocks is None:
        return None
    lengths = [len(list(frames)) for _, frames in groupby(fit.blocks)]
    return Blocks.of(certification.blocks, int(np.quantile(lengths, 0.9)))


def copy_stage(
    stage: StageSpec, folder: Path, name: str, cpu_seconds: float, criterion: Criterion | None
) -> StageSpec:
    """Copy the files of a stage into a folder, under another name; return it with the copies."""
    files = {}
    for kind, file in stage.files.items():
        copy = folder / f'{name}{file.path.suffix}'
        shutil.copyfile(file.path, copy)
        files[kind] = replace(file, path=copy)
    return replace(
        stage, name=name, files=files, cpu_seconds=round(cpu_seconds, 6), criterion=criterion
    )
