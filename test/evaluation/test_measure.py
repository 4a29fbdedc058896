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

"""Joules of an image, measured on boards whose joules are known, in a time that the test makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import json
from pathlib import Path
import random
import shutil
import sys
from typing import Any

import pytest
import sysfs_fixtures as fixtures
from tiny_bundle import LABELS, make_bundle

from dual_cnn_ros import bundle as bundles
from dual_cnn_ros.cascade.frame import Frame
from dual_cnn_ros.data.power_trace import open_power_trace
from dual_cnn_ros.energy import bench as bench_module
from dual_cnn_ros.energy.bench import Bench, Cost
from dual_cnn_ros.energy.integration import energy_of
from dual_cnn_ros.evaluation import measure
from dual_cnn_ros.power import ina3221
from dual_cnn_ros.power.reading import Reading, Sensor

IDLE, BUSY = 4.0, 7.0
IMAGE_SECONDS = 0.005
SLOW = 0.05
ORIN_NANO_CURRENT = 'bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr1_input'


class Board:
    """A machine in a time of its own: it draws more while it works, and is read meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seed: int = 0) -> None:
        self.now, self.watts, self.joules, self.period = 1000.0, IDLE, 0.0, 0.0
        self.rng = random.Random(seed)
        self.due = float('inf')
        self.read: Callable[[], list[Reading]] = lambda: []
        self.deliver: Callable[[list[Reading]], None] = lambda readings: None
        self.changed: Callable[[], None] = lambda: None
        monkeypatch.setattr(bench_module, 'time', self)
        monkeypatch.setattr(bench_module, 'Sampler', self.sampler)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass, and be read at a random moment of each period."""
        end = self.now + seconds
        while self.due <= end:
            self.joules += (self.due - self.now) * self.watts
            self.now = self.due
            self.changed()
            self.deliver(self.read())
            self.due += self.period * self.rng.uniform(0.5, 1.5)
        self.joules += (end - self.now) * self.watts
        self.now = end

    def work(self, seconds: float = IMAGE_SECONDS, watts: float = BUSY) -> None:
        """Do one image."""
        self.watts = watts
        self.sleep(seconds)
        self.watts = IDLE

    def sampler(
        self, sensor: Sensor, period: float, deliver: Callable[[list[Reading]], None]
    ) -> Board:
        self.period, self.read, self.deliver = period, sensor.read, deliver
        return self

    def start(self) -> None:
        self.due = self.now

    def stop(self) -> None:
        self.due = float('inf')


class Channel:
    rails = ('in',)

    def __init__(self, read: Callable[[], Reading]) -> None:
        self._read = read

    def read(self) -> list[Reading]:
        return [self._read()]


def sensor(read: Callable[[], Reading]) -> Sensor:
    return Sensor('fake', 'a test', (Channel(read),), ('in',), 'module')


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    return Board(monkeypatch)


def spent(watts: float = BUSY, seconds: float = IMAGE_SECONDS) -> float:
    return (watts - IDLE) * seconds


def noisy(board: Board, noise: float) -> Sensor:
    """Return a sensor of instantaneous power with the steps of an INA3221."""
    return sensor(
        lambda: Reading(
            'in',
            board.now,
            watts=0.04 * round((board.watts + board.rng.gauss(0, noise)) / 0.04),
            offset_watts=0.08,
        )
    )


def test_known_joules_are_recovered_within_the_stated_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deviations = []
    for seed in range(10):
        board = Board(monkeypatch, seed)
        costs = Bench(noisy(board, 0.2), 20.0).run(
            {
                'light': lambda board=board: board.work(0.002, 5.0),
                'heavy': lambda board=board: board.work(0.05, 9.0),
            }
        )
        for name, joules, seconds in (('light', 0.002, 0.002), ('heavy', 0.25, 0.05)):
            cost = costs[name]
            assert (
                cost.joules is not None
                and cost.standard_error is not None
                and cost.gross is not None
            )
            deviations.append((cost.joules - joules) / cost.standard_error)
            assert cost.joules == pytest.approx(joules, rel=0.1)
            assert cost.gross == pytest.approx(joules + IDLE * seconds, rel=0.03)
            assert cost.images == pytest.approx(20 / seconds, rel=0.01)
            assert cost.bias == pytest.approx(0.0125 * cost.joules)
    assert max(map(abs, deviations)) < 4
    assert sum(abs(deviation) < 2 for deviation in deviations) >= 16


def test_hardware_counter_gives_it_exactly(board: Board) -> None:
    counter = sensor(lambda: Reading('in', board.now, joules=board.joules))
    cost = Bench(counter, 10.0).run({'image': board.work})['image']
    assert cost.joules == pytest.approx(spent(), rel=1e-6)
    assert cost.gross == pytest.approx(BUSY * IMAGE_SECONDS, rel=1e-6)


def test_sensor_that_averages_does_not_smear_one_work_into_the_next(board: Board) -> None:
    """Like a GPU's power reading: the mean of the last second."""
    past: list[tuple[float, float]] = []

    def read() -> Reading:
        past.append((board.now, board.joules))
        before = next(one for one in past if one[0] >= board.now - 1.0)
        seconds = board.now - before[0]
        watts = (board.joules - before[1]) / seconds if seconds else board.watts
        return Reading('in', board.now, watts=watts)

    costs = Bench(sensor(read), 10.0).run(
        {'little': lambda: board.work(IMAGE_SECONDS, 4.5), 'much': lambda: board.work(0.1, 30.0)}
    )
    assert costs['little'].joules == pytest.approx(spent(4.5), rel=0.01)
    assert costs['much'].joules == pytest.approx(spent(30.0, 0.1), rel=0.01)


