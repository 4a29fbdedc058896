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

"""The evidence behind a bundle: the records of its metrics.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.bundle import Bundle, Certificate
from dual_cnn_ros.calibration.complementarity import complementarity
from dual_cnn_ros.calibration.intervals import exact_interval
from dual_cnn_ros.calibration.memory_check import MemoryCheck
from dual_cnn_ros.calibration.predictions import Predictions
from dual_cnn_ros.calibration.reliability import Reliability, reliability
from dual_cnn_ros.calibration.rules import always_answers, candidate_rules, CandidateRule
from dual_cnn_ros.calibration.temperature import calibrated
from dual_cnn_ros.calibration.thresholds import Outcome
from dual_cnn_ros.cascade.settings import Rule
from dual_cnn_ros.files import write_json
from dual_cnn_ros.records import to_plain


@dataclass(frozen=True)
class StageCalibration:
    """
    A stage on the certification images.

    Attributes
    ----------
    accuracy
        Alone.
    temperature
        Fitted on the other images.
    before, after
        Its reliability without and with the temperature.

    """

    accuracy: float
    temperature: float
    before: Reliability
    after: Reliability


@dataclass(frozen=True)
class RulePoint:
    """A score and a post-check at certain thresholds, on the certification images."""

    score: str
    post_check: str
    outcome: Outcome


@dataclass(frozen=True)
class JudgedAccuracy:
    """
    What a CNN or a cascade is worth on the test images.

    Attributes
    ----------
    accuracy
        Share of right answers.
    interval
        Its 95 % confidence interval, by Clopper and Pearson.
    calibration_error
        Expected calibration error of a single CNN with its temperature.
    deferral_rates, macs
        Of a cascade.
    loss
        Of a certified operating point, in accuracy against the certificate's reference.

    """

    accuracy: float
    interval: tuple[float, ...]
    calibration_error: float | None = None
    deferral_rates: tuple[float, ...] | None = None
    macs: int | None = None
    loss: float | None = None


@dataclass(frozen=True)
class Judgement:
    """
    The finished bundle on images that nothing was chosen on.

    Attributes
    ----------
    source, split
        Name of the folder or the tar, and the split of it.
    images
        Their number.
    stages
        Each stage alone, by name.
    cascade
        The bundle's own rule.
    operating_points
        By name.
    complementarity
        Of every two stages, see `complementarity`.
    any_right
        Share of images on which one of the stages is right.

    """

    source: str
    split: str | None
    images: int
    stages: Mapping[str, JudgedAccuracy]
    cascade: JudgedAccuracy
    operating_points: Mapping[str, JudgedAccuracy]
    complementarity: tuple[tuple[float, ...], ...]
    any_right: float


@dataclass(frozen=True)
class CalibrationFindings:
    """
    What calibration found.

    Attributes
    ----------
    bundle
        Name of the bundle.
    measure
        What every accuracy is, a name of bundle.MEASURES, but for those of the test.
    fit_images, certification_images
        Numbers of images.
    fit_units, certification_units
        Numbers of independent units among them: the images themselves, or scenes; nothing was
        certified on where there were too few to part.
    rule
        The bundle's own.
    chosen
        What of the rule was chosen on the images to fit on, and not asked for.
    sought
        The promise that the certification images were asked for, if they were for one.
    memory
        What the memory, at its defaults, did with images of these, if it was tried.
    calibration
        Of each stage, by name.
    cost
        What outcomes cost, a name of COSTS.
    at_equal_cost
        The best of every score and post-check that costs as much as the bundle's rule, or less.
    training
        What `train` wrote about each stage, by name.
    test
        If there were test images.

    """

    bundle: str
    measure: str
    fit_images: int
    certification_images: int
    fit_units: int
    certification_units: int
    rule: RulePoint
    chosen: tuple[str, ...]
    sought: Certificate | None
    memory: MemoryCheck | None
    calibration: Mapping[str, StageCalibration]
    cost: str
    at_equal_cost: tuple[RulePoint, ...]
    training: Mapping[str, Any]
    test: Judgement | None = None


def calibration_findings(
    bundle: Bundle,
    fit: Predictions,
    certification: Predictions,
    rules: Sequence[CandidateRule],
    rule: RulePoint,
    chosen: Sequence[str],
    sought: Certificate | None,
    memory: MemoryCheck,
    cost: str,
    training: Sequence[Mapping[str, Any]],
    test: Judgement | None,
) -> CalibrationFindings:
    """
    Collect what calibration found on the certification images.

    Parameters
    ----------
    bundle
        The finished one.
    fit, certification
        The CNNs' answers to the images that the rest was chosen on, and to the others.
    rules
        Every score and post-check on the certification images.
    rule, chosen, sought, memory, cost
        See CalibrationFindings.
    training
        What `train` wrote about each stage.
    test
        What the finished bundle was worth on other images.

    """
    return CalibrationFindings(
        bundle.name,
        bundle.measure,
        len(fit),
        len(certification),
        fit.units,
        0 if certification is fit else certification.units,
        rule,
        tuple(chosen),
        sought,
        memory,
        {
            stage.name: StageCalibration(
                float((logits.argmax(axis=1) == certification.labels).mean()),
                stage.temperature,
                _reliability(logits, certification.labels, 1.0),
                _reliability(logits, certification.labels, stage.temperature),
            )
            for stage, logits in zip(bundle.stages, certification.logits)
        },
        cost,
        tuple(
            RulePoint(r.score, r.post_check, r.outcomes().costing_at_most(rule.outcome.cost))
            for r in rules
        ),
        {stage.name: metrics for stage, metrics in zip(bundle.stages, training)},
        test,
    )


def judge_bundle(
    bundle: Bundle, predictions: Predictions, source: str, split: str | None
) -> Judgement:
    """
    Judge a finished bundle on test images.

    Parameters
    ----------
    bundle
        With at least one stage.
    predictions
        Of its CNNs, and of the certificates' reference if that is another one.
    source, split
        Where the images come from.

    """
    macs, names = [s.macs for s in bundle.stages], [s.name for s in bundle.stages]
    probabilities = predictions.probabilities([stage.temperature for stage in bundle.stages])
    selectors = [stage.selector for stage in bundle.stages if stage.selector]
    learned = {bundle.post_check: selectors} if selectors else {}
    rules = candidate_rules(probabilities, predictions.labels, macs, selectors=learned)
    right = predictions.right

    def judge(judged: Rule, certificate: Certificate | None = None) -> JudgedAccuracy:
        score = judged.criteria[0].score if judged.criteria else judged.confidence
        wanted = score, judged.post_check
        rule = next((r for r in rules if (r.score, r.post_check) == wanted), rules[0])
        thresholds = [criterion.threshold for criterion in judged.criteria]
        at = rule.at(thresholds)
        lost = None
        if certificate:
            always = always_answers(rules, rule, names)
            reference = right[-1] if len(right) > len(macs) else always[certificate.reference]
            lost = float(reference.mean()) - at.accuracy
        return JudgedAccuracy(
            at.accuracy,
            _interval(rule.right_at(thresholds)),
            deferral_rates=at.deferral_rates,
            macs=round(at.cost),
            loss=lost,
        )

    return Judgement(
        source,
        split,
        len(predictions),
        {
            stage.name: JudgedAccuracy(
                float(own.mean()),
                _interval(own),
                reliability(p.max(axis=1), own).error,
            )
            for stage, own, p in zip(bundle.stages, right, probabilities)
        },
        judge(bundle.rule),
        {point.name: judge(point.rule, point.certificate) for point in bundle.operating_points},
        tuple(map(tuple, complementarity(right[: len(macs)]).tolist())),
        float(right[: len(macs)].any(axis=0).mean()),
    )


def write_findings(findings: CalibrationFindings, file: Path) -> None:
    """Write the findings as JSON, with five decimals of all but thresholds and costs."""
    write_json(file, _rounded(to_plain(findings)))


def _interval(right: npt.NDArray[np.bool_]) -> tuple[float, float]:
    return exact_interval(int(right.sum()), len(right))


def _reliability(
    logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], temperature: float
) -> Reliability:
    probabilities = calibrated(logits, temperature)
    return reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)


def _rounded(value: Any, key: str = '') -> Any:
    if key == 'training':
        return value
    if isinstance(value, dict):
        return {name: _rounded(entry, name) for name, entry in value.items()}
    if isinstance(value, list):
        return [_rounded(entry, key) for entry in value]
    # Rounding might carry a threshold past a score, and costs have a scale of their own.
    exact = key in ('thresholds', 'cost')
    return round(value, 5) if isinstance(value, float) and not exact else value
