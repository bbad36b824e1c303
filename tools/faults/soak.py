"""Long runs: memory and descriptors of every process stay where they were, the books balance, kappa stays right.

The calibration itself, every block in a process of its own. What each process holds is looked at while it runs: the most of
the fifth tenth of the run against the most of the last one, so that what is filled once (queues, pools, tables) does not
count and what grows by the item does.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from faults.case import Case, Outcome
from isacblocks import OfdmRadar, Scene, kappa_error
from isacblocks.blocks import AngleDelayMap, ImpairedChannel, KappaCalibrator, MaprtDetector, OfdmSource
from isacblocks.stream import Flowgraph, Status
from isacblocks.stream.link import EdgeSpec

_THOUSAND = 1000  # frames
_BEGIN = 4  # the tenth that the last one is compared with
MOST_GROWTH = 4.0  # MB: what an allocator keeps in pieces
# A pool has a segment, with a descriptor, for each message on its way, of which the link's depth bounds the number.
# What leaked by the message would be some 300 over half of the shortest run.
MOST_DESCRIPTORS = EdgeSpec("", "", b"").depth
MOST_LOSS = 0.055  # dB: what is promised after 400 frames; it falls from there
_PAGE = os.sysconf("SC_PAGE_SIZE") / 1e6


def held(pid: int) -> tuple[float, int]:
    """MB in memory (its own and shared with others) and open descriptors of a process."""
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return resident * _PAGE, len(os.listdir(f"/proc/{pid}/fd"))


@dataclass
class Watch:
    """Looks at all processes of a flowgraph while it runs. items: of the whole run; last: the block at its end."""

    items: int
    last: str
    memory: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0] * 10))  # by tenths, MB
    descriptors: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0] * 10))
    unbalanced: int = 0

    def __call__(self, status: Status) -> None:
        """Called ten times a second, with the books as they are at that moment."""
        self.unbalanced += sum(not edge.balanced for edge in status.edges)
        if status.phase != "running":
            return
        tenth = min(9, 10 * status.blocks[self.last].items_in // self.items)
        processes = {"program": os.getpid(), **{name: block.process for name, block in status.blocks.items()}}
        for name, pid in processes.items():
            with contextlib.suppress(OSError):  # not begun, or ended
                memory, descriptors = held(pid)
                self.memory[name][tenth] = max(self.memory[name][tenth], memory)
                self.descriptors[name][tenth] = max(self.descriptors[name][tenth], descriptors)

    def growth(self) -> tuple[float, str, int]:
        """By how much the process that grew most did: MB, its name, descriptors. Raises ValueError for too short a run."""
        whole = {name: tenths for name, tenths in self.memory.items() if tenths[_BEGIN] and tenths[-1]}
        if len(whole) < len(self.memory) or not whole:
            raise ValueError("the run was over before every process had been looked at in both tenths; try more frames")
        memory, worst = max((tenths[-1] - tenths[_BEGIN], name) for name, tenths in whole.items())
        return memory, worst, max(tenths[-1] - tenths[_BEGIN] for tenths in self.descriptors.values())


def _flowgraph(radar: OfdmRadar) -> tuple[Flowgraph, ImpairedChannel, KappaCalibrator]:
    scene = Scene()
    source, channel = OfdmSource(radar, seed=1), ImpairedChannel(radar, scene, seed=1)
    image, detector = AngleDelayMap(radar, scene=scene), MaprtDetector(radar, p_fa=1e-2, noise="estimated")
    calibrator = KappaCalibrator(radar, window=scene)
    fg = Flowgraph("soak")
    fg.connect(source, channel)
    fg.connect(channel.compressed, image.compressed)
    fg.connect(image, detector, calibrator)
    fg.feedback(calibrator.kappa, image.kappa, lag=2)
    return fg, channel, calibrator


def _case(count: int) -> Outcome:
    radar, frames = OfdmRadar(), count * _THOUSAND
    fg, channel, calibrator = _flowgraph(radar)
    watch = Watch(frames, calibrator.label)
    status = fg.run(frames, placement="processes", view=watch)
    memory, worst, descriptors = watch.growth()
    loss = kappa_error(calibrator.estimate, channel.kappa, radar).loss_db
    rate = frames / status.seconds
    outcome = Outcome(
        {
            "frames/s": rate,
            "most growth [MB]": memory,
            "of": worst,
            "descriptors": float(descriptors),
            "loss [dB]": loss,
        }
    )
    outcome.expect(
        memory < MOST_GROWTH, f"{worst} grew by {memory:.1f} MB over half the run, expected at most {MOST_GROWTH}"
    )
    outcome.expect(
        descriptors <= MOST_DESCRIPTORS,
        f"{descriptors} more file descriptors at the end than half-way, expected at most {MOST_DESCRIPTORS}",
    )
    outcome.expect(watch.unbalanced == 0, f"{watch.unbalanced} times the books of an edge did not balance")
    outcome.expect(all(e.produced == e.committed > 0 for e in status.edges), "not everything that was made was committed")
    outcome.expect(bool(np.isfinite(calibrator.estimate).all()), "kappa is not finite")
    outcome.expect(loss < MOST_LOSS, f"kappa's loss is {loss:.4f} dB, expected at most {MOST_LOSS}")
    return outcome


CASES = (Case("soak", "memory and descriptors flat, books balanced, kappa right", _case, 150, 10_000, "thousand frames"),)
