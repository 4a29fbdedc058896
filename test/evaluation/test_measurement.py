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

"""What measure says of costs; the rest is tested with its command and in energy."""

from __future__ import annotations

from pathlib import Path
import platform

import pytest
from simulated_machine import failing, Machine

from dual_cnn_ros.energy.bench import Bench
from dual_cnn_ros.evaluation.measurement import cost_table, machine_name


def test_costs_above_an_unknown_idle_power_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    sensor = failing(machine, lambda t: t < 40 or t > 60)
    lines = cost_table(Bench(sensor, 10.0).run({'image': machine.work}))
    assert 'Idle: unknown, as readings cover neither rest.' in lines
    assert lines[-1].startswith('image: refused, ') and 'nan' not in ''.join(lines)


def test_a_machine_that_is_no_board_has_the_name_of_its_processor(tmp_path: Path) -> None:
    known = Path('/proc/cpuinfo').read_text() + f'{platform.system()} {platform.machine()}'
    name = machine_name(tmp_path)
    assert name and name in known
