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
Make a bundle of your own photographs in one go: CNNs from trained weights, chosen, calibrated.

PHOTOS is a folder or a tar of <class>/<image>, or of <split>/<class>/<image>. EfficientNet-Lite0
is fine-tuned as the second CNN, and its first five stages, at a smaller size, as the first. Both
are quantised too, and of the four the pair is taken that is as right as the best of them for
the least CPU time, or one of them alone where no pair is. A test split, or else a part of the
images that is set aside by a hash of their names, judges the result.

OUT becomes a bundle; OUT.work has the CNNs, the choice among them, and evaluate/evaluate.html,
the page to look at. Run the same command again after an interruption: it goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import sys

from dual_cnn_ros.bundle import Bundle
from dual_cnn_ros.calibration.choice import ChoiceOptions, choose_cascade
from dual_cnn_ros.calibration.procedure import calibrate, CalibrationOptions
from dual_cnn_ros.calibration.report import calibration_report, choice_report
from dual_cnn_ros.data.dataset import is_validation
from dual_cnn_ros.data.image_folder import image_name, ImageFolder
from dual_cnn_ros.files import write_atomically
from dual_cnn_ros.tools.cli import (
    fraction,
    make_parser,
    number,
    require,
    RESULTS,
    run_cli,
    writes,
)
from dual_cnn_ros.training.options import Augmentation, FINE_TUNING, TrainingOptions
from dual_cnn_ros.training.quantisation import QuantisationOptions, quantise

LIBRARIES = (
    *('torch', 'torchvision', 'onnx', 'onnxscript', 'onnxruntime', 'safetensors'),
    *('scipy', 'matplotlib', 'jinja2'),
)
SECOND, FIRST = 'efficientnet_lite0', 'efficientnet_lite0-stage5'
# Side of the first CNN's input in that of the second, and epochs in those of the second.
SMALLER, LONGER = 2 / 3, 2
# How the first CNN, which is cut off and has more to learn, is trained otherwise than the second.
TRAINED_BY = {
    SECOND: FINE_TUNING,
    FIRST: {
        **FINE_TUNING,
        'optimizer': 'sgd',
        'lr': 0.05,
        'lr_ratio': 0.3,
        'weight_decay': 1e-4,
    },
}
# The seeds by which images are set aside for validation, which is train's own, and for the test.
SEED, TEST_SEED = 0, 7


@dataclass(frozen=True)
class FitOptions:
    """
    What to make a bundle of.

    Attributes
    ----------
    photos
        Folder or tar of labelled images.
    out
        Folder of the bundle; its name is the bundle's.
    size
        Side of the second CNN's input, pixels.
    epochs
        Of the second CNN.
    validation, test
        Shares of the images to choose and certify with, and to judge with where there is no test
        split.
    flip
        Whether a mirrored image still shows its class.

    """

    photos: Path
    out: Path
    size: int = 128
    epochs: int = FINE_TUNING['epochs']
    validation: float = 0.15
    test: float = 0.15
    flip: bool = True

    @property
    def work(self) -> Path:
        """Folder of everything but the bundle."""
        return self.out.with_name(f'{self.out.name}.work')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = FitOptions(**vars(_parser().parse_args(argv)))

    def work() -> None:
        require(*LIBRARIES)
        with writes('fit', options.out):
            fit(options)

    return run_cli('fit', work, 'interrupted; the same command goes on where it was')


