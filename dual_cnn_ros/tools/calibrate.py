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
Make a bundle of two trained CNNs: temperatures, score, threshold, post-check, and the evidence.

The pictures that `train` held out are split once more: one part for the temperatures, the rest
for the rule. The test pictures are looked at once, by the finished bundle.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import json
from pathlib import Path
import shutil
import sys
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dual_cnn_ros import bundle as bundles
from dual_cnn_ros.bundle import Bundle, StageSpec
from dual_cnn_ros.cascade.cascade import post_check
from dual_cnn_ros.cascade.decision import Decision
from dual_cnn_ros.cascade.scores import SCORES, softmax
from dual_cnn_ros.cascade.settings import POST_CHECKS, Settings
from dual_cnn_ros.cascade.threshold import best_threshold
from dual_cnn_ros.inference import ModelSource
from dual_cnn_ros.tools.dataset import is_held_out, read_names
from dual_cnn_ros.tools.predictions import (
    cpu_seconds,
    predict,
    Predictions,
    read_trained,
    Trained,
)

NAMES = ('first', 'second')
RESAMPLES = 2000

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


class Rule(NamedTuple):
    """A rule with what it reached on the pictures it was chosen on."""

    score: str
    post_check: str
    threshold: float
    accuracy: float
    second_share: float


def temperature(logits: Floats, labels: npt.NDArray[np.int64]) -> float:
    """
    Return argmin over T of the mean negative log likelihood of softmax(logits / T).

    Golden section over ln T in [-3, 3]: in 1 / T the loss is convex, so it has one minimum
    (Guo et al., "On Calibration of Modern Neural Networks", 2017).
    """
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    own = z[np.arange(len(z)), labels]

    def loss(log_t: float) -> float:
        scaled = z / np.exp(log_t)
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - own / np.exp(log_t)))

    low, high, golden = -3.0, 3.0, (5 ** 0.5 - 1) / 2
    while high - low > 1e-4:
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(np.exp((low + high) / 2))


def expected_calibration_error(probabilities: Floats, labels: npt.NDArray[np.int64],
                               bins: int = 15) -> float:
    """Return the gap between confidence and accuracy, averaged over equally wide bins."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    return float(sum(abs(confidence[bin_of == b].mean() - right[bin_of == b].mean())
                     * np.mean(bin_of == b) for b in np.unique(bin_of)))


def final_labels(first: Floats, second: Floats, score: str, rule: str) -> npt.NDArray[np.int64]:
    """Return the cascade's answer to each picture, (N,), once both CNNs were asked."""
    measure = SCORES[score]
    return np.array([post_check(
        [Decision(p, int(p.argmax()), float(measure(p)), name, name)
         for name, p in zip(NAMES, pair)], rule, measure).label
        for pair in zip(first, second)])


def rules(first: Floats, second: Floats, labels: npt.NDArray[np.int64]) -> list[Rule]:
    """Return the best threshold for each score and post-check, the best rule first."""
    found = []
    for score in SCORES:
        for check in POST_CHECKS:
            point = best_threshold(SCORES[score](first), first.argmax(axis=1) == labels,
                                   final_labels(first, second, score, check) == labels)
            found.append(Rule(score, check, *point))
    return sorted(found, key=lambda rule: (-rule.accuracy, rule.second_share))


def evaluate(first: Floats, second: Floats, labels: npt.NDArray[np.int64],
             rule: Rule) -> tuple[Bools, Bools]:
    """Return for each picture whether the answer is right, and whether the second was asked."""
    asked = SCORES[rule.score](first) < rule.threshold
    final = final_labels(first, second, rule.score, rule.post_check)
    return np.where(asked, final, first.argmax(axis=1)) == labels, asked


def interval(right: Bools, seed: int = 0) -> list[float]:
    """Return the 95 % bootstrap interval of an accuracy over pictures."""
    counts = np.random.default_rng(seed).binomial(len(right), right.mean(), RESAMPLES)
    return [round(float(x), 4) for x in np.percentile(counts / len(right), (2.5, 97.5))]


