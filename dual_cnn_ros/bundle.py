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
A model bundle on disk: everything a cascade runs, in one folder that is safe to copy to a robot.

`train` writes a bundle of one stage, `calibrate` one of several. bundle.yaml has the fields of
these records, by the same names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
import hashlib
import json
import math
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from dual_cnn_ros.cascade.cascade import apply_rule, Cascade, Stage
from dual_cnn_ros.cascade.costs import expected_cost
from dual_cnn_ros.cascade.frame import Frame, Preprocessing
from dual_cnn_ros.cascade.governor import ScalePoint
from dual_cnn_ros.cascade.scores import softmax
from dual_cnn_ros.cascade.selector import Selector
from dual_cnn_ros.cascade.settings import Criterion, Rule, Settings
from dual_cnn_ros.files import composed, EncodingError, read_text, write_atomically
from dual_cnn_ros.inference import InferenceError, load_model, ModelSource, PROVIDERS
from dual_cnn_ros.inference.onnx_file import external_files
from dual_cnn_ros.records import from_plain, RecordError, to_plain
from dual_cnn_ros.share import share_directory

FORMAT = 3
FILE = 'bundle.yaml'
MODEL_FORMATS = ('onnx', 'torchscript', 'safetensors')
# The bundle that `pretrained` makes.
IMAGENET = 'imagenet'
PRECISIONS = ('float32', 'int8')
# What is lost or kept: right answers, or answers that are those of a strong CNN.
MEASURES = ('accuracy', 'agreement')
# What the tools call the stages that they write.
STAGES = ('first', 'second', 'third', 'fourth', 'fifth', 'sixth', 'seventh', 'eighth')
# Decisions use these names for what is no stage.
RESERVED = {'average', 'decode', 'memory'}
MOST_POINTS = 8


class BundleError(ValueError):
    """A bundle cannot be used; the message names the file, the field and what it should be."""


@dataclass(frozen=True)
class ModelFile:
    """
    Weights in one format.

    Attributes
    ----------
    path
        Relative to the bundle's folder in bundle.yaml, absolute once read.
    sha256
        64 hexadecimal digits.

    """

    path: Path
    sha256: str


@dataclass(frozen=True)
class TrainingRecord:
    """
    What a stage was trained on, and so which images are new to it.

    Attributes
    ----------
    data
        Name of the folder or tar.
    split
        Name of the split in it; None if the data is one split.
    images
        Number of images in the split, used or not.
    validation
        Fraction of the split that was kept from training, chosen by seed and file name.
    seed
        Seed of the training and of the choice of validation images.
    validation_accuracy
        Accuracy on the validation images; None if there are none.

    """

    data: str
    split: str | None
    images: int
    validation: float
    seed: int
    validation_accuracy: float | None = None


@dataclass(frozen=True)
class StageSpec:
    """
    One CNN of a bundle, and when its answer needs no other.

    Attributes
    ----------
    name
        A word of letters, digits and _.
    input
        What the CNN wants of a frame.
    files
        Format, a name of MODEL_FORMATS, to the file.
    architecture
        The network that safetensors belong to.
    precision
        'float32', or 'int8' for an ONNX model with quantised weights and activations.
    torchvision
        Name of weights that torchvision provides, in place of files.
    temperature
        The logits are divided by this.
    macs
        Multiply-accumulate operations for one image.
    cpu_seconds
        For one image, measured when the bundle was made.
    criterion
        When the stage is sure; None for the last stage, which always is.
    selector
        The learned score, if it has one.
    training
        The images it was trained on, if `train` did it.
    origin
        Where the weights come from and under which licence, in words; '' for those that were
        trained from nothing.

    """

    name: str
    input: Preprocessing
    files: Mapping[str, ModelFile] = field(default_factory=dict)
    architecture: str | None = None
    torchvision: str | None = None
    precision: str = 'float32'
    temperature: float = 1.0
    macs: int = 0
    cpu_seconds: float | None = None
    criterion: Criterion | None = None
    selector: Selector | None = None
    training: TrainingRecord | None = None
    origin: str = ''

    def __post_init__(self) -> None:
        """Check the values; ValueError names the field."""
        if not self.name.isidentifier() or self.name in RESERVED:
            raise ValueError(
                f'name must be a word of letters, digits and _, none of '
                f'{", ".join(sorted(RESERVED))}, not {self.name!r}'
            )
        if strange := set(self.files) - set(MODEL_FORMATS):
            raise ValueError(f'files.{min(strange)}: a model is one of {", ".join(MODEL_FORMATS)}')
        if not self.files and not self.torchvision:
            raise ValueError('files must name at least one model file')
        if self.precision not in PRECISIONS:
            raise ValueError(
                f'precision must be {" or ".join(PRECISIONS)}, not {self.precision!r}'
            )
        if not 0 < self.temperature < math.inf:
            raise ValueError(f'temperature must be positive, not {self.temperature}')
        for name, value in (('macs', self.macs), ('cpu_seconds', self.cpu_seconds or 0)):
            if not 0 <= value < math.inf:
                raise ValueError(f'{name} must not be negative, not {value}')

    @property
    def source(self) -> ModelSource:
        """Where the weights are, for a backend."""
        files = {kind: file.path for kind, file in self.files.items()}
        is_int8 = self.precision != PRECISIONS[0]
        return ModelSource(files, self.architecture, self.torchvision, is_int8)

    @property
    def identity(self) -> list[object]:
        """What the logits depend on, as plain values."""
        files = {kind: file.sha256 for kind, file in sorted(self.files.items())}
        return [files, self.architecture, self.torchvision, repr(self.input)]

    @property
    def title(self) -> str:
        """What to call the CNN: its architecture, if that is known, and its precision."""
        network = self.architecture or self.torchvision or self.name
        return network if self.precision == PRECISIONS[0] else f'{network} {self.precision}'


