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
Which rails of a Jetson make its total, and what that total covers.

A label does not suffice: a monitor on an add-on may have that of a rail of the module. So a rail
of the total is known by the others that the same chip measures.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

_MODULE = 'module'
# Of AGX Thor alone.
_THOR = ('VDD_GPU', 'VDD_CPU_SOC_MSS', 'VIN_SYS_5V0')


@dataclass(frozen=True)
class _Group:
    """Rails to add up that one chip measures, with any of its `others` beside them."""

    members: tuple[str, ...]
    others: tuple[str, ...] = ()

    def is_on(self, chip: Mapping[str, str]) -> bool:
        return all(label in chip for label in self.members) and (
            not self.others or any(label in chip for label in self.others)
        )


def total_of(
    chips: Sequence[Mapping[str, str]], whole_inputs: Sequence[str] = ()
) -> tuple[tuple[str, ...], str]:
    """
    Say which rails of a board add up to its total.

    Parameters
    ----------
    chips
        Of each INA3221, its rails' unique names by their labels.
    whole_inputs
        The rails that are said to be in front of the whole board; more than one cannot be.

    Returns
    -------
    members : tuple of str
        The rails to add up, by the first rule that fits; empty where no rule does, because a sum
        of all rails would count some of them twice, once by themselves and once in the rail that
        feeds them; and where two chips fit the same rule.
    scope : str
        What the sum covers, empty where there is none. 'module' leaves out the carrier board, all
        that is connected to it, and the losses of the supply.

    """
    if len(whole_inputs) == 1:
        return tuple(whole_inputs), 'whole input'
    for scope, groups in _RULES:
        found = [[chip for chip in chips if group.is_on(chip)] for group in groups]
        if not all(found):
            continue
        if any(len(fitting) > 1 for fitting in found):
            break
        return (
            tuple(
                chip[label]
                for group, [chip] in zip(groups, found, strict=True)
                for label in group.members
            ),
            scope,
        )
    return (), ''


def is_thor(labels: Collection[str]) -> bool:
    """Return whether these are the rails of an AGX Thor."""
    return all(label in labels for label in _THOR)


_NANO_INPUT = _Group(('POM_5V_IN',), ('POM_5V_GPU', 'POM_5V_CPU'))
_INPUT = _Group(
    ('VDD_IN',),
    (
        *('VDD_CPU_GPU_CV', 'VDD_CPU_GPU', 'VDD_SOC'),
        *('VDD_SYS_CPU', 'VDD_SYS_DDR', 'VDD_GPU', 'VDD_CPU', 'VDD_DDR'),
    ),
)
_CARRIER = _Group(('VDD_MUX',), ('VDD_5V_IO_SYS', 'VDD_5V0_IO_SYS', 'VDD_3V3_SYS'))
# VDDQ_VDD2_1V8AO of the AGX Orin is fed by VIN_SYS_5V0, so its sum has three rails and not four.
# That the three rails of the AGX Thor cover its module is other people's observation, hence
# "estimate".
_RULES = (
    ('module (5 V input)', (_NANO_INPUT,)),
    ('module and carrier', (_INPUT, _CARRIER)),
    (_MODULE, (_INPUT,)),
    (_MODULE, (_Group(('GPU', 'CPU', 'SOC')), _Group(('CV', 'VDDRQ', 'SYS5V')))),
    (_MODULE, (_Group(('VDD_GPU_SOC', 'VDD_CPU_CV', 'VIN_SYS_5V0')),)),
    ('module (estimate)', (_Group(_THOR),)),
)
