"""What it costs the sensing that somebody looks on: frames/s of the flowgraph alone, watched, and watched by who stalls."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from isacblocks import OfdmRadar, Scene
from isacblocks.blocks import AngleDelayMap, ImpairedChannel, KappaCalibrator, MaprtDetector, OfdmSource
from isacblocks.stream import Flowgraph
from isacblocks.study.evaluation import Evaluation
from isacblocks.view.live import LiveView

_SETTLED = 1.5  # seconds after which the server has loaded what it needs to draw
WANTED = 0.95  # of the frames/s without a view
MANNERS = ("reads", "stalls")
FIGURES = ("map_before", "map_after", "plane", "error", "phases", "plan", "detection", "gains", "speed", "wiring")


def flowgraph(view: bool, rate: float = math.inf) -> tuple[Flowgraph, LiveView | None, ImpairedChannel]:
    """online_calibration's flowgraph, watched or not."""
    radar, scene = OfdmRadar(), Scene()
    source, channel = OfdmSource(radar, seed=1), ImpairedChannel(radar, scene, seed=1)
    source.rate = rate
    image, detector = AngleDelayMap(radar, scene=scene), MaprtDetector(radar, noise="estimated")
    calibrator, judge = KappaCalibrator(radar, window=scene), Evaluation(radar)
    fg = Flowgraph("online_calibration")
    fg.connect(source, channel)
    fg.connect(channel.compressed, image.compressed)
    fg.connect(image, detector, judge.detection)
    fg.connect(channel.truth, judge.truth)
    fg.connect(detector, calibrator, judge.kappa)
    fg.feedback(calibrator.kappa, image.kappa, lag=2)
    fg.feedback(calibrator.kappa, detector.kappa, lag=2)
    if not view:
        return fg, None, channel
    live = LiveView(fg, radar, scene, port=0)
    live.watch(channel.compressed, detector.detection, calibrator.kappa, channel.truth)
    live.control(channel)
    return fg, live, channel


def cpu_seconds(pid: int) -> float:
    """What a process has used of a core since its start."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def viewer(manner: str, live: LiveView) -> Iterator[None]:
    """Somebody looks on, with all pictures in sight."""
    program = str(Path(__file__).with_name("viewer.py"))
    with subprocess.Popen(
        [sys.executable, program, manner, live.url, *FIGURES], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"the viewer ended with status {process.wait()}")
        yield
        process.stdin.close()


def _once(seconds: float, placement: str, manner: str | None) -> tuple[float, float]:
    """Frames/s over so many seconds of a flowgraph that has been running for a while, and the server's share of a core."""
    fg, live, _ = flowgraph(manner is not None)
    with contextlib.ExitStack() as stack:
        if live is not None and manner is not None:
            stack.enter_context(live)
            stack.enter_context(viewer(manner, live))
        stack.enter_context(fg)
        fg.start(placement=placement)
        while fg.status.phase == "starting":
            time.sleep(0.01)
        time.sleep(_SETTLED)
        pid = None if live is None else live.server_pid
        before, spent = fg.status.blocks["evaluation"], cpu_seconds(pid) if pid else 0.0
        time.sleep(seconds)
        after, spent = fg.status.blocks["evaluation"], (cpu_seconds(pid) if pid else 0.0) - spent
    took = after.wall_seconds - before.wall_seconds  # each when it was told
    return (after.items_in - before.items_in) / took, spent / seconds


def measure_viewing(seconds: float, rounds: int, placement: str = "threads") -> dict[str, Any]:
    """Runs in turn, so that what else the machine does falls on all alike. ratios: of the round's run without a view.

    frames_per_second, ratio, server: medians by manner; ratios: of all rounds; server: its share of a core.
    """
    kinds = (None, *MANNERS)
    found = np.array([[_once(seconds, placement, kind) for kind in kinds] for _ in range(rounds)])  # round, kind, figure
    ratios = found[:, 1:, 0] / found[:, :1, 0]
    return {
        "placement": placement,
        "seconds": seconds,
        "wanted": WANTED,
        "frames_per_second": dict(zip(("alone", *MANNERS), np.median(found[:, :, 0], axis=0).tolist(), strict=True)),
        "ratio": dict(zip(MANNERS, np.median(ratios, axis=0).tolist(), strict=True)),
        "ratios": dict(zip(MANNERS, ratios.T.tolist(), strict=True)),
        "server": dict(zip(MANNERS, np.median(found[:, 1:, 1], axis=0).tolist(), strict=True)),
    }


HEAD = ["viewer", "frames/s", "of those alone", "from", "to", "server, of a core"]


def rows(found: dict[str, Any]) -> list[list[str]]:
    """A line for every manner of looking on, under HEAD."""
    made = [["none", f"{found['frames_per_second']['alone']:.0f}", "-", "-", "-", "-"]]
    for manner in MANNERS:
        ratios = found["ratios"][manner]
        figures = [f"{found['ratio'][manner]:.3f}", f"{min(ratios):.3f}", f"{max(ratios):.3f}"]
        speed = f"{found['frames_per_second'][manner]:.0f}"
        made.append([manner, speed, *figures, f"{found['server'][manner]:.1%}"])
    return made
