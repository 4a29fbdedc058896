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

"""From a node class to a process: how it ends, and the exit code."""

from collections.abc import Callable
from dataclasses import dataclass
import os
from pathlib import Path
import signal

from node_fixtures import nobodys_domain
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

from dual_cnn_ros.nodes.parameter import AT_ONCE, parameter
from dual_cnn_ros.nodes.run import run_node

pytestmark = pytest.mark.ros


@dataclass(frozen=True)
class Parameters:
    speed: float = parameter(1.0, 'How fast.', AT_ONCE)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ROS_DOMAIN_ID', str(nobodys_domain()))


def run(
    make: Callable[[], Node], *arguments: str, start: Callable[[Node], bool] = lambda node: True
) -> int:
    return run_node('runner', make, Parameters, list(arguments), start)


def make() -> Node:
    return Node('runner')


def raiser(error: Exception) -> Callable[[], Node]:
    def make_badly() -> Node:
        raise error

    return make_badly


def interrupted(code: signal.Signals) -> Callable[[Node], bool]:
    """Return a start during which the process gets a signal."""

    def start(node: Node) -> bool:
        os.kill(os.getpid(), code)
        return True

    return start


def test_a_node_that_cannot_start_ends_with_1() -> None:
    assert run(make, start=lambda node: False) == 1
    assert not rclpy.ok()


def test_a_bad_parameter_is_logged_by_the_full_name_and_ends_with_1(
    capfd: pytest.CaptureFixture[str],
) -> None:
    error = ValueError('threshold must be in [0, 1]')
    assert run(raiser(error), '--ros-args', '-r', '__ns:=/r1') == 1
    assert '[r1.runner]: threshold must be in [0, 1]' in capfd.readouterr().err
    assert not rclpy.ok()


@pytest.mark.parametrize(
    ('arguments', 'code', 'words'),
    [
        (['--help'], 0, 'speed: 1.0'),
        (['--thresold', '3'], 2, 'unrecognized arguments: --thresold 3'),
        (['front'], 2, 'unrecognized arguments: front'),
    ],
)
def test_arguments_that_are_not_of_ros(
    capfd: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(make, *arguments)
    assert ended.value.code == code
    assert words in ''.join(capfd.readouterr())


@pytest.mark.parametrize(
    'arguments', [['-r', 'a'], ['--params-file', '/none.yaml'], ['-p'], ['--unknown']]
)
def test_arguments_that_ros_does_not_understand_are_one_sentence(
    capfd: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(make, '--ros-args', *arguments) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith('runner: ') and arguments[-1] in line


@pytest.mark.parametrize(
    ('section', 'is_used'),
    [
        ('runner', True),
        ('/**', True),
        ('/*', True),
        ('/**/runner', True),
        ('/r1/runner', False),
        ('runners', False),
    ],
)
def test_a_parameter_file_for_others_is_named(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, section: str, is_used: bool
) -> None:
    file = tmp_path / 'parameters.yaml'
    file.write_text(f'{section}: {{ros__parameters: {{speed: 2.0}}}}')
    end = interrupted(signal.SIGINT)
    assert run(make, '--ros-args', '--params-file', str(file), start=end) == 0
    warned = f'{file} sets nothing: it is for ' in capfd.readouterr().err
    assert warned != is_used


@pytest.mark.parametrize('code', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_0(code: signal.Signals) -> None:
    assert run(make, start=interrupted(code)) == 0
    assert not rclpy.ok()


def test_a_signal_while_the_node_is_made_ends_it_with_0() -> None:
    def make_late() -> Node:
        rclpy.shutdown()  # as the handler of the signal does, in a thread of its own
        return make()

    assert run(make_late) == 0


@pytest.mark.parametrize(('is_last', 'log'), [(True, ''), (False, 'failed to do as it was told')])
def test_an_error_of_the_executor_is_logged_and_survived_unless_a_signal_brought_it_about(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], is_last: bool, log: str
) -> None:
    def fail_once(executor: SingleThreadedExecutor) -> None:
        monkeypatch.setattr(SingleThreadedExecutor, 'spin', lambda executor: rclpy.shutdown())
        if is_last:
            rclpy.shutdown()
        raise rclpy_implementation.RCLError('failed to do as it was told')

    monkeypatch.setattr(SingleThreadedExecutor, 'spin', fail_once)
    assert run(make) == 0
    written = capfd.readouterr().err
    assert log in written and bool(log) == bool(written)


def make_raising(error: Exception) -> Node:
    """Return a node with a callback that raises at first, and then ends the context."""
    node = make()
    errors = [error]

    def callback() -> None:
        if errors:
            raise errors.pop()
        rclpy.shutdown()

    node.create_timer(0.01, callback)
    return node


@pytest.mark.parametrize('error', [ValueError('no such thing'), KeyError('no such thing')])
def test_an_error_of_a_callback_is_logged_and_survived(
    capfd: pytest.CaptureFixture[str], error: Exception
) -> None:
    assert run(lambda: make_raising(error)) == 0
    log = capfd.readouterr().err
    assert 'FATAL' not in log
    assert 'Traceback' in log and 'raise errors.pop()' in log and 'no such thing' in log


def test_an_executor_that_would_be_deaf_from_then_on_is_no_longer_spun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def take(executor: SingleThreadedExecutor, timer: object) -> None:
        raise rclpy_implementation.RCLError('failed to take')

    monkeypatch.setattr(SingleThreadedExecutor, '_take_timer', take)
    with pytest.raises(rclpy_implementation.RCLError, match='failed to take'):
        run(lambda: make_raising(ValueError()))
    assert not rclpy.ok()


def fail_to_start(node: Node) -> bool:
    raise ValueError('not a parameter')


@pytest.mark.parametrize(
    ('make_node', 'start', 'error'),
    [
        (make, fail_to_start, ValueError),
        (raiser(ZeroDivisionError()), lambda node: True, ZeroDivisionError),
    ],
)
def test_an_error_of_ours_is_not_taken_for_a_bad_parameter(
    make_node: Callable[[], Node], start: Callable[[Node], bool], error: type[Exception]
) -> None:
    with pytest.raises(error):
        run(make_node, start=start)
    assert not rclpy.ok()
