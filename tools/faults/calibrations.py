"""The flowgraph that faults are tried on: the online calibration of Table I, every block in a process of its own."""

from __future__ import annotations

import importlib
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

from faults.case import Outcome
from isacblocks import OfdmRadar, Scene
from isacblocks.cli.script import compile_kernels
from isacblocks.stream import Flowgraph, Status, codec

PATIENCE = 120.0  # seconds until a fault counts as not survived
BATCH = 16  # frames in a message: all messages alike


def build(frames: int) -> Flowgraph:
    """The flowgraph of flowgraphs/online_calibration.py, seed 1."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "flowgraphs"))
    script = importlib.import_module("online_calibration")
    sys.path.pop(0)
    options = script.parse(["--no-view", "--frames", str(frames), "--batch", str(BATCH)])
    options.steps, options.memory = [], math.inf
    fg: Flowgraph = script.build(options, OfdmRadar(), Scene())[0]
    return fg


def kept(fg: Flowgraph) -> dict[str, bytes]:
    """All that every block knows after a run, bit for bit."""
    return {name: codec.encode(block.save()) for name, block in fg.blocks.items()}


class Undisturbed:
    """What a run that nobody disturbs leaves behind, in threads."""

    def __init__(self, frames: int) -> None:
        compile_kernels()
        self.frames = frames
        fg = build(frames)
        status = fg.run(frames)
        self.kept = kept(fg)
        self.committed = {(edge.sender, edge.receiver): edge.committed for edge in status.edges}

    def compare(self, fg: Flowgraph, status: Status, outcome: Outcome, lost: list[int], doubled: list[int]) -> None:
        """Hold a disturbed run against it: items lost and doubled, and the bits of what every block knows."""
        outcome.expect(status.phase == "finished", f"the flowgraph is {status.phase}: {status}")
        for edge in status.edges:
            expected = self.committed[edge.sender, edge.receiver]
            lost.append(max(0, expected - edge.committed) + edge.lost)
            doubled.append(max(0, edge.committed - expected))
            outcome.expect(edge.balanced and not edge.in_flight, f"the books of {edge}")
        outcome.expect(not lost[-1] and not doubled[-1], f"{sum(lost)} items were lost, {sum(doubled)} doubled")
        found = kept(fg)
        different = [name for name, value in self.kept.items() if found[name] != value]
        outcome.expect(not different, f"{', '.join(different)}: not the bits of the undisturbed run")


def wait_for(fg: Flowgraph, condition: Callable[[], bool]) -> bool:
    """Wait until something holds; False where the flowgraph has ended first. Raises TimeoutError."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if fg.wait(0.001):
            return False
        if time.monotonic() > end:
            raise TimeoutError(f"nothing within {PATIENCE:g} s: {fg.status}")
    return True


def flows(fg: Flowgraph) -> bool:
    """Whether frames come out at the far end."""
    status = fg.status
    known = all(block.process for block in status.blocks.values())
    return status.phase == "running" and known and status.blocks["evaluation"].items_in > 10 * BATCH
