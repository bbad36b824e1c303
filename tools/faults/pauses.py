"""SIGSTOP of every block in turn: noticed soon, memory bounded by the credit of the links, and the flow goes on."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from faults.calibrations import BATCH, PATIENCE, Undisturbed, build, flows, wait_for
from faults.case import Case, Outcome, percentile
from isacblocks.stream import Flowgraph

_FRAMES = 40_000
_NOTICED = 0.5  # seconds, promised
_GROWTH = 64.0  # MB: all of the links' credit, 16 MB each at most, is less than the flowgraph could ever need for this


def resident(process: int) -> float:
    """Memory of a process in MB that no other one has too."""
    fields = {}
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        fields[name] = int(value.split()[0])
    return (fields["Private_Clean"] + fields["Private_Dirty"]) / 1024


def _noticed(fg: Flowgraph, block: str, seconds: float) -> float | None:
    """Until a frozen block is known to be; None where that takes longer than it is frozen."""
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        if fg.status.blocks[block].phase == "frozen":
            return time.perf_counter() - began
        time.sleep(0.002)
    return None


def _freeze(fg: Flowgraph, block: str, seconds: float, outcome: Outcome) -> tuple[float | None, float]:
    """Freeze a block for a while; when it was noticed, and how much memory the others took meanwhile, in MB."""
    others = [status.process for name, status in fg.status.blocks.items() if name != block]
    before, process = sum(map(resident, others)), fg.status.blocks[block].process
    began = time.perf_counter()
    os.kill(process, signal.SIGSTOP)
    try:
        noticed = _noticed(fg, block, seconds)
        time.sleep(max(0.0, seconds - (time.perf_counter() - began)))
        growth = sum(map(resident, others)) - before
        credit = {edge.receiver: edge.depth for edge in fg.edges()}
        for edge in fg.status.edges:
            most = credit[edge.receiver] * BATCH
            outcome.expect(edge.in_flight <= most, f"{edge}: {edge.in_flight} items on their way, the credit is {most}")
    finally:
        os.kill(process, signal.SIGCONT)
    if seconds > _NOTICED:
        outcome.expect(noticed is not None and noticed < _NOTICED, f"{block}: noticed after {noticed} s of {seconds:.1f}")
    outcome.expect(growth < _GROWTH, f"{block}: the others grew by {growth:.0f} MB while it was frozen")
    wait_for(fg, lambda: fg.status.blocks[block].phase in ("running", "finished"))
    return noticed, growth


def freezes(count: int) -> Outcome:
    """count: of each block, for 0.1 to 10 s; the first ones are the shortest that must be noticed."""
    outcome, noticed, growths, lost, doubled = Outcome(), list[float](), list[float](), list[int](), list[int]()
    lengths, reference = random.Random(count), Undisturbed(_FRAMES)
    for number in range(count):
        fg = build(_FRAMES)
        with fg:
            fg.start(_FRAMES, placement="processes")
            wait_for(fg, lambda: flows(fg))  # noqa: B023 - called at once
            for block in list(fg.blocks):
                if fg.wait(0):
                    break
                found, growth = _freeze(fg, block, 10 ** lengths.uniform(-1, 1) if number else 0.6, outcome)
                noticed += [] if found is None else [found]
                growths.append(growth)
            fg.wait(PATIENCE)
        reference.compare(fg, fg.status, outcome, lost, doubled)
    outcome.figures |= {
        "frozen": float(len(growths)),
        "noticed p50 (s)": percentile(noticed, 0.5),
        "longest (s)": max(noticed),
    }
    outcome.figures |= {"most growth (MB)": max(growths), "lost": float(sum(lost)), "doubled": float(sum(doubled))}
    return outcome


CASES = (
    Case(
        "freeze", "noticed within 0.5 s, memory bounded, the flow goes on", freezes, small=1, full=20, unit="of each block"
    ),
)
