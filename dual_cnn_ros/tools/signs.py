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
Render camera views of twelve signs, and of none, as an image folder for training.

`ros2 run dual_cnn_ros signs OUT` writes OUT/<label>/<number>.jpg. Each image is a whole camera
frame stretched to a square, which is what the classifier node makes of a camera topic: the sign
may be anywhere in it, small or large. Nothing here is a photograph. Do not mirror the images in
training: turn_left would become turn_right.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import sys

from dual_cnn_ros.synthetic.sign_views import write_views
from dual_cnn_ros.tools.cli import make_parser, number, run_cli, writes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = make_parser('signs', __doc__)
    parser.add_argument('out', type=Path, help='folder for <label>/<number>.jpg')
    for name, limits, default, text in (
        ('--per-class', (1,), 1000, 'views of each label'),
        ('--size', (8, 4096), 64, 'side of the images in pixels'),
        ('--seed', (0,), 0, 'another seed, other views'),
        ('--first', (0,), 0, 'number of the first view, to add to a data set'),
        ('--quality', (0, 100), 95, 'JPEG quality'),
    ):
        parser.add_argument(
            name, type=number(*limits, kind=int), default=default, help=f'{text} (%(default)s)'
        )
    options = parser.parse_args(arguments)

    def work() -> None:
        with writes('signs', options.out):
            write_views(**vars(options))

    return run_cli('signs', work)


if __name__ == '__main__':
    sys.exit(main())
