"""Functions from a cell to its row that go wrong as they are told to; worker processes find them here by name."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from isacblocks.study.campaign import Cell
from isacblocks.study.cell import Row, cell_row


def plain(cell: Cell) -> Row:
    """Without any simulation: the engines' part alone."""
    return {"seed": cell.seed, "figure": cell.seed / 3}


def unlucky(cell: Cell) -> Row:
    """Seed 3 raises, as long as the file named by ISACBLOCKS_TEST_BROKEN is there."""
    if cell.seed == 3 and Path(os.environ["ISACBLOCKS_TEST_BROKEN"]).exists():
        raise ValueError("seed 3\nis unlucky")
    return cell_row(cell)


def deadly(cell: Cell) -> Row:
    """Seed 2 takes its process down."""
    if cell.seed == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(cell)


def deadly_once(cell: Cell) -> Row:
    """Seed 2 takes its process down where the file named by ISACBLOCKS_TEST_BROKEN is still there."""
    flag = Path(os.environ["ISACBLOCKS_TEST_BROKEN"])
    if cell.seed == 2 and flag.exists():
        flag.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(cell)


def threads(_cell: Cell) -> Row:
    """What the worker's environment says about threads."""
    return {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
