#!/usr/bin/env python3
"""Coverage-guided fuzzing of everything that reads bytes from outside: python tools/fuzz.py [DECODER ...] [--runs N]

atheris (the extra [fuzz]) watches which lines an input reaches and breeds inputs that reach more. A decoder may raise its
named error; anything else is printed with the input that led to it, and the exit status is not 0. Without atheris it says so
and ends with 0: tools/chaos.py --only decoders needs nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from isacblocks.cli.script import UsageError, execute, positive


def fuzz(name: str, runs: int, corpus: str) -> None:
    """Fuzz one decoder in this process, which ends with it."""
    import atheris

    warnings.simplefilter("ignore", UserWarning)
    with atheris.instrument_imports(include=["isacblocks.stream", "isacblocks.blocks.recording"]):
        from faults.decoders import attempt, targets

    target = targets()[name]
    for number, seed in enumerate(target.seeds):
        (Path(corpus) / str(number)).write_bytes(seed)

    def one(data: bytes) -> None:
        attempt(target, data)
        attempt(target, target.mend(data))

    atheris.Setup([sys.argv[0], f"-runs={runs}", "-max_len=20000", "-rss_limit_mb=2048", "-verbosity=0", corpus], one)
    atheris.Fuzz()


def work(options: argparse.Namespace) -> int:
    """Fuzz the decoders one after the other, each in a process of its own; returns the exit status."""
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("fuzz: skipped: atheris is not here; pip install 'isacblocks[fuzz]'")
        return 0
    from faults.decoders import targets

    known = list(targets())
    unknown = [name for name in options.decoder if name not in known]
    if unknown:
        raise UsageError(f"{', '.join(unknown)}: expected some of {', '.join(known)}")
    broken = 0
    for name in options.decoder or known:
        with tempfile.TemporaryDirectory() as corpus:
            command = [sys.executable, __file__, "--one", corpus, "--runs", str(options.runs), name]
            done = subprocess.run(command, cwd=corpus, capture_output=True, text=True, check=False)
        print(f"{name}: {options.runs} runs, {'nothing found' if done.returncode == 0 else 'BROKEN'}", flush=True)
        if done.returncode:
            print(done.stdout[-4000:], done.stderr[-4000:], sep="\n")
            broken += 1
    return 1 if broken else 0


def main() -> int:
    """The command line; --help says what each option does."""
    parser = argparse.ArgumentParser("fuzz.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("decoder", nargs="*", help="these; all of them where none is named")
    parser.add_argument("--runs", type=positive, default=20000, metavar="N", help="inputs to each (20000)")
    parser.add_argument("--one", metavar="DIRECTORY", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        fuzz(options.decoder[0], options.runs, options.one)
        return 0
    return execute("fuzz", lambda: work(options))


if __name__ == "__main__":
    sys.exit(main())
