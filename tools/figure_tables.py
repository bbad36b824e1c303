"""The command line of tools that compute tables: which one, and how many of what it takes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from isacblocks.cli.script import compile_kernels, execute, positive

Table = Callable[[int], None]


def run_tables(name: str, about: str | None, tables: Mapping[str, tuple[Table, int]]) -> int:
    """Print the tables that are asked for; returns the exit status. tables: by name, with how many seeds it takes."""
    usual = ", ".join(f"{one} {seeds}" for one, (_, seeds) in tables.items())
    parser = argparse.ArgumentParser(name, description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", choices=tables, help="which one (default: all)")
    parser.add_argument("--seeds", type=positive, help=f"how many (default: {usual})")
    options = parser.parse_args()

    def work() -> None:
        compile_kernels()
        for one in [options.table] if options.table else tables:
            table, seeds = tables[one]
            table(options.seeds or seeds)

    return execute(name, work)