@dataclass(frozen=True)
class Certificate:
    """
    What is promised of an operating point, with a probability of at least 1 - delta.

    Attributes
    ----------
    alpha
        Bound of the loss, a fraction of all images.
    delta
        Probability, at most, that the bound does not hold.
    method
        The test that certified it, a name of calibration.guarantee.METHODS.
    images
        Number of independent images tested on; of a video, the number of scenes.
    reference
        What the loss is counted against.
    measure
        A name of MEASURES.

    """

    alpha: float
    delta: float
    method: str
    images: int
    reference: str
    measure: str = MEASURES[0]


@dataclass(frozen=True)
class OperatingPoint:
    """
    A trade-off of accuracy and cost that can be chosen by name.

    Attributes
    ----------
    name
        Unique in the bundle.
    use
        When to choose it, in a sentence.
    criteria
        One for each stage but the last.
    post_check
        A name of POST_CHECKS.
    accuracy, deferral_rates, macs
        Measured by `calibrate`: fraction of right answers, or as the bundle's measure says; of all
        images, the fraction that each stage but the last passes on; mean MACs of an image.
    certificate
        What is promised, if anything is.

    """

    name: str
    criteria: tuple[Criterion, ...]
    post_check: str
    use: str = ''
    accuracy: float | None = None
    deferral_rates: tuple[float, ...] | None = None
    macs: int | None = None
    certificate: Certificate | None = None

    def __post_init__(self) -> None:
        """Check the rule; ValueError names the field."""
        self.rule  # noqa: B018

    @property
    def rule(self) -> Rule:
        """The rule that it stands for."""
        return Rule(self.criteria, self.post_check, self.name)


@dataclass(frozen=True)
class MeasuredBaseline:
    """
    What one large CNN was measured to cost, by the measure tool.

    Attributes
    ----------
    name
        Name of the CNN.
    joules, standard_error
        Energy of one image above idle, and its standard error.
    gross_joules
        Energy of one image, idle power included.
    idle_watts
        The idle power.
    source, scope
        The power sensor and what it measures, such as 'ina3221' and 'module'.
    machine, date, conditions
        Where, when and how it was measured, in words.

    """

    name: str
    joules: float
    standard_error: float
    gross_joules: float
    idle_watts: float
    source: str
    scope: str
    machine: str
    date: str
    conditions: str

    def __post_init__(self) -> None:
        """Check the values; ValueError names the field."""
        for name, value in vars(self).items():
            if isinstance(value, float) and not 0 <= value < math.inf:
                raise ValueError(f'{name} must not be negative, not {value}')
            if not value and name != 'standard_error':
                raise ValueError(f'{name} must not be {value!r}')


