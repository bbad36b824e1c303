"""Cost against size: antennas, subcarriers, points of the grid, frames in a message, threads; with the limit drawn in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import block_cases, limits, ours
from benchmarks.machine import description, load
from benchmarks.measure import WALL, Case, Result, case, measure
from benchmarks.operations import METHODS, Limits, sizes
from benchmarks.workload import Workload, draw
from isacblocks import OfdmRadar, Scene, angle_delay_map
from isacblocks.blocks import AngleDelayMap, DelayCompressor
from isacblocks.kernels.search import search
from isacblocks.stream import jig
from isacblocks.study import plotting
from isacblocks.study.provenance import stamp, write_table

COLUMNS = ("sweep", "size", "case", "us", "us_low", "us_high", "limit_us")
_BYTES = 1 << 23  # of the frames of one workload: more than the second cache, less than the third
_TABLE1 = OfdmRadar()
Row = dict[str, Any]
AXES = {
    "antennas": "antennas N",
    "subcarriers": "subcarriers S",
    "grid": "points of the grid, I = J",
    "message": "frames in a message",
    "threads": "threads",
}


def _frames(radar: OfdmRadar) -> int:
    """How many frames to measure on."""
    return max(4, min(64, _BYTES // (8 * radar.antennas * radar.subcarriers)))


def _kernel_cases(work: Workload, least: float) -> list[Case]:
    """Map stored, detector, detector on compressed frames."""

    def stored() -> object:
        return angle_delay_map(work.y, work.x, work.kappa, work.theta, work.tau, work.radar)

    runs: dict[str, Callable[[], object]] = {
        "map stored": stored,
        "detector": ours.detector(work),
        "detector, compressed": ours.compressed_detector(work),
    }
    return [case(name, "", ours.counted(work, run), least=least) for name, run in runs.items()]


def _message_cases(work: Workload, least: float) -> list[Case]:
    """process() of the map's block, the whole workload in one message."""

    def image() -> AngleDelayMap:
        return AngleDelayMap(work.radar, kappa=work.kappa, scene=work.scene)

    fields = work.fields()
    packed = jig.run(DelayCompressor(work.radar, work.scene), {"frame": fields})[0]["compressed"]
    inputs = {"detector": {"frame": fields}, "detector, compressed": {"compressed": packed}}
    return [
        Case(name, "", block_cases.process_sampler(image, given, ("peak",), work.frames, least), "thread")
        for name, given in inputs.items()
    ]


