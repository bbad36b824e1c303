"""What is compared with what, and what was promised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import Ratio, Result, ratio


@dataclass(frozen=True)
class Target:
    """A case, its yardstick, and how many times faster it is to be: at least, and hoped for; None: only told.

    rate: of the yardstick in frames/s, where it is known from elsewhere and not measured here.
    """

    case: str
    yardstick: str
    least: float | None = None
    hoped: float | None = None
    rate: float | None = None


TARGETS = (
    Target("detector", "numpy dense", 11, 16),
    Target("map stored", "numpy dense", 9, 13),
    Target("detector, compressed", "numpy dense", 24, 36),
    Target("simulate full", "numpy noise", 25),
    Target("simulate compressed", "simulate full", 6),
    Target("training step, full", "torch training step", 25),
    Target("training step, compressed", "torch training step", 60),
    Target("training step, full", "torch training step, parts"),
    Target("training step, compressed", "torch training step, parts"),
    Target("map and peak", "numpy dense"),
    Target("detector", "numpy dense, wide"),
    Target("detector, one sector", "numpy dense, one sector"),
    Target("detector", "torch dense, gradient"),
    Target("detector", "numpy literal"),
    Target("map stored", "literal map"),
    Target("detector", "literal detector"),
    Target("detector, any array", "detector"),
    Target("detector, refined", "detector"),
    Target("find_peak", "detector"),
    Target("block AngleDelayMap", "detector"),
    Target("numpy dense, wide", "numpy dense"),
    Target("numpy literal", "numpy dense"),
    Target("torch dense, gradient", "numpy dense"),
    # GNU Radio's ZeroMQ blocks push 2.7 to 4.0 GB/s through ipc, 20 to 30 thousand such frames: told, not measured here
    Target("streams: ours shared, 16", "GNU Radio's ipc, told", 3, rate=25e3),
    Target("streams: ours tcp, 16", "streams: bare tcp, 16", 0.9),
    *(
        Target(f"streams: ours {ours}, {batch}", f"streams: bare {bare}, {batch}")
        for ours, bare in (("inproc", "inproc"), ("shared", "ipc"), ("tcp", "tcp"))
        for batch in (1, 16, 64)
        if (ours, batch) != ("tcp", 16)
    ),
)


def measured(target: Target, results: Mapping[str, Result]) -> bool:
    """Whether there is something on both sides."""
    return target.case in results and (target.rate is not None or target.yardstick in results)


def compared(target: Target, results: Mapping[str, Result]) -> Ratio:
    """The case against its yardstick, round by round."""
    if target.rate is None:
        return ratio(results, target.case, target.yardstick)
    told = Result(results[target.case].case, [1 / target.rate] * len(results[target.case].seconds))
    return ratio({**results, target.yardstick: told}, target.case, target.yardstick)


def ratios(results: Mapping[str, Result]) -> list[dict[str, Any]]:
    """Those of which both sides were measured."""
    found = []
    for target in TARGETS:
        if measured(target, results):
            made = compared(target, results)
            found.append(
                {
                    "case": made.case,
                    "yardstick": made.yardstick,
                    "median": made.median,
                    "low": made.low,
                    "high": made.high,
                    "target": target.least,
                    "stretch": target.hoped,
                    "met": None if target.least is None else made.median >= target.least,
                }
            )
    return found


def unmeasured(results: Mapping[str, Result]) -> list[dict[str, Any]]:
    """The promises of which one side was not measured."""
    return [
        {"case": target.case, "yardstick": target.yardstick, "target": target.least, "stretch": target.hoped}
        for target in TARGETS
        if target.least is not None and not measured(target, results)
    ]