@dataclass(frozen=True)
class Bundle:
    """
    Labels, stages, and the rule that was chosen for them.

    Attributes
    ----------
    path
        The folder.
    name, description
        For people.
    labels
        Names of the classes, by index.
    stages
        At least one, in the order in which they are asked.
    post_check
        A name of POST_CHECKS.
    operating_points
        Other rules, cheapest first, at most MOST_POINTS.
    measure
        What the operating points' accuracy is, a name of MEASURES.
    baseline
        A large CNN to compare with, where one was measured.

    """

    path: Path
    name: str
    labels: tuple[str, ...]
    stages: tuple[StageSpec, ...]
    description: str = ''
    post_check: str = 'more_confident'
    operating_points: tuple[OperatingPoint, ...] = ()
    measure: str = MEASURES[0]
    baseline: MeasuredBaseline | None = None

    def __post_init__(self) -> None:
        """Check what the fields have to do with each other; ValueError names the field."""
        labels = self.labels
        if not 2 <= len(labels) <= 65536 or len(set(labels)) != len(labels) or '' in labels:
            raise ValueError('labels must be 2 to 65536 different names, none of them empty')
        if not self.stages:
            raise ValueError('stages must have at least one entry')
        if self.measure not in MEASURES:
            raise ValueError(f'measure must be one of {", ".join(MEASURES)}, not {self.measure!r}')
        for what, names in (
            ('stages', [stage.name for stage in self.stages]),
            ('operating_points', [point.name for point in self.operating_points]),
        ):
            if len(set(names) - {''}) != len(names):
                raise ValueError(f'{what} must have different names, none of them empty: {names}')
        for i, stage in enumerate(self.stages):
            is_last = stage is self.stages[-1]
            if is_last != (stage.criterion is None):
                raise ValueError(
                    f'stages[{i}].criterion '
                    + (
                        'must be left out: the last stage is always sure'
                        if is_last
                        else 'is missing: every stage but the last needs a score and a threshold'
                    )
                )
        if len(self.operating_points) > MOST_POINTS:
            raise ValueError(
                f'operating_points must be at most {MOST_POINTS}, not {len(self.operating_points)}'
            )
        for i, point in enumerate(self.operating_points):
            if len(point.criteria) != len(self.stages) - 1:
                raise ValueError(
                    f'operating_points[{i}].criteria must be one for each stage but the last'
                )
        self.rule  # noqa: B018

    @property
    def rule(self) -> Rule:
        """The rule that was chosen."""
        criteria = tuple(stage.criterion for stage in self.stages if stage.criterion)
        return Rule(criteria, self.post_check)

    @property
    def settings(self) -> Settings:
        """The cascade's settings: the rule, and the defaults of the memory."""
        return Settings(self.rule)

    @property
    def rules(self) -> dict[str, Rule]:
        """The rule of each operating point, by name."""
        return {point.name: point.rule for point in self.operating_points}

    def scale(self, floor: str = '') -> tuple[ScalePoint, ...]:
        """
        Return the operating points that a governor may choose from, cheapest first.

        Points than which another one is cheaper and as accurate are left out, but for the floor.
        Costs are CPU seconds where all stages state theirs, else MACs.

        Parameters
        ----------
        floor
            Name of the cheapest point; '' for the cheapest that is certified, or where none is,
            for the cheapest.

        Raises
        ------
        ValueError
            There is no point of that name; fewer than two are left; or no costs are stated.

        """
        macs = [float(stage.macs) for stage in self.stages]
        seconds = [stage.cpu_seconds or 0.0 for stage in self.stages]
        costs = seconds if all(seconds) else macs
        if not all(costs):
            raise ValueError(
                f'bundle {self.name} does not state macs or cpu_seconds of all stages'
            )
        points = {
            point.name: (point, expected_cost(costs, point.deferral_rates))
            for point in self.operating_points
            if point.deferral_rates and point.accuracy is not None
        }
        if floor and floor not in points:
            raise ValueError(
                f'the floor must be an operating point of bundle {self.name}, not {floor!r}: '
                f'{"; ".join(points) or "it has none"}'
            )
        cheapest_first = sorted(points.values(), key=lambda each: each[1])
        certified = [point.name for point, _ in cheapest_first if point.certificate]
        first = floor or next(iter(certified), '')
        scale: list[ScalePoint] = []
        best = -1.0
        for point, cost in cheapest_first:
            is_first = point.name == first
            if not is_first and (point.accuracy or 0.0) <= best:
                continue
            best = max(best, point.accuracy or 0.0)
            if is_first:
                scale.clear()
            rate = point.deferral_rates[0] if point.deferral_rates else 0.0
            scale.append(ScalePoint(point.rule, cost, rate))
        if len(scale) < 2:
            raise ValueError(
                f'bundle {self.name} has fewer than two operating points to choose from'
                + (f', from {first} on' if first else '')
            )
        return tuple(scale)

    @property
    def digest(self) -> str:
        """Hexadecimal digest of what the answers depend on apart from the rule."""
        stages = [
            [stage.name, stage.identity, stage.temperature, to_plain(stage.selector)]
            for stage in self.stages
        ]
        return hashlib.sha256(json.dumps([self.labels, stages]).encode()).hexdigest()

    def alone(self, stage: StageSpec) -> Bundle:
        """Return a bundle of one of the stages."""
        return replace(self, stages=(replace(stage, criterion=None),), operating_points=())

    @classmethod
    def open(cls, name: str) -> Bundle:
        """Return the bundle of a name or a path; see find_bundle and read_bundle."""
        return read_bundle(find_bundle(name))

    def cascade(
        self, backend: str = 'auto', providers: Sequence[str] = PROVIDERS, threads: int = 1
    ) -> Cascade:
        """Return a cascade of the loaded stages, under the bundle's own rule; see load."""
        return Cascade(self.load(backend, providers, threads), self.settings)

    def load(
        self,
        backend: str = 'auto',
        providers: Sequence[str] = PROVIDERS,
        threads: int = 1,
        warm_up: int = 2,
    ) -> tuple[Stage, ...]:
        """
        Load every stage, check that it gives one logit for each label, and warm it up.

        Parameters
        ----------
        backend, providers, threads
            See inference.load_model.
        warm_up
            Runs on images of noise, at least one.

        Raises
        ------
        BundleError
            Names the stage that cannot be run, and why.

        """
        stages = [
            self._load(spec, backend, providers, threads, max(1, warm_up)) for spec in self.stages
        ]
        return apply_rule(self.rule, stages)

    def _load(
        self,
        spec: StageSpec,
        backend: str,
        providers: Sequence[str],
        threads: int,
        warm_up: int,
    ) -> Stage:
        where = f'{self.path / FILE}: stage {spec.name}'
        preprocessing, temperature = spec.input, spec.temperature
        size = (preprocessing.height, preprocessing.width, 3)
        random = np.random.default_rng(0)
        blobs = [
            preprocessing.blob(random.integers(0, 256, size, dtype=np.uint8))
            for _ in range(warm_up)
        ]
        classes, channels = len(self.labels), blobs[0].shape[1]
        try:
            model = load_model(spec.source, classes, channels, backend, providers, threads)
        except InferenceError as error:
            raise BundleError(f'{where}: {error}') from error
        try:
            outputs = [model(blob) for blob in blobs]
        except Exception as error:  # each library has its own
            raise BundleError(
                f'{where}: the model does not run on an input of {blobs[0].shape}: {error}'
            ) from error
        if outputs[0].shape != (1, classes):
            raise BundleError(
                f'{where}: the model has {outputs[0].size} classes, but labels has {classes}'
            )
        # A second softmax would make sure and unsure answers alike.
        if all(output.min() >= 0 and abs(output.sum() - 1) < 1e-3 for output in outputs):
            raise BundleError(
                f'{where}: the outputs of the model are probabilities, but logits are wanted; '
                'remove the Softmax layer at its end'
            )

        def predict(frame: Frame) -> npt.NDArray[np.float32]:
            return softmax(model(frame.blob(preprocessing))[0], temperature)

        return Stage(spec.name, predict, runs_on=model.runs_on, selector=spec.selector)


