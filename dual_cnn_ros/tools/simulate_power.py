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
Construct the power trace of an imagined board from what a bundle decides about a recording.

NOTHING IN SUCH A TRACE IS MEASURED. It shows the way from readings to joules per decision where
there is no power sensor. The joules that it was constructed from are stated in its first lines,
so that they can be compared with what the nodes find.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import sys

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.data.recording import Recording
from dual_cnn_ros.synthetic.simulated_power import simulate_power, write_trace
from dual_cnn_ros.tools.cli import csv_file, make_parser, run_cli, writes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = make_parser('simulate_power', __doc__)
    parser.add_argument('recording', type=Path, help='a rosbag2 recording with images')
    parser.add_argument('--bundle', required=True, help='name or folder of the bundle')
    parser.add_argument(
        '--out', type=csv_file, required=True, metavar='FILE', help='the .csv to write'
    )
    options = parser.parse_args(arguments)

    def work() -> None:
        with writes('simulate_power', options.out):
            with Recording(options.recording) as recording:
                trace = simulate_power(recording, Bundle.open(options.bundle))
            write_trace(trace, options.out)
        print(
            f'{options.out}: CONSTRUCTED, {len(trace.readings)} readings, '
            f'{sum(trace.decisions.values())} decisions'
        )

    return run_cli('simulate_power', work)


if __name__ == '__main__':
    sys.exit(main())
