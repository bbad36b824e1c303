#!/usr/bin/env python3
"""Measures how fast everything is, against yardsticks and against the machine: python tools/bench.py

bench.py                        all cases, interleaved, in one process on one core: a table
bench.py curves [--out DIR]     cost against size, with the machine's limit: CSV and PNG
bench.py page                   both, then docs/performance.md with its figures: the one command to renew them
bench.py fill [--check]         docs/performance.md from docs/results/performance.json alone

Run it on a machine that does nothing else; the load averages before and after are in the JSON. docs/performance.md says what
the cases are.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.pinned import pin

pin()  # before numpy is imported

from isacblocks.cli.script import UsageError, compile_kernels, execute, positive, start_logging  # noqa: E402

DOCS = Path(__file__).resolve().parents[1] / "docs"
RESULT = DOCS / "results" / "performance.json"
ALONE = ("flowgraph", "runs", "viewing", "start")  # measured after the rounds, not in them
ROUNDS, QUICK_ROUNDS = 15, 2


def say(text: str) -> None:
    """Progress."""
    print(f"  {text}", file=sys.stderr, flush=True)


def measure(options: argparse.Namespace) -> int:
    """The cases; prints the table and writes the JSON."""
    from benchmarks import flowgraph_run, measure, registry, report, starting, stream_runs, viewing

    known = [*registry.GROUPS, *ALONE]
    chosen = options.only or [name for name in known if not (options.quick and name in ALONE)]
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    found = report.begin()
    compile_kernels()
    try:
        bench = registry.assemble(set(chosen) - set(ALONE), registry.QUICK if options.quick else registry.Size(), say)
    except KeyError as error:
        raise UsageError(f"--only {error.args[0]}: expected a case or some of {', '.join(known)}") from None
    try:
        results = measure.measure(bench.cases, rounds, say)
    finally:
        bench.close()
    if "flowgraph" in chosen:
        say("the whole flowgraph")
        frames, runs = (64, 1) if options.quick else (64_000, 3)
        found["flowgraph"] = flowgraph_run.measure_flowgraph(frames, runs)
        found["flowgraph_full"] = flowgraph_run.measure_flowgraph(frames, runs, "--full-frames")
    if "runs" in chosen:
        say("flowgraphs of nothing but streams")
        found["runs"] = stream_runs.measure_runs(60 if options.quick else 3000)
    if "viewing" in chosen:
        say("the whole flowgraph, without and with somebody who looks on")
        found["viewing"] = viewing.measure_viewing(*((0.3, 1, 1) if options.quick else (1.0, 6, 8)))
    if "start" in chosen:
        say("starts: compiling in an empty cache, loading")
        few = ["compression", "detection"] if options.quick else None
        found["start"] = starting.measure_starts(1 if options.quick else 5, few)
    report.finish(found, bench, results, rounds)
    print(report.text(found))
    if options.json is not None:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")
    return 0


def curves(options: argparse.Namespace) -> int:
    """Cost against size."""
    from benchmarks.curves import work

    compile_kernels()
    work(Path(options.out), options.quick, say)
    return 0


def fill(options: argparse.Namespace) -> int:
    """The page from the JSON."""
    from benchmarks.page import fill as fill_page

    return fill_page(DOCS / "performance.md", options.check)


def renew(options: argparse.Namespace) -> int:
    """Everything, then the page."""
    if options.quick or options.only:
        raise UsageError("page: its figures come from a whole run, without --quick and --only")
    options.json, options.out, options.check = RESULT, DOCS / "results" / "performance", False
    return measure(options) or curves(options) or fill(options)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("command", nargs="?", choices=("cases", "curves", "page", "fill"), default="cases", help="see above")
    made.add_argument("--json", metavar="FILE", help="where to write the figures")
    made.add_argument("--rounds", type=positive, help=f"how often every case is measured (default: {ROUNDS})")
    made.add_argument("--only", nargs="+", metavar="NAME", help="cases, or groups of them")
    made.add_argument("--quick", action="store_true", help="tiny sizes: whether it works, not how fast it is")
    made.add_argument("--out", default="curves", metavar="DIR", help="where the curves are written (default: curves)")
    made.add_argument(
        "--check", action="store_true", help="of fill: write nothing, status 1 where the page is not the JSON's"
    )
    return made


def main() -> int:
    """The tool; returns the exit status."""
    options = parser().parse_args()
    start_logging()
    work = {"cases": measure, "curves": curves, "page": renew, "fill": fill}[options.command]
    return execute("bench", lambda: work(options))


if __name__ == "__main__":
    sys.exit(main())
