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
Images a second of `train` on this CPU, beside a plain fine-tuning loop of torchvision's parts.

Both fine-tune the same EfficientNet-Lite0 at 128 x 128 on the same JPEG files, in processes of
their own that take turns; with --busy another process wants a core, too.
"""

from __future__ import annotations

from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
import subprocess
import sys
from tempfile import TemporaryDirectory
import time
from typing import Any

import cv2
import numpy as np

NETWORK, SIDE, BATCH, IMAGES = 'efficientnet_lite0', 128, 32, 320
SPIN = 'while True: pass'


def ours(folder: Path) -> float:
    """Return the images a second of an epoch of `train`, its first one left out."""
    from dual_cnn_ros.training import export, loop
    from dual_cnn_ros.training.options import TrainingOptions

    export.to_onnx = lambda *_: b''  # type: ignore[assignment]
    options = TrainingOptions(
        *(folder, NETWORK, folder.parent / 'out', 'net'),
        input=(SIDE, SIDE),
        batch_size=BATCH,
        epochs=3,
        lr=0.01,
        validation=0.0,
        restart=True,
    )
    _, *rest = loop.train(options).curve
    return IMAGES * len(rest) / sum(record.seconds for record in rest)


def plain(folder: Path) -> float:
    """Return the images a second of the loop of a tutorial."""
    import torch
    from torch.nn.functional import cross_entropy
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    from dual_cnn_ros.inference import networks

    transform = v2.Compose(
        [
            v2.ToImage(),
            v2.RandomResizedCrop(SIDE, scale=(0.5, 1)),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(0.2, 0.2, 0.2),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.5,) * 3, (0.5,) * 3),
        ]
    )
    data = ImageFolder(folder, transform)
    loader: Any = torch.utils.data.DataLoader(data, BATCH, shuffle=True)
    network = networks.build(NETWORK, 2).train()
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    seconds = []
    for _ in range(3):
        start = time.monotonic()
        for images, labels in loader:
            loss = cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        seconds.append(time.monotonic() - start)
    return IMAGES * 2 / sum(seconds[1:])


def main() -> None:
    """Measure, or be one of the processes."""
    roles = {'ours': ours, 'plain': plain}
    if sys.argv[1:2] and sys.argv[1] in roles:
        print(roles[sys.argv[1]](Path(sys.argv[2])))
        return
    parser = ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--busy', action='store_true')
    options = parser.parse_args()
    found: dict[str, list[float]] = {role: [] for role in roles}
    with TemporaryDirectory() as root, ExitStack() as stack:
        folder = Path(root, 'images')
        random = np.random.default_rng(0)
        for number in range(IMAGES):
            coarse = random.integers(0, 256, (12, 12, 3), np.uint8)
            file = folder / 'ab'[number % 2] / f'{number}.jpg'
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), cv2.resize(coarse, (160, 160)))
        if options.busy:
            other = stack.enter_context(subprocess.Popen([sys.executable, '-c', SPIN]))
            stack.callback(other.kill)
        for _ in range(options.rounds):
            for role in roles:
                command = [sys.executable, __file__, role, str(folder)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[role].append(float(done.stdout.split()[-1]))
    print('| | images a second |\n|---|---|')
    for role, values in found.items():
        print(f'| {role} | {np.median(values):.0f} ({min(values):.0f} to {max(values):.0f}) |')
    print(f'| ratio | {np.median(found["ours"]) / np.median(found["plain"]):.1f} |')


if __name__ == '__main__':
    main()
