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

"""Which rails of a Jetson make its total, and what that total covers."""

from __future__ import annotations

from collections.abc import Collection

MODULE = 'module'


def total_of(
    rails: Collection[str], whole_input: str | None = None
) -> tuple[tuple[str, ...], str]:
    """
    Return the rails to add up and the scope of their sum, by the first rule that fits.

    `whole_input` is the rail of an INA238 in front of the whole board (AGX Thor). Where no rule
    fits there is no total: adding up whatever is there would count children with their parents.
    Module rails do not cover the carrier board, whatever hangs on it, or the supply's losses.
    """
    if whole_input is not None:
        return (whole_input,), 'whole input'
    for members, scope in _RULES:
        if all(rail in rails for rail in members):
            return members, scope
    return (), ''


# VDDQ_VDD2_1V8AO of the AGX Orin is fed by VIN_SYS_5V0, so its sum has three rails and not four.
# That the three rails of the AGX Thor cover its module is other people's observation, hence
# "estimate".
_RULES: tuple[tuple[tuple[str, ...], str], ...] = (
    (('POM_5V_IN',), 'module (5 V input)'),
    (('VDD_IN', 'VDD_MUX'), 'module and carrier'),
    (('VDD_IN',), MODULE),
    (('GPU', 'CPU', 'SOC', 'CV', 'VDDRQ', 'SYS5V'), MODULE),
    (('VDD_GPU_SOC', 'VDD_CPU_CV', 'VIN_SYS_5V0'), MODULE),
    (('VDD_GPU', 'VDD_CPU_SOC_MSS', 'VIN_SYS_5V0'), 'module (estimate)'),
)