def find_bundle(name: str) -> Path:
    """
    Return the folder of a bundle.

    Parameters
    ----------
    name
        The name of one of the user's own bundles or of one that comes with the package, or a path:
        a folder with a bundle.yaml, or anything with a slash in it, which may begin with ~.

    Raises
    ------
    BundleError
        The path begins with the home of somebody who has none.

    """
    if os.sep not in name:
        places = Path(), user_bundles(), shipped_bundles()
        return next((p / name for p in places if (p / name / FILE).is_file()), places[-1] / name)
    try:
        return Path(name).expanduser()
    except RuntimeError as error:  # no such user, or one without a home
        raise BundleError(
            f'{name!r} has no home folder to begin in ({error}); give a path that begins with /'
        ) from error


def user_bundles() -> Path:
    """Return the folder of the bundles that the user made to be found by name."""
    home = os.environ.get('XDG_DATA_HOME') or '~/.local/share'
    try:
        return Path(home, 'dual_cnn_ros', 'bundles').expanduser()
    except RuntimeError:  # no home
        return shipped_bundles()


def shipped_bundles() -> Path:
    """Return the folder of the bundles that come with the package."""
    return share_directory() / 'config' / 'bundles'


def read_bundle(path: Path) -> Bundle:
    """
    Return the bundle in a folder, with every field and every file's checksum checked.

    No model is loaded yet.

    Raises
    ------
    BundleError
        Names the file and the field that is wrong.

    """
    file = path / FILE
    try:
        content = yaml.safe_load(read_text(file))
    except FileNotFoundError as error:
        known = ''
        if path.parent == shipped_bundles():
            known = f'; {_known_bundles(path.name)}'
        raise BundleError(
            f'{file}: not found; a bundle is a folder with this file in it, as made by the '
            f'train and calibrate tools{known}'
        ) from error
    except EncodingError as error:
        raise BundleError(str(error)) from error
    except (OSError, yaml.YAMLError, RecursionError) as error:
        raise BundleError(f'{file}: cannot be read: {error}') from error
    if not isinstance(content, dict):
        raise BundleError(f'{file}: it must be a mapping of fields, not {type(content).__name__}')
    version = content.pop('format', None)
    if version != FORMAT:
        raise BundleError(
            f'{file}: format is {version}, but this version of dual_cnn_ros reads {FORMAT}; '
            'make the bundle again, or update dual_cnn_ros where that number is higher'
        )
    try:
        if 'path' in content:
            raise RecordError('unknown field path; check the spelling')
        read = from_plain(Bundle, {**content, 'path': str(path)})
        stages = tuple(
            replace(stage, files=_absolute(stage.files, path, f'stages[{i}]'))
            for i, stage in enumerate(read.stages)
        )
        return replace(read, stages=stages, labels=tuple(map(composed, read.labels)))
    except ValueError as error:
        raise BundleError(f'{file}: {error}') from error


