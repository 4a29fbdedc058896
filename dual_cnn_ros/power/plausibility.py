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
What a power sensor can say and what it cannot: the same rules for every sensor and counter.

They hold for the counters of RAPL and NVML, for those in a recording and for the total that
arrives in messages.

Power
    is finite and at most MOST_WATTS of one rail. A rail may be negative, as current flows both
    ways; a total may only be by its offset, or 1 W. A power that stays the same is taken as it
    is: a step of the chip hides small changes, and the drivers fail where it stops converting.
An energy counter
    - never runs backwards, except once where it restarts or wraps around;
    - never gains more than MOST_WATTS for the time in which it can have been spent;
    - moves at least every LONGEST_STILL seconds, unless the power beside it is zero;
    - says nothing while it stands, as many move more slowly than they are read: what it counts
      belongs to the time from one of its steps to another, and is known from its second step on;
    - has not lost energy: one that stands much longer than it used to is not believed over that
      time, unless the power beside it agrees;
    - agrees with the power beside it, where that is measured too, within 25 % and the energy of a
      second, by which averages lag behind: another unit or scale is no small difference.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
import math
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dual_cnn_ros.power.reading import Reading

# A rail is at most a processor or a GPU; of how many rails a total is, its reader may not know.
MOST_WATTS, MOST_TOTAL_WATTS = 2_000.0, 20_000.0
LONGEST_STILL = 5.0
_LEAST_TOTAL_WATTS = -1.0
# Less than this is as good as switched off: a counter may stand beside it.
_OFF_WATTS = 0.05
# A step of a coarse counter may be waited for, however long: that loses nothing.
_STEP_JOULES = 0.01
# How much longer than usual a counter may stand.
_STILL_SECONDS, _STILL_TIMES, _STILLS = 0.5, 3.0, 15
_DISAGREEMENT = 0.25
_LAG_SECONDS = 1.0
# The check compares the newest half minute, in parts of half a second.
_COMPARED_SECONDS, _PART_SECONDS = 30.0, 0.5


def power_fault(watts: float, is_total: bool = False, offset_watts: float | None = None) -> str:
    """
    Return why a power cannot be true, in words; empty where it can.

    Parameters
    ----------
    watts
        Of a rail or a total.
    is_total
        Whether it is a total.
    offset_watts
        Bound of the sensor's constant error.

    """
    most = MOST_TOTAL_WATTS if is_total else MOST_WATTS
    if not abs(watts) <= most:
        return f'a power of {watts:g} W cannot be true'
    if is_total and watts < min(_LEAST_TOTAL_WATTS, -(offset_watts or 0.0)):
        return f'the total is negative ({watts:.3f} W): its sensor is broken or connected wrongly'
    return ''


def most_joules(seconds: float, is_total: bool = False) -> float:
    """
    Return the most that a counter can gain between two readings so many seconds apart.

    When it last moved before the first of them may be unknown.
    """
    return (MOST_TOTAL_WATTS if is_total else MOST_WATTS) * (seconds + LONGEST_STILL)


@dataclass(frozen=True)
class Comparison:
    """
    The energy of a counter, and that of the power beside it over the same time.

    Attributes
    ----------
    counted, powered
        Joules.
    seconds
        For which both are known.
    most_watts
        The highest power.

    """

    counted: float = 0.0
    powered: float = 0.0
    seconds: float = 0.0
    most_watts: float = 0.0

    def __add__(self, other: Comparison) -> Comparison:
        """Return the comparison over both times."""
        return Comparison(
            self.counted + other.counted,
            self.powered + other.powered,
            self.seconds + other.seconds,
            max(self.most_watts, other.most_watts),
        )

    def share(self, share: float, counted: float) -> Comparison:
        """Return a share of it, in which so many joules were counted."""
        return replace(
            self, counted=counted, powered=self.powered * share, seconds=self.seconds * share
        )

    @property
    def fault(self) -> str:
        """Why the counter and the power cannot both be true; empty where they can."""
        larger = max(abs(self.counted), abs(self.powered))
        allowed = _DISAGREEMENT * larger + _LAG_SECONDS * self.most_watts + 2 * _STEP_JOULES
        if abs(self.counted - self.powered) <= allowed:
            return ''
        return (
            f'the energy counter says {self.counted:.4g} J where the power beside it says '
            f'{self.powered:.4g} J: one is wrong, or in another unit'
        )


def with_power(sum_: Comparison | None, last: Reading, reading: Reading) -> Comparison | None:
    """Add the energy of the power between two readings; None where it was not always measured."""
    if sum_ is None or last.watts is None or reading.watts is None:
        return None
    seconds = reading.time - last.time
    joules = (last.watts + reading.watts) / 2 * seconds
    return sum_ + Comparison(0.0, joules, seconds, max(last.watts, reading.watts))


