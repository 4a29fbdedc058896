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
Frames of the robot's own, without labels: a strong CNN's answers are what is to be kept.

Frames that follow each other show the same, so they are no independent trials. A recording is cut
into scenes where its content has changed, or into stretches of equal length, and neighbours are
joined until what happens in one says nothing of the next. A scene is the unit of whatever is
promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
import sys

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dual_cnn_ros.calibration.candidates import Candidate
from dual_cnn_ros.calibration.predictions import LEAST_SCENES, Predictions
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.data.labelled_frames import FrameSource
from dual_cnn_ros.data.recording import NANOSECONDS
from dual_cnn_ros.messages.images import ImageError

# Height and width of the pictures that are compared, and how alike two of one scene are.
PICTURE = 12, 16
SAME_SCENE = 0.5
# One side of a normal distribution, 5 %.
SIGNIFICANT = 1.645

Picture = npt.NDArray[np.float64]


def predict_frames(
    candidates: Sequence[Candidate], source: FrameSource, most: int, block: float | None = None
) -> Predictions:
    """
    Ask each CNN about frames of a recording, a video or a folder, whose labels are not looked at.

    Parameters
    ----------
    candidates
        With the same labels.
    source
        The frames.
    most
        How many of them, taken evenly.
    block
        Seconds of a scene; None to cut where the content changes.

    Returns
    -------
    Predictions
        With labels of -1; the blocks are the scenes.

    Raises
    ------
    ValueError
        Names the CNN that cannot be run, or says that no frame can be read.

    """
    first = candidates[0]
    for other in candidates[1:]:
        if other.labels != first.labels:
            raise ValueError(f'{other.name} knows other classes than {first.name}')
    models = [(candidate.load(), candidate.stage.input) for candidate in candidates]
    wanted = set(np.linspace(0, source.count - 1, min(most, source.count)).round().astype(int))
    scenes = Scenes(block)
    names: list[str] = []
    blocks: list[str] = []
    logits: list[list[npt.NDArray[np.float32]]] = [[] for _ in models]
    frames = tqdm(source.frames(wanted), 'frames', len(wanted), unit='img', disable=None)
    for encoded in frames:
        try:
            frame = Frame(encoded.image())
        except ImageError as error:
            print(f'{source.path}: {encoded.name} is left out: {error}', file=sys.stderr)
            continue
        names.append(encoded.name)
        blocks.append(scenes.scene_of(encoded.camera, encoded.time / NANOSECONDS, frame))
        for answers, (model, preprocessing) in zip(logits, models):
            answers.append(model(frame.blob(preprocessing))[0])
    if not names:
        raise ValueError(f'{source.path}: not one frame of it can be read')
    return Predictions(
        tuple(names),
        np.full(len(names), -1),
        tuple(np.array(answers) for answers in logits),
        tuple(blocks),
    )


class Scenes:
    """
    Cuts frames into scenes, in the order in which they were recorded.

    A scene ends where the camera's picture has little in common with that at the scene's
    beginning: where the correlation of their grey levels, 12 x 16 of them, is below 0.5. Several
    cameras of a robot see the same scene, so it is the first camera that counts.

    Parameters
    ----------
    block
        Seconds of a scene; None to cut by content.

    """

    def __init__(self, block: float | None = None) -> None:
        self._block = block
        self._count = 0
        self._camera = ''
        self._beginning: Picture | None = None

    def scene_of(self, camera: str, seconds: float, frame: Frame) -> str:
        """Return the name of the scene that the next frame belongs to."""
        if self._block is not None:
            return f'scene {int(seconds / self._block)}'
        self._camera = self._camera or camera
        if camera == self._camera:
            picture = _picture(frame)
            if self._beginning is None or likeness(self._beginning, picture) < SAME_SCENE:
                self._count += 1
                self._beginning = picture
        return f'scene {self._count}'


def join_scenes(predictions: Predictions) -> Predictions:
    """
    Join neighbouring scenes, two by two, as long as they have to do with each other.

    They have if the shares of frames that the first CNN answers wrongly, which here is not as the
    label says, of scenes that follow each other are correlated.

    Parameters
    ----------
    predictions
        Of the frames, in the order in which they were recorded.

    """
    names = predictions.blocks or predictions.names
    places = {name: i for i, name in enumerate(dict.fromkeys(names))}
    scenes = np.array([places[name] for name in names])
    wrong = ~predictions.right[0]
    while scenes[-1] + 1 >= LEAST_SCENES:
        share = np.bincount(scenes, wrong) / np.bincount(scenes)
        if not np.ptp(share) or lag_correlation(share) <= SIGNIFICANT / np.sqrt(len(share)):
            break
        scenes //= 2
    return replace(predictions, blocks=tuple(f'scene {scene}' for scene in scenes))


def lag_correlation(values: npt.NDArray[np.float64]) -> float:
    """Return the correlation of neighbours in a series that is not constant."""
    deviations = values - values.mean()
    return float((deviations[1:] * deviations[:-1]).sum() / np.square(deviations).sum())


def likeness(one: Picture, other: Picture) -> float:
    """Return the correlation of two pictures, of mean 0 and length 1 or 0; 1 for two flat ones."""
    if not one.any() and not other.any():
        return 1.0
    return float((one * other).sum())


def _picture(frame: Frame) -> Picture:
    grey = frame.reduced(*PICTURE, None).astype(np.float64).mean(axis=-1)
    grey -= grey.mean()
    length = np.sqrt(np.square(grey).sum())
    # Less contrast than one grey level is a flat picture.
    return grey / length if length > np.sqrt(grey.size) else np.zeros_like(grey)
