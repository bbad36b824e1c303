"""The tables of docs/performance.md, made from docs/results/performance.json alone.

Each stands between a line <!-- bench KIND --> and a line <!-- end -->, and is made by the function of that name below.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.flowgraph_run import BLOCKS, FULL
from benchmarks.operations import METHODS, Limits, Sizes, Stage, compression, dense, expansion, stored
from benchmarks.report import CASE_HEAD, RATIO_HEAD, Report, cells, ratio_cells
from benchmarks.stream_runs import HEAD as RUNS_HEAD
from benchmarks.stream_runs import rows as run_rows

_BLOCK = re.compile(r"(<!-- bench (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_FRAME = 64 * 256 * 8  # bytes
_GROUPS = {
    "machine_cases": ("limits", "wide"),
    "yardsticks": ("numpy", "torch"),
    "kernels": ("literal", "kernels"),
    "blocks": ("blocks",),
    "simulation": ("made", "training", "simulation"),
    "streams": ("streams",),
}


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table."""
    return "".join("| " + " | ".join(line) + " |\n" for line in [head, ["---"] * len(head), *rows])


def machine(report: Report) -> str:
    """What it was measured with, in words."""
    described, load = report["machine"], report["load"]
    blas, versions = described["blas"], described["versions"]
    state = "a quiet machine" if report["quiet"] else "a machine on which others were working: **provisional figures**"
    known = ", ".join(f"{name} {versions[name]}" for name in ("numpy", "numba", "torch"))
    before, after = load["before"][0], load["after"][0]
    return (
        f"{described['cpu']}, {described['cores']} cores ({described['system']}), Python {described['python']}, {known}. "
        f"BLAS of numpy: {' '.join(blas['configuration'].split())}; its own choice of kernels: {blas['core']}; one thread. "
        f"{report['rounds']} rounds on {state}, load average {before} before and {after} after. "
        f"{report['date'][:10]}, commit {report['commit']}.\n"
    )


def _cases(*groups: str) -> Callable[[Report], str]:
    def table(report: Report) -> str:
        rows = [cells(row) for row in report["cases"] if row["group"] in groups]
        left = [f"\nNot measured, {name}: {report['skipped'][name]}.\n" for name in groups if name in report["skipped"]]
        return (markdown(CASE_HEAD, rows) if rows else "") + "".join(left)

    return table


def targets(report: Report) -> str:
    """What was promised."""
    promised = [row for row in report["ratios"] if row["target"] is not None]
    return markdown(RATIO_HEAD, [ratio_cells(row) for row in [*promised, *report["unmeasured"]]])


def comparisons(report: Report) -> str:
    """The other ratios."""
    return markdown(RATIO_HEAD[:-1], [ratio_cells(row)[:-1] for row in report["ratios"] if row["target"] is None])


def agreement(report: Report) -> str:
    """The share of frames with the maximum at exactly double precision's place; the errors of stored maps."""
    rows = [[name, f"{share:.3f}"] for name, share in report["agreement"].items()]
    errors = [[name, f"{error:.1e}"] for name, error in report["map_errors"].items()]
    table = markdown(["program", "places as in double precision"], rows)
    return table + "\n" + markdown(["stored maps", "largest error, of the maximum"], errors)


def limits_of(report: Report) -> Limits:
    """What a core of the measured machine can do."""
    found = {row["name"]: row for row in report["cases"]}
    return Limits(0.5e9 * found["FMA peak"]["gflops"], _FRAME / (1e-6 * found["read Y"]["us"]))


def _stage_rows(limit: Limits, name: str, stages: list[Stage]) -> list[list[str]]:
    return [
        [
            f"{name}: {stage.name}",
            f"{stage.operations / 1e3:.0f}",
            f"{stage.bytes / 1e3:.0f}",
            f"{1e6 * limit.seconds([stage]):.2f}",
        ]
        for stage in stages
    ]


def stages(report: Report) -> str:
    """Operations, bytes and least time of every stage at Table I."""
    limit, size = limits_of(report), Sizes(**report["sizes"])
    parts = {"compress": compression(size), "map": [*expansion(size), *stored(size)], "dense": dense(size)}
    rows = [row for name, made in parts.items() for row in _stage_rows(limit, name, made)]
    return markdown(["stage", "thousand operations", "kB", "at least [us]"], rows)


def reached(report: Report) -> str:
    """The least time of every method as a whole, and what was measured."""
    limit, size = limits_of(report), Sizes(**report["sizes"])
    found = {row["name"]: row for row in report["cases"]}
    rows = []
    for name, method in METHODS.items():
        if name in found:
            least = 1e6 * limit.seconds(method(size))
            operations = sum(stage.operations for stage in method(size))
            us = found[name]["us"]
            rows.append([name, f"{operations / 1e3:.0f}", f"{least:.2f}", f"{us:.1f}", f"{100 * least / us:.0f} %"])
    return markdown(["method", "thousand operations", "at least [us]", "measured [us]", "of the limit"], rows)


