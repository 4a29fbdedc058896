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

"""The bundle that calibrated CNNs make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
import shutil

from dual_cnn_ros.bundle import Bundle, ModelFile, OperatingPoint, read_bundle, write_bundle
from dual_cnn_ros.calibration.candidates import Candidate
from dual_cnn_ros.cascade.settings import Rule

STAGE_NAMES = ('first', 'second')


@dataclass(frozen=True)
class CalibratedStage:
    """
    A CNN with what calibration found of it.

    Attributes
    ----------
    candidate
        The CNN.
    temperature
        Its temperature.
    cpu_seconds
        Of one image.
    """

    candidate: Candidate
    temperature: float
    cpu_seconds: float


def write_cascade(
    folder: Path,
    name: str,
    description: str,
    calibrated: Sequence[CalibratedStage],
    rule: Rule,
    points: tuple[OperatingPoint, ...],
) -> Bundle:
    """
    Write a bundle of several stages, with copies of all their files, and return it as read.

    Raises
    ------
    ValueError
        The folder is that of one of the stages, which would be overwritten.
    """
    if any(folder.resolve() == stage.candidate.path for stage in calibrated):
        raise ValueError(f'{folder} holds one of the stages; write the bundle to another folder')
    folder.mkdir(parents=True, exist_ok=True)
    stages = []
    for stage_name, stage, criterion in zip(STAGE_NAMES, calibrated, (*rule.criteria, None)):
        spec, files = stage.candidate.stage, {}
        for kind, file in spec.files.items():
            copy = folder / f'{stage_name}{file.path.suffix}'
            shutil.copyfile(file.path, copy)
            files[kind] = ModelFile(copy, file.sha256)
        stages.append(
            replace(
                spec,
                name=stage_name,
                files=files,
                temperature=stage.temperature,
                cpu_seconds=round(stage.cpu_seconds, 6),
                criterion=criterion,
            )
        )
    write_bundle(
        Bundle(
            folder,
            name,
            calibrated[0].candidate.labels,
            tuple(stages),
            description,
            rule.post_check,
            points,
        )
    )
    return read_bundle(folder)
