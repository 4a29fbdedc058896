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

"""What a cascade costs, from what its stages do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def expected_cost(costs: Sequence[float], deferral_rates: Sequence[Any]) -> Any:
    """
    Return the mean cost of an image.

    Parameters
    ----------
    costs
        Of each stage.
    deferral_rates
        Of each stage but the last, the share of images that it passes on: numbers, or arrays.

    """
    total: Any = float(costs[0])
    for rate, cost in zip(deferral_rates, costs[1:]):
        total = total + rate * cost
    return total
