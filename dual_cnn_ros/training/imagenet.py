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
The bundle `imagenet`: a thousand everyday classes, of two published CNNs, without any training.

EfficientNet-Lite0 is asked first, at a smaller size than it was trained at, and Lite2 second. Both
were trained on ImageNet by their authors, and come as packages.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torchvision.models import ResNet18_Weights

from dual_cnn_ros.bundle import (
    Bundle,
    IMAGENET,
    OperatingPoint,
    StageSpec,
    write_bundle,
)
from dual_cnn_ros.calibration.candidates import measure_cpu_seconds, read_candidates
from dual_cnn_ros.calibration.findings import CalibrationFindings
from dual_cnn_ros.calibration.procedure import calibrate, CalibrationOptions, copy_stage
from dual_cnn_ros.cascade.frame import Preprocessing
from dual_cnn_ros.cascade.settings import Criterion
from dual_cnn_ros.inference import networks
from dual_cnn_ros.training.export import write_models
from dual_cnn_ros.training.options import LITE_MEAN, LITE_STD
from dual_cnn_ros.training.pretrained import initialise
from dual_cnn_ros.training.quantisation import QuantisationFindings, QuantisationOptions, quantise

# Network, and side of its input in pixels, of the first stage and of the second.
STAGES = (('efficientnet_lite0', 192), ('efficientnet_lite2', 260))
# The part of the shorter side that their authors tested them on.
CROP = 0.875
# Where no images are at hand. Found with `calibrate --unlabelled` on 1,000 photographs, one of
# each class: there the first CNN, where it is as sure as this, agrees with the second on 99 %.
DEFAULT = Criterion('difference', 0.5)
FOUND_ON = 'threshold found on 1,000 photographs, one of each class of ImageNet'


@dataclass(frozen=True)
class ImagenetOptions:
    """
    Where to write the bundle, and what to fit it to.

    Attributes
    ----------
    out
        Folder of bundles: `imagenet`, and each CNN alone, for comparison.
    images
        Folder or tar of images, recording or video, without labels, such as the robot will see:
        for the int8 versions and the threshold. None for float32 and a default threshold.
    alpha, delta
        As in CalibrationOptions.

    """

    out: Path
    images: Path | None = None
    alpha: float = 0.01
    delta: float = 0.05


@dataclass(frozen=True)
class ImagenetFindings:
    """
    What was made.

    Attributes
    ----------
    bundle
        The pair.
    quantised
        What quantisation changed in each CNN, by name; none without images.
    calibration
        None without images.

    """

    bundle: Bundle
    quantised: dict[str, QuantisationFindings]
    calibration: CalibrationFindings | None


def make_imagenet(options: ImagenetOptions) -> ImagenetFindings:
    """
    Write the bundles.

    Raises
    ------
    ValueError
        A package of weights is missing, or the images cannot be used.

    """
    names = [f'{IMAGENET}_{network.rpartition("_")[2]}_{side}' for network, side in STAGES]
    for name, (network, side) in zip(names, STAGES):
        write_published(options.out / name, network, side)
    description = 'A thousand everyday classes: EfficientNet-Lite0, then Lite2'
    quantised: dict[str, QuantisationFindings] = {}
    if options.images is None:
        return ImagenetFindings(_default_pair(options.out, names, description), quantised, None)
    for name in names:
        out = options.out / f'{name}_int8'
        quantised[name] = quantise(
            QuantisationOptions(str(options.out / name), options.images, out, out.name)
        )
    bundle, found = calibrate(
        CalibrationOptions(
            options.images,
            tuple(str(options.out / f'{name}_int8') for name in names),
            IMAGENET,
            options.out / IMAGENET,
            description,
            unlabelled=True,
            alpha=options.alpha,
            delta=options.delta,
        )
    )
    return ImagenetFindings(bundle, quantised, found)


def write_published(folder: Path, network: str, side: int) -> None:
    """Write a bundle of one published CNN; side: of its input, pixels."""
    module = networks.build(network, 1000).eval()
    origin = initialise(module, network).origin
    shape = (3, side, side)
    stage = StageSpec(
        'first',
        Preprocessing(side, side, 'rgb', CROP, (LITE_MEAN,) * 3, (LITE_STD,) * 3),
        write_models(folder, module, shape),
        architecture=network,
        macs=networks.count_macs(networks.fuse(module), shape),
        origin=origin,
    )
    labels = tuple(ResNet18_Weights.IMAGENET1K_V1.meta['categories'])
    write_bundle(Bundle(folder, folder.name, labels, (stage,), 'A thousand everyday classes'))


def _default_pair(out: Path, names: list[str], description: str) -> Bundle:
    candidates = read_candidates([str(out / name) for name in names])
    folder = out / IMAGENET
    folder.mkdir(parents=True, exist_ok=True)
    stages = tuple(
        copy_stage(candidate.stage, folder, name, cpu_seconds=seconds, criterion=criterion)
        for candidate, name, seconds, criterion in zip(
            candidates, ('first', 'second'), measure_cpu_seconds(candidates), (DEFAULT, None)
        )
    )
    point = OperatingPoint('default', (DEFAULT,), 'none', f'For want of images: {FOUND_ON}.')
    bundle = Bundle(
        *(folder, IMAGENET, candidates[0].labels, stages, f'{description}; {FOUND_ON}', 'none'),
        operating_points=(point,),
    )
    write_bundle(bundle)
    return bundle
