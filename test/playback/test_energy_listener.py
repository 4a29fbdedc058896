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

"""Where the demo's joules come from, and how the idle power is asked for."""

from collections.abc import Iterator
from pathlib import Path
import sys
import time

from node_fixtures import Client
import pytest
from std_srvs.srv import Trigger

from dual_cnn_ros.playback import energy_listener
from dual_cnn_ros.playback.energy_listener import (
    CONSTRUCTED,
    EnergyListener,
    find_power_input,
    PowerInput,
)

pytestmark = pytest.mark.ros


@pytest.fixture
def client() -> Iterator[Client]:
    """Return the test's own node, which hears the others."""
    client = Client()
    yield client
    client.close()


@pytest.mark.parametrize(
    ('rate', 'trace', 'said'),
    [
        (1.0, None, 'energy: none, no power sensor here (ina3221: no INA3221'),
        (6.0, Path('trace.csv'), 'and no trace at a --rate outside of 0.5 to 5'),
        (0.4, Path('trace.csv'), 'and no trace at a --rate outside of 0.5 to 5'),
    ],
)
def test_no_joules_without_a_sensor(
    monkeypatch: pytest.MonkeyPatch, rate: float, trace: Path | None, said: str
) -> None:
    monkeypatch.setitem(sys.modules, 'pynvml', None)
    meter, line = find_power_input(Path('/none'), trace, rate)
    assert meter is None and said in line


def test_pictures_show_no_watts_of_a_constructed_trace() -> None:
    constructed = PowerInput(CONSTRUCTED, Path('/sys'), Path('trace.csv')).nodes(2.0)
    for topic in ('power_topic:=""', 'energy_topic:=""'):
        assert topic in constructed['classifier']
    assert all('use_sim_time:=true' in arguments for arguments in constructed.values())
    measured = PowerInput('by ina3221', Path('/sys')).nodes(2.0)
    assert measured['classifier'] == [] and 'use_sim_time:=true' not in measured['power']


def test_idle_is_asked_for_until_it_is_being_measured(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is lost and refusals for want of readings cost time and nothing else."""
    monkeypatch.setattr(energy_listener, 'ANSWER_TIMEOUT', 0.5)
    asked: list[int] = []

    def measure_idle(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        asked.append(1)
        if len(asked) == 1:
            time.sleep(1.0)  # a success, but the answer comes when nobody waits for it any more
        response.success = len(asked) in (1, 4)
        return response

    client.node.create_service(Trigger, '/energy_monitor/measure_idle', measure_idle)
    listener = EnergyListener(client.node, [])
    client.wait_until('the service', listener._idle.service_is_ready)
    listener.measure_idle(lambda: time.sleep(0.02))
    assert len(asked) == 4
    # Where it is never granted, that is not waited for without end.
    monkeypatch.setattr(energy_listener, 'READING_TIMEOUT', 0.5)
    listener.measure_idle(lambda: time.sleep(0.02))
    assert len(asked) > 4
