#!/usr/bin/env python3
"""How fast samples come from GNU Radio into a flowgraph of ours: python tools/gnuradio_rate.py [--seconds S] [--vlen N]

GNU Radio floods a ZMQ PUSH sink over ipc. Receivers take it for some seconds each: a bare socket that looks at nothing,
which is the most the sockets allow; GnuRadioSource without tags; and with tags. Vectors of --vlen complex64. --calibrate:
GNU Radio repeats frames of Table I instead, which are calibrated by, kappa and detections going back to it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import zmq

from isacblocks import OfdmRadar
from isacblocks.blocks import AngleDelayMap, ImpairedChannel, KappaCalibrator, MaprtDetector, OfdmSource, Probe
from isacblocks.cli.script import compile_kernels, execute
from isacblocks.frontends import Framing, GnuRadioMessages, GnuRadioSink, GnuRadioSource
from isacblocks.stream import ANY, Block, Flowgraph, In
from isacblocks.stream.spec import Items

ROOT = Path(__file__).resolve().parents[1]
PYTHON = os.environ.get("GNURADIO_PYTHON", "/usr/bin/python3")
_ANTENNAS = 64  # whose gains are told with every frame
_REPEATED = 64  # frames that GNU Radio sends over and over
T = TypeVar("T")
_FIRST = 0.5  # seconds before the measurement, for everything to have begun


class Drain(Block):
    """Takes everything."""

    items = In(ANY)

    def process(self, items: Items) -> None:
        """Nothing to do."""


def flooded(endpoint: str, vlen: int, tags: bool, measure: Callable[[], T]) -> T:
    """What `measure` says while GNU Radio floods the endpoint."""
    chain = {"do": "flood", "kind": "push", "address": endpoint, "dtype": "complex64", "vlen": vlen, "tags": tags}
    return beside([chain], measure)


def beside(chains: list[dict[str, Any]], measure: Callable[[], T]) -> T:
    """What `measure` says while GNU Radio does what tests/gnuradio_side.py understands."""
    side = [PYTHON, str(ROOT / "tests" / "gnuradio_side.py"), json.dumps(chains)]
    child = subprocess.Popen(side, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        while (line := child.stdout.readline()) != "running\n":
            if not line:
                raise RuntimeError(f"GNU Radio did not start: {child.communicate()[1]}")
        return measure()
    finally:
        child.kill()
        child.communicate()


def bare(endpoint: str, seconds: float) -> float:
    """Bytes per second that a socket takes."""
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.PULL)
    socket.connect(endpoint)
    until = time.perf_counter() + _FIRST
    while time.perf_counter() < until:
        socket.recv(copy=False)
    began, got = time.perf_counter(), 0
    while (now := time.perf_counter()) < began + seconds:
        got += len(socket.recv(copy=False))
    context.destroy(0)
    return got / (now - began)


def calibrated(at: str, file: str, seconds: float, newest: int, rate: float) -> tuple[Shares, dict[str, float]]:
    """Frames per second that came and that were calibrated, and the blocks' processor time for each of these, in us.

    The blocks are those of flowgraphs/from_gnuradio.py.
    """
    radar = OfdmRadar()
    channel, probe, simulation = ImpairedChannel(radar, seed=3), Probe(), Flowgraph("simulation")
    simulation.connect(OfdmSource(radar, seed=3), channel)
    simulation.connect(channel.frame, probe)
    simulation.run(items=_REPEATED)
    rows = np.zeros((_REPEATED, radar.antennas + 2, radar.subcarriers), np.complex64)
    rows[:, :-2], rows[:, -2] = probe.values["y"], probe.values["x"]
    rows[:, -1, 0] = probe.values["theta_min"] + 1j * probe.values["theta_max"]
    np.save(file, rows)
    about = {"kind": "push", "dtype": "complex64", "vlen": rows[0].size, "tags": True, "repeat": True, "file": file}
    back = {"kind": "pull", "dtype": "complex64", "vlen": radar.antennas, "count": 1 << 40, "out": file}
    chains = [
        {"do": "send", "address": f"{at}-frames", **about},
        {"do": "take", "address": f"{at}-kappa", **back},  # what it receives for a test would cost more with each
        {"do": "hear", "address": f"{at}-detections", **back},
    ]
    how: dict[str, Any] = {"channels": radar.antennas, "newest": newest}
    frames = GnuRadioSource(f"{at}-frames", rows.shape[1:], pattern="pull", tags=True, **how)
    frames.rate = rate
    framing, image, detector = Framing(radar, sectors=True), AngleDelayMap(radar), MaprtDetector(radar, noise="estimated")
    calibrator, fg = KappaCalibrator(radar), Flowgraph("rate")
    fg.connect(frames, framing)
    fg.connect(framing.compressed, image.compressed)
    fg.connect(image, detector, calibrator)
    fg.feedback(calibrator.kappa, image.kappa, lag=2)
    fg.connect(framing.changes, calibrator.changes)
    fg.connect(calibrator.kappa, GnuRadioSink(f"{at}-kappa", dtype="complex64"))
    told = ("present", "probability", "theta", "range")
    fg.connect(detector, GnuRadioMessages(f"{at}-detections", fields=told))

    def measure() -> tuple[Shares, dict[str, float]]:
        with fg:
            fg.start()
            settle(fg, "kappa_calibrator")
            first, before, began = shares(fg), busy(fg), time.perf_counter()
            time.sleep(seconds)
            last, after, ended = shares(fg), busy(fg), time.perf_counter()
            fg.stop()
            frames = max(last.calibrated - first.calibrated, 1.0)
            spent = {name: 1e6 * (after[name] - before[name]) / frames for name in after}
            return Shares(*((b - a) / (ended - began) for a, b in zip(first, last, strict=True))), spent

    return beside(chains, measure)


class Shares(NamedTuple):
    """Frames: that came from GNU Radio, that were left out, that kappa was learned from, detections that went back."""

    came: float
    left_out: float
    calibrated: float
    detections: float


def busy(fg: Flowgraph) -> dict[str, float]:
    """Seconds of processor time of each block's thread, up to now."""
    return {name: block.cpu_seconds for name, block in fg.status.blocks.items()}


