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

"""
Make the int8 version of a trained CNN: weights and activations of 8 bits, in ONNX.

The range of each activation is found on images, those of the weights for each output channel. The
result is another CNN: a bundle of one stage, whose temperature and threshold are found anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
import logging
from pathlib import Path
import sys
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dual_cnn_ros.bundle import (
    Bundle,
    ModelFile,
    PRECISIONS,
    sha256,
    StageSpec,
    write_bundle,
)
from dual_cnn_ros.calibration.candidates import Candidate, measure_cpu_seconds
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.data.dataset import is_validation
from dual_cnn_ros.data.image_folder import image_name
from dual_cnn_ros.data.labelled_frames import FrameSource, ImageFrames, open_frames
from dual_cnn_ros.files import write_atomically, write_json
from dual_cnn_ros.messages.images import ImageError
from dual_cnn_ros.records import to_plain

FLOAT32, INT8 = PRECISIONS
# How activations are coded. The kernels of ONNX Runtime for CPUs are fast with unsigned ones of
# any zero point; TensorRT knows signed ones only, with zero in the middle.
TARGETS = ('cpu', 'tensorrt')
MOST_COMPARED = 2000


@dataclass(frozen=True)
class QuantisationOptions:
    """
    What to quantise, and on which images.

    Attributes
    ----------
    stage
        Bundle of one stage with an ONNX model, by name or path.
    data
        Folder or tar of images, a recording or a video: what the robot will see.
    out, name
        Folder of the new bundle, and its name.
    split
        Of the images; None for the one that the CNN was trained on.
    images
        How many to find the ranges on.
    target
        A name of TARGETS.

    """

    stage: str
    data: Path
    out: Path
    name: str
    split: str | None = None
    images: int = 200
    target: str = TARGETS[0]


@dataclass(frozen=True)
class QuantisedCost:
    """
    A CNN before or after quantisation.

    Attributes
    ----------
    accuracy
        On the images compared on that have a label the CNN knows; None where there are none.
    cpu_seconds
        Of one image: one thread, this machine.
    size
        Of the ONNX file, bytes.

    """

    accuracy: float | None
    cpu_seconds: float
    size: int


@dataclass(frozen=True)
class QuantisationFindings:
    """
    What quantisation changed.

    Attributes
    ----------
    fitted, compared
        Numbers of images.
    agreement
        Share of the images compared on that both answer alike.
    before, after
        The CNN in float32 and in int8.

    """

    fitted: int
    compared: int
    agreement: float
    before: QuantisedCost
    after: QuantisedCost


def quantise(options: QuantisationOptions) -> QuantisationFindings:
    """
    Write the bundle ``options.out`` and return what changed.

    Ranges are found on images that the CNN was trained on, if these are the images given, so that
    those kept for validation stay new to the result, too, and are what is compared on.

    Raises
    ------
    ValueError
        The bundle has several stages or no ONNX model in float32; or there are too few images.

    """
    bundle = Bundle.open(options.stage)
    (stage, *others) = bundle.stages
    if others or 'onnx' not in stage.files or stage.precision != FLOAT32:
        raise ValueError(
            f'{bundle.path}: only a bundle of one stage with an ONNX model in float32, such as '
            'train writes, can be quantised'
        )
    if options.out.resolve() == bundle.path.resolve():
        raise ValueError(f'{options.out} holds the CNN itself; write to another folder')
    split = options.split or (stage.training.split if stage.training else None)
    source = open_frames(options.data, split=split)
    fitted, compared = _divide(source, stage, options.images)
    blobs, _ = _read(source, fitted, stage, bundle.labels)
    content = to_int8(stage.files['onnx'].path.read_bytes(), blobs, options.target)

    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f'{stage.name}.onnx'
    write_atomically(path, content)
    quantised = replace(
        stage,
        files={'onnx': ModelFile(path, sha256(path))},
        precision=INT8,
        temperature=1.0,
        cpu_seconds=None,
    )
    blobs, truth = _read(source, compared, stage, bundle.labels)
    known = truth >= 0
    candidates = [
        Candidate(bundle.name, bundle.path, bundle.labels, stage),
        Candidate(options.name, options.out, bundle.labels, quantised),
    ]
    answers = [_answers(candidate, blobs) for candidate in candidates]
    before, after = (
        QuantisedCost(
            float((answer == truth)[known].mean()) if known.any() else None,
            seconds,
            candidate.stage.files['onnx'].path.stat().st_size,
        )
        for candidate, answer, seconds in zip(candidates, answers, measure_cpu_seconds(candidates))
    )
    if stage.training:
        record = replace(stage.training, validation_accuracy=after.accuracy)
        quantised = replace(quantised, training=record)
    write_bundle(replace(bundle, path=options.out, name=options.name, stages=(quantised,)))
    agreement = float((answers[0] == answers[1]).mean())
    findings = QuantisationFindings(len(fitted), len(compared), agreement, before, after)
    evidence = {**candidates[0].training_metrics(), 'quantisation': to_plain(findings)}
    write_json(options.out / 'metrics.json', evidence)
    return findings


def to_int8(content: bytes, blobs: npt.NDArray[np.float32], target: str) -> bytes:
    """
    Return an ONNX model with 8-bit weights and activations, as pairs of Quantize and Dequantize.

    Parameters
    ----------
    content
        Of the model in float32.
    blobs
        Its inputs (N, C, H, W) to find the ranges on.
    target
        A name of TARGETS.

    """
    import onnx
    from onnxruntime import quantization

    name = onnx.load_from_string(content).graph.input[0].name

    class Inputs(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rest = iter(blobs)

        def get_next(self) -> dict[str, Any] | None:
            blob = next(self._rest, None)
            return None if blob is None else {name: blob[np.newaxis]}

    is_signed = target == 'tensorrt'
    kind = quantization.QuantType
    with TemporaryDirectory() as folder, _quiet():
        before, after = (Path(folder, name) for name in ('float32.onnx', 'int8.onnx'))
        before.write_bytes(content)
        quantization.quantize_static(
            str(before),
            str(after),
            Inputs(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            weight_type=kind.QInt8,
            activation_type=kind.QInt8 if is_signed else kind.QUInt8,
            extra_options={'ActivationSymmetric': is_signed},
        )
        return after.read_bytes()


def _divide(source: FrameSource, stage: StageSpec, count: int) -> tuple[list[int], list[int]]:
    """Return the numbers of the images to find ranges on, and of those to compare on."""
    order = np.random.default_rng(0).permutation(source.count).tolist()
    record, kept = stage.training, set()
    if isinstance(source, ImageFrames) and record:
        kept = {
            frame.number
            for frame in source.frames()
            if frame.label
            and is_validation(image_name(frame.name), record.validation, record.seed)
        }
    if kept:
        fitted = [number for number in order if number not in kept]
        compared = [number for number in order if number in kept]
    else:
        middle = min(count, len(order) // 2)
        fitted, compared = order[:middle], order[middle:]
    if not fitted or not compared:
        raise ValueError(
            f'{source.path} has {source.count} images, which is too few to find the ranges on '
            'some and to compare on others'
        )
    return fitted[:count], compared[: max(count, MOST_COMPARED)]


def _read(
    source: FrameSource, numbers: Sequence[int], stage: StageSpec, labels: Sequence[str]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the CNN's inputs, (N, C, H, W), and the true classes, -1 where unknown."""
    blobs, truth = [], []
    for frame in tqdm(source.frames(set(numbers)), 'images', len(numbers), disable=None):
        try:
            blobs.append(Frame(frame.image()).blob(stage.input)[0])
        except ImageError as error:
            print(f'{source.path}: {frame.name} is left out: {error}', file=sys.stderr)
            continue
        truth.append(labels.index(frame.label) if frame.label in labels else -1)
    if not blobs:
        raise ValueError(f'{source.path}: none of its images can be read')
    return np.array(blobs), np.array(truth)


def _answers(candidate: Candidate, blobs: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    model = candidate.load()
    rows = tqdm(blobs, candidate.name, unit='img', disable=None)
    return np.array([model(blob[np.newaxis])[0].argmax() for blob in rows])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep ONNX Runtime from recommending what has been done already."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
