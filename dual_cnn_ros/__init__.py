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
Two CNNs and a memory that classify camera images on a robot, and the energy that it takes.

Open a bundle by name, classify an image, read who answered, and the joules where a sensor is::

    import cv2

    from dual_cnn_ros import Bundle, EnergyMeter, Frame

    bundle = Bundle.open('scenes')
    cascade = bundle.cascade()
    with EnergyMeter() as meter:
        meter.begin_window('image')
        decision = cascade.classify(Frame(cv2.imread('image.jpg')))
        energy = meter.end_window('image')
    print(bundle.labels[decision.label], decision.score, 'answered by', decision.source)
    print(energy.joules, energy.reason)  # None and why, where there is no sensor

Importing the package loads nothing: each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dual_cnn_ros.bundle import Bundle
    from dual_cnn_ros.cascade.cascade import Cascade
    from dual_cnn_ros.cascade.frame import Frame
    from dual_cnn_ros.energy.meter import EnergyMeter

# ONNX Runtime's wheels send usage data unless told not to before they are imported, and nothing of
# ours imports them before this. Whoever set the variable has decided.
os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')

__all__ = ['Bundle', 'Cascade', 'EnergyMeter', 'Frame']

_MODULES = {
    'Bundle': 'dual_cnn_ros.bundle',
    'Cascade': 'dual_cnn_ros.cascade.cascade',
    'EnergyMeter': 'dual_cnn_ros.energy.meter',
    'Frame': 'dual_cnn_ros.cascade.frame',
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_MODULES[name]), name)