def _known_bundles(wanted: str) -> str:
    if wanted == IMAGENET:
        return (
            f'{IMAGENET} is made on your machine, from published weights: '
            f'"ros2 run dual_cnn_ros pretrained {IMAGENET} --images FOLDER", or, without ROS 2, '
            f'"python -m dual_cnn_ros.tools.pretrained {IMAGENET} --images FOLDER"'
        )
    names = {
        f.parent.name for p in (user_bundles(), shipped_bundles()) for f in p.glob(f'*/{FILE}')
    }
    return f'the bundles here are {", ".join(sorted(names))}, and {IMAGENET} can be made'


def _absolute(files: Mapping[str, ModelFile], folder: Path, where: str) -> dict[str, ModelFile]:
    found = {}
    for kind, file in files.items():
        # A link that leads out is the owner's wish: colcon's --symlink-install makes one per file.
        if file.path.is_absolute() or '..' in file.path.parts:
            raise RecordError(
                f'{where}.files.{kind}.path must stay inside the bundle, not {str(file.path)!r}'
            )
        path = folder / file.path
        if not path.is_file():
            raise RecordError(
                f'{where}.files.{kind}.path: there is no file {path}; copy the whole bundle folder'
            )
        if sha256(path) != file.sha256:
            raise RecordError(
                f'{where}.files.{kind}.sha256 is not that of {path}; the file was changed or '
                'damaged: copy the bundle again'
            )
        if kind == 'onnx':
            _refuse_external(path, f'{where}.files.{kind}.path')
        found[kind] = ModelFile(path, file.sha256)
    return found


def _refuse_external(path: Path, where: str) -> None:
    """Refuse an ONNX model that is no single file, as the checksum covers no other."""
    try:
        others = external_files(path.read_bytes())
    except ValueError as error:
        raise RecordError(f'{where}: {path} cannot be used: {error}') from error
    if others:
        raise RecordError(
            f'{where}: {path} takes weights from {", ".join(sorted(map(repr, others)))}, which no '
            f'checksum covers; make it one file with python3 -c "import onnx; '
            f"onnx.save(onnx.load('{path.name}'), '{path.name}')\" and state its new sha256"
        )


def write_bundle(bundle: Bundle) -> None:
    """Write bundle.yaml; the model files must be in its folder. read_bundle gives the same."""
    content = to_plain(
        replace(
            bundle,
            path=Path(),
            stages=tuple(
                replace(
                    stage,
                    files={
                        kind: ModelFile(file.path.relative_to(bundle.path), file.sha256)
                        for kind, file in stage.files.items()
                    },
                )
                for stage in bundle.stages
            ),
        )
    )
    del content['path']
    text = yaml.safe_dump(
        {'format': FORMAT, **content},
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=99,
    )
    write_atomically(bundle.path / FILE, text.encode())


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