class ReadingCheck:
    """
    Judges the readings of one rail, or of a total, in the order of time.

    Parameters
    ----------
    is_total
        Whether they are those of a total.

    """

    def __init__(self, is_total: bool = False) -> None:
        self._is_total = is_total
        self._parts: deque[Comparison] = deque()
        # For how long the counter was seen to stand before its newest steps.
        self._stills: deque[float] = deque(maxlen=_STILLS)
        self.forget()

    def forget(self) -> None:
        """Begin again, as after a failed read: what the counter did meanwhile is unknown."""
        self._last: Reading | None = None
        # The counter's value, since when it has had it, and the last reading before that.
        self._joules = self._since = self._before = 0.0
        self._steps = 0
        # The power beside the counter since then; None where it was not always measured.
        self._beside: Comparison | None = None

    def check(self, reading: Reading) -> Reading:
        """
        Return the reading as far as it can be believed.

        Returns
        -------
        Reading
            The reading. Without its joules while the counter stands, or did not move twice yet. A
            failed one that says what is wrong where it cannot be true.

        """
        last = self._last
        if last is not None and reading.time < last.time:
            self.forget()
            last = None
        fault = reading.error or self._fault(reading, last)
        if fault:
            self.forget()
            if reading.error:
                return reading
            reading, failed = replace(reading, error=''), _failed(reading, fault)
            if reading.joules is not None and math.isfinite(reading.joules):
                self._begin(reading)
            return failed
        if last is not None:
            return self._follow(last, reading)
        if reading.joules is not None:
            self._begin(reading)
        return replace(reading, joules=None)

    def _begin(self, reading: Reading) -> None:
        assert reading.joules is not None
        self._last, self._joules, self._since = reading, reading.joules, reading.time
        self._beside = Comparison()

    def _fault(self, reading: Reading, last: Reading | None) -> str:
        """Return what is wrong with this reading, by itself or after the last one."""
        if reading.watts is not None:
            fault = power_fault(reading.watts, self._is_total, reading.offset_watts)
            if fault:
                return fault
        joules = reading.joules
        if joules is None:
            return ''
        if not math.isfinite(joules):
            return f'an energy counter of {joules} J cannot be true'
        if last is None:
            return ''
        change, seconds = joules - self._joules, reading.time - self._since
        if change < 0:
            return f'the energy counter restarted: it went back by {-change:.6g} J'
        most = most_joules(seconds, self._is_total)
        if self._steps:
            # What is counted in a step was spent after the last reading before the previous step.
            watts = MOST_TOTAL_WATTS if self._is_total else MOST_WATTS
            most = watts * max(reading.time - self._before, 0.02)
        if change > most:
            return (
                f'the energy counter jumped by {change:.6g} J in {seconds:.3g} s, more than '
                'anything draws: it is broken, or counts in another unit'
            )
        return ''

    def _follow(self, last: Reading, reading: Reading) -> Reading:
        """Return a reading after another whose counter neither jumped nor ran backwards."""
        self._last = reading
        self._beside = with_power(self._beside, last, reading)
        joules = self._joules if reading.joules is None else reading.joules
        change, still = joules - self._joules, reading.time - self._since
        is_off = self._beside is not None and self._beside.most_watts <= _OFF_WATTS
        if reading.joules is None or (change == 0 and not is_off):
            if still <= LONGEST_STILL:
                return replace(reading, joules=None)
            if reading.joules is None:
                # The counter itself has ended.
                self.forget()
                return reading
            return _failed(
                reading, f'the energy counter has stood at {joules:.6g} J for {still:.0f} s'
            )
        stood, beside = last.time - self._since, self._beside
        self._joules, self._since, self._before = joules, reading.time, last.time
        self._beside = Comparison()
        self._steps += 1
        if self._steps == 1:
            # Before it, the counter may have stood for any time. That it has not lost energy
            # since is only known of one whose habit is known.
            return reading if self._stills else replace(reading, joules=None)
        usual = median(self._stills) if self._stills else math.inf
        self._stills.append(stood)
        fault = ''
        if beside is not None:
            fault = self._compare(replace(beside, counted=change))
        elif stood > LONGEST_STILL or (
            stood > _STILL_TIMES * usual + _STILL_SECONDS and change > _STEP_JOULES
        ):
            fault = f'the energy counter stood for {stood:.1f} s, and may have lost energy'
        return _failed(reading, fault) if fault else reading

    def _compare(self, newest: Comparison) -> str:
        """Compare counter and power over the newest half minute; return what is wrong."""
        if not self._parts or self._parts[-1].seconds >= _PART_SECONDS:
            self._parts.append(Comparison())
        self._parts[-1] += newest
        while sum(part.seconds for part in self._parts) > _COMPARED_SECONDS + _PART_SECONDS:
            self._parts.popleft()
        return sum(self._parts, Comparison()).fault


def _failed(reading: Reading, error: str) -> Reading:
    return replace(
        reading,
        watts=None,
        volts=None,
        amps=None,
        joules=None,
        offset_watts=None,
        error=error,
    )
