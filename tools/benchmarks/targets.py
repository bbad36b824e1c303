"""What is compared with what, and what was promised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import Result, ratio


@dataclass(frozen=True)
class Target:
    """A case, its yardstick, and how many times faster it is to be: at least, and hoped for; None: only told."""

    case: str
    yardstick: str
    least: float | None = None
    hoped: float | None = None


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
)


def ratios(results: Mapping[str, Result]) -> list[dict[str, Any]]:
    """Those of which both sides were measured."""
    found = []
    for target in TARGETS:
        if target.case in results and target.yardstick in results:
            made = ratio(results, target.case, target.yardstick)
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
        if target.least is not None and not {target.case, target.yardstick} <= set(results)
    ]
