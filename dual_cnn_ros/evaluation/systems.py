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

"""Systems to compare: named on a command line, sharing their CNNs and what these answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
import json
import math
from pathlib import Path
import re
from time import monotonic

import numpy as np
import numpy.typing as npt

from dual_cnn_ros.bundle import Bundle, FILE, StageSpec
from dual_cnn_ros.cascade.cascade import Cascade, Probabilities, Stage
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.cascade.settings import Rule, Settings
from dual_cnn_ros.files import write_atomically


@dataclass(frozen=True)
class System:
    """
    A cascade to compare.

    Attributes
    ----------
    name
        Unique in a comparison.
    bundle
        Has the stages that may be asked, and no others.
    rule
        Of the bundle, or of one of its operating points.

    """

    name: str
    bundle: Bundle
    rule: Rule

    @property
    def is_single(self) -> bool:
        """Whether it is one CNN alone."""
        return len(self.bundle.stages) == 1


def with_singles(texts: Sequence[str]) -> list[str]:
    """Return the systems, and where no single CNN is among them, those of the first one alone."""
    systems = [parse_system(text) for text in texts]
    if any(system.is_single for system in systems):
        return list(texts)
    bundle = systems[0].bundle
    return [*texts, *(f'{bundle.path.resolve()}@{stage.name}' for stage in bundle.stages)]


def parse_system(text: str) -> System:
    """
    Return the system that BUNDLE, BUNDLE@POINT or BUNDLE@STAGE names.

    NAME= before it gives it another name.

    Raises
    ------
    ValueError
        Says what is wrong with the bundle, or which operating points and stages it has.

    """
    given = ''
    if not _is_bundle(text) and (match := re.fullmatch(r'([^/@=]+)=(.+)', text)):
        given, text = match.groups()
    whole = _is_bundle(text) or '@' not in text
    name, at, part = (text, '', '') if whole else text.rpartition('@')
    if not name:
        raise ValueError(f'{text!r} names no bundle')
    bundle = Bundle.open(name)
    if not at:
        return System(given or bundle.name, bundle, bundle.rule)
    title = given or f'{bundle.name}@{part}'
    for stage in bundle.stages:
        if stage.name == part:
            alone = bundle.alone(stage)
            return System(title, alone, alone.rule)
    if part in bundle.rules:
        return System(title, bundle, bundle.rules[part])
    there = [*(stage.name for stage in bundle.stages), *bundle.rules]
    raise ValueError(
        f'{text}: bundle {bundle.name} has no stage or operating point {part!r}; '
        f'it has: {"; ".join(there)}'
    )


def parse_systems(texts: Sequence[str]) -> list[System]:
    """Return systems that can be compared: of different names, with the same labels."""
    systems = [parse_system(text) for text in texts]
    for system in systems:
        same = [text for text, other in zip(texts, systems) if other.name == system.name]
        if len(same) > 1:
            raise ValueError(
                f'{" and ".join(same)} are both called {system.name!r}; '
                'put NAME= before one of them'
            )
        if set(system.bundle.labels) != set(systems[0].bundle.labels):
            raise ValueError(
                f'{system.name} has other labels than {systems[0].name}, so they '
                'cannot be compared'
            )
    return systems


def _is_bundle(text: str) -> bool:
    return (Path(text) / FILE).is_file()


class Networks:
    """
    All CNNs of some systems, each loaded once, and what they answered to the current frame.

    While `live` is set, a stage of a `cascade` runs its CNN. Otherwise it gives what is in
    `answers`, so that any number of rules is tried at the cost of running every CNN once. Stages
    with equal files, input and temperature are one CNN, whatever their bundles.

    Parameters
    ----------
    systems
        Whose CNNs to load.
    backend, providers
        As in Bundle.load.

    Attributes
    ----------
    live
        Whether stages run their CNNs.
    answers
        Of each CNN the probabilities, (K,), in its bundle's own order of labels.
    keys
        What each CNN is: files, input and temperature.
    ran_by
        Backend and provider of each CNN.
    widths
        Number of labels of each CNN.

    Raises
    ------
    BundleError
        Names the stage that cannot be run, and why.

    """

    def __init__(self, systems: Iterable[System], backend: str, providers: Sequence[str]) -> None:
        self.live = False
        self.answers: Sequence[Probabilities] = ()
        self.keys: list[str] = []
        self.ran_by: list[str] = []
        self.widths: list[int] = []
        self._stages: list[Stage] = []
        for bundle in (system.bundle for system in systems):
            for spec in bundle.stages:
                if (key := _key(spec)) not in self.keys:
                    (stage,) = bundle.alone(spec).load(backend, providers)
                    self.keys.append(key)
                    self.ran_by.append(stage.runs_on)
                    self.widths.append(len(bundle.labels))
                    self._stages.append(stage)

    def ask(self, frame: Frame) -> list[Probabilities]:
        """Return what each CNN answers to a frame."""
        return [stage.predict(frame) for stage in self._stages]

    def cascade(
        self,
        system: System,
        settings: Settings,
        clock: Callable[[], float] = monotonic,
        seed: int | None = None,
    ) -> Cascade:
        """Return the cascade of a system, whose CNNs must be among these; see Cascade."""
        stages = [self._stage(spec) for spec in system.bundle.stages]
        return Cascade(stages, settings, clock, seed)

    def _stage(self, spec: StageSpec) -> Stage:
        number = self.keys.index(_key(spec))
        run = self._stages[number].predict

        def predict(frame: Frame) -> Probabilities:
            return run(frame) if self.live else self.answers[number]

        return Stage(spec.name, predict, selector=spec.selector)


def _key(spec: StageSpec) -> str:
    return json.dumps([spec.identity, spec.temperature])


class AnswerFile:
    """
    What every CNN answered to every frame, in a file, so that a run that was cut off goes on.

    Parameters
    ----------
    path
        The file; what belongs in it is written beside it.
    identity
        Names what belongs in it: data, CNNs, seed. Any JSON value.
    shape
        Number of variants of each frame (as it is, turned), of frames, and of probabilities that
        all CNNs give to one.
    restart
        Whether to begin anew what another run began.

    Raises
    ------
    ValueError
        The file belongs to something else, and `restart` is not set.

    """

    def __init__(
        self, path: Path, identity: object, shape: tuple[int, ...], restart: bool
    ) -> None:
        self._path, self._beside = path, path.with_suffix('.json')
        mine = json.loads(json.dumps({'identity': identity, 'shape': shape}))
        goes_on = path.is_file() and self._beside.is_file() and not restart
        if goes_on and json.loads(self._beside.read_text(encoding='utf-8')) != mine:
            raise ValueError(
                f'{path} was begun with other data, CNNs, seed, backend or provider; '
                'finish that run, name another --out, or give it up with --restart'
            )
        # One more number marks a complete row: parts of a file that were not written read as 0.
        whole = (*shape[:-1], shape[-1] + 1)
        if not goes_on:
            with path.open('wb') as file:
                file.truncate(4 * math.prod(whole))
            write_atomically(self._beside, json.dumps(mine).encode())
        self._rows: npt.NDArray[np.float32] = np.memmap(path, np.float32, 'r+', shape=whole)
        self.found = int(np.count_nonzero(self._rows[..., -1]))

    def get(
        self, place: tuple[int, ...], ask: Callable[[], Sequence[Probabilities]]
    ) -> npt.NDArray[np.float32]:
        """Return the probabilities of a frame, which `ask` gives where they are not known yet."""
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
