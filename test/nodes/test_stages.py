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

"""The node and its messages with cascades of one, three and four stages."""

from __future__ import annotations

from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from node_fixtures import by_name, classifier, Client, frame
import pytest
from tiny_bundle import make_bundle, STAGES

from dual_cnn_ros.cascade.settings import Criterion, Rule
from dual_cnn_ros.messages.decisions import read_decision

pytestmark = pytest.mark.ros


@pytest.mark.parametrize('count', [1, 3, 4])
def test_every_stage_is_asked_and_named(tmp_path: Path, client: Client, count: int) -> None:
    # Only the last stage is sure of anything.
    rule = Rule((Criterion('max_probability', 1.0),) * (count - 1), 'average')
    bundle = make_bundle(tmp_path / 'bundle', gains=(1.0, 1.5, 2.0, 20.0)[:count], rule=rule)
    given = {'image_topics': ['image'], 'memory': False}
    with classifier(tmp_path, bundle=str(bundle), **given):
        camera, heard = client.camera('/image'), []
        client.hear(DiagnosticArray, '/dual_cnn/decision', heard.append)
        client.wait_until('decisions', lambda: client.node.count_publishers('/dual_cnn/decision'))
        assert camera.label_of(frame('green')) == 'green'
        client.wait_until('a decision', lambda: heard, meanwhile=lambda: camera.send(frame('red')))
        (status,) = heard[-1].status
        published = read_decision(status)
        assert published.stages == STAGES[:count] == tuple(published.scores)
        assert published.source == STAGES[count - 1] and published.macs == 9 * count
        (values,) = by_name(heard[-1]).values()
        assert values['winner'] == ('average' if count > 1 else 'first')
        shares = client.values(_camera(client))
        assert {f'share.{name}' for name in ('memory', *STAGES[:count])} <= set(shares)
        client.wait_for_status('cascade', b'\x00')
        assert client.last_values('cascade')['threshold'] == ' '.join(['1.0000'] * (count - 1))


def _camera(client: Client) -> str:
    """Return the name of the camera's status."""

    def found() -> list[str]:
        return [name.partition(': ')[2] for name in client.statuses if ': camera ' in name]

    client.wait_until('a status of the camera', found)
    return found()[0]
