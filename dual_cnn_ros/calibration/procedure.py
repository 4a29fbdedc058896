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

"""A labelled image's way through calibration: load, predict, fit, choose, certify, write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
import shutil

from dual_cnn_ros.bundle import Bundle, read_bundle, StageSpec, write_bundle
from dual_cnn_ros.calibration.candidates import (
    measure_cpu_seconds,
    read_candidates,
    select_test_images,
    select_validation_images,
)
from dual_cnn_ros.calibration.findings import (
    calibration_findings,
    CalibrationFindings,
    judge_bundle,
    rule_point,
    write_findings,
)
from dual_cnn_ros.calibration.guarantee import certify, declared_grid
from dual_cnn_ros.calibration.operating_points import operating_points
from dual_cnn_ros.calibration.predictions import divide, predict
from dual_cnn_ros.calibration.rules import candidate_rules, choose_rule
from dual_cnn_ros.calibration.temperature import fit_temperature
from dual_cnn_ros.cascade.settings import Criterion
from dual_cnn_ros.data.dataset import read_names


@dataclass(frozen=True)
class CalibrationOptions:
    """
    What to make a bundle of, and how.

    Attributes
    ----------
    data
        Folder or tar that both CNNs were trained on.
    stages
        Bundles of one stage, by path or name: the CNN to ask first, then the second.
    name, description
        Name and description of the bundle.
    out
        Folder of the bundle.
    test, test_split
        Test images, and their split.
    exclude
        File of the names that `train` left out.
    fit
        Share of the validation images to fit on and to choose with.
    score, post_check
        The bundle's score and post-check; None for the best on the images to fit on.
    accuracy
        Use the cheapest rule that reaches this accuracy; None for the most accurate rule.
    alpha, delta
        Accuracy that a certified threshold may lose, and the probability that it loses more.
    reference
        Bundle of a strong CNN to certify against, in place of always asking both.

    """

    data: Path
    stages: tuple[str, str]
    name: str
    out: Path
    description: str = ''
    test: Path | None = None
    test_split: str | None = None
    exclude: Path | None = None
    fit: float = 0.5
    score: str | None = None
    post_check: str | None = None
    accuracy: float | None = None
    alpha: float = 0.01
    delta: float = 0.05
    reference: str | None = None


def calibrate(options: CalibrationOptions) -> tuple[Bundle, CalibrationFindings]:
    """
    Write a bundle of two stages and its metrics.json.

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
    reference = [options.reference] if options.reference else []
    candidates = read_candidates([*options.stages, *reference])
    if options.out.resolve() in [candidate.path for candidate in candidates]:
        raise ValueError(
            f'{options.out} holds one of the stages; write the bundle to another folder'
        )
    exclude = read_names(options.exclude) if options.exclude else frozenset()
    selection = select_validation_images(candidates, options.data, exclude)

    # Predict; the test images too, before anything is written, as they may be unreadable.
    validation = predict(candidates, selection)
    if options.test:
        test_selection = select_test_images(selection, options.test, options.test_split)
        test = predict(candidates, test_selection)
    fit, certification = divide(validation, options.fit, selection.seed)

    # Fit.
    temperatures = [round(fit_temperature(z, fit.labels), 4) for z in fit.logits[:2]]
    rules_on_fit, rules = (
        candidate_rules(part.probabilities(temperatures), part.labels)
        for part in (fit, certification)
    )

    # Choose score and post-check on one part, the threshold on the other.
    chosen = choose_rule(
        [
            rule
            for rule in rules_on_fit
            if options.score in (None, rule.score)
            and options.post_check in (None, rule.post_check)
        ],
        options.accuracy,
    )
    rule = chosen.find_in(rules)
    best = rule.best(options.accuracy)

    # Certify thresholds of a grid that the certification images had no part in.
    certified = certify(
        rule,
        declared_grid(chosen.scores),
        options.alpha,
        options.delta,
        *((candidates[2].name, certification.right[2]) if reference else ()),
    )
    points = operating_points(
        rule,
        [candidate.stage.macs for candidate in candidates[:2]],
        float(certification.right[:2].mean(axis=1).max()),
        certified,
        options.accuracy,
    )

    # Write.
    seconds = measure_cpu_seconds(candidates[:2])
    options.out.mkdir(parents=True, exist_ok=True)
    stages = tuple(
        replace(
            _copy(replace(candidate.stage, name=name), options.out),
            temperature=temperature,
            cpu_seconds=round(cpu_seconds, 6),
            criterion=criterion,
        )
        for candidate, name, temperature, cpu_seconds, criterion in zip(
            candidates,
            ('first', 'second'),
            temperatures,
            seconds,
            (Criterion(rule.score, best.threshold), None),
        )
    )
    labels, check = candidates[0].labels, rule.post_check
    write_bundle(
        Bundle(options.out, options.name, labels, stages, options.description, check, points)
    )
    bundle = read_bundle(options.out)
    findings = calibration_findings(
        bundle,
        len(fit),
        certification,
        rules,
        rule_point(rule, best),
        [candidate.training_metrics() for candidate in candidates[:2]],
        judge_bundle(bundle, test, options.test.name, test_selection.split)
        if options.test
        else None,
    )
    write_findings(findings, options.out / 'metrics.json')
    return bundle, findings


def _copy(stage: StageSpec, folder: Path) -> StageSpec:
    """Copy the files of a stage into a folder, under its name, and return it with the copies."""
    files = {}
    for kind, file in stage.files.items():
        copy = folder / f'{stage.name}{file.path.suffix}'
        shutil.copyfile(file.path, copy)
        files[kind] = replace(file, path=copy)
    return replace(stage, files=files)
