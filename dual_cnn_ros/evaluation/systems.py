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

"""Cascades to compare: named on a command line, sharing the CNNs and what these answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
import json
import math
from pathlib import Path
import re

import numpy as np
import numpy.typing as npt

from dual_cnn_ros import bundle as bundles
from dual_cnn_ros.bundle import Bundle, BundleError, StageSpec
from dual_cnn_ros.calibration.predictions import read_trained, Trained
from dual_cnn_ros.cascade.cascade import Cascade, Probabilities, Stage
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.settings import Settings
from dual_cnn_ros.inference import BACKENDS, ModelSource
from dual_cnn_ros.nodes.parameters import bundle_path


@dataclass(frozen=True)
class System:
    """
    A bundle's cascade under one rule, or one of its stages alone.

    stages: the indices of the stages that may be asked. settings: those of the bundle, of its
    operating point, or of a single stage.
    """

    name: str
    bundle: Bundle
    stages: tuple[int, ...]
    settings: Settings

    @property
    def specs(self) -> tuple[StageSpec, ...]:
        """The stages that may be asked."""
        return tuple(self.bundle.stages[i] for i in self.stages)


def parse(text: str) -> System:
    """
    Return the system that BUNDLE, BUNDLE@POINT, BUNDLE@STAGE or MODEL.json names; see evaluate.

    NAME= before it gives it another name. ValueError says which points and stages there are.
    """
    given = ''
    if not _is_bundle(text) and (match := re.fullmatch(r'([^/@=]+)=(.+)', text)):
        given, text = match.groups()
    if text.endswith('.json'):
        alone = _alone(read_trained(Path(text)))
        return System(given or alone.name, alone, (0,), alone.settings)
    name, _, part = (text, '', '') if _is_bundle(text) or '@' not in text else text.rpartition('@')
    bundle = bundles.read(Path(name) if _is_bundle(name) else bundle_path(name))
    title = given or f'{bundle.name}@{part}'.removesuffix('@')
    if not part:
        return System(title, bundle, tuple(range(len(bundle.stages))), bundle.settings)
    for i, stage in enumerate(bundle.stages):
        if stage.name == part:
            # Its score is only shown: there is nobody to ask after it.
            return System(title, bundle, (i,), Settings(thresholds=()))
    if part in bundle.points:
        return System(title, bundle, tuple(range(len(bundle.stages))), bundle.points[part])
    there = [*(stage.name for stage in bundle.stages), *bundle.points]
    raise ValueError(
        f'{text}: bundle {bundle.name} has no stage or operating point {part!r}; '
        f'it has: {"; ".join(there)}'
    )


def _alone(trained: Trained) -> Bundle:
    """Return a CNN that is in no bundle as one of a single stage, its logits as they are."""
    files = {kind: trained.file(kind) for kind in ('onnx', 'safetensors')}
    stage = StageSpec(
        'alone',
        ModelSource(files, trained.metrics['architecture']),
        {kind: bundles.sha256(file) for kind, file in files.items()},
        trained.input,
        multiply_adds=trained.metrics['multiply_adds'],
    )
    return Bundle(
        trained.folder / f'{trained.name}.json',
        trained.name,
        '',
        tuple(trained.metrics['labels']),
        (stage,),
        Settings(thresholds=()),
    )


def _is_bundle(text: str) -> bool:
    return (Path(text) / bundles.FILE).is_file()


class Networks:
    """
    All CNNs of some systems, each loaded once, and what they answered to each frame.

    A stage made by `cascade` runs its CNN while `live` is set. Otherwise it gives what `ask` found
    for the current frame, so that any number of rules is tried at the cost of asking every CNN
    once. Equal files with equal input and temperature are one CNN, in whatever place and with
    whatever learned score each bundle has it.

    answers: probabilities by number of the CNN, (K,), in each bundle's own order of labels. keys:
    of the CNNs; ran_by: the backend and device that each of them was loaded for.
    """

    def __init__(self, systems: Iterable[System], backend: str, device: str) -> None:
        """Load the bundles of the systems; BundleError says which cannot be run."""
        self.live = False
        self.answers: Sequence[Probabilities] = ()
        self.keys: list[str] = []
        self.ran_by: list[tuple[str, str]] = []
        self.widths: list[int] = []
        self._stages: list[Stage] = []
        self._numbers: dict[tuple[Path, int], int] = {}
        for bundle in {system.bundle.path: system.bundle for system in systems}.values():
            for i, spec in enumerate(bundle.stages):
                key = _key(spec)
                if key not in self.keys:
                    ran_by, stage = _load(replace(bundle, stages=(spec,)), backend, device)
                    self.keys.append(key)
                    self.ran_by.append(ran_by)
                    self.widths.append(len(bundle.labels))
                    self._stages.append(stage)
                self._numbers[bundle.path, i] = self.keys.index(key)

    def ask(self, frame: Frame) -> list[Probabilities]:
        """Return what each CNN answers to a frame."""
        return [stage.classify(frame) for stage in self._stages]

    def cascade(self, system: System, settings: Settings) -> Cascade:
        """Return the cascade of a system."""
        return Cascade([self._stage(system, i) for i in system.stages], settings)

    def _stage(self, system: System, index: int) -> Stage:
        number = self._numbers[system.bundle.path, index]
        ask, spec = self._stages[number].classify, system.bundle.stages[index]

        def classify(frame: Frame) -> Probabilities:
            return ask(frame) if self.live else self.answers[number]

        return Stage(spec.name, classify, spec.deferral)


def _load(alone: Bundle, backend: str, device: str) -> tuple[tuple[str, str], Stage]:
    """Return what 'auto' comes to here, backend and device, and the stage of a bundle of one."""
    for ran_by in product(
        BACKENDS if backend == 'auto' else (backend,),
        ('cuda', 'cpu') if device == 'auto' else (device,),
    ):
        with suppress(BundleError):
            return ran_by, alone.load(*ran_by)[0]
    # It says why not, of each backend.
    return (backend, device), alone.load(backend, device)[0]


def _key(spec: StageSpec) -> str:
    return json.dumps(
        [
            dict(sorted(spec.digests.items())),
            spec.source.torchvision,
            spec.source.architecture,
            repr(spec.input),
            spec.temperature,
        ]
    )


class Answers:
    """
    What every CNN answered to every frame, in a file, so that a run that was cut off goes on.

    path: of the file; `identity` of what belongs in it stands beside it. shape: frames or variants
    of frames, then as many numbers as each has. Raises ValueError where the file belongs to
    something else, and `restart` is not set.
    """

    def __init__(
        self, path: Path, identity: object, shape: tuple[int, ...], restart: bool
    ) -> None:
        self._path, self._beside = path, path.with_suffix('.json')
        mine = json.loads(json.dumps({'identity': identity, 'shape': shape}))
        goes_on = path.is_file() and self._beside.is_file() and not restart
        if goes_on and json.loads(self._beside.read_text(encoding='utf-8')) != mine:
            raise ValueError(
                f'{path} was begun with other data, CNNs, seed, backend or device; '
                'finish that run, name another --out, or give it up with --restart'
            )
        # One number more says whether a row is complete: a hole in a file reads as zeros.
        whole = (*shape[:-1], shape[-1] + 1)
        if not goes_on:
            with path.open('wb') as file:
                file.truncate(4 * math.prod(whole))
            self._beside.write_text(json.dumps(mine), encoding='utf-8')
        self._rows: npt.NDArray[np.float32] = np.memmap(path, np.float32, 'r+', shape=whole)
        self.found = int(np.count_nonzero(self._rows[..., -1]))

    def get(
        self, place: tuple[int, ...], ask: Callable[[], Sequence[Probabilities]]
    ) -> npt.NDArray[np.float32]:
        """Return the numbers of a frame, which `ask` gives where they are not known yet."""
        row = self._rows[place]
        if not row[-1]:
            row[:-1] = np.concatenate(ask())
            row[-1] = 1
        return np.array(row[:-1])

    def remove(self) -> None:
        """Delete the file once everything is done."""
        del self._rows
        self._path.unlink()
        self._beside.unlink()
