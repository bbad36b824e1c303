"""Whole flowgraphs, for what a link alone does not show: latency, age when overloaded, the runtime's own cost."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.stream_blocks import Arrivals, Frames, Taken, Work
from isacblocks.stream import Flowgraph

PLACEMENTS = ("threads", "processes", "tcp")
FRAMES = 16  # in a message, where the runtime's own cost is measured


def measure_latency(placement: str, messages: int = 1500, per_second: float = 500.0) -> tuple[float, float]:
    """p50 and p99 in seconds, of one-frame messages at a steady rate, from the end of produce() to process()."""
    source, sink = Frames(1 / per_second), Arrivals()
    source.batch = 1
    flowgraph = Flowgraph("latency")
    flowgraph.connect(source, sink)
    flowgraph.run(messages, placement=placement)
    if sink.numbers != list(range(messages)):
        raise RuntimeError("frames are missing")
    p50, p99 = np.percentile(sink.ages[messages // 10 :], (50, 99))
    return float(p50), float(p99)


def measure_overload(placement: str, messages: int = 2000, period: float = 1e-3) -> tuple[float, float]:
    """Median and largest age in seconds of what a sink ten times slower than its source is given, policy "latest"."""
    source, sink = Frames(period), Arrivals(10 * period)
    source.batch = 1
    flowgraph = Flowgraph("overload")
    flowgraph.connect(source, sink, policy="latest")
    flowgraph.run(messages, placement=placement)
    return float(np.median(sink.ages)), float(np.max(sink.ages))


def measure_runtime(placement: str, messages: int = 3000, per_frame: float = 15e-6) -> dict[str, tuple[float, float]]:
    """By block: the runtime's own CPU seconds a message, and as a share of the block's work."""
    source, work, taken = Frames(), Work(per_frame), Taken()
    source.batch = FRAMES
    flowgraph = Flowgraph("runtime")
    flowgraph.connect(source, work, taken)
    status = flowgraph.run(FRAMES * messages, placement=placement)
    if taken.frames != FRAMES * messages:
        raise RuntimeError("frames are missing")
    return {name: ((b.cpu_seconds - b.work_cpu_seconds) / b.messages, b.overhead) for name, b in status.blocks.items()}


def measure_runs(messages: int) -> dict[str, Any]:
    """Seconds by placement: latencies, ages, own CPU a message by block; `share`: that of the work of the block `work`."""
    found: dict[str, Any] = {}
    for placement in PLACEMENTS:
        latency, age = measure_latency(placement, messages // 2), measure_overload(placement, messages // 2)
        cost = measure_runtime(placement, messages)
        found[placement] = {
            "latency_p50": latency[0],
            "latency_p99": latency[1],
            "age_median": age[0],
            "age_largest": age[1],
            "own": {name: seconds for name, (seconds, _) in cost.items()},
            "share": cost["work"][1],
        }
    return found


HEAD = [
    "placement",
    "latency p50 [ms]",
    "p99 [ms]",
    "age median [ms]",
    "largest [ms]",
    "own CPU a message [us]",
    "of the work",
]


def rows(found: dict[str, Any]) -> list[list[str]]:
    """A line for every placement, under HEAD."""
    made = []
    for placement, run in found.items():
        times = [f"{1e3 * run[key]:.2f}" for key in ("latency_p50", "latency_p99", "age_median", "age_largest")]
        own = ", ".join(f"{name} {1e6 * seconds:.0f}" for name, seconds in run["own"].items())
        made.append([placement, *times, own, f"{run['share']:.1%}"])
    return made
