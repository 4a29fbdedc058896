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

_MODULE = 'module'


def total_of(
    rails: Collection[str], whole_input: str | None = None
) -> tuple[tuple[str, ...], str]:
    """
    Say which rails of a board add up to its total.

    Parameters
    ----------
    rails
        All rails of the board.
    whole_input
        The rail of an INA238 in front of the whole board (AGX Thor).

    Returns
    -------
    members : tuple of str
        The rails to add up, by the first rule that fits; empty where no rule does, because a sum
        of all rails would count some of them twice, once by themselves and once in the rail that
        feeds them.
    scope : str
        What the sum covers, empty where there is none. 'module' leaves out the carrier board, all
        that is connected to it, and the losses of the supply.

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
    (('VDD_IN',), _MODULE),
    (('GPU', 'CPU', 'SOC', 'CV', 'VDDRQ', 'SYS5V'), _MODULE),
    (('VDD_GPU_SOC', 'VDD_CPU_CV', 'VIN_SYS_5V0'), _MODULE),
    (('VDD_GPU', 'VDD_CPU_SOC_MSS', 'VIN_SYS_5V0'), 'module (estimate)'),
)