def ranks(report: Report) -> str:
    """The sizes that the counts were taken at."""
    size = Sizes(**report["sizes"])
    filtered = f", w = {size.blocks}, M = {size.kept}" if size.blocks else ""
    return (
        f"N = {size.antennas}, S = {size.subcarriers}, I = {size.angles}, J = {size.delays}, D = {size.delay_rank}, "
        f"A = {size.angle_rank}{filtered}.\n"
    )


def alone(report: Report, run: Mapping[str, Any]) -> str:
    """The block that takes longest alone on a core, where that was measured, against the whole."""
    blocks = run["blocks_us_per_frame"]
    measured = FULL if "delay_compressor" in blocks else BLOCKS
    cases = {measured[name]: name for name in blocks if name in measured}
    found = [row for row in report["cases"] if row["name"] in cases]
    if not found:
        return ""
    slowest = max(found, key=lambda row: float(row["us"]))
    share = 100 * slowest["us"] / run["us_per_frame"]
    name, us = cases[slowest["name"]], slowest["us"]
    return f" Alone on a core `{name}` takes longest, {us:.1f} us a frame: {share:.0f} % of the whole's time."


def flowgraph(report: Report) -> str:
    """The whole flowgraph, as it is and with full frames."""
    return "\n".join(_one_flowgraph(report, report[name]) for name in ("flowgraph", "flowgraph_full") if name in report)


def _one_flowgraph(report: Report, run: Mapping[str, Any]) -> str:
    blocks = run["blocks_us_per_frame"]
    first = next(iter(blocks.values()))
    head = ["block", *(f"{name.removesuffix('_seconds')} [us/frame]" for name in first)]
    rows = [[name, *(f"{value:.2f}" for value in spent.values())] for name, spent in blocks.items()]
    return (
        f"{run['frames']} frames, {run['batch']} in a message: {run['frames_per_second']:.0f} frames/s, "
        f"{run['us_per_frame']:.1f} us of wall time a frame ({min(run['samples']):.1f} to {max(run['samples']):.1f}) and "
        f"{run['cpu_us_per_frame']:.1f} us of processor time, {run['cores_busy']:.2f} cores busy. The slowest block, "
        f"`{run['slowest']}`, works {100 * run['of_slowest']:.0f} % of the time."
        + alone(report, run)
        + "\n\n"
        + markdown(head, rows)
    )


def runs(report: Report) -> str:
    """Latency, age, and the runtime's own cost."""
    if "runs" not in report:
        return "\nNot measured yet.\n"
    return markdown(RUNS_HEAD, run_rows(report["runs"]))


def start(report: Report) -> str:
    """Imports, compilation, loading."""
    made = report["start"]
    files = made["cache"]
    rows = [[f"`{line}`", f"{median(values):.3f}"] for line, values in made["imports"].items()]
    rows.append(["`isacblocks --help`, the whole program", f"{median(made['help']):.2f}"])
    rows.append(
        ["`isacblocks run online_calibration --frames 16`, loaded kernels", f"{median(made['first_16_frames']):.2f}"]
    )
    rows.append(["all kernels compiled, empty cache", f"{made['cold_total']:.1f}"])
    rows.append(
        [
            f"all kernels loaded, {files['kernels']} files, {files['code_bytes'] / 1e6:.1f} MB",
            f"{median(made['warm_total']):.2f}",
        ]
    )
    groups = [[group, f"{cold:.2f}", f"{median(made['warm'][group]):.3f}"] for group, cold in made["cold"].items()]
    return markdown(["start", "seconds"], rows) + "\n" + markdown(["kernel group", "compiled [s]", "loaded [s]"], groups)


TABLES: dict[str, Callable[[Report], str]] = {
    **{
        function.__name__: function
        for function in (machine, targets, comparisons, agreement, stages, reached, ranks, flowgraph, runs, start)
    },
    **{name: _cases(*groups) for name, groups in _GROUPS.items()},
}


def filled(page: str, report: Report) -> str:
    """The document with every table made anew."""
    return _BLOCK.sub(lambda m: m[1] + TABLES[m[2]](report) + m[3], page)


def fill(path: Path, check: bool) -> int:
    """Write the tables into the page, or with `check` only say whether they are those of the JSON; the exit status."""
    page, report = path.read_text(), json.loads((path.parent / "results" / "performance.json").read_text())
    new = filled(page, report)
    if check:
        if new != page:
            print("docs/performance.md: tables differ from the JSON; run tools/bench.py fill", file=sys.stderr)
        return int(new != page)
    path.write_text(new)
    return 0