def test_difference_within_the_noise_is_refused(board: Board) -> None:
    cost = Bench(noisy(board, 3.0), 10.0).run({'hardly': lambda: board.work(IMAGE_SECONDS, 4.05)})[
        'hardly'
    ]
    assert cost.joules is None and 'within the noise' in cost.net.refused
    assert cost.gross is not None


def test_idle_power_that_drifts_as_far_is_refused(board: Board) -> None:
    """As when the clocks or the temperature of a board change meanwhile."""
    drift = sensor(lambda: Reading('in', board.now, watts=board.watts + 0.2 * (board.now - 1000)))
    cost = Bench(drift, 10.0).run({'image': board.work})['image']
    assert cost.joules is None and 'within the noise' in cost.net.refused


def test_readings_that_fail_are_no_figure(board: Board) -> None:
    def read() -> Reading:
        if 1020 < board.now < 1050:
            return Reading('in', board.now, error='EIO')
        return Reading('in', board.now, watts=board.watts)

    cost = Bench(sensor(read), 10.0).run({'image': board.work})['image']
    assert cost.joules is None and cost.gross is None and 'covered' in cost.net.refused


@pytest.mark.parametrize(('when', 'again'), [(1005, 'idle before'), (1020, 'image')])
def test_what_a_stall_left_uncovered_is_measured_again(
    board: Board, when: float, again: str
) -> None:
    def read() -> Reading:
        if when < board.now < when + 3:
            return Reading('in', board.now, error='EIO')
        return Reading('in', board.now, watts=board.watts)

    begun: list[str] = []
    cost = Bench(sensor(read), 10.0, begun=begun.append).run({'image': board.work})['image']
    assert cost.joules == pytest.approx(spent(), rel=0.01)
    expected = ['idle before', 'image', 'idle after']
    expected.insert(expected.index(again) + 1, f'{again} again')
    assert begun == expected


def test_slow_readings_reach_beyond_every_window(board: Board) -> None:
    cost = Bench(noisy(board, 0.0), 60.0, period=2.0).run({'image': board.work})['image']
    assert cost.energy.coverage == pytest.approx(1.0)
    assert [rest.coverage for rest in cost.idle.rests] == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize('first', [True, False])
