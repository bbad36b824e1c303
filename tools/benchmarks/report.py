"""The figures of a run as JSON and as tables."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from benchmarks.machine import QUIET, description, load
from benchmarks.measure import Result
from benchmarks.operations import sizes
from benchmarks.registry import Bench
from benchmarks.stream_runs import HEAD as RUNS_HEAD
from benchmarks.stream_runs import rows as run_rows
from benchmarks.targets import ratios, unmeasured
from benchmarks.viewing import HEAD as VIEWING_HEAD
from benchmarks.viewing import rows as viewing_rows
from isacblocks import OfdmRadar, Scene
from isacblocks.study.provenance import commit

Report = dict[str, Any]

POINTS = (100, 100)  # of the map at Table I


def case_row(result: Result) -> dict[str, Any]:
    """One case: seconds per unit of every round; their median and spread, in microseconds where the unit is a frame."""
    case = result.case
    low, median, high = (result.quantile(q) for q in (0.1, 0.5, 0.9))
    row: dict[str, Any] = {"name": case.name, "group": case.group, "text": case.text, "clock": case.clock, "unit": case.unit}
    if case.unit == "flop":
        row |= {"gflops": 1e-9 / median, "gflops_low": 1e-9 / high, "gflops_high": 1e-9 / low}
    else:
        row |= {"us": 1e6 * median, "us_low": 1e6 * low, "us_high": 1e6 * high, "per_second": 1 / median}
    return row | {"samples": [float(f"{seconds:.6g}") for seconds in result.seconds]}


def begin() -> Report:
    """What is noted before anything runs."""
    return {
        "what": "tools/bench.py",
        "commit": commit(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": description(),
        "load": {"before": load()},
        "sizes": asdict(sizes(OfdmRadar(), Scene(), *POINTS)),
    }


def finish(report: Report, bench: Bench, results: Mapping[str, Result], rounds: int) -> None:
    """Add the cases and what is known afterwards.

    quiet: whether the machine did nothing else when the run began; figures of a run without are provisional.
    """
    report["load"]["after"] = load()
    report["quiet"] = report["load"]["before"][0] <= QUIET
    report["rounds"] = rounds
    report["notes"] = bench.notes
    report["skipped"] = bench.skipped
    report["agreement"] = bench.agreement
    report["map_errors"] = bench.map_errors
    report["cases"] = [case_row(result) for result in results.values()]
    report["ratios"] = ratios(results)
    report["unmeasured"] = unmeasured(results)


def number(value: float) -> str:
    """Three digits, or all that are before the point."""
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def verdict(row: Mapping[str, Any]) -> str:
    """Whether a ratio is what was promised."""
    if row["target"] is None:
        return "-"
    stretch = "" if row["stretch"] is None else f" (stretch {row['stretch']:g})"
    found = "not measured" if "met" not in row else "met" if row["met"] else "NOT MET"
    return f"{row['target']:g}{stretch}: {found}"


def cells(row: Mapping[str, Any]) -> list[str]:
    """Case, time, spread, rate."""
    if row["unit"] == "flop":
        spread = f"{row['gflops_low']:.0f} to {row['gflops_high']:.0f} GFLOP/s"
        return [row["name"], "-", spread, f"{row['gflops']:.0f} GFLOP/s", row["text"]]
    spread = f"{number(row['us_low'])} to {number(row['us_high'])}"
    return [row["name"], number(row["us"]), spread, f"{row['per_second']:,.0f} /s".replace(",", " "), row["text"]]


def ratio_cells(row: Mapping[str, Any]) -> list[str]:
    """Case, yardstick, ratio, spread, verdict."""
    if "median" not in row:
        return [row["case"], row["yardstick"], "-", "-", verdict(row)]
    spread = f"{row['low']:.3g} to {row['high']:.3g}"
    return [row["case"], row["yardstick"], f"{row['median']:.3g}", spread, verdict(row)]


CASE_HEAD = ["case", "us/frame", "10 to 90 %", "per core", "what"]
RATIO_HEAD = ["case", "against", "times", "10 to 90 %", "target"]


def columns(head: list[str], rows: list[list[str]]) -> str:
    """A table for a terminal."""
    widths = [max(len(line[k]) for line in [head, *rows]) for k in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in [head, *rows]
    ]
    return "\n".join(lines)


def text(report: Report) -> str:
    """All of it for a terminal."""
    machine = report["machine"]
    blas = machine["blas"]
    head = [
        f"{machine['cpu']}, {machine['cores']} cores; load before {report['load']['before'][0]}"
        + ("" if report["quiet"] else ": others were working, figures are PROVISIONAL"),
        f"numpy {machine['versions']['numpy']} with {blas['name']}, core {blas['core']}, one thread; "
        f"numba {machine['versions']['numba']}, torch {machine['versions']['torch']}; {report['rounds']} rounds",
        "us of a core's time per frame, median over the rounds; a frame is 64 x 256, its map 100 x 100",
    ]
    parts = ["\n".join(head), columns(CASE_HEAD, [cells(row) for row in report["cases"]])]
    if report["ratios"]:
        parts.append(columns(RATIO_HEAD, [ratio_cells(row) for row in [*report["ratios"], *report["unmeasured"]]]))
    if report["agreement"]:
        exact = ", ".join(f"{name} {share:.3f}" for name, share in report["agreement"].items())
        parts.append(f"answers agree; share of places exactly those of double precision: {exact}")
    parts += [f"largest error, {name}: {error:.1e} of the maximum" for name, error in report["map_errors"].items()]
    parts += [f"skipped, {name}: {reason}" for name, reason in report["skipped"].items()]
    parts += [f"{name}: {flowgraph_text(report[name])}" for name in ("flowgraph", "flowgraph_full") if name in report]
    if "runs" in report:
        parts.append(columns(RUNS_HEAD, run_rows(report["runs"])))
    if "viewing" in report:
        parts.append(columns(VIEWING_HEAD, viewing_rows(report["viewing"])))
    if "start" in report:
        parts.append(start_text(report["start"]))
    return "\n\n".join(parts)


def flowgraph_text(run: Mapping[str, Any]) -> str:
    """The whole flowgraph in words and a table."""
    blocks = [[name, *(f"{value:.2f}" for value in spent.values())] for name, spent in run["blocks_us_per_frame"].items()]
    first = next(iter(run["blocks_us_per_frame"].values()))
    return (
        f"online_calibration in threads: {run['frames_per_second']:.0f} frames/s, {run['us_per_frame']:.1f} us of "
        f"wall and {run['cpu_us_per_frame']:.1f} us of processor time a frame; its slowest block, {run['slowest']}, works "
        f"{100 * run['of_slowest']:.0f} % of the time, {run['cores_busy']:.2f} cores are busy\n"
        + columns(["block, us/frame", *first], blocks)
    )


def start_text(start: Mapping[str, Any]) -> str:
    """Starts in words."""
    middle = {name: sorted(values)[len(values) // 2] for name, values in start["imports"].items()}
    warm = sorted(start["warm_total"])[len(start["warm_total"]) // 2]
    files = start["cache"]
    lines = [f"{seconds:.3f} s  {line}" for line, seconds in middle.items()]
    groups = [
        [group, f"{cold:.2f}", f"{sorted(start['warm'][group])[len(start['warm'][group]) // 2]:.3f}"]
        for group, cold in start["cold"].items()
    ]
    return (
        f"all kernels: {start['cold_total']:.1f} s to compile, {warm:.2f} s to load; {files['kernels']} files of code, "
        f"{files['code_bytes'] / 1e6:.1f} MB; `isacblocks --help` {min(start['help']):.2f} s, "
        f"first 16 frames of the flowgraph {min(start['first_16_frames']):.2f} s\n"
        + "\n".join(lines)
        + "\n"
        + columns(["kernel group", "compile [s]", "load [s]"], groups)
    )
