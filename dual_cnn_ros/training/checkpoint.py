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

"""Save a training after each epoch, so that it can go on after a kill as if nothing happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
import hashlib
import io
from pathlib import Path
from typing import Any, Protocol

import torch

from dual_cnn_ros.data.dataset import Dataset
from dual_cnn_ros.files import write_atomically
from dual_cnn_ros.training.options import TrainingOptions

# Options that may differ between the runs of one training without changing its result; the fields
# of augmentation are compared one by one instead.
NOT_COMPARED = (
    *('data', 'exclude', 'labels', 'out', 'name', 'device', 'restart', 'augmentation'),
    'epochs',  # more may be added
)


class TrainingError(ValueError):
    """The training cannot go on; the message says what to change."""


@dataclass(frozen=True)
class EpochRecord:
    """
    What one epoch reached.

    Attributes
    ----------
    epoch
        Its number, from 1.
    lr
        Learning rate of its last step.
    loss
        Mean cross-entropy of the training images, nats, augmentation and label smoothing included.
    validation_accuracy, validation_loss
        Of the averaged weights, nats; None where no image was kept for validation.
    seconds
        Wall-clock time.

    """

    epoch: int
    lr: float
    loss: float
    validation_accuracy: float | None
    validation_loss: float | None
    seconds: float


class Stateful(Protocol):
    """A part of the training that has a state: a network, an optimizer, a schedule."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as tensors, numbers and strings."""

    def load_state_dict(self, state: dict[str, Any], /) -> object:
        """Take over a state."""


class Checkpoint:
    """
    The state of a training in one file.

    Parameters
    ----------
    path
        The file; it need not exist.
    options, data
        What is trained; a checkpoint of other options or other images is refused.
    parts
        All that has a state, by name.

    """

    def __init__(
        self, path: Path, options: TrainingOptions, data: Dataset, parts: Mapping[str, Stateful]
    ) -> None:
        self.path = path
        self.parts = parts
        values = {**asdict(options), **asdict(options.augmentation), 'images': _digest(data)}
        self.identity = {key: value for key, value in values.items() if key not in NOT_COMPARED}

    def save(self, curve: list[EpochRecord]) -> None:
        """Write the state of all parts and the epochs so far; a kill leaves a whole file."""
        states = {name: part.state_dict() for name, part in self.parts.items()}
        buffer = io.BytesIO()
        epochs = [asdict(record) for record in curve]
        torch.save({'identity': self.identity, 'curve': epochs, **states}, buffer)
        write_atomically(self.path, buffer.getvalue())

    def restore(self, device: torch.device) -> list[EpochRecord]:
        """
        Give all parts the state of the file, if there is one.

        Returns
        -------
        list of EpochRecord
            The epochs so far.

        Raises
        ------
        TrainingError
            If the file is damaged or belongs to another training.

        """
        if not self.path.exists():
            return []
        hint = 'use another --name or --out, or --restart to begin anew'
        try:
            content = torch.load(self.path, map_location=device, weights_only=True)
            other = content['identity']
            changes = [
                f'{key} {other.get(key)!r} -> {self.identity.get(key)!r}'
                for key in sorted({**self.identity, **other})
                if self.identity.get(key) != other.get(key)
            ]
        except Exception as error:  # damaged bytes lead the unpickler to any of a dozen
            raise TrainingError(
                f'{self.path} is no readable checkpoint ({error}); {hint}'
            ) from error
        if changes:
            raise TrainingError(
                f'{self.path} belongs to a training with other settings '
                f'({", ".join(changes)}); {hint}'
            )
        for name, part in self.parts.items():
            part.load_state_dict(content[name])
        return [EpochRecord(**record) for record in content['curve']]


def _digest(data: Dataset) -> str:
    digest = hashlib.sha256(repr((data.classes, data.training.names)).encode())
    digest.update(data.training.images.data)
    return digest.hexdigest()
