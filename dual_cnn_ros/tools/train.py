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

"""Train a small CNN on a folder or tar of labelled pictures; write weights, ONNX and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
import sys

from dual_cnn_ros.tools.cli import run_cli

# Looked for before anything is read, because the last are used after the whole training only.
LIBRARIES = ('torch', 'onnx', 'onnxscript', 'safetensors')


def main(argv: Sequence[str] | None = None) -> int:
    """Train as the command line says; 0 where it succeeded, 1 after an error, 130 after Ctrl-C."""

    def work() -> None:
        if missing := [name for name in LIBRARIES if find_spec(name) is None]:
            raise ImportError(f'install what is missing with "pip install {" ".join(missing)}"')
        from dual_cnn_ros.training.training import parser, train

        metrics = train(parser().parse_args(argv))
        accuracy = metrics['held_out_accuracy']
        print(
            f'{metrics["architecture"]}: {metrics["parameters"]:,} parameters, '
            f'{metrics["multiply_adds"]:,} multiply-adds, held-out accuracy '
            f'{"not measured" if accuracy is None else f"{accuracy:.2%}"}, '
            f'{metrics["seconds"]:.0f} s'
        )

    return run_cli(
        'train', work, 'interrupted; the same command goes on after the last finished epoch'
    )


if __name__ == '__main__':
    sys.exit(main())
