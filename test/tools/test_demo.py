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

"""The demo: any frames through the real nodes in processes of their own, tables and an image."""

from __future__ import annotations

import fcntl
from itertools import product
import os
from pathlib import Path
import re
import signal
import struct
import subprocess
import sys
import termios

import cv2
import pytest
import sysfs_fixtures as fixtures
from tiny_bundle import make_bundle, picture

import dual_cnn_ros
from dual_cnn_ros.data.recording import (
    CLASSIFICATION,
    IMAGE,
    recorded_header,
    recorded_types,
    Recorder,
)

pytestmark = [pytest.mark.ros, pytest.mark.slow]
ROOT = Path(dual_cnn_ros.__file__).parents[1]


def command(**options: object) -> list[str]:
    """Return the demo's, in a domain of its own, where no power sensor is in sysfs."""
    given = {'domain': 81 + os.getpid() % 20, 'sysfs-root': '/none', **options}
    words = [word for name, value in given.items() for word in (f'--{name}', str(value))]
    return [sys.executable, '-m', 'dual_cnn_ros.tools.demo', *words]


def demo(**options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(**options), text=True, timeout=120, capture_output=True, cwd=ROOT
    )


def frames_answered(said: str) -> list[str]:
    """Return what the table says of all frames: how many, and which shares."""
    return next(line for line in said.splitlines() if line.startswith('all')).split()[1:]


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    return f'{make_bundle(tmp_path / "bundle")}/'


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Return a folder with four pictures of each colour, one of them under a wrong label."""
    folder = tmp_path / 'photographs'
    for seed, (colour, number) in enumerate(product(('red', 'green', 'blue'), range(4))):
        (folder / colour).mkdir(parents=True, exist_ok=True)
        shown = 'red' if (colour, number) == ('blue', 3) else colour
        cv2.imwrite(str(folder / colour / f'{number}.png'), picture(shown, seed=seed))
    return folder


def test_pictures_of_a_folder_are_judged_by_their_labels(
    photographs: Path, bundle: str, tmp_path: Path
) -> None:
    """And energy is by the sensor that there is."""
    root = fixtures.build(tmp_path, fixtures.agx_orin())
    sheet = tmp_path / 'out' / 'sheet.png'
    # Slow enough that a stall of the machine lets no frame overtake another.
    options = {'images': photographs, 'bundle': bundle, 'out': sheet}
    done = demo(**options, fps=1, **{'sysfs-root': root})
    assert done.returncode == 0, done.stderr
    assert frames_answered(done.stdout)[:3] == ['12', '100.0%', '91.7%']
    assert cv2.imread(str(sheet)).shape[1] > 1000
    assert 'energy: by ina3221, VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0 (module)' in done.stdout
    # A tree of files draws the same whatever is done, which is no measure of a decision. Where the
    # machine stalls for long, that is the reason.
    assert re.search('22.29 W on average and 22.29 W when idle|readings covered only', done.stdout)
    assert re.search('J above idle is within the noise|is covered|covered only', done.stdout)
    assert '22.29 W on average' in done.stdout
    _, joules = [line.split() for line in done.stdout.splitlines() if line.startswith('all')]
    assert joules[-1] == '-'
    assert 'constructed' not in done.stdout.lower()


def test_constructed_joules_come_out_and_are_called_so(tmp_path: Path) -> None:
    """The whole way: the trace by the power node, decisions by the classifier, over DDS."""
    done = demo(rate=5, duration=20, out=tmp_path / 'sheet.png')
    assert done.returncode == 0, done.stderr
    if 'energy: by nvml' in done.stdout:
        pytest.skip('this machine has a power sensor, so nothing is constructed')
    head, _, tail = done.stdout.partition('Energy from a CONSTRUCTED trace, not a measurement')
    frames = {
        words[0]: int(words[1])
        for words in map(str.split, head.splitlines())
        if words[0] in ('memory', 'first', 'second', 'all')
    }
    assert frames['all'] >= 100  # a busy machine lets frames be overtaken
    found = {words[0]: words[1:] for words in map(str.split, tail.splitlines())}
    # What a busy machine finishes a window too late is left out, and nothing else is.
    assert 0.9 * frames['all'] <= int(found['all'][0]) <= frames['all']
    # How busy the node was, and so how the joules fall to the sources, is this machine's; what
    # they are together is the trace's; test_simulated_power.py has the rest. The second CNN
    # is asked about two frames only, either of which may be overtaken.
    for source in 'memory', 'first':
        assert 0.8 * frames[source] <= int(found[source][0]) <= frames[source]
        assert float(found[source][2]) > 0
    decisions, joules = int(found['all'][0]), float(found['all'][1])
    assert decisions * joules == pytest.approx(200 * 0.061, rel=0.1)
    remarks = [line for line in tail.splitlines() if ' W ' in line or 'saving' in line]
    assert len(remarks) == 2 and all(line.startswith('Constructed ') for line in remarks)
    assert '100.0% of' in remarks[0] and 'simulated scope' in remarks[0]
    assert 'always all' in remarks[1]


def test_labels_that_the_bundle_does_not_know_are_not_judged(
    photographs: Path, bundle: str, tmp_path: Path
) -> None:
    (photographs / 'blue').rename(photographs / 'trip')
    done = demo(images=photographs, bundle=bundle, out=tmp_path / 'sheet.png', fps=1)
    assert done.returncode == 0, done.stderr
    assert "unknown label 'trip' on 4 frames: not judged" in done.stdout
    assert 'Correct: of the 8 frames that have a true label.' in done.stdout
    assert frames_answered(done.stdout)[2] == '100.0%'


@pytest.mark.parametrize(
    ('option', 'value', 'said'),
    [
        ('bag', 'nowhere', 'no recording at nowhere'),
        ('images', 'resource', 'holds no images'),
        ('images', 'nowhere', 'there is no folder nowhere'),
        ('video', 'package.xml', 'cannot be opened'),
        ('bundle', './nowhere', 'bundle.yaml: not found'),
        ('out', 'sheet.txt', '--out sheet.txt: the name must end in .png or .jpg'),
    ],
)
def test_what_cannot_be_shown_is_named(tmp_path: Path, option: str, value: str, said: str) -> None:
    done = demo(**{'out': tmp_path / 'sheet.png', option: value})
    assert done.returncode == 1 and said in done.stderr and 'Traceback' not in done.stderr


def test_node_that_ends_is_a_failure(tmp_path: Path, photographs: Path, bundle: str) -> None:
    # A bundle that reads well and cannot be run: its labels are one more than its classes.
    file = Path(bundle) / 'bundle.yaml'
    file.write_text(file.read_text().replace('[red,', '[white, red,'))
    done = demo(images=photographs, bundle=bundle, out=tmp_path / 'sheet.png')
    assert done.returncode == 1 and 'the classifier node ended' in done.stderr


def test_ctrl_c_shows_what_came_of_it_so_far(
    photographs: Path, bundle: str, tmp_path: Path
) -> None:
    sheet = tmp_path / 'sheet.png'
    terminal, its_end = os.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack('4H', 24, 100, 0, 0))
    process = subprocess.Popen(
        command(images=photographs, bundle=bundle, fps=0.5, out=sheet),
        text=True,
        stdout=subprocess.PIPE,
        stderr=its_end,
        cwd=ROOT,
        start_new_session=True,
    )
    os.close(its_end)
    bar = ''
    while not re.search(r'[3-9]/12', bar):
        bar += os.read(terminal, 1000).decode(errors='replace')
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all in the foreground
    seen, _ = process.communicate(timeout=60)
    os.close(terminal)
    assert process.returncode == 0, bar
    assert 1 <= int(frames_answered(seen)[0]) < 12 and cv2.imread(str(sheet)) is not None


def test_frames_without_a_stamp_of_their_own_count_one_by_one(bundle: str, tmp_path: Path) -> None:
    truth = recorded_types('vision_msgs/msg/ObjectHypothesis')('green', 1.0)
    with Recorder(tmp_path / 'bag') as recorder:
        for number, stamp in enumerate([0] * 5 + [7, 7, 7, 8, 9]):
            header = recorded_header(stamp, 'lens')
            pixels = picture('green', seed=number)
            height, width, _ = pixels.shape
            image = recorded_types(IMAGE)(
                header, height, width, 'bgr8', 0, 3 * width, pixels.ravel()
            )
            recorder.write('/front/image_raw', IMAGE, 10**18 + number * 10**8, image)
            label = recorded_types(CLASSIFICATION)(header, [truth])
            recorder.write('/front/ground_truth', CLASSIFICATION, 10**18 + number, label)
    done = demo(bag=tmp_path / 'bag', bundle=bundle, rate=0.2, out=tmp_path / 'sheet.png')
    assert done.returncode == 0, done.stderr
    assert frames_answered(done.stdout)[0] == '10'
    assert 'Correct: of the 3 frames that have a true label' in done.stdout
    assert '7 frames had no time stamp of their own' in done.stdout
    assert 'left out the label /front/ground_truth' in done.stderr
