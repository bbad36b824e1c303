#!/usr/bin/env python3
"""Takes protections out, one at a time, and sees whether their tests notice: python tools/mutate.py [--fill]

tools/mutations/*.toml name a protection, the lines that are it, what is put in their place, and a test. The tool copies the
project, makes the change there and runs the test, which must fail; on the unchanged copy it must pass. Kernels are compiled
before that; a mutated kernel's test runs it as plain Python. --fill writes the table of docs/reliability.md; of a part of
the mutations (--only) their lines alone.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec

from isacblocks.cli.script import UsageError, execute

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"
PARTS = ("isacblocks", "tests", "tools", "flowgraphs", "docs", "setup.cfg", "pyproject.toml", "README.md", "CHANGELOG.md")
PATIENCE = 120  # seconds; a test that hangs has noticed
UNCHANGED = 600  # seconds for the test of the copy as it is
BEGIN, END = "<!-- mutations -->", "<!-- end -->"


class Mutation(msgspec.Struct, forbid_unknown_fields=True):
    """protection: what is taken out, in words; find occurs once in file; test: a pytest node."""

    protection: str
    file: str
    find: str
    replace: str
    test: str


class _File(msgspec.Struct, forbid_unknown_fields=True):
    mutation: list[Mutation]


def mutations(directory: Path = ROOT / "tools" / "mutations") -> Iterator[Mutation]:
    """All of them."""
    for path in sorted(directory.glob("*.toml")):
        yield from msgspec.toml.decode(path.read_bytes(), type=_File).mutation


def mutated(mutation: Mutation, root: Path = ROOT) -> str:
    """The text of the file without its protection. Raises ValueError where `find` is not there, or not unique."""
    text = (root / mutation.file).read_text()
    if text.count(mutation.find) != 1:
        raise ValueError(f"{mutation.file}: expected once, found {text.count(mutation.find)} times: {mutation.find!r}")
    return text.replace(mutation.find, mutation.replace)


def passes(root: Path, test: str, plain: bool = False, patience: float = PATIENCE) -> bool:
    """Whether a test passes in a copy of the project. plain: with kernels that are not compiled."""
    env = os.environ | ({"NUMBA_DISABLE_JIT": "1"} if plain else {})
    env["PYTHONDONTWRITEBYTECODE"] = "1"  # a change within a second and of the same length would be taken for what was there
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    try:
        done = subprocess.run(command, cwd=root, env=env, capture_output=True, timeout=patience, check=False)
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1):  # neither passed nor failed: no such test
        raise RuntimeError(f"{test}: pytest ended with status {done.returncode}\n{done.stdout.decode()[-2000:]}")
    return done.returncode == 0


def _leave_nobody(root: Path) -> None:
    """Without its protection a program may leave processes behind: end those that work in the copy."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if root in (where := process.joinpath("cwd").readlink(), *where.parents):
                os.kill(int(process.name), signal.SIGKILL)


def noticed(mutation: Mutation, root: Path) -> str:
    """What a test makes of the change: "noticed", or what is wrong."""
    path = root / mutation.file
    whole, plain = path.read_text(), "/kernels/" in mutation.file
    if not passes(root, mutation.test, plain, UNCHANGED):
        return "THE TEST FAILS ANYWAY"
    path.write_text(mutated(mutation, root))
    try:
        return "NOT NOTICED" if passes(root, mutation.test, plain) else "noticed"
    finally:
        path.write_text(whole)
        _leave_nobody(root)


def _line(mutation: Mutation) -> str:
    return f"| {mutation.protection} | {mutation.file} | `{mutation.test}` |"


def table(rows: list[tuple[Mutation, str]], page: str = "") -> str:
    """As it stands in docs/reliability.md. page: its text; its verdicts on mutations that were not tried stay."""
    verdicts = {_line(mutation): verdict for mutation, verdict in rows}
    known = page.rsplit(BEGIN, maxsplit=1)[-1].split(END, maxsplit=1)[0].splitlines()
    lines = ["| taken out | in | test | |", "| --- | --- | --- | --- |"]
    for line in map(_line, mutations()):
        if line in verdicts:
            lines.append(f"{line} {verdicts[line]} |")
        else:
            lines += [old for old in known if old.startswith(line)]
    return "\n".join(lines)


def fill(text: str, made: str) -> str:
    """The page with the table in its place."""
    before, rest = text.split(BEGIN, 1)
    return f"{before}{BEGIN}\n{made}\n{END}{rest.split(END, 1)[1]}"


def work(options: argparse.Namespace) -> int:
    """Try them; returns the exit status."""
    chosen = [
        m for m in mutations() if not options.only or any(word in m.protection + m.file + m.test for word in options.only)
    ]
    if not chosen:
        raise UsageError("--only: nothing of that kind in tools/mutations")
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for part in PARTS:
            (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, root / part)
        # Tests that ask something of a running flowgraph do not wait for a compiler that has the interpreter
        subprocess.run([sys.executable, "-m", "isacblocks", "warmup"], cwd=root, capture_output=True, check=True)
        for mutation in chosen:
            verdict = noticed(mutation, root)
            print(f"{verdict}: {mutation.protection} ({mutation.file})", flush=True)
            rows.append((mutation, verdict))
    if options.fill:
        page = PAGE.read_text()
        PAGE.write_text(fill(page, table(rows, page)))
    good = sum(verdict == "noticed" for _, verdict in rows)
    print(f"{good} of {len(rows)} protections have a test that notices when they are gone")
    return 0 if good == len(rows) else 1


def main(arguments: list[str] | None = None) -> int:
    """The command line; --help says what each option does."""
    parser = argparse.ArgumentParser("mutate.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", nargs="+", metavar="WORD", help="protections, files or tests with one of these words")
    parser.add_argument("--fill", action="store_true", help="write the table of docs/reliability.md")
    options = parser.parse_args(arguments)
    return execute("mutate", lambda: work(options))


if __name__ == "__main__":
    sys.exit(main())