def fit(options: FitOptions) -> Bundle:
    """Train, quantise, choose, calibrate and evaluate; ValueError says what the data lack."""
    from dual_cnn_ros.evaluation.evaluation import evaluate, EvaluationOptions
    from dual_cnn_ros.evaluation.summary import finding

    options.work.mkdir(parents=True, exist_ok=True)
    train_split, test_split, left_out, judged_not = _part(options)
    models = options.work / 'models'
    _train(options, SECOND, 'second', options.size, options.epochs, train_split, left_out)
    smaller = round(options.size * SMALLER / 4) * 4
    longer = options.epochs * LONGER
    _train(options, FIRST, 'first', smaller, longer, train_split, left_out)
    for name in ('second', 'first'):
        out = models / f'{name}_int8'
        quantise(QuantisationOptions(str(models / name), options.photos, out, out.name))
    names = ('first', 'first_int8', 'second', 'second_int8')
    pool = tuple(str(models / name) for name in names)
    choice = choose_cascade(
        ChoiceOptions(options.photos, pool, options.work / 'choose', stages=2, exclude=left_out)
    )
    print(*choice_report(options.photos.name, choice), sep='\n')
    stages = tuple(str(models / name) for name in choice.recommendation.winner.stages)
    bundle, found = calibrate(
        CalibrationOptions(
            *(options.photos, stages, options.out.name, options.out), exclude=left_out
        )
    )
    print(*calibration_report(bundle, found), sep='\n')
    others = [str(models / name) for name in ('second', 'second_int8')]
    evaluation = evaluate(
        EvaluationOptions(
            options.photos,
            (f'{options.out.resolve()}', *others),
            options.work / 'evaluate',
            split=test_split,
            exclude=judged_not,
        )
    )
    print(f'\n{options.out}: {finding(evaluation, "d=0")}')
    print(f'Look at {options.work / "evaluate" / "evaluate.html"}.')
    return bundle


def _part(options: FitOptions) -> tuple[str | None, str | None, Path | None, Path | None]:
    """Return which split trains, which judges, and the files of names that either leaves out."""
    folder = ImageFolder(options.photos)
    splits = {file.split('/')[0] for file in folder.files if file.count('/') == 2}
    if len(splits) > 1 and 'test' in splits:
        return folder.choose_split(None, 'train'), 'test', None, None
    split = folder.choose_split(None, 'train')
    names = [image_name(file) for file in folder.select(split)]
    test = [name for name in names if is_validation(name, options.test, TEST_SEED)]
    files = []
    for what, left_out in (('train', test), ('judge', sorted({*names} - {*test}))):
        files.append(options.work / f'left_out_to_{what}.txt')
        write_atomically(files[-1], '\n'.join(left_out).encode())
    return split, split, files[0], files[1]


def _train(
    options: FitOptions,
    network: str,
    name: str,
    size: int,
    epochs: int,
    split: str | None,
    left_out: Path | None,
) -> None:
    """Train one CNN from the published weights."""
    from dual_cnn_ros.training.loop import train

    train(
        TrainingOptions(
            options.photos,
            network,
            options.work / 'models',
            name,
            start=network,
            split=split,
            exclude=left_out,
            validation=options.validation,
            seed=SEED,
            augmentation=Augmentation(flip=options.flip, zoom=0.6),
            **{**TRAINED_BY[network], 'input': (size, size), 'epochs': epochs},
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = make_parser('fit', __doc__)
    add = parser.add_argument
    add('photos', type=Path, metavar='PHOTOS', help='see above')
    add('--out', type=Path, default=RESULTS / 'fit', help='folder of the bundle (%(default)s)')
    side = "side of the second CNN's input in pixels (%(default)s)"
    add('--size', type=number(32, 512, kind=int), default=FitOptions.size, help=side)
    passes = 'of the second CNN over the images; the first has twice as many (%(default)s)'
    add('--epochs', type=number(1, kind=int), default=FitOptions.epochs, help=passes)
    choose = 'part of the images to choose, calibrate and certify with (%(default)s)'
    add('--validation', type=fraction, default=FitOptions.validation, help=choose)
    judge = 'part of them to judge with, where there is no test split (%(default)s)'
    add('--test', type=fraction, default=FitOptions.test, help=judge)
    mirror = 'mirror half of the images in training; not for signs or text'
    add('--flip', action=argparse.BooleanOptionalAction, default=FitOptions.flip, help=mirror)
    return parser


if __name__ == '__main__':
    sys.exit(main())
