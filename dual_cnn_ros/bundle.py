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

"""A model bundle on disk: what the cascade runs, in one folder that is safe to copy to a robot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
import hashlib
import json
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import numpy.typing as npt
import yaml

from dual_cnn_ros.cascade.cascade import check_score, Stage
from dual_cnn_ros.cascade.deferral import Deferral
from dual_cnn_ros.cascade.frame import Frame, Preprocessing
from dual_cnn_ros.cascade.scores import softmax
from dual_cnn_ros.cascade.settings import Settings
from dual_cnn_ros.inference import InferenceError, load_model, ModelSource

FORMAT = 1
FILE = 'bundle.yaml'
MODEL_FORMATS = ('onnx', 'torchscript', 'safetensors')
# Names that stand beside those of the stages: of steps, sources and winners.
RESERVED = {'average', 'decode', 'fingerprint', 'memory'}
# Of an operating point: what it sets, and what calibrate found it to reach and to promise.
POINT_FIELDS = {
    'name': str,
    'threshold': float,
    'score': str,
    'post_check': str,
    'accuracy': float,
    'second_share': float,
    'multiply_adds': int,
}
CERTIFICATE_FIELDS = {
    'alpha': float,
    'delta': float,
    'method': str,
    'pictures': int,
    'reference': str,
}


class BundleError(ValueError):
    """A bundle cannot be used; the message names the file, the field and what it should be."""


@dataclass(frozen=True)
class StageSpec:
    """
    One CNN of a bundle.

    source: its weights. digests: format to SHA-256 of the file. temperature: its logits are
    divided by this. multiply_adds: of one image. cpu_seconds: of one image, measured when the
    bundle was made, or None. deferral: the score that calibrate fitted, if it did. input: what it
    wants of a frame.
    """

    name: str
    source: ModelSource
    digests: Mapping[str, str]
    input: Preprocessing
    temperature: float = 1.0
    multiply_adds: int = 0
    cpu_seconds: float | None = None
    deferral: Deferral | None = None


@dataclass(frozen=True)
class Baseline:
    """
    What one large CNN was measured to cost, by the measure tool.

    joules: of one image, above idle; error_joules: its standard error. gross_joules: the same,
    idle power included. source, scope: of the readings, such as 'ina3221' and 'module'. machine,
    date, conditions: where, when and how, in words.
    """

    name: str
    joules: float
    error_joules: float
    gross_joules: float
    idle_watts: float
    source: str
    scope: str
    machine: str
    date: str
    conditions: str


@dataclass(frozen=True)
class Bundle:
    """
    Labels, stages and the rule that was chosen for them.

    labels: class names by index. settings: score, threshold and post-check as calibrated.
    operating_points: other choices, each a mapping with at least a name and a threshold, of
    POINT_FIELDS and a certificate of CERTIFICATE_FIELDS; `points` has their settings.
    baseline: a large CNN to compare with, where one was measured. Made by `read`.
    """

    path: Path
    name: str
    description: str
    labels: tuple[str, ...]
    stages: tuple[StageSpec, ...]
    settings: Settings
    operating_points: tuple[Mapping[str, Any], ...] = field(default=())
    baseline: Baseline | None = None

    @property
    def digest(self) -> str:
        """What the answers depend on apart from the settings: labels, inputs, numbers."""
        parts = [list(self.labels)] + [
            [
                stage.name,
                dict(stage.digests),
                stage.source.torchvision,
                repr(stage.input),
                stage.temperature,
                repr(stage.deferral),
            ]
            for stage in self.stages
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def points(self) -> dict[str, Settings]:
        """The settings of each operating point, by name."""
        return {point['name']: self._settings(point) for point in self.operating_points}

    def _settings(self, point: Mapping[str, Any]) -> Settings:
        own = self.settings
        return replace(
            own,
            score=point.get('score', own.score),
            post_check=point.get('post_check', own.post_check),
            thresholds=(float(point['threshold']),) * len(own.thresholds),
        )

    def load(
        self, backend: str = 'auto', device: str = 'auto', threads: int = 1, warm_up: int = 2
    ) -> tuple[Stage, ...]:
        """
        Return the stages, loaded, checked for one logit of each class and warmed up.

        backend, device, threads: as in load_model. warm_up: runs, at least one, on pictures of
        noise. BundleError names the stage that cannot be run, and why.
        """
        return tuple(self._load(spec, backend, device, threads, warm_up) for spec in self.stages)

    def _load(
        self, spec: StageSpec, backend: str, device: str, threads: int, warm_up: int
    ) -> Stage:
        where = f'{self.path / FILE}: stage {spec.name}'
        preprocessing, temperature = spec.input, spec.temperature
        random = np.random.default_rng(0)
        blobs = [
            preprocessing.blob(
                random.integers(
                    0, 256, (preprocessing.height, preprocessing.width, 3), dtype=np.uint8
                )
            )
            for _ in range(max(1, warm_up))
        ]
        try:
            _, model = load_model(
                spec.source, len(self.labels), blobs[0].shape[1], backend, device, threads
            )
        except InferenceError as error:
            raise BundleError(f'{where}: {error}') from error
        try:
            outputs = [model(blob) for blob in blobs]
        except Exception as error:  # each library has its own
            raise BundleError(
                f'{where}: the model does not run on an input of {blobs[0].shape}: {error}'
            ) from error
        if outputs[0].shape != (len(self.labels),):
            raise BundleError(
                f'{where}: the model has {outputs[0].size} classes, but labels has '
                f'{len(self.labels)}'
            )
        # A second softmax would leave nothing to tell a sure answer from an unsure one by.
        if all(output.min() >= 0 and abs(output.sum() - 1) < 1e-3 for output in outputs):
            raise BundleError(
                f'{where}: the outputs of the model are probabilities, but logits '
                'are wanted; remove the Softmax layer at its end'
            )

        def classify(frame: Frame) -> npt.NDArray[np.float32]:
            return softmax(model(frame.blob(preprocessing)), temperature)

        return Stage(spec.name, classify, spec.deferral)


def read(path: Path | str) -> Bundle:
    """
    Return the bundle in a folder, every field and every file's checksum checked.

    BundleError names the file and the field that is wrong. No model is loaded yet.
    """
    folder = Path(path)
    file = folder / FILE
    try:
        content = yaml.safe_load(file.read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        raise BundleError(
            f'{file}: not found; a bundle is a folder with this file in it, '
            'as made by the calibrate tool'
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise BundleError(f'{file}: cannot be read: {error}') from error
    top = _Fields(file, '', content)
    version = top.take('format', int)
    if version != FORMAT:
        raise BundleError(
            f'{file}: format is {version}, but this version of dual_cnn_ros reads '
            f'{FORMAT}; '
            + ('update dual_cnn_ros' if version > FORMAT else 'make the bundle again')
        )
    labels = tuple(top.take('labels', list))
    if (
        not 2 <= len(labels) <= 65536
        or len(set(map(str, labels))) != len(labels)
        or not all(isinstance(label, str) and label for label in labels)
    ):
        raise BundleError(
            f'{file}: labels must be 2 to 65536 different names, in quotes where '
            'YAML would read a number or yes/no'
        )
    shared_input = _preprocessing(top.nested('input'))
    entries = top.take('stages', list)
    if not entries:
        raise BundleError(f'{file}: stages must have at least one entry')
    stages = tuple(
        _stage(_Fields(file, f'stages[{i}].', entry), folder, shared_input, len(labels))
        for i, entry in enumerate(entries)
    )
    names = [stage.name for stage in stages]
    if len(set(names)) != len(names) or RESERVED & set(names):
        raise BundleError(
            f'{file}: stages must have different names, none of them '
            f'{", ".join(sorted(RESERVED))}: {names}'
        )
    thresholds = (top.take('threshold', float),) * (len(stages) - 1)
    try:
        settings = Settings(
            score=top.take('score', str),
            thresholds=thresholds,
            post_check=top.take('post_check', str),
        )
        check_score(settings.score, stages)
    except ValueError as error:
        raise BundleError(f'{file}: {error}') from error
    points = tuple(top.take('operating_points', list, []))
    bundle = Bundle(
        folder,
        top.take('name', str),
        top.take('description', str, ''),
        labels,
        stages,
        settings,
        points,
        _baseline(top.nested('baseline', optional=True)),
    )
    top.done()
    for i, point in enumerate(points):
        fields = _Fields(file, f'operating_points[{i}].', point)
        for key, kind in POINT_FIELDS.items():
            fields.take(key, kind, _REQUIRED if key in ('name', 'threshold') else None)
        if certificate := fields.nested('certificate', optional=True):
            for key, kind in CERTIFICATE_FIELDS.items():
                certificate.take(key, kind, None)
            certificate.done()
        fields.done()
        try:
            check_score(bundle._settings(point).score, stages)
        except ValueError as error:
            raise BundleError(f'{file}: operating_points[{i}]: {error}') from error
    if len(set(bundle.points) - {''}) != len(points):
        raise BundleError(
            f'{file}: operating_points must have different names, none of them '
            f'empty: {[point["name"] for point in points]}'
        )
    return bundle


def write(bundle: Bundle) -> None:
    """Write bundle.yaml; the model files must be in its folder. `read` gives the same bundle."""
    common = bundle.stages[0].input
    content = {
        'format': FORMAT,
        'name': bundle.name,
        'description': bundle.description,
        'labels': list(bundle.labels),
        'input': _input_fields(common),
        'stages': [
            {
                'name': stage.name,
                **(
                    {'architecture': stage.source.architecture}
                    if stage.source.architecture
                    else {}
                ),
                **({'torchvision': stage.source.torchvision} if stage.source.torchvision else {}),
                'files': {
                    kind: {
                        'path': path.relative_to(bundle.path).as_posix(),
                        'sha256': stage.digests[kind],
                    }
                    for kind, path in stage.source.files.items()
                },
                **({} if stage.input == common else {'input': _input_fields(stage.input)}),
                'temperature': stage.temperature,
                'multiply_adds': stage.multiply_adds,
                **({} if stage.cpu_seconds is None else {'cpu_seconds': stage.cpu_seconds}),
                **(
                    {}
                    if stage.deferral is None
                    else {
                        'deferral': {
                            'intercept': stage.deferral.intercept,
                            'weights': list(stage.deferral.weights),
                            'offsets': list(stage.deferral.offsets),
                        }
                    }
                ),
            }
            for stage in bundle.stages
        ],
        'score': bundle.settings.score,
        'threshold': (*bundle.settings.thresholds, 0.0)[0],
        'post_check': bundle.settings.post_check,
        'operating_points': [dict(point) for point in bundle.operating_points],
        **({} if bundle.baseline is None else {'baseline': asdict(bundle.baseline)}),
    }
    text = yaml.safe_dump(
        content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=99
    )
    (bundle.path / FILE).write_text(text, encoding='utf-8')


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _input_fields(preprocessing: Preprocessing) -> dict[str, Any]:
    return {
        'height': preprocessing.height,
        'width': preprocessing.width,
        'colour': preprocessing.colour,
        'crop': preprocessing.crop,
        'mean': list(preprocessing.mean),
        'std': list(preprocessing.std),
    }


def _preprocessing(fields: _Fields) -> Preprocessing:
    crop = fields.take('crop', (float, type(None)), None)
    values = {
        'height': fields.take('height', int),
        'width': fields.take('width', int),
        'colour': fields.take('colour', str),
        'crop': crop,
        'mean': fields.numbers('mean'),
        'std': fields.numbers('std'),
    }
    fields.done()
    try:
        return Preprocessing(**values)
    except ValueError as error:
        raise BundleError(f'{fields.file}: {fields.prefix}{error}') from error


def _stage(fields: _Fields, folder: Path, shared_input: Preprocessing, classes: int) -> StageSpec:
    name = fields.take('name', str)
    if not name.isidentifier():
        raise BundleError(
            f'{fields.file}: {fields.prefix}name must be a word of letters, digits '
            f'and _, not {name!r}'
        )
    files: dict[str, Path] = {}
    digests: dict[str, str] = {}
    for kind, entry in fields.take('files', dict, {}).items():
        item = _Fields(fields.file, f'{fields.prefix}files.{kind}.', entry)
        if kind not in MODEL_FORMATS:
            raise BundleError(
                f'{fields.file}: {fields.prefix}files.{kind}: a model is one of '
                f'{", ".join(MODEL_FORMATS)}'
            )
        relative = item.take('path', str)
        path = folder / relative
        # A link that leads out is the owner's wish: colcon's --symlink-install makes one per file.
        if Path(relative).is_absolute() or '..' in Path(relative).parts:
            raise BundleError(
                f'{item.file}: {item.prefix}path must stay inside the bundle, not {relative!r}'
            )
        if not path.is_file():
            raise BundleError(
                f'{item.file}: {item.prefix}path: there is no file {path}; '
                'copy the whole bundle folder'
            )
        digest = item.take('sha256', str)
        if sha256(path) != digest:
            raise BundleError(
                f'{item.file}: {item.prefix}sha256 is not that of {path}; the file '
                'was changed or damaged: copy the bundle again'
            )
        item.done()
        files[kind], digests[kind] = path, digest
    source = ModelSource(
        files,
        fields.take('architecture', (str, type(None)), None),
        fields.take('torchvision', (str, type(None)), None),
    )
    if not source.formats:
        raise BundleError(f'{fields.file}: {fields.prefix}files must name at least one model file')
    temperature = fields.take('temperature', float, 1.0)
    if not 0 < temperature < float('inf'):
        raise BundleError(
            f'{fields.file}: {fields.prefix}temperature must be positive, not {temperature}'
        )
    multiply_adds = fields.take('multiply_adds', int, 0)
    cpu_seconds = fields.take('cpu_seconds', (float, type(None)), None)
    for key, value in (('multiply_adds', multiply_adds), ('cpu_seconds', cpu_seconds or 0)):
        if not 0 <= value < float('inf'):
            raise BundleError(
                f'{fields.file}: {fields.prefix}{key} must not be negative, not {value}'
            )
    own_input = fields.nested('input', optional=True)
    spec = StageSpec(
        name,
        source,
        digests,
        shared_input if own_input is None else _preprocessing(own_input),
        temperature,
        multiply_adds,
        cpu_seconds,
        _deferral(fields.nested('deferral', optional=True), classes),
    )
    fields.done()
    return spec


def _deferral(fields: _Fields | None, classes: int) -> Deferral | None:
    if fields is None:
        return None
    intercept = fields.take('intercept', float)
    weights, offsets = fields.numbers('weights'), fields.numbers('offsets')
    fields.done()
    if len(weights) > classes or len(offsets) not in (0, classes):
        raise BundleError(
            f'{fields.file}: {fields.prefix}weights must be at most as many as '
            f'there are labels, {classes}, and offsets as many or none, not '
            f'{len(weights)} and {len(offsets)}'
        )
    try:
        return Deferral(intercept, weights, offsets)
    except ValueError as error:
        raise BundleError(f'{fields.file}: {fields.prefix.rstrip(".")}: {error}') from error


def _baseline(fields: _Fields | None) -> Baseline | None:
    if fields is None:
        return None
    values = {name: fields.take(name, kind) for name, kind in get_type_hints(Baseline).items()}
    fields.done()
    for name, value in values.items():
        least = 0.0 if name == 'error_joules' else 1e-12
        if isinstance(value, float) and not least <= value < float('inf'):
            raise BundleError(
                f'{fields.file}: {fields.prefix}{name} must be positive, not {value}'
            )
        if not value and isinstance(value, str):
            raise BundleError(f'{fields.file}: {fields.prefix}{name} must not be empty')
    return Baseline(**values)


def _is_number(value: Any) -> bool:
    # A whole number of hundreds of digits has no float.
    return isinstance(value, float) or (
        isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
    )


_REQUIRED = object()


class _Fields:
    """The fields of one YAML mapping, taken one by one, so that what is left over is an error."""

    def __init__(self, file: Path, prefix: str, content: Any) -> None:
        self.file, self.prefix = file, prefix
        if not isinstance(content, dict):
            raise BundleError(
                f'{file}: {prefix.rstrip(".") or "the file"} must be a mapping of '
                f'fields, not {type(content).__name__}'
            )
        self._content = dict(content)

    def take(self, key: str, kind: Any, default: Any = _REQUIRED) -> Any:
        """Return a field of the given type or types; a whole number will do for a float."""
        if key not in self._content:
            if default is _REQUIRED:
                raise BundleError(f'{self.file}: the field {self.prefix}{key} is missing')
            return default
        value = self._content.pop(key)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if float in kinds and _is_number(value):
            value = float(value)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            expected = ' or '.join('null' if k is type(None) else k.__name__ for k in kinds)
            raise BundleError(f'{self.file}: {self.prefix}{key} must be {expected}, not {value!r}')
        return value

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return a field that is a list of numbers."""
        values = self.take(key, list)
        if not all(map(_is_number, values)):
            raise BundleError(
                f'{self.file}: {self.prefix}{key} must be a list of numbers, not {values!r}'
            )
        return tuple(float(v) for v in values)

    def nested(self, key: str, optional: bool = False) -> Any:
        """Return the fields of a mapping within this one; None where it may be missing and is."""
        if optional and key not in self._content:
            return None
        return _Fields(self.file, f'{self.prefix}{key}.', self.take(key, dict))

    def done(self) -> None:
        """Refuse fields that nobody took: most often a misspelling."""
        if self._content:
            raise BundleError(
                f'{self.file}: unknown field {self.prefix}'
                f'{", ".join(map(str, self._content))}; check the spelling'
            )
