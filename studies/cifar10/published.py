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
Make bundles of one stage from published CIFAR-10 CNNs: published.py MODELS OUT.

MODELS has the ONNX files named in PUBLISHED: float32, one image of 1 x 3 x 32 x 32 in, logits out.
Their weights have seen every training image of CIFAR-10, so nothing may be calibrated on those.
"""

from __future__ import annotations

import math
from pathlib import Path
import shutil
import sys

import onnx

from dual_cnn_ros.bundle import Bundle, ModelFile, sha256, StageSpec, write_bundle
from dual_cnn_ros.cascade.frame import Preprocessing

LABELS = (
    *('airplane', 'automobile', 'bird', 'cat', 'deer'),
    *('dog', 'frog', 'horse', 'ship', 'truck'),
)
# Mean and standard deviation of the training images, those of ImageNet, and none: as each was
# trained.
CIFAR = Preprocessing(32, 32, 'rgb', None, (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
IMAGENET = Preprocessing(32, 32, 'rgb', None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
RAW = Preprocessing(32, 32, 'rgb', None, (0.0,) * 3, (1 / 255,) * 3)
CHENYAOFO = 'github.com/chenyaofo/pytorch-cifar-models, BSD-3-Clause'
AKAMASTER = 'github.com/akamaster/pytorch_resnet_cifar10, BSD-2-Clause'
TITU = 'github.com/titu1994/DenseNet, MIT; its checkpoint was selected on the test images'
PUBLISHED = {
    'shufflenetv2_x0_5_c': (CIFAR, CHENYAOFO),
    'resnet20_c': (CIFAR, CHENYAOFO),
    'resnet56_c': (CIFAR, CHENYAOFO),
    'resnet20_a': (IMAGENET, AKAMASTER),
    'resnet32_a': (IMAGENET, AKAMASTER),
    'resnet44_a': (IMAGENET, AKAMASTER),
    'resnet56_a': (IMAGENET, AKAMASTER),
    'densenet40_12': (RAW, TITU),
}


def count_macs(file: Path) -> int:
    """Return the multiply-accumulate operations of convolutions and matrix products, one image."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(file)).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(d.dim_value or 1 for d in value.type.tensor_type.shape.dim)
    macs = 0
    for node in graph.node:
        if node.op_type == 'Conv':
            # Each number of the output is a sum over the weights of its filter.
            macs += math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
        elif node.op_type in ('Gemm', 'MatMul'):
            macs += math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return macs


def convert(models: Path, out: Path) -> None:
    """Write a bundle for each of PUBLISHED into a folder of its name."""
    for name, (preprocessing, origin) in PUBLISHED.items():
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / 'model.onnx'
        shutil.copyfile(models / f'{name}.onnx', file)
        macs = count_macs(file)
        stage = StageSpec(
            name,
            preprocessing,
            {'onnx': ModelFile(file, sha256(file))},
            architecture=name,
            macs=macs,
            origin=origin,
        )
        write_bundle(Bundle(folder, name, LABELS, (stage,), post_check='none'))
        print(f'{folder}: {macs / 1e6:.1f} million MACs')


if __name__ == '__main__':
    convert(*map(Path, sys.argv[1:]))