def _thread_case(work: Workload, threads: int, pool: ThreadPoolExecutor, least: float) -> Case:
    """The detector on parts of the frames, a thread each, in wall time."""
    bounds = [work.frames * k // threads for k in range(threads + 1)]

    def part(k: int) -> None:
        own = slice(bounds[k], bounds[k + 1])
        search(work.y[own], work.x[own], work.kappa, work.theta[own], work.tau, work.radar, False)

    def run() -> float:
        list(pool.map(part, range(threads)))
        return work.frames

    return case("detector", "", run, clock=WALL, least=least)


def _rows(sweep: str, size: int, work: Workload, results: dict[str, Result], limit: Limits, cores: int = 1) -> Iterable[Row]:
    counts = sizes(work.radar, work.scene, work.theta.shape[1], work.tau.shape[1])
    for name, result in results.items():
        low, median, high = (1e6 * result.quantile(q) for q in (0.1, 0.5, 0.9))
        least = 1e6 * limit.seconds(METHODS[name](counts)) / cores
        yield dict(zip(COLUMNS, (sweep, size, name, median, low, high, least), strict=True))


def _workloads(quick: bool) -> Iterable[tuple[str, int, Workload]]:
    """Every size of the sweeps over antennas, subcarriers and grids; Table I but for the one size."""
    for antennas in (8, 16) if quick else (8, 16, 32, 64, 128, 256):
        yield "antennas", antennas, _drawn(OfdmRadar(antennas=antennas))
    for carriers in (32, 64) if quick else (32, 64, 128, 256, 512, 1024, 2048, 4096):
        yield "subcarriers", carriers, _drawn(OfdmRadar(subcarriers=carriers))
    for points in (50,) if quick else (50, 100, 150, 200, 300, 400):
        yield "grid", points, draw(4 if quick else 16, points=(points, points))


def _drawn(radar: OfdmRadar) -> Workload:
    return draw(_frames(radar), radar)


def machine_limits(frames: int, rounds: int) -> Limits:
    """Multiply-adds and bytes of memory read per second, measured."""
    made = [limits.fma_case(), *limits.memory_cases(frames)]
    results = measure(made, rounds)
    frame = 8 * _TABLE1.antennas * _TABLE1.subcarriers
    return Limits(0.5 / results["FMA peak"].quantile(0.5), frame / results["read Y"].quantile(0.5))


def measured(quick: bool, say: Callable[[str], None]) -> tuple[Limits, list[Row]]:
    """All sweeps."""
    rounds, least = (1, 0.0) if quick else (7, 0.01)
    limit = machine_limits(64 if quick else 1024, rounds)
    rows: list[Row] = []
    for sweep, size, work in _workloads(quick):
        say(f"{sweep} {size}")
        rows += _rows(sweep, size, work, measure(_kernel_cases(work, least), rounds), limit)
    for frames in (1, 4) if quick else (1, 2, 4, 8, 16, 32, 64, 128, 256):
        say(f"message of {frames}")
        work = draw(frames)
        rows += _rows("message", frames, work, measure(_message_cases(work, least), rounds), limit)
    work = draw(8 if quick else 64)
    for threads in range(1, (os.cpu_count() or 1) + 1):
        say(f"{threads} threads")
        with ThreadPoolExecutor(threads) as pool:
            found = measure([_thread_case(work, threads, pool, 2 * least)], rounds)
        rows += _rows("threads", threads, work, found, limit, threads)
    return limit, rows


def draw_sweep(path: Path, sweep: str, rows: list[Row], head: dict[str, str]) -> None:
    """One picture: measured with its spread, and the limit dashed, in one colour per case."""
    plt = plotting.pyplot()
    figure, axis = plt.subplots(figsize=(plotting.COLUMN, 2.5), layout="constrained")
    for colour, name in zip(("#0072B2", "#D55E00", "#009E73"), dict.fromkeys(row["case"] for row in rows), strict=False):
        own = [row for row in rows if row["case"] == name]
        size = [row["size"] for row in own]
        axis.plot(size, [row["us"] for row in own], "o-", color=colour, label=name)
        axis.fill_between(
            size, [row["us_low"] for row in own], [row["us_high"] for row in own], color=colour, alpha=0.2, lw=0
        )
        axis.plot(size, [row["limit_us"] for row in own], "--", color=colour, lw=0.8)
    axis.set(xlabel=AXES[sweep], ylabel=r"$\mu$s per frame" if sweep == "threads" else r"$\mu$s of a core per frame")
    axis.set_yscale("log")
    if sweep != "threads":
        axis.set_xscale("log", base=2)
    ticks = sorted({row["size"] for row in rows})
    axis.set_xticks(ticks, [str(size) for size in ticks])
    axis.minorticks_off()
    plotting.grid(axis)
    axis.legend(title="dashed: the machine's limit", title_fontsize=6)
    plotting.save(figure, path, head)


def work(out: Path, quick: bool, say: Callable[[str], None]) -> None:
    """Measure, write curves.csv and a picture per sweep into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    before = load()
    limit, rows = measured(quick, say)
    machine = description()
    note = (
        f"{machine['cpu']}, a core: {2e-9 * limit.operations:.0f} GFLOP/s, {1e-9 * limit.bytes:.0f} GB/s; "
        f"load average {before[0]} before"
    )
    settings = {"scene": Scene(), "quick": quick}
    write_table(out / "curves.csv", stamp("performance", settings, note), COLUMNS, rows)
    for sweep, axis in AXES.items():
        own = [row for row in rows if row["sweep"] == sweep]
        draw_sweep(out / f"{sweep}.png", sweep, own, stamp(f"cost against {axis}", settings, note))
    say(f"written to {out}")