def calibrate(options: argparse.Namespace) -> dict[str, Any]:
    """Write the bundle and return its metrics."""
    pair = [read_trained(file) for file in options.models]
    arguments, labels = pair[0].metrics['arguments'], pair[0].metrics['labels']
    exclude = read_names(options.exclude) if options.exclude else ()
    held = predict(pair, options.data, split=arguments['split'], held_out=True, exclude=exclude)
    # A hash of another seed splits the held-out pictures independently of how they were chosen.
    for_temperature = np.array([is_held_out(name, 0.3, arguments['seed'] + 1)
                                for name in held[0].names])
    temperatures = [temperature(o.logits[for_temperature], o.labels[for_temperature])
                    for o in held]
    probabilities = [softmax(o.logits[~for_temperature], t) for o, t in zip(held, temperatures)]
    truth = held[0].labels[~for_temperature]
    choices = rules(probabilities[0], probabilities[1], truth)
    bundle = _write(options, pair, temperatures, cpu_seconds(pair), labels, choices)
    metrics: dict[str, Any] = {
        'bundle': bundle.name,
        'pictures': {'temperature': int(for_temperature.sum()), 'rule': len(truth)},
        'rule': choices[0]._asdict(),
        'alternatives': [choice._asdict() for choice in choices[1:]],
        'training': {name: {key: trained.metrics[key] for key in (
            'architecture', 'arguments', 'parameters', 'multiply_adds', 'pictures', 'device',
            'versions')} for name, trained in zip(NAMES, pair)},
        'held_out': {name: round(float(np.mean(p.argmax(axis=1) == truth)), 4)
                     for name, p in zip(NAMES, probabilities)},
    }
    if options.test:
        test = predict(pair, options.test, split=options.test_split, held_out=False,
                       exclude=exclude)
        metrics['test'] = _test(test, temperatures, choices[0],
                                [t.metrics['multiply_adds'] for t in pair])
    (options.out / 'metrics.json').write_text(json.dumps(metrics, indent=1) + '\n',
                                              encoding='utf-8')
    return metrics


def _write(options: argparse.Namespace, pair: Sequence[Trained], temperatures: Sequence[float],
           seconds: Sequence[float], labels: Sequence[str], choices: Sequence[Rule]) -> Bundle:
    options.out.mkdir(parents=True, exist_ok=True)
    stages = []
    for name, trained, t, cost in zip(NAMES, pair, temperatures, seconds):
        files = {}
        for kind in ('onnx', 'safetensors'):
            files[kind] = options.out / f'{name}.{kind}'
            shutil.copyfile(trained.file(kind), files[kind])
        stages.append(StageSpec(
            name, ModelSource(files, trained.metrics['architecture']),
            {kind: bundles.sha256(path) for kind, path in files.items()}, trained.input,
            round(t, 4), trained.metrics['multiply_adds'], round(cost, 6)))
    best = choices[0]
    bundle = Bundle(
        options.out, options.name, options.description, tuple(labels), tuple(stages),
        Settings(score=best.score, thresholds=(best.threshold,), post_check=best.post_check),
        tuple({'name': f'{c.score}, {c.post_check}', 'score': c.score, 'threshold': c.threshold,
               'post_check': c.post_check, 'accuracy': round(c.accuracy, 4),
               'second_share': round(c.second_share, 4)} for c in choices))
    bundles.write(bundle)
    return bundles.read(options.out)


def _test(outputs: Sequence[Predictions], temperatures: Sequence[float], rule: Rule,
          multiply_adds: Sequence[int]) -> dict[str, Any]:
    truth = outputs[0].labels
    first, second = (softmax(o.logits, round(t, 4)) for o, t in zip(outputs, temperatures))
    members = [p.argmax(axis=1) == truth for p in (first, second)]
    right, asked = evaluate(first, second, truth, rule)
    only_first, only_second = members[0] & ~members[1], members[1] & ~members[0]
    result: dict[str, Any] = {'pictures': len(truth)}
    for name, correct, p in zip(NAMES, members, (first, second)):
        result[name] = {'accuracy': round(float(correct.mean()), 4), 'interval': interval(correct),
                        'expected_calibration_error':
                            round(expected_calibration_error(p, truth), 4)}
    result['pair'] = {
        'accuracy': round(float(right.mean()), 4), 'interval': interval(right),
        'second_share': round(float(asked.mean()), 4),
        'multiply_adds': round(multiply_adds[0] + float(asked.mean()) * multiply_adds[1]),
    }
    result['complementarity'] = round(
        2 * min(int(only_first.sum()), int(only_second.sum())) / len(truth), 4)
    result['either_right'] = round(float((members[0] | members[1]).mean()), 4)
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='calibrate', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', type=Path, help='the folder or tar that both were trained on')
    parser.add_argument('--models', type=Path, nargs=2, required=True, metavar=('FIRST', 'SECOND'),
                        help='metrics files (.json) that train wrote, the cheaper CNN first')
    parser.add_argument('--test', type=Path, help='folder or tar of test pictures')
    parser.add_argument('--test-split', help='its split, where it has several')
    parser.add_argument('--exclude', type=Path, metavar='FILE',
                        help='the names that train left out')
    parser.add_argument('--name', required=True, help='of the bundle')
    parser.add_argument('--description', default='', help='of the bundle, one line')
    parser.add_argument('--out', type=Path, required=True, help='folder of the bundle')
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    try:
        metrics = calibrate(options)
    except (ValueError, OSError) as error:
        print(f'calibrate: {error}', file=sys.stderr)
        return 1
    shown = {key: value for key, value in metrics.items()
             if key not in ('alternatives', 'training')}
    print(json.dumps(shown, indent=1))
    return 0


if __name__ == '__main__':
    sys.exit(main())
