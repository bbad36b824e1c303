"""How things are timed: all cases in turn, round after round, so that what disturbs the machine meets every one of them.

A case's sample is a pair (units done, seconds); a unit is a frame unless the case says otherwise. Ratios are taken within a
round, and given as the median over the rounds with the 10 and 90 % quantiles.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

Sample = tuple[float, float]  # units done, seconds
Clock = Callable[[], float]

# What a core spent on this thread alone; for libraries with threads of their own, pinned to one, on the whole process.
THREAD, PROCESS, WALL = time.thread_time, time.process_time, time.perf_counter
_CLOCKS = {THREAD: "thread", PROCESS: "process", WALL: "wall"}


class UnavailableError(Exception):
    """A case cannot be measured here; the message says why."""


@dataclass(frozen=True)
class Case:
    """One thing to be timed.

    name: how tables and ratios call it; text: what it is; sample: does the work once and says how much and how long;
    clock: thread, process or wall; unit: "frame", or "flop" for a limit; group: what it belongs to, for --only.
    """

    name: str
    text: str
    sample: Callable[[], Sample]
    clock: str
    unit: str = "frame"
    group: str = ""


@dataclass
class Result:
    """Seconds per unit of every round."""

    case: Case
    seconds: list[float] = field(default_factory=list)

    def quantile(self, q: float) -> float:
        """Of the seconds per unit."""
        return float(np.quantile(self.seconds, q))


def case(
    name: str,
    text: str,
    run: Callable[[], float],
    *,
    clock: Clock = THREAD,
    least: float = 0.01,
    unit: str = "frame",
) -> Case:
    """A case of a function that does its work once and returns how many units that were.

    least: seconds of the clock that a sample lasts at least; the work is repeated until then.
    """

    def sample() -> Sample:
        done, begin = 0.0, clock()
        while True:
            done += run()
            spent = clock() - begin
            if spent >= least:
                return done, spent

    return Case(name, text, sample, _CLOCKS[clock], unit)


def measure(cases: Iterable[Case], rounds: int, say: Callable[[str], None] = lambda _: None) -> dict[str, Result]:
    """Every case once to warm up, then all of them in each of the rounds."""
    results = {one.name: Result(one) for one in cases}
    for name, result in results.items():
        say(f"warming up: {name}")
        result.case.sample()
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for result in results.values():
            units, seconds = result.case.sample()
            result.seconds.append(seconds / units)
    return results


@dataclass(frozen=True)
class Ratio:
    """How many times faster than its yardstick a case is: median over the rounds, 10 and 90 %."""

    case: str
    yardstick: str
    median: float
    low: float
    high: float


def ratio(results: Mapping[str, Result], name: str, yardstick: str) -> Ratio:
    """The ratio of two cases, round by round."""
    quotients = np.array(results[yardstick].seconds) / np.array(results[name].seconds)
    low, median, high = (float(q) for q in np.quantile(quotients, (0.1, 0.5, 0.9)))
    return Ratio(name, yardstick, median, low, high)