def shares(fg: Flowgraph) -> Shares:
    """Up to now."""
    blocks = fg.status.blocks
    source = blocks["gnu_radio_source"]
    told = blocks["gnu_radio_messages"].readings.get("sent_messages", 0.0)
    left_out = source.readings.get("items_left_out", 0.0)
    return Shares(source.items_out + left_out, left_out, blocks["kappa_calibrator"].items_in, told)


def settle(fg: Flowgraph, block: str) -> None:
    """Until the block has had its first items for a while."""
    while not fg.status.blocks[block].items_in:
        time.sleep(0.01)
    time.sleep(_FIRST)


def rate_of(fg: Flowgraph, block: str, seconds: float) -> float:
    """Items per second that a block of a running flowgraph takes, from a while after the first of them."""
    settle(fg, block)
    first, began = fg.status.blocks[block].items_in, time.perf_counter()
    time.sleep(seconds)
    last, ended = fg.status.blocks[block].items_in, time.perf_counter()
    return (last - first) / (ended - began)


def ours(endpoint: str, seconds: float, vlen: int, tags: bool, placement: str) -> float:
    """Bytes per second that arrive behind GnuRadioSource, in another block."""
    drain, fg = Drain(), Flowgraph("rate")
    fg.connect(GnuRadioSource(endpoint, (vlen,), pattern="pull", tags=tags, channels=_ANTENNAS), drain)
    with fg:
        fg.start(placement=placement)
        return 8 * vlen * rate_of(fg, "drain", seconds)


def work(options: argparse.Namespace) -> int:
    """Measure each in turn, print the best of some rounds."""
    best: dict[str, float] = {}
    if options.calibrate:
        compile_kernels()
        with tempfile.TemporaryDirectory() as where:
            how = options.seconds, options.newest, options.rate
            turns = [calibrated(f"ipc://{where}/{k}", f"{where}/f.npy", *how) for k in range(options.rounds)]
        best_of, spent = max(turns, key=lambda turn: turn[0])
        print(
            f"from GNU Radio {best_of.came:.0f} frames/s, {best_of.came * 8 * 66 * 256 / 1e9:.2f} GB/s; "
            f"calibrated {best_of.calibrated:.0f} frames/s ({best_of.calibrated / best_of.came:.0%}), left out "
            f"{best_of.left_out:.0f}, detections back {best_of.detections:.0f}"
        )
        print(
            "processor time for a calibrated frame, us: " + ", ".join(f"{name} {time:.0f}" for name, time in spent.items())
        )
        return 0

    def take(end: str, tags: bool, placement: str) -> float:
        return ours(end, options.seconds, options.vlen, tags, placement)

    with tempfile.TemporaryDirectory() as where:
        for turn in range(options.rounds):
            at = f"ipc://{where}/{turn}"
            cases: dict[str, tuple[bool, Callable[[str], float]]] = {
                "bare socket": (False, lambda end: bare(end, options.seconds)),
                "source, threads": (False, lambda end: ours(end, options.seconds, options.vlen, False, "threads")),
                "source with tags, threads": (True, lambda end: ours(end, options.seconds, options.vlen, True, "threads")),
                "source with tags, processes": (
                    True,
                    lambda end: ours(end, options.seconds, options.vlen, True, "processes"),
                ),
            }
            for number, (name, (tags, measure)) in enumerate(cases.items()):
                end = f"{at}{number}"
                rate = flooded(end, options.vlen, tags, lambda measure=measure, end=end: measure(end))  # type: ignore[misc]
                best[name] = max(best.get(name, 0.0), rate)
    for name, rate in best.items():
        print(f"{name:28s} {rate / 1e9:5.2f} GB/s   {rate / best['bare socket']:4.0%} of the bare socket")
    return 0


def main() -> int:
    """The tool; returns the exit status."""
    parser = argparse.ArgumentParser(
        "gnuradio_rate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="of every measurement (default: 2)")
    parser.add_argument(
        "--vlen", type=int, default=64 * 256, help="complex numbers in a vector (default: a frame of Table I)"
    )
    parser.add_argument("--rounds", type=int, default=2, help="of which the best is told (default: 2)")
    parser.add_argument("--calibrate", action="store_true", help="the whole way to kappa and back instead")
    parser.add_argument("--newest", type=int, default=0, help="with --calibrate: frames that wait, older ones are left out")
    parser.add_argument("--rate", type=float, default=math.inf, help="with --newest: frames/s that are calibrated at most")
    options = parser.parse_args()
    return execute("gnuradio_rate", lambda: work(options))


if __name__ == "__main__":
    sys.exit(main())
