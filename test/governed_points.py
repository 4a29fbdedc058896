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

"""Operating points of a pair for a governor to choose from."""

from __future__ import annotations

from dual_cnn_ros.bundle import Certificate, OperatingPoint
from dual_cnn_ros.cascade.settings import Criterion

PROMISE = Certificate(0.01, 0.05, 'betting', 100, 'last alone')


def _point(name: str, threshold: float, accuracy: float, rate: float) -> OperatingPoint:
    certificate = PROMISE if name == 'certified' else None
    criteria = (Criterion('max_probability', threshold),)
    return OperatingPoint(name, criteria, 'none', '', accuracy, (rate,), 10, certificate)


POINTS = (
    _point('cheapest', 0.0, 0.6, 0.0),
    _point('certified', 0.4, 0.7, 0.3),
    _point('dominated', 0.45, 0.65, 0.4),
    _point('careful', 1.0, 0.9, 1.0),
)
