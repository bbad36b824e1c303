"""kill -9 of every block in turn while the consumer is busy: nothing lost, nothing doubled, the same bits, soon back."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import time
from collections.abc import Iterator

from faults.calibrations import Undisturbed, build, flows, wait_for
from faults.case import Case, Outcome, percentile
from isacblocks.stream import Flowgraph, Restart

_FRAMES = 24_000  # in a run; there are as many runs as the kills need
_RECOVERY = 1.0  # seconds, promised for 99 of 100


def _is_back(fg: Flowgraph, block: str, restarts: int) -> bool:
    status = fg.status.blocks[block]
    return status.restarts > restarts and status.phase in ("running", "finished")


def kill(fg: Flowgraph, block: str) -> float | None:
    """kill -9; the seconds until the block works again, None where the flowgraph came to its end first."""
    status = fg.status.blocks[block]
    began = time.perf_counter()
    with contextlib.suppress(ProcessLookupError):
        os.kill(status.process, signal.SIGKILL)
    return time.perf_counter() - began if wait_for(fg, lambda: _is_back(fg, block, status.restarts)) else None


def _one_run(fg: Flowgraph, victims: Iterator[str], moments: random.Random, left: int) -> list[float]:
    """Kill until the run is over or enough have been killed; the times of recovery."""
    recoveries: list[float] = []
    while len(recoveries) < left and not fg.wait(moments.uniform(0.0, 0.05)):
        seconds = kill(fg, next(victims))
        if seconds is None:
            break
        recoveries.append(seconds)
    if not wait_for(fg, lambda: fg.status.phase == "finished"):
        fg.stop()
    return recoveries


def kills(count: int, placement: str = "processes") -> Outcome:
    """count: kills of each block."""
    outcome, recoveries, lost, doubled, runs = Outcome(), list[float](), list[int](), list[int](), 0
    reference = Undisturbed(_FRAMES)
    moments = random.Random(count)
    blocks = list(build(_FRAMES).blocks)
    victims = itertools.cycle(blocks)
    while len(recoveries) < count * len(blocks):
        fg = build(_FRAMES)
        with fg:
            fg.start(_FRAMES, placement=placement, restart=Restart(limit=50))
            wait_for(fg, lambda: flows(fg))  # noqa: B023 - called at once
            recoveries += _one_run(fg, victims, moments, count * len(blocks) - len(recoveries))
        reference.compare(fg, fg.status, outcome, lost, doubled)
        runs += 1
    p50, p99 = percentile(recoveries, 0.5), percentile(recoveries, 0.99)
    outcome.expect(p99 < _RECOVERY, f"recovery took {p99:.2f} s in the 99th percentile, promised {_RECOVERY:g}")
    outcome.figures |= {"kills": float(len(recoveries)), "runs": float(runs), "lost": float(sum(lost))}
    outcome.figures |= {
        "doubled": float(sum(doubled)),
        "recovery p50 (s)": p50,
        "p99 (s)": p99,
        "longest (s)": max(recoveries),
    }
    return outcome


CASES = (
    Case(
        "kill", "0 lost, 0 doubled, the same bits, back within 1 s (p99)", kills, small=50, full=1000, unit="of each block"
    ),
    Case("kill tcp", "the same over tcp", lambda n: kills(n, "tcp"), small=8, full=100, unit="of each block"),
)
