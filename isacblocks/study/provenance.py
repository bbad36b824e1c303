"""Where a figure comes from: versions, commit and settings, in the head of every CSV and in every picture.

Nothing here depends on when, where or how fast it was computed: the same settings and code give the same bytes.
"""

from __future__ import annotations

import csv
import io
import math
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numba
import numpy as np
import scipy

from isacblocks._version import __version__
from isacblocks.stream.files import write_atomically

Row = Mapping[str, Any]


def commit() -> str:
    """What git calls the checkout that the package is in; "none" for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not ((root / ".git").exists() and (root / "setup.cfg").exists()):
        return "none"
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--tags"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def stamp(figure: str, settings: Any, note: str = "") -> dict[str, str]:
    """The head of a file: the figure's name, a note in words, versions, commit, and the settings as JSON."""
    versions = (
        f"Python {platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}, scipy {scipy.__version__}"
    )
    return {
        "figure": figure,
        "note": note,
        "isacblocks": __version__,
        "commit": commit(),
        "versions": versions,
        "settings": msgspec.json.encode(settings, order="sorted").decode(),
    }


def _cell(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else f"{value + 0.0:.6g}"  # + 0.0: no minus before a zero
    return str(value)


def write_table(path: Path, head: Mapping[str, str], columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a CSV with the head in lines that begin with "# ", atomically. An undefined number is an empty field."""
    out = io.StringIO()
    for name, value in head.items():
        out.write(f"# {name}: {value}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in columns])
    write_atomically(path, out.getvalue().encode())


def read_table(path: Path) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Head and rows of what :func:`write_table` wrote, as strings."""
    lines = path.read_text().splitlines()
    heads = [line[2:].partition(": ") for line in lines if line.startswith("# ")]
    body = [line for line in lines if not line.startswith("# ")]
    return {name: value for name, _, value in heads}, list(csv.DictReader(body))
