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
What it costs in accuracy that the node decodes of a JPEG what is needed only.

Each image of a labelled folder is enlarged to the sizes of cameras, compressed with quality 90,
and classified from the full decode and from the smaller one.

Run it with the root of the checkout in PYTHONPATH, with a folder or tar file of labelled images
and a bundle.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.cascade.cascade import ask
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.needs import Needs
from dual_cnn_ros.cascade.thumbnails import thumbnail
from dual_cnn_ros.data.labelled_frames import open_frames
from dual_cnn_ros.messages.images import from_compressed_msg

SIZES = ((640, 480), (1280, 720), (1920, 1080))


def main() -> None:
    """Print one row for each size."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument('images', type=Path, help='as <class>/<file>')
    parser.add_argument('--bundle', default='scenes')
    options = parser.parse_args()
    cv2.setNumThreads(1)
    bundle = Bundle.open(options.bundle)
    stages, rule = bundle.load(), bundle.settings.rule
    needs = Needs(tuple(stage.input for stage in bundle.stages), 'thumbnail')
    source = open_frames(options.images)
    print('| Size | scale | full decode | smaller decode | same label | thumbnails differ by |')
    print('|---|---|---|---|---|---|')
    for size in SIZES:
        right, same, apart = np.zeros(2), 0, 0
        for labelled in source.frames():
            large = cv2.resize(labelled.image(), size, interpolation=cv2.INTER_CUBIC)
            data = cv2.imencode('.jpg', large, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
            message = SimpleNamespace(format='jpeg', data=data)
            frames = [Frame(from_compressed_msg(message, needs=need)) for need in (None, needs)]
            labels = [bundle.labels[ask(stages, frame, rule).label] for frame in frames]
            right += [label == labelled.label for label in labels]
            same += labels[0] == labels[1]
            cells = [np.frombuffer(thumbnail(frame), np.uint8).astype(int) for frame in frames]
            apart = max(apart, int(np.abs(cells[0] - cells[1]).max()))
        scale = 2 ** min(3, needs.halvings(size[1], size[0]))
        full, smaller = 100 * right / source.count
        print(
            f'| {size[0]} x {size[1]} | 1/{scale} | {full:.2f} % | {smaller:.2f} % | '
            f'{100 * same / source.count:.2f} % | {apart} |',
            flush=True,
        )


if __name__ == '__main__':
    main()
