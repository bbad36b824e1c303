#!/usr/bin/env python3
"""What a link costs, beside bare pyzmq measured in the same run: python tools/benchmarks/streams.py [rates|runs]

rates       frames/s through one link of ours and through PUSH/PULL, by transport and frames per message; a frame is 131 kB
runs        by placement: p50 and p99 from a source to a sink at 500 messages/s of one frame; age of what a sink ten times
            too slow is given with the policy "latest"; what the runtime adds to a block's work, 16 frames a message, 15 us
            of work a frame

Rates are measured in short pieces of work, all transports in turn, again and again; the table shows medians, and the median
of the ratio to bare pyzmq on the same transport. tools/bench.py measures the same among everything else, by cases().
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.report import columns
from benchmarks.stream_links import BareRate, Measured, Memcpy, OurRate
from benchmarks.stream_runs import HEAD, measure_runs, rows

TRANSPORTS = ("inproc", "shared", "copied", "ipc", "tcp")  # copied: into shared memory, from an array made elsewhere
BATCHES = (1, 8, 16, 64)
COMPARED = ("inproc", "shared", "tcp")
COMPARED_BATCHES = (1, 16, 64)

_open = contextlib.ExitStack()  # the links of cases()


def messages_of(batch: int) -> int:
    """How many messages are one piece of work."""
    return max(32, 512 // batch)


@contextlib.contextmanager
def rate_cases(batch: int, transports: tuple[str, ...] = TRANSPORTS) -> Iterator[dict[str, Measured]]:
    """Everything whose rate is measured at one number of frames per message, by name."""
    messages = messages_of(batch)
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="ib"))
        cases: dict[str, Measured] = {"memcpy": Memcpy(batch, messages)}
        for transport in ("inproc", "ipc", "tcp"):
            cases[f"bare {transport}"] = bare = BareRate(transport, batch, messages, directory)
            stack.callback(bare.close)
        for transport in transports:
            cases[f"ours {transport}"] = ours = OurRate(transport, batch, messages, directory)
            stack.callback(ours.close)
        for case in cases.values():
            case.run()  # receivers are there, memory has been touched
        yield cases


def cases() -> dict[str, Callable[[], float]]:
    """For tools/bench.py: by name, the function that sends so many frames and says how many. Ended by close()."""
    close()
    found: dict[str, Callable[[], float]] = {}
    for batch in COMPARED_BATCHES:
        for name, case in _open.enter_context(rate_cases(batch, COMPARED)).items():
            found[f"{name}, {batch}"] = case.run
    return found


def close() -> None:
    """End the links of cases()."""
    _open.close()


def measure_rates(batch: int, rounds: int) -> dict[str, list[float]]:
    """Frames per second by name, one figure a round, all of a round measured one after the other."""
    found: dict[str, list[float]] = {}
    with rate_cases(batch) as measured:
        for _ in range(rounds):
            for name, case in measured.items():
                began = time.perf_counter()
                frames = case.run()
                found.setdefault(name, []).append(frames / (time.perf_counter() - began))
    return found


def bare_of(name: str) -> str:
    """What a transport of ours is compared with."""
    transport = name.split()[1]
    return f"bare {'ipc' if transport in ('shared', 'copied') else transport}"


def rates(rounds: int = 9) -> None:
    """The table of rates."""
    measured = {batch: measure_rates(batch, rounds) for batch in BATCHES}
    lines = []
    for name in measured[BATCHES[0]]:
        line = [name]
        for found in measured.values():
            line.append(f"{statistics.median(found[name]) / 1e3:.1f} k/s")
            if name.startswith("ours"):
                pairs = zip(found[name], found[bare_of(name)], strict=True)
                line[-1] += f" {statistics.median(a / b for a, b in pairs):.2f}x"
        lines.append(line)
    print(columns(["frames a message", *map(str, BATCHES)], lines))


def runs() -> None:
    """The table of latencies, ages and costs."""
    print(columns(HEAD, rows(measure_runs(3000))))


PARTS = {"rates": rates, "runs": runs}


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure, by default everything")
    for name in parser.parse_args().parts or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main()
