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
What the memory answers of a camera that stands, as it is and disturbed, and how right that is.

Every frame is also computed, so that each answer of the memory can be compared with what the CNNs
would have said. The content of a frame counts as changed where more than one in a hundred of its
160 x 90 grey pixels differs by over 20 from the frame that it was taken for.

Run it with the root of the checkout in PYTHONPATH, and with a video or a folder of frames.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from dataclasses import replace
import math
from pathlib import Path
import time

import cv2
import numpy as np

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.cascade.cascade import ask, Cascade
from dual_cnn_ros.cascade.frame import Frame, Image
from dual_cnn_ros.cascade.memory import Memory
from dual_cnn_ros.data.image_stream import stream_folder, stream_video
from dual_cnn_ros.evaluation.views import CHANGED, Views

Disturbance = Callable[[Image, int], Image]
random = np.random.default_rng(1)


def scaled(image: Image, factor: object) -> Image:
    """Return the image with its pixels multiplied by one factor, or by one for each channel."""
    return np.clip(np.rint(image * np.asarray(factor, np.float32)), 0, 255).astype(np.uint8)


def noise(image: Image, sigma: float) -> Image:
    """Return the image with the noise of a sensor."""
    noisy = image + random.normal(0, sigma, image.shape).astype(np.float32)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def white_balance(image: Image, number: int) -> Image:
    """Return the image with blue and red changed by up to 8 %, slowly and against each other."""
    change = 0.08 * math.sin(2 * math.pi * number / 400)
    return scaled(image, (1 + change, 1, 1 - change))


def shaken(image: Image, pixels: int) -> Image:
    """Return the image moved by up to so many whole pixels in either direction."""
    right, down = random.integers(-pixels, pixels + 1, 2)
    move = np.array([[1, 0, right], [0, 1, down]], np.float32)
    size = image.shape[1], image.shape[0]
    return np.asarray(cv2.warpAffine(image, move, size, borderMode=cv2.BORDER_REFLECT), np.uint8)


DISTURBANCES: dict[str, Disturbance] = {
    'as it is': lambda image, _: image,
    'noise, sigma 2': lambda image, _: noise(image, 2),
    'noise, sigma 4': lambda image, _: noise(image, 4),
    'brightness drifts by 10 %': lambda image, number: scaled(
        image, 1 + 0.1 * math.sin(2 * math.pi * number / 300)
    ),
    'flicker of 3 %': lambda image, number: scaled(
        image, 1 + 0.03 * math.sin(2 * math.pi * number * 0.37)
    ),
    'white balance shifts': white_balance,
    'shaken by 1 pixel': lambda image, _: shaken(image, 1),
    'shaken by 2 pixels': lambda image, _: shaken(image, 2),
}


def frames(source: Path) -> Iterator[Image]:
    """Yield the frames of a video, or the images of a folder by the order of their names."""
    stream = stream_folder(source, 30.0) if source.is_dir() else stream_video(str(source))
    for message in stream.messages():
        yield message.image()


def new_frames(source: Path) -> Iterator[Image]:
    """Yield all frames, then all mirrored, then all upside down, so that none repeats."""
    for code in (None, 1, 0):
        for image in frames(source):
            yield image if code is None else np.asarray(cv2.flip(image, code), np.uint8)


def looking(bundle: Bundle, images: Iterator[Image], after: int) -> float:
    """Return the share of the CPU time that the memory takes, from a frame on."""
    memory = Memory(bundle.settings.remember, seed=0)
    stages = bundle.load()
    spent = whole = 0.0
    for number, image in enumerate(images):
        frame = Frame(image)
        start = time.thread_time()
        recalled = memory.recall(frame)
        looked = time.thread_time()
        decision = ask(stages, frame, bundle.settings.rule)
        asked = time.thread_time()
        if recalled.answer is None:
            memory.remember(recalled, decision)
        end = time.thread_time()
        if number >= after:
            spent += looked - start + end - asked
            whole += end - start
    return spent / whole


def row(bundle: Bundle, images: Iterator[Image], count: int, fingerprint: str) -> str:
    """Return the figures of one pass over the images."""
    number = 0
    remember = replace(bundle.settings.remember, fingerprint=fingerprint)
    if fingerprint != 'thumbnail':
        remember = replace(remember, audit=0)
    # One frame a second, so that an age is a number of frames.
    cascade = Cascade(
        bundle.load(), replace(bundle.settings, remember=remember), lambda: float(number), seed=0
    )
    views = Views(count)
    hits = answered = wrong = changed = 0
    seconds = np.zeros(2)
    for image in images:
        number += 1
        start = time.thread_time()
        decision = cascade.classify(Frame(image))
        middle = time.thread_time()
        computed = ask(cascade.stages, Frame(image), bundle.settings.rule)
        seconds += middle - start, time.thread_time() - middle
        views.add(image)
        hits += decision.distance is not None
        if decision.source == 'memory':
            answered += 1
            wrong += decision.label != computed.label
            changed += views.changed(decision.age) > CHANGED
    with_memory, without = 1e3 * seconds / count
    of_answered = [f'{100 * part / max(1, answered):.1f} %' for part in (wrong, changed)]
    shares = [f'{100 * part / count:.1f} %' for part in (hits, answered)]
    return ' | '.join([*shares, *of_answered, f'{without:.2f} ms', f'{with_memory:.2f} ms'])


def main() -> None:
    """Print one row for each disturbance, and one for the key of the paper."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, help='a video or a folder of images')
    parser.add_argument('--bundle', default='scenes')
    parser.add_argument('--undisturbed', action='store_true', help='the frames as they are only')
    parser.add_argument(
        '--moving', action='store_true', help='only what the memory costs where nothing repeats'
    )
    options = parser.parse_args()
    cv2.setNumThreads(1)
    bundle = Bundle.open(options.bundle)
    if options.moving:
        third = sum(1 for _ in frames(options.source))
        for after in (0, third):
            share = looking(bundle, new_frames(options.source), after)
            print(f'from frame {after} on the memory takes {share:.1%} of the CPU time')
        return
    count = sum(1 for _ in frames(options.source))
    print('| Frames | hits | answered | wrong labels | changed | CPU without memory | with it |')
    print('|---|---|---|---|---|---|---|')
    names = list(DISTURBANCES)[: 1 if options.undisturbed else None]
    for name, fingerprint in [*((name, 'thumbnail') for name in names), ('as it is', 'dhash')]:
        disturb = DISTURBANCES[name]
        images = (disturb(image, number) for number, image in enumerate(frames(options.source)))
        title = name if fingerprint == 'thumbnail' else f'{name}, `{fingerprint}`'
        print(f'| {title} | {row(bundle, images, count, fingerprint)} |', flush=True)


if __name__ == '__main__':
    main()
