"""What it costs the sensing that somebody looks on: frames/s of the flowgraph alone and watched, in turn.

A flowgraph's speed changes from run to run, by how the machine places its threads, and from second to second, by what else
the machine does. So a round has one run of each kind at a time; they take slices of time in turn, forward and back, and
a ratio is that of two slices beside each other.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from benchmarks.onlookers import Run

WANTED = 0.95  # of the frames/s without a view
MANNERS = ("reads", "stalls", "table")


def measure_viewing(seconds: float, rounds: int, slices: int, placement: str = "threads") -> dict[str, Any]:
    """seconds: of a slice; rounds: runs of every kind; slices: of every run.

    frames_per_second, server: medians over all slices, by manner; server: its share of a core; rounds: the median ratio of
    every round; ratio: their mean; error: of the ratio, from how the rounds differ (nan of one round).
    """
    kinds = (None, *MANNERS)
    found = np.empty((rounds, slices, len(kinds), 2))
    for turn in range(rounds):
        with contextlib.ExitStack() as stack:
            runs = [stack.enter_context(Run(kind, placement)) for kind in kinds]
            for k in range(slices):
                order = range(len(kinds)) if k % 2 == 0 else reversed(range(len(kinds)))
                for one in order:
                    found[turn, k, one] = runs[one].slice(seconds)
    ratios = np.median(found[:, :, 1:, 0] / found[:, :, :1, 0], axis=1)  # round, manner
    speeds, servers = np.median(found[..., 0], axis=(0, 1)), np.median(found[:, :, 1:, 1], axis=(0, 1))
    error = ratios.std(axis=0, ddof=1) / np.sqrt(rounds) if rounds > 1 else np.full(len(MANNERS), np.nan)
    return {
        "placement": placement,
        "seconds": seconds,
        "slices": slices,
        "wanted": WANTED,
        "frames_per_second": dict(zip(("alone", *MANNERS), speeds.tolist(), strict=True)),
        "ratio": dict(zip(MANNERS, ratios.mean(axis=0).tolist(), strict=True)),
        "error": dict(zip(MANNERS, error.tolist(), strict=True)),
        "rounds": dict(zip(MANNERS, ratios.T.tolist(), strict=True)),
        "server": dict(zip(MANNERS, servers.tolist(), strict=True)),
    }


HEAD = ["viewer", "frames/s", "of those alone", "+-", "rounds from", "to", "server, of a core"]


def rows(found: dict[str, Any]) -> list[list[str]]:
    """A line for every manner of looking on, under HEAD."""
    made = [["none", f"{found['frames_per_second']['alone']:.0f}", "-", "-", "-", "-", "-"]]
    for manner in MANNERS:
        ratios = found["rounds"][manner]
        figures = [
            f"{found['ratio'][manner]:.3f}",
            f"{found['error'][manner]:.3f}",
            f"{min(ratios):.3f}",
            f"{max(ratios):.3f}",
        ]
        server = "-" if manner == "table" else f"{found['server'][manner]:.1%}"
        made.append([manner, f"{found['frames_per_second'][manner]:.0f}", *figures, server])
    return made