def test_rest_that_could_not_be_read_is_no_idle_power(
    board: Board, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is what there is; counted as no watts at all it would halve the idle power."""
    monkeypatch.setattr(bench_module, '_ATTEMPTS', 1)

    def read() -> Reading:
        if board.now < 1013 if first else board.now > 1026:
            return Reading('in', board.now, error='EIO')
        return Reading('in', board.now, watts=board.watts)

    cost = Bench(sensor(read), 10.0).run({'image': board.work})['image']
    assert cost.idle.watts == pytest.approx(IDLE)
    assert cost.joules == pytest.approx(spent(), rel=0.01) and cost.standard_error is not None


@pytest.mark.parametrize('readable', [0, 5])
def test_without_an_idle_power_nothing_is_above_it(
    board: Board, readable: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor where a rest is covered in part."""
    monkeypatch.setattr(bench_module, '_ATTEMPTS', 1)

    def read() -> Reading:
        if 1000 + readable < board.now < 1013 or board.now > 1026:
            return Reading('in', board.now, error='EIO')
        return Reading('in', board.now, watts=board.watts)

    cost = Bench(sensor(read), 10.0).run({'image': board.work})['image']
    assert cost.joules is None and cost.standard_error is None
    assert 'of the time without load is covered' in cost.net.refused
    assert cost.gross == pytest.approx(BUSY * IMAGE_SECONDS, rel=0.01)
    assert 'nan' not in measure.table({'image': cost})


# The command ---------------------------------------------------------------------------------


@pytest.fixture
def orin(board: Board, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the sysfs of an Orin Nano that draws what the board does, an image being a Frame."""
    root = fixtures.build(
        tmp_path,
        fixtures.ORIN_NANO
        | {
            'sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in1_input': 5000,
            'sys/firmware/devicetree/base/model': 'A board\0',
        },
    )
    board.changed = lambda: (root / ORIN_NANO_CURRENT).write_text(f'{200 * board.watts:.0f}\n')
    board.changed()
    monkeypatch.setattr(ina3221, 'time', board)

    def frame(image: Any) -> Frame:
        board.work(SLOW)
        return Frame(image)

    monkeypatch.setattr(measure, 'Frame', frame)
    return root


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / 'bundle')


def command(*arguments: object) -> int:
    return measure.main([str(argument) for argument in arguments])


def test_table_baseline_and_trace(
    orin: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = make_bundle(tmp_path / 'large', name='wide')
    trace = tmp_path / 'trace.csv'
    before = bundles.read(bundle)
    assert (
        command(
            f'{bundle}/',
            '--sysfs-root',
            orin,
            '--large',
            f'{large}/@second',
            '--trace',
            trace,
            '--frame',
            64,
            48,
        )
        == 0
    )
    out = capsys.readouterr().out
    assert out.startswith('A board; ina3221: the board measures itself')
    rows = {words[0]: words[1:] for words in map(str.split, out.splitlines()) if words}
    for name in ('memory', 'first', 'second', 'both', 'wide@second'):
        images, rate, above, error, bias, gross = map(float, rows[name])
        assert images == pytest.approx(10 / SLOW, abs=2)
        assert rate == pytest.approx(1 / SLOW, rel=0.01)
        assert above == pytest.approx(1e3 * spent(seconds=SLOW), rel=0.01)
        assert gross == pytest.approx(1e3 * BUSY * SLOW, rel=0.01)
        assert 0 <= error < 1 and bias == pytest.approx(0.0125 * above, rel=0.01)
    after = bundles.read(bundle)
    assert after.baseline is not None
    assert after.baseline.joules == pytest.approx(spent(seconds=SLOW), rel=0.01)
    assert after.baseline.idle_watts == pytest.approx(IDLE, rel=0.01)
    assert (
        after.baseline.name,
        after.baseline.source,
        after.baseline.scope,
        after.baseline.machine,
    ) == ('wide@second', 'ina3221', 'module', 'A board')
    assert '64 x 48 frame' in after.baseline.conditions
    # Nothing else of the bundle changes.
    assert replace(after, baseline=None) == before
    # What was read plays as a recording, and holds the same energy.
    played = open_power_trace(trace)
    assert 'Measured by measure on A board' in played.reason
    assert (played.rails, played.members, played.scope) == (
        ('VDD_IN', 'VDD_CPU_GPU_CV', 'VDD_SOC'),
        ('VDD_IN',),
        'module',
    )
    watts = [
        float(row.split(',')[2]) for row in trace.read_text().splitlines() if ',VDD_IN,' in row
    ]
    assert min(watts) == pytest.approx(IDLE) and max(watts) == pytest.approx(BUSY)
    totals = [Reading('total', n / 10, watts=w) for n, w in enumerate(watts)]
    mean = energy_of(totals, 0.1).mean_watts
    # Five works and two rests, each with its settling before and after.
    assert mean == pytest.approx((5 * BUSY + 2 * IDLE) / 7, rel=0.03)


def test_large_cnn_of_a_metrics_file(
    orin: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / 'models'
    folder.mkdir()
    for kind in ('onnx', 'safetensors'):
        shutil.copyfile(bundle / 'second.onnx', folder / f'big.{kind}')
    (folder / 'big.json').write_text(
        json.dumps(
            {
                'labels': list(LABELS),
                'architecture': 'resnet20',
                'multiply_adds': 1,
                'arguments': {'holdout': 0.1, 'seed': 0, 'split': None},
                'pictures': {},
                'files': {kind: {'path': f'big.{kind}'} for kind in ('onnx', 'safetensors')},
                'preprocessing': {
                    'height': 16,
                    'width': 16,
                    'colour': 'rgb',
                    'crop': None,
                    'mean': [0.5] * 3,
                    'std': [0.25] * 3,
                },
            }
        )
    )
    assert command(f'{bundle}/', '--sysfs-root', orin, '--large', folder / 'big.json') == 0
    baseline = bundles.read(bundle).baseline
    assert baseline is not None and baseline.name == 'big'


def test_noise_leaves_the_bundle_as_it_was(
    orin: Path, bundle: Path, board: Board, capsys: pytest.CaptureFixture[str]
) -> None:
    board.changed = lambda: (orin / ORIN_NANO_CURRENT).write_text(
        f'{200 * board.watts + board.rng.gauss(0, 20_000):.0f}\n'
    )
    before = (bundle / 'bundle.yaml').read_bytes()
    assert command(f'{bundle}/', '--sysfs-root', orin, '--large', f'{bundle}/@second') == 1
    said = capsys.readouterr()
    assert 'tiny@second: refused' in said.out and 'within the noise' in said.out
    assert 'tiny@second has no figure above idle; the bundle keeps what it had' in said.err
    assert (bundle / 'bundle.yaml').read_bytes() == before


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ([], 'ina3221: no INA3221'),
        (['--source', 'rapl'], 'no RAPL package under'),
        (['--seconds', '5'], '--seconds must be at least 10'),
        (['--seconds', 'nan'], '--seconds must be at least 10'),
        (['--rate', '500'], '--rate must be from 1 to 100'),
    ],
)
def test_without_a_sensor_it_says_what_it_looked_for(
    arguments: list[str],
    said: str,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, 'pynvml', None)
    root = fixtures.build(tmp_path, fixtures.NONE)
    assert command(f'{bundle}/', '--sysfs-root', root, *arguments) == 1
    err = capsys.readouterr().err
    assert said in err
    if not arguments:
        assert 'no RAPL package' in err and 'nvidia-ml-py' in err


@pytest.mark.parametrize(
    ('large', 'said'),
    [
        ('nothing.json', 'nothing.json is no metrics file written by train'),
        ('{bundle}/@third', "has no stage or operating point 'third'"),
        ('{bundle}/', 'name one CNN'),
    ],
)
def test_large_cnn_that_is_none(
    large: str, said: str, orin: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(f'{bundle}/', '--sysfs-root', orin, '--large', large.format(bundle=bundle)) == 1
    assert said in capsys.readouterr().err


def test_board_without_a_total_is_refused(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = fixtures.build(tmp_path, fixtures.BOARDS['unknown'][0])
    assert command(f'{bundle}/', '--sysfs-root', root, '--source', 'ina3221') == 1
    assert 'has no total to measure' in capsys.readouterr().err


def test_cost_of_few_readings_has_no_error(board: Board) -> None:
    costs = Bench(noisy(board, 0.1), 0.6).run({'image': board.work})
    assert isinstance(costs['image'], Cost) and costs['image'].standard_error is None
