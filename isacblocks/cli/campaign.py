"""isacblocks campaign FILE.toml: run a grid of simulations, keep what is done, write the table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from isacblocks.cli.script import FAILED, UsageError, add_common, compile_kernels, positive, start_logging, usage

if TYPE_CHECKING:
    from isacblocks.study.campaign import Campaign
    from isacblocks.study.engines import Engine
    from isacblocks.study.results import State

_DESCRIPTION = """Run every combination of the parameters in FILE (SNR, antennas, subcarriers, drift, impairments, method,
frames, seed), one simulation each, and write one table with a row each: the errors of kappa, P_d, P_fa, positions.

Outcomes are kept as they come. Stopped or killed, the same command goes on where it was and ends with the same table, bit
for bit, with any number of workers, here or on a Dask cluster."""
_EPILOG = """keys of FILE.toml, each a value, a list or a range {from, to, step}:
  snr_db, antennas, subcarriers, drift (degrees per sqrt(1000 frames)), impairments, method, frames, seed;
  marks (frames after which kappa's error is noted), p_fa, steps; see docs/formats.md

files in DIR: state.jsonl (what is done), table.csv, table.parquet (with the extra [table]), provenance.json

Where a cell failed, the others are run, and the exit status is 1."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "campaign",
        help="run a grid of simulations and write a table",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE.toml", help="the grid: a path, or a name that comes with isacblocks")
    parser.add_argument("--out", metavar="DIR", help="where state and tables go (default: FILE.campaign, here)")
    parser.add_argument("--workers", type=positive, metavar="N", help="processes on this machine (default: one per core)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="run on the Dask cluster there, say tcp://host:8786")
    parser.add_argument("--retry", action="store_true", help="run the cells that failed again, too")
    parser.add_argument("--summary", action="store_true", help="print figures per configuration, over the seeds, at the end")
    add_common(parser)


def _engine(options: argparse.Namespace) -> Engine:
    from isacblocks.study.dask_engine import DaskEngine
    from isacblocks.study.engines import LocalEngine

    if options.scheduler is not None:
        if options.workers is not None:
            raise UsageError("--workers: is for this machine; a cluster (--scheduler) has the workers that it has")
        return DaskEngine(options.scheduler)
    compile_kernels()  # here, once, rather than in every worker
    return LocalEngine(options.workers)


def _open(directory: Path, campaign: Campaign) -> State:
    from isacblocks.study.results import BusyError, State, StateError

    try:
        return State(directory, campaign)
    except BusyError:
        raise
    except StateError as error:
        raise UsageError(str(error)) from error


def _run(options: argparse.Namespace, state: State) -> None:
    """Run what is not done; say how to go on where it is cut short."""
    from isacblocks.study.cell import cell_row
    from isacblocks.study.engines import conduct
    from isacblocks.view.progress import CampaignProgress

    failed = set(state.failed()) if options.retry else set()
    cells = {cell.number for cell in state.campaign.cells() if cell.number not in state.outcomes} | failed
    if not cells:
        return
    engine = _engine(options)
    progress = CampaignProgress(state.campaign, cells)
    try:
        conduct(state, engine, cell_row, options.retry, progress)
    except BaseException:
        progress.end()
        kept = f"{len(state.outcomes)} of {state.campaign.size} cells are kept in {state.path}"
        print(f"isacblocks: {kept}; the same command goes on from there", file=sys.stderr)
        raise
    progress.end()


def _tables(directory: Path, state: State) -> list[Path]:
    """Write them; says so where there is no Parquet."""
    from isacblocks.study.tables import NoParquetError, write_parquet, write_table

    files = write_table(directory, state)
    try:
        files.append(write_parquet(directory, state))
    except NoParquetError as error:
        print(f"isacblocks: no Parquet file: {error}", file=sys.stderr)
    return files


def work(file: Path, options: argparse.Namespace) -> int:
    """The command on the campaign in `file`; returns the exit status."""
    from isacblocks.study.campaign import load_campaign
    from isacblocks.study.results import BusyError, State
    from isacblocks.study.summary import summary

    start_logging(options.log)
    with usage():
        campaign = load_campaign(file)
    directory = Path(options.out or f"{file.stem}.campaign")
    try:
        state = _open(directory, campaign)
    except BusyError as busy:
        if not options.summary:
            raise
        print(f"isacblocks: {busy}; this is what it has so far", file=sys.stderr)
        print(summary(campaign, (row for _, row in State(directory, campaign, read_only=True).rows())))
        return 0
    with state:
        _run(options, state)
        files = _tables(directory, state)
        rows, failed = [row for _, row in state.rows()], state.failed()
    if options.summary:
        print(summary(campaign, rows))
    print(f"{len(rows)} rows: {', '.join(str(path) for path in files)}")
    if failed:
        first = next(iter(failed))
        print(
            f"isacblocks: {len(failed)} of {campaign.size} cells failed, first cell {first}: {failed[first]}; "
            "--retry runs them again",
            file=sys.stderr,
        )
        return FAILED
    return 0
