"""The table of a campaign as CSV and, where pyarrow is installed, as Parquet; beside it where it comes from.

The files depend on the rows alone, not on when, where and by how many workers they were computed.
"""

from __future__ import annotations

import csv
import io
import subprocess
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from isacblocks.stream.files import write_atomically
from isacblocks.study.cell import Column, Row, columns
from isacblocks.study.results import State

CSV, PARQUET, PROVENANCE = "table.csv", "table.parquet", "provenance.json"


class NoParquetError(RuntimeError):
    """pyarrow is not there."""


def csv_bytes(layout: Sequence[Column], rows: Iterable[Row]) -> bytes:
    """A head of names, then a line per row; numbers with as many digits as tell them apart, nothing where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in layout])
    for row in rows:
        values = (row[column.name] for column in layout)
        writer.writerow(["" if v is None else repr(v) if isinstance(v, float) else v for v in values])
    return text.getvalue().encode()


def parquet_bytes(layout: Sequence[Column], rows: Sequence[Row]) -> bytes:
    """The same with types, missing values as null, units in the columns' metadata. Raises NoParquetError."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError:
        raise NoParquetError("pyarrow is not installed; pip install 'isacblocks[table]'") from None
    kinds = {"int": pa.int64(), "float": pa.float64(), "str": pa.string()}
    fields = [pa.field(c.name, kinds[c.kind], metadata={"unit": c.unit} if c.unit else None) for c in layout]
    arrays = [pa.array([row[c.name] for row in rows], kinds[c.kind]) for c in layout]
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), sink)
    return sink.getvalue()


def commit() -> str | None:
    """`git describe` of the checkout that this package is run from; None where it is none."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def provenance(state: State) -> dict[str, Any]:
    """Where the table comes from, for a file beside it."""
    header = state.header
    return {
        "format": f"{header.format} provenance",
        "version": header.version,
        "digest": header.digest,
        "campaign": msgspec.to_builtins(header.campaign),
        "cells": header.campaign.size,
        "rows": sum(1 for _ in state.rows()),
        "failed": {str(number): error for number, error in state.failed().items()},
        "software": header.software,
        "code": header.code,
        "commit": commit(),
        "begun": header.created,
        "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": sum(outcome.seconds for outcome in state.outcomes.values()),
        "columns": [msgspec.to_builtins(column) for column in columns(header.campaign)],
    }


def write_table(directory: Path, state: State) -> list[Path]:
    """Write the table as CSV, and its provenance; returns the files."""
    layout, rows = columns(state.campaign), [row for _, row in state.rows()]
    write_atomically(directory / CSV, csv_bytes(layout, rows))
    data = msgspec.json.format(msgspec.json.encode(provenance(state)), indent=1) + b"\n"
    write_atomically(directory / PROVENANCE, data)
    return [directory / CSV, directory / PROVENANCE]


def write_parquet(directory: Path, state: State) -> Path:
    """Write the table as Parquet. Raises NoParquetError; an older one is gone then, since it may not fit the CSV."""
    path = directory / PARQUET
    path.unlink(missing_ok=True)
    write_atomically(path, parquet_bytes(columns(state.campaign), [row for _, row in state.rows()]))
    return path
