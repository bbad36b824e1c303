#!/usr/bin/env python3
"""Breaks things on purpose and holds the streams to their promises: python tools/chaos.py [--full]

Every case is a fault, tried a number of times: a few for CI, many with --full. A table says what was measured; the exit
status is 1 where a promise did not hold. docs/reliability.md says what is promised.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults.case import Case, Outcome
from faults.registry import cases

from isacblocks.cli.script import UsageError, add_common, execute, positive, start_logging


def attempt(case: Case, count: int) -> tuple[Outcome, float]:
    """One case; what it raises is a breach like any other."""
    began = time.perf_counter()
    try:
        outcome = case.run(count)
    except Exception as error:
        traceback.print_exc()
        outcome = Outcome(breaches=[f"the case itself failed: {type(error).__name__}: {error}"])
    return outcome, time.perf_counter() - began


def row(case: Case, count: int, outcome: Outcome, seconds: float) -> str:
    """A line of the table."""
    figures = ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in outcome.figures.items())
    verdict = "held" if not outcome.breaches else f"BROKEN ({len(outcome.breaches)})"
    return f"| {case.name} | {count} {case.unit} | {figures} | {verdict} | {seconds:.1f} |"


def work(options: argparse.Namespace) -> int:
    """Run the cases; returns the exit status."""
    start_logging(options.log)
    known = cases()
    unknown = [name for name in options.only or [] if name not in known]
    if unknown:
        raise UsageError(f"--only {', '.join(unknown)}: expected some of {', '.join(known)}")
    chosen = [known[name] for name in options.only or known]
    if options.list:
        for case in chosen:
            print(f"{case.name}: {case.promise} ({case.small} {case.unit}, {case.full} with --full)")
        return 0
    print("| case | tried | measured | promise | s |\n| --- | --- | --- | --- | --- |", flush=True)
    found, broken = [], 0
    for case in chosen:
        count = options.count or (case.full if options.full else case.small)
        outcome, seconds = attempt(case, count)
        print(row(case, count, outcome, seconds), flush=True)
        for breach in outcome.breaches[:20]:
            print(f"  BREACH {case.name}: {breach}", flush=True)
        broken += bool(outcome.breaches)
        found.append(
            {"case": case.name, "promise": case.promise, "count": count, "unit": case.unit, "seconds": round(seconds, 3)}
            | {"figures": outcome.figures, "breaches": outcome.breaches}
        )
        if options.json is not None:
            Path(options.json).write_text(json.dumps(found, indent=1) + "\n")
    print(f"{len(chosen) - broken} of {len(chosen)} cases held")
    return 1 if broken else 0


def main(arguments: list[str] | None = None) -> int:
    """The command line; --help says what each option does."""
    parser = argparse.ArgumentParser("chaos.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("--full", action="store_true", help="as often as docs/reliability.md says (hours)")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="these cases")
    parser.add_argument("--count", type=positive, metavar="N", help="try every case N times")
    parser.add_argument("--list", action="store_true", help="name the cases and what they hold the streams to")
    parser.add_argument("--json", metavar="FILE", help="write what was measured")
    add_common(parser)
    options = parser.parse_args(arguments)
    return execute("chaos", lambda: work(options))


if __name__ == "__main__":
    sys.exit(main())
